/** Control totals: Losant's own totals of the instance by day, for the reconciliation. They never fail a run. */
import { sql } from 'kysely';
import { transform } from 'streaming-iterables';
import { isAmong, recordsOf } from '../database/expressions.ts';
import { isConnectionLost, retryTransaction } from '../database/sqlstate.ts';
import { FAILURES, isFailure } from '../errors.ts';
import { computeOurSums, updateInstance } from '../ledger/instances.ts';
import { inTransaction } from '../ledger/lease.ts';
import { type CellKey, type CellResponse, compareText, type Reason, type Verdict } from '../usage/cell.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { planSlices, type Slice, WHOLE_INSTANCE } from '../usage/plan.ts';
import { horizonStart } from '../usage/policy.ts';
import { getStream } from '../usage/streams/catalog.ts';
import type { RunOptions } from './context.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import type { Session } from './session.ts';

/** Control totals must not hold up a run for long; the next run continues with the days that remain. */
const TOTALS_TIMEOUT_MS = 120_000;

/** Computes our sums, and reads Losant's totals that are due. Logs a failure; throws only if the signal aborts. */
export async function readControlTotals(session: Session): Promise<void> {
  const { instanceId, selection, logger } = session.context;
  try {
    await retryTransaction(() => computeSums(session), { canRetry: isConnectionLost, signal: session.signal });
    // Losant's totals cover all organizations, so they cannot be compared with sums of a selection.
    if (selection === null) await requestTotals(session);
  } catch (error) {
    session.signal.throwIfAborted();
    const fields = { instance_id: instanceId, err: error };
    logger.warn(fields, 'control totals not compared; the next run tries again');
  }
}

/** Computes our sums of the days without them: a complete run leaves no such day. */
async function computeSums(session: Session): Promise<void> {
  for (const day of await readDaysToSum(session)) {
    session.signal.throwIfAborted();
    await computeOurSums(session.ledger, day);
  }
}

/** Returns the days that the command asks to read again; null if there are none. */
function getForcedRange({ kind, force, range }: RunOptions): DayRange | null {
  return kind !== 'backfill' || force ? range : null;
}

const isWithin = (column: string, range: DayRange | null) =>
  sql<boolean>`${sql.ref(column)} between ${range?.from ?? null}::date and ${range?.to ?? null}::date`;

/** Returns the days without sums, newest first. Days that are read again are included: their sums may be wrong. */
async function readDaysToSum({ context, options }: Session): Promise<UsageDay[]> {
  const { rows } = await sql<{ day: UsageDay }>`
    select distinct t.usage_date as day from losant_usage.instance_totals t
    where t.instance_id = ${context.instanceId}
      and (t.our_sum is null or ${isWithin('t.usage_date', getForcedRange(options))})
    order by t.usage_date desc`.execute(context.db);
  return rows.map(({ day }) => day);
}

async function requestTotals(session: Session): Promise<void> {
  const { context } = session;
  const { instanceId, concurrency, logger } = context;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(TOTALS_TIMEOUT_MS)]);
  // What is rejected for one day is rejected for all of them, unless the request itself is invalid.
  const isRejected = ({ error }: SliceResult) =>
    error !== null && FAILURES[error.kind].isDefinitive && error.kind !== 'refused';
  const rejectedStreams = new Set<string>();
  const extract = async (slice: Slice) => {
    if (rejectedStreams.has(slice.stream)) return [];
    const results = await extractSlice(slice, context, signal);
    if (results.some(isRejected)) rejectedStreams.add(slice.stream);
    return results;
  };
  let problem: string | null = null;
  const unreadable = new Set<string>();
  const slices = planSlices(await readTotalsDue(session));
  const responses: CellResponse[] = [];
  try {
    for await (const results of transform(concurrency, extract, slices)) {
      for (const result of results) responses.push(...result.responses);
    }
  } catch (error) {
    session.signal.throwIfAborted();
    if (!signal.aborted) throw error;
    problem = `no response within ${TOTALS_TIMEOUT_MS / 1_000} s`;
  }
  for (const { stream, verdict } of responses) {
    if (!('code' in verdict)) continue;
    problem ??= verdict.kind === 'failed' ? verdict.detail : `${stream}: ${verdict.detail}`;
    if (isUnreadable(verdict)) unreadable.add(stream);
  }
  if (responses.length > 0) await storeTotals(session, responses);
  const unreadableTotals = unreadable.size === 0 ? null : [...unreadable].sort(compareText);
  const columns = { totals_problem: problem, unreadable_totals: unreadableTotals };
  if (!(await updateInstance(session.ledger, columns)) || problem === null) return;
  const fields = { instance_id: instanceId, reason: problem };
  logger.warn(fields, 'control totals not read; stored usage and this run are not affected');
}

