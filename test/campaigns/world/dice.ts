/** Random numbers that a seed determines. */
export interface Dice {
  /** From 0 up to 1. */
  next(): number;
  /** From 0 up to and not including `below`. */
  below(below: number): number;
  pick<T>(from: readonly T[]): T;
  chance(share: number): boolean;
}

/** Mulberry32. */
export function rollFrom(seed: number): Dice {
  let state = (seed * 2_654_435_761) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number) => Math.floor(next() * bound);
  const pick: Dice['pick'] = (from) => from[below(from.length)] as (typeof from)[number];
  return { next, below, pick, chance: (share) => next() < share };
}
