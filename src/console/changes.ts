import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { type Html, linkToDay, renderStats } from './page.ts';
import {
  type Listing,
  type ListRequest,
  listingPage,
  ORG_ID,
  ORGANIZATION,
  optionsOf,
  SEARCH,
  showDifference,
} from './table.ts';

interface ChangeRow {
  readonly org_id: string;
  readonly org_name: string;
  readonly usage_date: UsageDay;
  readonly difference: number;
}

const METRICS = {
  payload_billable_count: 'billable payloads',
  payload_all_count: 'all payloads',
  payload_source_count: 'payloads by source',
  notebook_minutes: 'notebook minutes',
  devices_total: 'devices',
};
const WHICH = { final: 'were final', closed: 'since the month was invoiced' };

const changes: Listing<ChangeRow> = {
  path: '/changes',
  title: 'Changes',
  sentence:
    'Numbers that Losant changed after they were stored, newest first. Hours are left out: they change with their day.',
  from: ({ instanceIds }) => sql`(
    select c.*, exists (
      select from losant_usage.statements s where s.instance_id = c.instance_id and s.kind = 'closing' and s.closed_at
        < c.changed_at
        and s.month = date_trunc('month', c.usage_date::timestamp)::date
    ) as is_closed
    from losant_usage.restatements c where c.hour is null and c.instance_id = any (${instanceIds}::text[])
  ) as r`,
  filters: [
    SEARCH,
    {
      name: 'metric',
      label: 'Metric',
      options: optionsOf(Object.keys(METRICS), METRICS),
      where: (metric) => sql`r.metric = ${metric}`,
    },
    {
      name: 'which',
      label: 'Only',
      options: optionsOf(Object.keys(WHICH), WHICH),
      where: (which) => (which === 'final' ? sql`r.was_final` : sql`r.is_closed`),
    },
    {
      name: 'from',
      label: 'Usage days from',
      options: 'day',
      where: (day) => sql`r.usage_date >= ${day}::date`,
    },
    { name: 'to', label: 'to', options: 'day', where: (day) => sql`r.usage_date <= ${day}::date` },
    { name: 'run', label: 'Run', options: 'text', where: (run) => sql`r.run_id::text = ${run}` },
  ],
  intro: readEffects,
  sort: ['-changed_at', 'revision_id', 'metric', 'payload_type', 'source'],
  columns: [
    ORGANIZATION,
    ORG_ID,
    {
      name: 'usage_date',
      label: 'Day',
      kind: 'value',
      isSortable: true,
      cell: ({ org_id, usage_date }) => linkToDay(org_id, usage_date),
    },
    { name: 'metric', label: 'Metric', kind: 'value' },
    { name: 'payload_type', label: 'Type', kind: 'value' },
    { name: 'source', label: 'Source', kind: 'value' },
    { name: 'old_quantity', label: 'Was', kind: 'number' },
    { name: 'new_quantity', label: 'Is', kind: 'number' },
    {
      name: 'difference',
      label: 'Difference',
      kind: 'number',
      isSortable: true,
      cell: ({ difference }) => showDifference(difference),
    },
    { name: 'was_final', label: 'Was final', kind: 'value' },
    { name: 'is_closed', label: 'Invoiced', kind: 'value' },
    { name: 'changed_at', label: 'Changed', kind: 'instant', isSortable: true },
    { name: 'revision_id', label: 'Revision', kind: 'number', isHidden: true },
  ],
};

export const changesPage = listingPage(changes);

/** Adds up what invoices are made of, over all rows of the filters. */
async function readEffects(db: Kysely<Schema>, request: ListRequest): Promise<Html> {
  const conditions = changes.filters.flatMap(({ name, where }) => {
    const value = request.values[name];
    return value === undefined ? [] : [where(value)];
  });
  const { rows } = await sql<{ metric: string; cells: number; orgs: number; difference: number }>`
    select r.metric, count(*) as cells, count(distinct r.org_id) as orgs, sum(r.difference)::bigint as difference
    from ${changes.from(request)}
    where r.metric in ('payload_billable_count', 'notebook_minutes')
      and ${sql.join([sql`true`, ...conditions], sql` and `)}
    group by r.metric order by r.metric desc`.execute(db);
  if (rows.length === 0) return html``;
  return renderStats(
    rows.map(({ metric, cells, orgs, difference }) => ({
      label: metric === 'notebook_minutes' ? 'Notebook minutes' : 'Billable payloads',
      value: showDifference(difference),
      note: `${count(cells, 'number')} of ${count(orgs, 'organization')}`,
    })),
  );
}
