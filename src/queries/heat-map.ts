import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { addDays, type UsageDay } from '../usage/day.ts';

/** How the cells of a stream and day stand, over all instances and organizations. */
export interface HeatCell {
  readonly stream: string;
  readonly day: UsageDay;
  readonly tracked: number;
  /** Of the tracked ones; a cell counts once, in the first of these that fits. */
  readonly gaps: number;
  readonly knownMissing: number;
  /** Held and not final yet, or not late yet. */
  readonly open: number;
}

const HEAT_DAYS = 90;

/** Each stream and day of the last 90 up to `to`, by stream and day. */
export async function readHeatMap(db: Kysely<Schema>, to: UsageDay): Promise<HeatCell[]> {
  const from = addDays(to, 1 - HEAT_DAYS);
  const { rows } = await sql<HeatCell>`
    with parts as (
      -- Ranges of days instead of single ones: their bounds tell how many begin and end on a day.
      select t.stream, part from losant_usage.tracked t
      cross join lateral unnest(t.days * datemultirange(daterange(${from}::date, ${to}::date + 1))) as part
    ), changes as (
      select stream, day, sum(change) as change from (
        select stream, lower(part) as day, 1 as change from parts
        union all select stream, upper(part), -1 from parts
      ) as bounds group by stream, day
    ), gaps as (
      select stream, usage_date as day, count(*) as cells from losant_usage.coverage_gaps
      where usage_date between ${from}::date and ${to}::date group by stream, usage_date
    ), known as (
      select stream, usage_date as day, count(*) as cells from losant_usage.known_missing
      where usage_date between ${from}::date and ${to}::date group by stream, usage_date
    ), not_final as (
      select stream, usage_date as day, count(*) as cells from (
        select stream, usage_date from losant_usage.open_cells where state <> 'final'
        union all select stream, usage_date from losant_usage.unread_cells
      ) as c where usage_date between ${from}::date and ${to}::date group by stream, usage_date
    )
    select s.stream, d.day,
      (sum(coalesce(c.change, 0)) over (partition by s.stream order by d.day))::bigint as tracked,
      coalesce(g.cells, 0) as gaps, coalesce(k.cells, 0) as "knownMissing",
      greatest(coalesce(n.cells, 0) - coalesce(g.cells, 0) - coalesce(k.cells, 0), 0) as open
    from losant_usage.streams s
    cross join losant_usage.days_between(${from}::date, ${to}::date) as d (day)
    left join changes c on c.stream = s.stream and c.day = d.day
    left join gaps g on g.stream = s.stream and g.day = d.day
    left join known k on k.stream = s.stream and k.day = d.day
    left join not_final n on n.stream = s.stream and n.day = d.day
    order by s.position, d.day`.execute(db);
  return rows;
}
