import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import type { Schema } from '../database/schema.ts';
import { isConnectionLost, isRefusedForData, isRetryable } from '../database/sqlstate.ts';
import type { LosantError } from '../errors.ts';
import { type ExportScope, readDuePages } from '../ledger/due.ts';
import { type Batch, type LoadOptions, type LoadResult, loadBatch } from '../ledger/load.ts';
import { trackDays } from '../ledger/tracking.ts';
import { type CellOutcome, NOT_TRACKED, ORG_DELETED } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import { type Ask, type ClosedCell, countCells, type PagePlan, planPage, type Slice } from '../usage/plan.ts';
import { horizonStart } from '../usage/policy.ts';
import { type InstanceContext, type Progress, requireClock } from './context.ts';
import { answerSlice, extractSlice, judgeFailure, quarantineSlice, type SliceResult } from './extract.ts';
import type { Tally } from './report.ts';
import type { Session } from './session.ts';

/** The scope of an export, its session, and where its results are added up and reported. */
export interface ExportWork {
  readonly context: InstanceContext;
  readonly session: Session;
  readonly scope: ExportScope;
  readonly ask: Ask | undefined;
  /** Whether failed cells are read again before their retry time, because a person asked for the run. */
  readonly retriesFailed: boolean;
  /** The time before which a cell was last asked for to be exported; null for any. */
  readonly triedBeforeMs: number | null;
  readonly tally: Tally;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/** The most slices in one transaction, and the longest wait for it to fill. */
const BATCH_SLICES = 400;
const BATCH_WAIT_MS = 1_000;

/**
 * `exportScope` plans, extracts and loads everything that is due in the scope (or asked for), a page of
 * organizations at a time, and adds it up in the tally. Slices are loaded as they arrive; while one
 * batch is loaded the next is fetched. Returns Losant's refusal of the token or of scopes, if there
 * was one. Throws when the session's signal aborts, when clocks move apart, and when the database
 * stays unreachable.
 */
export async function exportScope(work: ExportWork): Promise<LosantError | null> {
  const stop = new AbortController();
  const signal = AbortSignal.any([work.session.signal, stop.signal]);
  const refusals = new Refusals();
  const progress = { planned: 0, done: 0 };
  const onProgress = () => work.onProgress?.({ ...progress });
  const plans = readAhead(
    planPages(work, signal, (plan) => {
      progress.planned += countCells(plan);
      onProgress();
    }),
  );
  const extract = (slice: Slice) => extractUnlessRefused(slice, work, { refusals, signal });
  const results = flatTransform(2 * work.context.concurrency, extract, slicesOf(plans, refusals));
  let loading = Promise.resolve();
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      await loading;
      loading = loadResults(batch, work, signal).then(() => {
        work.context.waits.moved();
        progress.done += batch.reduce((count, { answers }) => count + answers.length, 0);
        onProgress();
      });
      // A load runs beside the next fetches; its failure is thrown when the load is waited for.
      loading.catch(() => {});
    }
    await loading;
  } finally {
    stop.abort(new Error('the export has ended'));
    await loading.catch(() => {});
    await plans.return(undefined);
  }
  return refusals.worst;
}

async function* planPages(
  work: ExportWork,
  signal: AbortSignal,
  onPlan: (plan: PagePlan) => void,
): AsyncGenerator<PagePlan> {
  const { context, session, scope, ask, retriesFailed, triedBeforeMs, tally } = work;
  const options = { nowMs: context.now(), policy: context.policy, ask, retriesFailed, triedBeforeMs };
  let isFirst = true;
  for await (const tracks of readDuePages(context.db, scope, options)) {
    signal.throwIfAborted();
    context.waits.moved();
    const plan = planPage(tracks, options);
    tally.unreadable += plan.unreadable;
    onPlan(plan);
    if (countCells(plan) > 0) {
      tally.orgs += new Set([...plan.slices, ...plan.closed].map(({ orgId }) => orgId)).size;
      if (isFirst) await session.begin();
      isFirst = false;
    }
    await closeCells(plan.closed, work, signal);
    yield plan;
  }
}

