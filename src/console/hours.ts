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

interface Hours {
  /** Why the time zone cannot be used; null if it can. UTC stands in for one that cannot. */
  readonly problem: string | null;
  readonly week: readonly WeekHour[];
}

const INVALID_PARAMETER_VALUE = '22023';

/** Reads the means of the range; those of UTC where the time zone is unknown, or its days cannot be told. */
export async function readHours(db: Kysely<Schema>, query: HoursQuery): Promise<Hours> {
  try {
    return { problem: null, week: await readWeek(db, query) };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === INVALID_PARAMETER_VALUE)) throw error;
    return { problem: error.message, week: await readWeek(db, { ...query, zone: 'UTC' }) };
  }
}

async function readWeek(
  db: Kysely<Schema>,
  { orgId, range, zone }: HoursQuery,
): Promise<readonly WeekHour[]> {
  const { rows } = await sql<WeekHour>`
    select extract(isodow from l.local)::integer as weekday, extract(hour from l.local)::integer as hour,
      round(avg(h.payload_billable_count))::bigint as mean
    from losant_usage.hourly_usage h cross join lateral (select h.hour at time zone ${zone} as local) as l
    where h.org_id = ${orgId} and h.usage_date between ${range.from}::date and ${range.to}::date
      and h.payload_billable_count is not null
    group by 1, 2 order by 1, 2`.execute(db);
  return rows;
}

const WEEK_DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const SHADES = 5;

/** Renders the hours of a week, shaded by their share of the greatest. */
export function renderHours({ range, zone }: HoursQuery, { problem, week }: Hours): Html {
  const most = Math.max(1, ...week.map(({ mean }) => mean));
  const cell = (weekday: number, hour: number) => {
    const mean = week.find((each) => each.weekday === weekday && each.hour === hour)?.mean;
    if (mean === undefined) return html`<td class="n quiet">–</td>`;
    return html`<td class="n shade-${Math.ceil((mean / most) * SHADES)}">${showNumber(mean)}</td>`;
  };
  return html`<h2>Billable payloads by hour of the week</h2>
<p>${problem === null ? '' : html`<span class="bad">${plain(problem)}.</span> `}The mean of each hour of ${range.from}
  to ${range.to}, in ${problem === null ? plain(zone) : 'UTC'}.</p>
<div class="scroll" role="group" tabindex="0" aria-label="Hours of the week"><table class="week">
<thead><tr><th scope="col">Hour</th>${WEEK_DAYS.map(
    (name) => html`<th scope="col"
  class="n">${name}</th>`,
  )}</tr></thead>
<tbody>${HOURS.map(
    (hour) =>
      html`<tr><th scope="row">${`${hour}`.padStart(2, '0')}:00</th>${WEEK_DAYS.map((_, place) =>
        cell(place + 1, hour),
      )}</tr>\n`,
  )}</tbody></table></div>`;
}
