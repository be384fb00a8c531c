/**
 * Creates the expected cells, and marks those unavailable that can no longer be read. A track's `next_day` is the first
 * day without cells; it moves in the transaction that creates them.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { BEFORE_CREATION, ORG_DELETED, PAST_HORIZON } from '../usage/cell.ts';
import { type DayRange, earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { FIRST_DAY, horizonStart, LAST_DAY, lastEndedDay, type Policy } from '../usage/policy.ts';
import { liftWaiversBeforeCreation, waiveCellsBeforeCreation } from './before-creation.ts';
import { isCellOfOrgs, requireAll, setCells } from './coverage.ts';
import type { DueScope } from './due.ts';
import { eachPage, type InstanceLedger, inTransaction, type LedgerWriter } from './lease.ts';
import type { RunLedger } from './load.ts';

/** The organizations and streams that the settings choose. */
interface TrackedScope {
  readonly streams: readonly string[];
  /** Null for all organizations. */
  readonly selection: readonly string[] | null;
}

/**
 * Brings tracks in line with what is configured and listed. Tracks that end: no longer configured (yesterday),
 * deleted (the day before the deletion was noticed). Tracks that begin: a new organization (its creation day), a
 * later choice (yesterday), a return (where it ended, or the horizon).
 */
export async function syncTracks(
  ledger: LedgerWriter,
  { streams, selection: orgIds }: TrackedScope,
): Promise<void> {
  const { instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const [yesterday, horizon] = [lastEndedDay(nowMs), horizonStart(nowMs, policy)];
  await inTransaction(ledger, async (trx) => {
    const from = orgIds === null ? sql`coalesce(new_orgs_from, ${yesterday}::date)` : sql`null`;
    await sql`update losant_usage.instances set new_orgs_from = ${from}
      where instance_id = ${instanceId} and new_orgs_from is distinct from ${from}`.execute(trx);
  });
  // Usually nothing begins or ends, and one query over all tracks shows it.
  const matches = sql`(
    select case when o.deleted_on is not null then max(coalesce(t.last_day, 'infinity')) > o.deleted_on - 1
      when ${isAmong('o.org_id', orgIds)}
        then count(*) filter (where t.last_day is null and t.stream = any (${streams}::text[]))
            < ${streams.length}::integer
          or bool_or(t.last_day is null and t.stream <> all (${streams}::text[]))
      else bool_or(t.last_day is null) end
    from losant_usage.tracks t where t.org_id = o.org_id)`;
  await eachPage(ledger, matches, async (trx, page) => {
    await lockTracks(trx, page);
    const isChosen = sql`(t.stream = any (${streams}::text[]) and ${isAmong('t.org_id', orgIds)})`;
    await sql`
      update losant_usage.tracks t set last_day = k.last_day
      from (
        select t.org_id, t.stream,
          least(o.deleted_on - 1, case when not ${isChosen} then ${yesterday}::date end) as last_day
        from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
        where t.org_id = any (${page}::text[])
          and (t.last_day > o.deleted_on - 1 or (t.last_day is null and (o.deleted_on is not null or not ${isChosen})))
        order by t.org_id, t.stream for update of t
      ) as k
      where t.org_id = k.org_id and t.stream = k.stream`.execute(trx);
    await sql`
      insert into losant_usage.tracks as t (org_id, stream, first_day, next_day)
      select o.org_id, s.stream, f.day, f.day
      from losant_usage.organizations o
      join losant_usage.instances i on i.instance_id = o.instance_id
      cross join unnest(${streams}::text[]) as s (stream)
      cross join lateral (
        select greatest(o.created_on, case when i.new_orgs_from is not null
            and not exists (select from losant_usage.tracks k where k.org_id = o.org_id)
          then greatest(i.new_orgs_from, ${horizon}::date) else ${yesterday}::date end) as day
      ) as f
      where o.org_id = any (${page}::text[]) and o.deleted_on is null
        and ${isAmong('o.org_id', orgIds)}
        and not exists (select from losant_usage.tracks k
          where k.org_id = o.org_id and k.stream = s.stream and k.last_day is null)
      order by o.org_id, s.stream collate "C"
      on conflict (org_id, stream) do update set last_day = null,
        first_day = case when t.next_day < ${horizon}::date then ${horizon}::date else t.first_day end,
        next_day = greatest(t.next_day, ${horizon}::date)`.execute(trx);
    // In the same transaction: a day that exists because of other streams would look complete until its new cells
    // are there.
    await createExpectedCellsOf(trx, page, policy);
  });
}

/** Creates the expected cells up to yesterday, and marks cells unavailable that can no longer be read. Idempotent. */
export async function createExpectedCells(ledger: RunLedger): Promise<void> {
  const matches = sql`exists (
    select from losant_usage.tracks t where t.org_id = o.org_id and t.next_day < losant_usage_internal.today()
      and (t.last_day is null or t.next_day <= t.last_day))`;
  await eachPage(ledger, matches, (trx, orgIds) => createExpectedCellsOf(trx, orgIds, ledger.policy));
  await markCellsUnavailable(ledger);
}

/** Creates the expected cells of these organizations up to yesterday, and moves the `next_day` of their tracks. */
export async function createExpectedCellsOf(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  policy: Policy,
): Promise<void> {
  await lockTracks(trx, orgIds);
  const days = sql`select usage_date, org_id, stream from losant_usage_internal.unrecorded_cells
    where org_id = any (${orgIds}::text[])`;
  const firstRead = sql`((n.usage_date + 1)::timestamp + ${Math.min(...policy.readAtHours)}::integer
    * interval '1 hour') at time zone 'UTC'`;
  await insertCells(trx, days, firstRead);
  await sql`
    update losant_usage.tracks t
    set next_day = greatest(t.next_day, least(t.last_day + 1, losant_usage_internal.today()))
    where t.org_id = any (${orgIds}::text[]) and t.next_day < losant_usage_internal.today()
      and (t.last_day is null or t.next_day <= t.last_day)`.execute(trx);
}

async function lockTracks(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<void> {
  await sql`select from losant_usage.tracks where org_id = any (${orgIds}::text[])
    order by org_id, stream for update`.execute(trx);
}

/**
 * The order in which rows of the ledger are locked: organizations by org_id, tracks by (org_id, stream), coverage by
 * (usage_date, org_id, stream), usage_days by (usage_date, org_id), then instance_totals, each sorted within its
 * statement. Every writer follows it. It is easy to break,
 * because a trigger rolls cells up into their day: whoever has changed cells holds day rows, and must not lock further
 * cells in the same transaction. That is why markCellsUnavailable opens a transaction per kind of cell, and why this
 * function locks cells and days from the first affected day on before anything is created. The invariant that all of
 * this protects: every day from a track's first_day up to its next_day has a cell, so a crash leaves cells to be
 * created, never a hole that nobody would look for.
 */
export async function lockOrgs(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  from: UsageDay,
): Promise<void> {
  await lockTracks(trx, orgIds);
  await sql`
    select from losant_usage.coverage c where ${isCellOfOrgs(orgIds, { from, to: LAST_DAY })}
    order by c.usage_date, c.org_id, c.stream for update`.execute(trx);
  await sql`
    select from losant_usage.usage_days d where d.org_id = any (${orgIds}::text[]) and d.usage_date >= ${from}::date
    order by d.usage_date, d.org_id for update`.execute(trx);
}

/**
 * Inserts the cells `n` of a query in key order, due at `readAt`. Throws DatabaseError if the database dropped one,
 * because it would never be read.
 */
async function insertCells(
  trx: Kysely<Schema>,
  cells: RawBuilder<unknown>,
  readAt: RawBuilder<unknown>,
): Promise<void> {
  // A day row that other streams have completed is waiting again.
  await sql`
    with inserted as (
      insert into losant_usage.coverage (usage_date, org_id, stream, next_read_at, reason)
      select n.usage_date, n.org_id, n.stream, ${readAt}, 'never_read' from (${cells}) as n
      order by n.usage_date, n.org_id, n.stream on conflict do nothing
      returning usage_date, org_id
    )
    insert into losant_usage.usage_days as d (usage_date, org_id)
    select distinct i.usage_date, i.org_id from inserted i order by i.usage_date, i.org_id
    on conflict (usage_date, org_id) do update
      set standing = greatest(d.standing, 'waiting'), is_waiting = true, is_stored = false
      where d.is_stored or not d.is_waiting`.execute(trx);
  const { rows } = await sql<{ expected: number; present: number }>`
    select count(*) as expected, count(c.stream) filter (where d.org_id is not null) as present from (${cells}) as n
    left join losant_usage.coverage c on c.usage_date = n.usage_date and c.org_id = n.org_id and c.stream = n.stream
    left join losant_usage.usage_days d on d.usage_date = n.usage_date and d.org_id = n.org_id`.execute(trx);
  requireAll('coverage', rows[0]?.expected ?? 0, rows[0]?.present ?? 0);
}

/**
 * Marks cells that can no longer be read: cells past the horizon and cells of deleted organizations have no next read,
 * and are `unavailable` unless they are final or waived. Cells before a creation date that moved later are waived, and
 * can be read again if it moves back.
 */
async function markCellsUnavailable(ledger: RunLedger): Promise<void> {
  const { instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const horizon = horizonStart(nowMs, policy);
  const isOfInstance = sql`o.instance_id = ${instanceId}`;
  const pastHorizon = { reason: PAST_HORIZON, detail: 'Losant no longer retains this day' };
  const orgDeleted = { reason: ORG_DELETED, detail: 'the organization was deleted' };
  await inTransaction(ledger, async (trx) => {
    await setCells(trx, {
      set: unavailableColumns(pastHorizon),
      where: sql`${isOfInstance} and c.usage_date < ${horizon}::date
        and c.usage_date >= (select coalesce(i.horizon_day, ${FIRST_DAY}::date) from losant_usage.instances i
          where i.instance_id = ${instanceId})
        and (c.next_read_at is not null or c.standing in ('stored', 'waiting', 'in_doubt', 'missing'))`,
    });
    await sql`update losant_usage.instances set horizon_day = ${horizon}::date
      where instance_id = ${instanceId} and horizon_day is distinct from ${horizon}::date`.execute(trx);
  });
  // One transaction each: a transaction that has changed days must not lock more cells, which come first in the
  // lock order.
  await inTransaction(ledger, async (trx) => {
    const where = sql`${isOfInstance} and o.deleted_on is not null and c.next_read_at is not null`;
    await setCells(trx, { set: unavailableColumns(orgDeleted), where });
  });
  await inTransaction(ledger, (trx) => waiveCellsBeforeCreation(trx, ledger));
  const isReadable = sql`c.usage_date >= ${horizon}::date`;
  const columns = sql`
    next_read_at = case when ${isReadable} then ${new Date(nowMs).toISOString()}::timestamptz end,
    standing = (case when ${isReadable} then 'waiting' else 'unavailable' end)::losant_usage.standing,
    reason = case when ${isReadable} then 'never_read' else ${pastHorizon.reason} end,
    detail = case when not ${isReadable} then ${pastHorizon.detail} end`;
  await inTransaction(ledger, (trx) => liftWaiversBeforeCreation(trx, ledger, columns));
}

/** Returns the columns of a cell that can no longer be read. */
function unavailableColumns({ reason, detail }: { readonly reason: string; readonly detail: string }) {
  const isSettled = sql`c.standing in ('final', 'waived')`;
  // Also ends the retries of a final cell.
  return sql`next_read_at = null, failed_reads = 0,
    standing = case when ${isSettled} then c.standing else 'unavailable' end,
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
 * Makes the cells of a range due: those that are not stored, or all of them. A backfill first creates the cells of the
 * range and of the days between it and the first day of the track, on which the organization existed. Skips days past
 * the horizon. Needs no lease. Returns the number of existing cells that became due. Throws SettingsError if a named
 * organization or stream has no track.
 */
export async function markDaysDue(ledger: LedgerWriter, options: MarkDueOptions): Promise<number> {
  const { orgIds: requestedOrgIds, streams, range, insertsCells, force } = options;
  const nowMs = ledger.now();
  const from = latestDay(range.from, horizonStart(nowMs, ledger.policy));
  const to = earliestDay(range.to, lastEndedDay(nowMs));
  await requireTracks(ledger, options);
  let markedCells = 0;
  if (from > to) return markedCells;
  const now = sql`${new Date(nowMs).toISOString()}::timestamptz`;
  const matches = sql`o.deleted_on is null and ${isAmong('o.org_id', requestedOrgIds)}`;
  await eachPage(ledger, matches, async (trx, orgIds) => {
    if (insertsCells) {
      const isInScope = sql`t.org_id = any (${orgIds}::text[]) and ${isAmong('t.stream', streams)}`;
      await lockOrgs(trx, orgIds, from);
      await insertCells(trx, selectBackfillCells({ from, to }, isInScope), now);
      await extendTracks(trx, { from, to }, isInScope);
    }
    markedCells += await setCells(trx, {
      set: sql`next_read_at = ${now}`,
      where: sql`${isCellOfOrgs(orgIds, { from, to })} and ${isAmong('c.stream', streams)} and o.deleted_on is null
        and c.reason is distinct from ${BEFORE_CREATION}
        and (${force}::boolean or (not c.is_stored and (c.next_read_at <= ${now}) is not true))`,
    });
  });
  return markedCells;
}

/** Returns the first day of a backfill for an organization `o`. */
const firstDay = (from: UsageDay) => sql`greatest(${from}::date, o.created_on)`;

/**
 * Selects the cells that a backfill has to create. Days from `next_day` on are left to the next run, unless the
 * track has ended.
 */
export function selectBackfillCells(
  { from, to }: DayRange,
  matches: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    select day::date as usage_date, t.org_id, t.stream
    from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    cross join lateral generate_series(${firstDay(from)}::timestamp,
      greatest(t.first_day - 1,
        case when t.last_day is null then least(${to}::date, t.next_day - 1) else ${to}::date end)::timestamp,
      interval '1 day') as day
    where ${matches} and o.deleted_on is null`;
}

/** Extends the tracks to the days that a backfill has added. */
async function extendTracks(
  trx: Kysely<Schema>,
  { from, to }: DayRange,
  matches: RawBuilder<unknown>,
): Promise<void> {
  const first = firstDay(from);
  // An ended track is extended only if the new days join it without a hole.
  const isJoined = sql`t.last_day is not null and ${first} <= t.next_day and t.next_day <= ${to}::date`;
  await sql`
    update losant_usage.tracks t set first_day = least(t.first_day, ${first}),
      last_day = case when ${isJoined} then ${to}::date else t.last_day end,
      next_day = case when ${isJoined} then ${to}::date + 1 else t.next_day end
    from losant_usage.organizations o
    where o.org_id = t.org_id and ${matches} and o.deleted_on is null
      and (t.first_day > ${first} or ${isJoined})`.execute(trx);
}

/** Throws SettingsError if an organization or stream of the scope has no track. */
export async function requireTracks(
  { db, instanceId }: InstanceLedger,
  { orgIds, streams }: DueScope,
): Promise<void> {
  if (orgIds === null && streams === null) return;
  const { rows } = await sql<{ orgs: string[]; streams: string[] }>`
    select coalesce(array_agg(distinct t.org_id), '{}') as orgs, coalesce(array_agg(distinct t.stream), '{}') as streams
    from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    where o.instance_id = ${instanceId} and ${isAmong('t.org_id', orgIds)}
      and ${isAmong('t.stream', streams)}`.execute(db);
  const tracked = rows[0] ?? { orgs: [], streams: [] };
  const org = orgIds?.find((each) => !tracked.orgs.includes(each));
  const stream = streams?.find((each) => !tracked.streams.includes(each));
  if (org === undefined && stream === undefined) return;
  const option = org === undefined ? `--stream ${stream}` : `--org ${org}`;
  throw toUntrackedError(option, instanceId);
}

/** Returns the error for a command whose option names an organization or stream that is not tracked. */
export function toUntrackedError(option: string, instanceId: string): SettingsError {
  return new SettingsError(`${option}: not tracked in instance ${instanceId}`, {
    hint: 'check the value, and LOSANT_ORG_IDS and STREAMS, which say what is tracked',
  });
}
