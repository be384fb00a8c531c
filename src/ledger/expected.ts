/**
 * Creates the expected cells, and marks those unavailable that can no longer be read. A track's `next_day` is the first
 * day without a cell; it moves in the transaction that creates them.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { BEFORE_CREATION, ORG_DELETED, PAST_HORIZON } from '../usage/cell.ts';
import { type DayRange, earliestDay, FIRST_DAY, LAST_DAY, latestDay, type UsageDay } from '../usage/day.ts';
import { horizonStart, lastEndedDay, type Policy } from '../usage/policy.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import {
  type CellChange,
  countCellsOfOrg,
  IS_SETTLED,
  isCellOfOrgs,
  liftWaivers,
  requireAll,
  setCells,
} from './coverage.ts';
import { type DueScope, isMadeDue, selectCheckpoint } from './due.ts';
import { addTotals, updateInstance } from './instances.ts';
import { eachPage, type LedgerWriter, repeatInTransactions } from './lease.ts';
import type { RunLedger } from './load.ts';
import {
  addToTracks,
  advanceTracks,
  beginTracks,
  countNewCells,
  endTracks,
  hasOtherTracks,
  lockOrgs,
  resumeTracks,
  selectAddedDays,
  type TrackedScope,
} from './tracks.ts';

/** Brings tracks in line with what is configured and listed: each of them ends, begins, returns or stays. */
export async function syncTracks(ledger: LedgerWriter, scope: TrackedScope): Promise<void> {
  const { policy } = ledger;
  const nowMs = ledger.now();
  const [yesterday, horizon] = [lastEndedDay(nowMs), horizonStart(nowMs, policy)];
  // A retired instance has no streams, and keeps its first days: what was compared with control totals stays compared.
  if (scope.streams.length > 0) await recordFirstDays(ledger, scope, yesterday);
  // Usually everything stays, and one query shows it.
  const pages = { matches: hasOtherTracks(scope), cells: countNewCells(scope, { yesterday, horizon }) };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    const sync = { ...scope, orgIds, yesterday, horizon };
    await lockOrgs(trx, orgIds);
    await endTracks(trx, sync);
    await resumeTracks(trx, sync);
    await beginTracks(trx, sync);
    // In the same transaction: a day that exists for other streams would look complete until its new cells are there.
    await createExpectedCellsOf(trx, orgIds, { policy });
  });
}

/** Records from which day on the instance is collected, and new organizations are tracked; ends a retirement. */
async function recordFirstDays(ledger: LedgerWriter, { selection }: TrackedScope, yesterday: UsageDay): Promise<void> {
  const newOrgsFrom = selection === null ? sql<UsageDay>`coalesce(new_orgs_from, ${yesterday}::date)` : null;
  const collectedFrom = sql<UsageDay>`coalesce(collected_from, ${yesterday}::date)`;
  // A run may have waited while the instance was retired.
  await updateInstance(ledger, { new_orgs_from: newOrgsFrom, collected_from: collectedFrom, retired_at: null });
}

/** Creates the expected cells up to yesterday, and marks cells unavailable that can no longer be read. Idempotent. */
export async function createExpectedCells(ledger: RunLedger): Promise<void> {
  const unrecorded = sql`from losant_usage.tracks t where t.org_id = o.org_id
    and t.next_day < losant_usage_internal.today() and (t.last_day is null or t.next_day <= t.last_day)`;
  const pages = {
    matches: sql`exists (select ${unrecorded})`,
    cells: sql`(select sum(least(t.last_day + 1, losant_usage_internal.today()) - t.next_day) ${unrecorded})`,
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    await lockOrgs(trx, orgIds);
    await createExpectedCellsOf(trx, orgIds, ledger);
  });
  await markCellsUnavailable(ledger);
}

interface CreationOptions {
  readonly policy: Policy;
  /** The earliest time at which the cells are due; null for their first checkpoint. */
  readonly dueFrom?: Instant | null;
  /** The first day of existing cells that the transaction changes later; null if it changes none. */
  readonly lockFrom?: UsageDay | null;
}

/** Creates the expected cells of organizations up to yesterday. Their tracks must be locked. */
export async function createExpectedCellsOf(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  { policy, dueFrom = null, lockFrom = null }: CreationOptions,
): Promise<void> {
  const newDays = await advanceTracks(trx, orgIds);
  if (lockFrom !== null) await lockCellsOf(trx, orgIds, lockFrom);
  if (newDays.length === 0) return;
  const cells = sql`select day::date as usage_date, t.org_id, t.stream
    from unnest(${newDays.map((each) => each.org_id)}::text[], ${newDays.map(({ stream }) => stream)}::text[],
      ${newDays.map((each) => each.first_day)}::date[], ${newDays.map((each) => each.last_day)}::date[]
    ) as t (org_id, stream, first_day, last_day)
    cross join lateral generate_series(t.first_day::timestamp, t.last_day::timestamp, interval '1 day') as day`;
  const firstRead = selectCheckpoint('n', sql`${Math.min(...policy.readAtHours)}::integer`);
  await insertCells(trx, cells, sql`greatest(${firstRead}, ${dueFrom}::timestamptz)`);
}

