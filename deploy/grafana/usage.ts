/** The dashboard of usage: all organizations, the largest of them, and one organization. */
import { IN_RANGE, renderDashboard } from './dashboard.ts';
import { renderQueryVariable } from './panels.ts';

const OF_METRIC = `metric = \${metric:sqlstring} and ${IN_RANGE}`;

const variables = [
  renderQueryVariable(
    { name: 'metric', label: 'Metric', description: 'Metric shown in the charts.' },
    `select metric as __value, description as __text
from losant_usage.metrics
where kind = 'flow'
order by metric <> 'payload_billable_count', position`,
  ),
  renderQueryVariable(
    { name: 'org', label: 'Organization', description: 'Organization shown in the lower half.' },
    `select org_id as __value, name || coalesce(' (' || referral_id || ')', '') as __text
from losant_usage.organizations
order by 2, 1`,
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
    sql: `select case when bool_and(complete_to is not null)
    then to_char((min(complete_to) filter (where orgs > 0 or complete_to < last_day))::timestamp, 'YYYY-MM-DD')
  end as "Complete to",
  max(orgs) as "Organizations", sum(gaps) as "Gaps",
  (select count(distinct org_id) from losant_usage.coverage_gaps) as "Organizations with gaps"
from losant_usage.freshness`,
  },
  {
    type: 'stat',
    title: 'Metric in the time range',
    description: 'The sum of the stored days of all organizations, and the days of organizations that it lacks.',
    width: 12,
    height: 4,
    columns: { Sum: 'count', Organizations: 'count', 'Days not stored': 'problems' },
    sql: `select sum(quantity) as "Sum", count(distinct org_id) as "Organizations",
  count(*) filter (where quantity is null) as "Days not stored"
from losant_usage.daily_usage_long
where ${OF_METRIC}`,
  },
  {
    type: 'days',
    title: 'All organizations by day',
    description: 'Red bars (right axis): organizations whose number is not stored, so the sum excludes them.',
    width: 24,
    height: 9,
    columns: { Day: 'count', 'Organizations not stored': 'problems' },
    sql: `select usage_date::timestamp at time zone 'UTC' as "time", sum(quantity) as "Day",
  count(*) filter (where quantity is null) as "Organizations not stored"
from losant_usage.daily_usage_long
where ${OF_METRIC}
group by usage_date
order by 1`,
  },
  {
    type: 'table',
    title: 'Largest organizations',
    description: 'Sums over the stored days of the time range, at most 50 organizations.',
    width: 24,
    height: 11,
    columns: { Sum: 'count', Share: 'share', 'Days not stored': 'problems' },
    sql: `select org_name as "Organization", referral_id as "Referral ID", plan_id as "Plan", sum(quantity) as "Sum",
  sum(quantity) / nullif(sum(sum(quantity)) over (), 0) as "Share",
  count(*) filter (where quantity is null) as "Days not stored"
from losant_usage.daily_usage_long
where ${OF_METRIC}
group by org_id, org_name, referral_id, plan_id
order by sum(quantity) desc nulls last, org_name, org_id
limit 50`,
  },
  {
    type: 'table',
    title: 'Months',
    description: 'The last four months with their states. Settling: resolved by the next runs.',
    width: 24,
    height: 6,
    columns: { 'Organizations blocked': 'problems', 'Organizations to adjust': 'problems' },
    sql: `select to_char(month::timestamp, 'YYYY-MM') as "Month", state::text as "State",
  array_to_string(causes, ', ') as "Causes", orgs_blocked as "Organizations blocked",
  orgs_to_adjust as "Organizations to adjust"
from losant_usage.months
where month >= date_trunc('month', now() at time zone 'UTC' - interval '3 months')::date
order by month desc`,
  },
] as const;

const oneOrganization = [
  {
    type: 'days',
    title: 'Organization: metric by day',
    description: 'A day that is not stored has a red bar instead of a point.',
    width: 12,
    height: 9,
    columns: { Day: 'count', 'Not stored': 'problems' },
    sql: `select usage_date::timestamp at time zone 'UTC' as "time", quantity as "Day",
  case when quantity is null then 1 else 0 end as "Not stored"
from losant_usage.daily_usage_long
where org_id = \${org:sqlstring} and ${OF_METRIC}
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
      'Month to date and the projected month end, from the mean of the stored days, with the day on which the limit ' +
      'is expected to be exceeded.',
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
  projected_quantity as "Projected", to_char(exceeds_on::timestamp, 'YYYY-MM-DD') as "Expected to exceed on",
  days_expected - days_stored as "Days not stored"
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
  standing::text as "Standing", is_ready as "Ready", days_expected - days_stored as "Days not stored"
from losant_usage.monthly_usage
where org_id = \${org:sqlstring}
  and month >= date_trunc('month', now() at time zone 'UTC' - interval '11 months')::date
order by month desc`,
  },
] as const;

export const usage = renderDashboard({
  uid: 'losant-usage',
  title: 'Losant usage',
  description: 'Usage by UTC day, for all organizations and for one. A number that is not stored is never shown as 0.',
  variables,
  panels: [...allOrganizations, ...oneOrganization],
});
