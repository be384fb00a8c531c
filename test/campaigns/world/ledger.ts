/** What the reader sees of the database, by plain SQL, and rules between tables that always hold. */
import { asWriter, queryOnce } from '../../support/databases.ts';
import { type Cell, COLUMNS, cellName, type Numbers, sourceKey } from './truth.ts';

/** A cell that is expected up to the database's yesterday. */
export interface LedgerCell extends Cell {
  readonly standing: string;
  readonly reason: string | null;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly revision: number;
  readonly failedReads: number;
  readonly lastReadAtMs: number | null;
  readonly lastAttemptAtMs: number | null;
  readonly nextReadAtMs: number | null;
  /** Null unless all columns of the stream have a number. */
  readonly numbers: Numbers | null;
}

export interface Revision extends Cell {
  readonly revision: number;
  readonly old: object;
  readonly now: object;
  /** Whether a person has replaced the numbers by zeros. */
  readonly isByPerson: boolean;
}

interface LedgerOrg {
  readonly orgId: string;
  readonly isDeleted: boolean;
}

/** Everything that the checker reads of a database, as of one instant. */
export interface Ledger {
  readonly nowMs: number;
  readonly cells: ReadonlyMap<string, LedgerCell>;
  readonly revisions: ReadonlyMap<string, readonly Revision[]>;
  readonly orgs: readonly LedgerOrg[];
  /** The time of the newest complete list of organizations; 0 if there was none. */
  readonly listedAtMs: number;
  readonly listProblem: string | null;
  /** The cells of the view of gaps. */
  readonly gaps: ReadonlySet<string>;
  /** Violations of the rules between tables. */
  readonly breaches: readonly string[];
}

const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;

const CELLS = `
  select org_id as "orgId", stream, usage_date::text as day, standing::text, reason, is_stored as "isStored",
    is_reported as "isReported", revision, failed_reads as "failedReads", ${ms('last_read_at')} as "lastReadAtMs",
    ${ms('last_attempt_at')} as "lastAttemptAtMs", ${ms('next_read_at')} as "nextReadAtMs"
  from losant_usage.cells`;

const NUMBER_COLUMNS = Object.values(COLUMNS).flatMap((columns) => Object.values(columns));
const DAYS = `
  select org_id as "orgId", usage_date::text as day, ${NUMBER_COLUMNS.join(', ')} from losant_usage.daily_usage`;

const SOURCES = `
  select org_id as "orgId", usage_date::text as day, payload_type as type, source, count
  from losant_usage.payload_sources`;

const REVISIONS = `
  select org_id as "orgId", stream, usage_date::text as day, revision, old, new as now, run_id is null as "isByPerson"
  from losant_usage.revisions order by id`;

const ORGS = 'select org_id as "orgId", deleted_on is not null as "isDeleted" from losant_usage.organizations';

