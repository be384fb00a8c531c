/**
 * The days that are tracked: begun, ended and widened as sets of days, never as an interval that would
 * include the days between.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { beginWriting } from './lease.ts';

/** Returns the rows that match `where`, locked in key order as every writer does. */
const lockedTracks = (where: RawBuilder<unknown>) => sql`(
  select t.org_id, t.stream, o.created_on, o.removed_on
  from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
  where ${where} order by t.org_id, t.stream for update of t
) as k`;

/**
 * Reopens cells that were closed because their days were not tracked, before the tracks that match `where` are
 * widened. Those that stay untracked are closed again by the next run. Coverage is locked first, as a load does, also
 * of cells that are still open: a load under way may be closing them.
 */
async function reopenUntracked(trx: Kysely<Schema>, where: RawBuilder<unknown>): Promise<void> {
  await sql`
    update losant_usage.coverage c
    set next_read_at = coalesce(c.next_read_at, (c.usage_date + 1)::timestamp at time zone 'UTC')
    from (
      select c.usage_date, c.stream, c.org_id
      from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
      cross join lateral unnest(t.read_days - t.tracked_days) as untracked
      cross join lateral losant_usage.days_between(lower(untracked), upper(untracked) - 1) as day
      cross join lateral (
        select c.usage_date, c.stream, c.org_id from losant_usage.coverage c
        where c.usage_date = day and c.stream = t.stream and c.org_id = t.org_id
          and c.standing in ('missing', 'in_doubt') offset 0
      ) as k
      join losant_usage.coverage c on c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id
      where t.has_untracked and o.removed_at is null and ${where}
      order by c.usage_date, c.stream, c.org_id for update of c
    ) as k
    where c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id`.execute(trx);
}

/**
 * `trackOrganizations` tracks streams of organizations without an end. A new one starts at the later of
 * the stream's start and the organization's first day. One that returns continues where it ended, or at
 * `horizon` if that is later. One that another process has begun to track meanwhile stays as it is.
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
    await beginWriting(trx);
    await reopenUntracked(
      trx,
      sql`t.org_id = any (${orgIds}::text[]) and t.stream = any (${streams}::text[]) and not upper_inf(t.tracked_days)`,
    );
    // An organization may have cells before it has a track (one was deleted by hand, or a table restored).
    // The look-up goes by key for each day of the ledger, because without a day each track would scan it.
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

/** `untrackOrganizations` ends the tracking of organizations that left the configuration with `lastDay`. */
export async function untrackOrganizations(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  lastDay: UsageDay,
): Promise<void> {
  await endTracks(db, sql`t.org_id = any (${orgIds}::text[])`, lastDay);
}

/** `untrackStreams` ends the tracking of streams of the instance that are no longer collected with `lastDay`. */
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

/** `untrackRemoved` ends the tracking of organizations that are gone with the last day on which they existed. */
export async function untrackRemoved(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<void> {
  await sql`
    update losant_usage.tracking t
    set tracked_days = t.tracked_days * datemultirange(daterange(null, k.removed_on + 1))
    from ${lockedTracks(sql`t.org_id = any (${orgIds}::text[])`)}
    where t.org_id = k.org_id and t.stream = k.stream`.execute(trx);
}

async function endTracks(db: Kysely<Schema>, where: RawBuilder<unknown>, lastDay: UsageDay): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    await sql`
      update losant_usage.tracking t
      set tracked_days = t.tracked_days * datemultirange(daterange(null, ${lastDay}::date + 1))
      from ${lockedTracks(sql`upper_inf(t.tracked_days) and ${where}`)}
      where t.org_id = k.org_id and t.stream = k.stream`.execute(trx);
  });
}

/** `filterTracked` returns those of the ids that are organizations of the instance and are or were tracked. */
export async function filterTracked(
  db: Kysely<Schema>,
  instanceId: string,
  orgIds: readonly string[],
): Promise<Set<string>> {
  const rows = await db
    .selectFrom('tracking as t')
    .innerJoin('organizations as o', 'o.org_id', 't.org_id')
    .select('t.org_id')
    .distinct()
    .where('o.instance_id', '=', instanceId)
    .where(isAny('t.org_id', orgIds))
    .execute();
  return new Set(rows.map(({ org_id }) => org_id));
}

/**
 * `trackDays` tracks the days of a range on which the organizations existed (those exported, or those named), and
 * the days from there to what is tracked already, as far back as `horizon`, so that no hole is left
 * that nobody asked for. Returns the first and last day added beyond the range; null if there is none.
 * Throws SettingsError for days that were removed because they were old.
 */
export async function trackDays(
  db: Kysely<Schema>,
  {
    instanceId,
    orgIds,
    streams,
    horizon,
  }: {
    instanceId: string;
    orgIds: readonly string[] | null;
    streams: readonly string[] | null;
    horizon: UsageDay;
  },
  { from, to }: DayRange,
): Promise<DayRange | null> {
  const asked = sql`daterange(${from}::date, ${to}::date, '[]')`;
  const meant = sql`o.instance_id = ${instanceId}
    and (${streams}::text[] is null or t.stream = any (${streams}::text[]))
    and case when ${orgIds}::text[] is null then upper_inf(t.tracked_days) else t.org_id = any (${orgIds}::text[]) end`;
  const { rows } = await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    await requireNotPruned(trx, instanceId, { from, to });
    await reopenUntracked(trx, meant);
    return await sql<{ first: UsageDay | null; last: UsageDay | null }>`
    with wanted as materialized (
      select k.org_id, k.stream, x.days, h.hole
      from ${lockedTracks(meant)}
      join losant_usage.tracking t on t.org_id = k.org_id and t.stream = k.stream
      cross join lateral (
        select datemultirange(daterange(k.created_on, k.removed_on, '[]')) as existed
      ) as e
      cross join lateral (
        select coalesce(range_agg(hole), '{}') * datemultirange(daterange(${horizon}::date, null)) * e.existed as hole
        from unnest(datemultirange(range_merge(t.tracked_days + datemultirange(${asked}))) - t.tracked_days - datemultirange(${asked})) as hole
        where hole -|- ${asked}
      ) as h
      cross join lateral (select datemultirange(${asked}) * e.existed + h.hole as days) as x
      where not x.days <@ t.tracked_days
    ), tracked as (
      update losant_usage.tracking t set tracked_days = t.tracked_days + w.days
      from wanted w where t.org_id = w.org_id and t.stream = w.stream
    )
    select min(lower(hole)) as first, max(upper(hole) - 1) as last from wanted`.execute(trx);
  });
  const { first = null, last = null } = rows[0] ?? {};
  return first === null || last === null ? null : { from: first, to: last };
}

/** Days that were removed and come back in part would differ from what was billed of them. */
async function requireNotPruned(
  trx: Kysely<Schema>,
  instanceId: string,
  { from, to }: DayRange,
): Promise<void> {
  const { rows } = await sql<{ next: UsageDay | null }>`
    select (max(p.month) + interval '1 month')::date as next from losant_usage.pruned_months p
    where p.instance_id = ${instanceId} and losant_usage.is_pruned(${instanceId}, ${from}::date, ${to}::date)`.execute(
    trx,
  );
  const next = rows[0]?.next ?? null;
  if (next === null) return;
  throw new SettingsError(
    `Days of instance ${instanceId} before ${next} were removed by losant-usage prune`,
    {
      hint: `they are not collected again: begin with --from ${next}`,
    },
  );
}
