/** The tab "Hours" of an organization: the average of each hour of the week, in a time zone. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import { type Html } from './elements.ts';

interface HoursQuery {
  readonly orgId: string;
  readonly range: DayRange;
  readonly zone: string;
}

interface WeekHour {
  /** The weekday, from 1 for Monday to 7. */
  readonly weekday: number;
  readonly hour: number;
  /** Rounded to a whole number. */
  readonly average: number;
}

/** Averages the hours of the range that are stored. If Postgres does not know the zone, the hours are those of UTC. */
export async function readHours(db: Kysely<Schema>, { orgId, range, zone: name }: HoursQuery) {
  const zones = await sql<{ readonly name: string }>`
    select name from pg_timezone_names where name = ${name}`.execute(db);
  const zone = zones.rows[0]?.name ?? 'UTC';
  const { rows: week } = await sql<WeekHour>`
    select extract(isodow from l.local)::integer as weekday, extract(hour from l.local)::integer as hour,
      round(avg(h.payload_billable_count))::bigint as average
    from losant_usage.hourly_usage h cross join lateral (select h.hour at time zone ${zone} as local) as l
    where h.org_id = ${orgId} and h.usage_date between ${range.from}::date and ${range.to}::date
      and h.payload_billable_count is not null
    group by 1, 2 order by 1, 2`.execute(db);
  return { zone, week };
}

const WEEK_DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const SHADES = 5;

/** Renders the hours of a week, shaded by their share of the maximum. */
export function renderHours(
  { range, zone: name }: HoursQuery,
  { zone, week }: Awaited<ReturnType<typeof readHours>>,
): Html {
  const maximum = Math.max(1, ...week.map(({ average }) => average));
  const renderCell = (weekday: number, hour: number) => {
    const average = week.find((each) => each.weekday === weekday && each.hour === hour)?.average;
    if (average === undefined) return html`<td class="n quiet">–</td>`;
    return html`<td class="n shade-${Math.ceil((average / maximum) * SHADES)}">${showNumber(average)}</td>`;
  };
  return html`<h2>Billable payloads by hour of the week</h2>
<p>Average per hour from ${range.from} to ${range.to}, in ${zone}${
    zone !== name && html` (<span class="bad">${name}</span> is not a time zone)`
  }.</p>
<div class="scroll" role="group" tabindex="0" aria-label="Hours of the week"><table>
<thead><tr><th scope="col">Hour</th>${WEEK_DAYS.map(
    (weekday) => html`<th scope="col" class="n">${weekday}</th>`,
  )}</tr></thead>
<tbody>${HOURS.map(
    (hour) =>
      html`<tr><th scope="row">${`${hour}`.padStart(2, '0')}:00</th>${WEEK_DAYS.map((_, index) =>
        renderCell(index + 1, hour),
      )}</tr>\n`,
  )}</tbody></table></div>`;
}
