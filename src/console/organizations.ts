/** The list of organizations, and the search of every page, which opens one of them. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { labelInstance } from '../queries/attention.ts';
import { count, showChange, showNumber } from '../terminal/words.ts';
import { describeReadFailure, ReadTimeoutError } from './cached-reads.ts';
import { addressOf, type Html } from './elements.ts';
import { escapeLike, matchesText, SEARCH, toSearchText } from './filters.ts';
import { type ConsolePage, renderCount } from './page.ts';
import { wasRead } from './sources.ts';
import { type Columns, createTablePage } from './table.ts';

/** An organization with its recent activity, which is null until it has been counted. */
type OrganizationRow = Readonly<Record<'payload_billable_count' | 'days_not_stored' | 'change_ratio', number | null>>;

const ONLY: Readonly<Record<string, readonly [label: string, condition: string]>> = {
  new: ['new', 'r.is_new'],
  deleted: ['recently deleted', 'r.is_recently_deleted'],
  silent: ['silent for three days', 'r.is_silent'],
  changed: ['large change, new or deleted', 'r.has_large_change'],
  exceeding: ['exceeds a limit this month', 'r.exceeds_on is not null or r.is_exceeding'],
  near_limit: ['at 80% of a limit or more', 'r.limit_share >= 0.8'],
  no_plan: ['no plan', 'r.plan_id is null'],
  no_limit: ['no limit', 'r.has_no_limit'],
  not_deleted: ['not deleted', 'r.deleted_on is null'],
};

/** The choices that need no count. */
const STORED_CHOICES = ['no_plan', 'no_limit', 'not_deleted'];

function renderPayloads({ payload_billable_count: payloads, days_not_stored: days }: OrganizationRow): Html {
  const mark = html` <span class="bad" title="${count(days ?? 0, 'day is', 'days are')} not stored">?</span>`;
  return html`${showNumber(payloads ?? 0)}${days !== null && days > 0 && mark}`;
}

const COLUMNS: Columns<OrganizationRow> = [
  ['org_name', 'Name'],
  ['payload_billable_count', 'Billable payloads', renderPayloads],
  ['change_ratio', 'Change', ({ change_ratio: change }) => showChange(change ?? 0)],
  'devices_total',
  ['limit_share', 'Largest share of a limit'],
  ['limits_to_watch', 'Limits exceeded, or about to be'],
  'last_active_on',
  'plan_id',
  'referral_id',
  'exceeds_on',
  'created_on',
  'deleted_on',
  'tags',
];

