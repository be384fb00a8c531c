/**
 * Tracks: the one span of days for which the cells of an organization and stream are expected. Every day from its first
 * day up to its `next_day` has a cell.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { compareText } from '../usage/cell.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import type { DueScope } from './due.ts';
import type { LedgerReader } from './lease.ts';

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

/** Returns the condition that an organization's open tracks are not exactly those of the chosen streams. */
export function hasOtherTracks(scope: TrackedScope): RawBuilder<unknown> {
  return sql`array(
      select t.stream from losant_usage.tracks t where t.org_id = o.org_id and t.last_day is null order by t.stream)
    <> case when ${isChosen(scope)} then ${scope.streams.toSorted(compareText)}::text[] else '{}' end`;
}

/**
 * Ends the tracks of a deleted organization with the day before its deletion was noticed, and those that are no longer
 * chosen with yesterday; deletes a track that has no day yet. A track that is chosen again goes on, and the days
 * between are expected.
 */
export async function endOrResumeTracks(trx: Kysely<Schema>, sync: TrackSync): Promise<void> {
  const isOfPage = sql`${isAny('t.org_id', sync.orgIds)} and o.org_id = t.org_id`;
  const isExpected = sql`(${isChosen(sync)} and ${isAny('t.stream', sync.streams)})`;
  const lastDay = sql`greatest(t.next_day - 1, least(o.deleted_on - 1, ${sync.yesterday}::date))`;
  await sql`delete from losant_usage.tracks t using losant_usage.organizations o
    where ${isOfPage} and t.last_day is null and not ${isExpected} and ${lastDay} < t.first_day`.execute(trx);
  await sql`update losant_usage.tracks t set last_day = ${lastDay} from losant_usage.organizations o
    where ${isOfPage} and t.last_day is null and not ${isExpected}`.execute(trx);
  await sql`update losant_usage.tracks t set last_day = null from losant_usage.organizations o
    where ${isOfPage} and t.last_day is not null and ${isExpected}`.execute(trx);
}

/**
 * Begins tracks: with yesterday, or, for an organization that is new to the list, with its creation, but not before the
 * first run over all organizations or the horizon.
 */
export async function beginTracks(trx: Kysely<Schema>, sync: TrackSync): Promise<void> {
  const isNew = sql`(i.new_orgs_from is not null
    and not exists (select from losant_usage.tracks k where k.org_id = o.org_id))`;
  await sql`
    insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    select n.org_id, n.stream, n.first_day, n.first_day
    from (
      select o.org_id, s.stream, greatest(o.created_on, case when ${isNew}
        then greatest(i.new_orgs_from, ${sync.horizon}::date) else ${sync.yesterday}::date end) as first_day
      from losant_usage.organizations o
      cross join losant_usage.instance i
      cross join unnest(${sync.streams}::text[]) as s (stream)
      where ${isAny('o.org_id', sync.orgIds)} and ${isChosen(sync)}
    ) as n
    on conflict (org_id, stream) do nothing`.execute(trx);
}

/** The tracks that a backfill extends: `f` is the new first day, `l` the new last day of one that has ended. */
const selectExtended = ({ from, to }: DayRange, isInScope: RawBuilder<unknown>) => sql`
  select t.org_id, t.stream, t.first_day as old_first_day, t.next_day as old_next_day,
    least(t.first_day, greatest(${from}::date, o.created_on)) as first_day,
    case when t.last_day is not null then greatest(t.last_day, ${to}::date) end as last_day
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
  where ${isInScope} and o.deleted_on is null and coalesce(o.created_on <= ${to}::date, true)`;

/**
 * Extends tracks to a range of days, and returns the days without cells at their beginning: those of the range, and
 * those between the range and the old first day. Their cells must be created next.
 */
export async function extendTracks(trx: Kysely<Schema>, range: DayRange, isInScope: RawBuilder<unknown>) {
  const { rows } = await sql<NewDays>`
    update losant_usage.tracks t set first_day = n.first_day, last_day = n.last_day
    from (${selectExtended(range, isInScope)}) as n
    where t.org_id = n.org_id and t.stream = n.stream
      and (t.first_day, t.last_day) is distinct from (n.first_day, n.last_day)
    returning n.org_id, n.stream, n.first_day, n.old_first_day - 1 as last_day`.execute(trx);
  return rows.filter(({ first_day, last_day }) => first_day <= last_day);
}

/** Selects the days, as ranges, whose cells a backfill of the range would create. */
export function selectAddedDays(range: DayRange, isInScope: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    select n.org_id, n.stream, n.first_day, n.old_first_day - 1 as last_day
    from (${selectExtended(range, isInScope)}) as n where n.first_day < n.old_first_day
    union all
    select n.org_id, n.stream, n.old_next_day, n.last_day
    from (${selectExtended(range, isInScope)}) as n where n.old_next_day <= n.last_day`;
}

/** The days of a track that need cells, both included. */
export interface NewDays {
  readonly org_id: string;
  readonly stream: string;
  readonly first_day: UsageDay;
  readonly last_day: UsageDay;
}

/** Moves `next_day` of tracks past yesterday, and returns the days that it passes. Their cells must be created next. */
export async function advanceTracks(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<readonly NewDays[]> {
  const { rows } = await sql<NewDays>`
    update losant_usage.tracks t set next_day = n.last_new_day + 1
    from (
      select org_id, stream, next_day, least(last_day, losant_usage_internal.today() - 1) as last_new_day
      from losant_usage.tracks where ${isAny('org_id', orgIds)}
    ) as n
    where t.org_id = n.org_id and t.stream = n.stream and n.next_day <= n.last_new_day
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
  { db }: Pick<LedgerReader, 'db'>,
  { orgIds, streams }: DueScope,
): Promise<readonly UntrackedPair[]> {
  if (orgIds === null && streams === null) return [];
  const { rows } = await sql<UntrackedPair & { isNothingTracked: boolean }>`
    select p.org_id as "orgId", p.stream, p.is_nothing_tracked as "isNothingTracked"
    from (
      select p.org_id, s.stream, t.is_tracked, not bool_or(t.is_tracked) over () as is_nothing_tracked
      from unnest(coalesce(${orgIds}::text[],
        array(select distinct t.org_id from losant_usage.tracks t where t.last_day is null))) as p (org_id)
      cross join unnest(${streams ?? [null]}::text[]) as s (stream)
      cross join lateral (
        select exists (select from losant_usage.tracks t
          where t.org_id = p.org_id and (t.stream = s.stream or s.stream is null)) as is_tracked
      ) as t
    ) as p
    where not p.is_tracked order by p.org_id, p.stream limit ${UNTRACKED_MAX}`.execute(db);
  if (rows[0]?.isNothingTracked !== true) return rows.map(({ orgId, stream }) => ({ orgId, stream }));
  const options = [...(orgIds ?? []).map((id) => `--org ${id}`), ...(streams ?? []).map((name) => `--stream ${name}`)];
  throw toUntrackedError(options.join(' '));
}

/** Returns the error for a command whose options name only organizations and streams that are not tracked. */
export function toUntrackedError(options: string): SettingsError {
  return new SettingsError(`${options}: not tracked`, {
    hint: 'check the value, and LOSANT_ORG_IDS and STREAMS, which say what is tracked',
  });
}
