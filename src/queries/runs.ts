import { type InferResult, type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/lease.ts';
import type { RunKind, RunStatus } from '../ledger/runs.ts';
import type { DayRange } from '../usage/day.ts';

/** A run with everything recorded about it. The host is null for a role that may not see it. */
export type RunRecord = InferResult<Awaited<ReturnType<typeof selectRuns>>>[number];

/** A group of like failures, as stored with the run. */
export interface RunFailure {
  readonly code: string;
  /** The message of the first of them. */
  readonly message: string;
  readonly stream: string | null;
  readonly cells: number;
  readonly orgs: number;
  /** An organization that it happened to. */
  readonly example: string | null;
}

export interface RunQuery {
  /** The instance; null for all. */
  readonly instanceId: string | null;
  readonly kind: RunKind | null;
  readonly status: RunStatus | null;
  /** The UTC days on which it started; null for all. */
  readonly started: DayRange | null;
  /** The page, from 1. */
  readonly page: number;
}

export type RunList = Awaited<ReturnType<typeof readRunList>>;

export const RUNS_PER_PAGE = 50;

/** `readRunList` returns a page of the runs that match, newest first. */
export async function readRunList(db: Kysely<Schema>, query: RunQuery) {
  const { instanceId, kind, status, started, page } = query;
  let matching = (await selectRuns(db)).orderBy('r.started_at', 'desc').orderBy('r.run_id');
  if (instanceId !== null) matching = matching.where('r.instance_id', '=', instanceId);
  if (kind !== null) matching = matching.where('r.kind', '=', kind);
  if (status !== null) matching = matching.where('r.status', '=', status);
  if (started !== null) {
    matching = matching
      .where('r.started_at', '>=', `${started.from}T00:00:00.000Z`)
      .where('r.started_at', '<=', `${started.to}T23:59:59.999Z`);
  }
  const { count } = await matching
    .clearSelect()
    .clearOrderBy()
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  const runs = await matching
    .limit(RUNS_PER_PAGE)
    .offset((page - 1) * RUNS_PER_PAGE)
    .execute();
  return { count, runs };
}

/** The most runs of a day that are returned. */
const RUNS_OF_DAY_MAX = 2_000;

/** `readRunsSince` returns the runs that have been under way since `since`, oldest first. */
export async function readRunsSince(db: Kysely<Schema>, since: Instant): Promise<RunRecord[]> {
  return await (await selectRuns(db))
    .where((eb) => eb.or([eb('r.finished_at', 'is', null), eb('r.finished_at', '>=', since)]))
    .where('r.heartbeat_at', '>=', since)
    .orderBy('r.started_at')
    .limit(RUNS_OF_DAY_MAX)
    .execute();
}

export async function readRun(db: Kysely<Schema>, runId: string): Promise<RunRecord | null> {
  return (await (await selectRuns(db)).where('r.run_id', '=', runId).executeTakeFirst()) ?? null;
}

/** `readLastRuns` returns the newest runs of each instance, the newest of all first. */
export async function readLastRuns(db: Kysely<Schema>, perInstance: number): Promise<RunRecord[]> {
  const runs = await selectRuns(db);
  return await db
    .selectFrom('instances as i')
    .innerJoinLateral(
      runs
        .where((eb) => eb('r.instance_id', '=', sql.ref<string>('i.instance_id')))
        .orderBy('r.started_at', 'desc')
        .limit(perInstance)
        .as('last'),
      (join) => join.onTrue(),
    )
    .selectAll('last')
    .orderBy('last.startedAt', 'desc')
    .orderBy('last.runId')
    .execute();
}

async function selectRuns(db: Kysely<Schema>) {
  const hosts = await readHostColumns(db);
  return db
    .selectFrom('runs as r')
    .select(['r.run_id as runId', 'r.instance_id as instanceId', 'r.from_date as from', 'r.to_date as to'])
    .select(['r.streams', 'r.started_at as startedAt', 'r.heartbeat_at as heartbeatAt'])
    .select(['r.finished_at as finishedAt', hosts.run.as('host'), 'r.version', 'r.orgs'])
    .select(['r.cells_planned as planned', 'r.cells_loaded as loaded', 'r.cells_unchanged as unchanged'])
    .select(['r.cells_left_out as leftOut', 'r.cells_failed as failed', 'r.cells_quarantined as quarantined'])
    .select(['r.cells_unavailable as unavailable', 'r.cells_restated as restated'])
    .select(['r.cells_restated_final as restatedFinal', 'r.requests', 'r.error'])
    .select((eb) => [
      eb.ref('r.kind').$castTo<RunKind>().as('kind'),
      eb.ref('r.status').$castTo<RunStatus>().as('status'),
      eb.ref('r.failures').$castTo<readonly RunFailure[]>().as('failures'),
    ]);
}
