/**
 * Creates the expected cells, and marks those unavailable that can no longer be read. A track's `next_day` is the first
 * day without a cell; it moves in the transaction that creates them.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { ORG_DELETED, PAST_HORIZON } from '../usage/cell.ts';
import { type DayRange, earliestDay, HOUR_MS, LAST_DAY, latestDay, type UsageDay } from '../usage/day.ts';
import { floorToWakeUp, horizonStart, lastEndedDay, type Policy } from '../usage/policy.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { countCellsOfOrg, IS_SETTLED, isCellOfOrgs, setCells } from './coverage.ts';
import { type DueScope, isMadeDue, selectCheckpoint } from './due.ts';
import { updateInstance } from './instance.ts';
import { eachPage, type LedgerWriter, repeatInTransactions } from './lease.ts';
import {
  advanceTracks,
  beginTracks,
  endOrResumeTracks,
  extendTracks,
  hasOtherTracks,
  lockOrgs,
  type NewDays,
  type TrackedScope,
} from './tracks.ts';

/** Brings tracks in line with what is configured and listed: each of them ends, begins, goes on or stays. */
export async function syncTracks(ledger: LedgerWriter, scope: TrackedScope): Promise<void> {
  const { policy } = ledger;
  const nowMs = ledger.now();
  const [yesterday, horizon] = [lastEndedDay(nowMs), horizonStart(nowMs, policy)];
  const newOrgsFrom = scope.selection === null ? sql<UsageDay>`coalesce(new_orgs_from, ${yesterday}::date)` : null;
  await updateInstance(ledger, { new_orgs_from: newOrgsFrom });
  // Usually everything stays, and one query shows it.
  const pages = {
    matches: hasOtherTracks(scope),
    cells: countCellsOfOrg({ from: horizon, to: yesterday }, streamNames),
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    const sync = { ...scope, orgIds, yesterday, horizon };
    await lockOrgs(trx, orgIds);
    await endOrResumeTracks(trx, sync);
    await beginTracks(trx, sync);
    // In the same transaction: a day that exists for other streams would look complete until its new cells are there.
    await createExpectedCellsOf(trx, orgIds, policy);
  });
}

/** Creates the expected cells up to yesterday, and marks cells unavailable that can no longer be read. Idempotent. */
export async function createExpectedCells(ledger: LedgerWriter): Promise<void> {
  const unrecorded = sql`from losant_usage.tracks t where t.org_id = o.org_id
    and t.next_day < losant_usage_internal.today() and (t.last_day is null or t.next_day <= t.last_day)`;
  const pages = {
    matches: sql`exists (select ${unrecorded})`,
    cells: sql`(select sum(least(t.last_day + 1, losant_usage_internal.today()) - t.next_day) ${unrecorded})`,
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    await lockOrgs(trx, orgIds);
    await createExpectedCellsOf(trx, orgIds, ledger.policy);
  });
  await markCellsUnavailable(ledger);
}

/** Creates the expected cells of organizations up to yesterday. Their tracks must be locked. */
export async function createExpectedCellsOf(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  policy: Policy,
): Promise<void> {
  await insertCells(trx, await advanceTracks(trx, orgIds), { policy, dueFrom: null });
}

/**
 * The order in which rows of the ledger are locked: organizations by org_id, which lock their tracks, coverage by
 * (usage_date, org_id, stream), then usage_days by (usage_date, org_id), each sorted within its statement. Every writer
 * follows it. It is easy to break, because a trigger rolls cells up into their day: whoever has changed cells holds day
 * rows, and must not lock further cells in the same transaction. That is why markCellsUnavailable opens a transaction
 * per kind of cell, and why this function locks cells and days from the first affected day on before anything is
 * created. The invariant that all of this protects: every day from a track's first_day up to its next_day has a cell,
 * so a crash leaves cells to create, never a hole that nobody looks for.
 */
export async function lockCellsOf(trx: Kysely<Schema>, orgIds: readonly string[], from: UsageDay): Promise<void> {
  await sql`
    select from losant_usage.coverage c where ${isCellOfOrgs(orgIds, { from, to: LAST_DAY })}
    order by c.usage_date, c.org_id, c.stream for update`.execute(trx);
  await sql`
    select from losant_usage.usage_days d where d.org_id = any (${orgIds}::text[]) and d.usage_date >= ${from}::date
    order by d.usage_date, d.org_id for update`.execute(trx);
}

interface CreationOptions {
  readonly policy: Policy;
  /** The earliest time at which the cells are due; null for their first checkpoint. */
  readonly dueFrom: Instant | null;
}

