/**
 * Standing is the one answer to "is this cell all right?". The type of the same name in
 * `migrations/0001_reference.sql` has the same words in the same order, and a test compares the two.
 */

/**
 * The standings from best to worst, with the words and signs by which they are shown to people: `sentence` is the
 * meaning, without a full stop; `symbol` one character for maps in text, shown beside the colour, which not everybody
 * can distinguish; `tone` the class of that colour in pages. The standing of a day, an organization or a month is that
 * of its worst cell.
 */
export const STANDINGS = {
  final: {
    label: 'final',
    sentence: 'stored, and read late enough that no further change is expected',
    symbol: '●',
    tone: 'good',
  },
  waived: {
    label: 'waived',
    sentence: 'accepted as it stands, with or without a number; the reason is on record',
    symbol: '◆',
    tone: 'good',
  },
  stored: { label: 'stored', sentence: 'stored, to be read again', symbol: '◐', tone: 'calm' },
  waiting: { label: 'waiting', sentence: 'not stored, and not late yet', symbol: '·', tone: 'open' },
  unavailable: {
    label: 'unavailable',
    sentence: 'no longer readable, and not waived',
    symbol: '–',
    tone: 'known',
  },
  in_doubt: {
    label: 'in doubt',
    sentence: 'stored, but contradicted since',
    symbol: '?',
    tone: 'bad',
  },
  missing: {
    label: 'missing',
    sentence: 'not stored, and either late or its last read failed',
    symbol: '✕',
    tone: 'bad',
  },
} as const;

export type Standing = keyof typeof STANDINGS;

export const standings = Object.keys(STANDINGS) as readonly Standing[];

/** Whether the number is a gap: in doubt or missing. */
export function isGap(standing: Standing): boolean {
  return standing === 'in_doubt' || standing === 'missing';
}

/** Whether the number may be invoiced as it stands. */
export function isSettled(standing: Standing): boolean {
  return standing === 'final' || standing === 'waived';
}

/** Returns the worst of the standings; null if there is none. */
export function worstStanding(several: Iterable<Standing>): Standing | null {
  let worst = -1;
  for (const standing of several) worst = Math.max(worst, standings.indexOf(standing));
  return standings[worst] ?? null;
}

/** The number of cells of each standing. */
export type StandingCounts = Readonly<Record<Standing, number>>;

/** Adds up counts of cells by standing; a standing that is not given counts 0. */
export function sumStandings(several: Iterable<Readonly<Partial<StandingCounts>>>): StandingCounts {
  const sums = { final: 0, waived: 0, stored: 0, waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 };
  for (const counts of several) {
    for (const standing of standings) sums[standing] += counts[standing] ?? 0;
  }
  return sums;
}

/** Returns the standing of the worst cell of those counted; null if there is none. */
export function worstOf(counts: Readonly<Partial<StandingCounts>>): Standing | null {
  return worstStanding(standings.filter((standing) => (counts[standing] ?? 0) > 0));
}
