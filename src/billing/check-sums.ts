import { join } from 'node:path';
import { metricsOf } from './manifest.ts';
import type { Pack, PackProblem, PackRow } from './verify.ts';

/** What the days of an organization's period come to. */
interface Period {
  expected: number;
  held: number;
  final: number;
  readonly metrics: Map<string, { sum: bigint; last: bigint; max: bigint; days: bigint }>;
}

/** The totals that the statements before left, by line; empty before the closing. */
export type Totals = Map<string, string | null>;

const keyOf = ({ org_id, period_start }: PackRow) => `${org_id} ${period_start}`;
const lineKeyOf = (row: PackRow) => `${keyOf(row)} ${row['metric']}`;

/**
 * Compares each line of a pack with its days, and each day with its cells: sums, counts of days, and
 * that no cell is left out. `before` gets the totals of this one; it is null where the statements before are
 * not at hand, and an adjustment's differences cannot be checked.
 */
export async function checkSums(pack: Pack, before: Totals | null): Promise<PackProblem[]> {
  const periods = await sumDays(pack);
  const problems: PackProblem[] = [];
  const totals: Totals = new Map();
  for await (const line of pack.readRows('lines.csv')) {
    const problem = checkLine(line, periods.get(keyOf(line)), before);
    totals.set(lineKeyOf(line), line['total'] ?? null);
    if (problem !== null) problems.push({ file: join(pack.folder, 'lines.csv'), problem });
  }
  for (const [key, total] of totals) before?.set(key, total);
  return [...problems, ...(await checkCells(pack))];
}

async function sumDays(pack: Pack): Promise<Map<string, Period>> {
  const metrics = metricsOf(pack.manifest);
  const periods = new Map<string, Period>();
  for await (const day of pack.readRows('days.csv')) {
    const period = periods.get(keyOf(day)) ?? { expected: 0, held: 0, final: 0, metrics: new Map() };
    periods.set(keyOf(day), period);
    period.expected += 1;
    if (day['streams_held'] === day['streams_expected']) period.held += 1;
    if (day['is_final'] === 'true') period.final += 1;
    for (const metric of metrics) addNumber(period, metric, day[metric] ?? null);
  }
  return periods;
}

function addNumber({ metrics }: Period, metric: string, text: string | null): void {
  if (text === null) return;
  const number = BigInt(text);
  const known = metrics.get(metric) ?? { sum: 0n, last: number, max: number, days: 0n };
  known.sum += number;
  // Days come in order.
  known.last = number;
  if (number > known.max) known.max = number;
  known.days += 1n;
  metrics.set(metric, known);
}

function checkLine(line: PackRow, period: Period | undefined, before: Totals | null): string | null {
  const { metric, kind, quantity = null, total = null } = line;
  const found = period?.metrics.get(metric ?? '');
  const name = `${metric} of organization ${line['org_id']} from ${line['period_start']}`;
  const expected = found === undefined ? null : `${kind === 'level' ? found.last : found.sum}`;
  if (total !== expected) return `${name}: the total is ${show(total)}, its days come to ${show(expected)}`;
  if (kind === 'level' && found !== undefined) {
    const levels = { total_max: `${found.max}`, total_avg: averageOf(found) };
    for (const [column, value] of Object.entries(levels)) {
      if (line[column] !== value)
        return `${name}: ${column} is ${show(line[column])}, its days come to ${value}`;
    }
  }
  if (before !== null) {
    const billed = before.get(lineKeyOf(line));
    const difference = billed === undefined && before.size === 0 ? total : minus(total, billed ?? null);
    if (quantity !== difference) return `${name}: the quantity is ${show(quantity)}, not ${show(difference)}`;
  }
  const counts = {
    days_expected: period?.expected ?? 0,
    days_held: period?.held ?? 0,
    days_final: period?.final ?? 0,
  };
  for (const [column, value] of Object.entries(counts)) {
    if (line[column] !== `${value}`)
      return `${name}: ${column} is ${show(line[column])}, days.csv has ${value}`;
  }
  return null;
}

/** Of each day as many cells as it says, and as many of them held. */
async function checkCells({ folder, readRows }: Pack): Promise<PackProblem[]> {
  const cells = new Map<string, { all: number; held: number }>();
  for await (const { org_id, usage_date, state } of readRows('coverage.csv')) {
    const key = `${org_id} ${usage_date}`;
    const known = cells.get(key) ?? { all: 0, held: 0 };
    cells.set(key, known);
    known.all += 1;
    if (state === 'loaded' || state === 'final') known.held += 1;
  }
  const problems: PackProblem[] = [];
  for await (const { org_id, usage_date, streams_expected, streams_held } of readRows('days.csv')) {
    const { all, held } = cells.get(`${org_id} ${usage_date}`) ?? { all: 0, held: 0 };
    if (streams_expected === `${all}` && streams_held === `${held}`) continue;
    const problem = `organization ${org_id}, ${usage_date}: ${all} cells, ${held} of them held; days.csv has ${streams_expected} and ${streams_held}`;
    problems.push({ file: join(folder, 'coverage.csv'), problem });
  }
  return problems;
}

/** Rounded to hundredths as Postgres does. */
function averageOf({ sum, days }: { sum: bigint; days: bigint }): string {
  const hundredths = (sum * 200n + days) / (days * 2n);
  return `${hundredths / 100n}.${`${hundredths % 100n}`.padStart(2, '0')}`;
}

/** Not held counts as 0. */
function minus(a: string | null, b: string | null): string {
  return `${BigInt(a ?? 0) - BigInt(b ?? 0)}`;
}

function show(text: string | null | undefined): string {
  return text ?? 'not held';
}
