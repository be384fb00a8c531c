/**
 * A year of billing: organizations come and go, days are missing and are stored later, numbers are restated before and
 * after their month is closed. Every line is compared with what a second reckoning, from the numbers as the test stored
 * them, says at that moment.
 */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { daysOfMonth, eachDay } from '../../src/usage/day.ts';
import { type DayNumbers, useBooks } from './books.ts';

const books = useBooks('2024-01-01T12:00:00.000Z');
/** A leap year. */
const MONTHS = Array.from({ length: 12 }, (_, index) => `2024-${String(index + 1).padStart(2, '0')}`);
/** `devices_total` is the only level. */
const METRICS: Readonly<Record<string, readonly string[]>> = {
  device_counts: ['devices_created', 'devices_deleted', 'devices_total'],
  payload_totals: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
};
const STREAMS = Object.keys(METRICS);

let seed = 20_251_231;
/** A whole number from 0 to below `limit`, the same in every run. */
function draw(limit: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((seed / 2_147_483_648) * limit);
}

const drawNumbers = (stream: string): Record<string, number> =>
  Object.fromEntries((METRICS[stream] ?? []).map((metric) => [metric, draw(1_000)]));

interface Cell {
  readonly orgId: string;
  readonly day: string;
  readonly stream: string;
  /** Null while it is missing. */
  numbers: Record<string, number> | null;
}

const cells: Cell[] = [];
/** What was billed by month, organization and metric: the sum, and of a level its maximum and average. */
const billed = new Map<string, Reckoned>();

interface Reckoned {
  readonly quantity: number | null;
  readonly maximum: number | null;
  readonly average: string | null;
}

function reckon(monthCells: readonly Cell[], metric: string): Reckoned {
  const numbers = monthCells.flatMap((cell) => (cell.numbers === null ? [] : [cell.numbers[metric] as number]));
  const sum = numbers.reduce((all, each) => all + each, 0);
  if (numbers.length === 0) return { quantity: null, maximum: null, average: null };
  if (metric !== 'devices_total') return { quantity: sum, maximum: null, average: null };
  const average = (Math.round((sum / numbers.length) * 100) / 100).toFixed(2);
  return { quantity: numbers.at(-1) ?? null, maximum: Math.max(...numbers), average };
}

/** Returns the lines that a statement of a month has to have now, and takes them for billed. */
function bill(month: string, isAdjustment: boolean): string[] {
  const ofMonth = cells.filter(({ day }) => day.startsWith(month)).toSorted((a, b) => (a.day < b.day ? -1 : 1));
  const lines: string[] = [];
  for (const [name, streamCells] of Map.groupBy(ofMonth, ({ orgId, stream }) => `${orgId} ${stream}`)) {
    const [orgId, stream = ''] = name.split(' ');
    for (const metric of METRICS[stream] ?? []) {
      const key = `${month} ${orgId} ${metric}`;
      const now = reckon(streamCells, metric);
      const before = billed.get(key);
      if (isAdjustment && (now.quantity === null || JSON.stringify(now) === JSON.stringify(before))) continue;
      billed.set(key, now);
      const quantity = now.quantity === null ? '-' : now.quantity - (before?.quantity ?? 0);
      lines.push(`${orgId} ${metric} ${quantity} ${now.maximum ?? '-'} ${now.average ?? '-'}`);
    }
  }
  return lines.toSorted();
}

/** Adds the cells of a month, one of them missing. */
async function addMonth(orgId: string, days: readonly string[]): Promise<void> {
  const [from = '', to = ''] = [days[0], days.at(-1)];
  for (const stream of STREAMS) {
    const missing = draw(2) === 0 ? days[draw(days.length)] : undefined;
    const numbersByDay = new Map<string, DayNumbers>();
    for (const day of days) {
      const numbers = day === missing ? null : drawNumbers(stream);
      cells.push({ orgId, day, stream, numbers });
      const none = Object.fromEntries((METRICS[stream] ?? []).map((metric) => [metric, null]));
      numbersByDay.set(day, numbers ?? none);
    }
    await books.addCells({ orgId, from, to, stream, numbers: (day) => numbersByDay.get(day) ?? {} });
    await books.write(sql`update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false,
        revision = 0, reason = 'never_read', finalized_at = null, first_loaded_at = null
      where org_id = ${orgId} and stream = ${stream} and usage_date = ${missing ?? null}::date`);
  }
}

