/** The dashboard of usage: all organizations, those that changed most, and one organization. */
import { FIRST_DAY, IN_RANGE, LAST_DAY, OF_INSTANCES, renderDashboard } from './dashboard.ts';
import { renderChoice, renderQueryVariable } from './panels.ts';

const RANGE = `${FIRST_DAY}, ${LAST_DAY}`;
const COMPARED = `losant_usage.usage_compared(\${metric:sqlstring}, ${RANGE}, \${comparison:sqlstring}) as u`;
/** Sums a column. Organizations that do not exist add 0, also to a day of which nothing is stored yet. */
const sumStored = (column: string) =>
  `case when bool_and(${column} is not null) or sum(${column}) > 0 then sum(${column}) end`;
const IS_COMPARABLE = 'u.quantity is not null and u.previous_quantity is not null';

const variables = [
  renderQueryVariable(
    { name: 'metric', label: 'Metric', description: 'Metric shown in the charts.' },
    `select metric as __value, description as __text
from losant_usage.metrics
where kind = 'flow'
order by metric <> 'payload_billable_count', position`,
    { isMulti: false },
  ),
  renderChoice(
    { name: 'comparison', label: 'Compared with', description: 'Days that each day is compared with.' },
    {
      'same weekdays before': 'same_weekdays',
      'previous days': 'previous_days',
      'same weekdays a year earlier': 'previous_year',
    },
  ),
  renderQueryVariable(
    { name: 'org', label: 'Organization', description: 'Organization shown in the lower half.' },
    `select org_id as __value, name || coalesce(' (' || referral_id || ')', '') as __text
from losant_usage.organizations
where ${OF_INSTANCES}
order by 2, 1`,
    { isMulti: false },
  ),
];

const allOrganizations = [
  {
    type: 'stat',
    title: 'Completeness',
    description:
      'Independent of the time range. Complete to: the last day through which no cell is waiting, in doubt or ' +
      'missing; a stream that has ended and is complete does not count. Gaps: cells missing or in doubt.',
    width: 12,
    height: 4,
    columns: { Organizations: 'count', Gaps: 'problems', 'Organizations with gaps': 'problems' },
    sql: `select case when bool_and(f.has_complete_days)
    then to_char(min(f.complete_to)::timestamp, 'YYYY-MM-DD') end as "Complete to",
  sum(f.orgs) as "Organizations", sum(f.gaps) as "Gaps",
  (select count(distinct org_id) from losant_usage.coverage_gaps where ${OF_INSTANCES}) as "Organizations with gaps"
from (
  select bool_and(complete_to is not null) as has_complete_days,
    min(complete_to) filter (where orgs > 0 or complete_to < last_day) as complete_to,
    max(orgs) as orgs, sum(gaps) as gaps
  from losant_usage.freshness
  where ${OF_INSTANCES}
  group by instance_id
) as f`,
  },
  {
    type: 'stat',
    title: 'Time range vs. compared days',
    description: 'Sums over organization days stored on both sides; “Not comparable” counts the rest.',
    width: 12,
    height: 4,
    columns: { 'In range': 'count', 'Compared days': 'count', Change: 'share', 'Not comparable': 'problems' },
    sql: `select sum(u.quantity) filter (where ${IS_COMPARABLE}) as "In range",
  sum(u.previous_quantity) filter (where ${IS_COMPARABLE}) as "Compared days",
  sum(u.quantity) filter (where ${IS_COMPARABLE})
    / nullif(sum(u.previous_quantity) filter (where ${IS_COMPARABLE}), 0) - 1 as "Change",
  count(*) filter (where not (${IS_COMPARABLE})) as "Not comparable"
from ${COMPARED}
where u.${OF_INSTANCES}`,
  },
  {
    type: 'days',
    title: 'All organizations by day',
    description:
      'The metric and the compared days. Red bars (right axis): organizations whose number is not stored, ' +
      'so the sum excludes them.',
    width: 24,
    height: 9,
    columns: { Day: 'count', 'Compared day': 'count', 'Organizations not stored': 'problems' },
    sql: `select u.usage_date::timestamp at time zone 'UTC' as "time", ${sumStored('u.quantity')} as "Day",
  ${sumStored('u.previous_quantity')} as "Compared day",
  count(*) filter (where u.quantity is null) as "Organizations not stored"
from ${COMPARED}
where u.${OF_INSTANCES}
group by u.usage_date
order by 1`,
  },
  {
    type: 'table',
    title: 'Organizations that changed most',
    description: 'Sums over days stored on both sides; “Days not comparable” counts the rest.',
    width: 24,
    height: 11,
    columns: {
      'In range': 'count',
      'Compared days': 'count',
      Difference: 'count',
      Change: 'share',
      'Days not comparable': 'problems',
    },
    sql: `select o.name as "Organization", o.referral_id as "Referral ID", o.plan_id as "Plan",
  sum(u.quantity) filter (where ${IS_COMPARABLE}) as "In range",
  sum(u.previous_quantity) filter (where ${IS_COMPARABLE}) as "Compared days",
  sum(u.quantity - u.previous_quantity) as "Difference",
  sum(u.quantity - u.previous_quantity)
    / nullif(sum(u.previous_quantity) filter (where ${IS_COMPARABLE}), 0) as "Change",
  count(*) filter (where not (${IS_COMPARABLE})) as "Days not comparable"
from ${COMPARED}
join losant_usage.organizations o on o.org_id = u.org_id
where u.${OF_INSTANCES}
group by u.org_id, o.name, o.referral_id, o.plan_id
order by abs(sum(u.quantity - u.previous_quantity)) desc nulls last, o.name, u.org_id
limit 50`,
  },
  {
    type: 'table',
    title: 'Months',
    description:
      'The last four months with their states. Settling: resolved by the next runs. Partly collected: not loaded ' +
      'from its first day on.',
    width: 24,
    height: 6,
    columns: { 'Organizations blocked': 'problems', 'Organizations to adjust': 'problems' },
    sql: `select to_char(m.month::timestamp, 'YYYY-MM') as "Month", coalesce(i.name, i.instance_id) as "Instance",
  m.state as "State", array_to_string(m.causes, ', ') as "Causes", m.orgs_blocked as "Organizations blocked",
  m.orgs_to_adjust as "Organizations to adjust"
from losant_usage.months m
join losant_usage.instances i on i.instance_id = m.instance_id
where m.${OF_INSTANCES} and m.month >= date_trunc('month', now() at time zone 'UTC' - interval '3 months')::date
order by m.month desc, 2, m.instance_id`,
  },
] as const;

