import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import { isRejectedForData } from '../database/sqlstate.ts';
import { describeError, type LosantError } from '../errors.ts';
import { countDueCells, type DueScope, readDueDays, readDuePage } from '../ledger/due.ts';
import { loadBatch, type RunLedger } from '../ledger/load.ts';
import { type CellKey, type CellResponse, type CellUpdate, cellId, type Reason } from '../usage/cell.ts';
import { dayAt, HOUR_MS, type UsageDay } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { recheckApiClock } from './context.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import { withoutIdsAndDays } from './report.ts';
import type { Session } from './session.ts';

/** How long a list of due days is used. What becomes due in the meantime, such as yesterday at midnight, waits. */
const LIST_AGE_MAX_MS = HOUR_MS / 4;

/**
 * Loads what is due, a page at a time, newest day first: so yesterday is never behind a backfill. A page is due cells
 * that this run has not attempted yet. The run ends when there are none.
 *
 * Calls `onNewDay` when a day has ended since `createdOn`, the day on which the cells were created. Returns Losant's
 * rejection of the token or of a scope, or null. Throws when the session's signal aborts, when clocks drift apart, and
 * when the database stays unreachable.
 */
export async function loadDue(
  session: Session,
  scope: DueScope,
  { createdOn, onNewDay }: { createdOn: UsageDay; onNewDay: () => Promise<void> },
): Promise<LosantError | null> {
  const { ledger, rejections } = session;
  if (session.options.onProgress) session.cellsDue = await countDueCells(ledger, scope);
  const startMs = ledger.now();
  let today = createdOn;
  for (;;) {
    if (dayAt(ledger.now()) !== today) {
      today = dayAt(ledger.now());
      await onNewDay();
    }
    const days = await readDueDays(ledger, scope, toFilter(session, startMs));
    if (days.length === 0 || rejections.endsRun) return rejections.worst;
    const attemptedCells = session.attemptedCells;
    await loadSlices(session, planDays(session, { scope, startMs, days, today }));
    // What Losant rejects is not attempted: it stays due for the next run.
    if (session.attemptedCells === attemptedCells) return rejections.worst;
  }
}

function toFilter({ rejections }: Session, startMs: number) {
  const { excludedStreams, excludedOrgIds } = rejections;
  return { startMs, excludedStreams, excludedOrgIds };
}

interface DueDays {
  readonly scope: DueScope;
  readonly startMs: number;
  /** Newest first. */
  readonly days: readonly UsageDay[];
  readonly today: UsageDay;
}

/**
 * Yields the slices of due days, newest first, a page of organizations at a time, until the list is too old. A page
 * also has older days that fit into the same requests; while these are read, they have no page of their own.
 */
async function* planDays(session: Session, { scope, startMs, days, today }: DueDays): AsyncGenerator<Slice[]> {
  const { ledger, rejections } = session;
  const endMs = ledger.now() + LIST_AGE_MAX_MS;
  for (const day of days) {
    for (let afterOrgId = ''; ; ) {
      if (ledger.now() > endMs || dayAt(ledger.now()) !== today || rejections.endsRun) return;
      // Taken before the query, which may still see cells as due that are loaded while it is executed.
      const cellsInFlight = new Set(session.cellsInFlight);
      const cells = await readDuePage(ledger, scope, toFilter(session, startMs), { day, afterOrgId });
      const lastOrgId = cells.at(-1)?.orgId;
      if (lastOrgId === undefined) break;
      afterOrgId = lastOrgId;
      const newCells = selectNewCells(cells, day, cellsInFlight);
      for (const cell of newCells) session.cellsInFlight.add(cellId(cell));
      if (newCells.length > 0) yield planSlices(newCells);
    }
  }
}

/** Returns the cells that are not being read, of the streams of organizations of which this day is not being read. */
function selectNewCells(cells: readonly CellKey[], day: UsageDay, cellsInFlight: ReadonlySet<string>): CellKey[] {
  const newCells = cells.filter((cell) => !cellsInFlight.has(cellId(cell)));
  const turns = new Set(newCells.filter((cell) => cell.day === day).map(({ orgId, stream }) => `${orgId} ${stream}`));
  return newCells.filter(({ orgId, stream }) => turns.has(`${orgId} ${stream}`));
}

/** The most slices in one transaction, and the longest wait for them. */
const BATCH_SLICES = 100;
const BATCH_WAIT_MS = 1_000;

