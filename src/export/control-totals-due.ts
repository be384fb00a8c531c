import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import { horizonStart, lastCompleteDay, type Policy } from '../usage/policy.ts';

/** The control totals to be read now. */
export interface TotalsDue {
  /** Streams with the days of the whole instance that are due, newest first. */
  readonly totals: readonly { readonly stream: string; readonly days: readonly UsageDay[] }[];
  /** The first days of months that are over and whose summaries are due. */
  readonly months: readonly UsageDay[];
}

export interface TotalsDueOptions {
  /** The streams whose totals are read; empty to read none. */
  readonly streams: readonly string[];
  /** Days whose numbers were read again, by stream: their totals are read again too. */
  readonly again: ReadonlyMap<string, ReadonlySet<UsageDay>>;
  /** Whether to return only what is to be read again, and not what is due. */
  readonly onlyAgain: boolean;
  /** Whether questions that failed are due before their retry time, because a person asked for a run. */
  readonly retriesFailed: boolean;
  readonly policy: Policy;
  readonly nowMs: number;
}

/** `summariesQuestion` returns the name of a month's summaries among the questions. */
export function summariesQuestion(month: UsageDay): string {
  return `monthly_summaries ${month.slice(0, 7)}`;
}

/**
 * `readTotalsDue` returns the control totals that are due. Days of the instance's totals are due at the
 * checkpoints of usage days, a month's summaries when its last day can be final and at the last
 * checkpoint. Only days and months inside the horizon are due, and only those for which some organization
 * is tracked; a question that failed is due again after its retry time. Totals that were read are asked
 * again with the numbers of their day, summaries with those of any day of their month.
 */
export async function readTotalsDue(
  db: Kysely<Schema>,
  instanceId: string,
  { streams, again, onlyAgain, retriesFailed, policy, nowMs }: TotalsDueOptions,
): Promise<TotalsDue> {
  const now = new Date(nowMs).toISOString();
  const [horizon, yesterday] = [horizonStart(nowMs, policy), lastCompleteDay(nowMs)];
  const { readAtHours, finalAtHours } = policy;
  const monthHours = [finalAtHours, Math.max(finalAtHours, ...readAtHours)];
  const pairs = [...again].flatMap(([stream, days]) => [...days].map((day) => ({ stream, day })));
  const { rows } = await sql<{ question: string; days: UsageDay[]; isMonth: boolean }>`
    with again as materialized (
      select stream, day from unnest(${pairs.map(({ stream }) => stream)}::text[],
        ${pairs.map(({ day }) => day)}::date[]) as a (stream, day)
    ), first as (
      select min(k.tracked_from) as from_day from losant_usage.tracking k
      join losant_usage.organizations o on o.org_id = k.org_id where o.instance_id = ${instanceId}
    ), due as (
      select m.stream as question, day, false as is_month, losant_usage.next_checkpoint(
        day, min(t.verified_at), ${readAtHours}::integer[]) as due_at,
        min(t.verified_at) is not null and (m.stream, day) in (select a.stream, a.day from again a) as is_again
      from first
      cross join lateral losant_usage.days_between(greatest(first.from_day, ${horizon}::date), ${yesterday}::date) as day
      join losant_usage.metrics m on m.stream = any (${streams}::text[])
      left join losant_usage.instance_totals t
        on t.instance_id = ${instanceId} and t.usage_date = day and t.metric = m.metric
      group by m.stream, day
      union all
      select 'monthly_summaries ' || to_char(m.month, 'YYYY-MM'), m.month, true, losant_usage.next_checkpoint(
        m.next_month - 1, w.verified_at, ${monthHours}::integer[]),
        w.verified_at is not null and exists (
          select from again a where a.day >= m.month and a.day < m.next_month)
      from first
      join losant_usage.months m on m.next_month > greatest(first.from_day, ${horizon}::date)
        and m.next_month - 1 <= ${yesterday}::date
      left join losant_usage.control_total_reads w on w.instance_id = ${instanceId}
        and w.question = 'monthly_summaries ' || to_char(m.month, 'YYYY-MM')
    )
    select d.question, array_agg(d.day order by d.day desc) as days, d.is_month as "isMonth"
    from due d left join losant_usage.control_total_reads w on w.instance_id = ${instanceId} and w.question = d.question
    where d.is_again or (not ${onlyAgain}::boolean and d.due_at <= ${now}::timestamptz
      and (${retriesFailed}::boolean or w.next_read_at is null or w.next_read_at <= ${now}::timestamptz))
    group by d.question, d.is_month order by d.is_month, d.question`.execute(db);
  return {
    totals: rows.filter(({ isMonth }) => !isMonth).map(({ question, days }) => ({ stream: question, days })),
    months: rows.filter(({ isMonth }) => isMonth).flatMap(({ days }) => days),
  };
}