/** Inserts the cells of days, in key order. */
async function insertCells(trx: Kysely<Schema>, newDays: readonly NewDays[], { policy, dueFrom }: CreationOptions) {
  if (newDays.length === 0) return;
  const firstRead = selectCheckpoint('n', sql`${Math.min(...policy.readAtHours)}::integer`);
  // A day row that other streams have completed is waiting again. Streams without metrics make no day wait.
  await sql`
    with inserted as (
      insert into losant_usage.coverage (usage_date, org_id, stream, next_read_at, reason)
      select n.usage_date, n.org_id, n.stream, greatest(${firstRead}, ${dueFrom}::timestamptz), 'never_read'
      from (
        select day::date as usage_date, t.org_id, t.stream
        from unnest(${newDays.map((each) => each.org_id)}::text[], ${newDays.map(({ stream }) => stream)}::text[],
          ${newDays.map((each) => each.first_day)}::date[], ${newDays.map((each) => each.last_day)}::date[]
        ) as t (org_id, stream, first_day, last_day)
        cross join lateral generate_series(t.first_day::timestamp, t.last_day::timestamp, interval '1 day') as day
      ) as n
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
}

/**
 * Marks cells that can no longer be read, page by page: cells past the horizon and cells of deleted organizations have
 * no next read, and are `unavailable` unless they are final or waived.
 */
async function markCellsUnavailable(ledger: LedgerWriter): Promise<void> {
  const horizon = horizonStart(ledger.now(), ledger.policy);
  // One transaction each: one that has changed days must not lock more cells, which come first in the lock order.
  await repeatInTransactions(ledger, (trx, limit) =>
    setCells(trx, {
      limit,
      set: unavailableColumns({ reason: PAST_HORIZON, detail: 'Losant no longer retains this day' }),
      // The first condition is that of an index.
      where: sql`c.standing <> 'final' and c.month <= ${horizon}::date and c.usage_date < ${horizon}::date
        and (c.next_read_at is not null or c.standing in ('stored', 'waiting', 'in_doubt', 'missing'))`,
    }),
  );
  await repeatInTransactions(ledger, (trx, limit) =>
    setCells(trx, {
      limit,
      set: sql`next_read_at = null, failed_reads = 0, reason = null, detail = null`,
      where: sql`c.standing = 'final' and c.failed_reads > 0 and c.usage_date < ${horizon}::date`,
    }),
  );
  await repeatInTransactions(ledger, (trx, limit) =>
    setCells(trx, {
      limit,
      set: unavailableColumns({ reason: ORG_DELETED, detail: 'the organization was deleted' }),
      where: sql`o.deleted_on is not null and c.next_read_at is not null`,
    }),
  );
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
  /** Whether tracks are extended to the range first, as a backfill does. */
  readonly extendsTracks: boolean;
  /** Whether stored cells are read again too. */
  readonly force: boolean;
}

/**
 * Makes the cells of a range due, page by page: those that are not stored, or all of them. A backfill first extends the
 * tracks to the range. The days between the range and the old track become expected too; later runs read them. Skips
 * days past the horizon. Needs no lease. Returns the number of existing cells that became due.
 */
export async function markDaysDue(ledger: LedgerWriter, options: MarkDueOptions): Promise<number> {
  const { orgIds: requestedOrgIds, streams, range, extendsTracks, force } = options;
  const { policy } = ledger;
  const nowMs = ledger.now();
  const from = latestDay(range.from, horizonStart(nowMs, policy));
  const to = earliestDay(range.to, lastEndedDay(nowMs));
  let markedCells = 0;
  if (from > to) return markedCells;
  const now = new Date(nowMs).toISOString();
  const later = new Date(floorToWakeUp(nowMs + HOUR_MS)).toISOString();
  const pages = {
    matches: sql`o.deleted_on is null and ${isAmong('o.org_id', requestedOrgIds)}`,
    cells: countCellsOfOrg({ from, to: extendsTracks ? lastEndedDay(nowMs) : to }, streams ?? streamNames),
  };
  await eachPage(ledger, pages, async (trx, orgIds) => {
    if (extendsTracks) {
      const isInScope: RawBuilder<unknown> = sql`${isAny('t.org_id', orgIds)} and ${isAmong('t.stream', streams)}`;
      await lockOrgs(trx, orgIds);
      const earlierDays = await extendTracks(trx, { from, to }, isInScope);
      const laterDays = await advanceTracks(trx, orgIds);
      await lockCellsOf(trx, orgIds, from);
      await insertCells(trx, [...earlierDays, ...laterDays], { policy, dueFrom: later });
    }
    markedCells += await setCells(trx, {
      set: sql`next_read_at = ${now}::timestamptz`,
      where: sql`${isCellOfOrgs(orgIds, { from, to })} and ${isAmong('c.stream', streams)} and o.deleted_on is null
        and ${isMadeDue(force, now)}`,
    });
  });
  return markedCells;
}
