/** The usage of all organizations, or of one, by day; and the organizations with the most usage in a month. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { addDays, type DayRange, dayAt, eachDay, type Month, type UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';

/** The metrics that can be shown by day. The numbers of a level are not added up over days. */
export const CHART_METRICS = {
  payload_billable_count: { label: 'Billable payloads', unit: 'payloads', stream: 'payload_totals', isLevel: false },
  payload_all_count: { label: 'All payloads', unit: 'payloads', stream: 'payload_totals', isLevel: false },
  notebook_minutes: { label: 'Notebook minutes', unit: 'minutes', stream: 'notebook_minutes', isLevel: false },
  devices_total: { label: 'Devices', unit: 'devices', stream: 'device_counts', isLevel: true },
  devices_created: { label: 'Devices created', unit: 'devices', stream: 'device_counts', isLevel: false },
  devices_deleted: { label: 'Devices deleted', unit: 'devices', stream: 'device_counts', isLevel: false },
} as const;

export type ChartMetric = keyof typeof CHART_METRICS;

export interface DayTotal {
  readonly day: UsageDay;
  /** The sum of what is stored; null if nothing is. */
  readonly quantity: number | null;
  /** How many numbers are expected, and how many of them are not stored. */
  readonly expected: number;
  readonly notStored: number;
  /** The standing of the cell of one organization; null for all organizations, or if it is not expected. */
  readonly standing: Standing | null;
}

interface DaysQuery {
  readonly metric: ChartMetric;
  readonly range: DayRange;
  /** Null for all organizations. */
  readonly orgId: string | null;
}

/** Returns every day of the range. Nothing is expected of a day before an organization was tracked. */
export async function readDayTotals(db: Kysely<Schema>, { metric, range, orgId }: DaysQuery): Promise<DayTotal[]> {
  const { stream } = CHART_METRICS[metric];
  const { rows } = await sql<DayTotal>`
    with spans as (
      select t.first_day, t.last_day, count(*) as orgs
      from losant_usage.tracks t
      where t.stream = ${stream} and (${orgId}::text is null or t.org_id = ${orgId}) group by t.first_day, t.last_day
    ), totals as (
      select u.usage_date, sum(u.${sql.ref(metric)})::bigint as quantity, count(u.${sql.ref(metric)}) as stored
      from losant_usage.daily_usage u
      where u.usage_date between ${range.from}::date and ${range.to}::date
        and (${orgId}::text is null or u.org_id = ${orgId})
      group by u.usage_date
    )
    select day, t.quantity, e.orgs as expected, greatest(e.orgs - coalesce(t.stored, 0), 0) as "notStored", (
        select c.standing from losant_usage.cells c
        where c.org_id = ${orgId} and c.usage_date = day and c.stream = ${stream}
      ) as standing
    from unnest(${eachDay(range)}::date[]) as day
    left join totals t on t.usage_date = day
    cross join lateral (
      select coalesce(sum(s.orgs), 0)::bigint as orgs from spans s
      where s.first_day <= day and coalesce(s.last_day >= day, true)
    ) as e
    order by day`.execute(db);
  return rows;
}

/** Adds up days; of a level, takes its last number. Null if nothing is stored. */
export function addUpDays(metric: ChartMetric, days: readonly DayTotal[]) {
  const quantities = days.flatMap(({ quantity }) => quantity ?? []);
  const { isLevel } = CHART_METRICS[metric];
  const sum = isLevel ? quantities.at(-1) : quantities.reduce((total, quantity) => total + quantity, 0);
  const countedDays = isLevel ? days.slice(-1) : days;
  return {
    total: quantities.length === 0 ? null : (sum ?? null),
    notStored: countedDays.reduce((total, day) => total + day.notStored, 0),
  };
}

/** Returns the month of yesterday, up to yesterday. */
export function monthToDate(nowMs: number): DayRange {
  const to = addDays(dayAt(nowMs), -1);
  return { from: `${to.slice(0, 7)}-01`, to };
}

export type LargestOrganization = {
  readonly org_id: string;
  readonly org_name: string;
  readonly quantity: number;
  /** Of the sum over all organizations; null if that is 0. */
  readonly share: number | null;
  readonly days_not_stored: number | null;
};

const LARGEST = 10;

/** Returns the organizations with the largest numbers of a month. */
export async function readLargestOrganizations(
  db: Kysely<Schema>,
  { metric, month }: { metric: ChartMetric; month: Month },
): Promise<LargestOrganization[]> {
  const { stream } = CHART_METRICS[metric];
  const { rows } = await sql<LargestOrganization>`
    select m.org_id, m.org_name, m.${sql.ref(metric)} as quantity,
      (m.${sql.ref(metric)} / nullif(sum(m.${sql.ref(metric)}) over (), 0))::float8 as share,
      nullif(m.days_expected - m.${sql.ref(`${stream}_days_stored`)}, 0) as days_not_stored
    from losant_usage.monthly_usage m
    where m.month = ${`${month}-01`}::date and m.${sql.ref(metric)} is not null
    order by 3 desc, m.org_id limit ${LARGEST}`.execute(db);
  return rows;
}
