import type { FaultKind } from './faults.ts';

/** A fault that was served, and the cell it affected. */
export interface ServedFault {
  readonly at: string;
  readonly kind: FaultKind;
  readonly action: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly orgId: string | null;
  readonly nth: number;
  /** The UTC day and field that a value fault changed; null for other kinds. */
  readonly day: string | null;
  readonly field: string | null;
}

/** FaultLedger counts the times each request was made and keeps the last faults served. */
export interface FaultLedger {
  /** Counts the request. Returns how often it was made before and how many faults in a row it has met. */
  ask(identity: string): { nth: number; inRow: number };
  /** Records whether the request just counted met a fault. */
  settle(identity: string, faulty: boolean): void;
  record(fault: ServedFault): void;
  served(): readonly ServedFault[];
  reset(): void;
}

/** The bounds on memory; the oldest entries are dropped. */
const MAX_SERVED = 20_000;
const MAX_REQUESTS = 300_000;

export function createFaultLedger(): FaultLedger {
  const asked = new Map<string, { nth: number; inRow: number }>();
  let served: ServedFault[] = [];
  return {
    ask(identity) {
      const held = asked.get(identity) ?? { nth: 0, inRow: 0 };
      asked.delete(identity);
      asked.set(identity, { ...held, nth: held.nth + 1 });
      const oldest = asked.size > MAX_REQUESTS ? asked.keys().next().value : undefined;
      if (oldest !== undefined) asked.delete(oldest);
      return held;
    },
    settle(identity, faulty) {
      const held = asked.get(identity);
      if (held !== undefined) held.inRow = faulty ? held.inRow + 1 : 0;
    },
    record(fault) {
      served.push(fault);
      if (served.length > 2 * MAX_SERVED) served = served.slice(-MAX_SERVED);
    },
    served: () => served.slice(-MAX_SERVED),
    reset() {
      asked.clear();
      served = [];
    },
  };
}
