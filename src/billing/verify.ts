/** Verifies a proof pack: its bytes, its sums, and its agreement with the database. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readCsv } from '../files/csv.ts';
import { codeOf } from '../files/whole-file.ts';
import { readInPages } from '../queries/cursor.ts';
import { csvColumns, linesTable, MANIFEST_NAME, type Manifest, manifestSchema, metricsOf } from './pack.ts';
import { readStatements } from './statements.ts';

/** A row of a file, by column. */
export type PackRow = Readonly<Record<string, string | null>>;

/** A problem of a pack. */
export interface PackProblem {
  /** The file, with its folder. */
  readonly file: string;
  readonly problem: string;
}

/** A pack that was read. */
export interface Pack {
  /** The folder, relative to the one that is verified; '' for that one. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly readRows: (file: string) => AsyncGenerator<PackRow>;
}

/** Returns the folders below `root`, including itself, that contain a manifest. */
export async function findPacks(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name === MANIFEST_NAME)
    .map((entry) => entry.parentPath.slice(root.length).replace(/^[/\\]/, ''))
    .toSorted();
}

/** Reads a manifest and compares every file with it. Returns no pack if the manifest is not valid. */
export async function openPack(
  root: string,
  folder: string,
): Promise<{ pack: Pack | null; problems: PackProblem[] }> {
  const place = join(root, folder);
  const bytes = await readFile(join(place, MANIFEST_NAME));
  const parsed = parseManifest(bytes.toString('utf8'));
  if (typeof parsed === 'string') {
    return { pack: null, problems: [{ file: join(folder, MANIFEST_NAME), problem: parsed }] };
  }
  const problems: PackProblem[] = [];
  for (const file of parsed.files) {
    const problem = await compareFile(join(place, file.name), file);
    if (problem !== null) problems.push({ file: join(folder, file.name), problem });
  }
  const names = [MANIFEST_NAME, ...parsed.files.map(({ name }) => name)];
  for (const entry of await readdir(place, { withFileTypes: true })) {
    if (entry.isFile() && !names.includes(entry.name)) {
      problems.push({ file: join(folder, entry.name), problem: 'is not in the manifest' });
    }
  }
  return {
    pack: { folder, manifest: parsed, manifestSha256: hashOf(bytes), readRows: reader(place, parsed) },
    problems,
  };
}

/** Returns the manifest, or its problem. */
function parseManifest(text: string): Manifest | string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return 'is no JSON document';
  }
  const { success, data, error } = manifestSchema.safeParse(document);
  if (success) return data;
  const [issue] = error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is wrong'}`;
}

async function compareFile(
  path: string,
  { bytes, sha256 }: Manifest['files'][number],
): Promise<string | null> {
  try {
    const { size } = await stat(path);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    if (hash.digest('hex') === sha256) return null;
    return size === bytes
      ? 'was changed: its SHA-256 is another'
      : `was changed: it has ${size} bytes instead of ${bytes}`;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'is missing';
    throw error;
  }
}

function reader(place: string, { files }: Manifest): Pack['readRows'] {
  return async function* readRows(name) {
    const columns = files.find((file) => file.name === name)?.columns ?? [];
    for await (const cells of readCsv(csvColumns(columns), createReadStream(join(place, name)))) {
      yield Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? null]));
    }
  };
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The sums of the days of an organization's period. */
interface Period {
  expected: number;
  stored: number;
  final: number;
  readonly metrics: Map<string, { sum: bigint; last: bigint; max: bigint; days: bigint }>;
}

/** The totals of the preceding statements by line; empty before the closing. */
export type Totals = Map<string, string | null>;

const keyOf = ({ org_id, period_start }: PackRow) => `${org_id} ${period_start}`;
const lineKeyOf = (row: PackRow) => `${keyOf(row)} ${row['metric']}`;