/**
 * The order in which rows of the ledger are locked: organizations by org_id, which lock their tracks, coverage by
 * (usage_date, org_id, stream), usage_days by (usage_date, org_id), then instance_totals, each sorted within its
 * statement. Every writer follows it. It is easy to break, because a trigger rolls cells up into their day: whoever has
 * changed cells holds day rows, and must not lock further cells in the same transaction. That is why
 * markCellsUnavailable opens a transaction per kind of cell, and why this function locks cells and days from the first
 * affected day on before anything is created. The invariant that all of this protects: every day from a track's
 * first_day up to its next_day has a cell, so a crash leaves cells to create, never a hole that nobody looks for.
 */
export async function lockCellsOf(trx: Kysely<Schema>, orgIds: readonly string[], from: UsageDay): Promise<void> {
  await sql`
    select from losant_usage.coverage c where ${isCellOfOrgs(orgIds, { from, to: LAST_DAY })}
    order by c.usage_date, c.org_id, c.stream for update`.execute(trx);
  await sql`
    select from losant_usage.usage_days d where d.org_id = any (${orgIds}::text[]) and d.usage_date >= ${from}::date
    order by d.usage_date, d.org_id for update`.execute(trx);
}

/** Inserts the cells `n` of a query in key order, due at `readAt`. Throws DatabaseError if one was dropped. */
async function insertCells(trx: Kysely<Schema>, cells: RawBuilder<unknown>, readAt: RawBuilder<unknown>) {
  // A day row that other streams have completed is waiting again. Streams without metrics make no day wait.
  await sql`
    with inserted as (
      insert into losant_usage.coverage (usage_date, org_id, stream, next_read_at, reason)
      select n.usage_date, n.org_id, n.stream, ${readAt}, 'never_read' from (${cells}) as n
      order by n.usage_date, n.org_id, n.stream on conflict do nothing
      returning usage_date, org_id, stream in (select stream from losant_usage.metrics) as has_metrics
    )
    insert into losant_usage.usage_days as d (usage_date, org_id, standing, is_waiting)
    select i.usage_date, i.org_id, max('waiting'::losant_usage.standing) filter (where i.has_metrics),
      bool_or(i.has_metrics)
    from inserted i group by i.usage_date, i.org_id order by i.usage_date, i.org_id
    on conflict (usage_date, org_id) do update
      set standing = greatest(d.standing, 'waiting'), is_waiting = true, is_stored = false
      where excluded.is_waiting and (d.is_stored or not d.is_waiting)`.execute(trx);
  // The offset forces lookups by key: a freshly filled table would be read as a whole for each page.
  const { rows } = await sql<{ table: string; expected: number; present: number }>`
    select 'coverage' as table, count(*) as expected, count(k.org_id) as present
    from (${cells}) as n left join lateral (
      select c.org_id from losant_usage.coverage c
      where c.org_id = n.org_id and c.usage_date = n.usage_date and c.stream = n.stream offset 0
    ) as k on true
    union all
    select 'usage_days', count(*), count(k.org_id)
    from (select distinct n.usage_date, n.org_id from (${cells}) as n) as n left join lateral (
      select d.org_id from losant_usage.usage_days d
      where d.org_id = n.org_id and d.usage_date = n.usage_date offset 0
    ) as k on true`.execute(trx);
  for (const { table, expected, present } of rows) requireAll(table, expected, present);
  await addTotals(trx, cells);
}

/**
 * Marks cells that can no longer be read, page by page: cells past the horizon and cells of deleted organizations have
 * no next read, and are `unavailable` unless they are final or waived. Cells before a creation date that moved later
 * are waived, and can be read again if it moves back.
 */
