/**
 * Removes old months. Only whole months go, oldest first and up to the first that must stay, so that
 * tracking keeps no hole.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { type DatabaseHandle, SCHEMA_NAME } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { beginWriting } from './lease.ts';

/** The tables whose rows have the day of an organization, in the order in which rows refer to each other. */
const OF_ORGANIZATIONS = ['waivers', 'coverage', 'payload_sources', 'payload_hours', 'usage_days'] as const;

/** The rows of a month that were removed, or would be. */
export interface PrunedMonth {
  readonly month: Month;
  /** The rows of `usage_days`: one per organization and day. */
  readonly days: number;
  /** The rows of `payload_sources`. */
  readonly sources: number;
  /** The rows of `coverage`. */
  readonly cells: number;
}

/** The reason why a month stays. */
export interface PruneBlocker {
  /**
   * `gap`: numbers are missing or in doubt. `due`: numbers are not final, or are read again. `not_closed`:
   * months of the instance are closed, and days of this one are in no statement. `unavailable`: numbers
   * that nobody accepted or closed. `not_settled`: numbers differ from the newest statement.
   */
  readonly cause: 'gap' | 'due' | 'not_closed' | 'unavailable' | 'not_settled';
  /** The number of cells; of `not_closed` organizations, of `not_settled` lines. */
  readonly count: number;
}

export interface PruneRequest {
  readonly instanceId: string;
  /** The first day that stays, if it is the first of a month; else that month stays too. */
  readonly before: UsageDay;
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
}

export interface PruneOutcome {
  readonly months: readonly PrunedMonth[];
  /** The first month that had to stay, with what follows it; null if none had to. */
  readonly kept: (PruneBlocker & { readonly month: Month }) | null;
}

/**
 * `pruneInstance` removes the months of an instance that end before a day: numbers, ledger, waivers, control totals and
 * answers in quarantine, a transaction for each month. The record of changes, runs and statements stay.
 * Loads wait meanwhile. Throws DatabaseError for a role that may not remove numbers.
 */
export async function pruneInstance(db: Kysely<Schema>, request: PruneRequest): Promise<PruneOutcome> {
  const { instanceId, before, isDryRun, signal } = request;
  const months: PrunedMonth[] = [];
  for (const month of await readOldMonths(db, before)) {
    signal.throwIfAborted();
    const outcome = await db.transaction().execute(async (trx) => {
      if (!isDryRun) await beginPruning(trx, instanceId);
      const counted = await countRows(trx, instanceId, month);
      if (counted === null) return null;
      const blocker = await readPruneBlocker(trx, instanceId, month);
      if (blocker === null && !isDryRun) await removeMonth(trx, instanceId, month);
      return { counted, blocker };
    });
    if (outcome === null) continue;
    if (outcome.blocker !== null) return { months, kept: { month, ...outcome.blocker } };
    months.push(outcome.counted);
  }
  return { months, kept: null };
}

/** `readOldMonths` returns the months that end before a day and after the first day that is tracked or stored. */
async function readOldMonths(db: Kysely<Schema>, before: UsageDay): Promise<Month[]> {
  const { rows } = await sql<{ month: Month }>`
    select to_char(m.month, 'YYYY-MM') as month from losant_usage.months m
    where m.next_month <= ${before}::date and m.next_month > least(
      (select min(usage_date) from losant_usage.usage_days), (select min(usage_date) from losant_usage.coverage),
      (select min(tracked_from) from losant_usage.tracking))
    order by m.month`.execute(db);
  return rows.map(({ month }) => month);
}

/** `beginPruning` begins a transaction that removes: waits for loads under way and holds further ones back until its end. */
async function beginPruning(trx: Kysely<Schema>, instanceId: string): Promise<void> {
  const { rows } = await sql<{ user: string; may: boolean }>`
    select current_user as user, has_table_privilege('losant_usage.coverage', 'delete') as may`.execute(trx);
  if (rows[0]?.may !== true) {
    throw new DatabaseError('database_refused', `The user ${rows[0]?.user} may not remove numbers`, {
      hint: 'use the role that owns the tables (losant_usage_migrator); with --dry-run any role will do',
    });
  }
  await beginWriting(trx);
  await sql`select set_config('losant_usage.program', 'prune', true)`.execute(trx);
  await sql`lock table losant_usage.coverage, losant_usage.usage_days, losant_usage.payload_sources,
    losant_usage.payload_hours in share row exclusive mode`.execute(trx);
  await sql`select from losant_usage.tracking t where ${isOfInstance('t', instanceId)}
    order by t.org_id, t.stream for update`.execute(trx);
}

