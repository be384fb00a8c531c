/** Cells of 2026-11-20 in any state, and responses for them at any age of the day. */
import { expect, test } from 'vitest';
import { applyResponse, createZeros } from '../../src/usage/apply.ts';
import type { CellUpdate, StoredCell, Verdict } from '../../src/usage/cell.ts';
import { hasNonzero, type NumberRef, type Numbers } from '../../src/usage/numbers.ts';
import type { Policy } from '../../src/usage/policy.ts';
import type { Standing } from '../../src/usage/standing.ts';

const ORG = '5d0000000000000000000001';
const DAY = '2026-11-20';
const END_MS = Date.parse('2026-11-21T00:00:00.000Z');
export const HOUR_MS = 3_600_000;

/** The default policy. */
export const POLICY: Policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAfterHours: 72, horizonDays: 90 };

/** Returns the instant so many hours after the end of the day. */
export const age = (hours: number): number => END_MS + hours * HOUR_MS;

/** Returns the hours from the end of the day to the instant. */
const toAge = (ms: number): number => (ms - END_MS) / HOUR_MS;

const atFive = (value: number) => Array.from({ length: 24 }, (_, hour) => (hour === 5 ? value : 0));

/** Returns the numbers of `payload_hours` with payloads at 05:00 only. */
export const hours = (billable: number, all: number, bytes: number): Numbers => ({
  hours_billable_count: atFive(billable),
  hours_all_count: atFive(all),
  hours_all_bytes: atFive(bytes),
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

/** By stream: two different versions of numbers, and zeros. */
export const NUMBERS: Readonly<Record<string, { some: Numbers; other: Numbers; zero: Numbers }>> = {
  device_counts: { some: devices(4, 1, 17), other: devices(4, 1, 18), zero: devices(0, 0, 0) },
  notebook_minutes: { some: minutes(17, 4), other: minutes(18, 4), zero: createZeros('notebook_minutes') },
  payload_sources: { some: sources(21), other: sources(22), zero: createZeros('payload_sources') },
  payload_totals: { some: totals(17, 21, 900), other: totals(17, 22, 950), zero: createZeros('payload_totals') },
  payload_hours: { some: hours(17, 21, 900), other: hours(17, 22, 950), zero: createZeros('payload_hours') },
};

export function report(numbers: Numbers, ...omissions: readonly (string | NumberRef)[]): Verdict {
  const parts = omissions.map((part) => (typeof part === 'string' ? { column: part, hour: null } : part));
  return { kind: 'reported', numbers, omitted: parts };
}

export const omitted: Verdict = { kind: 'omitted' };
export const failed: Verdict = { kind: 'failed', code: 'server_error', detail: 'responded with HTTP 500' };
export const refused: Verdict = { kind: 'failed', code: 'refused', detail: 'responded with HTTP 400' };
export const quarantined: Verdict = { kind: 'quarantined', code: 'invalid_value', detail: 'created: is negative (-1)' };

/** Returns a cell that was read an hour after the end of the day if it is stored, and never otherwise. */
export function cell(standing: Standing, changes: Partial<StoredCell> = {}): StoredCell {
  const isStored = changes.isStored ?? ['final', 'stored', 'in_doubt'].includes(standing);
  const isGood = standing === 'final' || standing === 'stored';
  return {
    orgId: ORG,
    stream: 'payload_totals',
    day: DAY,
    standing,
    isStored,
    isReported: isStored,
    revision: isStored ? 1 : 0,
    lastReadAtMs: isStored ? age(1) : null,
    lastAttemptAtMs: isStored ? age(1) : null,
    failedReads: 0,
    nextReadAtMs: age(0),
    wasFinal: standing === 'final',
    reason: isGood ? null : standing === 'waived' ? 'waived' : 'earlier',
    detail: isGood ? null : 'earlier',
    sha256: isStored ? 'b'.repeat(64) : null,
    numbers: null,
    ...changes,
  };
}

/** A newly created cell. */
export const unread = cell('waiting', { reason: 'never_read', detail: null });

export interface Situation {
  readonly stream: string;
  readonly cell: StoredCell;
  readonly verdict: Verdict;
  /** The age of the day in hours when the request was sent. */
  readonly hours: number;
  readonly policy?: Policy;
}

export function applyTo({ stream, cell: before, verdict, hours: sentAt, policy = POLICY }: Situation): CellUpdate {
  const key = { orgId: ORG, stream, day: DAY };
  return applyResponse({
    cell: { ...before, ...key },
    response: { ...key, sentAtMs: age(sentAt), texts: [], sha256: 'a'.repeat(64), verdict },
    policy,
  });
}

/**
 * Parses a line of a table, `CELL | RESPONSE | HOURS | EXPECTED`. A cell is a standing, the key of its numbers in
 * NUMBERS if it has any, and details: f2 are two failed reads, `assumed` are zeros that Losant left out, `never` means
 * no next read, other words are the reason. A response is the key of numbers or the name of a verdict. Totals may be
 * written out; `-/21/900` leaves out the first column.
 */
export function parseLine(stream: string, line: string): Situation & { readonly expected: string } {
  const [cellText = '', verdictText = '', hoursText = '', expected = ''] = line.split(/ *\| */);
  const verdict = parseVerdict(stream, verdictText);
  const before = parseCell(stream, cellText.split(' '));
  return { cell: before, stream, verdict, hours: Number.parseFloat(hoursText), expected };
}

function parseCell(stream: string, [standing, ...words]: readonly string[]): StoredCell {
  const numbers = words.map((word) => findNumbers(stream, word)).find((each) => each !== null) ?? null;
  const isStored = numbers !== null;
  let state = standing === 'waiting' ? unread : cell(standing as Standing, { isStored });
  for (const word of words) {
    if (findNumbers(stream, word) === null) state = { ...state, ...parseDetail(word) };
  }
  return { ...state, stream, numbers };
}

function parseDetail(word: string): Partial<StoredCell> {
  if (/^f\d+$/.test(word)) return { failedReads: Number(word.slice(1)) };
  if (word === 'assumed') return { isReported: false };
  if (word === 'was_final') return { wasFinal: true };
  return word === 'never' ? { nextReadAtMs: null } : { reason: word, detail: word };
}

function findNumbers(stream: string, word: string): Numbers | null {
  if (/^\d+\/\d+\/\d+$/.test(word)) return totals(...(word.split('/').map(Number) as [number, number, number]));
  return NUMBERS[stream]?.[word as 'some'] ?? null;
}

const VERDICTS: Readonly<Record<string, Verdict>> = { omitted, failed, refused, quarantined };

function parseVerdict(stream: string, word: string): Verdict {
  const numbers = findNumbers(stream, word.replaceAll('-', '0'));
  if (numbers === null) return VERDICTS[word] as Verdict;
  const columns = Object.keys(numbers).filter((_, index) => word.split('/')[index] === '-');
  return report(numbers, ...columns);
}

/**
 * Formats an update as in the tables: `loaded: final, r1, 168 h` is revision 1 with its next read at 168 hours,
 * `assumed` are zeros that Losant left out, f1 is one failed read; what numbers the response stored comes last.
 */
function formatUpdate(update: CellUpdate): string {
  const { previous, result, cell: after } = update;
  const numbers = after.numbers === previous.numbers ? null : after.numbers;
  return [
    `${result}: ${after.standing}${after.reason === null ? '' : ` ${after.reason}`}`,
    `r${after.revision}`,
    ...(after.isStored && !after.isReported ? ['assumed'] : []),
    ...(after.failedReads > 0 ? [`f${after.failedReads}`] : []),
    after.nextReadAtMs === null ? 'never' : `${toAge(after.nextReadAtMs)} h`,
    ...(numbers === null ? [] : [hasNonzero(numbers) ? 'numbers' : 'zeros']),
  ].join(', ');
}

/** Defines a test for each line of a table. */
export function testTable(stream: string, table: string): void {
  test.each(table.trim().split(/\n\s*/))('%s', (line) => {
    const situation = parseLine(stream, line);
    expect(formatUpdate(applyTo(situation))).toBe(situation.expected);
  });
}
