import { type Insertable, type Kysely, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Json, Runs, Schema } from '../database/schema.ts';
import { storable } from '../usage/body.ts';
import type { CellResult } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import { readInstance } from './instances.ts';

export type RunKind = 'scheduled' | 'manual' | 'backfill';
export type RunStatus = 'running' | 'complete' | 'partial' | 'failed' | 'interrupted';

/** The result of a run, as it is kept with it. */
export interface RunCounts {
  readonly orgs: number;
  /** Cells by result; `planned` is the sum of the others. */
  readonly cells: Readonly<Record<CellResult | 'planned', number>>;
  /** The rows that the run wrote, or found as they were. */
  readonly rows: Readonly<Record<'inserted' | 'updated' | 'deleted' | 'unchanged', number>>;
  readonly requests: number;
}

/** A group of failures with one cause, as it is kept with a run. */
export interface FailureGroup {
  readonly code: string;
  /** The message, without days and ids where several failures share it. */
  readonly message: string;
  readonly stream: string | null;
  readonly cells: number;
  readonly orgs: number;
  /** An organization that it happened to; null if it concerns none. */
  readonly example: string | null;
}

/** The columns of a run that begins; `is_full` says whether it reads everything that is due of the instance. */
interface NewRun extends Pick<Insertable<Runs>, 'run_id' | 'instance_id' | 'is_full' | 'host' | 'version'> {
  readonly kind: RunKind;
}

/** Records a run that begins. Times are the database's. */
export async function startRun(db: Kysely<Schema>, run: NewRun): Promise<void> {
  const row = { ...run, status: 'running', started_at: CLOCK } as const;
  await db.insertInto('runs').values(row).execute();
}

const toJson = (value: unknown) => sql<Json>`${JSON.stringify(value)}::text::jsonb`;

/** Records what a run under way has read so far, for other processes. */
export async function recordProgress(db: Kysely<Schema>, runId: string, counts: RunCounts): Promise<void> {
  await db
    .updateTable('runs')
    .set({ counts: toJson(counts) })
    .where('run_id', '=', runId)
    .where('status', '=', 'running')
    .execute();
}

/** Returns the backfill that has the lease of an instance, and what it has read so far; null if none has it. */
export async function readBackfill(db: Kysely<Schema>, instanceId: string) {
  const row = await db
    .selectFrom('leases as l')
    .innerJoin('runs as r', 'r.run_id', 'l.run_id')
    .select('r.run_id as runId')
    .select((eb) => eb.ref('r.counts').$castTo<Partial<RunCounts>>().as('counts'))
    .where('l.instance_id', '=', instanceId)
    .where('l.until', '>', CLOCK)
    .where('r.kind', '=', 'backfill')
    .where('r.status', '=', 'running')
    .executeTakeFirst();
  if (row === undefined) return null;
  const { planned: done = 0, failed = 0, quarantined = 0 } = row.counts.cells ?? {};
  return { runId: row.runId, done, failedReads: failed + quarantined };
}

interface FinishedRun {
  readonly status: Exclude<RunStatus, 'running'>;
  readonly range: DayRange | null;
  readonly counts: RunCounts;
  readonly failures: readonly FailureGroup[];
  readonly error: string | null;
}

export async function finishRun(db: Kysely<Schema>, runId: string, run: FinishedRun): Promise<void> {
  const { status, range, counts, failures, error } = run;
  await db
    .updateTable('runs')
    .set({
      status,
      from_date: range?.from ?? null,
      to_date: range?.to ?? null,
      counts: toJson(counts),
      failures: toJson(failures),
      error: error === null ? null : storable(error),
      finished_at: CLOCK,
    })
    .where('run_id', '=', runId)
    .execute();
}

/** Marks the runs of an instance that did not end before another one took its lease: their processes are dead. */
export async function interruptDeadRuns(db: Kysely<Schema>, instanceId: string): Promise<void> {
  await db
    .updateTable('runs')
    .set({ status: 'interrupted', finished_at: CLOCK, error: 'the process died without reporting' })
    .where('instance_id', '=', instanceId)
    .where('status', '=', 'running')
    .execute();
}

/** Records a run that failed before it could begin, unless it is recorded or the instance was never exported. */
export async function recordFailedRun(db: Kysely<Schema>, run: NewRun, error: string): Promise<void> {
  if ((await readInstance(db, run.instance_id)) === null) return;
  await db
    .insertInto('runs')
    .values({ ...run, status: 'failed', error: storable(error), started_at: CLOCK, finished_at: CLOCK })
    .onConflict((conflict) => conflict.column('run_id').doNothing())
    .execute();
}
