/** The tab "Hours" of an organization: the average of each hour of the week, in a time zone. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import { renderHtmlTable, type TableColumn } from './table.ts';

interface HoursQuery {
  readonly orgId: string;
  readonly range: DayRange;
  readonly zone: string;
}

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;

/** An hour of the day, and its average on each weekday, rounded to a whole number. */
type HourRow = Readonly<Record<(typeof WEEKDAYS)[number], number | null>>;

/** Averages the hours of the range that are stored. If Postgres does not know the zone, the hours are those of UTC. */
export async function readHours(db: Kysely<Schema>, { orgId, range, zone: name }: HoursQuery) {
  const zones = await sql<{ readonly name: string }>`
    select name from pg_timezone_names where name = ${name}`.execute(db);
  const zone = zones.rows[0]?.name ?? 'UTC';
  const averages = WEEKDAYS.map(
    (weekday, index) => sql`round(avg(l.payloads) filter (where extract(isodow from l.at) = ${index + 1}))::bigint
      as ${sql.ref(weekday)}`,
  );
  const { rows } = await sql<HourRow>`
    select to_char(hour, 'FM00":00"') as hour, ${sql.join(averages)}
    from generate_series(0, 23) as hour
    left join (
      select h.hour at time zone ${zone} as at, h.payload_billable_count as payloads
      from losant_usage.hourly_usage h
      where h.org_id = ${orgId} and h.usage_date between ${range.from}::date and ${range.to}::date
    ) as l on extract(hour from l.at) = hour
    group by hour order by hour`.execute(db);
  return { zone, rows };
}

const SHADES = 5;

/** Renders the hours of a week, shaded by their share of the maximum. */
export function renderHours({ range, zone: name }: HoursQuery, { zone, rows }: Awaited<ReturnType<typeof readHours>>) {
  const averages = rows.flatMap((row) => WEEKDAYS.map((weekday) => row[weekday]).filter((average) => average !== null));
  const maximum = Math.max(1, ...averages);
  const columns = WEEKDAYS.map((weekday): TableColumn<HourRow> => {
    const renderAverage = (average: number) =>
      html`<span class="shade-${Math.ceil((average / maximum) * SHADES)}">${showNumber(average)}</span>`;
    return [weekday, weekday, (row) => renderAverage(row[weekday] ?? 0)];
  });
  return html`<h2>Billable payloads by hour of the week</h2>
<p>Average per hour from ${range.from} to ${range.to}, in ${zone}${
    zone !== name && html` (<span class="bad">${name}</span> is not a time zone)`
  }.</p>
${averages.length === 0 ? html`<p>Nothing is stored.</p>` : renderHtmlTable(rows, ['hour', ...columns])}`;
}
