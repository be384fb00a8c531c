import { sql } from 'kysely';
import { filterByInstance, optionsOf } from './filters.ts';
import { selectInstanceName } from './sources.ts';
import { createTablePage } from './table.ts';

/** Our sums of a day compared with Losant's totals and the counterparts. */
export const reconciliationPage = createTablePage(
  { path: '/reconciliation', navPath: '/coverage' },
  ({ instanceIds }) => ({
    title: 'Reconciliation',
    sentence:
      'Our sums of each day, compared with Losant’s control totals and with counterpart streams, differences first.',
    rows: sql`
      select r.instance_id, r.usage_date, r.metric, r.unit, r.compared_with,
        ${selectInstanceName(instanceIds)},
        r.quantity::bigint, r.total::bigint, r.difference::bigint, r.outcome, r.reason, r.orgs_missing,
        r.orgs_differing, r.last_read_at
      from losant_usage.reconciliation r join losant_usage.instances i on i.instance_id = r.instance_id
      where r.instance_id = any (${instanceIds}::text[])`,
    order: sql`r.outcome <> 'differs', r.usage_date desc, r.instance_name, r.metric, r.compared_with`,
    filters: {
      outcome: { label: 'Outcome', options: optionsOf(['differs', 'pending', 'not_compared', 'equal']) },
      metric: { label: 'Metric', options: 'text' },
      ...filterByInstance(instanceIds),
      from: { label: 'From', options: 'day', where: (day) => sql`r.usage_date >= ${day}::date` },
      to: { label: 'To', options: 'day', where: (day) => sql`r.usage_date <= ${day}::date` },
    },
    columns: {
      usage_date: 'Day',
      instance_name: 'Instance',
      metric: 'Metric',
      compared_with: 'Compared with',
      quantity: 'Our sum',
      difference: 'Difference',
      outcome: 'Outcome',
      total: 'Compared sum',
      reason: 'Reason',
      orgs_missing: 'Organizations missing',
      orgs_differing: 'Organizations differing',
      last_read_at: 'Last read',
    },
  }),
);
