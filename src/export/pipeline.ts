import type { Kysely } from 'kysely';
import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import type { LosantError } from '../errors.ts';
import type { LosantClient } from '../losant/client.ts';
import type { LeaseHold } from '../database/write/lease.ts';
import { ORG_REMOVED } from '../database/write/organizations.ts';
import type { Schema } from '../database/schema.ts';
import { extendTracking, recordExpiry, type TrackScope } from '../database/write/tracking.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { loadSlices } from './batch.ts';
import { sameForAll } from './validate.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import { readTrackPages } from './due.ts';
import { type Ask, type Cell, countCells, type PagePlan, planPage, type Slice, type Track } from '../usage/plan.ts';
import { horizonStart, isGapAge, type Policy } from '../usage/policy.ts';
import { readAhead } from './read-ahead.ts';
import type { Tally } from './report.ts';

export interface ExportOptions {
  readonly db: Kysely<Schema>;
  readonly client: LosantClient;
  readonly scope: TrackScope;
  readonly policy: Policy;
  readonly ask?: Ask | undefined;
  readonly runId: string;
  readonly lease: LeaseHold | null;
  readonly concurrency: number;
  /** ms by the database's clock. */
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Called once, before the first thing is written or asked. */
  readonly onFirstWork: () => Promise<void>;
  readonly onProgress?: ((progress: { readonly planned: number; readonly done: number }) => void) | undefined;
}

/** Cells a transaction holds at most, and how long it waits to be full. */
const BATCH_SLICES = 200;
const BATCH_WAIT_MS = 1_000;

/**
 * Plans, extracts and loads everything that is due in the scope (or asked for),
 * a page of organizations at a time, and adds it up in `tally`. Slices are loaded
 * as they come; while one batch is loaded the next is fetched. Returns Losant's
 * refusal of the token or of scopes, if there was one. Throws when `signal`
 * aborts, and when the database stays away.
 */
export async function exportScope(outer: ExportOptions, tally: Tally): Promise<LosantError | null> {
  const stop = new AbortController();
  const options = { ...outer, signal: AbortSignal.any([outer.signal, stop.signal]) };
  const refusals = new Refusals();
  const progress = { planned: 0, done: 0 };
  const onProgress = () => options.onProgress?.({ ...progress });
  const plans = readAhead(
    planPages(options, tally, (plan) => {
      progress.planned += countCells(plan);
      onProgress();
    }),
  );
  const extract = (slice: Slice) => extractUnlessRefused(slice, options, refusals);
  const results = flatTransform(options.concurrency, extract, slicesOf(plans, refusals));
  let loading: Promise<{ error: unknown } | null> = Promise.resolve(null);
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      throwFailure(await loading);
      loading = loadResults(batch, options, tally).then(
        () => {
          progress.done += batch.reduce((count, { answers }) => count + answers.length, 0);
          onProgress();
          return null;
        },
        (error: unknown) => ({ error }),
      );
    }
    throwFailure(await loading);
  } finally {
    stop.abort(new Error('the export has ended'));
    await loading;
    await plans.return(undefined);
  }
  return refusals.worst;
}

/** A load runs beside the next fetches; its failure is thrown when it is waited for. */
function throwFailure(outcome: { error: unknown } | null): void {
  if (outcome) throw outcome.error;
}

/** What Losant refuses for the rest of the run: everything, or single streams. */
class Refusals {
  worst: LosantError | null = null;
  readonly #streams = new Map<string, LosantError>();

  add(stream: string, error: LosantError): void {
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    this.#streams.set(stream, error);
  }

  of(stream: string): LosantError | undefined {
    return this.isTotal ? (this.worst ?? undefined) : this.#streams.get(stream);
  }