export const organizationsPage = createTablePage<OrganizationRow>(
  { path: '/organizations' },
  async ({ query, recall, instanceIds }) => {
    const isFile = query['format'] === 'csv';
    const readAll = (db: Kysely<Schema>) => readActivity(db, instanceIds);
    const activity = await recall(['activity'], readAll, isFile ? FILE_WAIT_MS : undefined);
    const isUnknown = activity.snapshot === null;
    const { startedAtMs, error } = activity;
    // A file cannot say how old its counts are.
    if (isFile && (startedAtMs !== null || error !== undefined)) {
      const reason = error === undefined ? 'they are still being counted' : describeReadFailure(error);
      throw new ReadTimeoutError(reason);
    }
    const only = query['only'] ?? '';
    const needsActivity = Object.hasOwn(ONLY, only) && !STORED_CHOICES.includes(only);
    return {
      title: 'Organizations',
      sentence: 'Billable payloads this month, and their change from 28 days earlier.',
      rows: sql`
        select o.org_id, ${labelInstance(instanceIds)} as instance_name, o.name as org_name, o.referral_id, o.plan_id,
          (select string_agg(concat_ws('=', t.item ->> 'key', t.item ->> 'value'), ', ' order by t.nth)
            from jsonb_array_elements(o.tags) with ordinality as t (item, nth)) as tags,
          o.limits = '{}' as has_no_limit, o.created_on, o.deleted_on, a.payload_billable_count, a.days_not_stored,
          a.change_ratio, a.devices_total, a.last_active_on, a.limit_share, a.limits_to_watch, a.exceeds_on, a.is_new,
          a.is_recently_deleted, a.is_silent, a.has_large_change, a.is_exceeding
        from losant_usage.organizations o
        join losant_usage.instances i on i.instance_id = o.instance_id
        left join json_to_recordset(${activity.snapshot?.value ?? '[]'}::json) as a (org_id text,
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
      summed: ['payload_billable_count', 'devices_total'],
      isKnown: wasRead,
      unknown: isUnknown && needsActivity ? 'It is not known yet which organizations these are.' : '',
      note: renderCount(activity, 'Payloads, changes and limits', () => html``),
    };
  },
);

/** A file waits longer for the counts than a page, because it is not requested again. */
const FILE_WAIT_MS = 20_000;

/** Returns the recent activity of each organization, with all its limits, as JSON, in which the list is joined. */
async function readActivity(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<string> {
  const { rows } = await sql<{ readonly json: string }>`
    select coalesce(json_agg(json_strip_nulls(row_to_json(r))), '[]')::text as json
    from (
      select a.org_id, a.payload_billable_count, a.days_not_stored, a.change_ratio::float8, a.devices_total,
        a.last_active_on, a.is_new, a.is_recently_deleted, a.is_silent, a.has_large_change, l.limit_share,
        l.limits_to_watch, l.exceeds_on, coalesce(l.is_exceeding, false) as is_exceeding
      from losant_usage.organization_activity a
      left join (
        select u.org_id, max(u.share)::float8 as limit_share, min(u.exceeds_on) as exceeds_on,
          bool_or(u.is_exceeded) as is_exceeding,
          string_agg(
            concat(u.limit_name, ' ', coalesce('on ' || to_char(u.exceeds_on::timestamp, 'FMDD Mon'), 'exceeded')),
            ', ' order by u.exceeds_on nulls first, u.limit_name)
            filter (where u.is_exceeded or u.exceeds_on is not null) as limits_to_watch
        from losant_usage.usage_vs_limits u where u.metric is not null group by u.org_id
      ) as l on l.org_id = a.org_id
      where a.instance_id = any (${instanceIds}::text[])
    ) as r`.execute(db);
  return rows[0]?.json ?? '[]';
}

type FoundOrganization = { readonly orgId: string; readonly name: string; readonly isExact: boolean };

const MAX_MATCHES = 10;

/**
 * Returns the organizations whose name or IDs contain the text, at most ten. One whose name or an ID is the text, or
 * several if they share it, as the organizations of a customer do, are returned without the others.
 */
export async function findOrganizations(
  db: Kysely<Schema>,
  { instanceIds, text }: { instanceIds: readonly string[]; text: string },
): Promise<readonly FoundOrganization[]> {
  const { rows } = await sql<FoundOrganization>`
    select o.org_id as "orgId", o.name, e.is_exact as "isExact"
    from losant_usage.organizations o
    cross join lateral (
      select coalesce(lower(${text}) in (o.org_id, lower(o.name), lower(o.referral_id), lower(o.customer_id)), false)
        as is_exact
    ) as e
    where o.instance_id = any (${instanceIds}::text[]) and ${matchesText(text)}
    order by e.is_exact desc, o.deleted_on is not null, o.name, o.org_id limit ${MAX_MATCHES}`.execute(db);
  const exactMatches = rows.filter(({ isExact }) => isExact);
  return exactMatches.length > 0 ? exactMatches : rows;
}

/** Opens the organization that the text finds, or the list of all that match it. */
export const findPage: ConsolePage = {
  path: '/find',
  navPath: '/organizations',
  subject: 'The organizations',
  show: async ({ read, instanceIds, query }) => {
    const text = toSearchText(query['q'] ?? '');
    const [match, ...others] = text === '' ? [] : await read((db) => findOrganizations(db, { instanceIds, text }));
    const address =
      match !== undefined && others.length === 0
        ? `/organizations/${match.orgId}`
        : addressOf('/organizations', { q: text });
    return new Response(null, { status: 303, headers: { location: address } });
  },
};
