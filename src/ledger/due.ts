/** Finds and sets what is due: a cell is due if its `next_read_at` has come. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong } from '../database/expressions.ts';
import type { Instant, Json, Schema } from '../database/schema.ts';
import { BEFORE_CREATION, type CellKey } from '../usage/cell.ts';
import { addDays, type DayRange, earliestDay, LAST_DAY, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay, type Policy } from '../usage/policy.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { countCellsOfOrg, IS_SETTLED, isCellOfOrgs, setCells } from './coverage.ts';
import { updateInstance } from './instances.ts';
import { eachPage, type InstanceLedger, type LedgerWriter, repeatInTransactions, TRANSACTION_CELLS } from './lease.ts';

/** The part of an instance that a command or run is about. Null means no restriction. */
export interface DueScope {
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly range: DayRange | null;
}

export interface DueCursor {
  /** The last organization of the previous page; empty for the first page. */
  readonly afterOrgId: string;
  /** The oldest and the newest day, both included; null for any. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  /** How many days before `from` are included, of the organizations that have due cells in the range. */
  readonly daysBefore: number;
  /** Streams that this run no longer requests, because Losant rejected their scope. */
  readonly refusedStreams: readonly string[];
  /** Only cells that were set due after this time and after their last read; null for all. */
  readonly sinceMs: number | null;
  /** Only cells that were not read since; null for all. */
  readonly startMs: number | null;
}

/** Few enough for the slices of a page to fit in a few megabytes. */
const DUE_ORGS_PER_PAGE = 100;

/**
 * Returns the condition that a cell `c` is due in the scope. The day is compared as an expression on purpose: on a
 * freshly filled ledger the planner would otherwise choose the primary key and read all days of each organization.
 */
const isDue = (
  { now, policy }: InstanceLedger,
  { streams, range }: DueScope,
  cursor: Omit<DueCursor, 'afterOrgId' | 'daysBefore'>,
) => {
  const { from, to, refusedStreams, sinceMs, startMs } = cursor;
  const nowMs = now();
  const sinceAt = sinceMs === null ? null : new Date(sinceMs).toISOString();
  const startAt = startMs === null ? null : new Date(startMs).toISOString();
  return sql`c.next_read_at <= ${new Date(nowMs).toISOString()}::timestamptz
    and c.usage_date + 0 >= ${latestDay(from, range?.from, horizonStart(nowMs, policy))}::date
    and c.usage_date + 0 <= ${earliestDay(to, range?.to, LAST_DAY)}::date
    and ${isAmong('c.stream', streams)} and c.stream <> all (${refusedStreams}::text[])
    and (${sinceAt}::timestamptz is null or c.next_read_at > greatest(${sinceAt}::timestamptz, c.last_attempt_at))
    and (c.last_attempt_at < ${startAt}::timestamptz) is not false`;
};

/**
 * Returns all due cells of the next organizations that have any, in the order of their IDs; [] at the end. Of a single
 * organization that has more than a page, it returns a page: the others are due in the next pass.
 */
export async function readDuePage(
  ledger: InstanceLedger & Pick<LedgerWriter, 'transactionCells'>,
  scope: DueScope,
  cursor: DueCursor,
): Promise<CellKey[]> {
  const { from, daysBefore } = cursor;
  const { transactionCells: limit = TRANSACTION_CELLS } = ledger;
  const due = isDue(ledger, scope, cursor);
  // An offset keeps the subqueries apart, so that each organization is looked up by itself: while a first backfill
  // fills the ledger, the planner expects few due cells, and would join all of them with each organization.
  const { rows } = await sql<CellKey>`
    select o.org_id as "orgId", c.stream, c.day
    from (
      select o.org_id from losant_usage.organizations o
      where o.instance_id = ${ledger.instanceId} and o.org_id > ${cursor.afterOrgId}
        and ${isAmong('o.org_id', scope.orgIds)}
        and exists (select from losant_usage.coverage c where c.org_id = o.org_id and ${due} offset 0)
      order by o.org_id limit ${DUE_ORGS_PER_PAGE}
    ) as o
    cross join lateral (
      select c.stream, c.usage_date as day from losant_usage.coverage c
      where c.org_id = o.org_id and ${isDue(ledger, scope, { ...cursor, from: from && addDays(from, -daysBefore) })}
      offset 0
    ) as c
    order by o.org_id limit ${limit}`.execute(ledger.db);
  const [first, last] = [rows[0], rows.at(-1)];
  if (rows.length < limit || first?.orgId === last?.orgId) return rows;
  // The last organization may have further cells.
  return rows.filter(({ orgId }) => orgId !== last?.orgId);
}