  get isTotal(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}

async function* planPages(
  options: ExportOptions,
  tally: Tally,
  onPlan: (plan: PagePlan) => void,
): AsyncGenerator<PagePlan> {
  const { db, scope, policy, ask, now, signal, onFirstWork } = options;
  const nowMs = now();
  const planOptions = { nowMs, policy, ask };
  let isFirst = true;
  for await (const tracks of readTrackPages(db, scope, planOptions)) {
    signal.throwIfAborted();
    const plan = planPage(tracks, planOptions);
    tally.orgs += new Set(tracks.map(({ orgId }) => orgId)).size;
    tally.waiting += plan.waiting.filter((cell) => isConcern(cell, nowMs)).length;
    onPlan(plan);
    if (isFirst && countCells(plan) > 0) {
      isFirst = false;
      await onFirstWork();
    }
    if (ask?.reason === 'backfill') await extendPromise(tracks, ask, options);
    await loadLost(plan.lost, tracks, options, tally);
    yield plan;
  }
}

/** Absent is no concern as long as the day is too young to be a gap. */
function isConcern({ state, day }: PagePlan['waiting'][number], nowMs: number): boolean {
  return state !== 'absent' || isGapAge(day, nowMs);
}

async function extendPromise(
  tracks: readonly Track[],
  { range, pastHorizon }: Ask,
  { db, policy, now, scope }: ExportOptions,
): Promise<void> {
  const horizon = horizonStart(now(), policy);
  const from = pastHorizon || range.from > horizon ? range.from : horizon;
  const orgIds = [...new Set(tracks.map(({ orgId }) => orgId))];
  if (from <= range.to) await extendTracking(db, { orgIds, streams: scope.streams }, { from, to: range.to });
}

/** Cells that can no longer be had are marked so, and the days before the horizon need no second look. */
async function loadLost(
  lost: readonly Cell[],
  tracks: readonly Track[],
  options: ExportOptions,
  tally: Tally,
): Promise<void> {
  const { db, policy, now, scope, ask } = options;
  const removed = new Set(tracks.filter(({ removedOn }) => removedOn !== null).map(({ orgId }) => orgId));
  const slices = lost.map(({ orgId, stream, day }) => {
    const slice: Slice = { orgId, stream, window: { from: day, to: day }, days: [{ day, reason: 'gap' }] };
    const outcome = removed.has(orgId) ? orgRemoved : pastHorizon;
    return { slice, ...sameForAll(slice, streamNamed(stream), { sentAtMs: now(), outcome }, policy) };
  });
  for (let start = 0; start < slices.length; start += BATCH_SLICES) {
    const batch = slices.slice(start, start + BATCH_SLICES);
    for (const result of await loadSlices(db, batch, options)) tally.addLoad(result);
  }
  if (ask) return;
  const orgIds = [...new Set(tracks.map(({ orgId }) => orgId))];
  await recordExpiry(db, { orgIds, streams: scope.streams }, horizonStart(now(), policy));
}

const orgRemoved = { kind: 'lost', code: ORG_REMOVED, message: 'the organization was deleted' } as const;
const pastHorizon = {
  kind: 'lost',
  code: 'past_horizon',
  message: 'it was not read while Losant kept the detail of the day',
} as const;

async function* slicesOf(plans: AsyncIterable<PagePlan>, refusals: Refusals): AsyncGenerator<Slice> {
  for await (const { slices } of plans) {
    yield* slices;
    if (refusals.isTotal) return;
  }
}

/** A stream whose scope was refused is not asked for again in this run. */
async function extractUnlessRefused(
  slice: Slice,
  { client, scope, policy, now, signal }: ExportOptions,
  refusals: Refusals,
): Promise<SliceResult[]> {
  signal.throwIfAborted();
  const stream = streamNamed(slice.stream);
  const known = refusals.of(slice.stream);
  if (known) return [refusedSlice(slice, known, { policy, now })];
  const results = await extractSlice(slice, {
    client,
    instanceId: scope.instanceId,
    stream,
    policy,
    now,
    signal,
  });
  for (const { error } of results) {
    if (error && isRefusal(error)) refusals.add(slice.stream, error);
  }
  return results;
}

function isRefusal({ kind }: LosantError): boolean {
  return kind === 'unauthorized' || kind === 'forbidden';
}

function refusedSlice(
  slice: Slice,
  error: LosantError,
  { policy, now }: Pick<ExportOptions, 'policy' | 'now'>,
): SliceResult {
  const outcome = { kind: 'failed', code: error.kind, message: error.message } as const;
  const verdict = sameForAll(slice, streamNamed(slice.stream), { sentAtMs: now(), outcome }, policy);
  return { slice, error, ...verdict };
}

/** A refusal says nothing of a cell: it is counted, but leaves no mark that would delay the next try. */
async function loadResults(
  results: readonly SliceResult[],
  options: ExportOptions,
  tally: Tally,
): Promise<void> {
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
  for (const loaded of await loadSlices(options.db, loadable, options)) tally.addLoad(loaded);
}
