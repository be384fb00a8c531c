import { batchWithTimeout, flatTransform } from 'streaming-iterables';
import { isRefusedForData } from '../database/sqlstate.ts';
import { describeError, type LosantError } from '../errors.ts';
import { countDueCells, type DueScope, readDuePage } from '../ledger/due.ts';
import { loadBatch, type RunLedger } from '../ledger/load.ts';
import type { CellKey, CellResponse, CellUpdate, Reason } from '../usage/cell.ts';
import { addDays, dayAt, HOUR_MS, type UsageDay } from '../usage/day.ts';
import { planSlices, type Slice } from '../usage/plan.ts';
import { streams } from '../usage/streams/catalog.ts';
import { recheckApiClock } from './context.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import { withoutIdsAndDays } from './report.ts';
import type { Session } from './session.ts';

const DEFAULT_PASS_MS = HOUR_MS / 4;

/**
 * A backfill can be due for hours, and yesterday becomes due in the middle of it. So cells are read in passes. A pass
 * first reads the last seven days of all organizations, completely; then older days, starting at the organization where
 * the last pass stopped, until the next wake-up or midnight. It reads at least one page of them, or frequent wake-ups
 * would starve them. Once a pass has reached the last organization, `sinceMs` limits the next one to cells that were
 * set due in the meantime and after their last read, so that a run ends; a new day lifts the limit.
 * The run ends when a pass from the first organization finds nothing.
 *
 * Calls `onNewDay` when a day has ended since `createdOn`, the day on which the cells were created: that may take
 * minutes. Returns Losant's rejection of the token or of a scope, or null. Throws when the session's signal aborts,
 * when clocks drift apart, and when the database stays unreachable.
 */
export async function loadDue(
  session: Session,
  scope: DueScope,
  { createdOn, onNewDay }: { createdOn: UsageDay; onNewDay: () => Promise<void> },
): Promise<LosantError | null> {
  const { ledger } = session;
  const { onProgress, nextWakeAt } = session.options;
  const { now } = ledger;
  if (onProgress) session.cellsDue = await countDueCells(ledger, scope);
  let roundStartMs = now();
  let sinceMs: number | null = null;
  let today = createdOn;
  for (let olderCursor = ''; ; ) {
    if (dayAt(now()) !== today) {
      today = dayAt(now());
      sinceMs = null;
      await onNewDay();
    }
    const startMs = now();
    const pass = { scope, startMs, endMs: nextWakeAt?.()?.getTime() ?? startMs + DEFAULT_PASS_MS, sinceMs };
    // One after the other, because a recent slice may include older days, which are due until it is loaded.
    const recent = await loadPages(session, planPages(session, pass, { isRecent: true, afterOrgId: '' }));
    const older = await loadPages(session, planPages(session, pass, { isRecent: false, afterOrgId: olderCursor }));
    const isAtEnd = older.lastOrgId === null;
    const hasRead = recent.hasSlices || older.hasSlices;
    if (isAtEnd && !hasRead && olderCursor === '') return session.refusals.worst;
    olderCursor = isAtEnd ? '' : (older.lastOrgId ?? olderCursor);
    if (isAtEnd) {
      sinceMs = roundStartMs;
      roundStartMs = now();
    }
  }
}

/** One pass over what is due in a scope; see {@link loadDue}. */
interface Pass {
  readonly scope: DueScope;
  /** The time in ms at which the pass began. It reads each cell once, and ends with the day. */
  readonly startMs: number;
  /** The time in ms from which a new pass goes before older days. */
  readonly endMs: number;
  /** Limits the pass to cells that were set due after this time; null for all. */
  readonly sinceMs: number | null;
}

/** A pass reads days up to this age first, for all organizations. */
const RECENT_DAYS = 7;
/** The days before the first one of a slice that its request can include. */
const MAX_DAYS_BEFORE = Math.max(...streams.map(({ maxDays }) => maxDays)) - 1;

/**
 * Yields the slices of a pass, a page of organizations at a time, from the organization after one; see {@link loadDue}.
 * Recent slices are those that end with a recent day. They include the older days that fit into their requests, so that
 * these need no others. `lastOrgId` is the last of these organizations; null if there are none, and none follows.
 */
export async function* planPages(
  { ledger, refusals }: Pick<Session, 'ledger' | 'refusals'>,
  { scope, startMs, endMs, sinceMs }: Pass,
  { isRecent, afterOrgId }: { isRecent: boolean; afterOrgId: string },
) {
  const { now } = ledger;
  const today = dayAt(startMs);
  const oldestRecentDay = addDays(today, -RECENT_DAYS);
  const range = isRecent ? { from: oldestRecentDay, to: null } : { from: null, to: addDays(oldestRecentDay, -1) };
  let lastOrgId: string | null = afterOrgId;
  for (let isFirst = true; dayAt(now()) === today && (isFirst || isRecent || now() < endMs); isFirst = false) {
    const { refusedStreams, isTokenRefused } = refusals;
    const cursor = { startMs, sinceMs, refusedStreams, daysBefore: MAX_DAYS_BEFORE, afterOrgId: lastOrgId, ...range };
    const cells: readonly CellKey[] = isTokenRefused ? [] : await readDuePage(ledger, scope, cursor);
    lastOrgId = cells.at(-1)?.orgId ?? null;
    const slices = groupByOrg(cells).flatMap((group) => planSlices(group));
    yield { slices: isRecent ? slices.filter((slice) => slice.range.to >= oldestRecentDay) : slices, lastOrgId };
    if (lastOrgId === null) return;
  }
}

