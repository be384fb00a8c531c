/** Cells of 2026-11-20 in any state, and answers for them at any age of the day. */
import { applyResponse, type CellUpdate, type Counterpart, zerosOf } from '../../src/usage/apply.ts';
import type { Cell, Verdict } from '../../src/usage/cell.ts';
import type { NumberRef, Numbers } from '../../src/usage/numbers.ts';
import type { Policy } from '../../src/usage/policy.ts';
import type { Standing } from '../../src/usage/standing.ts';

const ORG = '5d0000000000000000000001';
export const DAY = '2026-11-20';
const END_MS = Date.parse('2026-11-21T00:00:00.000Z');
export const HOUR_MS = 3_600_000;

/** The policy by default. */
export const POLICY: Policy = {
  readAtHours: [0, 6, 24, 48, 72, 168, 720],
  finalAfterHours: 72,
  horizonDays: 90,
};

/** The instant some hours after the end of the day. */
export const age = (hours: number): number => END_MS + hours * HOUR_MS;

/** The hours between the end of the day and an instant. */
const ageOf = (ms: number): number => (ms - END_MS) / HOUR_MS;

const atHour = (hour: number, value: number) =>
  Array.from({ length: 24 }, (_, each) => (each === hour ? value : 0));

/** The columns of `payload_hours`, with numbers at 05:00 only. */
export const hours = (billable: number, all: number, bytes: number): Numbers => ({
  hours_billable_count: atHour(5, billable),
  hours_all_count: atHour(5, all),
  hours_all_bytes: atHour(5, bytes),
});

export const totals = (billable: number, all: number, bytes: number): Numbers => ({
  payload_billable_count: billable,
  payload_all_count: all,
  payload_all_bytes: bytes,
});

export const sources = (count: number): Numbers => ({
  payload_source_count: count,
  payload_sources: { timer: { 'timer.flow': count } },
});

export const devices = (created: number, deleted: number, total: number): Numbers => ({
  devices_created: created,
  devices_deleted: deleted,
  devices_total: total,
});

export const minutes = (used: number, completed: number): Numbers => ({
  notebook_minutes: used,
  notebook_completed: completed,
  notebook_canceled: 0,
  notebook_errored: 0,
  notebook_timeout: 0,
});

/** Two versions of the numbers of each stream, and its zeros. */
export const NUMBERS: Readonly<Record<string, { some: Numbers; other: Numbers; zero: Numbers }>> = {
  device_counts: { some: devices(4, 1, 17), other: devices(4, 1, 18), zero: devices(0, 0, 0) },
  notebook_minutes: { some: minutes(17, 4), other: minutes(18, 4), zero: zerosOf('notebook_minutes') },
  payload_sources: { some: sources(21), other: sources(22), zero: zerosOf('payload_sources') },
  payload_totals: { some: totals(17, 21, 900), other: totals(17, 22, 950), zero: zerosOf('payload_totals') },
  payload_hours: { some: hours(17, 21, 900), other: hours(17, 22, 950), zero: zerosOf('payload_hours') },
};

export function named(numbers: Numbers, ...omitted: readonly (string | NumberRef)[]): Verdict {
  const parts = omitted.map((part) => (typeof part === 'string' ? { column: part, hour: null } : part));
  return { kind: 'reported', numbers, omitted: parts };
}

export const silence: Verdict = { kind: 'omitted' };
export const failed: Verdict = { kind: 'failed', code: 'server_error', detail: 'answered HTTP 500' };
export const refused: Verdict = { kind: 'failed', code: 'refused', detail: 'answered HTTP 400' };
export const quarantined: Verdict = {
  kind: 'quarantined',
  code: 'invalid_value',
  detail: 'created: is negative (-1)',
};

/** A row of the ledger that was read an hour after the end of the day, unless nothing of it was ever stored. */
export function cell(standing: Standing, changes: Partial<Cell> = {}): Cell {
  const isStored = changes.isStored ?? ['final', 'stored', 'in_doubt'].includes(standing);
  const isRight = standing === 'final' || standing === 'stored';
  return {
    standing,
    isStored,
    isReported: isStored,
    omissions: 0,
    revision: isStored ? 1 : 0,
    lastReadAtMs: isStored ? age(1) : null,
    lastAttemptAtMs: isStored ? age(1) : null,
    failedReads: 0,
    nextReadAtMs: age(0),
    wasFinal: standing === 'final',
    reason: isRight ? null : standing === 'waived' ? 'waived' : 'given',
    detail: isRight ? null : 'given',
    sha256: isStored ? 'b'.repeat(64) : null,
    ...changes,
  };
}

