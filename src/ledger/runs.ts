import { type Kysely, sql, type Updateable } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Runs, Schema } from '../database/schema.ts';
import { storable } from '../usage/body.ts';
import type { DayRange } from '../usage/day.ts';
import { LEASE_MS } from './lease.ts';

export type RunKind = 'scheduled' | 'manual' | 'backfill';
export type RunStatus = 'running' | 'complete' | 'partial' | 'failed' | 'interrupted';

export interface NewRun {
  readonly runId: string;
  readonly instanceId: string;
  readonly kind: RunKind;
  /** Whether it reads everything that is due of the instance. */
  readonly isFull: boolean;
  readonly streams: readonly string[];
  readonly host: string;
  readonly version: string;
}

/** The error of a run that was found without a sign of life. */
const DIED = 'the process died without reporting';
/** The time since which a run without a sign of life counts as dead. */
const SILENT_SINCE = sql<Instant>`clock_timestamp() - ${LEASE_MS} * interval '1 ms'`;

/** `startRun` records a run. Times are the database's. */
export async function startRun(db: Kysely<Schema>, run: NewRun): Promise<void> {
  await db
    .insertInto('runs')
    .values({ ...toRow(run), status: 'running', started_at: CLOCK, heartbeat_at: CLOCK })
    .execute();
}

/**
 * `beatRun` records that the run is alive, even if it was thought dead while its process was paused. Returns the
 * number of live runs of the instance.
 */
export async function beatRun(
  db: Kysely<Schema>,
  { runId, instanceId, requests }: Pick<NewRun, 'runId' | 'instanceId'> & { requests: number },
): Promise<number> {
  await db
    .updateTable('runs')
    .set({ heartbeat_at: CLOCK, status: 'running', requests, finished_at: null, error: null })
    .where('run_id', '=', runId)
    .where((eb) => eb.or([eb('finished_at', 'is', null), eb('error', '=', DIED)]))
    .execute();
  const { live } = await db
    .selectFrom('runs')
    .select(({ fn }) => fn.countAll<number>().as('live'))
    .where('instance_id', '=', instanceId)
    .where('status', '=', 'running')
    .where('heartbeat_at', '>', SILENT_SINCE)
    .executeTakeFirstOrThrow();
  return live;
}

interface FinishedRun {
  readonly runId: string;
  readonly status: Exclude<RunStatus, 'running'>;
  readonly range: DayRange | null;
  /** The counts with which it ends, by their columns. */
  readonly counts: Updateable<Runs>;
  readonly failures: readonly object[];
  readonly error: string | null;
}

export async function finishRun(
  db: Kysely<Schema>,
  { runId, status, range, counts, failures, error }: FinishedRun,
): Promise<void> {
  await db
    .updateTable('runs')
    .set({
      ...counts,
      status,
      from_date: range?.from ?? null,
      to_date: range?.to ?? null,
      error: error === null ? null : storable(error),
      failures: JSON.stringify(failures),
    })
    .set({ finished_at: CLOCK, heartbeat_at: CLOCK })
    .where('run_id', '=', runId)
    .execute();
}

/**
 * `interruptDeadRuns` marks runs whose process is gone: no sign of life for as long as a lease lasts, or
 * their lease was taken over. Returns how many.
 */
export async function interruptDeadRuns(
  db: Kysely<Schema>,
  instanceId: string,
  lapsedRunIds: readonly string[] = [],
): Promise<number> {
  const { numUpdatedRows } = await db
    .updateTable('runs')
    .set((eb) => ({ status: 'interrupted', finished_at: eb.ref('heartbeat_at'), error: DIED }))
    .where('instance_id', '=', instanceId)
    .where('status', '=', 'running')
    .where((eb) =>
      eb.or([eb('heartbeat_at', '<=', SILENT_SINCE), eb('run_id', '=', eb.fn.any(eb.val(lapsedRunIds)))]),
    )
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/**
 * `recordFailedRun` records a run that failed before it could begin. Does nothing if it is already
 * recorded, or if the instance was never exported.
 */
export async function recordFailedRun(db: Kysely<Schema>, run: NewRun, error: string): Promise<void> {
  const times = { started_at: CLOCK, heartbeat_at: CLOCK, finished_at: CLOCK };
  const row = { ...toRow(run), status: 'failed', error: storable(error) };
  const known = await db
    .selectFrom('instances')
    .select('instance_id')
    .where('instance_id', '=', run.instanceId)
    .executeTakeFirst();
  if (!known) return;
  await db
    .insertInto('runs')
    .values({ ...row, ...times })
    .onConflict((conflict) => conflict.column('run_id').doNothing())
    .execute();
}

function toRow({ runId, instanceId, kind, isFull, streams, host, version }: NewRun) {
  return {
    ...{ run_id: runId, instance_id: instanceId, kind, is_full: isFull, streams: [...streams] },
    ...{ host, version },
  };
}
