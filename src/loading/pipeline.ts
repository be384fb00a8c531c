import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import { retryTransaction } from '../database/retry.ts';
import { isConnectionLost, isRefusedForData } from '../database/sqlstate.ts';
import type { LosantError } from '../errors.ts';
import type { LoadedCell } from '../ledger/coverage.ts';
import { countDueCells, type DueCursor, type DueScope, readDuePage } from '../ledger/due.ts';
import { loadBatch, type RunLedger } from '../ledger/load.ts';
import type { SliceResponse } from '../ledger/quarantine.ts';
import type { CellKey, Reason } from '../usage/cell.ts';
import { addDays, dayAt, HOUR_MS } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { streams } from '../usage/streams/catalog.ts';
import { recheckApiClock } from './context.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import { withoutIdsAndDays } from './report.ts';
import type { Session } from './session.ts';

/** The length of a pass if no schedule ends it. */
const DEFAULT_PASS_MS = HOUR_MS / 4;

/**
 * A backfill can be due for hours, and yesterday becomes due in the middle of it. So cells are read in passes. A pass
 * first reads the last seven days of all organizations, completely; then older days, starting at the organization where
 * the last pass stopped, until the next wake-up or midnight. It reads at least one page of them, or frequent wake-ups
 * would starve them. Once a pass has reached the last organization, `sinceMs` limits the next one to cells that were
 * set due in the meantime and after their last read, so that a cell is read once per run; a new day lifts the limit.
 * The run ends when a pass from the first organization finds nothing.
 *
 * Calls `onNewDay` when a day has ended. Returns Losant's rejection of the token or of a scope, or null. Throws when
 * the session's signal aborts, when clocks drift apart, and when the database stays unreachable.
 */
export async function loadDue(
  session: Session,
  scope: DueScope,
  onNewDay: () => Promise<void>,
): Promise<LosantError | null> {
  const { tally, ledger } = session;
  const { onProgress, nextWakeAt } = session.options;
  const { now } = ledger;
  const cellsDue = onProgress ? await countDueCells(ledger, scope) : 0;
  const reportProgress = () => {
    const { planned, failedReads } = tally;
    onProgress?.({ plannedCells: Math.max(cellsDue, planned), readCells: planned, failedReads });
  };
  let roundStartMs = now();
  let sinceMs: number | null = null;
  for (let olderCursor = ''; ; ) {
    const startMs = now();
    const endMs = nextWakeAt?.()?.getTime() ?? now() + DEFAULT_PASS_MS;
    const pass: Pass = { scope, startMs, endMs, sinceMs, olderCursor, isAtEnd: false, hasFoundCells: false };
    // One after the other, because a recent slice may include older days, which are due until it is loaded.
    await loadPages(session, planRecentDays(session, pass), reportProgress);
    await loadPages(session, planOlderDays(session, pass), reportProgress);
    if (pass.isAtEnd && !pass.hasFoundCells && olderCursor === '') return session.refusals.worst;
    olderCursor = pass.isAtEnd ? '' : pass.olderCursor;
    const isNewDay = dayAt(now()) !== dayAt(startMs);
    if (isNewDay || pass.isAtEnd) {
      sinceMs = isNewDay ? null : roundStartMs;
      roundStartMs = now();
    }
    if (isNewDay) await onNewDay();
  }
}

/** One pass over what is due in a scope; see {@link loadDue}. */
export interface Pass {
  readonly scope: DueScope;
  /** The time in ms at which the pass began. It reads each cell once, and ends with the day. */
  readonly startMs: number;
  /** The time in ms from which a new pass goes before older days. */
  readonly endMs: number;
  /** Limits the pass to cells that were set due after this time; null for all. */
  readonly sinceMs: number | null;
  /** The last organization whose older days were read; empty at first. */
  olderCursor: string;
  /** Whether the older days of the last organization were read. */
  isAtEnd: boolean;
  hasFoundCells: boolean;
}

