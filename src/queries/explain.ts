/** The whole story of the numbers of one organization and day. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/hosts.ts';
import type { CellState } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Stream } from '../usage/streams/stream.ts';

export interface OrgName {
  readonly orgId: string;
  readonly orgName: string;
  readonly instanceId: string;
  readonly removedAt: Instant | null;
}

export interface CellStory {
  readonly stream: string;
  /** Whether the number is tracked. */
  readonly isTracked: boolean;
  readonly isGap: boolean;
  /** What is held; null if the cell was never asked for. */
  readonly ledger: LedgerRow | null;
  /** The rows that are held. */
  readonly values: readonly StoredValue[];
  /** Every change after the first load, oldest first. */
  readonly revisions: readonly Revision[];
  /** When it was accepted as missing, oldest first. */
  readonly waivers: readonly Waiver[];
  /** Answers that were invalid, newest first. */
  readonly quarantine: readonly QuarantinedAnswer[];
}

export interface LedgerRow {
  readonly state: CellState;
  readonly reported: boolean;
  readonly revision: number;
  readonly verifiedAt: Instant | null;
  readonly attemptedAt: Instant | null;
  readonly attempts: number;
  /** When it is read next; null: it is not. */
  readonly nextReadAt: Instant | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly responseSha256: string | null;
  readonly firstLoadedAt: Instant | null;
  readonly finalizedAt: Instant | null;
  /** The run that last wrote the ledger's row; its kind is null if it is not on record. */
  readonly runId: string | null;
  readonly runKind: string | null;
  readonly runHost: string | null;
  readonly runVersion: string | null;
}

export interface StoredValue {
  readonly key: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, number>>;
  readonly revision: number;
  readonly runId: string | null;
  readonly loadedAt: Instant;
}

export interface Revision {
  readonly revision: number;
  readonly key: Readonly<Record<string, string>>;
  readonly old: Readonly<Record<string, number>> | null;
  readonly new: Readonly<Record<string, number>> | null;
  /** Null if the change was made by hand. */
  readonly runId: string | null;
  readonly changedBy: string;
  readonly changedAt: Instant;
}

export interface Waiver {
  readonly reason: string;
  readonly waivedBy: string;
  readonly waivedAt: Instant;
  /** Until when it held; null while it does. */
  readonly liftedAt: Instant | null;
  /** The run that brought the number; null if another waiver replaced it. */
  readonly liftedByRun: string | null;
}

export interface QuarantinedAnswer {
  readonly from: UsageDay;
  readonly to: UsageDay;
  readonly code: string;
  readonly problem: string;
  readonly times: number;
  readonly firstSeenAt: Instant;
  readonly lastSeenAt: Instant;
  /** Since when each of its days has had a good answer; null while one has not. */
  readonly resolvedAt: Instant | null;
  /** Whether the day that is asked about has had a good answer since. */
  readonly isResolved: boolean;
}

/** The organization, or null if this database has never seen it. */
export async function readOrgName(db: Kysely<Schema>, orgId: string): Promise<OrgName | null> {
  const row = await db
    .selectFrom('organizations')
    .select(['org_id', 'name', 'instance_id', 'removed_at'])
    .where('org_id', '=', orgId)
    .executeTakeFirst();
  if (!row) return null;
  return { orgId: row.org_id, orgName: row.name, instanceId: row.instance_id, removedAt: row.removed_at };
}

/** Reads what the database knows of the cells of one organization and day, of these streams, as of one moment. */
export async function readCellStories(
  db: Kysely<Schema>,
  streams: readonly Stream[],
  { orgId, day }: { orgId: string; day: UsageDay },
): Promise<CellStory[]> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const cells = { streams: streams.map(({ name }) => name), orgId, day };
      const tracking = await readTracking(trx, cells);
      const ledger = await readLedgerRows(trx, cells);
      const revisions = await readRevisions(trx, cells);
      const waivers = await readWaivers(trx, cells);
      const quarantine = await readQuarantine(trx, cells);
      const stories = [];
      for (const stream of streams) {
        stories.push({
          stream: stream.name,
          isTracked: false,
          isGap: false,
          ...tracking.get(stream.name)?.[0],
          ledger: ledger.get(stream.name)?.[0] ?? null,
          values: await readValues(trx, stream, { orgId, day }),
          revisions: revisions.get(stream.name) ?? [],
          waivers: waivers.get(stream.name) ?? [],
          quarantine: quarantine.get(stream.name) ?? [],
        });
      }
      return stories;
    });
}

interface DayCells {
  readonly streams: readonly string[];
  readonly orgId: string;
  readonly day: UsageDay;
}

/** The rows of each stream, without the name of it. */
async function byStream<T>(
  db: Kysely<Schema>,
  query: RawBuilder<T & { stream: string }>,
): Promise<Map<string, T[]>> {
  const { rows } = await query.execute(db);
  const groups = Map.groupBy(rows, ({ stream }) => stream);
  return new Map(
    [...groups].map(([name, found]) => [name, found.map(({ stream: _, ...row }) => row as unknown as T)]),
  );
}

