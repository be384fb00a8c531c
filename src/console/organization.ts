import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readDayTotals } from '../queries/usage-totals.ts';
import { showDifference, showName, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { type Html, linkTo, renderFacts, showMonth } from './elements.ts';
import type { ConsolePage } from './page.ts';
import { type Columns, renderHtmlTable, type TableRow } from './table.ts';
import { readUsageQuery, renderUsageDays, renderUsageForm, type UsageQuery } from './usage.ts';

/** One organization: its days, limits, months, payloads by type and source, and the last changes of its numbers. */
export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  subject: 'The organization',
  show: async (request) => {
    const { read, params } = request;
    const orgId = params['id'] ?? '';
    if (!isLosantId(orgId)) return null;
    const organization = await read((db) => readOrganization(db, orgId));
    if (organization === undefined) return null;
    const query = readUsageQuery(request);
    const [days, limits, months, sources, changes] = await read((db) =>
      Promise.all([
        readDayTotals(db, { ...query, orgId }),
        readLimits(db, orgId),
        readMonths(db, orgId),
        readSources(db, orgId, query),
        readChanges(db, orgId),
      ]),
    );
    const { name, deletedOn } = organization;
    const body = html`<h1>${showName(name, orgId)}${
      deletedOn !== null && html` <span class="quiet">deleted (noticed ${deletedOn})</span>`
    }</h1>
${renderOrganization(organization)}
<p>${linkTo('/coverage', { q: orgId, to: query.range.to }, 'Data quality')} · ${linkTo(
      '/gaps',
      { q: orgId },
      'Gaps',
    )} · ${linkTo('/changes', { q: orgId }, 'Changes')}</p>
${renderUsageForm(request, query)}
${renderUsageDays(query, days, (day) => `/coverage/${orgId}/${day}`)}
${renderSection('Limits this month', limits, LIMITS, 'No limits.')}
${renderSection('Months', months, MONTHS, 'Nothing is stored.')}
${renderSection('All payloads by type and source', sources, SOURCES, 'Nothing is stored.')}
${renderSection('Last changes', changes, CHANGES, 'No number has changed since it was first stored.')}`;
    return { title: showName(name, orgId), body };
  },
};

function renderSection<R extends TableRow>(title: string, rows: readonly R[], columns: Columns<R>, none: string): Html {
  return html`<h2>${title}</h2>${rows.length === 0 ? html`<p>${none}</p>` : renderHtmlTable(rows, columns)}`;
}

type Organization = NonNullable<Awaited<ReturnType<typeof readOrganization>>>;

/** Returns undefined for an organization that was never seen. */
async function readOrganization(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('organizations as o')
    .select(['o.org_id as orgId', 'o.name', 'o.referral_id as referralId', 'o.plan_id as planId'])
    .select(['o.customer_id as customerId', 'o.problem', 'o.created_on as createdOn', 'o.deleted_on as deletedOn'])
    .select((eb) =>
      eb.ref('o.tags').$castTo<readonly { readonly key?: string; readonly value?: string }[]>().as('tags'),
    )
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
}

function renderOrganization({ orgId, referralId, planId, customerId, tags, createdOn, problem }: Organization): Html {
  return renderFacts({
    ID: html`<span class="id">${orgId}</span>`,
    'Referral ID': referralId,
    Plan: planId ?? 'none',
    Customer: customerId,
    Created: createdOn,
    Tags: tags.map(({ key = '', value = '' }) => `${key}=${value}`).join(', '),
    Problem: problem,
  });
}

async function readLimits(db: Kysely<Schema>, orgId: string): Promise<TableRow[]> {
  const { rows } = await sql<TableRow>`
    select limit_name, unit, limit_quantity::float8, quantity::float8, share::float8,
      projected_quantity::float8, exceeds_on, is_exceeded, nullif(days_expected - days_stored, 0) as days_not_stored
    from losant_usage.usage_vs_limits where org_id = ${orgId} order by metric is null, limit_name`.execute(db);
  return rows;
}

