import { html } from 'hono/html';
import { sql } from 'kysely';
import { addressOf, type Html } from './elements.ts';
import { searchIn } from './filters.ts';
import { createTablePage } from './table.ts';

type BilledRow = {
  /** The customer, or the organization that has none. */
  readonly id: string;
  /** Each month as `2026-09 22,800 payloads, 150 minutes`, the newest first. */
  readonly by_month: readonly string[];
};

/** The years that can be chosen, by how long ago they are. */
const YEARS = { this: 0, last: 1, before_last: 2 } as const;

/** What was billed to each customer in a year: only what was closed, over all its statements. */
export const billedPage = createTablePage<BilledRow>(
  { path: '/billed', navPath: '/billing', subject: 'What was billed' },
  ({ instanceIds, query, nowMs }) => {
    const years = Object.entries(YEARS).map(
      ([name, ago]) => [name, `${new Date(nowMs).getUTCFullYear() - ago}`] as const,
    );
    const year = years.find(([name]) => name === query['year'])?.[1] ?? '';
    return {
      title: year === '' ? 'Billed' : `Billed in ${year}`,
      sentence:
        'What the statements of closed months bill to each customer. An organization without one is listed by itself.',
      rows: sql`
        select m.id, (array_agg(m.name order by m.month desc))[1] as name, sum(m.payloads)::bigint as payloads,
          sum(m.minutes)::bigint as minutes, count(*) as months,
          array_agg(concat(to_char(m.month::timestamp, 'YYYY-MM '),
            to_char(m.payloads, 'FM999,999,999,999,999,990" payloads, "'),
            to_char(m.minutes, 'FM999,999,999,999,990" minutes"')) order by m.month desc) as by_month
        from (
          select coalesce(c.customer_id, c.org_id) as id, c.month, max(c.org_name) as name,
            sum(c.quantity) filter (where c.metric = 'payload_billable_count') as payloads,
            sum(c.quantity) filter (where c.metric = 'notebook_minutes') as minutes
          from losant_usage.customer_statements c
          where c.instance_id = any (${instanceIds}::text[])
            and ${year}::text in ('', extract(year from c.month)::text)
          group by 1, c.month
        ) as m
        group by m.id`,
      order: sql`r.payloads desc nulls last, r.id`,
      filters: {
        year: { label: 'Year', options: Object.fromEntries(years), where: () => sql`true` },
        q: searchIn('Name or customer', 'name', 'id'),
      },
      columns: {
        name: 'Name',
        id: 'Customer',
        payloads: 'Billable payloads',
        minutes: 'Notebook minutes',
        months: 'Months closed',
        by_month: ['By month', renderMonths],
      },
      summed: ['payloads', 'minutes'],
    };
  },
);

/** Renders each month, folded, with a link to its statements. */
function renderMonths({ id, by_month: months }: BilledRow): Html {
  const items = months.map((text) => {
    const month = text.slice(0, 'YYYY-MM'.length);
    const address = addressOf(`/billing/${month}/customers`, { q: id });
    return html`<li><a href="${address}">${month}</a>${text.slice(month.length)}</li>`;
  });
  return html`<details><summary>Each month</summary><ul>${items}</ul></details>`;
}