async function readTracking(
  db: Kysely<Schema>,
  { streams, orgId, day }: DayCells,
): Promise<Map<string, { isTracked: boolean; isGap: boolean }[]>> {
  return await byStream(
    db,
    sql`
    select s.stream,
      exists (
        select from losant_usage.tracked t
        where t.org_id = ${orgId} and t.stream = s.stream and ${day}::date <@ t.days
      ) as "isTracked",
      s.stream = any (array(
        select g.stream from losant_usage.coverage_gaps g where g.org_id = ${orgId} and g.usage_date = ${day}
      )) as "isGap"
    from unnest(${streams}::text[]) as s (stream)`,
  );
}

async function readLedgerRows(
  db: Kysely<Schema>,
  { streams, orgId, day }: DayCells,
): Promise<Map<string, LedgerRow[]>> {
  const hosts = await readHostColumns(db);
  return await byStream(
    db,
    sql`
    select c.stream, c.state, c.reported, c.revision, c.verified_at as "verifiedAt", c.attempted_at as "attemptedAt",
      c.attempts, c.next_read_at as "nextReadAt", c.error_code as "errorCode",
      c.error_message as "errorMessage", encode(c.response_sha256, 'hex') as "responseSha256",
      c.first_loaded_at as "firstLoadedAt", c.finalized_at as "finalizedAt", c.run_id as "runId",
      r.kind as "runKind", ${hosts.run} as "runHost", r.version as "runVersion"
    from losant_usage.coverage c left join losant_usage.runs r on r.run_id = c.run_id
    where c.usage_date = ${day} and c.stream = any (${streams}::text[]) and c.org_id = ${orgId}`,
  );
}

async function readValues(
  db: Kysely<Schema>,
  stream: Stream,
  { orgId, day }: { orgId: string; day: UsageDay },
): Promise<StoredValue[]> {
  const { rows } = await sql<StoredValue>`
    select coalesce(d.key, '{}') as key, coalesce(d.values, ${pick(stream, 'u')}) as values,
      coalesce(d.revision, c.revision) as revision, c.run_id as "runId",
      coalesce((select max(r.changed_at) from losant_usage.revisions r
        where r.org_id = ${orgId} and r.usage_date = ${day} and r.stream = ${stream.name}), c.first_loaded_at) as "loadedAt"
    from losant_usage.usage_days u
    join losant_usage.coverage c on c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = ${stream.name}
    left join ${detailsOf(stream)} d on d.usage_date = u.usage_date and d.org_id = u.org_id
    where u.usage_date = ${day} and u.org_id = ${orgId} and u.${sql.ref(stream.metrics[0] as string)} is not null
      and (d.key is not null or ${stream.keyColumns.length === 0})
    order by d.key::text collate "C"`.execute(db);
  return rows;
}

const pick = ({ metrics, columns }: Stream, alias: string) =>
  sql`jsonb_build_object(${sql.join(columns.flatMap((column, index) => [sql.lit(column), sql.ref(`${alias}.${metrics[index]}`)]))})`;

/** The rows of a stream with further keys as `key`, `values` and `revision`; none for another. */
function detailsOf({ name, keyColumns, columns }: Stream) {
  if (keyColumns.length === 0) {
    return sql`(select null::date as usage_date, null::text as org_id, null::jsonb as key, null::jsonb as values,
      null::integer as revision where false)`;
  }
  const build = (names: readonly string[]) =>
    sql`jsonb_build_object(${sql.join(names.flatMap((each) => [sql.lit(each), sql.ref(each)]))})`;
  return sql`(select usage_date, org_id, ${build(keyColumns)} as key, ${build(columns)} as values, revision
    from ${sql.table(`losant_usage.${name}`)})`;
}

async function readRevisions(
  db: Kysely<Schema>,
  { streams, orgId, day }: DayCells,
): Promise<Map<string, Revision[]>> {
  return await byStream(
    db,
    sql`
    select stream, revision, key, old, new, run_id as "runId", changed_by as "changedBy", changed_at as "changedAt"
    from losant_usage.revisions
    where org_id = ${orgId} and usage_date = ${day} and stream = any (${streams}::text[]) order by id`,
  );
}

async function readWaivers(
  db: Kysely<Schema>,
  { streams, orgId, day }: DayCells,
): Promise<Map<string, Waiver[]>> {
  return await byStream(
    db,
    sql`
    select stream, reason, waived_by as "waivedBy", waived_at as "waivedAt", lifted_at as "liftedAt",
      lifted_by_run as "liftedByRun"
    from losant_usage.waivers
    where usage_date = ${day} and org_id = ${orgId} and stream = any (${streams}::text[]) order by id`,
  );
}

async function readQuarantine(
  db: Kysely<Schema>,
  { streams, orgId, day }: DayCells,
): Promise<Map<string, QuarantinedAnswer[]>> {
  return await byStream(
    db,
    sql`
    select stream, from_date as "from", to_date as "to", code, problem, times, first_seen_at as "firstSeenAt",
      last_seen_at as "lastSeenAt", resolved_at as "resolvedAt",
      resolved_at is not null or ${day}::date <@ resolved_days as "isResolved"
    from losant_usage.quarantine
    where org_id = ${orgId} and stream = any (${streams}::text[]) and ${day}::date between from_date and to_date
    order by last_seen_at desc, from_date`,
  );
}