/**
 * Returns the days inside the horizon whose totals are due, of every stream that the ledger expects: never read,
 * invalidated by a changed number, or named by the command. A total that differs from our settled sum, or that Losant
 * omits although ours is not zero, is due once it can be final, and then once a day, because Losant may correct it.
 */
async function readTotalsDue({ context, options }: Session): Promise<CellKey[]> {
  const { db, instanceId, policy, now } = context;
  const nowMs = now();
  const at = sql`${new Date(nowMs).toISOString()}::timestamptz`;
  const { rows } = await sql<CellKey>`
    select distinct ${WHOLE_INSTANCE} as "orgId", c.stream, c.usage_date as day
    from losant_usage_internal.comparisons c
    where c.instance_id = ${instanceId} and c.compared_with = 'losant'
      and c.usage_date >= ${horizonStart(nowMs, policy)}::date
      and (c.last_read_at is null
        or (${isWithin('c.usage_date', getForcedRange(options))} and ${isAmong('c.stream', options.streams)})
        or ((c.result in ('not_read', 'refused', 'total_not_final', 'differs')
            or (c.result = 'omitted' and c.quantity > 0))
          and (c.last_read_at < ${at} - interval '1 day'
            or (c.last_read_at < c.final_at and c.final_at <= ${at}))))`.execute(db);
  return rows;
}

/**
 * Stores totals. An omission replaces only a total of other numbers: a change of a number clears `last_read_at`. Once
 * an organization of the day was deleted, or lists lack it, only an equal total replaces one that differs: another one
 * could not be compared, and the difference would be forgotten.
 */
async function storeTotals({ ledger }: Session, responses: readonly CellResponse[]): Promise<void> {
  const { instanceId } = ledger;
  const rows = recordsOf('instance_totals', responses.flatMap(toTotalRows));
  await inTransaction(ledger, async (trx) => {
    await sql`
      update losant_usage.instance_totals t
      set quantity = k.quantity, last_read_at = k.last_read_at
      from (
        select t.usage_date, t.metric, n.last_read_at,
          coalesce(n.quantity, case when t.last_read_at is not null then t.quantity end) as quantity
        from losant_usage.instance_totals t join ${rows} as n on n.usage_date = t.usage_date and n.metric = t.metric
        where t.instance_id = ${instanceId} and (n.quantity = t.our_sum or not exists (
          select from losant_usage_internal.comparisons c
          join losant_usage.organizations o on o.instance_id = c.instance_id
            and coalesce(o.deleted_on, o.unlisted_on) >= c.usage_date
            and losant_usage_internal.existed_on(o.created_on, null, c.usage_date)
          where c.instance_id = t.instance_id and c.usage_date = t.usage_date and c.metric = t.metric
            and c.compared_with = 'losant' and c.result = 'differs'))
        order by t.usage_date, t.metric for update of t
      ) as k
      where t.instance_id = ${instanceId} and t.usage_date = k.usage_date and t.metric = k.metric`.execute(trx);
  });
}

/** Returns the totals of a response, null where Losant omits one; [] for a failed or invalid response. */
function toTotalRows({ stream, day, sentAtMs, verdict }: CellResponse) {
  if ('code' in verdict) return [];
  const last_read_at = new Date(sentAtMs).toISOString();
  return getStream(stream).columns.flatMap((metric) => {
    const isReported = verdict.kind === 'reported' && !verdict.omitted.some(({ column }) => column === metric);
    const quantity = isReported ? verdict.numbers[metric] : null;
    if (quantity !== null && typeof quantity !== 'number') return [];
    return [{ usage_date: day, metric, quantity, last_read_at }];
  });
}

/** Whether asking again is unlikely to help. After any other failure the next run may read the total. */
function isUnreadable({ kind, code }: Extract<Verdict, Reason>): boolean {
  return kind === 'quarantined' || (isFailure(code) && FAILURES[code].isDefinitive);
}
