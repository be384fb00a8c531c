import { sql } from 'kysely';
import { streamNames } from '../usage/streams/catalog.ts';
import { optionsOf, SEARCH, tablePage } from './table.ts';

/** What is missing or in doubt. */
export const gapsPage = tablePage('/gaps', '/coverage', ({ instanceIds }) => ({
  title: 'Gaps',
  sentence: 'Numbers that are missing or in doubt, the worst and newest first.',
  rows: sql`
    select org_id, org_name, referral_id, usage_date, stream, standing, reason, message, attempts, next_read_at
    from losant_usage.coverage_gaps where instance_id = any (${instanceIds}::text[])`,
  order: sql`r.standing desc, r.usage_date desc, r.org_id, r.stream`,
  filters: {
    q: SEARCH,
    stream: { label: 'Stream', options: optionsOf(streamNames) },
    standing: { label: 'Standing', options: optionsOf(['missing', 'in_doubt']) },
    usage_date: { label: 'Day', options: 'day' },
  },
  columns: {
    org_name: 'Organization',
    usage_date: 'Day',
    stream: 'Stream',
    standing: 'Standing',
    reason: 'Reason',
    message: 'What was wrong',
    attempts: 'Failed reads',
    next_read_at: 'Next read',
  },
}));
