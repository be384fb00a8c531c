/** Which days are tracked: begun, ended and widened as sets of days, never as an interval that swallows what lies between. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { beginWriting } from './transaction.ts';

/** The rows that `where` means, locked in key order as every writer does. */
const lockedTracks = (where: RawBuilder<unknown>) => sql`(
  select t.org_id, t.stream, o.created_on, o.removed_on
  from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
  where ${where} order by t.org_id, t.stream for update of t
) as k`;

/**
 * Tracks streams of organizations without an end: a new one from the later of
 * the stream's start and the organization's first day; one that comes back goes
 * on where it ended, or at `horizon` if that is later; one that another process
 * has begun to track meanwhile stays as it is.
 */
export async function trackOrganizations(
  db: Kysely<Schema>,
  {
    orgIds,
    streamsFrom,
    horizon,
  }: { orgIds: readonly string[]; streamsFrom: Readonly<Record<string, UsageDay>>; horizon: UsageDay },
): Promise<void> {
  const streams = Object.keys(streamsFrom);
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, { runId: null, lease: null });
    // An organization may have cells before it has a track (one was deleted by hand, or a table restored). They are
    // looked up by key for each day that the ledger has: without a day, it would be gone through for each track.
    await sql`
      with recursive days as (
        (select c.usage_date from losant_usage.coverage c order by c.usage_date limit 1)
        union all
        select n.usage_date from days d cross join lateral (
          select c.usage_date from losant_usage.coverage c where c.usage_date > d.usage_date
          order by c.usage_date limit 1
        ) as n
      )
      insert into losant_usage.tracking as t (org_id, stream, tracked_days, read_days)
      select o.org_id, s.stream, datemultirange(daterange(greatest(s.start, o.created_on), null)),
        coalesce(r.read_days, '{}')
      from losant_usage.organizations o
      cross join unnest(${streams}::text[], ${Object.values(streamsFrom)}::date[]) as s (stream, start)
      left join lateral (
        select true as is_open from losant_usage.tracking k
        where k.org_id = o.org_id and k.stream = s.stream and upper_inf(k.tracked_days) offset 0
      ) as k on true
      left join lateral (
        select range_agg(daterange(c.usage_date, c.usage_date + 1)) as read_days
        from days d cross join lateral (
          select c.usage_date from losant_usage.coverage c
          where c.usage_date = d.usage_date and c.stream = s.stream and c.org_id = o.org_id offset 0
        ) as c
        where k.is_open is null offset 0
      ) as r on true
      where o.org_id = any (${orgIds}::text[]) and k.is_open is null
      order by o.org_id, s.stream collate "C"
      on conflict (org_id, stream) do update set tracked_days = t.tracked_days
        + datemultirange(daterange(greatest(coalesce(upper(t.tracked_days), lower(excluded.tracked_days)), ${horizon}::date), null))
      where not upper_inf(t.tracked_days)`.execute(trx);
  });
}

/** Ends the tracking of organizations that left the configuration with `lastDay`. */
export async function untrackOrganizations(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  lastDay: UsageDay,
): Promise<void> {
  await endTracks(db, sql`t.org_id = any (${orgIds}::text[])`, lastDay);
}

/** Ends the tracking of streams of the instance that are not collected any more with `lastDay`. */
export async function untrackStreams(
  db: Kysely<Schema>,
  { instanceId, streams }: { instanceId: string; streams: readonly string[] },
  lastDay: UsageDay,
): Promise<void> {
  await endTracks(
    db,
    sql`o.instance_id = ${instanceId} and not (t.stream = any (${streams}::text[]))`,
    lastDay,
  );
}

/** Ends the tracking of organizations that are gone with the last day on which they existed. */
export async function untrackRemoved(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<void> {
  await sql`
    update losant_usage.tracking t
    set tracked_days = t.tracked_days * datemultirange(daterange(null, k.removed_on + 1))
    from ${lockedTracks(sql`t.org_id = any (${orgIds}::text[])`)}
    where t.org_id = k.org_id and t.stream = k.stream`.execute(trx);
}

async function endTracks(db: Kysely<Schema>, where: RawBuilder<unknown>, lastDay: UsageDay): Promise<void> {
  await sql`
    update losant_usage.tracking t
    set tracked_days = t.tracked_days * datemultirange(daterange(null, ${lastDay}::date + 1))
    from ${lockedTracks(sql`upper_inf(t.tracked_days) and ${where}`)}
    where t.org_id = k.org_id and t.stream = k.stream`.execute(db);
}

/** Which of the ids are organizations of the instance that are or were tracked. */
export async function filterTracked(
  db: Kysely<Schema>,
  instanceId: string,
  orgIds: readonly string[],
): Promise<Set<string>> {
  const { rows } = await sql<{ org_id: string }>`
    select distinct org_id from losant_usage.tracking join losant_usage.organizations o using (org_id)
    where o.instance_id = ${instanceId} and org_id = any (${orgIds}::text[])`.execute(db);
  return new Set(rows.map(({ org_id }) => org_id));
}

/** Tracks the days of a range on which the organizations existed: those that are exported, or those named. */
export async function trackDays(
  db: Kysely<Schema>,
  {
    instanceId,
    orgIds,
    streams,
  }: { instanceId: string; orgIds: readonly string[] | null; streams: readonly string[] | null },
  { from, to }: DayRange,
): Promise<void> {
  const meant = sql`o.instance_id = ${instanceId}
    and (${streams}::text[] is null or t.stream = any (${streams}::text[]))
    and case when ${orgIds}::text[] is null then upper_inf(t.tracked_days) else t.org_id = any (${orgIds}::text[]) end
    and not daterange(${from}::date, ${to}::date, '[]') <@ t.tracked_days`;
  await sql`
    update losant_usage.tracking t set tracked_days = t.tracked_days
      + datemultirange(daterange(greatest(${from}::date, k.created_on),
          greatest(${from}::date, k.created_on, least(${to}::date, k.removed_on) + 1)))
    from ${lockedTracks(meant)}
    where t.org_id = k.org_id and t.stream = k.stream`.execute(db);
}
