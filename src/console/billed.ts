import { html } from 'hono/html';
import { sql } from 'kysely';
import type { Html } from './page.ts';
import { createTablePage, matchesText } from './table.ts';

type BilledRow = { readonly months: number; readonly by_month: readonly string[] };

const YEARS_IN_FILTER = 4;

/** What was billed to each customer in a year: only what was closed, over all its statements. */
export const billedPage = createTablePage<BilledRow>(
  '/billed',
  '/billing',
  ({ instanceIds, query, nowMs }) => {
    const thisYear = new Date(nowMs).getUTCFullYear();
    const years = Array.from({ length: YEARS_IN_FILTER }, (_, index) => `${thisYear - index}`);
    const year = years.find((each) => each === query['year']) ?? `${thisYear}`;
    return {
      title: `Billed in ${year}`,
      sentence:
        'What closed months bill, with their adjustments. An organization without a customer stands for itself.',
      rows: sql`
      select m.customer, count(*) as months, max(m.orgs) as orgs, sum(m.payloads)::bigint as payloads,
        sum(m.minutes)::bigint as minutes,
        array_agg(format('%s: %s payloads, %s minutes, %s devices', to_char(m.month::timestamp, 'YYYY-MM'),
          to_char(m.payloads, 'FM999,999,999,999,990'), to_char(m.minutes, 'FM999,999,999,990'),
          to_char(m.devices, 'FM999,999,990')) order by m.month desc) as by_month
      from (
        select coalesce(nullif(l.customer_id, ''), l.org_id) as customer, l.month, count(distinct l.org_id) as orgs,
          sum(l.quantity) filter (where l.metric = 'payload_billable_count') as payloads,
          sum(l.quantity) filter (where l.metric = 'notebook_minutes') as minutes,
          sum(l.quantity) filter (where l.metric = 'devices_total') as devices
        from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
        where s.instance_id = any (${instanceIds}::text[])
          and l.month between ${`${year}-01-01`}::date and ${`${year}-12-31`}::date
        group by 1, l.month
      ) as m
      group by m.customer`,
      order: sql`r.payloads desc nulls last, r.customer`,
      filters: {
        year: {
          label: 'Year',
          options: Object.fromEntries(years.map((each) => [each, each])),
          where: () => sql`true`,
        },
        q: {
          label: 'Organization or customer (name or any ID)',
          options: 'text',
          where: (text) => sql`exists (
          select from losant_usage.organizations o
          where r.customer in (o.customer_id, o.org_id) and ${matchesText(text)})`,
        },
      },
      columns: {
        customer: 'Customer',
        orgs: 'Organizations',
        payloads: 'Billable payloads',
        minutes: 'Notebook minutes',
        months: 'Months closed',
        by_month: ['By month', renderMonths],
      },
    };
  },
);

function renderMonths({ by_month: months }: BilledRow): Html {
  return html`<details><summary>Each month</summary><ul>${months.map((month) => html`<li>${month}</li>`)}</ul></details>`;
}
