import { sql } from 'kysely';
import type { UsageDay } from '../usage/day.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { linkToDay } from './page.ts';
import { type Filter, type Listing, listingPage, ORG_ID, ORGANIZATION, optionsOf, SEARCH } from './table.ts';

interface CellRow {
  readonly org_id: string;
  readonly org_name: string;
  readonly usage_date: UsageDay;
}

const stream: Filter = {
  name: 'stream',
  label: 'Stream',
  options: optionsOf(streamNames),
  where: (name) => sql`r.stream = ${name}`,
};

const day: Listing<CellRow>['columns'][number] = {
  name: 'usage_date',
  label: 'Day',
  kind: 'value',
  isSortable: true,
  cell: ({ org_id, usage_date }) => linkToDay(org_id, usage_date),
};

/** What is missing or in doubt. */
export const gapsPage = listingPage<CellRow>({
  path: '/gaps',
  title: 'Gaps',
  place: '/coverage',
  sentence: 'Numbers that are missing or in doubt, the worst and newest first.',
  from: ({ instanceIds }) =>
    sql`(select * from losant_usage.coverage_gaps g where g.instance_id = any (${instanceIds}::text[])) as r`,
  filters: [
    SEARCH,
    stream,
    {
      name: 'standing',
      label: 'Standing',
      options: optionsOf(['missing', 'in_doubt'], { in_doubt: 'in doubt' }),
      where: (standing) => sql`r.standing::text = ${standing}`,
    },
    { name: 'day', label: 'Day', options: 'day', where: (value) => sql`r.usage_date = ${value}::date` },
  ],
  sort: ['-standing', '-usage_date', 'org_id', 'stream'],
  columns: [
    ORGANIZATION,
    ORG_ID,
    day,
    { name: 'stream', label: 'Stream', kind: 'value' },
    { name: 'standing', label: 'Standing', kind: 'standing', isSortable: true },
    { name: 'reason', label: 'Reason', kind: 'value', isSortable: true },
    { name: 'message', label: 'What was wrong', kind: 'text' },
    { name: 'attempts', label: 'Failed reads', kind: 'number', isSortable: true },
    { name: 'next_read_at', label: 'Next read', kind: 'instant', isSortable: true },
  ],
});

interface AnswerRow extends CellRow {
  readonly from_date: UsageDay;
}

/** Invalid answers, which no good one has followed. */
export const quarantinePage = listingPage<AnswerRow>({
  path: '/quarantine',
  title: 'Quarantine',
  place: '/coverage',
  sentence:
    'Answers that were invalid and that no good one has followed, newest first. The story of a day has the answer.',
  from: ({ instanceIds }) => sql`(
    select q.id, q.org_id, o.name as org_name, o.referral_id, q.stream, q.from_date, q.from_date as usage_date,
      q.to_date, q.code, q.problem, q.seen_at
    from losant_usage.quarantine q join losant_usage.organizations o on o.org_id = q.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.cells c where c.org_id = q.org_id and c.stream = q.stream and c.usage_date between
        q.from_date and q.to_date
        and (c.verified_at is null or c.verified_at < q.seen_at) and c.attempts > 0
    )
  ) as r`,
  filters: [SEARCH, stream],
  sort: ['-seen_at', 'id'],
  columns: [
    ORGANIZATION,
    ORG_ID,
    {
      ...day,
      name: 'from_date',
      label: 'First day',
      cell: ({ org_id, from_date }) => linkToDay(org_id, from_date),
    },
    { name: 'to_date', label: 'Last day', kind: 'value' },
    { name: 'stream', label: 'Stream', kind: 'value' },
    { name: 'code', label: 'Code', kind: 'value', isSortable: true },
    { name: 'problem', label: 'What was wrong', kind: 'text' },
    { name: 'seen_at', label: 'Seen', kind: 'instant', isSortable: true },
    { name: 'id', label: 'Answer', kind: 'number', isHidden: true },
  ],
});