/**
 * Compares each line of a pack with its days, and each day with its cells: sums, counts of days, and
 * that no cell is left out. `before` is updated with the totals of this pack. It is null if the
 * preceding statements are not available, so that an adjustment's differences cannot be checked.
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
    const period = periods.get(keyOf(day)) ?? { expected: 0, stored: 0, final: 0, metrics: new Map() };
    periods.set(keyOf(day), period);
    period.expected += 1;
    if (day['streams_stored'] === day['streams_expected']) period.stored += 1;
    if (day['standing'] === 'final') period.final += 1;
    for (const metric of metrics) addNumber(period, metric, day[metric] ?? null);
  }
  return periods;
}

function addNumber({ metrics }: Period, metric: string, text: string | null): void {
  if (text === null) return;
  const number = BigInt(text);
  const known = metrics.get(metric) ?? { sum: 0n, last: number, max: number, days: 0n };
  known.sum += number;
  // Days come in order, so the last one read is the newest.
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
    days_stored: period?.stored ?? 0,
    days_final: period?.final ?? 0,
  };
  for (const [column, value] of Object.entries(counts)) {
    if (line[column] !== `${value}`)
      return `${name}: ${column} is ${show(line[column])}, days.csv has ${value}`;
  }
  return null;
}

/** Checks that each day has the number of cells and of stored cells that it states. */
async function checkCells({ folder, readRows }: Pack): Promise<PackProblem[]> {
  const cells = new Map<string, { all: number; stored: number }>();
  for await (const { org_id, usage_date, is_stored } of readRows('coverage.csv')) {
    const key = `${org_id} ${usage_date}`;
    const known = cells.get(key) ?? { all: 0, stored: 0 };
    cells.set(key, known);
    known.all += 1;
    if (is_stored === 'true') known.stored += 1;
  }
  const problems: PackProblem[] = [];
  for await (const { org_id, usage_date, streams_expected, streams_stored } of readRows('days.csv')) {
    const { all, stored } = cells.get(`${org_id} ${usage_date}`) ?? { all: 0, stored: 0 };
    if (streams_expected === `${all}` && streams_stored === `${stored}`) continue;
    const problem = `organization ${org_id}, ${usage_date}: ${all} cells, ${stored} of them stored; days.csv has ${streams_expected} and ${streams_stored}`;
    problems.push({ file: join(folder, 'coverage.csv'), problem });
  }
  return problems;
}

/** Returns the average rounded to hundredths as Postgres does. */
function averageOf({ sum, days }: { sum: bigint; days: bigint }): string {
  const hundredths = (sum * 200n + days) / (days * 2n);
  return `${hundredths / 100n}.${`${hundredths % 100n}`.padStart(2, '0')}`;
}

/** Returns the difference; a number that is not stored counts as 0. */
function minus(a: string | null, b: string | null): string {
  return `${BigInt(a ?? 0) - BigInt(b ?? 0)}`;
}

function show(text: string | null | undefined): string {
  return text ?? 'not stored';
}

/** The most problems reported for one pack; the rest would be more of the same. */
const PROBLEMS_MAX = 100;

/** The number of rows read at a time, some megabytes. */
const PAGE_ROWS = 5_000;

/**
 * Compares a pack with the database: that it has the statement, with this manifest and these lines,
 * and that the numbers known at that moment (`usage_as_of`) are those of the pack. Reads only. Must be
 * called inside a transaction.
 */
export async function checkDatabase(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const { statement } = pack.manifest;
  const manifest = join(pack.folder, 'manifest.json');
  const known = await readStatements(trx, { month: statement.month, instanceId: statement.instanceId });
  const found = known.find(({ statementId }) => statementId === statement.id);
  if (found === undefined) {
    return [
      { file: manifest, problem: `the database has no statement ${statement.id} of ${statement.month}` },
    ];
  }
  const problems: PackProblem[] = [];
  if (found.manifestSha256 !== pack.manifestSha256) {
    const problem = `its SHA-256 is ${pack.manifestSha256}, the database has ${found.manifestSha256}`;
    problems.push({ file: manifest, problem });
  }
  problems.push(...(await compareLines(trx, pack)));
  if (!(await isAnyDayPruned(trx, statement.id))) problems.push(...(await compareDays(trx, pack)));
  return problems.slice(0, PROBLEMS_MAX);
}

/** Whether days of the statement were removed since (`prune`), so that nothing is left to compare them with. */
async function isAnyDayPruned(trx: Kysely<Schema>, statementId: string): Promise<boolean> {
  const { rows } = await sql<{ isPruned: boolean | null }>`
    select losant_usage.is_pruned(s.instance_id, min(l.period_start), max(l.period_end)) as "isPruned"
    from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
    where s.statement_id = ${statementId} group by s.instance_id`.execute(trx);
  return rows[0]?.isPruned === true;
}

