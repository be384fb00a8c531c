/** The contents of the tables, read by plain SQL, and rules between tables that always hold. */
import { asWriter, queryOnce } from '../../support/databases.ts';
import { type Cell, COLUMNS, cellName, flatten, type Numbers } from './truth.ts';

/** A cell that is expected up to the database's yesterday, or that has a row. */
export interface LedgerCell extends Cell {
  readonly instanceId: string;
  /** Whether it has a row in `coverage`. */
  readonly hasRow: boolean;
  readonly standing: string;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly revision: number;
  readonly lastReadAtMs: number | null;
  readonly lastAttemptAtMs: number | null;
  readonly nextReadAtMs: number | null;
  readonly failedReads: number;
  readonly reason: string | null;
  /** Null unless all columns of the stream have a number. */
  readonly numbers: Numbers | null;
}

export interface Revision extends Cell {
  readonly revision: number;
  readonly old: object;
  readonly now: object;
}

export interface Track {
  readonly instanceId: string;
  readonly orgId: string;
  readonly stream: string;
  readonly isActive: boolean;
  readonly firstDay: string;
  readonly lastDay: string | null;
  readonly isDeleted: boolean;
  readonly createdOn: string | null;
  readonly deletedOn: string | null;
}

interface Instance {
  readonly instanceId: string;
  /** The time of the newest complete list of organizations. */
  readonly listedAtMs: number | null;
  readonly problem: string | null;
  readonly horizonDays: number | null;
  readonly collectedFrom: string | null;
  /** The days that have a metric without our sum. */
  readonly daysNotSummed: readonly string[];
}

/** A month of an instance, as the reader sees it. */
export interface Month {
  readonly instanceId: string;
  readonly firstDay: string;
  readonly lastDay: string;
  readonly state: string;
  readonly causes: readonly string[] | null;
  /** The outcomes of comparisons, except those that wait for cells. */
  readonly comparisons: readonly string[];
}

/** Everything that the checker reads of a database, as of one instant. */
export interface Ledger {
  readonly nowMs: number;
  readonly cells: ReadonlyMap<string, LedgerCell>;
  readonly revisions: ReadonlyMap<string, readonly Revision[]>;
  readonly tracks: readonly Track[];
  readonly instances: ReadonlyMap<string, Instance>;
  readonly months: readonly Month[];
  /** The cells of the view of gaps. */
  readonly gaps: ReadonlySet<string>;
  /** Violations of the rules between tables. */
  readonly breaches: readonly string[];
}

const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;

const CELLS = `
  select o.instance_id as "instanceId", c.org_id as "orgId", c.stream, c.usage_date::text as day, true as "hasRow",
    c.standing::text, c.is_stored as "isStored", c.is_reported as "isReported", c.omissions, c.revision,
    ${ms('c.last_read_at')} as "lastReadAtMs", ${ms('c.last_attempt_at')} as "lastAttemptAtMs",
    ${ms('c.next_read_at')} as "nextReadAtMs", c.failed_reads as "failedReads", c.reason
  from losant_usage.coverage c join losant_usage.organizations o using (org_id)
  union all
  select o.instance_id, t.org_id, t.stream, day::date::text, false, 'waiting', false, false, 0, 0, null, null, null, 0,
    'never_read'
  from losant_usage.tracks t join losant_usage.organizations o using (org_id)
  cross join lateral generate_series(t.next_day::timestamp,
    least(t.last_day, (now() at time zone 'UTC')::date - 1)::timestamp, interval '1 day') as day`;

const REVISIONS = `
  select org_id as "orgId", stream, usage_date::text as day, revision, old, new as now
  from losant_usage.revisions order by id`;

const TRACKS = `
  select o.instance_id as "instanceId", t.org_id as "orgId", t.stream, t.last_day is null as "isActive",
    t.first_day::text as "firstDay", t.last_day::text as "lastDay", o.deleted_on is not null as "isDeleted",
    o.created_on::text as "createdOn", o.deleted_on::text as "deletedOn"
  from losant_usage.tracks t join losant_usage.organizations o using (org_id)`;

const INSTANCES = `
  select instance_id as "instanceId", ${ms('listed_at')} as "listedAtMs", list_problem as problem,
    (policy ->> 'horizonDays')::integer as "horizonDays", collected_from::text as "collectedFrom",
    array(select distinct t.usage_date::text from losant_usage.instance_totals t
      where t.instance_id = i.instance_id and t.our_sum is null) as "daysNotSummed"
  from losant_usage.instances i`;

const MONTHS = `
  select m.instance_id as "instanceId", m.month::text as "firstDay", m.state::text, m.causes,
    (m.month + interval '1 month' - interval '1 day')::date::text as "lastDay",
    array(select distinct r.outcome from losant_usage.reconciliation r
      where r.instance_id = m.instance_id and r.month = m.month and r.reason is distinct from 'not_final') as comparisons
  from losant_usage.months m`;

