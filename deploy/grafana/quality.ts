/** The dashboard of data quality and the worker: what is missing, in doubt or restated, and worker health. */
import { IN_RANGE, renderDashboard } from './dashboard.ts';
import { renderSource } from './panels.ts';

const ledger = [
  {
    type: 'table',
    title: 'Attention',
    description: 'Independent of the time range: what needs attention now, with the command that shows or resolves it.',
    width: 24,
    height: 7,
    columns: { Count: 'count' },
    sql: `select kind::text as "Kind", coalesce(org_name, subject) as "Subject", count as "Count",
  to_char(since_day::timestamp, 'YYYY-MM-DD') as "Oldest day", detail as "Detail", remedy as "Remedy"
from losant_usage.attention
order by kind, 2, subject`,
  },
  {
    type: 'table',
    title: 'Completeness by stream',
    description:
      'Independent of the time range: the last day through which each stream is complete, ' +
      'and how many organizations are.',
    width: 24,
    height: 7,
    columns: { Organizations: 'count', 'Complete organizations': 'count', Gaps: 'problems' },
    sql: `select f.stream as "Stream",
  to_char(f.complete_to::timestamp, 'YYYY-MM-DD') as "Complete to",
  f.orgs as "Organizations", f.orgs_complete as "Complete organizations", f.gaps as "Gaps",
  to_char(f.oldest_gap::timestamp, 'YYYY-MM-DD') as "Oldest gap", i.list_problem as "List problem"
from losant_usage.freshness f
cross join losant_usage.instance i
order by f.stream`,
  },
  {
    type: 'stack',
    title: 'Cells that are not final, by standing',
    description:
      'A cell is one organization, stream and day. Missing and in-doubt cells are gaps; ' +
      'unavailable cells can no longer be read.',
    width: 12,
    height: 9,
    columns: {},
    sql: `select usage_date::timestamp at time zone 'UTC' as "time", standing::text as metric, count(*) as value
from losant_usage.cells
where ${IN_RANGE} and standing <> 'final'
group by usage_date, standing
order by 1, standing`,
  },
  {
    type: 'table',
    title: 'Gaps by reason',
    description: 'All days, not only the time range. Gaps are retried automatically until they pass the horizon.',
    width: 12,
    height: 9,
    columns: { Cells: 'problems', Organizations: 'count' },
    sql: `select stream as "Stream", standing::text as "Standing", reason as "Reason", count(*) as "Cells",
  count(distinct org_id) as "Organizations", to_char(min(usage_date)::timestamp, 'YYYY-MM-DD') as "Oldest",
  to_char(max(usage_date)::timestamp, 'YYYY-MM-DD') as "Newest"
from losant_usage.coverage_gaps
group by stream, standing, reason
order by 4 desc, 1, 2, 3`,
  },
  {
    type: 'table',
    title: 'What blocks closing last month',
    description: 'By cause. Organizations is empty if the cause concerns the whole instance.',
    width: 12,
    height: 8,
    columns: { Organizations: 'problems' },
    sql: `select b.cause as "Cause",
  nullif(count(b.org_id), 0) as "Organizations", min(b.remedy) as "Example remedy"
from losant_usage.month_blockers b
where b.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
group by b.cause
order by b.cause`,
  },
  {
    type: 'table',
    title: 'Differences',
    description:
      "Sums that differ from Losant's own totals, or from another stream that counts the same payloads. " +
      'A difference that is settled blocks its month.',
    width: 12,
    height: 8,
    columns: { Quantity: 'count', 'Other quantity': 'count', Difference: 'count', Organizations: 'count' },
    sql: `select to_char(usage_date::timestamp, 'YYYY-MM-DD') as "Day", metric as "Metric",
  compared_with as "Compared with", quantity as "Quantity",
  coalesce(losant_total, compared_quantity) as "Other quantity", difference as "Difference",
  orgs_differing as "Organizations", is_settled as "Settled"
from losant_usage.reconciliation
where ${IN_RANGE} and outcome = 'difference'
order by usage_date desc, metric, compared_with`,
  },
  {
    type: 'table',
    title: 'Restatements',
    description: 'Numbers that changed after they were stored, newest first, at most 100.',
    width: 12,
    height: 9,
    columns: { Old: 'count', New: 'count', Difference: 'count' },
    sql: `select changed_at as "Changed at", org_name as "Organization",
  to_char(usage_date::timestamp, 'YYYY-MM-DD') as "Day", metric as "Metric",
  payload_type as "Type", source as "Source", old_quantity as "Old", new_quantity as "New",
  difference as "Difference", was_final as "Was final"
from losant_usage.restatements
where hour is null and changed_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
order by changed_at desc, revision_id desc, metric, payload_type, source
limit 100`,
  },
  {
    type: 'table',
    title: 'Quarantined responses',
    description: 'Invalid responses within the time range, which were not loaded. Newest first, at most 100.',
    width: 12,
    height: 9,
    columns: {},
    sql: `select q.seen_at as "Received", o.name as "Organization", q.stream as "Stream",
  to_char(q.first_day::timestamp, 'YYYY-MM-DD') as "First day",
  to_char(q.last_day::timestamp, 'YYYY-MM-DD') as "Last day", q.reason as "Reason", q.detail as "Detail"
from losant_usage.quarantine q
join losant_usage.organizations o on o.org_id = q.org_id
where q.seen_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
order by q.seen_at desc, q.id desc
limit 100`,
  },
  {
    type: 'table',
    title: 'Runs',
    description: 'Runs within the time range, newest first, at most 100.',
    width: 24,
    height: 9,
    columns: { Due: 'count', Failed: 'problems' },
    sql: `select r.started_at as "Started", r.finished_at as "Finished", r.kind as "Kind", r.status as "Status",
  (r.counts -> 'cells' ->> 'planned')::bigint as "Due",
  (r.counts -> 'cells' ->> 'failed')::bigint as "Failed", r.error as "Error", r.version as "Version"
from losant_usage.runs r
where r.started_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
order by r.started_at desc, r.run_id
limit 100`,
  },
] as const;

