import { type Kysely, sql } from 'kysely';
import type { UsageDay } from '../../usage/day.ts';
import { DatabaseError } from '../../errors.ts';
import type { Instant, Schema } from '../schema.ts';

export interface StoredInstance {
  readonly trackedFrom: UsageDay;
  /** Stream to the first day it is collected from. */
  readonly streamsFrom: Readonly<Record<string, UsageDay>>;
  /** When its organizations were last listed completely. */
  readonly listedAt: Instant | null;
}

/** The instance, or null if this database has never collected for it. */
export async function readInstance(db: Kysely<Schema>, instanceId: string): Promise<StoredInstance | null> {
  const row = await db
    .selectFrom('instances')
    .select(['tracked_from', 'streams_from', 'listed_at'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  if (!row) return null;
  return { trackedFrom: row.tracked_from, streamsFrom: row.streams_from, listedAt: row.listed_at };
}

/** Throws DatabaseError `database_mismatch` if the instance's numbers came from another API. */
export async function requireApiUrl(
  db: Kysely<Schema>,
  { instanceId, apiUrl }: { instanceId: string; apiUrl: string },
): Promise<void> {
  const row = await db
    .selectFrom('instances')
    .select('api_url')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  if (!row || row.api_url === apiUrl) return;
  throw new DatabaseError(
    'database_mismatch',
    `Instance ${instanceId} was collected from ${row.api_url}, not from ${apiUrl}`,
    {
      hint: 'use another database for another API, or, if the same API moved, update losant_usage.instances.api_url by hand',
    },
  );
}

/** Makes the instance known and starts the streams that are new to it, both from `yesterday`. */
export async function registerInstance(
  db: Kysely<Schema>,
  {
    instanceId,
    apiUrl,
    streams,
    yesterday,
  }: { instanceId: string; apiUrl: string; streams: readonly string[]; yesterday: UsageDay },
): Promise<void> {
  const start = JSON.stringify(Object.fromEntries(streams.map((stream) => [stream, yesterday])));
  await sql`
    insert into losant_usage.instances as i (instance_id, api_url, tracked_from, streams_from)
    values (${instanceId}, ${apiUrl}, ${yesterday}, ${start}::text::jsonb)
    on conflict (instance_id) do update set streams_from = excluded.streams_from || i.streams_from
    where not i.streams_from ?& ${streams}::text[]`.execute(db);
}

/** Notes that the organizations were listed completely at `at`. */
export async function recordListing(db: Kysely<Schema>, instanceId: string, at: Instant): Promise<void> {
  await db.updateTable('instances').set({ listed_at: at }).where('instance_id', '=', instanceId).execute();
}

/** The database's clock, ms since 1970. */
export async function readDatabaseClock(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ at: Instant }>`select clock_timestamp() as at`.execute(db);
  return Date.parse((rows[0] as { at: Instant }).at);
}
