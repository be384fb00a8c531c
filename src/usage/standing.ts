/**
 * The standings from best to worst; that of a day, an organization or a month is the standing of its worst cell. The
 * type `standing` in `migrations/0001_reference.sql` has the same words in the same order, and a test compares the two.
 * `sentence` is the meaning, without a full stop. `tone` is the class of a color in pages; `symbol` accompanies it,
 * because not everybody can distinguish the colors.
 */
export const STANDINGS = {
  final: { sentence: 'stored, and read late enough that no further change is expected', symbol: '●', tone: 'good' },
  waived: {
    sentence: 'accepted as it stands, with or without a number; the reason is on record',
    symbol: '◆',
    tone: 'good',
  },
  stored: { sentence: 'stored, to be read again', symbol: '◐', tone: 'calm' },
  waiting: { sentence: 'not stored, and not late yet', symbol: '·', tone: 'pending' },
  unavailable: { sentence: 'no longer readable, and not waived', symbol: '–', tone: 'lost' },
  in_doubt: { sentence: 'stored, but contradicted since', symbol: '?', tone: 'bad' },
  missing: { sentence: 'not stored, and either late or its last read failed', symbol: '✕', tone: 'bad' },
} as const;

export type Standing = keyof typeof STANDINGS;

export const standings = Object.keys(STANDINGS) as readonly Standing[];

export function isGap(standing: Standing): boolean {
  return standing === 'in_doubt' || standing === 'missing';
}

export function isSettled(standing: Standing): boolean {
  return standing === 'final' || standing === 'waived';
}

/** Returns null if there are no standings. */
export function findWorstStanding(cellStandings: readonly Standing[]): Standing | null {
  return standings.findLast((standing) => cellStandings.includes(standing)) ?? null;
}

type StandingCounts = Readonly<Record<Standing, number>>;

/** Returns the number of cells that keep days from being complete. Unavailable cells are not awaited. */
export function countIncomplete(counts: Pick<StandingCounts, 'waiting' | 'in_doubt' | 'missing'>): number {
  return counts.waiting + counts.in_doubt + counts.missing;
}

/** Adds up counts; an absent standing counts 0. */
export function sumStandings(summands: Iterable<Readonly<Partial<StandingCounts>>>): StandingCounts {
  const sums = { final: 0, waived: 0, stored: 0, waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 };
  for (const counts of summands) {
    for (const standing of standings) sums[standing] += counts[standing] ?? 0;
  }
  return sums;
}
