import { type Kysely, sql } from 'kysely';
import type { DayRange, UsageDay } from '../../usage/day.ts';
import type { Instant, Schema } from '../schema.ts';

/** What is promised for one stream of one organization, with what bounds it. */
export interface TrackedStream {
  readonly orgId: string;
  readonly stream: string;
  readonly trackedFrom: UsageDay;
  readonly trackedTo: UsageDay | null;
  readonly expiredTo: UsageDay | null;
  readonly createdAt: Instant | null;
  readonly removedAt: Instant | null;
}

/** Which organizations and streams are meant. */
export interface TrackScope {
  readonly instanceId: string;
  readonly streams: readonly string[];
  /** Null: every organization that is tracked. */
  readonly orgIds: readonly string[] | null;
}

/** The next page of tracked organizations after `afterOrgId`, in the order of their ids. */
export async function readTrackedPage(
  db: Kysely<Schema>,
  { instanceId, streams, orgIds }: TrackScope,
  { afterOrgId, limit }: { afterOrgId: string; limit: number },
): Promise<TrackedStream[]> {
  const { rows } = await sql<TrackedRow>`
    with page as (
      select o.org_id, o.created_at, o.removed_at from losant_usage.organizations o
      where o.instance_id = ${instanceId} and o.org_id > ${afterOrgId}
        and (${orgIds}::text[] is null or o.org_id = any (${orgIds}::text[]))
        and exists (select from losant_usage.tracking t
                    where t.org_id = o.org_id and t.stream = any (${streams}::text[]))
      order by o.org_id limit ${limit}
    )
    select page.*, t.stream, t.tracked_from, t.tracked_to, t.expired_to
    from page join losant_usage.tracking t using (org_id)
    where t.stream = any (${streams}::text[])
    order by org_id, array_position(${streams}::text[], t.stream)`.execute(db);
  return rows.map((row) => ({
    orgId: row.org_id,
    stream: row.stream,
    trackedFrom: row.tracked_from,
    trackedTo: row.tracked_to,
    expiredTo: row.expired_to,
    createdAt: row.created_at,
    removedAt: row.removed_at,
  }));
}

/**
 * Begins to track streams of organizations, each from the later of the stream's
 * start and the organization's creation day; those that had left come back.
 */
export async function trackOrganizations(
  db: Kysely<Schema>,
  { orgIds, streamsFrom }: { orgIds: readonly string[]; streamsFrom: Readonly<Record<string, UsageDay>> },
): Promise<void> {
  const streams = Object.keys(streamsFrom);
  await sql`
    insert into losant_usage.tracking (org_id, stream, tracked_from)
    select o.org_id, s.stream, greatest(s.start, (o.created_at at time zone 'UTC')::date)
    from losant_usage.organizations o
    cross join unnest(${streams}::text[], ${Object.values(streamsFrom)}::date[]) as s (stream, start)
    where o.org_id = any (${orgIds}::text[]) and not exists (
      select from losant_usage.tracking t where t.org_id = o.org_id and t.stream = s.stream)
    order by o.org_id, s.stream
    on conflict do nothing`.execute(db);
  await sql`
    update losant_usage.tracking set tracked_to = null
    where org_id = any (${orgIds}::text[]) and stream = any (${streams}::text[])
      and tracked_to is not null`.execute(db);
}

/** Ends the promise for organizations that left the configuration. */
export async function untrackOrganizations(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  lastDay: UsageDay,
): Promise<void> {
  await sql`
    update losant_usage.tracking set tracked_to = greatest(tracked_from - 1, ${lastDay}::date)
    where org_id = any (${orgIds}::text[]) and tracked_to is null`.execute(db);
}

/** Ends the promise for streams of the instance that are not collected any more. */
export async function untrackStreams(
  db: Kysely<Schema>,
  { instanceId, streams }: Pick<TrackScope, 'instanceId' | 'streams'>,
  lastDay: UsageDay,
): Promise<void> {
  await sql`
    update losant_usage.tracking t set tracked_to = greatest(t.tracked_from - 1, ${lastDay}::date)
    from losant_usage.organizations o
    where o.org_id = t.org_id and o.instance_id = ${instanceId} and t.tracked_to is null
      and not (t.stream = any (${streams}::text[]))`.execute(db);
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

/** Widens the promise to a range that reaches up to what is promised already. */
export async function extendTracking(
  db: Kysely<Schema>,
  { orgIds, streams }: Pick<TrackScope, 'streams'> & { orgIds: readonly string[] },
  { from, to }: DayRange,
): Promise<void> {
  await sql`
    update losant_usage.tracking t set
      tracked_from = greatest(${from}::date, (o.created_at at time zone 'UTC')::date),
      expired_to = least(t.expired_to, greatest(${from}::date, (o.created_at at time zone 'UTC')::date))
    from losant_usage.organizations o
    where o.org_id = t.org_id and t.org_id = any (${orgIds}::text[]) and t.stream = any (${streams}::text[])
      and t.tracked_from > greatest(${from}::date, (o.created_at at time zone 'UTC')::date)
      and t.tracked_from <= ${to}::date + 1`.execute(db);
}

/** Notes that every day before `before` is settled for these organizations and streams. */
export async function recordExpiry(
  db: Kysely<Schema>,
  { orgIds, streams }: Pick<TrackScope, 'streams'> & { orgIds: readonly string[] },
  before: UsageDay,
): Promise<void> {
  await sql`
    update losant_usage.tracking set expired_to = ${before}
    where org_id = any (${orgIds}::text[]) and stream = any (${streams}::text[])
      and (expired_to < ${before} or (expired_to is null and tracked_from < ${before}))`.execute(db);
}

interface TrackedRow {
  org_id: string;
  stream: string;
  tracked_from: UsageDay;
  tracked_to: UsageDay | null;
  expired_to: UsageDay | null;
  created_at: Instant | null;
  removed_at: Instant | null;
}
