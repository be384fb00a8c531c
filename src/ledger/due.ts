/** Finds what is due: cells whose next read has come. Everything else only sets that time. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { CellKey } from '../usage/cell.ts';
import { type DayRange, earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, LAST_DAY, type Policy } from '../usage/policy.ts';
import { isOf, setCells } from './coverage.ts';
import { type BeginOptions, beginWriting, eachPage } from './lease.ts';

/** The part of an instance that is exported; null for all of it. */
export interface DueScope {
  readonly instanceId: string;
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  /** The only days to read. */
  readonly range: DayRange | null;
}

export interface DueOptions {
  readonly nowMs: number;
  readonly policy: Policy;
}

/** The place of a page. */
export interface PageOptions extends DueOptions {
  /** The last organization of the page before; empty for the first page. */
  readonly afterOrgId: string;
  /** The oldest and the newest day to look at; null for any. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  /** Streams that are not asked for any more in this run. */
  readonly stopped: readonly string[];
  /** Only what was set due after this time, and after it was asked for; null for all. */
  readonly sinceMs: number | null;
}

/** The number of organizations on a page; small enough that a page's slices fit in a few megabytes. */
const ORGS_PER_PAGE = 100;

/**
 * Returns the condition that a cell `c` is due in the scope. The day is a sum, so that it is looked up in no index: in
 * a ledger just filled the planner would take the primary key, and read all days' rows for each organization.
 */
const isDue = ({ streams, range }: DueScope, options: PageOptions) => {
  const { nowMs, policy, from, to, stopped, sinceMs } = options;
  const since = sinceMs === null ? null : new Date(sinceMs).toISOString();
  return sql`c.next_read_at <= ${new Date(nowMs).toISOString()}::timestamptz
    and c.usage_date + 0 >= ${latestDay(from, range?.from, horizonStart(nowMs, policy))}::date
    and c.usage_date + 0 <= ${earliestDay(to, range?.to, LAST_DAY)}::date
    and (${streams}::text[] is null or c.stream = any (${streams}::text[])) and c.stream <> all (${stopped}::text[])
    and (${since}::timestamptz is null or c.next_read_at > greatest(${since}::timestamptz, c.attempted_at))`;
};

const isNamed = ({ orgIds }: DueScope) =>
  sql`(${orgIds}::text[] is null or o.org_id = any (${orgIds}::text[]))`;

/** Returns the due cells of the next organizations that have some, in the order of their ids; none at the end. */
export async function readDuePage(
  db: Kysely<Schema>,
  scope: DueScope,
  options: PageOptions,
): Promise<CellKey[]> {
  const { rows } = await sql<CellKey>`
    select c.org_id as "orgId", c.stream, c.usage_date as day
    from (
      select o.org_id from losant_usage.organizations o
      where o.instance_id = ${scope.instanceId} and o.org_id > ${options.afterOrgId} and ${isNamed(scope)}
        and exists (select from losant_usage.coverage c where c.org_id = o.org_id and ${isDue(scope, options)})
      order by o.org_id limit ${ORGS_PER_PAGE}
    ) as o
    join losant_usage.coverage c on c.org_id = o.org_id and ${isDue(scope, options)}
    order by c.org_id`.execute(db);
  return rows;
}

/** Returns the number of cells that are due in the scope. */
export async function countDue(db: Kysely<Schema>, scope: DueScope, options: DueOptions): Promise<number> {
  const all = { ...options, afterOrgId: '', from: null, to: null, stopped: [], sinceMs: null };
  const { rows } = await sql<{ cells: number }>`
    select coalesce(sum(c.cells), 0)::bigint as cells
    from losant_usage.organizations o cross join lateral (
      select count(*) as cells from losant_usage.coverage c where c.org_id = o.org_id and ${isDue(scope, all)}
    ) as c
    where o.instance_id = ${scope.instanceId} and ${isNamed(scope)}`.execute(db);
  return rows[0]?.cells as number;
}

/** Sets cells whose last read failed due now, because a person asked for a run. */
export async function retryFailed(
  db: Kysely<Schema>,
  write: BeginOptions,
  { scope, nowMs, policy }: DueOptions & { readonly scope: DueScope },
): Promise<void> {
  const now = new Date(nowMs).toISOString();
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, write);
    await setCells(trx, {
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`c.attempts > 0 and c.next_read_at > ${now}::timestamptz
        and c.usage_date >= ${horizonStart(nowMs, policy)}::date
        and o.instance_id = ${scope.instanceId} and ${isNamed(scope)}
        and (${scope.streams}::text[] is null or c.stream = any (${scope.streams}::text[]))`,
    });
  });
}

/** Sets all cells of organizations that have returned due now, as far as Losant keeps their days. */
export async function reopenCells(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  { nowMs, policy }: DueOptions,
): Promise<void> {
  if (orgIds.length === 0) return;
  await setCells(trx, {
    set: sql`next_read_at = ${new Date(nowMs).toISOString()}::timestamptz`,
    where: isOf(orgIds, { from: horizonStart(nowMs, policy), to: LAST_DAY }),
  });
}

/**
 * Sets the next reads of all cells inside the horizon anew if the policy is another one than the last: no later than
 * the next checkpoint, and now where a cell that is not settled had none.
 */
export async function applyPolicy(
  db: Kysely<Schema>,
  write: BeginOptions,
  { instanceId, nowMs, policy }: DueOptions & { readonly instanceId: string },
): Promise<void> {
  const stored = JSON.stringify(policy);
  const known = await sql`select from losant_usage.instances
    where instance_id = ${instanceId} and policy = ${stored}::text::jsonb`.execute(db);
  if (known.rows.length > 0) return;
  const now = new Date(nowMs).toISOString();
  const sooner = sql`least(c.next_read_at, (
    select min(t.at) from unnest(${policy.readAtHours}::integer[]) as hours cross join lateral (
      select ((c.usage_date + 1)::timestamp + hours * interval '1 hour') at time zone 'UTC' as at
    ) as t where t.at > ${now}::timestamptz))`;
  const next = sql`case when c.standing in ('final', 'accepted') then ${sooner}
    else coalesce(${sooner}, ${now}::timestamptz) end`;
  await eachPage(db, write, { instanceId, matches: sql`o.removed_on is null` }, async (trx, orgIds) => {
    await setCells(trx, {
      set: sql`next_read_at = ${next}`,
      where: sql`${isOf(orgIds, { from: horizonStart(nowMs, policy), to: LAST_DAY })}
        and c.reason is distinct from 'before_creation' and c.next_read_at is distinct from ${next}`,
    });
  });
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, write);
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
  db: Kysely<Schema>,
  { instanceId, orgIds, streams, range }: DueScope,
): Promise<boolean> {
  const isMeant = sql`(${orgIds}::text[] is null or c.org_id = any (${orgIds}::text[]))
    and (${streams}::text[] is null or c.stream = any (${streams}::text[]))
    and (${range?.from ?? null}::date is null or c.usage_date >= ${range?.from ?? null}::date)
    and (${range?.to ?? null}::date is null or c.usage_date <= ${range?.to ?? null}::date)`;
  const { rows } = await sql<{ isGap: boolean }>`
    select exists (
      select from losant_usage.coverage_gaps c where c.instance_id = ${instanceId} and ${isMeant}
    ) or exists (
      select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where o.instance_id = ${instanceId} and c.attempts > 0 and c.standing in ('stored', 'final') and ${isMeant}
    ) as "isGap"`.execute(db);
  return rows[0]?.isGap === true;
}