const REQUEST_DURATION = 'sum by (le) (rate(losant_usage_request_duration_seconds_bucket[$__rate_interval]))';
const RUN_DURATION = 'losant_usage_run_duration_seconds';

const worker = [
  {
    type: 'line',
    title: 'Incomplete cells of yesterday',
    description:
      'Cells that are waiting, in doubt or missing. Falls to 0 once the first run after midnight UTC has read the day.',
    width: 12,
    height: 8,
    unit: 'short',
    series: {
      '{{stream}}': 'max by (stream) (losant_usage_yesterday_incomplete_cells)',
    },
  },
  {
    type: 'line',
    title: 'Runs by result',
    description: 'Runs per hour, of all processes.',
    width: 12,
    height: 8,
    unit: 'short',
    series: { '{{result}}': 'sum by (result) (increase(losant_usage_runs_total[1h]))' },
  },
  {
    type: 'line',
    title: 'Requests to Losant',
    description: 'Requests per second by response class, and retries.',
    width: 12,
    height: 8,
    unit: 'reqps',
    series: {
      '{{status}}': 'sum by (status) (rate(losant_usage_requests_total[$__rate_interval]))',
      'retry: {{reason}}': 'sum by (reason) (rate(losant_usage_request_retries_total[$__rate_interval]))',
    },
  },
  {
    type: 'line',
    title: 'Request duration',
    description:
      'From sending a request to the end of its response; and, per second, the time requests spend waiting ' +
      'for a slot, the rate limit or a pause.',
    width: 12,
    height: 8,
    unit: 's',
    series: {
      median: `histogram_quantile(0.5, ${REQUEST_DURATION})`,
      p95: `histogram_quantile(0.95, ${REQUEST_DURATION})`,
      'waiting, per second': 'sum(rate(losant_usage_rate_limit_wait_seconds_total[$__rate_interval]))',
    },
  },
  {
    type: 'line',
    title: 'Run duration',
    description: 'Mean over one hour.',
    width: 12,
    height: 8,
    unit: 's',
    series: {
      mean: `sum(rate(${RUN_DURATION}_sum[1h])) / sum(rate(${RUN_DURATION}_count[1h]))`,
    },
  },
  {
    type: 'line',
    title: 'Worker memory',
    description: 'Resident memory of each process; the shipped deployments limit it to 512 MiB.',
    width: 12,
    height: 8,
    unit: 'bytes',
    series: { '{{instance}}': 'process_resident_memory_bytes and on (instance) losant_usage_build_info' },
  },
] as const;

export const quality = renderDashboard({
  uid: 'losant-usage-quality',
  title: 'Losant usage: quality and worker',
  description: 'What is missing, in doubt or restated, what blocks closing a month, and worker health.',
  variables: [renderSource('prometheus', 'Losant usage metrics', 'prometheus', 'losant-usage-prometheus')],
  panels: [...ledger, ...worker],
});