/**
 * `trackAsked` makes the days of a backfill tracked, so that days it does not get are not forgotten. Returns the
 * days between them and the days tracked already, which become tracked too.
 */
export async function trackAsked(
  { db, instanceId, policy, now }: InstanceContext,
  { orgIds, streams }: Pick<ExportScope, 'orgIds' | 'streams'>,
  { range, pastHorizon }: Ask,
): Promise<DayRange | null> {
  const horizon = horizonStart(now(), policy);
  const from = pastHorizon || range.from > horizon ? range.from : horizon;
  if (from > range.to) return null;
  return await trackDays(db, { instanceId, orgIds, streams, horizon }, { from, to: range.to });
}

const OUTCOMES: Readonly<Record<ClosedCell['reason'], CellOutcome>> = {
  org_deleted: { kind: 'closed', code: ORG_DELETED, message: 'the organization was deleted' },
  past_horizon: {
    kind: 'closed',
    code: 'past_horizon',
    message: 'it was not read while Losant kept the detail of the day',
  },
  not_tracked: { kind: 'closed', code: NOT_TRACKED, message: 'the day is not tracked' },
};

/** `closeCells` applies an outcome, without a request, to cells that are no longer read. */
async function closeCells(
  cells: readonly ClosedCell[],
  work: ExportWork,
  signal: AbortSignal,
): Promise<void> {
  const { db, now, policy } = work.context;
  const slices = cells.map(({ orgId, stream, day, reason }) => {
    const slice: Slice = { orgId, stream, window: { from: day, to: day }, days: [{ day, reason: 'gap' }] };
    return answerSlice(slice, { sentAtMs: now(), outcome: OUTCOMES[reason] }, policy);
  });
  for (let start = 0; start < slices.length; start += BATCH_SLICES) {
    const batch = slices.slice(start, start + BATCH_SLICES);
    for (const result of await loadSlices(db, batch, { ...work.session.writing, signal }))
      work.tally.addLoad(result);
  }
}

async function* slicesOf(plans: AsyncIterable<PagePlan>, refusals: Refusals): AsyncGenerator<Slice> {
  for await (const { slices } of plans) {
    yield* slices;
    if (refusals.isTotal) return;
  }
}

/**
 * `extractUnlessRefused` extracts a slice unless its scope was refused: such a stream is not asked for
 * again in this run.
 */
async function extractUnlessRefused(
  slice: Slice,
  { context }: ExportWork,
  { refusals, signal }: { refusals: Refusals; signal: AbortSignal },
): Promise<SliceResult[]> {
  signal.throwIfAborted();
  const known = refusals.of(slice.stream);
  if (known) return [judgeFailure(slice, known, context.now(), context.policy)];
  const results = await extractSlice(slice, context, signal);
  for (const { error } of results) {
    if (error === null) refusals.addAnswer(slice.stream);
    else if (isRefusal(error)) refusals.add(slice, error);
  }
  return results;
}

/**
 * `loadResults` loads results. A refusal of Losant says nothing about a cell, so it is counted but not loaded, which
 * would delay the next attempt.
 */
async function loadResults(
  results: readonly SliceResult[],
  work: ExportWork,
  signal: AbortSignal,
): Promise<void> {
  const { context, tally } = work;
  if (results.some(({ error }) => error?.kind === 'wrong_date')) await requireClock(context, signal);
  const loadable: SliceResult[] = [];
  for (const result of results) {
    tally.unknownKeys += result.unknownKeys;
    tally.outsideBuckets += result.outsideBuckets;
    if (!result.error || !isRefusal(result.error)) {
      loadable.push(result);
      continue;
    }
    const { orgId, stream, days } = result.slice;
    const { kind: code, message } = result.error;
    tally.addRefused({ orgId, stream, code, message, days: days.map(({ day }) => day) });
  }
  if (loadable.length === 0) return;
  for (const loaded of await loadSlices(context.db, loadable, { ...work.session.writing, signal }))
    tally.addLoad(loaded);
}

