/** The lists of Data quality: gaps, quarantined responses, and sums compared with others. */
import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type Html, renderFoldedList } from './elements.ts';
import { DAYS, filterByInstance, optionsOf, readValues, SEARCH, STREAM, selectInstanceName } from './filters.ts';
import type { PageRequest } from './page.ts';
import { wasRead } from './sources.ts';
import { createTablePage, renderHtmlTable, type TableColumn, type TableRow, type TableRows } from './table.ts';

type GapRow = {
  readonly org_id: string;
  /** Each cause with its streams. */
  readonly causes: readonly string[];
  /** The days of each cause, separated by commas. */
  readonly days: readonly string[];
};

/** The page applies these to cells, before it groups them. */
const CELL_FILTERS = {
  stream: { ...STREAM, where: null },
  standing: {
    label: 'Standing',
    options: { ...optionsOf(['missing', 'in_doubt']), failing: 'stored, reads keep failing' },
    where: null,
  },
  usage_date: { label: 'Day', options: 'day', where: null },
} as const;

/** The gaps, or stored cells whose reads keep failing, by organization, with their causes. A file has each cell. */
export const gapsPage = createTablePage<GapRow>({ path: '/gaps', navPath: '/coverage' }, (request) => {
  const values = readValues(CELL_FILTERS, request.query);
  const cells = selectCells(request, values);
  const isFailing = values.standing === 'failing';
  return {
    title: isFailing ? 'Reads that keep failing' : 'Gaps',
    sentence: isFailing
      ? 'Stored cells whose last two or more reads failed.'
      : 'Cells that are missing or in doubt, the worst first.',
    intro: (db) => renderCauses(db, cells),
    ...(request.query['format'] === 'csv' ? listCells(cells) : listOrganizations(cells)),
    filters: { q: SEARCH, ...CELL_FILTERS },
    summed: ['cells'],
    isKnown: wasRead,
  };
});

function listCells(cells: RawBuilder<unknown>): TableRows<GapRow> {
  return {
    rows: sql`
      select c.org_id, o.name as org_name, c.usage_date, c.stream, c.standing, c.cause, c.next_read_at
      from (${cells}) as c join losant_usage.organizations o on o.org_id = c.org_id`,
    order: sql`r.standing desc, r.usage_date desc, r.org_id, r.stream`,
    columns: ['org_id', 'org_name', 'usage_date', 'stream', 'standing', 'cause', 'next_read_at'],
  };
}

function listOrganizations(cells: RawBuilder<unknown>): TableRows<GapRow> {
  const details: TableColumn<GapRow> = ['causes', 'Causes and days', renderDetails];
  return {
    rows: sql`
      select g.org_id, o.name as org_name, g.standing, sum(g.cells)::bigint as cells,
        array_agg(format('%s (%s)', g.cause, g.streams) order by g.cells desc, g.cause) as causes,
        array_agg(g.days order by g.cells desc, g.cause) as days,
        min(g.first_day) as first_day, max(g.last_day) as last_day, min(g.next_read_at) as next_read_at
      from (
        select c.org_id, c.standing, c.cause, count(*) as cells, min(c.usage_date) as first_day,
          max(c.usage_date) as last_day, min(c.next_read_at) as next_read_at,
          string_agg(distinct c.stream, ', ') as streams,
          string_agg(distinct to_char(c.usage_date::timestamp, 'YYYY-MM-DD'), ','
            order by to_char(c.usage_date::timestamp, 'YYYY-MM-DD') desc) as days
        from (${cells}) as c group by c.org_id, c.standing, c.cause
      ) as g
      join losant_usage.organizations o on o.org_id = g.org_id
      group by g.org_id, o.name, g.standing`,
    order: sql`r.standing desc, r.cells desc, r.org_name, r.org_id`,
    columns: ['org_name', 'standing', 'cells', details, 'last_day', 'next_read_at', 'first_day'],
  };
}

function selectCells(
  { instanceIds }: PageRequest,
  { stream, standing, usage_date: day }: Record<keyof typeof CELL_FILTERS, string>,
): RawBuilder<unknown> {
  const isGap = standing !== 'failing';
  const source = isGap
    ? sql`losant_usage.coverage_gaps`
    : sql`(select c.*, o.instance_id from losant_usage.coverage c
        join losant_usage.organizations o on o.org_id = c.org_id where c.is_stored and c.failed_reads > 1)`;
  return sql`
    select c.org_id, c.stream, c.usage_date, c.standing, concat_ws(': ', c.reason, c.detail) as cause, c.next_read_at
    from ${source} as c
    where c.instance_id = any (${instanceIds}::text[]) and ${stream} in ('', c.stream)
      and (${isGap ? standing : ''} in ('', c.standing::text))
      and (${day} = '' or c.usage_date = nullif(${day}, '')::date)`;
}

