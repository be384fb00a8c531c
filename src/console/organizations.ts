import { html } from 'hono/html';
import { sql } from 'kysely';
import { showNumber } from '../terminal/words.ts';
import type { Activity } from './counts.ts';
import { AGAIN_S, COUNTING, type ConsolePage, type Html } from './page.ts';
import { type Columns, escapeLike, SEARCH, showChange, showTable } from './table.ts';

const ONLY: Readonly<Record<string, readonly [text: string, condition: string]>> = {
  new: ['new: created in the last 7 days', 'r.is_new'],
  left: ['left: deleted in the last 7 days', 'r.is_left'],
  silent: ['silent: zeros since three days', 'r.is_silent'],
  moved: ['moved: by half or more in 7 days', 'r.is_moved'],
  crossing: ['passes a limit this month', 'r.crosses_on is not null or r.limit_share > 1'],
  near: ['at 80 % of a limit or more', 'r.limit_share >= 0.8'],
  no_plan: ['no plan', 'r.plan_id is null'],
  no_limit: ['no limit', 'r.has_no_limit'],
  existing: ['exists', 'r.removed_on is null'],
};

const COLUMNS: Columns<Activity> = {
  org_name: 'Name',
  referral_id: 'Referral id',
  plan_id: 'Plan',
  payload_billable_count: [
    'Payloads',
    ({ payload_billable_count: payloads, days_missing: days }) =>
      html`${showNumber(payloads ?? 0)}${
        days !== null && days > 0 && html` <span class="bad" title="${days} days are missing of it">?</span>`
      }`,
  ],
  change: ['Last 7 days', ({ change }) => showChange(change ?? 0)],
  devices_total: 'Devices',
  limit_share: ['Of its limit', ({ limit_share: share }) => renderBar(share ?? 0)],
  limit_name: 'Limit',
  crosses_on: 'Passes it',
  last_active_on: 'Last payloads',
  created_on: 'Created',
  removed_on: 'Left',
  tags: 'Tags',
};

export const organizationsPage: ConsolePage = {
  path: '/organizations',
  place: '/organizations',
  show: async (request) => {
    const counts = await request.counts();
    const isFile = request.query['format'] === 'csv';
    if (counts === null && isFile) return { title: 'Organizations', body: COUNTING, again: AGAIN_S };
    const table = await showTable<Activity>(request, {
      title: 'Organizations',
      sentence:
        'Billable payloads of this month; the last 7 days beside the 4 weeks before; the limit first passed.',
      rows: sql`
        select o.org_id, coalesce(i.name, i.instance_id) as instance_name, o.name as org_name, o.referral_id, o.plan_id,
          (select string_agg(concat_ws('=', t.item ->> 'key', t.item ->> 'value'), ', ' order by t.nth)
            from jsonb_array_elements(o.tags) with ordinality as t (item, nth)) as tags,
          o.limits = '{}' as has_no_limit, o.created_on, o.removed_on, a.payload_billable_count, a.days_missing,
          a.change, a.devices_total, a.last_active_on, a.limit_name, a.limit_share, a.crosses_on, a.is_new, a.is_left,
          a.is_silent, a.is_moved
        from losant_usage.organizations o
        join losant_usage.instances i on i.instance_id = o.instance_id
        left join json_to_recordset(${counts?.activity ?? '[]'}::json) as a (org_id text, payload_billable_count bigint,
          days_missing bigint, change float8, devices_total bigint, last_active_on date, is_new boolean,
          is_left boolean, is_silent boolean, is_moved boolean, limit_name text, limit_share float8, crosses_on date)
          on a.org_id = o.org_id
        where o.instance_id = any (${request.instanceIds}::text[])`,
      order: sql`r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Only',
          options: Object.fromEntries(Object.entries(ONLY).map(([name, [text]]) => [name, text])),
          where: (name) => sql`(${sql.raw(ONLY[name]?.[1] ?? 'true')})`,
        },
        plan_id: { label: 'Plan', options: 'text' },
        tag: {
          label: 'Tag (key or key=value)',
          options: 'text',
          where: (tag) =>
            sql`(', ' || r.tags || ',') like ${`%, ${escapeLike(tag)}${tag.includes('=') ? ',' : '='}%`}`,
        },
      },
      columns: COLUMNS,
    });
    return counts === null && !(table instanceof Response) ? { ...table, again: AGAIN_S } : table;
  },
};

/** Renders a share of a limit as a number and a bar. */
export function renderBar(share: number): Html {
  const width = Math.round(Math.min(share, 1) * 60);
  return html`${Math.floor(share * 100)} %<svg class="bar" aria-hidden="true" width="60" height="10"><rect
    class="bar-room" width="60" height="10"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${width}"
      height="10"/></svg>`;
}
