import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, dayStartMs, daysOfMonth, eachDay } from '../usage/day.ts';
import { showMonth } from './elements.ts';
import type { ChartMetric } from './usage-query.ts';

/** The metrics with a forecast. Nothing is known about how the others go on, and a level is not a sum. */
const FORECAST_METRICS: readonly ChartMetric[] = ['payload_billable_count', 'notebook_minutes'];

/**
 * Returns what the months will be if each weekday stays as in the last 28 days; null for a metric without a forecast.
 * Like the projection of limits, it fills days that are not stored with the mean. Deleted organizations end. The
 * condition is one on organizations `o`; those of which fewer than three days are stored are counted as omitted.
 */
export async function readForecast(
  db: Kysely<Schema>,
  { metric, condition, nowMs }: { metric: ChartMetric; condition: RawBuilder<unknown>; nowMs: number },
) {
  if (!FORECAST_METRICS.includes(metric)) return null;
  const today = dayAt(nowMs);
  const { from: month, to: lastDay } = daysOfMonth(addDays(today, -1).slice(0, 7));
  const next = daysOfMonth(addDays(lastDay, 1).slice(0, 7));
  const { rows } = await sql<{
    readonly quantity: number | null;
    readonly nextQuantity: number;
    readonly orgsOmitted: number;
  }>`
    select case when count(r.org_id) > 0 or bool_and(o.deleted_on is not null) then round(coalesce(sum(s.quantity), 0)
        + coalesce(sum(r.unstored_quantity + g.quantity), 0))::float8 end as quantity,
      coalesce(round(sum(g.next_quantity)), 0)::float8 as "nextQuantity",
      count(*) filter (where o.deleted_on is null and r.org_id is null) as "orgsOmitted"
    from losant_usage.organizations o
    left join (
      select d.org_id, sum(d.${sql.ref(metric)}) as quantity from losant_usage.usage_days d
      where d.usage_date >= ${month}::date and d.usage_date < ${today}::date group by d.org_id
    ) as s on s.org_id = o.org_id
    left join losant_usage_internal.weekday_rates r
      on r.org_id = o.org_id and r.metric = ${metric} and o.deleted_on is null
    left join lateral (
      select sum(u.rate * u.days) as quantity, sum(u.rate * u.next_days) as next_quantity
      from unnest(r.rates, ${countWeekdays({ from: today, to: lastDay })}::integer[],
        ${countWeekdays(next)}::integer[]) as u (rate, days, next_days)
    ) as g on r.org_id is not null
    where ${condition}`.execute(db);
  return rows[0] === undefined ? null : { month, nextMonth: next.from, ...rows[0] };
}

/** Counts the Mondays of the range, the Tuesdays, and so on. */
function countWeekdays(range: DayRange): number[] {
  const counts = [0, 0, 0, 0, 0, 0, 0];
  for (const day of eachDay(range)) {
    const index = (new Date(dayStartMs(day)).getUTCDay() + 6) % 7;
    counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts;
}

export function describeForecast(forecast: Awaited<ReturnType<typeof readForecast>>): string {
  if (forecast === null) return '';
  const { month, nextMonth, quantity, nextQuantity, orgsOmitted } = forecast;
  if (quantity === null) return 'There is no forecast: fewer than three of the last 28 days are stored.';
  const remark =
    orgsOmitted === 0
      ? ''
      : `, without ${count(orgsOmitted, 'organization')} of which fewer than three days are stored`;
  return `If each weekday stays as in the last 28 days, ${showMonth(month)} ends at ${showNumber(
    quantity,
  )}, and ${showMonth(nextMonth)} at ${showNumber(nextQuantity)}${remark}.`;
}
