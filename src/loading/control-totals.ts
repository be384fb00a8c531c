/** Losant's own totals of the instance by day, asked for beside our sums. They change no number and fail no run. */
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

/** The bound on asking for control totals, which must not delay a run: a later run asks for what is left. */
const LONGEST_MS = 120_000;

/**
 * Adds up our sums, and asks for Losant's totals of the days that are not known to be equal or final. A failure is
 * recorded with the instance, and logged. Throws only when the session's signal aborts.
 */
export async function readControlTotals(session: Session): Promise<void> {
  const { instanceId, selection, logger } = session.context;
  try {
    while (await computeOurSums(session)) session.signal.throwIfAborted();
    // The instance's totals cover all organizations, so they cannot be compared with a few named ones.
    if (selection === null) await askTotals(session);
  } catch (error) {
    session.signal.throwIfAborted();
    const fields = { instance_id: instanceId, err: error };
    logger.warn(fields, 'control totals not compared; the next run tries again');
  }
}

/** The number of days of all organizations that one statement adds up. */
const DAYS_AT_ONCE = 10;

/** Adds up the next days whose sums a load has unset. Returns false if there was none. */
async function computeOurSums({ ledger }: Session): Promise<boolean> {
  return await inTransaction(ledger, async (trx) => {
    const { rows } = await sql<{ sums: number }>`
      select losant_usage_internal.compute_our_sums(${ledger.instanceId}, ${DAYS_AT_ONCE}) as sums`.execute(
      trx,
    );
    return (rows[0]?.sums ?? 0) > 0;
  });
}

async function askTotals(session: Session): Promise<void> {
  const { context } = session;
  const { db, instanceId, concurrency, logger } = context;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(LONGEST_MS)]);
  const extract = (slice: Slice) => extractSlice(slice, context, signal);
  let problem: string | null = null;
  const slices = planSlices(await readDaysDue(context));
  try {
    for await (const results of transform(concurrency, extract, slices)) {
      const answers = results.flatMap((result) => result.answers);
      await storeTotals(session, answers);
      problem ??= problemOf(answers);
    }
  } catch (error) {
    session.signal.throwIfAborted();
    if (!signal.aborted) throw error;
    problem ??= `no response within ${LONGEST_MS / 1_000} s`;
  }
  if ((await readInstance(db, instanceId))?.totalsProblem === problem) return;
  await updateInstance(session.ledger, { totals_problem: problem });
  if (problem === null) return;
  const fields = { instance_id: instanceId, reason: problem };
  logger.warn(fields, 'control totals not read; stored usage and this run are not affected');
}

/** Returns the days of each stream whose totals are not read, may have changed, or differ and are not final. */
async function readDaysDue({ db, instanceId, streams, policy, now }: InstanceContext): Promise<CellKey[]> {
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

/** Stores totals. A day that is left out keeps its number. */
async function storeTotals({ ledger }: Session, answers: readonly CellResponse[]): Promise<void> {
  const { instanceId } = ledger;
  const types = { usage_date: 'date', metric: 'text', quantity: 'bigint', last_read_at: 'timestamptz' };
  const rows = unnestRows('n', answers.flatMap(totalsOf), types);
  await inTransaction(ledger, async (trx) => {
    await sql`
      update losant_usage.instance_totals t set quantity = coalesce(k.quantity, t.quantity), last_read_at = k.last_read_at
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

/** Returns the totals that an answer gives, null where Losant left one out; none if it cannot be believed. */
function totalsOf({ stream, day, sentAtMs, verdict }: CellResponse) {
  if (verdict.kind === 'failed' || verdict.kind === 'quarantined') return [];
  const last_read_at = new Date(sentAtMs).toISOString();
  return getStream(stream).columns.flatMap((metric) => {
    const isNamed = verdict.kind === 'reported' && !verdict.omitted.some(({ column }) => column === metric);
    const quantity = isNamed ? verdict.numbers[metric] : null;
    if (quantity !== null && typeof quantity !== 'number') return [];
    return [{ usage_date: day, metric, quantity, last_read_at }];
  });
}

/** Returns why not all of the totals can be had; null if they can. */
function problemOf(answers: readonly CellResponse[]): string | null {
  for (const { stream, verdict } of answers) {
    if (verdict.kind === 'failed') return verdict.detail;
    if (verdict.kind === 'quarantined') return `${stream}: ${verdict.detail}`;
  }
  return null;
}
