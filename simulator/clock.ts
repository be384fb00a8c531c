/** The simulator's own time: the host's, shifted or frozen. */
export interface Clock {
  now(): number;
  /** Sets the time to `atMs`, from where it goes on unless frozen. */
  setTo(atMs: number, frozen: boolean): void;
  /** Sets the time to the host's plus `offsetMs`. */
  setOffset(offsetMs: number): void;
  /** Moves the time by `byMs`, which may be negative. */
  jump(byMs: number): void;
}

export function createClock(base: () => number): Clock {
  let offsetMs = 0;
  let frozenAtMs: number | null = null;
  return {
    now: () => frozenAtMs ?? base() + offsetMs,
    setTo(atMs, frozen) {
      frozenAtMs = frozen ? atMs : null;
      offsetMs = atMs - base();
    },
    setOffset(wanted) {
      frozenAtMs = null;
      offsetMs = wanted;
    },
    jump(byMs) {
      offsetMs += byMs;
      if (frozenAtMs !== null) frozenAtMs += byMs;
    },
  };
}
