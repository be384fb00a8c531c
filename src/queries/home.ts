/** What the home page concludes over all organizations. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type DayRange, dayAt, daysFrom, type UsageDay } from '../usage/day.ts';
import { type OrganizationFigures, readFigures } from './organizations.ts';

/** The organizations and the days of two months, as of one reading. */
export interface Overview {
  /** The last day shown: yesterday when it was read. */
  readonly to: UsageDay;
  readonly organizations: readonly OrganizationFigures[];
  /** The sums over all organizations from the first day of the last month to `to`, oldest first. */
  readonly days: readonly DaySums[];
}

/** The sums of a day over all organizations; null where no number of it is stored. */
export interface DaySums {
  readonly day: UsageDay;
  readonly billablePayloads: number | null;
  readonly allPayloads: number | null;
  readonly bytes: number | null;
  readonly notebookMinutes: number | null;
  readonly devices: number | null;
  readonly devicesCreated: number | null;
  readonly devicesDeleted: number | null;
}

/** `readOverview` reads what the home page and the list of organizations show up to yesterday, `to`. */
export async function readOverview(db: Kysely<Schema>, to: UsageDay): Promise<Overview> {
  const { rows: days } = await sql<DaySums>`
    select day, sum(d.payload_billable_count)::bigint as "billablePayloads",
      sum(d.payload_all_count)::bigint as "allPayloads", sum(d.payload_all_bytes)::bigint as bytes,
      sum(d.notebook_minutes)::bigint as "notebookMinutes", sum(d.devices_total)::bigint as devices,
      sum(d.devices_created)::bigint as "devicesCreated", sum(d.devices_deleted)::bigint as "devicesDeleted"
    from losant_usage.days_between(${sameDaysOfLastMonth(to).from}::date, ${to}::date) as day
    left join losant_usage.usage_days d on d.usage_date = day
    group by day order by day`.execute(db);
  return { to, organizations: await readFigures(db, to), days };
}

/** `sameDaysOfLastMonth` returns the days of the month before that of `to`, up to the same date or the month's end. */
export function sameDaysOfLastMonth(to: UsageDay): DayRange {
  const [year, month, date] = to.split('-').map(Number) as [number, number, number];
  const day = (of: number) => dayAt(Date.UTC(year, month - 2, of));
  const last = dayAt(Date.UTC(year, month - 1, 0));
  return { from: day(1), to: daysFrom(day(date), last) >= 0 ? day(date) : last };
}