const isOfInstance = (table: string, instanceId: string) => sql<boolean>`${sql.ref(`${table}.org_id`)} in (
  select o.org_id from losant_usage.organizations o where o.instance_id = ${instanceId})`;

const isIn = (column: string, month: Month) => {
  const { from, to } = daysOfMonth(month);
  return sql<boolean>`${sql.ref(column)} between ${from}::date and ${to}::date`;
};

/** `countRows` returns the rows of the month; null if nothing of it is stored or tracked. */
async function countRows(db: Kysely<Schema>, instanceId: string, month: Month): Promise<PrunedMonth | null> {
  const { from, to } = daysOfMonth(month);
  const rowsOf = (table: string) => sql`
    (select count(*) from ${sql.table(`losant_usage.${table}`)} t
     where ${isIn('t.usage_date', month)} and ${isOfInstance('t', instanceId)})`;
  const { rows } = await sql<Omit<PrunedMonth, 'month'> & { isTracked: boolean }>`
    select ${rowsOf('usage_days')} as days, ${rowsOf('payload_sources')} as sources, ${rowsOf('coverage')} as cells,
      exists (select from losant_usage.tracked t where t.instance_id = ${instanceId}
        and t.days && daterange(${from}::date, ${to}::date, '[]')) as "isTracked"`.execute(db);
  const [row] = rows;
  if (row === undefined) return null;
  const { isTracked, ...counts } = row;
  return isTracked || Object.values(counts).some((each) => each > 0) ? { month, ...counts } : null;
}

/**
 * `readPruneBlocker` returns why a month of an instance has to stay; null if it may go: every tracked number is final or
 * accepted and not read again, and where the instance has closed months since, is in a statement that
 * agrees with it. A number that is no longer available may go once a statement has closed it.
 */
async function readPruneBlocker(
  db: Kysely<Schema>,
  instanceId: string,
  month: Month,
): Promise<PruneBlocker | null> {
  const cells = await countCells(db, instanceId, month);
  const { isClosing, unbilledOrgs } = await readClosed(db, instanceId, month);
  const lines = isClosing ? await countUnsettled(db, instanceId, month) : 0;
  const counts: readonly PruneBlocker[] = [
    { cause: 'gap', count: cells.gaps },
    { cause: 'due', count: cells.due },
    { cause: 'not_closed', count: isClosing ? unbilledOrgs : 0 },
    { cause: 'unavailable', count: isClosing ? 0 : cells.unavailable },
    { cause: 'not_settled', count: lines },
  ];
  return counts.find(({ count }) => count > 0) ?? null;
}

async function countCells(
  db: Kysely<Schema>,
  instanceId: string,
  month: Month,
): Promise<Readonly<Record<'gaps' | 'due' | 'unavailable', number>>> {
  const total = (where: RawBuilder<unknown>) => sql<number>`count(*) filter (where ${where})`;
  return await db
    .selectFrom('cells as c')
    .select([
      total(sql`c.standing in ('missing', 'in_doubt')`).as('gaps'),
      total(sql`c.standing in ('waiting', 'stored') or c.next_read_at is not null`).as('due'),
      total(sql`c.standing = 'unavailable'`).as('unavailable'),
    ])
    .where('c.instance_id', '=', instanceId)
    .where(isIn('c.usage_date', month))
    .executeTakeFirstOrThrow();
}

/**
 * `readClosed` returns whether the instance has closed a period that begins before the month's end, and the number
 * of organizations with a tracked day in it that no statement has. Months before the first that was
 * ever closed need no statement.
 */