/** The waits between attempts to load after a conflict or a lost connection: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

/**
 * `loadSlices` loads slices in one transaction. Conflicts and lost connections are retried (a batch may be loaded
 * twice). A batch that the database refuses for its data is halved until the bad slice stands alone;
 * its cells are quarantined. Throws any other error, such as a database that stays unreachable or a
 * lost lease.
 */
async function loadSlices(
  db: Kysely<Schema>,
  slices: readonly SliceResult[],
  options: LoadOptions & { readonly signal: AbortSignal },
): Promise<LoadResult[]> {
  try {
    return [await loadWithRetries(db, joinSlices(slices), options)];
  } catch (error) {
    if (!isRefusedForData(error)) throw error;
    if (slices.length > 1) {
      const middle = Math.ceil(slices.length / 2);
      const first = await loadSlices(db, slices.slice(0, middle), options);
      return [...first, ...(await loadSlices(db, slices.slice(middle), options))];
    }
    return [await loadWithRetries(db, joinSlices(slices.map((it) => refusedByDatabase(it, error))), options)];
  }
}

async function loadWithRetries(
  db: Kysely<Schema>,
  batch: Batch,
  { signal, ...options }: LoadOptions & { readonly signal: AbortSignal },
): Promise<LoadResult> {
  for (const waitMs of RETRY_AFTER_MS) {
    try {
      return await loadBatch(db, batch, options);
    } catch (error) {
      if (!isRetryable(error) && !isConnectionLost(error)) throw error;
      await sleep(waitMs, undefined, { signal });
    }
  }
  return await loadBatch(db, batch, options);
}

function joinSlices(slices: readonly SliceResult[]): Batch {
  return {
    answers: slices.flatMap(({ answers }) => answers),
    quarantined: slices.flatMap(({ quarantined }) => quarantined),
  };
}

/** `refusedByDatabase` returns the quarantined slice whose numbers Postgres does not take. */
function refusedByDatabase(result: SliceResult, error: unknown): SliceResult {
  const problem = error instanceof Error ? error.message : String(error);
  return quarantineSlice(result, 'database_refused', problem);
}

/**
 * The number of organizations that must refuse a stream, while none answers it, before the scope
 * counts as missing.
 */
const REFUSING_ORGS = 3;

/** Whether Losant refused to answer, which says nothing about the cell itself. */
function isRefusal({ kind }: LosantError): boolean {
  return kind === 'unauthorized' || kind === 'forbidden';
}

/** Refusals collects what Losant refuses in a run: everything, streams, or single organizations. */
class Refusals {
  /** The refusal that the run reports; null if there was none. */
  worst: LosantError | null = null;
  readonly #orgs = new Map<string, Set<string>>();
  readonly #answered = new Set<string>();
  readonly #streams = new Map<string, LosantError>();

  addAnswer(stream: string): void {
    this.#answered.add(stream);
  }

  add({ stream, orgId }: { stream: string; orgId: string }, error: LosantError): void {
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgs = this.#orgs.get(stream) ?? new Set();
    this.#orgs.set(stream, orgs.add(orgId));
    if (orgs.size >= REFUSING_ORGS && !this.#answered.has(stream)) this.#streams.set(stream, error);
  }

  /** Returns the reason why the stream is no longer asked for in this run; undefined if it is. */
  of(stream: string): LosantError | undefined {
    return this.isTotal ? (this.worst ?? undefined) : this.#streams.get(stream);
  }

  get isTotal(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}

/**
 * `readAhead` yields the items of `source` in order and requests the next while one is processed. A failure is
 * thrown when its turn comes. Ending early waits for the pending request and ends the source, so that
 * nothing goes on in the background.
 */
export async function* readAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T, void> {
  let next = source.next();
  try {
    for (;;) {
      const result = await next;
      if (result.done) return;
      next = source.next();
      next.catch(() => {});
      yield result.value;
    }
  } finally {
    await next.catch(() => {});
    await source.return(undefined);
  }
}
