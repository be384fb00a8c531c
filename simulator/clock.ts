/** The simulator's own time: that of its host, moved or frozen. */
export interface Clock {
  now(): number;
  /** Goes on from `atMs`, or stays there. */
  setTo(atMs: number, frozen: boolean): void;
  /** `offsetMs` from the host's time. */
  setOffset(offsetMs: number): void;
  /** Forward by `byMs`, or back. */
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
