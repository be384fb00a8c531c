/** Sums over all organizations by day, compared with other days. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readNowMs } from '../database/session.ts';
import { addDays, type DayRange, dayAt, eachDay, type UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';

/** The comparisons of the function `usage_compared`. */
export type ComparisonMode = 'same_weekdays' | 'previous_days' | 'previous_year';

export interface TotalsQuery {
  readonly metric: string;
  readonly range: DayRange;
  readonly comparison: ComparisonMode;
}

export type Pair = readonly [quantity: number, comparedQuantity: number];

/** A day of one organization, or of the sum over several, with the day that it is compared with. */
export interface ComparedDay {
  readonly day: UsageDay;
  /** The standing of its cell; null if none is expected, because nothing existed. A sum has none. */
  readonly standing?: Standing | null;
  /** The value, or the sum of those that are stored; null if none is. */
  readonly quantity: number | null;
  readonly comparedDay: UsageDay | null;
  readonly comparedQuantity: number | null;
  /** Values that are not in a sum, because they are not stored although the organization existed (count). */
  readonly valuesNotStored: number;
  /** The value or sum of both days over what is stored on both, to be compared; null if nothing is. */
  readonly pair: Pair | null;
}

/** What an organization used on the days that are stored on both sides. */
export type Growth = {
  readonly org_id: string;
  readonly org_name: string;
  readonly current_quantity: number;
  readonly previous_quantity: number;
  readonly difference: number;
};

export type UsageTotals = Awaited<ReturnType<typeof readUsageTotals>>;

/** Returns the month of yesterday, up to yesterday. */
export function monthToDate(nowMs: number): DayRange {
  const to = addDays(dayAt(nowMs), -1);
  return { from: `${to.slice(0, 7)}-01`, to };
}

const MAX_CHANGES = 10;

/** A day of all organizations, or an organization on all days. */
type Row = (ComparedDay & { readonly org_id: null }) | Growth;

/**
 * Returns the days, and the organizations that changed most in each direction, the one that grew most first. Reads both
 * in one pass over what may be a million rows. Of a level, only the last day counts.
 */
export async function readUsageTotals(
  db: Kysely<Schema>,
  { metric, range, comparison }: TotalsQuery,
  instanceIds: readonly string[],
) {
  const { rows } = await sql<Row>`
    select r.*, o.name as org_name
    from (
      select s.*, row_number() over (partition by s.org_id is null order by s.difference desc, s.org_id) as from_first,
        row_number() over (partition by s.org_id is null order by s.difference, s.org_id) as from_last
      from (
        select u.usage_date as day, u.previous_date as "comparedDay", u.org_id,
          count(*) filter (where u.quantity is null) as "valuesNotStored",
          ${sumStored(sql`u.quantity`)} as quantity, ${sumStored(sql`u.previous_quantity`)} as "comparedQuantity",
          case when ${sumStored(sql`u.quantity`)} + ${sumStored(sql`u.previous_quantity`)} is not null
            then array[sum(u.quantity) filter (where p.is_pair), sum(u.previous_quantity) filter (where p.is_pair)]
            end::bigint[] as pair,
          sum(u.quantity) filter (where p.is_pair and p.counts)::bigint as current_quantity,
          sum(u.previous_quantity) filter (where p.is_pair and p.counts)::bigint as previous_quantity,
          coalesce(sum(u.quantity - u.previous_quantity) filter (where p.counts), 0)::bigint as difference
        from losant_usage.usage_compared(${metric}, ${range.from}::date, ${range.to}::date, ${comparison}) as u
        cross join lateral (
          select u.quantity is not null and u.previous_quantity is not null as is_pair,
            u.usage_date >= case when ${isLevel(metric)} then ${range.to} else ${range.from} end::date as counts
        ) as p
        where u.instance_id = any (${instanceIds}::text[])
        group by grouping sets ((u.usage_date, u.previous_date), (u.org_id))
      ) as s
    ) as r
    left join losant_usage.organizations o on o.org_id = r.org_id
    where r.org_id is null or r.from_first <= ${MAX_CHANGES} or r.from_last <= ${MAX_CHANGES}
    order by r.day, r.difference desc, r.org_id`.execute(db);
  const storedDays = new Map(rows.flatMap((row) => (row.org_id === null ? [[row.day, row]] : [])));
  return {
    days: eachDay(range).map((day) => storedDays.get(day) ?? { ...ABSENT, day }),
    changes: rows.flatMap((row) => (row.org_id !== null && row.difference !== 0 ? [row] : [])),
  };
}

/** Adds up what is stored. Organizations that did not exist add 0 to a day of which nothing else is stored. */
function sumStored(value: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`case when bool_and(${value} is not null) or sum(${value}) <> 0 then sum(${value})::bigint end`;
}

/** What is known of a day of which nothing is expected. */
export const ABSENT: Omit<ComparedDay, 'day'> = {
  standing: null,
  quantity: null,
  comparedDay: null,
  comparedQuantity: null,
  valuesNotStored: 0,
  pair: null,
};

export type MonthToDate = Awaited<ReturnType<typeof readMonthToDate>>;

/** Reads the month of yesterday by the clock of the database, compared with the same weekdays before. */
export async function readMonthToDate(db: Kysely<Schema>, metric: string, instanceIds: readonly string[]) {
  const range = monthToDate(await readNowMs({ db }));
  const { days } = await readUsageTotals(db, { metric, range, comparison: 'same_weekdays' }, instanceIds);
  const { total, valuesNotStored, change } = addUpDays(metric, days);
  return { ...range, total, valuesNotStored, change };
}

export function isLevel(metric: string): boolean {
  return metric === 'devices_total';
}

/** Adds up days; of a level, takes its last value. */
export function addUpDays(metric: string, days: readonly ComparedDay[]) {
  const addUp = (values: readonly number[]) =>
    isLevel(metric) ? (values.at(-1) ?? 0) : values.reduce((sum, value) => sum + value, 0);
  const quantities = days.flatMap(({ quantity }) => quantity ?? []);
  const pairs = days.map(({ pair }) => pair).filter((pair) => pair !== null);
  const paired: Pair = [addUp(pairs.map(([now]) => now)), addUp(pairs.map(([, before]) => before))];
  const countedDays = isLevel(metric) ? days.slice(-1) : days;
  return {
    /** Null if nothing is stored. */
    total: quantities.length === 0 ? null : addUp(quantities),
    daysNotStored: countedDays.filter(({ standing, quantity }) => standing !== null && quantity === null).length,
    valuesNotStored: countedDays.reduce((sum, day) => sum + day.valuesNotStored, 0),
    /** The sums over what is stored on both sides, and on how many days. */
    paired,
    pairedDays: pairs.length,
    /** The change between them: 0.5 is half as much again; null if there is nothing to compare with. */
    change: paired[1] === 0 ? null : paired[0] / paired[1] - 1,
  };
}
