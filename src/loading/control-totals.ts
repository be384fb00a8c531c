/** Control totals: Losant's own totals of the instance by day, for the reconciliation. They never fail a run. */
import { sql } from 'kysely';
import { transform } from 'streaming-iterables';
import { unnestRows } from '../database/expressions.ts';
import { readInstance, updateInstance } from '../ledger/instances.ts';
import { inTransaction } from '../ledger/lease.ts';
import type { CellKey, CellResponse } from '../usage/cell.ts';
import { planSlices, type Slice, WHOLE_INSTANCE } from '../usage/plan.ts';
import { horizonStart } from '../usage/policy.ts';
import { getStream } from '../usage/streams/catalog.ts';
import type { InstanceContext } from './context.ts';
import { extractSlice } from './extract.ts';
import type { Session } from './session.ts';

/** Control totals must not hold up a run for long; the next run continues with the days that remain. */
const TOTALS_TIMEOUT_MS = 120_000;

/**
 * Computes our sums, and reads Losant's totals of the days that are due. A failure is recorded with the instance, and
 * logged. Throws only if the session's signal aborts.
 */
export async function readControlTotals(session: Session): Promise<void> {
  const { instanceId, selection, logger } = session.context;
  try {
    while (await computeOurSums(session)) session.signal.throwIfAborted();
    // Losant's totals cover all organizations, so they cannot be compared with sums of a selection.
    if (selection === null) await requestTotals(session);
  } catch (error) {
    session.signal.throwIfAborted();
    const fields = { instance_id: instanceId, err: error };
    logger.warn(fields, 'control totals not compared; the next run tries again');
  }
}

/** Years of days in one statement would exceed the statement timeout. */
const DAYS_PER_STATEMENT = 10;

/** Computes our sums of the next days where they are invalid. Returns false if there are none. */
async function computeOurSums({ ledger }: Session): Promise<boolean> {
  return await inTransaction(ledger, async (trx) => {
    const { rows } = await sql<{ sums: number }>`
      select losant_usage_internal.compute_our_sums(${ledger.instanceId}, ${DAYS_PER_STATEMENT}) as sums`.execute(
      trx,
    );
    return (rows[0]?.sums ?? 0) > 0;
  });
}

async function requestTotals(session: Session): Promise<void> {
  const { context } = session;
  const { db, instanceId, concurrency, logger } = context;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(TOTALS_TIMEOUT_MS)]);
  const extract = (slice: Slice) => extractSlice(slice, context, signal);
  let problem: string | null = null;
  const slices = planSlices(await readTotalsDue(context));
  try {
    for await (const results of transform(concurrency, extract, slices)) {
      const responses = results.flatMap((result) => result.responses);
      await storeTotals(session, responses);
      problem ??= findTotalsProblem(responses);
    }
  } catch (error) {
    session.signal.throwIfAborted();
    if (!signal.aborted) throw error;
    problem ??= `no response within ${TOTALS_TIMEOUT_MS / 1_000} s`;
  }
  if ((await readInstance(db, instanceId))?.totalsProblem === problem) return;
  await updateInstance(session.ledger, { totals_problem: problem });
  if (problem === null) return;
  const fields = { instance_id: instanceId, reason: problem };
  logger.warn(fields, 'control totals not read; stored usage and this run are not affected');
}

/**
 * Returns the days of each stream whose totals are due: never read, invalidated by a changed number, or different from
 * our sum and read before the final threshold.
 */
async function readTotalsDue({ db, instanceId, streams, policy, now }: InstanceContext): Promise<CellKey[]> {
  const { rows } = await sql<CellKey>`
    select distinct ${WHOLE_INSTANCE} as "orgId", m.stream, t.usage_date as day
    from losant_usage.instance_totals t join losant_usage.metrics m on m.metric = t.metric
    where t.instance_id = ${instanceId} and t.usage_date >= ${horizonStart(now(), policy)}::date
      and m.stream = any (${streams}::text[])
      and (t.last_read_at is null or (t.quantity is distinct from t.our_sum
        and t.last_read_at < ((t.usage_date + 1)::timestamp + ${policy.finalAfterHours}::integer * interval '1 hour')
          at time zone 'UTC'))`.execute(db);
  return rows;
}

/** Stores totals. A total that Losant omits stays. */
async function storeTotals({ ledger }: Session, responses: readonly CellResponse[]): Promise<void> {
  const { instanceId } = ledger;
  const types = { usage_date: 'date', metric: 'text', quantity: 'bigint', last_read_at: 'timestamptz' };
  const rows = unnestRows('n', responses.flatMap(toTotalRows), types);
  await inTransaction(ledger, async (trx) => {
    await sql`
      update losant_usage.instance_totals t
      set quantity = coalesce(k.quantity, t.quantity), last_read_at = k.last_read_at
      from (
        select t.usage_date, t.metric, n.quantity, n.last_read_at
        from losant_usage.instance_totals t join ${rows} on n.usage_date = t.usage_date and n.metric = t.metric
        where t.instance_id = ${instanceId} order by t.usage_date, t.metric for update of t
      ) as k
      where t.instance_id = ${instanceId} and t.usage_date = k.usage_date and t.metric = k.metric`.execute(
      trx,
    );
  });
}

/** Returns the totals of a response, null where Losant omits one; [] for a failed or invalid response. */
function toTotalRows({ stream, day, sentAtMs, verdict }: CellResponse) {
  if (verdict.kind === 'failed' || verdict.kind === 'quarantined') return [];
  const last_read_at = new Date(sentAtMs).toISOString();
  return getStream(stream).columns.flatMap((metric) => {
    const isReported =
      verdict.kind === 'reported' && !verdict.omitted.some(({ column }) => column === metric);
    const quantity = isReported ? verdict.numbers[metric] : null;
    if (quantity !== null && typeof quantity !== 'number') return [];
    return [{ usage_date: day, metric, quantity, last_read_at }];
  });
}

/** Returns why totals could not be read; null if all were. */
function findTotalsProblem(responses: readonly CellResponse[]): string | null {
  for (const { stream, verdict } of responses) {
    if (verdict.kind === 'failed') return verdict.detail;
    if (verdict.kind === 'quarantined') return `${stream}: ${verdict.detail}`;
  }
  return null;
}