const LIMITS: Columns<TableRow> = [
  'limit_name',
  'unit',
  ['limit_quantity', 'Allowed'],
  ['quantity', 'Month to date'],
  ['share', 'Used'],
  [
    'is_exceeded',
    'Exceeded',
    ({ is_exceeded: isExceeded }) => (isExceeded === true ? html`<span class="bad">yes</span>` : 'no'),
  ],
  ['projected_quantity', 'Projected'],
  'exceeds_on',
  'days_not_stored',
];

type OrganizationMonth = Readonly<
  Record<'payloads' | 'payloads_billed' | 'minutes' | 'minutes_billed', number | null>
> & { readonly month: UsageDay };

const MAX_MONTHS = 13;

/** Returns the newest months, with what their statements billed. */
async function readMonths(db: Kysely<Schema>, orgId: string): Promise<OrganizationMonth[]> {
  const billed = (metric: string) => sql`(
    select sum(l.quantity)::bigint from losant_usage.statement_lines l
    where l.org_id = m.org_id and l.month = m.month and l.metric = ${metric})`;
  const { rows } = await sql<OrganizationMonth>`
    select m.month, m.standing, m.payload_billable_count as payloads, m.notebook_minutes as minutes,
      m.devices_total as devices, nullif(m.days_expected - m.days_stored, 0) as days_not_stored,
      ${billed('payload_billable_count')} as payloads_billed, ${billed('notebook_minutes')} as minutes_billed
    from losant_usage.monthly_usage m
    where m.org_id = ${orgId} order by m.month desc limit ${MAX_MONTHS}`.execute(db);
  return rows;
}

const MONTHS: Columns<OrganizationMonth> = [
  ['month', 'Month', ({ month }) => linkTo(`/billing/${month.slice(0, 7)}`, {}, showMonth(month))],
  'payloads',
  ['payloads_billed', 'Payloads billed', (row) => renderBilled(row.payloads, row.payloads_billed)],
  'minutes',
  ['minutes_billed', 'Minutes billed', (row) => renderBilled(row.minutes, row.minutes_billed)],
  'devices',
  'standing',
  'days_not_stored',
];

/** Renders what was billed, with the difference to the current number. */
function renderBilled(current: number | null, billed: number | null): Html | string {
  if (billed === null) return '–';
  if (current === null || current === billed) return showNumber(billed);
  return html`${showNumber(billed)} <span class="bad">${showDifference(current - billed)} since</span>`;
}

const MAX_SOURCES = 25;

/** Returns the payloads of the days by type and source, the most first. */
async function readSources(db: Kysely<Schema>, orgId: string, { range }: UsageQuery): Promise<TableRow[]> {
  const sum: RawBuilder<unknown> = sql`sum(s.count)`;
  const { rows } = await sql<TableRow>`
    select s.payload_type, s.source, ${sum}::bigint as count, (${sum} / sum(${sum}) over ())::float8 as share
    from losant_usage.payload_sources s
    where s.org_id = ${orgId} and s.usage_date between ${range.from}::date and ${range.to}::date
    group by s.payload_type, s.source having ${sum} > 0 order by 3 desc, 1, 2 limit ${MAX_SOURCES}`.execute(db);
  return rows;
}

const SOURCES: Columns<TableRow> = ['payload_type', 'source', ['count', 'Payloads'], 'share'];

const MAX_CHANGES = 10;

async function readChanges(db: Kysely<Schema>, orgId: string): Promise<TableRow[]> {
  const { rows } = await sql<TableRow>`
    select r.org_id, r.usage_date, r.metric, r.payload_type, r.source, r.old_quantity, r.new_quantity, r.difference,
      r.was_final, r.changed_at
    from losant_usage.restatements r where r.org_id = ${orgId} and r.hour is null
    order by r.changed_at desc, r.revision_id, r.metric limit ${MAX_CHANGES}`.execute(db);
  return rows;
}

const CHANGES: Columns<TableRow> = [
  'usage_date',
  'metric',
  ['old_quantity', 'Old'],
  ['new_quantity', 'New'],
  'difference',
  'was_final',
  'changed_at',
  'payload_type',
  'source',
];
