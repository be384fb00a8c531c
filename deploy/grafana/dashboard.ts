/** The parts that the dashboards share. */
import { type PanelDescription, renderAnnotation, renderPanels, renderSource } from './panels.ts';

/** The first and last UTC day of the time range; the last is at most yesterday. */
const FIRST_DAY = `($__timeFrom()::timestamptz at time zone 'UTC')::date`;
const YESTERDAY = `(now() at time zone 'UTC')::date - 1`;
const LAST_DAY = `least(($__timeTo()::timestamptz at time zone 'UTC')::date, ${YESTERDAY})`;
export const IN_RANGE = `usage_date between ${FIRST_DAY} and ${LAST_DAY}`;

const ANNOTATIONS = [
  renderAnnotation(
    'Final restatements',
    'purple',
    `select date_trunc('hour', changed_at, 'UTC') as "time", count(*) || ' final numbers restated' as "text",
  'restatement' as "tags"
from losant_usage.restatements
where was_final and changed_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
group by 1
order by 1`,
  ),
  renderAnnotation(
    'Statements',
    'blue',
    `select created_at as "time",
  to_char(month::timestamp, 'YYYY-MM') || ', ' || kind || ' by ' || created_by as "text", kind as "tags"
from losant_usage.statements
where created_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
order by 1`,
  ),
  renderAnnotation(
    'Unsuccessful runs',
    'red',
    `select started_at as "time", finished_at as "timeend",
  kind || ' run ' || status || coalesce(': ' || error, '') as "text", status as "tags"
from losant_usage.runs
where started_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
  and status in ('failed', 'interrupted', 'partial')
order by 1`,
  ),
];

const DATABASE_SOURCE = renderSource(
  'database',
  'Losant usage',
  'grafana-postgresql-datasource',
  'losant-usage-postgres',
);

interface DashboardDescription {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** The variables other than the database. */
  readonly variables: readonly object[];
  readonly panels: readonly PanelDescription[];
}

/** Returns the dashboard in the form that Grafana imports. It shows the last 30 days, in UTC. */
export function renderDashboard({ uid, title, description, variables, panels }: DashboardDescription): object {
  return {
    uid,
    title,
    description,
    tags: ['losant-usage'],
    timezone: 'utc',
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '15m',
    time: { from: 'now-30d', to: 'now' },
    links: [
      {
        type: 'dashboards',
        title: 'Losant usage',
        tags: ['losant-usage'],
        includeVars: true,
        keepTime: true,
      },
    ],
    templating: { list: [DATABASE_SOURCE, ...variables] },
    annotations: { list: ANNOTATIONS },
    panels: renderPanels(panels),
  };
}
