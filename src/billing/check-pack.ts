/**
 * Checks proof packs: against themselves, that every number follows from the days and every day from its cells, and
 * against the database that they are from.
 */
import { type Kysely, sql } from 'kysely';
import { collect } from 'streaming-iterables';
import type { Schema } from '../database/schema.ts';
import { readInPages } from '../queries/view-rows.ts';
import {
  type Billed,
  keyOfLine,
  keyOfSource,
  Organization,
  type Report,
  show,
} from './check-organization.ts';
import { readStatements } from './month.ts';
import { MANIFEST_NAME, type StatementTotal, Totals } from './pack.ts';
import {
  BEHIND,
  BrokenFileError,
  keyOf,
  METRICS,
  type PackFileName,
  type PackRow,
  RowsByOrganization,
  readPackFile,
} from './pack-files.ts';
import type { Pack, PackProblem } from './pack-folder.ts';
import { type PackTable, readRows, statementTable } from './pack-tables.ts';

/** The most problems reported for one pack; the rest would be more of the same. */
const PROBLEMS_MAX = 100;

/**
 * `checkPacks` checks every sum and count of packs, and those of an adjustment against the statements of its month
 * before it. Where one of these is not among the packs, the differences of the adjustment are not checked.
 */
export async function checkPacks(packs: readonly Pack[], signal: AbortSignal): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  for (const pack of packs) {
    signal.throwIfAborted();
    const { instanceId, month, kind, earlier } = pack.manifest.statement;
    const before = packs.filter(
      ({ manifest: { statement: other } }) =>
        other.instanceId === instanceId &&
        other.month === month &&
        earlier.some(({ number }) => number === other.number),
    );
    const areThere = earlier.every(({ number }) =>
      before.some(({ manifest }) => manifest.statement.number === number),
    );
    problems.push(...(await checkPack(pack, kind === 'closing' ? [] : areThere ? before : null)));
  }
  return problems;
}

/**
 * `checkPack` checks a pack organization by organization. `before` has the preceding statements of its month; it is
 * null if they are not all there.
 */
async function checkPack(pack: Pack, before: readonly Pack[] | null): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  const report: Report = (file, problem) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file: pack.fileOf(file), problem });
  };
  await using opened = new AsyncDisposableStack();
  const open: OpenFile = (of, name) => opened.use(new RowsByOrganization(readPackFile(of, name)));
  try {
    const blocked = await checkBlockers(pack, report);
    const earlier = before === null ? null : readEarlier(before, open);
    await checkOrganizations(pack, { open, earlier, blocked, report });
  } catch (error) {
    if (!(error instanceof BrokenFileError)) throw error;
    report(error.file, error.message);
  }
  return problems;
}

/** Opens a file of a pack, which is closed with the check. */
type OpenFile = (pack: Pack, name: PackFileName) => RowsByOrganization;

/**
 * `readEarlier` reads the lines and sources of the preceding statements beside those of an adjustment, so that memory
 * stays flat. The function returned tells what was billed of an organization, which must come after the one asked for
 * before; null if a file is broken, which is reported with its own pack.
 */
function readEarlier(packs: readonly Pack[], open: OpenFile): (orgId: string) => Promise<Billed | null> {
  const lines = packs.map((pack) => open(pack, 'lines.csv'));
  const sources = packs.map((pack) => open(pack, 'sources.csv'));
  const collect = async (files: RowsByOrganization[], orgId: string, keyOf: (row: PackRow) => string) => {
    const totals = new Map<string, string | null>();
    for (const rows of files) {
      await rows.passOver(orgId);
      for (const row of await rows.take(orgId)) totals.set(keyOf(row), row['total'] ?? null);
    }
    return totals;
  };
  let isBroken = false;
  return async (orgId) => {
    if (isBroken) return null;
    try {
      return {
        lines: await collect(lines, orgId, keyOfLine),
        sources: await collect(sources, orgId, keyOfSource),
      };
    } catch (error) {
      if (!(error instanceof BrokenFileError)) throw error;
      isBroken = true;
      return null;
    }
  };
}

/** `checkBlockers` returns the organizations that were accepted as blocked; null stands for all of them. */
async function checkBlockers(pack: Pack, report: Report): Promise<Set<string | null>> {
  const blocked = new Set<string | null>();
  const rows = await collect(rowsOf(pack, 'blockers.csv'));
  for (const [index, { position, org_id, first_day, last_day }] of rows.entries()) {
    const place = index + 1;
    if (position !== `${place}`)
      report('blockers.csv', `line ${place + 1}: position ${position} is not ${place}`);
    if ((first_day ?? '') > (last_day ?? ''))
      report('blockers.csv', `line ${place + 1}: its days are reversed`);
    blocked.add(org_id ?? null);
  }
  const { reason } = pack.manifest.statement;
  if (reason === null && rows.length > 0)
    report('blockers.csv', 'it has blockers, and the manifest no reason');
  if (reason !== null && rows.length === 0)
    report('blockers.csv', 'it has no blocker, and the manifest a reason');
  return blocked;
}

interface Checking {
  readonly open: OpenFile;
  /** The statements before this one; null if they are not all there. */
  readonly earlier: ReturnType<typeof readEarlier> | null;
  /** The organizations of accepted blockers; null stands for all of an instance. */
  readonly blocked: ReadonlySet<string | null>;
  readonly report: Report;
}

async function checkOrganizations(pack: Pack, { open, earlier, blocked, report }: Checking): Promise<void> {
  const { statement, totals: said } = pack.manifest;
  const lines = open(pack, 'lines.csv');
  const behind = new Map(BEHIND.map((name) => [name, open(pack, name)]));
  const passStrays = async (until: string | null) => {
    for (const [name, rows] of behind) {
      for (const orgId of await rows.passOver(until)) {
        report(name, `organization ${orgId} has no line in lines.csv`);
      }
    }
  };
  const totals = new Totals();
  let orgs = 0;
  for (let orgId = await lines.peek(); orgId !== null; orgId = await lines.peek()) {
    await passStrays(orgId);
    const taken = await lines.take(orgId);
    orgs += 1;
    totals.add(taken.map(({ metric, quantity }) => [metric as string, quantity ?? null]));
    const files = new Map<string, PackRow[]>();
    for (const [name, rows] of behind) files.set(name, await rows.take(orgId));
    const billed = earlier === null ? null : await earlier(orgId);
    new Organization({ statement, orgId, lines: taken, files, billed, blocked, report }).check();
  }
  await passStrays(null);
  compareTotals(said, totals.list(), report);
  if (orgs !== statement.orgs) {
    report('manifest.json', `orgs is ${statement.orgs}, lines.csv has ${orgs}`);
  }
}

function compareTotals(
  said: readonly StatementTotal[],
  expected: readonly StatementTotal[],
  report: Report,
): void {
  for (const [index, total] of expected.entries()) {
    const found = said[index];
    if (JSON.stringify(found) === JSON.stringify(total)) continue;
    const { metric, quantity, orgs } = total;
    report(
      'manifest.json',
      `totals: ${metric} of lines.csv is ${show(quantity)} of ${orgs} organizations; the manifest has ${show(found?.quantity)} of ${found?.orgs ?? 0} for ${found?.metric ?? 'nothing'}`,
    );
    return;
  }
  if (said.length > expected.length)
    report('manifest.json', `totals: ${said[expected.length]?.metric} has no line in lines.csv`);
}

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
