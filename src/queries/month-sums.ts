/** Sums of the month to date over all organizations. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

/** A metric of all organizations in the month of yesterday, compared with the same weekdays before. */
export interface MonthSum {
  readonly metric: keyof typeof SUM_LABELS;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** The sum of the values that are stored; of a level, those of the last day. Null if none is stored. */
  readonly total: number | null;
  /** Values that are not stored although the organization existed (count). */
  readonly values_not_stored: number;
  /** The change over the days that are stored on both sides: 0.5 is half as much again; null if there are none. */
  readonly change_ratio: number | null;
}

export const SUM_LABELS = {
  payload_billable_count: 'Billable payloads',
  notebook_minutes: 'Notebook minutes',
  devices_total: 'Devices',
} as const;

export async function readMonthSums(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
  metrics: readonly string[],
): Promise<MonthSum[]> {
  const sums = [];
  for (const metric of metrics) {
    const { rows } = await sql<MonthSum>`
      select ${metric} as metric, m.first_day as from, m.last_day as to, sum(u.quantity)::bigint as total,
        count(*) filter (where u.org_id is not null and u.quantity is null) as values_not_stored,
        (sum(u.quantity) filter (where u.previous_quantity is not null)
          / nullif(sum(u.previous_quantity) filter (where u.quantity is not null), 0) - 1)::float8 as change_ratio
      from (
        select date_trunc('month', yesterday::timestamp)::date as first_day, yesterday as last_day
        from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y
      ) as m
      left join lateral losant_usage.usage_compared(${metric}, m.first_day, m.last_day, 'same_weekdays') as u
        on u.instance_id = any (${instanceIds}::text[]) and (${metric} <> 'devices_total' or u.usage_date = m.last_day)
      group by m.first_day, m.last_day`.execute(db);
    sums.push(...rows);
  }
  return sums;
}
