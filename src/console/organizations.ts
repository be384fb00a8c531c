import { html } from 'hono/html';
import { sql } from 'kysely';
import { count, showNumber } from '../terminal/words.ts';
import { describeReadFailure } from './cached-reads.ts';
import type { Activity } from './counts.ts';
import { escapeLike, SEARCH } from './filters.ts';
import { type ConsolePage, type Html, isCounting, RELOAD_SECONDS, renderCount } from './page.ts';
import { type Columns, showChange, showTable } from './table.ts';

const ONLY: Readonly<Record<string, readonly [label: string, condition: string]>> = {
  new: ['new', 'r.is_new'],
  deleted: ['recently deleted', 'r.is_recently_deleted'],
  silent: ['silent for three days', 'r.is_silent'],
  changed: ['changed much, new or deleted', 'r.has_large_change'],
  exceeding: ['exceeds a limit this month', 'r.exceeds_on is not null or r.is_exceeding'],
  near_limit: ['at 80% of a limit', 'r.limit_share >= 0.8'],
  no_plan: ['no plan', 'r.plan_id is null'],
  no_limit: ['no limit', 'r.has_no_limit'],
  not_deleted: ['not deleted', 'r.deleted_on is null'],
};

/** The choices that need no count. */
const STORED_CHOICES = ['no_plan', 'no_limit', 'not_deleted'];

const COLUMNS: Columns<Activity> = {
  org_name: 'Name',
  payload_billable_count: [
    'Billable payloads',
    ({ payload_billable_count: payloads, days_not_stored: days }) =>
      html`${showNumber(payloads ?? 0)}${
        days !== null &&
        days > 0 &&
        html` <span class="bad" title="${count(days, 'day is', 'days are')} not stored">?</span>`
      }`,
  ],
  change_ratio: ['Change', ({ change_ratio: change }) => showChange(change ?? 0)],
  devices_total: 'Devices',
  limit_share: ['Largest share of a limit', ({ limit_share: share }) => renderBar(share ?? 0)],
  limits_to_watch: 'Limits exceeded, or about to be',
  last_active_on: 'Last active',
  plan_id: 'Plan',
  referral_id: 'Referral ID',
  exceeds_on: 'Exceeds on',
  created_on: 'Created',
  deleted_on: 'Deleted',
  tags: 'Tags',
};

export const organizationsPage: ConsolePage = {
  path: '/organizations',
  navPath: '/organizations',
  show: async (request) => {
    const { query, counts, instanceIds, nowMs } = request;
    const isFile = query['format'] === 'csv';
    const activity = await counts.activity(isFile ? FILE_WAIT_MS : undefined);
    const only = query['only'] ?? '';
    const isUnknown = activity.snapshot === null;
    const needsActivity = Object.hasOwn(ONLY, only) && !STORED_CHOICES.includes(only);
    if (isUnknown && isFile) {
      const reason = isCounting(activity) ? 'they are still being counted' : describeReadFailure(activity.error);
      return new Response(`The organizations could not be read: ${reason}. Try again in a minute.\n`, {
        status: 503,
        headers: { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '60' },
      });
    }
    const table = await showTable<Activity>(request, {
      title: 'Organizations',
      sentence: 'Billable payloads this month, and their change against 28 days earlier.',
      rows: sql`
        select o.org_id, coalesce(i.name, i.instance_id) as instance_name, o.name as org_name, o.referral_id, o.plan_id,
          (select string_agg(concat_ws('=', t.item ->> 'key', t.item ->> 'value'), ', ' order by t.nth)
            from jsonb_array_elements(o.tags) with ordinality as t (item, nth)) as tags,
          o.limits = '{}' as has_no_limit, o.created_on, o.deleted_on, a.payload_billable_count, a.days_not_stored,
          a.change_ratio, a.devices_total, a.last_active_on, a.limit_share, a.limits_to_watch, a.exceeds_on, a.is_new,
          a.is_recently_deleted, a.is_silent, a.has_large_change, a.is_exceeding
        from losant_usage.organizations o
        join losant_usage.instances i on i.instance_id = o.instance_id
        left join json_to_recordset(${toJson(activity.snapshot?.value ?? [])}::json) as a (org_id text,
          payload_billable_count bigint, days_not_stored bigint, change_ratio float8, devices_total bigint,
          last_active_on date, is_new boolean, is_recently_deleted boolean, is_silent boolean,
          has_large_change boolean, limit_share float8, limits_to_watch text, exceeds_on date,
          is_exceeding boolean) on a.org_id = o.org_id
        where o.instance_id = any (${instanceIds}::text[])`,
      order: sql`r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Show only',
          options: Object.fromEntries(Object.entries(ONLY).map(([name, [label]]) => [name, label])),
          where: (name) => sql`(${sql.raw(ONLY[name]?.[1] ?? 'true')})`,
        },
        plan_id: { label: 'Plan', options: 'text' },
        tag: {
          label: 'Tag (key or key=value)',
          options: 'text',
          where: (tag) => sql`(', ' || r.tags || ',') like ${`%, ${escapeLike(tag)}${tag.includes('=') ? ',' : '='}%`}`,
        },
      },
      columns: COLUMNS,
      totals: ['payload_billable_count', 'devices_total'],
      unknown: isUnknown && needsActivity ? 'It is not known yet which organizations these are.' : '',
      note: renderCount(activity, { subject: 'Payloads, changes and limits', nowMs }, () => html``),
    });
    return table instanceof Response ? table : { ...table, reloadSeconds: isCounting(activity) ? RELOAD_SECONDS : 0 };
  },
};

/** A file waits longer for the counts than a page, because it is not requested again. */
const FILE_WAIT_MS = 20_000;

/** The last activity as JSON without nulls. It is long, so it is created once. */
const jsonByActivity = new WeakMap<readonly Activity[], string>();

function toJson(activity: readonly Activity[]): string {
  const json = jsonByActivity.get(activity) ?? JSON.stringify(activity, (_, value: unknown) => value ?? undefined);
  jsonByActivity.set(activity, json);
  return json;
}

/** Renders a share of a limit as a number and a bar. */
export function renderBar(share: number): Html {
  const width = Math.round(Math.min(share, 1) * 60);
  return html`${Math.floor(share * 100)}%<svg class="bar" aria-hidden="true" width="60" height="10"><rect
    class="bar-room" width="60" height="10"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${width}"
      height="10"/></svg>`;
}