export async function countDueCells(ledger: InstanceLedger, scope: DueScope): Promise<number> {
  const due = isDue(ledger, scope, { from: null, to: null, refusedStreams: [], sinceMs: null, startMs: null });
  const { rows } = await sql<{ cells: number }>`
    select coalesce(sum(c.cells), 0)::bigint as cells
    from losant_usage.organizations o cross join lateral (
      select count(*) as cells from losant_usage.coverage c where c.org_id = o.org_id and ${due}
    ) as c
    where o.instance_id = ${ledger.instanceId} and ${isAmong('o.org_id', scope.orgIds)}`.execute(ledger.db);
  return rows[0]?.cells as number;
}

/** Returns the condition that a manual run reads a cell `c` before its time, because its last read failed. */
export const isRetried = (now: Instant) => sql`c.failed_reads > 0 and c.next_read_at > ${now}::timestamptz`;

/** Returns the condition that a command which names the day of a cell `c` makes it due. */
export const isMadeDue = (force: boolean, now: Instant) => sql`c.reason is distinct from ${BEFORE_CREATION}
  and (${force}::boolean or (not c.is_stored and (c.next_read_at <= ${now}::timestamptz) is not true))`;

/** Makes cells due whose last read failed. A manual run does not wait for their next retry. */
export async function retryFailedCells(ledger: LedgerWriter, { orgIds, streams }: DueScope): Promise<void> {
  const { instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const now = new Date(nowMs).toISOString();
  await repeatInTransactions(ledger, (trx, limit) =>
    setCells(trx, {
      limit,
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`${isRetried(now)}
        and c.usage_date >= ${horizonStart(nowMs, policy)}::date and o.instance_id = ${instanceId}
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
export function selectNextCheckpoint({ readAtHours }: Policy, after: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select min(t.at) from unnest(${readAtHours}::integer[]) as hours cross join lateral (
      select ${selectCheckpoint('c', sql`hours`)} as at
    ) as t where t.at > ${after})`;
}

/** The condition that the track of a cell `c` has ended. Once its cells are waived, they are not read again. */
export const IS_TRACK_ENDED = sql<boolean>`exists (select from losant_usage.tracks t
  where t.org_id = c.org_id and t.stream = c.stream and c.usage_date between t.first_day and t.last_day)`;

/** After a change of the policy, cells are due at their next checkpoint at the latest; if unscheduled, now. */
export async function applyPolicy(ledger: LedgerWriter): Promise<void> {
  const { db, instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const policyJson = JSON.stringify(policy);
  const { rows: unchanged } = await sql`select from losant_usage.instances
    where instance_id = ${instanceId} and policy - 'leastFinalAfterHours' = ${policyJson}::text::jsonb`.execute(db);
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
      where: sql`${isCellOfOrgs(orgIds, { from, to: LAST_DAY })}
        and c.reason is distinct from ${BEFORE_CREATION} and not (c.standing = 'waived' and ${IS_TRACK_ENDED})
        and c.next_read_at is distinct from ${nextReadAt}`,
    });
  });
  await updateInstance(ledger, {
    policy: sql<Json>`${policyJson}::text::jsonb || jsonb_build_object('leastFinalAfterHours',
      least((policy ->> 'leastFinalAfterHours')::integer, ${policy.finalAfterHours}::integer))`,
    horizon_day: sql<UsageDay>`case when horizon_day <= ${from}::date then horizon_day end`,
  });
}

/** Whether the scope has a gap, or a stored cell whose last read failed, whoever read the cells. */
export async function hasGaps({ db, instanceId }: InstanceLedger, { orgIds, streams, range }: DueScope) {
  const { from = null, to = null } = range ?? {};
  const isInScope = sql`${isAmong('c.org_id', orgIds)} and ${isAmong('c.stream', streams)}
    and c.usage_date between coalesce(${from}::date, '-infinity') and coalesce(${to}::date, 'infinity')`;
  const { rows } = await sql<{ hasGap: boolean }>`
    select exists (
      select from losant_usage.coverage_gaps c where c.instance_id = ${instanceId} and ${isInScope}
    ) or exists (
      select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where o.instance_id = ${instanceId} and c.failed_reads > 0 and c.standing in ('stored', 'final') and ${isInScope}
    ) as "hasGap"`.execute(db);
  return rows[0]?.hasGap === true;
}
