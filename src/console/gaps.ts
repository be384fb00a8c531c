/** The lists of Data quality: gaps, and our sums compared with Losant's and with each other. */
import { html } from 'hono/html';
import { type RawBuilder, sql } from 'kysely';
import { addDays, dayAt } from '../usage/day.ts';
import { DAYS, optionsOf, readValues, SEARCH, STREAM } from './filters.ts';
import { createTablePage } from './table.ts';

type GapRow = {
  readonly org_id: string;
  readonly causes: readonly string[];
  /** The newest first, separated by commas. */
  readonly days: string;
};

/** The page applies these to cells, before it groups them. */
const CELL_FILTERS = {
  stream: { ...STREAM, where: null },
  standing: { label: 'Standing', options: optionsOf(['missing', 'in_doubt']), where: null },
  usage_date: { label: 'Day', options: 'day', where: null },
} as const;

/** So many days of an organization are links. */
const MAX_DAYS = 20;

/** The gaps by organization and standing, with their causes. */
export const gapsPage = createTablePage<GapRow>({ path: '/gaps', navPath: '/coverage' }, (request) => {
  const { stream, standing, usage_date: day } = readValues(CELL_FILTERS, request.query);
  return {
    title: 'Gaps',
    sentence: 'Cells that are missing or in doubt, by organization, the worst first.',
    rows: sql`
      select g.org_id, g.org_name, g.standing, count(*) as cells,
        array_agg(distinct concat_ws(': ', g.reason, g.detail)) as causes,
        string_agg(distinct g.stream, ', ') as streams, min(g.usage_date) as first_day,
        min(g.next_read_at) as next_read_at, ${listDays()} as days
      from losant_usage.coverage_gaps g
      where ${stream} in ('', g.stream) and ${standing} in ('', g.standing::text)
        and (${day} = '' or g.usage_date = nullif(${day}, '')::date)
      group by g.org_id, g.org_name, g.standing`,
    order: sql`r.standing desc, r.cells desc, r.org_name, r.org_id`,
    filters: { q: SEARCH, ...CELL_FILTERS },
    summed: ['cells'],
    columns: [
      'org_name',
      'standing',
      'cells',
      'causes',
      ['days', 'Days', renderDays],
      ['first_day', 'Oldest day'],
      'streams',
      'next_read_at',
    ],
  };
});

function listDays(): RawBuilder<string> {
  const text = sql`to_char(g.usage_date::timestamp, 'YYYY-MM-DD')`;
  return sql`string_agg(distinct ${text}, ',' order by ${text} desc)`;
}

function renderDays({ org_id: orgId, days: list }: GapRow) {
  const days = list.split(',');
  const others = days.length - MAX_DAYS;
  return html`${days.slice(0, MAX_DAYS).map((day) => html`<a href="/coverage/${orgId}/${day}">${day}</a> `)}${
    others > 0 && `and ${others} more`
  }`;
}

/** The comparison reads every organization of a day. */
const COMPARED_DAYS = 30;

export const reconciliationPage = createTablePage(
  { path: '/reconciliation', navPath: '/coverage', subject: 'The comparison' },
  ({ nowMs }) => {
    const { from, to } = DAYS;
    return {
      title: 'Comparison with Losant',
      sentence:
        "Our sums of each day, compared with Losant's totals of the instance and with counts of the same payloads. " +
        'Differences come first.',
      rows: sql`
        select r.usage_date, r.metric, r.unit, case r.compared_with when 'losant' then 'Losant' else r.compared_with end
            as compared_with, r.outcome, r.reason, r.quantity, coalesce(r.losant_total, r.compared_quantity)
            as compared_quantity, r.difference, r.is_settled, r.orgs_missing, r.orgs_differing, r.last_read_at
        from losant_usage.reconciliation r`,
      order: sql`r.outcome <> 'difference', r.usage_date desc, r.metric, r.compared_with`,
      filters: {
        outcome: { label: 'Outcome', options: optionsOf(['difference', 'pending', 'not_compared', 'equal']) },
        metric: { label: 'Metric', options: 'text' },
        from: { ...from, byDefault: addDays(dayAt(nowMs), -COMPARED_DAYS) },
        to,
      },
      columns: [
        'usage_date',
        'metric',
        'compared_with',
        'outcome',
        ['quantity', 'Our sum'],
        ['compared_quantity', 'Compared sum'],
        'difference',
        'reason',
        'is_settled',
        ['orgs_missing', 'Organizations missing'],
        ['orgs_differing', 'Organizations differing'],
        'last_read_at',
      ],
    };
  },
);
