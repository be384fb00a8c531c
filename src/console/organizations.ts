/** The list of organizations, which is also what the search of every page shows. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { monthToDate } from '../queries/usage-totals.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { type Html, showMonth } from './elements.ts';
import { SEARCH } from './filters.ts';
import { renderCount } from './page.ts';
import { type Columns, createTablePage } from './table.ts';

/** An organization with its month to date, which is null until it has been added up. */
type OrganizationRow = Readonly<Record<'payload_billable_count' | 'days_not_stored', number | null>>;

const COLUMNS: Columns<OrganizationRow> = [
  ['org_name', 'Name'],
  ['payload_billable_count', 'Billable payloads', renderPayloads],
  'notebook_minutes',
  'devices_total',
  ['limit_share', 'Share of a limit'],
  ['is_exceeded', 'Limit exceeded', () => html`<span class="bad">yes</span>`],
  'exceeds_on',
  'plan_id',
  'customer_id',
  'referral_id',
  'created_on',
  'deleted_on',
  'tags',
];

function renderPayloads({ payload_billable_count: payloads, days_not_stored: days }: OrganizationRow): Html {
  const mark = html` <span class="bad" title="${count(days ?? 0, 'day is', 'days are')} not stored">?</span>`;
  return html`${showNumber(payloads ?? 0)}${days !== null && days > 0 && mark}`;
}

export const organizationsPage = createTablePage<OrganizationRow>(
  { path: '/organizations' },
  async ({ recall, nowMs }) => {
    const { from: month, to } = monthToDate(nowMs);
    const activity = await recall(['month to date', month], (db) => readMonthToDate(db, month));
    return {
      title: 'Organizations',
      sentence: `${showMonth(to)} up to ${to}.`,
      rows: sql`
        select o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.created_on, o.deleted_on,
          (select string_agg(concat_ws('=', t.item ->> 'key', t.item ->> 'value'), ', ' order by t.nth)
            from jsonb_array_elements(o.tags) with ordinality as t (item, nth)) as tags,
          a.payload_billable_count, a.days_not_stored, a.notebook_minutes, a.devices_total, a.limit_share,
          a.is_exceeded, a.exceeds_on
        from losant_usage.organizations o
        left join json_to_recordset(${activity.snapshot?.value ?? '[]'}::json) as a (org_id text,
          payload_billable_count bigint, days_not_stored bigint, notebook_minutes bigint, devices_total bigint,
          limit_share float8, is_exceeded boolean, exceeds_on date) on a.org_id = o.org_id`,
      order: sql`r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Show only',
          options: { exceeded: 'a limit is exceeded', near_limit: 'at 80% of a limit or more' },
          where: (choice) => (choice === 'exceeded' ? sql`r.is_exceeded` : sql`r.limit_share >= 0.8`),
        },
      },
      columns: COLUMNS,
      summed: ['payload_billable_count', 'notebook_minutes'],
      note: renderCount(activity, 'The month to date', () => html``),
    };
  },
);

/** Returns the month to date of each organization as JSON, which the list joins: adding it up takes longer. */
async function readMonthToDate(db: Kysely<Schema>, month: UsageDay): Promise<string> {
  const { rows } = await sql<{ readonly json: string }>`
    select coalesce(json_agg(json_strip_nulls(row_to_json(r))), '[]')::text as json
    from (
      select m.org_id, m.payload_billable_count, m.notebook_minutes, m.devices_total,
        m.days_expected - m.payload_totals_days_stored as days_not_stored, l.limit_share, l.is_exceeded,
        l.exceeds_on
      from losant_usage.monthly_usage m
      left join (
        select u.org_id, max(u.share)::float8 as limit_share, nullif(bool_or(u.is_exceeded), false) as is_exceeded,
          min(u.exceeds_on) as exceeds_on
        from losant_usage.usage_vs_limits u where u.metric is not null group by u.org_id
      ) as l on l.org_id = m.org_id
      where m.month = ${month}::date
    ) as r`.execute(db);
  return rows[0]?.json ?? '[]';
}