/** The violation of a rule, and the query that names each, written from the comments on tables. */
const RULES: Readonly<Record<string, string>> = {
  'an expected cell has no row': `
    select concat_ws(' ', t.stream, t.org_id, day::date) as subject from losant_usage.tracks t
    cross join lateral generate_series(t.first_day::timestamp, t.next_day - interval '1 day', interval '1 day') as day
    where not exists (select from losant_usage.coverage c
      where c.org_id = t.org_id and c.stream = t.stream and c.usage_date = day::date)`,
  'tracks touch or overlap': `
    select concat_ws(' ', a.stream, a.org_id, a.first_day, b.first_day) as subject
    from losant_usage.tracks a join losant_usage.tracks b using (org_id, stream)
    where a.first_day < b.first_day and (a.last_day is null or a.last_day + 1 >= b.first_day)`,
  'a cell is in no track': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date) as subject from losant_usage.coverage c
    where not exists (select from losant_usage.tracks t where t.org_id = c.org_id and t.stream = c.stream
      and c.usage_date >= t.first_day and c.usage_date < t.next_day)`,
  'a cell has no row in usage_days': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date) as subject from losant_usage.coverage c
    where not exists (select from losant_usage.usage_days d where d.usage_date = c.usage_date and d.org_id = c.org_id)`,
  'a waived cell has no waiver, or a waiver has no waived cell': `
    select concat_ws(' ', stream, org_id, usage_date, c.standing, c.reason) as subject from losant_usage.coverage c
    full join (select * from losant_usage.waivers where lifted_at is null) w using (usage_date, org_id, stream)
    where (c.standing = 'waived') is distinct from (w.id is not null)
      or c.standing = 'waived' and (c.reason = 'before_creation') <> (w.kind = 'program')`,
  'our sum differs from the sum over organizations': `
    select concat_ws(' ', t.instance_id, t.usage_date, t.metric, t.our_sum, s.sum) as subject
    from losant_usage.instance_totals t cross join lateral (
      select sum((to_jsonb(d) ->> t.metric)::bigint) as sum from losant_usage.usage_days d
      join losant_usage.organizations o using (org_id)
      where o.instance_id = t.instance_id and d.usage_date = t.usage_date
    ) as s
    where t.our_sum <> coalesce(s.sum, 0)`,
  'a sum counts other organizations than there are': `
    select concat_ws(' ', t.instance_id, t.usage_date, t.metric, t.orgs_summed, t.orgs_unsettled, t.orgs_expected)
      as subject
    from losant_usage.instance_totals t join losant_usage.metrics m using (metric)
    where t.our_sum is not null and (t.orgs_summed, t.orgs_unsettled, t.orgs_expected) is distinct from (
      (select count(*)::integer from losant_usage.usage_days d join losant_usage.organizations o using (org_id)
        where o.instance_id = t.instance_id and d.usage_date = t.usage_date and to_jsonb(d) ->> t.metric is not null),
      (select count(*)::integer from losant_usage.coverage c join losant_usage.organizations o using (org_id)
        where o.instance_id = t.instance_id and c.usage_date = t.usage_date and c.stream = m.stream
          and c.standing not in ('final', 'waived')),
      (select count(*)::integer from losant_usage.organizations o where o.instance_id = t.instance_id
        and coalesce(o.created_on <= t.usage_date, true) and coalesce(o.deleted_on >= t.usage_date, true)))`,
};

/** Reads everything while no command runs. */
export async function readLedger(databaseUrl: string): Promise<Ledger> {
  const readRows = async <T>(statement: string, runQuery = asWriter) => (await runQuery(databaseUrl, statement)) as T[];
  const days = await readRows<Record<string, unknown>>(
    `select d.*, usage_date::text as day from losant_usage.usage_days d`,
  );
  const byDay = new Map(days.map((row) => [`${String(row['org_id'])} ${String(row['day'])}`, row]));
  const cells = await readRows<Omit<LedgerCell, 'numbers'>>(CELLS);
  // As the reader sees them.
  const gaps = await readRows<Cell>(
    `select stream, org_id as "orgId", usage_date::text as day from losant_usage.coverage_gaps`,
    queryOnce,
  );
  const breaches: string[] = [];
  for (const [rule, query] of Object.entries(RULES)) {
    for (const { subject } of await readRows<{ subject: string }>(query)) breaches.push(`${rule}: ${subject}`);
  }
  const [clock] = await readRows<{ at: number }>(`select ${ms('now()')} as at`);
  return {
    nowMs: clock?.at ?? Number.NaN,
    cells: new Map(cells.map((cell) => [cellName(cell), { ...cell, numbers: readNumbers(cell, byDay) }])),
    revisions: Map.groupBy(await readRows<Revision>(REVISIONS), cellName),
    tracks: await readRows<Track>(TRACKS),
    instances: new Map((await readRows<Instance>(INSTANCES)).map((each) => [each.instanceId, each])),
    months: await readRows<Month>(MONTHS, queryOnce),
    gaps: new Set(gaps.map(cellName)),
    breaches,
  };
}

function readNumbers({ orgId, day, stream }: Cell, days: ReadonlyMap<string, Record<string, unknown>>): Numbers | null {
  const row = days.get(`${orgId} ${day}`) ?? {};
  const columns = Object.values(COLUMNS[stream]).map((column) => [column, row[column] ?? null] as const);
  if (columns.some(([, value]) => value === null)) return null;
  return flatten(Object.fromEntries(columns));
}
