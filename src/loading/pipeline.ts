import { setTimeout as sleep } from 'node:timers/promises';
import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import { isConnectionLost, isRefusedForData, isRetryable } from '../database/sqlstate.ts';
import type { LosantError } from '../errors.ts';
import type { LoadedCell } from '../ledger/coverage.ts';
import { countDue, type DueScope, readDuePage } from '../ledger/due.ts';
import { loadBatch, type RunLedger } from '../ledger/load.ts';
import type { CellKey } from '../usage/cell.ts';
import { addDays, dayAt, HOUR_MS } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { requireClock } from './context.ts';
import { extractSlice, type SliceResult, toFailedResult } from './extract.ts';
import type { Session } from './session.ts';

/** Length of a pass when there is no schedule to end it. */
const USUAL_PASS_MS = HOUR_MS / 4;

/**
 * Exports everything that is due, in passes from one wake-up to the next, until nothing is left that was set due
 * meanwhile; calls `onNewDay` when a day has ended since. Returns Losant's refusal of the token or of scopes, if there
 * was one. Throws when the session's signal aborts, when clocks move apart, and when the database stays unreachable.
 */
export async function exportDue(
  session: Session,
  scope: DueScope,
  onNewDay: () => Promise<void>,
): Promise<LosantError | null> {
  const { tally, ledger } = session;
  const { onProgress, nextWakeAt } = session.options;
  const { now } = ledger;
  const cellsDue = onProgress ? await countDue(ledger, scope) : 0;
  const showProgress = () =>
    onProgress?.({ planned: Math.max(cellsDue, tally.planned), done: tally.planned });
  let lookedAtMs = now();
  let sinceMs: number | null = null;
  for (let olderCursor = ''; ; ) {
    const today = dayAt(now());
    const endMs = nextWakeAt?.()?.getTime() ?? now() + USUAL_PASS_MS;
    const pass: Pass = { scope, endMs, sinceMs, olderAfter: olderCursor, isAtEnd: false, hasFound: false };
    await exportPass(session, pass, showProgress);
    if (pass.isAtEnd && !pass.hasFound && olderCursor === '') return session.refusals.worst;
    olderCursor = pass.isAtEnd ? '' : pass.olderAfter;
    const isNewDay = dayAt(now()) !== today;
    if (isNewDay || pass.isAtEnd) {
      sinceMs = isNewDay ? null : lookedAtMs;
      lookedAtMs = now();
    }
    if (isNewDay) await onNewDay();
  }
}

/** A look at what is due in a scope, until the next wake-up. */
export interface Pass {
  readonly scope: DueScope;
  /** The time in ms at which what has become due meanwhile goes before older days. */
  readonly endMs: number;
  /** Only what was set due after this time, as by a backfill that waits; null for all. */
  readonly sinceMs: number | null;
  /** The last organization whose older days were read; empty at first. */
  olderAfter: string;
  /** Whether nothing was left. */
  isAtEnd: boolean;
  hasFound: boolean;
}

/** Days younger than this go first, over all organizations. */
const RECENT_DAYS = 7;

/**
 * Yields the due cells of a pass, a page of organizations at a time: the last week of all organizations first,
 * then older days from where the last pass stopped. See the note on passes below. (narrative 4)
 */
export async function* readDuePages(
  { ledger, refusals }: Pick<Session, 'ledger' | 'refusals'>,
  pass: Pass,
): AsyncGenerator<CellKey[]> {
  const { scope, endMs, sinceMs } = pass;
  const { now } = ledger;
  const today = dayAt(now());
  const recent = { from: addDays(today, -RECENT_DAYS), to: null };
  const olderRange = { from: null, to: addDays(recent.from, -1) };
  const readPage = async (days: typeof recent | typeof olderRange, afterOrgId: string) => {
    const cursor = { stopped: refusals.refusedStreams, sinceMs, afterOrgId, ...days };
    const cells = refusals.isTokenRefused ? [] : await readDuePage(ledger, scope, cursor);
    pass.hasFound ||= cells.length > 0;
    return cells;
  };
  for (let afterOrgId = ''; dayAt(now()) === today; ) {
    const cells = await readPage(recent, afterOrgId);
    if (cells.length === 0) break;
    afterOrgId = lastOrgId(cells);
    yield cells;
  }
  // At least one page of older days, so that wake-ups at short intervals do not keep them waiting for ever.
  for (let isFirst = true; dayAt(now()) === today && (isFirst || now() < endMs); isFirst = false) {
    const cells = await readPage(olderRange, pass.olderAfter);
    pass.isAtEnd = cells.length === 0;
    if (pass.isAtEnd) return;
    pass.olderAfter = lastOrgId(cells);
    yield cells;
  }
}

function lastOrgId(cells: readonly CellKey[]): string {
  return (cells.at(-1) as CellKey).orgId;
}