/** Extracts and loads slices, and counts them in the tally. One batch is loaded while the next is extracted. */
async function loadSlices(session: Session, pages: AsyncGenerator<Slice[]>): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([session.signal, stop.signal]);
  const takeSlices = async function* (): AsyncGenerator<Slice> {
    for await (const slices of pages) {
      session.signal.throwIfAborted();
      // A run is recorded once there is something to read.
      if (!session.isRecorded) await session.begin();
      for (const { orgId } of slices) session.tally.countOrg(orgId);
      yield* slices;
    }
  };
  const slices = takeSlices();
  const results = flatTransform(2 * session.context.concurrency, (slice) => extract(session, slice, signal), slices);
  let pendingLoad = Promise.resolve();
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      await pendingLoad;
      pendingLoad = loadResults(batch, session, signal);
      // Once a load has failed, the requests that run at the same time are of no use.
      pendingLoad.catch((error: unknown) => stop.abort(error));
    }
    await pendingLoad;
  } catch (error) {
    await pendingLoad;
    throw error;
  } finally {
    stop.abort(new Error('these slices have ended'));
    await pendingLoad.catch(() => {});
    await slices.return(undefined);
    session.cellsInFlight.clear();
  }
}

/** Extracts a slice, unless the run no longer requests its stream or organization. */
async function extract(session: Session, slice: Slice, signal: AbortSignal): Promise<SliceResult[]> {
  const { context, tally, rejections } = session;
  signal.throwIfAborted();
  const rejection = rejections.findForStream(slice.stream);
  const isGivenUp = rejections.isPaused || rejections.excludedOrgIds.includes(slice.orgId);
  if (rejection || isGivenUp) {
    tally.addUnreadSlice(slice, rejection ? toReason(rejection) : GIVEN_UP);
    return [];
  }
  const results = await extractSlice(slice, context, signal);
  for (const result of results) rejections.record(result, tally.orgCount);
  return results;
}

/** Why a slice is not requested after earlier requests of the run had no response in time. */
const GIVEN_UP: Reason = {
  code: 'timeout',
  detail: 'not requested, because earlier requests of this run had no response in time; the next run tries again',
};

function toReason({ kind, message }: LosantError): Reason {
  return { code: kind, detail: withoutIdsAndDays(message) };
}

/**
 * Loads results, except rejected tokens and scopes, and requests that a long pause kept from being sent: these say
 * nothing of the cells, and would postpone their retry.
 */
async function loadResults(results: readonly SliceResult[], session: Session, signal: AbortSignal): Promise<void> {
  const { context, tally, rejections, ledger } = session;
  if (results.some(({ error }) => error?.kind === 'wrong_date')) await recheckApiClock(context, signal);
  const loadable: CellResponse[] = [];
  for (const result of results) {
    tally.unknownKeys += result.unknownKeys;
    tally.outsideBuckets += result.outsideBuckets;
    const { slice, error, responses } = result;
    const isUnsent = error?.kind === 'rate_limited' && error.status === null;
    if (error !== null && (isUnsent || rejections.isGlobal(result))) tally.addUnreadSlice(slice, toReason(error));
    else loadable.push(...responses);
  }
  for (const update of loadable.length > 0 ? await loadResponses(ledger, loadable, signal) : []) {
    tally.addCell(update);
    session.cellsInFlight.delete(cellId(update.cell));
  }
  session.attemptedCells += loadable.length;
  session.reportProgress();
}

/**
 * Loads responses in one transaction. A batch whose data the database rejects is halved until the bad cell is alone,
 * which is quarantined. Throws any other error, such as a lost lease, a database that stays unreachable, or a violated
 * check, which is a bug.
 */
async function loadResponses(
  ledger: RunLedger,
  responses: readonly CellResponse[],
  signal: AbortSignal,
): Promise<CellUpdate[]> {
  try {
    return await loadBatch(ledger, responses, signal);
  } catch (error) {
    if (!isRejectedForData(error)) throw error;
    if (responses.length > 1) {
      const middle = Math.ceil(responses.length / 2);
      const updates = await loadResponses(ledger, responses.slice(0, middle), signal);
      return [...updates, ...(await loadResponses(ledger, responses.slice(middle), signal))];
    }
    const { message: detail } = describeError(error);
    const verdict = { kind: 'quarantined', code: 'database_rejected', detail } as const;
    const quarantined = responses.map((response) => ({ ...response, sha256: null, verdict }));
    return await loadBatch(ledger, quarantined, signal);
  }
}