/** The row that fill makes. */
export const unread = cell('waiting', { reason: 'never_read', detail: null });

/** A cell with its numbers; null if none are stored. */
export interface State {
  readonly cell: Cell;
  readonly numbers: Numbers | null;
}

export interface Given extends State {
  readonly stream: string;
  readonly verdict: Verdict;
  /** The age of the day in hours when the request was sent. */
  readonly hours: number;
  readonly counterparts?: readonly Counterpart[];
  readonly policy?: Policy;
}

export function applyTo({
  stream,
  cell: before,
  numbers,
  verdict,
  hours: sentAt,
  ...more
}: Given): CellUpdate {
  return applyResponse({
    cell: before,
    numbers,
    answer: { orgId: ORG, stream, day: DAY, sentAtMs: age(sentAt), sha256: 'a'.repeat(64), verdict },
    counterparts: more.counterparts ?? [],
    policy: more.policy ?? POLICY,
  });
}

/** Returns the lines of a decision table. */
export const lines = (table: string): string[] => table.trim().split(/\n\s*/);

/**
 * Reads a situation as tables have it, `CELL | ANSWER | HOURS | …`. A cell is its standing, its numbers by their name
 * in NUMBERS if it has any, and what else is to be known: a2 are two failed attempts, s1 is one silence. An answer is
 * the name of numbers or of a verdict, and what there is beside it: `silence beside payload_sources stored some`.
 * Totals may be written out, `-/21/900` being an answer without the first column.
 */
export function read(stream: string, line: string): Given & { readonly expected: string } {
  const [cellText = '', answerText = '', hoursText = '', expected = ''] = line.split(/ *\| */);
  const [verdictText = '', ...others] = answerText.split(/ beside | and /);
  const counterparts = others.map((text) => {
    const [other = '', ...words] = text.split(' ');
    return { stream: other, ...stateOf(other, words) };
  });
  const verdict = verdictOf(stream, verdictText);
  const given = { ...stateOf(stream, cellText.split(' ')), stream, verdict, counterparts };
  return { ...given, hours: Number.parseFloat(hoursText), expected };
}

function stateOf(stream: string, [standing, ...words]: readonly string[]): State {
  const numbers = words.map((word) => numbersNamed(stream, word)).find((each) => each !== null) ?? null;
  const isStored = numbers !== null;
  let state = standing === 'waiting' ? unread : cell(standing as Standing, { isStored });
  for (const word of words) {
    if (numbersNamed(stream, word) === null) state = { ...state, ...changeOf(word) };
  }
  return { cell: state, numbers };
}

function changeOf(word: string): Partial<Cell> {
  const count = Number(word.slice(1));
  if (/^a\d+$/.test(word)) return { failedReads: count };
  if (/^s\d$/.test(word)) return { omissions: count, isReported: false };
  return word === 'closed' ? { nextReadAtMs: null } : { reason: word, detail: word };
}

function numbersNamed(stream: string, word: string): Numbers | null {
  if (/^\d+\/\d+\/\d+$/.test(word))
    return totals(...(word.split('/').map(Number) as [number, number, number]));
  return NUMBERS[stream]?.[word as 'some'] ?? null;
}

const VERDICTS: Readonly<Record<string, Verdict>> = { silence, failed, refused, quarantined };

function verdictOf(stream: string, word: string): Verdict {
  const numbers = numbersNamed(stream, word.replaceAll('-', '0'));
  if (numbers === null) return VERDICTS[word] as Verdict;
  const columns = Object.keys(numbers).filter((_, index) => word.split('/')[index] === '-');
  return named(numbers, ...columns);
}

/** Describes what becomes of a situation. */
export const decide = (stream: string, line: string): string => show(applyTo(read(stream, line)));

/**
 * Describes what became of a cell, as tables have it: `loaded: final, r1, 168 h` is revision 1, read next at 168
 * hours; s2 are two omissions, a1 is one failed attempt.
 */
export function show({ result, cell: after, numbers }: CellUpdate): string {
  const next = after.nextReadAtMs === null ? 'closed' : `${ageOf(after.nextReadAtMs)} h`;
  return [
    `${result}: ${after.standing}${after.reason === null ? '' : ` ${after.reason}`}`,
    `r${after.revision}`,
    ...(after.isStored && !after.isReported ? [`s${after.omissions}`] : []),
    ...(after.failedReads > 0 ? [`a${after.failedReads}`] : []),
    next,
    ...(numbers === null ? [] : [Object.values(numbers).flat().some(isNumber) ? 'numbers' : 'zeros']),
  ].join(', ');
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' ? value !== 0 : Object.keys(value as object).length > 0;
}
