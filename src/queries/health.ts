/** How complete the data is and how it is loaded: what `status`, `/status.json`, metrics and Home show. */
import { type Kysely, type Selectable, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { readNowMs } from '../database/session.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';
import { sumStandings } from '../usage/standing.ts';
import { readAttention } from './attention.ts';

/** The document of `status --json`, and all of `/status.json` but its `worker`. */
export type Health = Awaited<ReturnType<typeof readHealth>>;

export type StreamHealth = ReturnType<typeof toStreamHealth>;

/** A run, with every column that the reader role may read. */
export type RunRecord = Health['runs'][number];

/** The number of days for which a final restatement is reported. */
const RECENT_RESTATEMENT_DAYS = 30;
const RECENT_RUNS = 10;

export async function readHealth(db: Kysely<Schema>) {
  const nowMs = await readNowMs({ db });
  const rows = await db
    .selectFrom('freshness as f')
    .innerJoin('streams as s', 's.stream', 'f.stream')
    .selectAll('f')
    .orderBy('s.position')
    .execute();
  return {
    at: new Date(nowMs).toISOString(),
    gaps: rows.reduce((sum, { gaps }) => sum + gaps, 0),
    instance: await readInstanceHealth(db),
    /** In the order of the table `streams`. */
    streams: rows.map(toStreamHealth),
    attention: await readAttention(db),
    /** The newest first. */
    runs: await readRecentRuns(db),
  };
}

/** The comments on the columns of the view define the fields. */
function toStreamHealth(row: Selectable<Schema['freshness']>) {
  return {
    stream: row.stream,
    cells: sumStandings([row]),
    yesterdayExpected: row.yesterday_expected,
    yesterday: {
      waiting: row.yesterday_waiting,
      unavailable: row.yesterday_unavailable,
      in_doubt: row.yesterday_in_doubt,
      missing: row.yesterday_missing,
    },
    newestReadDay: row.newest_read_day,
    firstDay: row.first_day,
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

/** Returns null as long as no run has tried to read the instance. */
export async function readInstanceHealth(db: Kysely<Schema>) {
  const recentFrom = sql`${CLOCK} - ${RECENT_RESTATEMENT_DAYS} * interval '1 day'`;
  const row = await db
    .selectFrom('instance as i')
    .leftJoin('lease as l', (join) => join.on('l.expires_at', '>', CLOCK))
    .select(['i.name', 'i.listed_at as listedAt', 'i.list_problem as listProblem'])
    .select(['i.totals_problem as totalsProblem', 'i.last_attempt_at as lastAttemptAt', 'i.last_error as lastError'])
    .select(['l.acquired_at as leaseAcquiredAt', 'i.digest_on as digestOn'])
    .select([
      // The first attempt to read it; null once a run has read it.
      sql<Instant | null>`case when not exists (select from losant_usage.tracks)
        and (i.listed_at is null or i.last_error is not null) then i.first_attempt_at end`.as('neverReadSince'),
      sql<number>`(select count(*) from losant_usage.organizations where deleted_on is null)`.as('organizations'),
      sql<Instant | null>`(select max(finished_at) from losant_usage.runs)`.as('lastRunAt'),
      sql<Instant | null>`(select max(finished_at) from losant_usage.runs
        where is_full and status = 'complete')`.as('lastCompleteRunAt'),
      sql<number>`(select count(*) from losant_usage.revisions where was_final)`.as('finalRestatements'),
      sql<number>`(select count(*) from losant_usage.revisions
        where was_final and changed_at >= ${recentFrom})`.as('finalRestatements30Days'),
    ])
    .executeTakeFirst();
  return row ?? null;
}

async function readRecentRuns(db: Kysely<Schema>) {
  return await db
    .selectFrom('runs')
    .select(['run_id as runId', 'first_day as from', 'last_day as to', 'version', 'error'])
    .select(['started_at as startedAt', 'finished_at as finishedAt'])
    .select((eb) => [
      eb.ref('kind').$castTo<RunKind>().as('kind'),
      eb.ref('status').$castTo<RunStatus>().as('status'),
      eb.ref('counts').$castTo<Partial<RunCounts>>().as('counts'),
      eb.ref('failures').$castTo<readonly FailureGroup[]>().as('failures'),
    ])
    .orderBy('started_at', 'desc')
    .orderBy('run_id')
    .limit(RECENT_RUNS)
    .execute();
}
