/**
 * Tracks: spans of days for which the cells of an organization and stream are expected. The tracks of a stream neither
 * touch nor overlap, and every day from a track's first day up to its `next_day` has a cell.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { compareText } from '../usage/cell.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import type { DueScope } from './due.ts';
import type { InstanceLedger } from './lease.ts';

/** The organizations and streams that the settings choose. */
export interface TrackedScope {
  readonly streams: readonly string[];
  /** Null for all organizations. */
  readonly selection: readonly string[] | null;
}

/** A page of organizations whose tracks follow the settings. */
interface TrackSync extends TrackedScope {
  readonly orgIds: readonly string[];
  readonly yesterday: UsageDay;
  readonly horizon: UsageDay;
}

/** Locks the organizations, so that nobody else changes their tracks. Whoever changes tracks calls this first. */
export async function lockOrgs(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<void> {
  await sql`select from losant_usage.organizations where org_id = any (${orgIds}::text[])
    order by org_id for no key update`.execute(trx);
}

/** Returns the condition that the settings choose an organization `o`, and that it exists. */
const isChosen = ({ selection }: TrackedScope) => sql`(o.deleted_on is null and ${isAmong('o.org_id', selection)})`;

/** Returns the condition that the streams with a track that continues are not those that the settings choose. */
export function hasOtherTracks(scope: TrackedScope): RawBuilder<unknown> {
  return sql`array(
      select t.stream from losant_usage.tracks t where t.org_id = o.org_id and t.last_day is null order by t.stream)
    <> case when ${isChosen(scope)} then ${scope.streams.toSorted(compareText)}::text[] else '{}' end`;
}

/**
 * Returns an expression for the most cells that an organization `o` lacks once its tracks follow the settings. A track
 * begins at the horizon at the earliest, and one that returns continues where it ended.
 */
export function countNewCells(
  { streams }: TrackedScope,
  { yesterday, horizon }: Pick<TrackSync, 'yesterday' | 'horizon'>,
): RawBuilder<unknown> {
  const lacksStream = sql`count(distinct t.stream) filter (where ${isAny('t.stream', streams)}) < ${streams.length}`;
  return sql`${streams.length}::integer * (${yesterday}::date + 1 - greatest(o.created_on, ${horizon}::date, coalesce((
    select least(min(t.next_day), case
      when count(t.stream) = 0 or (o.created_on >= max(i.new_orgs_from) and ${lacksStream})
      then max(i.new_orgs_from) end)
    from losant_usage.instances i left join losant_usage.tracks t on t.org_id = o.org_id
    where i.instance_id = o.instance_id), ${yesterday}::date)))`;
}

/** Ends tracks before the noticed deletion, or with yesterday if no longer chosen. Deletes one that has no day yet. */
export async function endTracks(trx: Kysely<Schema>, sync: TrackSync): Promise<void> {
  const lastDay = sql`greatest(t.next_day - 1, least(o.deleted_on - 1, ${sync.yesterday}::date))`;
  const ends = sql`${isAny('t.org_id', sync.orgIds)} and o.org_id = t.org_id and t.last_day is null
    and not (${isChosen(sync)} and ${isAny('t.stream', sync.streams)})`;
  await sql`delete from losant_usage.tracks t using losant_usage.organizations o
    where ${ends} and ${lastDay} < t.first_day`.execute(trx);
  await sql`update losant_usage.tracks t set last_day = ${lastDay} from losant_usage.organizations o
    where ${ends}`.execute(trx);
}

/** A track of the same organization and stream as `n`. */
const SIBLING = sql`select from losant_usage.tracks k where k.org_id = n.org_id and k.stream = n.stream`;

/**
 * Begins the first track of a stream: with yesterday, or with the creation of the organization, but not before the
 * first run or the horizon, if it is new to the list, or was created while a stream that returns was not in the
 * settings: the tracks of older organizations continue. A transferred organization was not in this instance then.
 */
export async function beginTracks(trx: Kysely<Schema>, sync: TrackSync): Promise<void> {
  const isFromCreation = sql`(i.new_orgs_from is not null and (
    not exists (select from losant_usage.tracks k where k.org_id = o.org_id)
    or (c.first_day <= o.created_on and o.instance_id = all (
      select h.instance_id from losant_usage.organization_history h where h.org_id = o.org_id))))`;
  const firstDay = sql`greatest(o.created_on,
    case when ${isFromCreation} then greatest(i.new_orgs_from, ${sync.horizon}::date) else
      ${sync.yesterday}::date end)`;
  await insertTracks(trx, sync, firstDay, sql`not exists (${SIBLING})`);
}

/**
 * Resumes tracks: the latest one continues if it ended on or after the day before the horizon; otherwise the days in
 * between can no longer be read, and another track begins at the horizon.
 */
export async function resumeTracks(trx: Kysely<Schema>, sync: TrackSync): Promise<void> {
  await sql`
    update losant_usage.tracks n set last_day = null from losant_usage.organizations o
    where ${isAny('n.org_id', sync.orgIds)} and o.org_id = n.org_id and n.last_day >= ${sync.horizon}::date - 1
      and ${isChosen(sync)} and ${isAny('n.stream', sync.streams)}
      and not exists (${SIBLING} and k.first_day > n.first_day)`.execute(trx);
  const firstDay = sql`greatest(o.created_on, ${sync.horizon}::date)`;
  const hasEnded = sql`exists (${SIBLING}) and not exists (${SIBLING} and k.last_day is null)`;
  await insertTracks(trx, sync, firstDay, hasEnded);
}

/** In `firstDay`, `c.first_day` is that of the first track of the stream in the instance; null if there was none. */
async function insertTracks(
  trx: Kysely<Schema>,
  sync: TrackSync,
  firstDay: RawBuilder<unknown>,
  matches: RawBuilder<unknown>,
): Promise<void> {
  await sql`
    insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    select n.org_id, n.stream, n.first_day, n.first_day
    from (
      select o.org_id, s.stream, ${firstDay} as first_day
      from losant_usage.organizations o join losant_usage.instances i on i.instance_id = o.instance_id
      cross join unnest(${sync.streams}::text[]) as s (stream)
      left join (
        select p.instance_id, k.stream, min(k.first_day) as first_day
        from losant_usage.tracks k join losant_usage.organizations p on p.org_id = k.org_id
        group by p.instance_id, k.stream
      ) as c on c.instance_id = o.instance_id and c.stream = s.stream
      where ${isAny('o.org_id', sync.orgIds)} and ${isChosen(sync)}
    ) as n
    where ${matches}`.execute(trx);
}

/**
 * Selects the days that a backfill adds: a range for each organization and stream that has or had a track. If a track
 * begins after the range of the backfill, the days up to it are added too, because no other run would read them.
 */
export function selectAddedDays({ from, to }: DayRange, matches: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    select a.org_id, a.stream, a.first_day, a.last_day
    from (
      select t.org_id, t.stream, greatest(${from}::date, o.created_on) as first_day,
        coalesce(min(t.first_day) filter (where t.first_day > ${to}::date) - 1, ${to}::date) as last_day
      from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
      where ${matches} and o.deleted_on is null
      group by t.org_id, t.stream, o.created_on
    ) as a
    where a.first_day <= a.last_day`;
}

/**
 * Adds a range of days to each organization and stream of a query. Whatever tracks it touches or overlaps become one
 * track with it, whose `next_day` is the first day without a cell. The new rows are computed from the deleted ones, so
 * all of these are deleted before.
 */
export async function addToTracks(trx: Kysely<Schema>, addedDays: RawBuilder<unknown>): Promise<void> {
  await sql`
    with a as (${addedDays}),
    touched as (
      delete from losant_usage.tracks t using a
      where t.org_id = a.org_id and t.stream = a.stream
        and t.first_day <= a.last_day + 1 and coalesce(t.last_day + 1, 'infinity') >= a.first_day
      returning t.*
    )
    insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
    select a.org_id, a.stream, least(a.first_day, min(t.first_day)),
      coalesce(min(t.next_day) filter (where t.first_day <= a.first_day), a.first_day),
      case when bool_or(t.org_id is not null and t.last_day is null) then null
        else greatest(a.last_day, max(t.last_day)) end
    from a left join touched t on t.org_id = a.org_id and t.stream = a.stream
    group by a.org_id, a.stream, a.first_day, a.last_day`.execute(trx);
}

/** Moves `next_day` of tracks past yesterday, and returns the days that it passes. Their cells must be created next. */
export async function advanceTracks(trx: Kysely<Schema>, orgIds: readonly string[]) {
  const { rows } = await sql<{ org_id: string; stream: string; first_day: UsageDay; last_day: UsageDay }>`
    update losant_usage.tracks t set next_day = n.last_new_day + 1
    from (
      select org_id, stream, first_day, next_day,
        least(last_day, losant_usage_internal.today() - 1) as last_new_day
      from losant_usage.tracks where ${isAny('org_id', orgIds)}
    ) as n
    where t.org_id = n.org_id and t.stream = n.stream and t.first_day = n.first_day and n.next_day <= n.last_new_day
    returning n.org_id, n.stream, n.next_day as first_day, n.last_new_day as last_day`.execute(trx);
  return rows;
}

/** An organization and stream that have no track; `stream` is null if the organization has none at all. */
export interface UntrackedPair {
  readonly orgId: string;
  readonly stream: string | null;
}

/** As many as a run reports. */
const UNTRACKED_MAX = 10_000;

/**
 * Returns what a command names and what never had a track, by organization and stream. Without `--org` the command is
 * about the organizations that are tracked. Throws SettingsError if nothing that it names ever had a track.
 */
export async function findUntracked(
  { db, instanceId }: InstanceLedger,
  { orgIds, streams }: DueScope,
): Promise<readonly UntrackedPair[]> {
  if (orgIds === null && streams === null) return [];
  const tracked = sql`from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    where o.instance_id = ${instanceId}`;
  const { rows } = await sql<UntrackedPair & { isNothingTracked: boolean }>`
    select p.org_id as "orgId", p.stream, p.is_nothing_tracked as "isNothingTracked"
    from (
      select p.org_id, s.stream, t.is_tracked, not bool_or(t.is_tracked) over () as is_nothing_tracked
      from unnest(coalesce(${orgIds}::text[],
        array(select distinct t.org_id ${tracked} and t.last_day is null))) as p (org_id)
      cross join unnest(${streams ?? [null]}::text[]) as s (stream)
      cross join lateral (
        select exists (select ${tracked} and t.org_id = p.org_id and (t.stream = s.stream or s.stream is null))
          as is_tracked
      ) as t
    ) as p
    where not p.is_tracked order by p.org_id, p.stream limit ${UNTRACKED_MAX}`.execute(db);
  if (rows[0]?.isNothingTracked !== true) return rows.map(({ orgId, stream }) => ({ orgId, stream }));
  const options = [...(orgIds ?? []).map((id) => `--org ${id}`), ...(streams ?? []).map((name) => `--stream ${name}`)];
  throw toUntrackedError(options.join(' '), instanceId);
}

/** Returns the error for a command whose options name only organizations and streams that are not tracked. */
export function toUntrackedError(options: string, instanceId: string): SettingsError {
  return new SettingsError(`${options}: not tracked in instance ${instanceId}`, {
    hint: 'check the value, and LOSANT_ORG_IDS and STREAMS, which say what is tracked',
  });
}

/** Returns where tracks of an organization and stream touch or overlap: the first day of the later one; at most 100. */
export async function readTouchingTracks(db: Kysely<Schema>) {
  const { rows } = await sql<{ orgId: string; stream: string; day: UsageDay }>`
    select t.org_id as "orgId", t.stream, t.next_first_day as day
    from (
      select org_id, stream, last_day,
        lead(first_day) over (partition by org_id, stream order by first_day) as next_first_day
      from losant_usage.tracks
    ) as t
    where coalesce(t.last_day + 1, 'infinity') >= t.next_first_day order by 1, 2, 3 limit 100`.execute(db);
  return rows;
}
