/** The tab of hours: the mean of each hour of the week in a time zone. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import { type Html, plain } from './page.ts';

interface HoursQuery {
  readonly orgId: string;
  readonly range: DayRange;
  readonly zone: string;
}

interface WeekHour {
  /** The weekday, from 1 for Monday to 7. */
  readonly weekday: number;
  readonly hour: number;
  /** The mean, rounded to a whole number. */
  readonly mean: number;
}

/** Returns the means of the hours in the range that are stored, in UTC where Postgres knows no zone of the name. */
export async function readHours(db: Kysely<Schema>, { orgId, range, zone: name }: HoursQuery) {
  const zones = await sql<{ readonly name: string }>`
    select name from pg_timezone_names where name = ${name}`.execute(db);
  const zone = zones.rows[0]?.name ?? 'UTC';
  const { rows: week } = await sql<WeekHour>`
    select extract(isodow from l.local)::integer as weekday, extract(hour from l.local)::integer as hour,
      round(avg(h.payload_billable_count))::bigint as mean
    from losant_usage.hourly_usage h cross join lateral (select h.hour at time zone ${zone} as local) as l
    where h.org_id = ${orgId} and h.usage_date between ${range.from}::date and ${range.to}::date
      and h.payload_billable_count is not null
    group by 1, 2 order by 1, 2`.execute(db);
  return { zone, week };
}

const WEEK_DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const SHADES = 5;

/** Renders the hours of a week, shaded by their share of the greatest. */
export function renderHours(
  { range, zone: name }: HoursQuery,
  { zone, week }: Awaited<ReturnType<typeof readHours>>,
): Html {
  const most = Math.max(1, ...week.map(({ mean }) => mean));
  const cell = (weekday: number, hour: number) => {
    const mean = week.find((each) => each.weekday === weekday && each.hour === hour)?.mean;
    if (mean === undefined) return html`<td class="n quiet">–</td>`;
    return html`<td class="n shade-${Math.ceil((mean / most) * SHADES)}">${showNumber(mean)}</td>`;
  };
  return html`<h2>Billable payloads by hour of the week</h2>
<p>Average per hour from ${range.from} to ${range.to}, in ${zone}${
    zone !== name && html`(<span class="bad">${plain(name)}</span> is not a time zone)`
  }.</p>
<div class="scroll" role="group" tabindex="0" aria-label="Hours of the week"><table>
<thead><tr><th scope="col">Hour</th>${WEEK_DAYS.map(
    (name) => html`<th scope="col"
  class="n">${name}</th>`,
  )}</tr></thead>
<tbody>${HOURS.map(
    (hour) =>
      html`<tr><th scope="row">${`${hour}`.padStart(2, '0')}:00</th>${WEEK_DAYS.map((_, index) =>
        cell(index + 1, hour),
      )}</tr>\n`,
  )}</tbody></table></div>`;
}
