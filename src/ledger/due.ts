/** Finds and sets what is due: a cell is due if its `next_read_at` has come. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong } from '../database/expressions.ts';
import type { Instant, Json, Schema } from '../database/schema.ts';
import type { CellKey } from '../usage/cell.ts';
import { addDays, type DayRange, LAST_DAY, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay, type Policy } from '../usage/policy.ts';
import { streams as allStreams, streamNames } from '../usage/streams/catalog.ts';
import { countCellsOfOrg, IS_SETTLED, isCellOfOrgs, setCells } from './coverage.ts';
import { updateInstance } from './instance.ts';
import { eachPage, type LedgerReader, type LedgerWriter, repeatInTransactions } from './lease.ts';

/** The cells that a command or run is about. Null means no restriction. */
export interface DueScope {
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly range: DayRange | null;
}

/** What a run no longer requests, or has attempted. */
export interface DueFilter {
  /** Only cells that were not attempted since, in ms; null for all. */
  readonly startMs: number | null;
  readonly excludedStreams: readonly string[];
  readonly excludedOrgIds: readonly string[];
}

/** Few enough for the slices of a page to fit in a few megabytes. */
const DUE_ORGS_PER_PAGE = 100;

/** The days of a request before its last one. */
const DAYS_BEFORE_MAX = Math.max(...allStreams.map(({ maxDays }) => maxDays)) - 1;

/** The streams whose requests are of one day. */
const DAILY_STREAMS = allStreams.filter(({ maxDays }) => maxDays === 1).map(({ name }) => name);

/** Returns the condition that a cell `c` is due in the scope, whatever its day. */
const isDue = (
  { now, policy }: LedgerReader,
  { streams, range }: DueScope,
  { startMs, excludedStreams, excludedOrgIds }: DueFilter,
) => {
  const nowMs = now();
  const startAt = startMs === null ? null : new Date(startMs).toISOString();
  return sql`c.next_read_at <= ${new Date(nowMs).toISOString()}::timestamptz
    and c.usage_date + 0 between ${latestDay(range?.from, horizonStart(nowMs, policy))}::date
      and ${range?.to ?? LAST_DAY}::date
    and ${isAmong('c.stream', streams)} and c.stream <> all (${excludedStreams}::text[])
    and c.org_id <> all (${excludedOrgIds}::text[])
    and (c.last_attempt_at < ${startAt}::timestamptz) is not false`;
};

/** Returns the days that have due cells, newest first. */
export async function readDueDays(ledger: LedgerReader, scope: DueScope, filter: DueFilter): Promise<UsageDay[]> {
  const { rows } = await sql<{ day: UsageDay }>`
    select c.usage_date as day from losant_usage.coverage c
    where c.next_read_at is not null and ${isAmong('c.org_id', scope.orgIds)} and ${isDue(ledger, scope, filter)}
    group by c.usage_date order by c.usage_date desc`.execute(ledger.db);
  return rows.map(({ day }) => day);
}

/**
 * Returns the due cells of the next organizations, in the order of their IDs, that have any on the day, with those of
 * the days before it that fit into the same requests; [] at the end.
 */
export async function readDuePage(
  ledger: LedgerReader,
  scope: DueScope,
  filter: DueFilter,
  { day, afterOrgId }: { readonly day: UsageDay; readonly afterOrgId: string },
): Promise<CellKey[]> {
  const due = isDue(ledger, scope, filter);
  const from = addDays(day, -DAYS_BEFORE_MAX);
  // An offset keeps the subqueries apart, so that each organization is looked up by itself: while a first backfill
  // fills the ledger, the planner expects few due cells, and would join all of them with each organization.
  const { rows } = await sql<CellKey>`
    select o.org_id as "orgId", c.stream, c.day
    from (
      select o.org_id from losant_usage.organizations o
      where o.org_id > ${afterOrgId} and ${isAmong('o.org_id', scope.orgIds)}
        and exists (select from losant_usage.coverage c
          where c.org_id = o.org_id and c.usage_date = ${day}::date and ${due} offset 0)
      order by o.org_id limit ${DUE_ORGS_PER_PAGE}
    ) as o
    cross join lateral (
      select c.stream, c.usage_date as day from losant_usage.coverage c
      where c.org_id = o.org_id and c.usage_date between ${from}::date and ${day}::date and ${due}
        and (c.usage_date = ${day}::date or c.stream <> all (${DAILY_STREAMS}::text[]))
      offset 0
    ) as c
    order by o.org_id`.execute(ledger.db);
  return rows;
}

