import { type Kysely, sql } from 'kysely';
import type { RunKind, RunStatus, Schema } from '../database/schema.ts';
import type { DayRange } from '../usage/day.ts';
import { LEASE_MS } from './lease.ts';

export interface NewRun {
  readonly runId: string;
  readonly instanceId: string;
  readonly kind: RunKind;
  /** Whether it reads all that is due of the instance. */
  readonly isFull: boolean;
  readonly streams: readonly string[];
  readonly host: string;
  readonly version: string;
}

/** The counts a run ends with, by their columns. */
export interface RunCounts {
  readonly orgs: number;
  readonly cells_planned: number;
  readonly cells_loaded: number;
  readonly cells_unchanged: number;
  readonly cells_absent: number;
  readonly cells_failed: number;
  readonly cells_quarantined: number;
  readonly cells_unavailable: number;
  readonly cells_restated: number;
  readonly cells_restated_final: number;
  readonly rows_inserted: number;
  readonly rows_updated: number;
  readonly rows_deleted: number;
  readonly rows_unchanged: number;
  readonly requests: number;
}

/** What stands of a run that was found without a sign of life. */
const DIED = 'the process died without reporting';

/** Puts a run on record. Times are the database's. */
export async function startRun(db: Kysely<Schema>, run: NewRun): Promise<void> {
  await sql`
    insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, streams, started_at, heartbeat_at, host, version)
    values (${run.runId}, ${run.instanceId}, ${run.kind}, ${run.isFull}, 'running', ${run.streams}::text[],
      clock_timestamp(), clock_timestamp(), ${run.host}, ${run.version})`.execute(db);
}

/**
 * Says that the run is alive, also one that was thought dead while its process was paused, and tells how many
 * runs of the instance are.
 */
export async function beatRun(
  db: Kysely<Schema>,
  { runId, instanceId, requests }: Pick<NewRun, 'runId' | 'instanceId'> & { requests: number },
): Promise<number> {
  await sql`
    update losant_usage.runs set heartbeat_at = clock_timestamp(), status = 'running', requests = ${requests},
      finished_at = null, error = null
    where run_id = ${runId} and (finished_at is null or error = ${DIED})`.execute(db);
  const { rows } = await sql<{ live: number }>`
    select count(*)::integer as live from losant_usage.runs
    where instance_id = ${instanceId} and status = 'running'
      and heartbeat_at > clock_timestamp() - ${LEASE_MS} * interval '1 ms'`.execute(db);
  return (rows[0] as { live: number }).live;
}

export async function finishRun(
  db: Kysely<Schema>,
  {
    runId,
    status,
    range,
    counts,
    failures,
    error,
  }: {
    runId: string;
    status: Exclude<RunStatus, 'running'>;
    range: DayRange | null;
    counts: RunCounts;
    failures: readonly object[];
    error: string | null;
  },
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
    .set({ finished_at: sql`clock_timestamp()`, heartbeat_at: sql`clock_timestamp()` })
    .where('run_id', '=', runId)
    .execute();
}

/** Marks runs whose process is gone: no sign of life for as long as a lease lasts. Returns how many. */
export async function interruptDeadRuns(db: Kysely<Schema>, instanceId: string): Promise<number> {
  const { numAffectedRows } = await sql`
    update losant_usage.runs set status = 'interrupted', finished_at = heartbeat_at,
      error = ${DIED}
    where instance_id = ${instanceId} and status = 'running'
      and heartbeat_at <= clock_timestamp() - ${LEASE_MS} * interval '1 ms'`.execute(db);
  return Number(numAffectedRows ?? 0);
}

/**
 * Puts a run on record that failed before it could begin. Does nothing if it is
 * on record already, or if the instance was never exported.
 */
export async function recordFailedRun(db: Kysely<Schema>, run: NewRun, error: string): Promise<void> {
  await sql`
    insert into losant_usage.runs
      (run_id, instance_id, kind, is_full, status, streams, started_at, heartbeat_at, finished_at, host, version, error)
    select ${run.runId}::uuid, instance_id, ${run.kind}, ${run.isFull}, 'failed', ${run.streams}::text[],
      clock_timestamp(), clock_timestamp(), clock_timestamp(), ${run.host}, ${run.version}, ${storable(error)}
    from losant_usage.instances where instance_id = ${run.instanceId}
    on conflict (run_id) do nothing`.execute(db);
}

/** Postgres stores no NUL and no half of a surrogate pair. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed();
}
