/** Losant's own totals of the instance by day, asked for beside our sums. They change no number and fail no run. */
import { sql } from 'kysely';
import { transform } from 'streaming-iterables';
import { unnested } from '../database/expressions.ts';
import { LosantError } from '../errors.ts';
import { readInstance, updateInstance } from '../ledger/instances.ts';
import { beginWriting } from '../ledger/lease.ts';
import type { Answer } from '../losant/answer.ts';
import { fetchUsage } from '../losant/usage.ts';
import type { UsageDay } from '../usage/day.ts';
import { cutWindows } from '../usage/plan.ts';
import { horizonStart } from '../usage/policy.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { type DayReading, UnplaceableBodyError } from '../usage/streams/stream.ts';
import type { InstanceContext } from './context.ts';
import { withoutPlaces } from './report.ts';
import type { Session } from './session.ts';

/** The bound on reading control totals, which must not delay a run: a later run reads what is left. */
const LONGEST_MS = 120_000;

/**
 * Reads Losant's totals of the days that are not known to be equal or final, and adds up our own. A failure is recorded
 * with the instance, and logged. Throws only when the session's signal aborts.
 */
export async function readControlTotals(context: InstanceContext, session: Session): Promise<void> {
  const { instanceId, selection, streams, logger } = context;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(LONGEST_MS)]);
  try {
    // The instance's totals cover all organizations, so they cannot be compared with a few named ones.
    if (selection.kind === 'all') {
      const problems: string[] = [];
      for (const { stream, days } of await readDaysDue(context, streams)) {
        const problem = await askTotals(context, { session, signal }, stream, days);
        if (problem !== null) problems.push(problem);
      }
      await recordProblem(context, session, problems[0] ?? null);
    }
    while (await sumDays(context, session)) signal.throwIfAborted();
  } catch (error) {
    session.signal.throwIfAborted();
    logger.warn(
      { instance_id: instanceId, err: error },
      'control totals not compared, a later run tries again',
    );
  }
}

/** The number of days of all organizations that one statement adds up. */
const DAYS_AT_ONCE = 10;

/** Adds up the next days whose sums a load has unset. Returns false if there was none. */
async function sumDays({ db, instanceId }: InstanceContext, session: Session): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    await beginWriting(trx, session.write);
    const { rows } = await sql<{ sums: number }>`
      select losant_usage_internal.sum_days(${instanceId}, ${DAYS_AT_ONCE}) as sums`.execute(trx);
    return (rows[0]?.sums ?? 0) > 0;
  });
}

/** Returns the days of each stream whose totals are not read, may have changed, or differ and are not final. */
async function readDaysDue(
  { db, instanceId, policy, now }: InstanceContext,
  streams: readonly string[],
): Promise<{ stream: string; days: UsageDay[] }[]> {
  const { rows } = await sql<{ stream: string; days: UsageDay[] }>`
    select d.stream, array_agg(d.usage_date order by d.usage_date desc) as days
    from (
      select distinct m.stream, t.usage_date
      from losant_usage.instance_totals t join losant_usage.metrics m on m.metric = t.metric
      where t.instance_id = ${instanceId} and t.usage_date >= ${horizonStart(now(), policy)}::date
        and m.stream = any (${streams}::text[])
        and (t.verified_at is null or (t.quantity is distinct from t.our_sum
          and t.verified_at < ((t.usage_date + 1)::timestamp + ${policy.finalAtHours}::integer * interval '1 hour')
            at time zone 'UTC'))
    ) as d
    group by d.stream order by d.stream`.execute(db);
  return rows;
}

interface Asking {
  readonly session: Session;
  /** The session's signal with a time bound. */
  readonly signal: AbortSignal;
}

/** Asks for the totals of a stream and stores them. Returns why not all of them can be had; null if they could. */
async function askTotals(
  context: InstanceContext,
  { session, signal }: Asking,
  stream: string,
  days: readonly UsageDay[],
): Promise<string | null> {
  const windows = cutWindows(days, streamNamed(stream).windowDays);
  const ask = (window: Window) => askWindow(context, signal, stream, window);
  let problem: string | null = null;
  try {
    for await (const read of transform(context.concurrency, ask, windows)) {
      await storeTotals(context, session, read);
      problem ??= read.problem;
    }
    return problem;
  } catch (error) {
    session.signal.throwIfAborted();
    if (error instanceof LosantError) return withoutPlaces(error.message);
    if (error instanceof UnplaceableBodyError) return `${stream}: ${error.message}`;
    if (signal.aborted) return `${stream}: no answer within ${LONGEST_MS / 1_000} s`;
    throw error;
  }
}

type Window = ReturnType<typeof cutWindows>[number];
type TotalsRead = Awaited<ReturnType<typeof askWindow>>;

/** Asks for the totals of a window; `problem` is why a day of it has none, null if all have. */
async function askWindow(
  { client, instanceId }: InstanceContext,
  signal: AbortSignal,
  stream: string,
  { window, days }: Window,
) {
  const asked = streamNamed(stream);
  const answers: Answer[] = [];
  for (const request of asked.requests) {
    const question = { instanceId, orgId: null, window, signal };
    answers.push(await fetchUsage(client, { ...question, ...request }));
  }
  const readings = asked.readBodies(
    answers.map(({ body }) => body),
    window,
  ).days;
  const totals = days.flatMap((day) =>
    asked.columns.flatMap((metric) => {
      const quantity = quantityOf(readings.get(day), metric);
      return quantity === undefined ? [] : [{ usage_date: day, metric, quantity }];
    }),
  );
  const bad = [...readings.values()].find((reading) => reading.kind !== 'named');
  return {
    totals,
    sentAtMs: (answers[0] as Answer).sentAtMs,
    problem: bad ? `${stream}: ${bad.message}` : null,
  };
}

/** Returns a total of a day; null if Losant left it out, undefined if there is none, or none to be believed. */
function quantityOf(reading: DayReading | undefined, metric: string): number | null | undefined {
  if (reading === undefined) return null;
  if (reading.kind !== 'named') return undefined;
  if (reading.leftOut.some(({ column }) => column === metric)) return null;
  const quantity = reading.numbers[metric];
  return typeof quantity === 'number' ? quantity : undefined;
}

/** Stores totals. A day that is left out keeps its number. */
async function storeTotals(
  { db, instanceId }: InstanceContext,
  session: Session,
  { totals, sentAtMs }: TotalsRead,
): Promise<void> {
  const rows = unnested('n', totals, { usage_date: 'date', metric: 'text', quantity: 'bigint' });
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, session.write);
    await sql`
      update losant_usage.instance_totals t set quantity = coalesce(k.quantity, t.quantity),
        verified_at = ${new Date(sentAtMs).toISOString()}::timestamptz
      from (
        select t.usage_date, t.metric, n.quantity
        from losant_usage.instance_totals t join ${rows} on n.usage_date = t.usage_date and n.metric = t.metric
        where t.instance_id = ${instanceId} order by t.usage_date, t.metric for update of t
      ) as k
      where t.instance_id = ${instanceId} and t.usage_date = k.usage_date and t.metric = k.metric`.execute(
      trx,
    );
  });
}

async function recordProblem(
  { db, instanceId, logger }: InstanceContext,
  session: Session,
  problem: string | null,
): Promise<void> {
  if ((await readInstance(db, instanceId))?.totalsProblem === problem) return;
  await updateInstance(db, session.write, { instanceId, changes: { totals_problem: problem } });
  if (problem === null) return;
  const fields = { instance_id: instanceId, reason: problem };
  logger.warn(fields, 'control totals not read, numbers and run are not affected');
}