export async function countDueCells(ledger: LedgerReader, scope: DueScope): Promise<number> {
  const due = isDue(ledger, scope, { startMs: null, excludedStreams: [], excludedOrgIds: [] });
  const { rows } = await sql<{ cells: number }>`
    select count(*) as cells from losant_usage.coverage c
    where c.next_read_at is not null and ${isAmong('c.org_id', scope.orgIds)} and ${due}`.execute(ledger.db);
  return rows[0]?.cells as number;
}

/** Returns the condition that a manual run reads a cell `c` before its time, because its last read failed. */
export const isRetried = (now: Instant) => sql`c.failed_reads > 0 and c.next_read_at > ${now}::timestamptz`;

/** Returns the condition that a command which names the day of a cell `c` makes it due. */
export const isMadeDue = (force: boolean, now: Instant) => sql`
  (${force}::boolean or (not c.is_stored and (c.next_read_at <= ${now}::timestamptz) is not true))`;

/** Makes cells due whose last read failed. A manual run does not wait for their next retry. */
export async function retryFailedCells(ledger: LedgerWriter, { orgIds, streams }: DueScope): Promise<void> {
  const { policy } = ledger;
  const nowMs = ledger.now();
  const now = new Date(nowMs).toISOString();
  await repeatInTransactions(ledger, (trx, limit) =>
    setCells(trx, {
      limit,
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`${isRetried(now)} and c.usage_date >= ${horizonStart(nowMs, policy)}::date
        and ${isAmong('o.org_id', orgIds)} and ${isAmong('c.stream', streams)}`,
    }),
  );
}

/** Makes all cells inside the horizon due, for organizations that have returned. */
export async function requeueCells(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  { nowMs, policy }: { nowMs: number; policy: Policy },
): Promise<void> {
  if (orgIds.length === 0) return;
  await setCells(trx, {
    set: sql`next_read_at = ${new Date(nowMs).toISOString()}::timestamptz`,
    where: isCellOfOrgs(orgIds, { from: horizonStart(nowMs, policy), to: LAST_DAY }),
  });
}

/** Returns the checkpoint so many hours after the end of the day of a cell. */
export function selectCheckpoint(alias: string, hours: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`((${sql.ref(`${alias}.usage_date`)} + 1)::timestamp + ${hours} * interval '1 hour') at time zone 'UTC'`;
}

/** Returns the first checkpoint of a cell `c` after an instant, or null. {@link nextCheckpointMs} is the same rule. */
function selectNextCheckpoint({ readAtHours }: Policy, after: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select min(t.at) from unnest(${readAtHours}::integer[]) as hours cross join lateral (
      select ${selectCheckpoint('c', sql`hours`)} as at
    ) as t where t.at > ${after})`;
}

/** After a change of the policy, cells are due at their next checkpoint at the latest; if unscheduled, now. */
export async function applyPolicy(ledger: LedgerWriter): Promise<void> {
  const { db, policy } = ledger;
  const nowMs = ledger.now();
  const policyJson = JSON.stringify(policy);
  const { rows: unchanged } = await sql`
    select from losant_usage.instance where policy = ${policyJson}::text::jsonb`.execute(db);
  if (unchanged.length > 0) return;
  const now = new Date(nowMs).toISOString();
  const nextByPolicy = sql`least(c.next_read_at, ${selectNextCheckpoint(policy, sql`${now}::timestamptz`)})`;
  const nextReadAt = sql`case when ${IS_SETTLED} then ${nextByPolicy}
    else coalesce(${nextByPolicy}, ${now}::timestamptz) end`;
  const from = horizonStart(nowMs, policy);
  const pages = {
    matches: sql`o.deleted_on is null`,
    cells: countCellsOfOrg({ from, to: lastEndedDay(nowMs) }, streamNames),
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    await setCells(trx, {
      set: sql`next_read_at = ${nextReadAt}`,
      where: sql`${isCellOfOrgs(orgIds, { from, to: LAST_DAY })} and c.next_read_at is distinct from ${nextReadAt}`,
    });
  });
  await updateInstance(ledger, { policy: sql<Json>`${policyJson}::text::jsonb` });
}

/** Whether the scope has a gap, or a stored cell whose last read failed, whoever read the cells. */
export async function hasGaps({ db }: Pick<LedgerReader, 'db'>, { orgIds, streams, range }: DueScope) {
  const { from = null, to = null } = range ?? {};
  const isInScope = sql`${isAmong('c.org_id', orgIds)} and ${isAmong('c.stream', streams)}
    and c.usage_date between coalesce(${from}::date, '-infinity') and coalesce(${to}::date, 'infinity')`;
  const { rows } = await sql<{ hasGap: boolean }>`
    select exists (select from losant_usage.coverage_gaps c where ${isInScope})
      or exists (
        select from losant_usage.coverage c
        where c.failed_reads > 0 and c.standing in ('stored', 'final') and ${isInScope}
      ) as "hasGap"`.execute(db);
  return rows[0]?.hasGap === true;
}
