/** The status of all expected cells, the same in every process. */
import { type Kysely, type Selectable, sql } from 'kysely';
import { CLOCK, isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';
import { DAY_MS } from '../usage/day.ts';
import { sumStandings } from '../usage/standing.ts';
import { labelInstance, readAttention } from './attention.ts';
import { compareWithSettings } from './gaps.ts';

/** The document of `status --json`, and all of `/status.json` but its `worker`. */
export type Health = Awaited<ReturnType<typeof readHealth>>;

export type InstanceHealth = Health['instances'][number];

export type StreamHealth = InstanceHealth['streams'][number];

/** A run, with every column that the reader role may read. */
export type RunRecord = Health['runs'][number];

export interface HealthOptions {
  readonly nowMs: number;
  /** The instances in the settings; no other is included. */
  readonly instanceIds: readonly string[];
}

/** The number of days for which a final restatement is reported. */
const RECENT_RESTATEMENT_DAYS = 30;
const RUNS_PER_INSTANCE = 10;

export async function readHealth(db: Kysely<Schema>, options: HealthOptions) {
  const { nowMs, instanceIds } = options;
  const rows = await db
    .selectFrom('health as h')
    .leftJoin('streams as s', 's.stream', 'h.stream')
    .selectAll('h')
    .where(isAny('h.instance_id', instanceIds))
    .orderBy('h.instance_id')
    .orderBy('s.position')
    .execute();
  const instances = await readInstances(db, options);
  const attention = await readAttention(db, { instanceIds });
  const digests = await readDigests(db, instanceIds);
  return {
    at: new Date(nowMs).toISOString(),
    gaps: rows.reduce((sum, { gaps }) => sum + gaps, 0),
    instances: instances.map((instance) => {
      const { instanceId } = instance;
      const instanceRows = rows.filter((row) => row.instance_id === instanceId);
      const { attentionAt = null, groups = [] } = attention.find((each) => each.instanceId === instanceId) ?? {};
      return {
        ...instance,
        /** The first attempt to read it; null once a run has read it. */
        neverReadSince: instanceRows.find(({ stream }) => stream === null)?.first_attempt_at ?? null,
        /** The streams in the order of the view `streams`. */
        streams: instanceRows.flatMap((row) => (row.stream === null ? [] : [toStreamHealth(row, row.stream)])),
        attention: { attentionAt, groups },
        /** The newest digest that was due; null if none was. */
        digest: digests.find((each) => each.instanceId === instanceId) ?? null,
      };
    }),
    ...(await compareWithSettings(db, instanceIds)),
    /** The newest runs of each instance, the newest of all first. */
    runs: await readRecentRuns(db, instanceIds),
  };
}

/** The comments on the columns of the view define the fields. */
function toStreamHealth(row: Selectable<Schema['health']>, stream: string) {
  return {
    stream,
    cells: sumStandings([row]),
    yesterdayExpected: row.yesterday_expected,
    yesterday: {
      waiting: row.yesterday_waiting,
      unavailable: row.yesterday_unavailable,
      in_doubt: row.yesterday_in_doubt,
      missing: row.yesterday_missing,
    },
    newestReadDay: row.newest_read_day,
    lastDay: row.last_day,
    completeTo: row.complete_to,
    orgs: row.orgs,
    orgsComplete: row.orgs_complete,
    gaps: row.gaps,
    orgsWithGaps: row.orgs_with_gaps,
    oldestGap: row.oldest_gap,
    expiring: row.gaps_expiring,
    failing: row.failing,
    quarantined: row.quarantined,
  };
}

async function readInstances(db: Kysely<Schema>, { nowMs, instanceIds }: HealthOptions) {
  const recentFrom = new Date(nowMs - RECENT_RESTATEMENT_DAYS * DAY_MS).toISOString();
  // Not by instance: each would read those of all instances. By run, because an organization can be transferred.
  const finalRestatements = sql<{ readonly instance_id: string }>`(
    select n.instance_id, count(*) as restatements, count(*) filter (where r.changed_at >= ${recentFrom}) as recent
    from losant_usage.revisions r join losant_usage.runs n on n.run_id = r.run_id
    where r.was_final group by n.instance_id)`;
  return await db
    .selectFrom('instances as i')
    .leftJoin(finalRestatements.as('f'), 'f.instance_id', 'i.instance_id')
    .leftJoin('leases as l', (join) => join.onRef('l.instance_id', '=', 'i.instance_id').on('l.expires_at', '>', CLOCK))
    .select(['i.instance_id as instanceId', 'i.name', labelInstance(instanceIds).as('label')])
    .select(['i.listed_at as listedAt', 'i.list_problem as listProblem', 'i.totals_problem as totalsProblem'])
    .select(['i.last_attempt_at as lastAttemptAt', 'i.last_error as lastError'])
    .select([
      sql<number>`(select count(*) from losant_usage.organizations o
        where o.instance_id = i.instance_id and o.deleted_on is null)`.as('organizations'),
      sql<Instant | null>`(select max(r.finished_at) from losant_usage.runs r
        where r.instance_id = i.instance_id)`.as('lastRunAt'),
      sql<Instant | null>`(select max(r.finished_at) from losant_usage.runs r
        where r.instance_id = i.instance_id and r.is_full and r.status = 'complete')`.as('lastCompleteRunAt'),
      // Final restatements: all of them, and those of the last 30 days (counts).
      sql<number>`coalesce(f.restatements, 0)`.as('finalRestatements'),
      sql<number>`coalesce(f.recent, 0)`.as('finalRestatements30Days'),
      // Settled sums that differ from control totals or counterparts, and block a month that is not closed (count).
      sql<number>`(select count(*) from losant_usage.reconciliation c
        where c.instance_id = i.instance_id and c.outcome = 'differs' and i.control_totals = 'block' and not exists (
          select from losant_usage.statements s where s.instance_id = c.instance_id and s.month = c.month
        ))`.as('differences'),
    ])
    .select('l.acquired_at as leaseAcquiredAt')
    .where(isAny('i.instance_id', instanceIds))
    .orderBy('i.instance_id')
    .execute();
}

async function readDigests(db: Kysely<Schema>, instanceIds: readonly string[]) {
  return await db
    .selectFrom('digests')
    .select(['instance_id as instanceId', 'day', 'outcome', 'error', 'finished_at as finishedAt'])
    .distinctOn('instance_id')
    .where(isAny('instance_id', instanceIds))
    .orderBy('instance_id')
    .orderBy('day', 'desc')
    .execute();
}

async function readRecentRuns(db: Kysely<Schema>, instanceIds: readonly string[]) {
  return await db
    .selectFrom('runs as r')
    .select(['run_id as runId', 'instance_id as instanceId', 'first_day as from', 'last_day as to', 'version', 'error'])
    .select(['started_at as startedAt', 'finished_at as finishedAt'])
    .select((eb) => [
      eb.ref('kind').$castTo<RunKind>().as('kind'),
      eb.ref('status').$castTo<RunStatus>().as('status'),
      eb.ref('counts').$castTo<Partial<RunCounts>>().as('counts'),
      eb.ref('failures').$castTo<readonly FailureGroup[]>().as('failures'),
    ])
    .where(
      sql<boolean>`r.run_id in (
        select l.run_id from unnest(${instanceIds}::text[]) as i (id) cross join lateral (
          select n.run_id from losant_usage.runs n where n.instance_id = i.id
          order by n.started_at desc limit ${RUNS_PER_INSTANCE}) as l)`,
    )
    .orderBy('started_at', 'desc')
    .orderBy('run_id')
    .execute();
}