const oneOrganization = [
  {
    type: 'days',
    title: 'Organization: metric by day',
    description: 'With the compared days. A day that is not stored has a red bar instead of a point.',
    width: 12,
    height: 9,
    columns: { Day: 'count', 'Compared day': 'count', 'Not stored': 'problems' },
    sql: `select u.usage_date::timestamp at time zone 'UTC' as "time", u.quantity as "Day",
  u.previous_quantity as "Compared day",
  case when u.quantity is null then 1 else 0 end as "Not stored"
from ${COMPARED}
where u.org_id = \${org:sqlstring}
order by 1`,
  },
  {
    type: 'stack',
    title: 'Organization: payloads by type',
    description:
      'All payloads, billable or not, by payload type as reported by Losant. A day that is not stored has no bar.',
    width: 12,
    height: 9,
    columns: {},
    sql: `select usage_date::timestamp at time zone 'UTC' as "time", payload_type as metric, sum(count) as value
from losant_usage.payload_sources
where org_id = \${org:sqlstring} and ${IN_RANGE}
group by usage_date, payload_type
order by 1, 2`,
  },
  {
    type: 'days',
    title: 'Organization: devices',
    description: 'Devices near the end of each day, and devices created and deleted during it.',
    width: 12,
    height: 9,
    columns: { Devices: 'count', Created: 'count', Deleted: 'count' },
    sql: `select usage_date::timestamp at time zone 'UTC' as "time", devices_total as "Devices",
  devices_created as "Created", devices_deleted as "Deleted"
from losant_usage.daily_usage
where org_id = \${org:sqlstring} and ${IN_RANGE}
order by 1`,
  },
  {
    type: 'table',
    title: 'Organization: limits this month',
    description:
      'Month to date and the projected month end, based on the same weekdays of the last 28 days, ' +
      'with the day on which the limit is exceeded.',
    width: 12,
    height: 9,
    columns: {
      Used: 'count',
      Limit: 'count',
      Share: 'share',
      Projected: 'count',
      'Days not stored': 'problems',
    },
    sql: `select limit_name as "Limit name", quantity as "Used", limit_quantity as "Limit", share as "Share",
  projected_quantity as "Projected",
  to_char(exceeds_on::timestamp, 'YYYY-MM-DD') as "Exceeded on", days_expected - days_stored as "Days not stored"
from losant_usage.usage_vs_limits
where org_id = \${org:sqlstring} and metric is not null
order by share desc nulls last, limit_name`,
  },
  {
    type: 'table',
    title: 'Organization: months',
    description:
      'The last twelve months. Flows are summed; devices are as of the last day. Standing is the worst of any cell.',
    width: 24,
    height: 9,
    columns: {
      'Billable payloads': 'count',
      Bytes: 'bytes',
      'Notebook minutes': 'minutes',
      Devices: 'count',
      'Days not stored': 'problems',
    },
    sql: `select to_char(month::timestamp, 'YYYY-MM') as "Month", payload_billable_count as "Billable payloads",
  payload_all_bytes as "Bytes", notebook_minutes as "Notebook minutes", devices_total as "Devices",
  standing::text as "Standing", is_billable as "Billable", days_expected - days_stored as "Days not stored"
from losant_usage.monthly_usage
where org_id = \${org:sqlstring}
  and month >= date_trunc('month', now() at time zone 'UTC' - interval '11 months')::date
order by month desc`,
  },
] as const;

export const usage = renderDashboard({
  uid: 'losant-usage',
  title: 'Losant usage',
  description:
    'Usage by UTC day, compared with other days, for all organizations and for one. ' +
    'A number that is not stored is never shown as 0.',
  variables,
  panels: [...allOrganizations, ...oneOrganization],
});
