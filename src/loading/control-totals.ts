/** Control totals: Losant's own totals of the instance by day, for the reconciliation. They never fail a run. */
import { sql } from 'kysely';
import { transform } from 'streaming-iterables';
import { isAmong, recordsOf } from '../database/expressions.ts';
import { FAILURES, isFailure } from '../errors.ts';
import { selectCheckpoint } from '../ledger/due.ts';
import { updateInstance } from '../ledger/instance.ts';
import { inTransaction } from '../ledger/lease.ts';
import { type CellKey, type CellResponse, compareText, type Reason, type Verdict } from '../usage/cell.ts';
import { planSlices, type Slice, WHOLE_INSTANCE } from '../usage/plan.ts';
import { horizonStart } from '../usage/policy.ts';
import { getStream } from '../usage/streams/catalog.ts';
import { extractSlice, type SliceResult } from './extract.ts';
import type { Session } from './session.ts';

/** Control totals must not hold up a run for long; the next run continues with the days that remain. */
const TOTALS_TIMEOUT_MS = 120_000;

interface TotalsOptions {
  /** Whether days that do not agree are read again: once a day is enough. */
  readonly rereadsDifferences: boolean;
}

/** Reads Losant's totals that are due. Logs a failure; throws only if the signal aborts. */
export async function readControlTotals(session: Session, options: TotalsOptions): Promise<void> {
  // Losant's totals cover all organizations, so they cannot be compared with sums of a selection.
  if (session.context.selection !== null) return;
  try {
    await requestTotals(session, options);
  } catch (error) {
    session.signal.throwIfAborted();
    session.context.logger.warn({ err: error }, 'control totals not read; the next run tries again');
  }
}

async function requestTotals(session: Session, options: TotalsOptions): Promise<void> {
  const { context } = session;
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(TOTALS_TIMEOUT_MS)]);
  // What is rejected for one day is rejected for all of them, unless the request itself is invalid.
  const isRejected = ({ error }: SliceResult) =>
    error !== null && FAILURES[error.kind].isDefinitive && error.kind !== 'rejected';
  const rejectedStreams = new Set<string>();
  const extract = async (slice: Slice) => {
    if (rejectedStreams.has(slice.stream)) return [];
    const results = await extractSlice(slice, context, signal);
    if (results.some(isRejected)) rejectedStreams.add(slice.stream);
    return results;
  };
  let problem: string | null = null;
  const unreadable = new Set<string>();
  const responses: CellResponse[] = [];
  try {
    for await (const results of transform(
      context.concurrency,
      extract,
      planSlices(await readTotalsDue(session, options)),
    )) {
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
  if (responses.length === 0 && problem === null) return;
  await storeTotals(session, responses);
  const rejectedTotals = unreadable.size === 0 ? null : [...unreadable].sort(compareText);
  const columns = { totals_problem: problem, rejected_totals: rejectedTotals };
  if (!(await updateInstance(session.ledger, columns)) || problem === null) return;
  context.logger.warn({ reason: problem }, 'control totals not read; stored usage and this run are not affected');
}

/**
 * Returns the days inside the horizon whose totals are due: those of which this run loaded numbers, those that were
 * never read, and those that were read before their day could be final, if it can be final now.
 */
async function readTotalsDue({ context, options, tally }: Session, { rereadsDifferences }: TotalsOptions) {
  const { db, policy, now } = context;
  const nowMs = now();
  const at = sql`${new Date(nowMs).toISOString()}::timestamptz`;
  const horizon = sql`${horizonStart(nowMs, policy)}::date`;
  const finalAt = selectCheckpoint('t', sql`${policy.finalAfterHours}::integer`);
  const loadedDays = tally.loadedDays.map(({ day }) => day);
  const loadedStreams = tally.loadedDays.map(({ stream }) => stream);
  const differing = sql`
    union
    select r.usage_date, r.stream from losant_usage.reconciliation r
    where r.usage_date >= ${horizon} and r.compared_with = 'losant' and r.outcome = 'difference'`;
  const { rows } = await sql<CellKey>`
    select distinct ${WHOLE_INSTANCE} as "orgId", d.stream, d.usage_date as day
    from (
      select n.day as usage_date, n.stream
      from unnest(${loadedDays}::date[], ${loadedStreams}::text[]) as n (day, stream)
      union
      select e.day::date, e.stream
      from (
        select stream, greatest(min(first_day), ${horizon}) as first_day,
          least(max(coalesce(last_day, 'infinity')), losant_usage_internal.today() - 1) as last_day
        from losant_usage.tracks group by stream
      ) as s
      cross join lateral (
        select s.stream, day
        from generate_series(s.first_day::timestamp, s.last_day::timestamp, interval '1 day') as day
      ) as e
      where not exists (
        select from losant_usage.instance_totals t join losant_usage.metrics m on m.metric = t.metric
        where t.usage_date = e.day::date and m.stream = e.stream
          and not (t.last_read_at < ${finalAt} and ${finalAt} <= ${at}))
      ${rereadsDifferences ? differing : sql``}
    ) as d
    cross join losant_usage.instance i
    where d.stream in (select stream from losant_usage.metrics) and d.usage_date >= ${horizon}
      and (${rereadsDifferences}::boolean or (d.stream = any (i.rejected_totals)) is not true)
      and ${isAmong('d.stream', options.streams)}`.execute(db);
  return rows;
}

/** Stores totals: null where Losant omits one. */
async function storeTotals({ ledger }: Session, responses: readonly CellResponse[]): Promise<void> {
  const rows = recordsOf('instance_totals', responses.flatMap(toTotalRows));
  await inTransaction(ledger, (trx) =>
    sql`
      insert into losant_usage.instance_totals as t (usage_date, metric, losant_total, last_read_at)
      select n.usage_date, n.metric, n.losant_total, n.last_read_at from ${rows} as n order by n.usage_date, n.metric
      on conflict (usage_date, metric) do update
        set losant_total = excluded.losant_total, last_read_at = excluded.last_read_at`.execute(trx),
  );
}

/** Returns the totals of a response, null where Losant omits one; [] for a failed or invalid response. */
function toTotalRows({ stream, day, sentAtMs, verdict }: CellResponse) {
  if ('code' in verdict) return [];
  const last_read_at = new Date(sentAtMs).toISOString();
  return getStream(stream).columns.flatMap((metric) => {
    const isReported = verdict.kind === 'reported' && !verdict.omitted.some(({ column }) => column === metric);
    const total = isReported ? verdict.numbers[metric] : null;
    if (total !== null && typeof total !== 'number') return [];
    return [{ usage_date: day, metric, losant_total: total, last_read_at }];
  });
}

/** Whether asking again is unlikely to help. After any other failure the next run may read the total. */
function isUnreadable({ kind, code }: Extract<Verdict, Reason>): boolean {
  return kind === 'quarantined' || (isFailure(code) && FAILURES[code].isDefinitive);
}