/** The violation of a rule, and the query that names each, written from the comments on tables. */
const RULES: Readonly<Record<string, string>> = {
  'an expected day has no cell': `
    select concat_ws(' ', t.stream, t.org_id, day::date) as subject from losant_usage.tracks t
    cross join lateral generate_series(t.first_day::timestamp, t.next_day - interval '1 day', interval '1 day') as day
    where not exists (select from losant_usage.coverage c
      where c.org_id = t.org_id and c.stream = t.stream and c.usage_date = day::date)`,
  'a cell is in no track': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date) as subject from losant_usage.coverage c
    where not exists (select from losant_usage.tracks t where t.org_id = c.org_id and t.stream = c.stream
      and c.usage_date >= t.first_day and c.usage_date < t.next_day)`,
  'a waived cell has no waiver, or a waiver has no waived cell': `
    select concat_ws(' ', stream, org_id, usage_date, c.standing, c.reason) as subject from losant_usage.coverage c
    full join (select * from losant_usage.waivers where lifted_at is null) w using (usage_date, org_id, stream)
    where (c.standing = 'waived') is distinct from (w.id is not null)`,
};

/** Reads everything while no command runs. */
export async function readLedger(databaseUrl: string): Promise<Ledger> {
  const read = async <T>(statement: string) => (await queryOnce(databaseUrl, statement)) as T[];
  const numbers = await readNumbers(databaseUrl);
  const cells = await read<Omit<LedgerCell, 'numbers'>>(CELLS);
  const gaps = await read<Cell>(
    `select stream, org_id as "orgId", usage_date::text as day from losant_usage.coverage_gaps`,
  );
  const breaches: string[] = [];
  for (const [rule, query] of Object.entries(RULES)) {
    for (const { subject } of await asWriter(databaseUrl, query)) breaches.push(`${rule}: ${String(subject)}`);
  }
  const [clock] = await read<{ nowMs: number; listedAtMs: number | null; listProblem: string | null }>(
    `select ${ms('now()')} as "nowMs", ${ms('listed_at')} as "listedAtMs", list_problem as "listProblem"
     from (select) as one left join losant_usage.instance on true`,
  );
  return {
    nowMs: clock?.nowMs ?? Number.NaN,
    listedAtMs: clock?.listedAtMs ?? 0,
    listProblem: clock?.listProblem ?? null,
    cells: new Map(cells.map((cell) => [cellName(cell), { ...cell, numbers: numbers.get(cellName(cell)) ?? null }])),
    revisions: Map.groupBy(await read<Revision>(REVISIONS), cellName),
    orgs: await read<LedgerOrg>(ORGS),
    gaps: new Set(gaps.map(cellName)),
    breaches,
  };
}

async function readNumbers(databaseUrl: string): Promise<ReadonlyMap<string, Numbers>> {
  const numbers = new Map<string, Record<string, number>>();
  for (const row of await queryOnce(databaseUrl, DAYS)) {
    for (const [stream, names] of Object.entries(COLUMNS)) {
      const columns = Object.values(names);
      if (columns.some((column) => row[column] === null)) continue;
      const values = Object.fromEntries(columns.map((column) => [column, Number(row[column])]));
      numbers.set(`${stream} ${String(row['orgId'])} ${String(row['day'])}`, values);
    }
  }
  for (const { orgId, day, type, source, count } of await queryOnce(databaseUrl, SOURCES)) {
    const cell: Cell = { orgId: String(orgId), day: String(day), stream: 'payload_sources' };
    const cellNumbers = numbers.get(cellName(cell));
    if (cellNumbers !== undefined) cellNumbers[sourceKey(String(type), String(source))] = Number(count);
  }
  return numbers;
}

/** What the statements of a month bill for an organization and metric together, and the stored numbers. */
const BILLED = (month: string) => `
  with billed as (
    select org_id, metric, sum(quantity) as quantity from losant_usage.statement_lines
    where month = '${month}' group by org_id, metric
  ), stored as (
    select org_id, metric, case when kind = 'flow' then sum(quantity)
      else (array_agg(quantity order by usage_date desc))[1] end as quantity
    from losant_usage.daily_usage_long
    where usage_date >= '${month}' and usage_date < date '${month}' + interval '1 month' and quantity is not null
    group by org_id, metric, kind
  )
  select concat_ws(' ', org_id, metric) as subject, billed.quantity as billed, stored.quantity as stored
  from billed full join stored using (org_id, metric) where billed.quantity is distinct from stored.quantity`;

export interface Difference {
  readonly subject: string;
  readonly billed: string | null;
  readonly stored: string | null;
}

/** Returns what the statements of a month, given by its first day, bill differently from what is stored now. */
export async function readDifferences(databaseUrl: string, month: string): Promise<Difference[]> {
  return (await queryOnce(databaseUrl, BILLED(month))) as unknown as Difference[];
}

/** Returns the same from the view of adjustments, which also has levels of which only the average has changed. */
export async function readAdjustments(databaseUrl: string, month: string): Promise<string[]> {
  const rows = await queryOnce(
    databaseUrl,
    `select concat_ws(' ', org_id, metric) as subject from losant_usage.adjustments
     where month = '${month}' and (difference <> 0 or billed_quantity is null)`,
  );
  return rows.map(({ subject }) => String(subject));
}

export async function isClosed(databaseUrl: string, month: string): Promise<boolean> {
  return (await queryOnce(databaseUrl, `select from losant_usage.statements where month = '${month}'`)).length > 0;
}
