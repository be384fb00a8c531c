import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count } from '../terminal/words.ts';
import { type Html, renderStats } from './page.ts';
import { optionsOf, SEARCH, showDifference, tablePage } from './table.ts';

type ChangeRow = { readonly difference: number };

/** The numbers of invoices. */
const BILLED = { payload_billable_count: 'Billable payloads', notebook_minutes: 'Notebook minutes' } as const;

export const changesPage = tablePage<ChangeRow>('/changes', '/changes', ({ instanceIds }) => ({
  title: 'Changes',
  sentence:
    'Numbers that Losant changed after they were stored, newest first. Hours are left out: they change with their day.',
  rows: sql`
    select c.org_id, c.org_name, c.referral_id, c.usage_date, c.metric, c.payload_type, c.source, c.old_quantity,
      c.new_quantity, c.difference, c.was_final, exists (
        select from losant_usage.statements s
        where s.instance_id = c.instance_id and s.kind = 'closing' and s.closed_at < c.changed_at
          and s.month = date_trunc('month', c.usage_date::timestamp)::date
      ) as is_closed, c.changed_at, c.run_id, c.revision_id
    from losant_usage.restatements c
    where c.hour is null and c.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.changed_at desc, r.revision_id, r.metric, r.payload_type, r.source`,
  filters: {
    q: SEARCH,
    metric: {
      label: 'Metric',
      options: { ...BILLED, ...optionsOf(['payload_source_count', 'devices_total']) },
    },
    which: {
      label: 'Only',
      options: { final: 'were final', closed: 'since the month was invoiced' },
      where: (which) => (which === 'final' ? sql`r.was_final` : sql`r.is_closed`),
    },
    from: { label: 'Usage days from', options: 'day', where: (day) => sql`r.usage_date >= ${day}::date` },
    to: { label: 'to', options: 'day', where: (day) => sql`r.usage_date <= ${day}::date` },
    run: { label: 'Run', options: 'text', where: (run) => sql`r.run_id::text = ${run}` },
  },
  intro: renderEffects,
  columns: {
    org_name: 'Organization',
    usage_date: 'Day',
    metric: 'Metric',
    payload_type: 'Type',
    source: 'Source',
    old_quantity: 'Was',
    new_quantity: 'Is',
    difference: ['Difference', ({ difference }) => showDifference(difference)],
    was_final: 'Was final',
    is_closed: 'Invoiced',
    changed_at: 'Changed',
  },
}));

/** Adds up what invoices are made of, over all rows of the filters. */
async function renderEffects(db: Kysely<Schema>, matching: RawBuilder<unknown>): Promise<Html> {
  const { rows } = await sql<{
    metric: keyof typeof BILLED;
    cells: number;
    orgs: number;
    difference: number;
  }>`
    select r.metric, count(*) as cells, count(distinct r.org_id) as orgs, sum(r.difference)::bigint as difference
    from ${matching} and r.metric = any (${Object.keys(BILLED)}::text[])
    group by r.metric order by r.metric desc`.execute(db);
  if (rows.length === 0) return html``;
  return renderStats(
    rows.map(({ metric, cells, orgs, difference }) => ({
      label: BILLED[metric],
      value: showDifference(difference),
      note: `${count(cells, 'number')} of ${count(orgs, 'organization')}`,
    })),
  );
}
