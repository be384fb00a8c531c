import { html } from 'hono/html';
import { sql } from 'kysely';
import type { UsageDay } from '../usage/day.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import type { Html } from './page.ts';
import { createTablePage, optionsOf, SEARCH } from './table.ts';

export const STREAM = { label: 'Stream', options: optionsOf(streamNames) };

type GapRow = { readonly org_id: string; readonly usage_dates: readonly UsageDay[] };

/** The gaps, or stored cells whose reads keep failing, by organization and cause. */
export const gapsPage = createTablePage<GapRow>('/gaps', '/coverage', ({ instanceIds, query }) => {
  const isFailing = query['standing'] === 'failing';
  const cells = isFailing
    ? sql`losant_usage.coverage c where c.is_stored and c.failed_reads > 1`
    : sql`losant_usage.coverage_gaps c where true`;
  return {
    title: isFailing ? 'Reads that keep failing' : 'Gaps',
    sentence: isFailing
      ? 'Stored cells of which several reads in a row failed, by organization and cause.'
      : 'Cells that are missing or in doubt, by organization and cause, the worst first.',
    rows: sql`
      select c.org_id, o.name as org_name, c.stream, c.standing, concat_ws(': ', c.reason, c.detail) as cause,
        count(*) as cells, array_agg(c.usage_date order by c.usage_date desc) as usage_dates,
        max(c.failed_reads) as failed_reads, min(c.next_read_at) as next_read_at
      from (select c.* from ${cells}) as c join losant_usage.organizations o on o.org_id = c.org_id
      where o.instance_id = any (${instanceIds}::text[])
      group by c.org_id, o.name, c.stream, c.standing, c.reason, c.detail`,
    order: sql`r.standing desc, r.cells desc, r.org_name, r.org_id, r.stream, r.cause`,
    filters: {
      q: SEARCH,
      stream: STREAM,
      standing: {
        label: 'Standing',
        options: { ...optionsOf(['missing', 'in_doubt']), failing: 'stored, reads keep failing' },
        where: (standing) => (standing === 'failing' ? sql`true` : sql`r.standing::text = ${standing}`),
      },
      usage_date: { label: 'Day', options: 'day', where: (day) => sql`${day}::date = any (r.usage_dates)` },
    },
    columns: {
      org_name: 'Organization',
      stream: 'Stream',
      standing: 'Standing',
      cause: 'Cause',
      cells: 'Cells',
      usage_dates: ['Days', renderDays],
      failed_reads: 'Failed reads',
      next_read_at: 'Next read',
    },
  };
});

/** Renders a single day, or the first and the last with all of them folded. */
function renderDays({ org_id: orgId, usage_dates: days }: GapRow): Html {
  const links = days.map((day) => html`<a href="/coverage/${orgId}/${day}">${day}</a> `);
  if (days.length === 1) return html`${links}`;
  return html`<details><summary>${days.at(-1)} to ${days[0]}</summary><p class="days">${links}</p></details>`;
}

export const quarantinePage = createTablePage('/quarantine', '/coverage', ({ instanceIds }) => ({
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
  columns: {
    org_name: 'Organization',
    stream: 'Stream',
    cause: 'Cause',
    responses: 'Responses',
    first_day: 'First day',
    last_day: 'Last day',
    seen_at: 'Received',
  },
}));