/** The most slices in one transaction, and the longest wait for it to fill. */
const BATCH_SLICES = 400;
const BATCH_WAIT_MS = 1_000;

/**
 * Plans, extracts and loads a pass, a page of organizations at a time, and adds it up in the tally. Slices are loaded
 * as they arrive; while one batch is loaded the next is fetched. A scope that was refused is not asked for again.
 */
async function exportPass(session: Session, pass: Pass, showProgress: () => void): Promise<void> {
  const { context, tally, refusals } = session;
  const stop = new AbortController();
  const signal = AbortSignal.any([session.signal, stop.signal]);
  const slices = planSlicesOf(session, pass, showProgress);
  const extract = async (slice: Slice) => {
    signal.throwIfAborted();
    const earlierRefusal = refusals.forStream(slice.stream);
    if (earlierRefusal) return [toFailedResult(slice, earlierRefusal, context.now())];
    const results = await extractSlice(slice, context, signal);
    for (const { error } of results) refusals.record(slice, error, tally.orgIds.size);
    return results;
  };
  const results = flatTransform(2 * context.concurrency, extract, slices);
  let loading = Promise.resolve();
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      await loading;
      loading = loadResults(batch, session, signal).then(showProgress);
      // A load runs beside the next fetches, which have no use any more once it has failed.
      loading.catch((error: unknown) => stop.abort(error));
    }
    await loading;
  } catch (error) {
    await loading;
    throw error;
  } finally {
    stop.abort(new Error('the export has ended'));
    await loading.catch(() => {});
    await slices.return(undefined);
  }
}

/** Yields the slices of a pass. The run is on record from the first page on. */
async function* planSlicesOf(session: Session, pass: Pass, showProgress: () => void): AsyncGenerator<Slice> {
  for await (const cells of readDuePages(session, pass)) {
    session.signal.throwIfAborted();
    if (!session.isBegun) {
      await session.begin();
      showProgress();
    }
    for (const { orgId } of cells) session.tally.orgIds.add(orgId);
    yield* planSlices(cells);
  }
}

/**
 * Loads results. A rejected token or scope is counted but not loaded: it says nothing about the cells, and loading
 * it would postpone their retry.
 */
async function loadResults(
  results: readonly SliceResult[],
  { context, tally, refusals, ledger }: Session,
  signal: AbortSignal,
): Promise<void> {
  if (results.some(({ error }) => error?.kind === 'wrong_date')) await requireClock(context, signal);
  const loadable: SliceResult[] = [];
  for (const result of results) {
    tally.unknownKeys += result.unknownKeys;
    tally.outsideBuckets += result.outsideBuckets;
    if (refusals.isGlobal(result)) tally.addRefused(result.answers);
    else loadable.push(result);
  }
  if (loadable.length === 0) return;
  for (const cell of await loadSlices(ledger, loadable, { signal })) tally.addCell(cell);
}

/** The waits between attempts to load after a conflict or a lost connection: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

interface LoadAttempt {
  readonly signal: AbortSignal;
  /** The number of attempts before. */
  readonly failures?: number;
  /** Whether the numbers were set aside already. */
  readonly isSetAside?: boolean;
}

/**
 * Loads slices in one transaction. Conflicts and lost connections are retried (a batch may be loaded twice). A batch
 * that the database refuses for its data is halved until the bad slice stands alone; its cells are quarantined. Throws
 * any other error, such as a database that stays unreachable or a lost lease.
 */
async function loadSlices(
  ledger: RunLedger,
  slices: readonly SliceResult[],
  { signal, failures = 0, isSetAside = false }: LoadAttempt,
): Promise<LoadedCell[]> {
  try {
    return await loadBatch(ledger, slices);
  } catch (error) {
    const waitMs = RETRY_AFTER_MS[failures];
    if ((isRetryable(error) || isConnectionLost(error)) && waitMs !== undefined) {
      await sleep(waitMs, undefined, { signal });
      return await loadSlices(ledger, slices, { signal, failures: failures + 1, isSetAside });
    }
    if (!isRefusedForData(error) || isSetAside) throw error;
    if (slices.length > 1) {
      const middle = Math.ceil(slices.length / 2);
      const first = await loadSlices(ledger, slices.slice(0, middle), { signal });
      return [...first, ...(await loadSlices(ledger, slices.slice(middle), { signal }))];
    }
    const detail = error instanceof Error ? error.message : String(error);
    const verdict = { kind: 'quarantined', code: 'database_refused', detail } as const;
    const refused = slices.map((slice) => {
      return { ...slice, answers: slice.answers.map((answer) => ({ ...answer, sha256: null, verdict })) };
    });
    return await loadSlices(ledger, refused, { signal, isSetAside: true });
  }
}