const MAX_CAUSES = 8;
const CAUSES = ['cause', 'streams', 'standing', 'orgs', 'cells', 'first_day', 'last_day'];

type CauseRow = TableRow & { readonly orgs: number };

/** Renders the causes over all organizations, if there are several organizations. */
async function renderCauses(db: Kysely<Schema>, cells: RawBuilder<unknown>): Promise<Html> {
  const { rows } = await sql<CauseRow>`
    select c.standing, c.cause, string_agg(distinct c.stream, ', ') as streams, count(distinct c.org_id) as orgs,
      count(*) as cells, min(c.usage_date) as first_day, max(c.usage_date) as last_day
    from (${cells}) as c group by c.standing, c.cause order by count(*) desc, c.cause limit ${MAX_CAUSES}`.execute(db);
  if (rows.every(({ orgs }) => orgs < 2)) return html``;
  return html`<h2>Causes</h2>${renderHtmlTable(rows, CAUSES)}<h2>Organizations</h2>`;
}

function renderDetails({ org_id: orgId, causes, days }: GapRow): Html {
  const linkDays = (list = '') => list.split(',').map((day) => html`<a href="/coverage/${orgId}/${day}">${day}</a> `);
  const items = causes.map((cause, index) => html`${cause}: ${linkDays(days[index])}`);
  return renderFoldedList(causes.join(', '), items);
}

export const quarantinePage = createTablePage({ path: '/quarantine', navPath: '/coverage' }, ({ instanceIds }) => ({
  title: 'Quarantine',
  sentence: 'Invalid responses not yet followed by a valid one, by organization and cause, the newest first.',
  rows: sql`
    select q.org_id, o.name as org_name, q.stream, concat_ws(': ', q.reason, q.detail) as cause,
      count(*) as responses, min(q.first_day) as first_day, max(q.last_day) as last_day, max(q.seen_at) as seen_at
    from losant_usage.quarantine q join losant_usage.organizations o on o.org_id = q.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.cells c
      where c.org_id = q.org_id and c.stream = q.stream and c.usage_date between q.first_day and q.last_day
        and (c.last_read_at is null or c.last_read_at < q.seen_at) and c.failed_reads > 0
    )
    group by q.org_id, o.name, q.stream, q.reason, q.detail`,
  order: sql`r.seen_at desc, r.org_id, r.stream, r.cause`,
  filters: { q: SEARCH, stream: STREAM },
  columns: ['org_name', 'stream', 'cause', 'responses', 'last_day', ['seen_at', 'Received'], 'first_day'],
  isKnown: wasRead,
}));

export const reconciliationPage = createTablePage(
  { path: '/reconciliation', navPath: '/coverage' },
  async (request) => ({
    title: 'Reconciliation',
    sentence:
      "Our sums of each day, compared with Losant's control totals and with counterpart streams, differences first.",
    rows: sql`
      select r.instance_id, r.usage_date, r.metric, r.unit, r.compared_with,
        ${selectInstanceName(request.instanceIds)},
        r.quantity::bigint, r.total::bigint, r.difference::bigint, r.outcome, r.reason, r.orgs_missing,
        r.orgs_differing, r.last_read_at
      from losant_usage.reconciliation r join losant_usage.instances i on i.instance_id = r.instance_id
      where r.instance_id = any (${request.instanceIds}::text[])`,
    order: sql`r.outcome <> 'differs', r.usage_date desc, r.instance_name, r.metric, r.compared_with`,
    filters: {
      outcome: { label: 'Outcome', options: optionsOf(['differs', 'pending', 'not_compared', 'equal']) },
      metric: { label: 'Metric', options: 'text' },
      ...(await filterByInstance(request)),
      ...DAYS,
    },
    columns: [
      'usage_date',
      'instance_name',
      'metric',
      'compared_with',
      'outcome',
      'difference',
      ['quantity', 'Our sum'],
      ['total', 'Compared sum'],
      'reason',
      ['orgs_missing', 'Organizations missing'],
      ['orgs_differing', 'Organizations differing'],
      ['last_read_at', 'Last read'],
    ],
    isKnown: wasRead,
  }),
);