async function readClosed(
  db: Kysely<Schema>,
  instanceId: string,
  month: Month,
): Promise<{ readonly isClosing: boolean; readonly unbilledOrgs: number }> {
  const { from, to } = daysOfMonth(month);
  const { rows } = await sql<{ isClosing: boolean; unbilledOrgs: number }>`
    with billed as materialized (
      select p.org_id, range_agg(daterange(p.period_start, p.period_end, '[]')) as days
      from (
        select distinct l.org_id, l.period_start, l.period_end from losant_usage.statement_lines l
        join losant_usage.statements s on s.statement_id = l.statement_id
        where s.instance_id = ${instanceId} and l.period_start <= ${to}::date
      ) as p group by p.org_id
    )
    select exists (select from billed) as "isClosing", (
      select count(distinct t.org_id) from losant_usage.tracked t left join billed b on b.org_id = t.org_id
      where t.instance_id = ${instanceId}
        and not t.days * datemultirange(daterange(${from}::date, ${to}::date, '[]')) <@ coalesce(b.days, '{}')
    ) as "unbilledOrgs"`.execute(db);
  return rows[0] ?? { isClosing: false, unbilledOrgs: 0 };
}

/** `countUnsettled` returns the number of lines of the month's statements that differ from the numbers of now. */
async function countUnsettled(db: Kysely<Schema>, instanceId: string, month: Month): Promise<number> {
  const { from, to } = daysOfMonth(month);
  const { lines } = await db
    .selectFrom('adjustments as a')
    .select((eb) => eb.fn.countAll<number>().as('lines'))
    .where('a.instance_id', '=', instanceId)
    .where('a.period_start', '<=', to)
    .where('a.period_end', '>=', from)
    .where('a.period_month', 'in', (eb) =>
      eb
        .selectFrom('statements as s')
        .innerJoin('statement_lines as l', 'l.statement_id', 's.statement_id')
        .select('s.period_month')
        .where('s.instance_id', '=', instanceId)
        .where('l.period_start', '<=', to)
        .where('l.period_end', '>=', from),
    )
    .executeTakeFirstOrThrow();
  return lines;
}

/** `removeMonth` removes the month, and lets tracking begin after it. */
async function removeMonth(trx: Kysely<Schema>, instanceId: string, month: Month): Promise<void> {
  const next = sql`(${daysOfMonth(month).to}::date + 1)`;
  for (const table of OF_ORGANIZATIONS) {
    await sql`delete from ${sql.table(`losant_usage.${table}`)} t
      where ${isIn('t.usage_date', month)} and ${isOfInstance('t', instanceId)}`.execute(trx);
  }
  await sql`delete from losant_usage.quarantine t
    where t.to_date < ${next} and ${isOfInstance('t', instanceId)}`.execute(trx);
  await sql`delete from losant_usage.instance_totals t
    where t.instance_id = ${instanceId} and ${isIn('t.usage_date', month)}`.execute(trx);
  await sql`delete from losant_usage.monthly_summaries t
    where t.instance_id = ${instanceId} and ${isIn('t.month', month)}`.execute(trx);
  await sql`delete from losant_usage.control_total_reads t
    where t.instance_id = ${instanceId} and t.question = ${`monthly_summaries ${month}`}`.execute(trx);
  await sql`update losant_usage.tracking t
    set tracked_days = t.tracked_days - datemultirange(daterange(null, ${next}))
    where t.tracked_from < ${next} and ${isOfInstance('t', instanceId)}`.execute(trx);
  // Organizations and streams that come later are tracked from there on as well.
  await sql`update losant_usage.instances i set tracked_from = greatest(i.tracked_from, ${next}),
    streams_from = (
      select coalesce(jsonb_object_agg(s.stream, greatest(s.first_day::date, ${next})), '{}')
      from jsonb_each_text(i.streams_from) as s (stream, first_day))
    where i.instance_id = ${instanceId}`.execute(trx);
  await sql`insert into losant_usage.pruned_months (instance_id, month)
    values (${instanceId}, ${`${month}-01`}::date) on conflict do nothing`.execute(trx);
}

/** `readStorage` returns the bytes that the tables take with their indexes. */
export async function readStorage(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c
    where c.relnamespace = ${SCHEMA_NAME}::regnamespace and c.relkind = 'r'`.execute(db);
  return rows[0]?.bytes ?? 0;
}

/** `reclaimStorage` makes the room of removed rows available to new ones. What lies at the end of a table goes back to the system. */
export async function reclaimStorage(handle: DatabaseHandle): Promise<void> {
  await handle.runLong(async (db) => {
    for (const table of [...OF_ORGANIZATIONS, 'instance_totals', 'monthly_summaries']) {
      await sql`vacuum (analyze) ${sql.table(`losant_usage.${table}`)}`.execute(db);
    }
  });
}