async function compareLines(
  trx: Kysely<Schema>,
  { folder, manifest, readRows }: Pack,
): Promise<PackProblem[]> {
  const file = join(folder, 'lines.csv');
  const known = readStoredLines(trx, manifest.statement.id);
  let number = 0;
  for await (const line of readRows('lines.csv')) {
    number += 1;
    const stored = await known.next();
    if (stored.done === true) return [{ file, problem: `row ${number} is not in the database` }];
    if (Object.entries(stored.value).every(([column, value]) => line[column] === value)) continue;
    const { org_id, period_start, metric, quantity, total } = stored.value;
    const problem = `row ${number} is not that of the database: ${org_id}, ${period_start}, ${metric}, quantity ${quantity}, total ${total}`;
    return [{ file, problem }];
  }
  const { done } = await known.next();
  return done === true ? [] : [{ file, problem: `has only ${number} of the rows of the database` }];
}

/** Yields the lines of a statement in the database, by column. */
async function* readStoredLines(trx: Kysely<Schema>, statementId: string): AsyncGenerator<PackRow> {
  const { columns, readRows } = linesTable(statementId);
  for await (const page of readRows(trx)) {
    for (const cells of page) {
      yield Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? null]));
    }
  }
}

async function compareDays(
  trx: Kysely<Schema>,
  { folder, manifest, readRows }: Pack,
): Promise<PackProblem[]> {
  const file = join(folder, 'days.csv');
  const metrics = metricsOf(manifest);
  const problems: PackProblem[] = [];
  const known = readKnownAt(trx, { statementId: manifest.statement.id, metrics });
  let row = await known.next();
  for await (const day of readRows('days.csv')) {
    const key = `${day['org_id']} ${day['usage_date']}`;
    while (row.done !== true && row.value.key < key) row = await known.next();
    const numbers = row.done !== true && row.value.key === key ? row.value.numbers : [];
    for (const [index, metric] of metrics.entries()) {
      const [then, now] = [day[metric] ?? null, numbers[index] ?? null];
      // The pack leaves out days that were not tracked.
      if (then === null || then === now) continue;
      const problem = `organization ${day['org_id']}, ${day['usage_date']}: ${metric} is ${then}; by the record of the database ${now ?? 'none'} was known then`;
      problems.push({ file, problem });
      if (problems.length >= PROBLEMS_MAX) return problems;
    }
  }
  return problems;
}

/** The numbers of a day known at a moment, in the order of the metrics asked for. */
interface KnownDay {
  /** `org_id usage_date`, ascending. */
  readonly key: string;
  readonly numbers: readonly (string | null)[];
}

/**
 * Yields the numbers known when a statement was closed (`usage_as_of`), for the days of its periods,
 * by key.
 */
async function* readKnownAt(
  trx: Kysely<Schema>,
  { statementId, metrics }: { statementId: string; metrics: readonly string[] },
): AsyncGenerator<KnownDay> {
  const moment = await trx
    .selectFrom('statements as s')
    .innerJoin('statement_lines as l', 'l.statement_id', 's.statement_id')
    .select((eb) => [
      // The text keeps the microseconds.
      sql<string>`s.closed_at::text`.as('at'),
      eb.fn.min('l.period_start').as('from'),
      eb.fn.max('l.period_end').as('to'),
    ])
    .where('s.statement_id', '=', statementId)
    .groupBy('s.statement_id')
    .executeTakeFirst();
  if (moment === undefined) return;
  const query = sql<KnownDay>`
    select u.org_id || ' ' || u.usage_date as key,
      array[${sql.join(metrics.map((metric) => sql`${sql.ref(`u.${metric}`)}::text`))}] as numbers
    from losant_usage.usage_as_of(${moment.at}::timestamptz) u
    where u.usage_date between ${moment.from}::date and ${moment.to}::date
    order by u.org_id collate "C", u.usage_date`;
  for await (const page of readInPages(trx, query, { cursor: 'known', size: PAGE_ROWS })) yield* page;
}