/** A pass reads days up to this age first, for all organizations. */
const RECENT_DAYS = 7;
/** The days before the first one of a slice that its request can include. */
const MAX_DAYS_BEFORE = Math.max(...streams.map(({ maxDays }) => maxDays)) - 1;

type Planner = Pick<Session, 'ledger' | 'refusals'>;

/**
 * Yields the slices of a pass that end with a recent day, a page of organizations at a time; see {@link loadDue}. They
 * include the older days that fit into their requests, so that these need no others.
 */
export async function* planRecentDays(planner: Planner, pass: Pass): AsyncGenerator<Slice[]> {
  const { now } = planner.ledger;
  const today = dayAt(pass.startMs);
  const from = addDays(today, -RECENT_DAYS);
  for (let afterOrgId = ''; dayAt(now()) === today; ) {
    const cells = await readPage(planner, pass, { from, to: null, afterOrgId });
    if (cells.length === 0) return;
    afterOrgId = lastOrgId(cells);
    yield planSlices(cells).filter(({ range }) => range.to >= from);
  }
}

/** Yields the slices of the older days of a pass, which begin where the last pass stopped; see {@link loadDue}. */
export async function* planOlderDays(planner: Planner, pass: Pass): AsyncGenerator<Slice[]> {
  const { now } = planner.ledger;
  const today = dayAt(pass.startMs);
  const to = addDays(today, -RECENT_DAYS - 1);
  for (let isFirst = true; dayAt(now()) === today && (isFirst || now() < pass.endMs); isFirst = false) {
    const cells = await readPage(planner, pass, { from: null, to, afterOrgId: pass.olderCursor });
    pass.isAtEnd = cells.length === 0;
    if (pass.isAtEnd) return;
    pass.olderCursor = lastOrgId(cells);
    yield planSlices(cells);
  }
}

async function readPage(
  { ledger, refusals }: Planner,
  pass: Pass,
  range: Pick<DueCursor, 'from' | 'to' | 'afterOrgId'>,
): Promise<CellKey[]> {
  const { refusedStreams, isTokenRefused } = refusals;
  const { scope, startMs, sinceMs } = pass;
  const cursor = { refusedStreams, startMs, sinceMs, daysBefore: MAX_DAYS_BEFORE, ...range };
  const cells = isTokenRefused ? [] : await readDuePage(ledger, scope, cursor);
  pass.hasFoundCells ||= cells.length > 0;
  return cells;
}

function lastOrgId(cells: readonly CellKey[]): string {
  return (cells.at(-1) as CellKey).orgId;
}

/** The most slices in one transaction, and the longest wait for them. */
const BATCH_SLICES = 400;
const BATCH_WAIT_MS = 1_000;

/** Extracts and loads slices, and counts them in the tally. One batch is loaded while the next is extracted. */
async function loadPages(
  session: Session,
  pages: AsyncGenerator<Slice[]>,
  reportProgress: () => void,
): Promise<void> {
  const { context, tally, refusals, timeouts } = session;
  const stop = new AbortController();
  const signal = AbortSignal.any([session.signal, stop.signal]);
  const slices = toSlices(session, pages, reportProgress);
  const extract = async (slice: Slice, isGivenUp: boolean) => {
    signal.throwIfAborted();
    const refusal = refusals.forStream(slice.stream);
    if (refusal || isGivenUp) {
      tally.addUnreadSlice(slice, refusal ? toReason(refusal) : GIVEN_UP);
      return [];
    }
    const results = await extractSlice(slice, context, signal);
    for (const { error } of results) refusals.record(slice, error, tally.orgIds.size);
    return results;
  };
  const results = flatTransform(
    2 * context.concurrency,
    (slice) => timeouts.extractInTurn(slice, (isGivenUp) => extract(slice, isGivenUp)),
    slices,
  );
  let pendingLoad = Promise.resolve();
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      await pendingLoad;
      pendingLoad = loadResults(batch, session, signal).then(reportProgress);
      // Once a load has failed, the requests that run at the same time are of no use.
      pendingLoad.catch((error: unknown) => stop.abort(error));
    }
    await pendingLoad;
  } catch (error) {
    await pendingLoad;
    throw error;
  } finally {
    stop.abort(new Error('these pages have ended'));
    await pendingLoad.catch(() => {});
    await slices.return(undefined);
  }
}