/** Less than the cells of an organization in 90 days. */
const GROUP_CELLS = 250;

/**
 * Cuts a page of cells into groups of whole organizations, which are read one after the other: streams of a day that
 * are read together are loaded in one transaction, which writes the row of the day once for all of them.
 */
function groupByOrg(cells: readonly CellKey[]): CellKey[][] {
  const groups: CellKey[][] = [];
  for (const orgCells of Map.groupBy(cells, ({ orgId }) => orgId).values()) {
    const group = groups.at(-1);
    if (group === undefined || group.length >= GROUP_CELLS) groups.push(orgCells);
    else group.push(...orgCells);
  }
  return groups;
}

/** The most slices in one transaction, and the longest wait for them. */
const BATCH_SLICES = 100;
const BATCH_WAIT_MS = 1_000;

interface PagesEnd {
  readonly hasSlices: boolean;
  /** That of the last page; undefined if there was no page. */
  readonly lastOrgId?: string | null;
}

/** Extracts and loads slices, and counts them in the tally. One batch is loaded while the next is extracted. */
async function loadPages(session: Session, pages: ReturnType<typeof planPages>): Promise<PagesEnd> {
  const stop = new AbortController();
  const signal = AbortSignal.any([session.signal, stop.signal]);
  let end: PagesEnd = { hasSlices: false };
  const takeSlices = async function* (): AsyncGenerator<Slice> {
    for await (const { slices: pageSlices, lastOrgId } of pages) {
      end = { hasSlices: end.hasSlices || pageSlices.length > 0, lastOrgId };
      session.signal.throwIfAborted();
      // A run is recorded once there is something to read.
      if (pageSlices.length > 0 && !session.isRecorded) await session.begin();
      for (const { orgId } of pageSlices) session.tally.orgIds.add(orgId);
      yield* pageSlices;
    }
  };
  const slices = takeSlices();
  const results = flatTransform(
    2 * session.context.concurrency,
    (slice) => session.timeouts.extractInTurn(slice, (isGivenUp) => extract(session, slice, { isGivenUp, signal })),
    slices,
  );
  let pendingLoad = Promise.resolve();
  try {
    for await (const batch of batchWithTimeout(BATCH_SLICES, BATCH_WAIT_MS, results)) {
      await pendingLoad;
      pendingLoad = loadResults(batch, session, signal);
      // Once a load has failed, the requests that run at the same time are of no use.
      pendingLoad.catch((error: unknown) => stop.abort(error));
    }
    await pendingLoad;
    return end;
  } catch (error) {
    await pendingLoad;
    throw error;
  } finally {
    stop.abort(new Error('these pages have ended'));
    await pendingLoad.catch(() => {});
    await slices.return(undefined);
  }
}

/** Extracts a slice, unless the run no longer requests its stream. */
async function extract(
  { context, tally, refusals }: Session,
  slice: Slice,
  { isGivenUp, signal }: { isGivenUp: boolean; signal: AbortSignal },
): Promise<SliceResult[]> {
  signal.throwIfAborted();
  const refusal = refusals.forStream(slice.stream);
  if (refusal || isGivenUp) {
    tally.addUnreadSlice(slice, refusal ? toReason(refusal) : GIVEN_UP);
    return [];
  }
  const results = await extractSlice(slice, context, signal);
  for (const { error } of results) refusals.record(slice, error, tally.orgIds.size);
  return results;
}

/** Why a slice is not requested if earlier ones of its stream and organization timed out. */
const GIVEN_UP: Reason = {
  code: 'timeout',
  detail: 'not requested, because earlier requests of this run timed out; the next run tries again',
};

function toReason({ kind, message }: LosantError): Reason {
  return { code: kind, detail: withoutIdsAndDays(message) };
}

/**
 * Loads results, except rejected tokens and scopes, and requests that a long pause kept from being sent: these say
 * nothing of the cells, and would postpone their retry.
 */
async function loadResults(results: readonly SliceResult[], session: Session, signal: AbortSignal): Promise<void> {
  const { context, tally, refusals, ledger } = session;
  if (results.some(({ error }) => error?.kind === 'wrong_date')) await recheckApiClock(context, signal);
  const loadable: CellResponse[] = [];
  for (const result of results) {
    tally.unknownKeys += result.unknownKeys;
    tally.outsideBuckets += result.outsideBuckets;
    const { slice, error, responses } = result;
    const isUnsent = error?.kind === 'rate_limited' && error.status === null;
    if (error !== null && (isUnsent || refusals.isGlobal(result))) tally.addUnreadSlice(slice, toReason(error));
    else loadable.push(...responses);
  }
  if (loadable.length > 0) {
    for (const update of await loadResponses(ledger, loadable, signal)) tally.addCell(update);
  }
  session.reportProgress();
}

/**
 * Loads responses in one transaction. A batch whose data the database refuses is halved until the bad cell is alone,
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
    if (!isRefusedForData(error)) throw error;
    if (responses.length > 1) {
      const middle = Math.ceil(responses.length / 2);
      const updates = await loadResponses(ledger, responses.slice(0, middle), signal);
      return [...updates, ...(await loadResponses(ledger, responses.slice(middle), signal))];
    }
    const { message: detail } = describeError(error);
    const verdict = { kind: 'quarantined', code: 'database_refused', detail } as const;
    const quarantined = responses.map((response) => ({ ...response, sha256: null, verdict }));
    return await loadBatch(ledger, quarantined, signal);
  }
}
