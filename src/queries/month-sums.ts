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
  readonly valuesNotStored: number;
  /** The change over the days that are stored on both sides: 0.5 is half as much again; null if there are none. */
  readonly change: number | null;
  /** Each day so far; of a level, only the last. */
  readonly days: readonly MonthDay[];
}

/** A day of all organizations with the one that it is compared with. */
export type MonthDay = {
  readonly day: UsageDay;
  readonly previous_day: UsageDay;
  /** The sums of what is stored; null if nothing is. */
  readonly total: number | null;
  readonly previous_total: number | null;
  /** Values of the day that are not stored although the organization existed (count). */
  readonly values_not_stored: number;
  /** The sums over the organizations that are stored on both days. */
  readonly compared: number;
  readonly previous_compared: number;
};

export const SUM_LABELS = {
  payload_billable_count: 'Billable payloads',
  devices_total: 'Devices',
  notebook_minutes: 'Notebook minutes',
} as const;

export async function readMonthSum(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
  metric: MonthSum['metric'],
): Promise<MonthSum> {
  const { rows } = await sql<Pick<MonthSum, 'from' | 'to'> & { readonly days: MonthDay[] | null }>`
    select m.first_day as from, m.last_day as to, d.days
    from (
      select date_trunc('month', yesterday::timestamp)::date as first_day, yesterday as last_day
      from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y
    ) as m
    cross join lateral (
      select json_agg(json_build_object('day', d.usage_date, 'previous_day', d.previous_date, 'total', d.total,
          'previous_total', d.previous_total, 'values_not_stored', d.values_not_stored, 'compared', d.compared,
          'previous_compared', d.previous_compared) order by d.usage_date) as days
      from (
        select u.usage_date, u.previous_date, sum(u.quantity) as total, sum(u.previous_quantity) as previous_total,
          count(*) filter (where u.quantity is null) as values_not_stored,
          coalesce(sum(u.quantity) filter (where u.previous_quantity is not null), 0) as compared,
          coalesce(sum(u.previous_quantity) filter (where u.quantity is not null), 0) as previous_compared
        from losant_usage.usage_compared(${metric}, m.first_day, m.last_day, 'same_weekdays') as u
        where u.instance_id = any (${instanceIds}::text[])
          and (${metric} <> 'devices_total' or u.usage_date = m.last_day)
        group by u.usage_date, u.previous_date
      ) as d
    ) as d`.execute(db);
  const [{ from, to, days }] = rows as [(typeof rows)[number]];
  return { metric, from, to, ...addUpDays(days ?? []) };
}

function addUpDays(days: readonly MonthDay[]): Omit<MonthSum, 'metric' | 'from' | 'to'> {
  const add = (toNumber: (day: MonthDay) => number) => days.reduce((sum, day) => sum + toNumber(day), 0);
  const isStored = days.some(({ total }) => total !== null);
  const previous = add((day) => day.previous_compared);
  return {
    total: isStored ? add(({ total }) => total ?? 0) : null,
    valuesNotStored: add((day) => day.values_not_stored),
    change: previous === 0 ? null : add(({ compared }) => compared) / previous - 1,
    days,
  };
}
