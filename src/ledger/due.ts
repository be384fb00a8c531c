/** Finds what is due: cells whose next read has come. Everything else only sets that time. */
import { type Kysely, sql } from 'kysely';
import { isAmong } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { BEFORE_CREATION, type CellKey } from '../usage/cell.ts';
import { type DayRange, earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, LAST_DAY, type Policy } from '../usage/policy.ts';
import { isCellOfOrgs, setCells } from './coverage.ts';
import { eachPage, type InstanceLedger, inTransaction, type LedgerWriter } from './lease.ts';

/** The part of an instance that is exported; null for all of it. */
export interface DueScope {
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  /** The only days to read. */
  readonly range: DayRange | null;
}

/** The place of a page. */
export interface DueCursor {
  /** The last organization of the page before; empty for the first page. */
  readonly afterOrgId: string;
  /** The oldest and the newest day to look at; null for any. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  /** Streams that are not asked for any more in this run. */
  readonly stopped: readonly string[];
  /** Only cells that were set due after this time and after their last read; null for all. */
  readonly sinceMs: number | null;
}

/** The number of organizations on a page; small enough that a page's slices fit in a few megabytes. */
const DUE_ORGS_PER_PAGE = 100;

/**
 * Returns the condition that a cell `c` is due in the scope. The day is compared as an expression on purpose: on a
 * freshly filled ledger the planner would otherwise choose the primary key and read all days of each organization.
 */
const isDue = (
  { now, policy }: InstanceLedger,
  { streams, range }: DueScope,
  place: Omit<DueCursor, 'afterOrgId'>,
) => {
  const { from, to, stopped, sinceMs } = place;
  const nowMs = now();
  const since = sinceMs === null ? null : new Date(sinceMs).toISOString();
  return sql`c.next_read_at <= ${new Date(nowMs).toISOString()}::timestamptz
    and c.usage_date + 0 >= ${latestDay(from, range?.from, horizonStart(nowMs, policy))}::date
    and c.usage_date + 0 <= ${earliestDay(to, range?.to, LAST_DAY)}::date
    and ${isAmong('c.stream', streams)} and c.stream <> all (${stopped}::text[])
    and (${since}::timestamptz is null or c.next_read_at > greatest(${since}::timestamptz, c.last_attempt_at))`;
};

/** Returns the due cells of the next organizations that have some, in the order of their ids; none at the end. */
export async function readDuePage(
  ledger: InstanceLedger,
  scope: DueScope,
  place: DueCursor,
): Promise<CellKey[]> {
  const due = isDue(ledger, scope, place);
  const { rows } = await sql<CellKey>`
    select c.org_id as "orgId", c.stream, c.usage_date as day
    from (
      select o.org_id from losant_usage.organizations o
      where o.instance_id = ${ledger.instanceId} and o.org_id > ${place.afterOrgId}
        and ${isAmong('o.org_id', scope.orgIds)}
        and exists (select from losant_usage.coverage c where c.org_id = o.org_id and ${due})
      order by o.org_id limit ${DUE_ORGS_PER_PAGE}
    ) as o
    join losant_usage.coverage c on c.org_id = o.org_id and ${due}
    order by c.org_id`.execute(ledger.db);
  return rows;
}

/** Returns the number of cells that are due in the scope. */
export async function countDue(ledger: InstanceLedger, scope: DueScope): Promise<number> {
  const due = isDue(ledger, scope, { from: null, to: null, stopped: [], sinceMs: null });
  const { rows } = await sql<{ cells: number }>`
    select coalesce(sum(c.cells), 0)::bigint as cells
    from losant_usage.organizations o cross join lateral (
      select count(*) as cells from losant_usage.coverage c where c.org_id = o.org_id and ${due}
    ) as c
    where o.instance_id = ${ledger.instanceId} and ${isAmong('o.org_id', scope.orgIds)}`.execute(ledger.db);
  return rows[0]?.cells as number;
}

