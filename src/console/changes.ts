/** The numbers that changed since a day: those that were restated, and those that were first loaded. */
import { sql } from 'kysely';
import { addDays, dayAt } from '../usage/day.ts';
import { streams } from '../usage/streams/catalog.ts';
import { payloadHours } from '../usage/streams/payload-hours.ts';
import { DAYS, optionsOf, readValues, SEARCH } from './filters.ts';
import { createTablePage } from './table.ts';

const DEFAULT_DAYS = 30;

const METRICS = streams
  .flatMap((stream) => (stream === payloadHours ? [] : stream.columns))
  // The map of the counts whose sum is a metric.
  .filter((column) => column !== 'payload_sources');

export const changesPage = createTablePage({ path: '/changes' }, ({ query, nowMs }) => {
  const fields = {
    since: {
      label: 'Changed since',
      options: 'day',
      byDefault: addDays(dayAt(nowMs), -DEFAULT_DAYS),
      where: null,
    },
    change: {
      label: 'Change',
      options: { restated: 'restated', first_loaded: 'first loaded' },
      byDefault: 'restated',
      where: null,
    },
  } as const;
  const values = readValues(fields, query);
  return {
    title: 'Changes',
    sentence: `Numbers of days that were ${
      values.change === 'restated' ? 'replaced by others' : 'first loaded'
    } since ${values.since}, newest first.`,
    rows: sql`
      select c.org_id, c.org_name, c.usage_date, c.metric, c.payload_type, c.source, c.old_quantity, c.new_quantity,
        c.difference, c.was_final, c.reason, c.changed_at, c.customer_id, c.referral_id
      from losant_usage.changes_since(${values.since}::timestamp at time zone 'UTC') c
      where c.change = ${values.change}`,
    order: sql`r.changed_at desc, r.org_id, r.usage_date, r.metric, r.payload_type, r.source`,
    filters: { q: SEARCH, ...fields, metric: { label: 'Metric', options: optionsOf(METRICS) }, ...DAYS },
    columns: [
      'org_name',
      'usage_date',
      'metric',
      ['old_quantity', 'Old'],
      ['new_quantity', 'New'],
      'difference',
      'changed_at',
      'was_final',
      'reason',
      'payload_type',
      'source',
      'customer_id',
      'referral_id',
    ],
  };
});
