/** What is to be called when a signal aborts. */
export interface Abortable {
  abort(reason: unknown): void;
}

/**
 * Passes the abort of a signal on to everything that is under way with it, by one
 * listener per signal: thousands of requests of one run add and remove none.
 */
export class AbortWatch {
  readonly #groups = new Map<AbortSignal, { members: Set<Abortable>; onAbort: () => void }>();

  /** The signal must not have aborted yet. */
  add(signal: AbortSignal, member: Abortable): void {
    const group = this.#groups.get(signal) ?? this.#watch(signal);
    group.members.add(member);
  }

  delete(signal: AbortSignal, member: Abortable): void {
    const group = this.#groups.get(signal);
    if (group === undefined || !group.members.delete(member) || group.members.size > 0) return;
    this.#groups.delete(signal);
    signal.removeEventListener('abort', group.onAbort);
  }

  #watch(signal: AbortSignal) {
    const members = new Set<Abortable>();
    const onAbort = () => {
      this.#groups.delete(signal);
      for (const member of members) member.abort(signal.reason);
    };
    const group = { members, onAbort };
    this.#groups.set(signal, group);
    signal.addEventListener('abort', onAbort, { once: true });
    return group;
  }
}