/** Sets cells whose last read failed due now, because a person asked for a run. */
export async function retryFailed(ledger: LedgerWriter, { orgIds, streams }: DueScope): Promise<void> {
  const { instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const now = new Date(nowMs).toISOString();
  await inTransaction(ledger, async (trx) => {
    await setCells(trx, {
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`c.failed_reads > 0 and c.next_read_at > ${now}::timestamptz
        and c.usage_date >= ${horizonStart(nowMs, policy)}::date and o.instance_id = ${instanceId}
        and ${isAmong('o.org_id', orgIds)} and ${isAmong('c.stream', streams)}`,
    });
  });
}

/** Sets all cells of organizations that have returned due now, as far as Losant keeps their days. */
export async function requeueCells(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  { nowMs, policy }: { readonly nowMs: number; readonly policy: Policy },
): Promise<void> {
  if (orgIds.length === 0) return;
  await setCells(trx, {
    set: sql`next_read_at = ${new Date(nowMs).toISOString()}::timestamptz`,
    where: isCellOfOrgs(orgIds, { from: horizonStart(nowMs, policy), to: LAST_DAY }),
  });
}

/**
 * Sets the next reads of all cells inside the horizon anew if the policy is another one than the last: no later than
 * the next checkpoint, and now where a cell that is not settled had none.
 */
export async function applyPolicy(ledger: LedgerWriter): Promise<void> {
  const { db, instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const stored = JSON.stringify(policy);
  const isCurrent = await sql`select from losant_usage.instances
    where instance_id = ${instanceId} and policy = ${stored}::text::jsonb`.execute(db);
  if (isCurrent.rows.length > 0) return;
  const now = new Date(nowMs).toISOString();
  const sooner = sql`least(c.next_read_at, (
    select min(t.at) from unnest(${policy.readAtHours}::integer[]) as hours cross join lateral (
      select ((c.usage_date + 1)::timestamp + hours * interval '1 hour') at time zone 'UTC' as at
    ) as t where t.at > ${now}::timestamptz))`;
  const next = sql`case when c.standing in ('final', 'waived') then ${sooner}
    else coalesce(${sooner}, ${now}::timestamptz) end`;
  await eachPage(ledger, sql`o.deleted_on is null`, async (trx, orgIds) => {
    await setCells(trx, {
      set: sql`next_read_at = ${next}`,
      where: sql`${isCellOfOrgs(orgIds, { from: horizonStart(nowMs, policy), to: LAST_DAY })}
        and c.reason is distinct from ${BEFORE_CREATION} and c.next_read_at is distinct from ${next}`,
    });
  });
  await inTransaction(ledger, async (trx) => {
    await sql`
      update losant_usage.instances set policy = ${stored}::text::jsonb,
        horizon_day = case when horizon_day <= ${horizonStart(nowMs, policy)}::date then horizon_day end
      where instance_id = ${instanceId}`.execute(trx);
  });
}

/**
 * Whether the ledger has a gap in a scope, or a number there whose newest read failed: what the command that asked for
 * these days answers for, whoever read them.
 */
export async function hasGaps(
  { db, instanceId }: InstanceLedger,
  { orgIds, streams, range }: DueScope,
): Promise<boolean> {
  const { from = null, to = null } = range ?? {};
  const isMeant = sql`${isAmong('c.org_id', orgIds)} and ${isAmong('c.stream', streams)}
    and c.usage_date between coalesce(${from}::date, '-infinity') and coalesce(${to}::date, 'infinity')`;
  const { rows } = await sql<{ isGap: boolean }>`
    select exists (
      select from losant_usage.coverage_gaps c where c.instance_id = ${instanceId} and ${isMeant}
    ) or exists (
      select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where o.instance_id = ${instanceId} and c.failed_reads > 0 and c.standing in ('stored', 'final') and ${isMeant}
    ) as "isGap"`.execute(db);
  return rows[0]?.isGap === true;
}
