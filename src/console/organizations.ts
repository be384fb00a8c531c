import { html } from 'hono/html';
import { sql } from 'kysely';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { type Html, linkToOrganization, renderCopy } from './page.ts';
import { type Filter, type Listing, type ListRequest, listingPage, SEARCH, showChange } from './table.ts';

interface OrganizationRow {
  readonly org_id: string;
  readonly instance_name: string;
  readonly org_name: string;
  readonly referral_id: string | null;
  readonly plan_id: string | null;
  readonly tags: string | null;
  readonly created_on: UsageDay | null;
  readonly removed_on: UsageDay | null;
  readonly payload_billable_count: number | null;
  readonly days_missing: number | null;
  /** The last 7 days beside the 4 weeks before; a share. */
  readonly change: number | null;
  readonly devices_total: number | null;
  readonly last_active_on: UsageDay | null;
  readonly limit_name: string | null;
  readonly limit_share: number | null;
  readonly crosses_on: UsageDay | null;
}

/** Columns that are computed of the last weeks of each organization. */
const COMPUTED = [
  'payload_billable_count',
  'change',
  'devices_total',
  'last_active_on',
  'limit_share',
  'crosses_on',
];

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

const only: Filter = {
  name: 'only',
  label: 'Only',
  options: [['', 'all'], ...Object.entries(ONLY).map(([name, [text]]) => [name, text] as const)],
  where: (name) => sql`(${sql.raw(ONLY[name]?.[1] ?? 'true')})`,
};

/** Whether every organization has to be computed before the page is known; else only those of the page are. */
function needsAll({ sort, values, isFile }: ListRequest): boolean {
  const isBasic = ['', 'no_plan', 'no_limit', 'existing'].includes(values.only ?? '');
  return isFile || COMPUTED.includes(sort.replace(/^-/, '')) || !isBasic;
}

/** What is computed of each organization, with the tables `a` and `l`. */
const DETAILS = sql`a.payload_billable_count, a.days_missing, a.change::float8 as change, a.devices_total,
  a.last_active_on,
  a.is_new, a.is_left, a.is_silent, a.is_moved, l.limit_name, l.share::float8 as limit_share, l.crosses_on`;
const NEAREST = sql`order by u.org_id, u.crosses_on nulls last, u.share desc nulls last`;

const organizations: Listing<OrganizationRow> = {
  path: '/organizations',
  title: 'Organizations',
  sentence:
    'Billable payloads of this month; the last 7 days beside the 4 weeks before; the limit passed first or nearest.',
  from: (request) => sql`(
    select o.org_id, coalesce(i.name, i.instance_id) as instance_name, o.name as org_name, o.referral_id, o.plan_id,
      (select string_agg(coalesce(t.item ->> 'key', '') || '=' || coalesce(t.item ->> 'value', ''), ', ' order by t.nth)
        from jsonb_array_elements(o.tags) with ordinality as t (item, nth)) as tags,
      o.limits = '{}' as has_no_limit, o.created_on, o.removed_on${needsAll(request) ? sql`, ${DETAILS}` : sql``}
    from losant_usage.organizations o join losant_usage.instances i on i.instance_id = o.instance_id
    ${
      needsAll(request)
        ? sql`left join losant_usage.organization_activity a on a.org_id = o.org_id
          left join (select distinct on (u.org_id) u.* from losant_usage.usage_vs_limits u where u.metric is not null
            ${NEAREST}) as l on l.org_id = o.org_id`
        : sql``
    }
    where o.instance_id = any (${request.instanceIds}::text[])
  ) as r`,
  details: (request) =>
    needsAll(request)
      ? null
      : sql`left join lateral (
          select ${DETAILS} from (select * from losant_usage.organization_activity where org_id = r.org_id) as a
          left join lateral (select * from losant_usage.usage_vs_limits u where u.org_id = r.org_id and u.metric is
            not null ${NEAREST} limit 1) as l on true
        ) as d on true`,
  filters: [
    SEARCH,
    only,
    {
      name: 'plan',
      label: 'Plan',
      options: 'text',
      where: (plan) => sql`r.plan_id = ${plan}`,
    },
    {
      name: 'tag',
      label: 'Tag (key or key=value)',
      options: 'text',
      where: (tag) =>
        sql`(', ' || r.tags || ',') like ${`%, ${tag.replaceAll(/[\\%_]/g, String.raw`\$&`)}${
          tag.includes('=') ? ',' : '='
        }%`}`,
    },
  ],
  sort: ['org_name', 'org_id'],
  columns: [
    {
      name: 'org_name',
      label: 'Name',
      kind: 'text',
      isSortable: true,
      cell: (row) =>
        html`${linkToOrganization(row.org_id, row.org_name)}${renderCopy(row.org_id, 'Copy the id')}`,
    },
    { name: 'org_id', label: 'Id', kind: 'value', isHidden: true },
    { name: 'instance_name', label: 'Instance', kind: 'text', isHidden: true },
    { name: 'referral_id', label: 'Referral id', kind: 'value', isSortable: true },
    { name: 'plan_id', label: 'Plan', kind: 'value', isSortable: true },
    {
      name: 'payload_billable_count',
      isDetail: true,
      label: 'Payloads',
      kind: 'number',
      isSortable: true,
      cell: ({ payload_billable_count: payloads, days_missing: missing }) =>
        payloads === null ? null : html`${showNumber(payloads)}${markMissing(missing)}`,
    },
    { name: 'days_missing', isDetail: true, label: 'Days missing', kind: 'number', isHidden: true },
    {
      name: 'change',
      isDetail: true,
      label: 'Last 7 days',
      kind: 'number',
      isSortable: true,
      cell: ({ change }) => showChange(change),
    },
    { name: 'devices_total', isDetail: true, label: 'Devices', kind: 'number', isSortable: true },
    {
      name: 'limit_share',
      isDetail: true,
      label: 'Of its limit',
      kind: 'number',
      isSortable: true,
      cell: renderShare,
    },
    { name: 'limit_name', isDetail: true, label: 'Limit', kind: 'value' },
    { name: 'crosses_on', isDetail: true, label: 'Passes it', kind: 'value', isSortable: true },
    { name: 'last_active_on', isDetail: true, label: 'Last payloads', kind: 'value', isSortable: true },
    { name: 'created_on', label: 'Created', kind: 'value', isSortable: true },
    { name: 'removed_on', label: 'Left', kind: 'value', isSortable: true },
    { name: 'tags', label: 'Tags', kind: 'text' },
  ],
};

export const organizationsPage = listingPage(organizations);

/** Marks a sum of which days are missing, so that it is not taken for all of it. */
export function markMissing(days: number | null): Html | string {
  if (days === null || days === 0) return '';
  return html` <span class="bad" title="${days} ${days === 1 ? 'day is' : 'days are'} missing of it">?</span>`;
}

function renderShare({ limit_share: share }: Pick<OrganizationRow, 'limit_share'>): Html | null {
  return share === null ? null : renderBar(share);
}

/** Renders a share of a limit as a number and a bar. */
export function renderBar(share: number): Html {
  const width = Math.round(Math.min(share, 1) * 60);
  return html`${Math.floor(share * 100)} %<svg class="bar" aria-hidden="true" width="60" height="10"><rect
    class="bar-room" width="60" height="10"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${width}"
      height="10"/></svg>`;
}