/** Why a slice is not requested if earlier ones of its stream and organization timed out. */
const GIVEN_UP: Reason = {
  code: 'timeout',
  detail: 'not requested, because earlier requests of this run timed out; the next run tries again',
};

function toReason({ kind, message }: LosantError): Reason {
  return { code: kind, detail: withoutIdsAndDays(message) };
}

/** Yields the slices of pages. Records the run once there is something to read. */
async function* toSlices(
  session: Session,
  pages: AsyncGenerator<Slice[]>,
  reportProgress: () => void,
): AsyncGenerator<Slice> {
  for await (const page of pages) {
    session.signal.throwIfAborted();
    if (!session.isRecorded) {
      await session.begin();
      reportProgress();
    }
    for (const { orgId } of page) session.tally.orgIds.add(orgId);
    yield* page;
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
  if (results.some(({ error }) => error?.kind === 'wrong_date')) await recheckApiClock(context, signal);
  const loadable: SliceResult[] = [];
  for (const result of results) {
    tally.unknownKeys += result.unknownKeys;
    tally.outsideBuckets += result.outsideBuckets;
    const { slice, error } = result;
    if (error !== null && refusals.isGlobal(result)) tally.addUnreadSlice(slice, toReason(error));
    else loadable.push(result);
  }
  if (loadable.length === 0) return;
  for (const cell of await loadSlices(ledger, loadable, { signal })) tally.addCell(cell);
}

interface LoadAttempt {
  readonly signal: AbortSignal;
  /** Whether the verdicts are quarantined already. */
  readonly isQuarantined?: boolean;
}

/**
 * Loads slices in one transaction. A lost connection is retried, so a batch may be loaded twice. A batch whose data
 * the database refuses is halved until the bad cell is alone, which is quarantined. Throws any other error, such as a
 * lost lease, a database that stays unreachable, or a violated check, which is a bug.
 */
async function loadSlices(
  ledger: RunLedger,
  slices: readonly SliceResponse[],
  { signal, isQuarantined = false }: LoadAttempt,
): Promise<LoadedCell[]> {
  try {
    return await retryTransaction(() => loadBatch(ledger, slices), { canRetry: isConnectionLost, signal });
  } catch (error) {
    if (!isRefusedForData(error) || isQuarantined) throw error;
    const [firstHalf, secondHalf] = halve(slices);
    if (secondHalf.length > 0) {
      const cells = await loadSlices(ledger, firstHalf, { signal });
      return [...cells, ...(await loadSlices(ledger, secondHalf, { signal }))];
    }
    const detail = error instanceof Error ? error.message : String(error);
    const verdict = { kind: 'quarantined', code: 'database_refused', detail } as const;
    const quarantined = slices.map((slice) => {
      return { ...slice, responses: slice.responses.map((each) => ({ ...each, sha256: null, verdict })) };
    });
    return await loadSlices(ledger, quarantined, { signal, isQuarantined: true });
  }
}

/** Halves slices, or the cells of a single one. The second half of a single cell is empty. */
function halve(slices: readonly SliceResponse[]): [SliceResponse[], SliceResponse[]] {
  const [slice] = slices;
  const isSingle = slices.length === 1 && slice !== undefined;
  const parts = isSingle ? slice.responses.map((each) => ({ ...slice, responses: [each] })) : slices;
  const middle = Math.ceil(parts.length / 2);
  return [parts.slice(0, middle), parts.slice(middle)];
}