async function markCellsUnavailable(ledger: RunLedger): Promise<void> {
  const { instanceId, policy, runId } = ledger;
  const nowMs = ledger.now();
  const horizon = horizonStart(nowMs, policy);
  const isOfInstance = sql`o.instance_id = ${instanceId}`;
  const pastHorizon = { reason: PAST_HORIZON, detail: 'Losant no longer retains this day' };
  const orgDeleted = { reason: ORG_DELETED, detail: 'the organization was deleted' };
  // One transaction each: one that has changed days must not lock more cells, which come first in the lock order.
  const change = (cells: CellChange, record?: RawBuilder<unknown>) =>
    repeatInTransactions(ledger, (trx, limit) => setCells(trx, { ...cells, limit }, record));
  await change({
    set: unavailableColumns(pastHorizon),
    where: sql`${isOfInstance} and c.usage_date < ${horizon}::date
      and c.usage_date >= (select coalesce(i.horizon_day, ${FIRST_DAY}::date) from losant_usage.instances i
        where i.instance_id = ${instanceId})
      and (c.next_read_at is not null or c.standing in ('stored', 'waiting', 'in_doubt', 'missing'))`,
  });
  // Last, because cells before it are not looked at again.
  await updateInstance(ledger, { horizon_day: horizon });
  const isOfDeletedOrg = sql`${isOfInstance} and o.deleted_on is not null and c.next_read_at is not null`;
  await repeatInTransactions(ledger, async (trx, limit) => {
    // Locked first: another instance may just be taking one over, with all of its cells due.
    await sql`select from losant_usage.organizations o
      where exists (select from losant_usage.coverage c where c.org_id = o.org_id and ${isOfDeletedOrg})
      order by o.org_id for no key update`.execute(trx);
    return await setCells(trx, { limit, set: unavailableColumns(orgDeleted), where: isOfDeletedOrg });
  });
  const beforeCreation = {
    set: sql`next_read_at = null, standing = 'waived', reason = ${BEFORE_CREATION},
      detail = 'the organization was created later'`,
    where: sql`${isOfInstance} and c.usage_date < o.created_on and not c.is_stored
      and c.standing in ('waiting', 'missing', 'unavailable')`,
  };
  await change(
    beforeCreation,
    sql`insert into losant_usage.waivers (usage_date, org_id, stream, reason, waived_by_run)
      select usage_date, org_id, stream, ${BEFORE_CREATION}, ${runId}::uuid from cells
      order by usage_date, org_id, stream`,
  );
  const isReadable = sql`c.usage_date >= ${horizon}::date`;
  const createdEarlier = {
    set: sql`
      next_read_at = case when ${isReadable} then ${new Date(nowMs).toISOString()}::timestamptz end,
      standing = (case when ${isReadable} then 'waiting' else 'unavailable' end)::losant_usage.standing,
      reason = case when ${isReadable} then 'never_read' else ${pastHorizon.reason} end,
      detail = case when not ${isReadable} then ${pastHorizon.detail} end`,
    where: sql`${isOfInstance} and o.deleted_on is null and c.usage_date >= o.created_on
      and c.standing = 'waived' and (c.usage_date, c.org_id, c.stream) in (
        select w.usage_date, w.org_id, w.stream from losant_usage.waivers w
        where w.kind = 'program' and w.lifted_at is null)`,
  };
  await change(createdEarlier, liftWaivers(sql`cells`, runId));
}

/** Returns the columns of a cell that can no longer be read. */
function unavailableColumns({ reason, detail }: { reason: string; detail: string }) {
  // Also ends the retries of a final cell.
  return sql`next_read_at = null, failed_reads = 0,
    standing = case when ${IS_SETTLED} then c.standing else 'unavailable' end,
    reason = case c.standing when 'final' then null when 'waived' then c.reason else ${reason} end,
    detail = case c.standing when 'final' then null when 'waived' then c.detail else ${detail} end`;
}

export interface MarkDueOptions extends DueScope {
  readonly range: DayRange;
  /** Whether to create the cells of the range first, as a backfill does. */
  readonly insertsCells: boolean;
  /** Whether stored cells are read again too. */
  readonly force: boolean;
}

/**
 * Makes the cells of a range due, page by page: those that are not stored, or all of them. A backfill first adds the
 * days to the tracks, and creates their cells. Skips days past the horizon. Needs no lease. Returns the number of
 * existing cells that became due.
 */
export async function markDaysDue(ledger: LedgerWriter, options: MarkDueOptions): Promise<number> {
  const { orgIds: requestedOrgIds, streams, range, insertsCells, force } = options;
  const { policy } = ledger;
  const nowMs = ledger.now();
  const from = latestDay(range.from, horizonStart(nowMs, policy));
  const to = earliestDay(range.to, lastEndedDay(nowMs));
  let markedCells = 0;
  if (from > to) return markedCells;
  const now = new Date(nowMs).toISOString();
  if (insertsCells && requestedOrgIds === null && streams === null) {
    // Before the days are added: if the backfill is killed in between, the missing days block their months.
    const isLater = sql`collected_from > ${from}::date`;
    const collectedFrom = sql<UsageDay>`case when ${isLater} then ${from}::date else collected_from end`;
    await updateInstance(ledger, { collected_from: collectedFrom });
  }
  const pages = {
    matches: sql`o.deleted_on is null and ${isAmong('o.org_id', requestedOrgIds)}`,
    cells: countCellsOfOrg({ from, to: insertsCells ? lastEndedDay(nowMs) : to }, streams ?? streamNames),
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    if (insertsCells) {
      const isInScope = sql`${isAny('t.org_id', orgIds)} and ${isAmong('t.stream', streams)}`;
      await lockOrgs(trx, orgIds);
      await addToTracks(trx, selectAddedDays({ from, to }, isInScope));
      await createExpectedCellsOf(trx, orgIds, { policy, dueFrom: now, lockFrom: from });
    }
    markedCells += await setCells(trx, {
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`${isCellOfOrgs(orgIds, { from, to })} and ${isAmong('c.stream', streams)} and o.deleted_on is null
        and ${isMadeDue(force, now)}`,
    });
  });
  return markedCells;
}
