/** Compares proof packs with the database that they are from. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readInPages } from '../queries/view-rows.ts';
import { PROBLEMS_MAX } from './check-pack.ts';
import { readStatements } from './month.ts';
import { MANIFEST_NAME } from './pack.ts';
import { keyOf, METRICS, type PackFileName, type PackRow, readPackFile } from './pack-files.ts';
import { type PackTable, readRows, statementTable } from './pack-tables.ts';
import type { Pack, PackProblem } from './verify.ts';

/** The number of rows read at a time, some megabytes. */
const PAGE_ROWS = 5_000;

/**
 * `checkSet` returns the statements of the database that are missing among the packs: of each month of an instance
 * of which there is one, there must be all.
 */
export async function checkSet(db: Kysely<Schema>, packs: readonly Pack[]): Promise<PackProblem[]> {
  const ids = new Set(packs.map(({ manifest }) => manifest.statement.id));
  const months = new Map(
    packs.map(({ manifest: { statement } }) => [`${statement.instanceId} ${statement.month}`, statement]),
  );
  const problems: PackProblem[] = [];
  for (const { instanceId, month } of months.values()) {
    for (const each of await readStatements(db, { month, instanceId })) {
      if (ids.has(each.statementId)) continue;
      const problem = `the ${each.kind} of ${month} with the number ${each.number} is missing; the database has it, closed ${each.closedAt} by ${each.closedBy}`;
      problems.push({ file: MANIFEST_NAME, problem });
    }
  }
  return problems;
}

/** A pack beside the database. */
export interface Compared {
  readonly problems: readonly PackProblem[];
  /** Whether days of it were removed since (`prune`), so that its numbers were not compared. */
  readonly isPruned: boolean;
}

/**
 * `checkDatabase` compares a pack with the database: that it has the statement, with this manifest and these lines,
 * and that the numbers known at that moment (`usage_as_of`) are those of the pack. Reads only. Must be
 * called inside a transaction.
 */
export async function checkDatabase(trx: Kysely<Schema>, pack: Pack): Promise<Compared> {
  const { statement } = pack.manifest;
  const manifest = pack.fileOf(MANIFEST_NAME);
  const known = await readStatements(trx, { month: statement.month, instanceId: statement.instanceId });
  const found = known.find(({ statementId }) => statementId === statement.id);
  if (found === undefined) {
    const problem = `the database has no statement ${statement.id} of ${statement.month}`;
    return { problems: [{ file: manifest, problem }], isPruned: false };
  }
  const problems: PackProblem[] = [];
  if (found.manifestSha256 !== pack.manifestSha256) {
    const problem = `its SHA-256 is ${pack.manifestSha256}, the database has ${found.manifestSha256}`;
    problems.push({ file: manifest, problem });
  }
  if (found.previousSha256 !== statement.previousSha256 || found.number !== statement.number) {
    const problem = `it is number ${statement.number} after ${statement.previousSha256 ?? 'none'}, the database has number ${found.number} after ${found.previousSha256 ?? 'none'}`;
    problems.push({ file: manifest, problem });
  }
  problems.push(...(await compareRows(trx, pack, statementTable('lines.csv', statement.id))));
  problems.push(...(await compareRows(trx, pack, statementTable('sources.csv', statement.id))));
  const isPruned = await isAnyDayPruned(trx, statement.id);
  if (!isPruned) problems.push(...(await compareDays(trx, pack)));
  return { problems: problems.slice(0, PROBLEMS_MAX), isPruned };
}

async function isAnyDayPruned(trx: Kysely<Schema>, statementId: string): Promise<boolean> {
  const { rows } = await sql<{ isPruned: boolean | null }>`
    select losant_usage.is_pruned(s.instance_id, min(l.period_start), max(l.period_end)) as "isPruned"
    from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
    where s.statement_id = ${statementId} group by s.instance_id`.execute(trx);
  return rows[0]?.isPruned === true;
}

/** `compareRows` compares the rows of a file with those of the statement in the database, which never change. */
async function compareRows(trx: Kysely<Schema>, pack: Pack, table: PackTable): Promise<PackProblem[]> {
  const file = pack.fileOf(table.name);
  const known = readRows(trx, table);
  let number = 0;
  for await (const row of rowsOf(pack, table.name)) {
    number += 1;
    const stored = await known.next();
    if (stored.done === true) return [{ file, problem: `row ${number} is not in the database` }];
    const wrong = Object.entries(stored.value).find(([column, value]) => row[column] !== value);
    if (wrong === undefined) continue;
    const of = keyOf(table.name)
      .map((column) => stored.value[column])
      .join(', ');
    const problem = `row ${number} is not that of the database: ${of}: ${wrong[0]} is ${row[wrong[0]] ?? 'none'}, not ${wrong[1] ?? 'none'}`;
    return [{ file, problem }];
  }
  const { done } = await known.next();
  return done === true ? [] : [{ file, problem: `has only ${number} of the rows of the database` }];
}

async function* rowsOf(pack: Pack, name: PackFileName): AsyncGenerator<PackRow> {
  for await (const page of readPackFile(pack, name)) yield* page;
}

async function compareDays(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const file = pack.fileOf('days.csv');
  const metrics = [...METRICS.keys()];
  const problems: PackProblem[] = [];
  const known = readKnownAt(trx, { statementId: pack.manifest.statement.id, metrics });
  let row = await known.next();
  for await (const day of rowsOf(pack, 'days.csv')) {
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
 * `readKnownAt` yields the numbers known when a statement was closed (`usage_as_of`), for the days of its periods,
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
