import { type Insertable, type Kysely, sql, type UpdateObject } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Json, Schema } from '../database/schema.ts';
import { retryTransaction } from '../database/sqlstate.ts';
import { toStorableText } from '../usage/body.ts';
import type { CellResult } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import { inTransaction, type Lease } from './lease.ts';

export type RunKind = 'scheduled' | 'manual' | 'backfill';
export type RunStatus = 'running' | 'complete' | 'partial' | 'failed' | 'interrupted';

/** The JSON of `runs.counts`. */
export interface RunCounts {
  readonly orgs: number;
  /** Cells by result; `planned` is the sum of the others. */
  readonly cells: Readonly<Record<CellResult | 'planned', number>>;
  /** Stored cells by what happened to their numbers. */
  readonly rows: Readonly<Record<'inserted' | 'updated' | 'deleted' | 'unchanged', number>>;
  readonly requests: number;
}

/** The progress of a run (counts of cells). */
export interface Progress {
  /** Those that were due so far; it grows while cells are read. */
  readonly plannedCells: number;
  readonly readCells: number;
  /** Those whose read failed or whose response was quarantined. */
  readonly failedReads: number;
}

/** Failures of a run with one cause: an element of the JSON of `runs.failures`. */
export interface FailureGroup {
  readonly code: string;
  /** Without IDs and days, which differ within the group. */
  readonly message: string;
  readonly stream: string | null;
  readonly cells: number;
  readonly orgs: number;
  /** The ID of one of the organizations; null if the failure concerns none. */
  readonly example: string | null;
}

/** `is_full`: the run reads everything that is due. */
export interface NewRun extends Pick<Insertable<Schema['runs']>, 'run_id' | 'is_full' | 'host' | 'version'> {
  readonly kind: RunKind;
}

export async function startRun(db: Kysely<Schema>, run: NewRun): Promise<void> {
  const row = { ...run, status: 'running', started_at: CLOCK } as const;
  await retryTransaction(() => db.insertInto('runs').values(row).execute());
}

const toJson = (value: unknown) => sql<Json>`${JSON.stringify(value)}::text::jsonb`;

async function updateRuns(
  db: Kysely<Schema>,
  runs: Partial<Record<'run_id' | 'status', string>>,
  changes: UpdateObject<Schema, 'runs'>,
): Promise<void> {
  const update = db
    .updateTable('runs')
    .set(changes)
    .where((eb) => eb.and(runs));
  await update.execute();
}

export async function recordProgress(db: Kysely<Schema>, runId: string, counts: RunCounts): Promise<void> {
  await retryTransaction(() => updateRuns(db, { run_id: runId, status: 'running' }, { counts: toJson(counts) }));
}

/** Returns the progress of the backfill that has the lease; null if none has. */
export async function readBackfill(db: Kysely<Schema>) {
  const row = await db
    .selectFrom('lease as l')
    .innerJoin('runs as r', 'r.run_id', 'l.run_id')
    .select('r.run_id as runId')
    .select((eb) => eb.ref('r.counts').$castTo<Partial<RunCounts>>().as('counts'))
    .where('l.expires_at', '>', CLOCK)
    .where('r.kind', '=', 'backfill')
    .where('r.status', '=', 'running')
    .executeTakeFirst();
  if (row === undefined) return null;
  const { planned: readCells = 0, failed = 0, quarantined = 0 } = row.counts.cells ?? {};
  return { runId: row.runId, readCells, failedReads: failed + quarantined };
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
  const changes = {
    status,
    first_day: range?.from ?? null,
    last_day: range?.to ?? null,
    counts: toJson(counts),
    failures: toJson(failures),
    error: error && toStorableText(error),
    finished_at: CLOCK,
  };
  await retryTransaction(() => updateRuns(db, { run_id: runId }, changes));
}

/**
 * Marks the unfinished runs. Whoever has the lease knows that their processes are dead. Throws BusyError `lease_lost`
 * if another process has taken over, which may have begun one of them.
 */
export async function interruptDeadRuns(db: Kysely<Schema>, lease: Lease): Promise<void> {
  const error = 'the process died without reporting';
  const changes = { status: 'interrupted', finished_at: CLOCK, error };
  await inTransaction({ db, lease }, (trx) => updateRuns(trx, { status: 'running' }, changes));
}

/** Records a run that failed before it began. Does nothing if it is recorded. */
export async function recordFailedRun(db: Kysely<Schema>, run: NewRun, error: string): Promise<void> {
  const record = db
    .insertInto('runs')
    .values({ ...run, status: 'failed', error: toStorableText(error), started_at: CLOCK, finished_at: CLOCK })
    .onConflict((conflict) => conflict.column('run_id').doNothing());
  await retryTransaction(() => record.execute());
}