/** Restates a number, or stores one that is missing. */
async function change(cell: Cell): Promise<void> {
  const { orgId, day, stream, numbers: old } = cell;
  const numbers = drawNumbers(stream);
  if (old === null) await books.fill(orgId, day, stream, numbers);
  else await books.restate(orgId, day, { stream, old, numbers });
  cell.numbers = numbers;
}

/** Closes or adjusts a month and compares every line. Returns the number of lines. */
async function settle(month: string, isAdjustment: boolean): Promise<number> {
  const expected = bill(month, isAdjustment);
  const ended = isAdjustment ? await books.close(month, '--adjust') : await books.accept(month);
  expect(ended.code).toBe(0);
  if (expected.length === 0) expect(ended.stdout).toContain('has changed since it was billed');
  const lines = await books.list(sql`
    select l.org_id, l.metric, l.quantity, l.maximum, l.average
    from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
    where ${expected.length > 0} and s.number = (select max(number) from losant_usage.statements)`);
  expect(lines.toSorted()).toEqual(expected);
  return lines.length;
}

test('a year is billed exactly, and the statements of a month add up to its numbers', async () => {
  const spans: { orgId: string; from: string; to: string }[] = [];
  for (const [from, to] of [
    ['2024-01-01', null],
    ['2024-01-01', '2024-08-17'],
    ['2024-03-30', null],
  ] as const) {
    spans.push({ orgId: await books.addOrg({ from, to }), from, to: to ?? '2024-12-31' });
  }
  let lineCount = 0;
  for (const [index, month] of MONTHS.entries()) {
    await books.setTime(new Date(Date.UTC(2024, index + 1, 6)).toISOString());
    for (const { orgId, from, to } of spans) {
      const days = eachDay(daysOfMonth(month)).filter((day) => day >= from && day <= to);
      if (days.length > 0) await addMonth(orgId, days);
    }
    const ofMonth = cells.filter(({ day }) => day.startsWith(month));
    for (let times = 0; times < 2; times += 1) await change(ofMonth[draw(ofMonth.length)] as Cell);
    lineCount += await settle(month, false);
    const missing = cells.filter(({ numbers }) => numbers === null);
    for (const cell of missing.slice(0, 2)) await change(cell);
    for (let times = 0; times < 3; times += 1) await change(cells[draw(cells.length)] as Cell);
    if (index % 3 !== 2) continue;
    for (const earlier of MONTHS.slice(0, index + 1)) lineCount += await settle(earlier, true);
  }
  expect(lineCount).toBeGreaterThan(200);
  expect(await books.list(sql`select * from losant_usage.adjustments`)).toEqual([]);
  const unequal = sql`
    select m.org_id, m.month, k.metric from losant_usage.monthly_usage m
    join losant_usage.metrics k on k.stream in ('device_counts', 'payload_totals')
    full join (
      select org_id, month, metric, sum(quantity) as quantity from losant_usage.statement_lines
      group by org_id, month, metric
    ) as l on l.org_id = m.org_id and l.month = m.month and l.metric = k.metric
    where l.quantity is distinct from (to_jsonb(m) ->> k.metric)::numeric`;
  expect(await books.list(unequal)).toEqual([]);
  const numbers = sql`select max(number) = count(*) as is_complete, count(*) filter (where kind = 'closing') as closings
    from losant_usage.statements`;
  expect(await books.list(numbers)).toEqual(['true 12']);
});
