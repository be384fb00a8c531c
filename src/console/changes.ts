import { sql } from 'kysely';
import { optionsOf, SEARCH } from './filters.ts';
import { createTablePage } from './table.ts';

export const changesPage = createTablePage({ path: '/changes', navPath: '/changes' }, ({ instanceIds }) => ({
  title: 'Changes',
  sentence:
    'Numbers that Losant changed after they were stored, newest first. Hourly numbers are not listed, but days are.',
  rows: sql`
    select c.org_id, c.org_name, c.referral_id, c.usage_date, c.metric, c.payload_type, c.source, c.old_quantity,
      c.new_quantity, c.difference, c.was_final, exists (
        select from losant_usage.statements s
        where s.instance_id = c.instance_id and s.kind = 'closing' and s.closed_at < c.changed_at
          and s.month = date_trunc('month', c.usage_date::timestamp)::date
      ) as is_after_closing, c.changed_at, c.run_id, c.revision_id
    from losant_usage.restatements c
    where c.hour is null and c.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.changed_at desc, r.revision_id, r.metric, r.payload_type, r.source`,
  filters: {
    q: SEARCH,
    metric: {
      label: 'Metric',
      options: optionsOf(['payload_billable_count', 'notebook_minutes', 'payload_source_count', 'devices_total']),
    },
    which: {
      label: 'Show only',
      options: { final: 'numbers that were final', closed: 'changes after the month was closed' },
      where: (choice) => (choice === 'final' ? sql`r.was_final` : sql`r.is_after_closing`),
    },
    from: { label: 'From', options: 'day', where: (day) => sql`r.usage_date >= ${day}::date` },
    to: { label: 'To', options: 'day', where: (day) => sql`r.usage_date <= ${day}::date` },
    run: { label: 'Run', options: 'text', where: (run) => sql`r.run_id::text = ${run}` },
  },
  columns: {
    org_name: 'Organization',
    usage_date: 'Day',
    metric: 'Metric',
    old_quantity: 'Old',
    new_quantity: 'New',
    difference: 'Difference',
    was_final: 'Was final',
    is_after_closing: 'After closing',
    changed_at: 'Changed at',
    payload_type: 'Type',
    source: 'Source',
  },
}));
