import { sql } from 'kysely';
import { streamNames } from '../usage/streams/catalog.ts';
import { createTablePage, optionsOf, SEARCH } from './table.ts';

export const STREAM = { label: 'Stream', options: optionsOf(streamNames) };

export const gapsPage = createTablePage('/gaps', '/coverage', ({ instanceIds }) => ({
  title: 'Gaps',
  sentence: 'Cells that are missing or in doubt, worst and newest first.',
  rows: sql`
    select org_id, org_name, referral_id, usage_date, stream, standing, reason, detail, failed_reads, next_read_at
    from losant_usage.coverage_gaps where instance_id = any (${instanceIds}::text[])`,
  order: sql`r.standing desc, r.usage_date desc, r.org_id, r.stream`,
  filters: {
    q: SEARCH,
    stream: STREAM,
    standing: { label: 'Standing', options: optionsOf(['missing', 'in_doubt']) },
    usage_date: { label: 'Day', options: 'day' },
  },
  columns: {
    org_name: 'Organization',
    usage_date: 'Day',
    stream: 'Stream',
    standing: 'Standing',
    reason: 'Reason',
    detail: 'Detail',
    failed_reads: 'Failed reads',
    next_read_at: 'Next read',
  },
}));

export const quarantinePage = createTablePage('/quarantine', '/coverage', ({ instanceIds }) => ({
  title: 'Quarantine',
  sentence: 'Invalid responses not yet followed by a valid one, newest first.',
  rows: sql`
    select q.id, q.org_id, o.name as org_name, o.referral_id, q.first_day, q.last_day, q.stream,
      q.reason, q.detail, q.seen_at
    from losant_usage.quarantine q join losant_usage.organizations o on o.org_id = q.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.cells c
      where c.org_id = q.org_id and c.stream = q.stream and c.usage_date between q.first_day and q.last_day
        and (c.last_read_at is null or c.last_read_at < q.seen_at) and c.failed_reads > 0
    )`,
  order: sql`r.seen_at desc, r.id`,
  filters: { q: SEARCH, stream: STREAM },
  columns: {
    org_name: 'Organization',
    first_day: 'First day',
    last_day: 'Last day',
    stream: 'Stream',
    reason: 'Reason',
    detail: 'Detail',
    seen_at: 'Received',
  },
}));
