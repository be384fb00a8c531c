-- column
control_total_reads.attempted_at: timestamp with time zone not null
control_total_reads.attempts: integer not null 0
control_total_reads.instance_id: text not null
control_total_reads.message: text
control_total_reads.next_read_at: timestamp with time zone
control_total_reads.question: text not null
control_total_reads.reason: text
control_total_reads.verified_at: timestamp with time zone
coverage.attempted_at: timestamp with time zone
coverage.attempts: integer not null 0
coverage.finalized_at: timestamp with time zone
coverage.first_loaded_at: timestamp with time zone
coverage.is_reported: boolean not null false
coverage.is_stored: boolean not null
coverage.message: text
coverage.next_read_at: timestamp with time zone
coverage.omissions: smallint not null 0
coverage.org_id: text not null
coverage.reason: text
coverage.response_sha256: bytea
coverage.revision: integer not null 0
coverage.run_id: uuid
coverage.standing: losant_usage.standing not null
coverage.stream: text not null
coverage.usage_date: date not null
coverage.verified_at: timestamp with time zone
definitions.core_md5: text not null
definitions.md5: text not null
definitions.object: text not null
definitions.server_major: integer not null
instance_totals.earlier: jsonb not null '[]'::jsonb
instance_totals.instance_id: text not null
instance_totals.metric: text not null
instance_totals.quantity: bigint
instance_totals.response_sha256: bytea not null
instance_totals.run_id: uuid
instance_totals.usage_date: date not null
instance_totals.verified_at: timestamp with time zone not null
instances.api_url: text not null
instances.billing_periods: text not null 'calendar'::text
instances.control_totals: text not null 'block'::text
instances.instance_id: text not null
instances.list_problem: text
instances.listed_at: timestamp with time zone
instances.listed_org_ids: text[]
instances.name: text
instances.policy: jsonb
instances.settled_by: uuid
instances.streams_from: jsonb not null '{}'::jsonb
instances.tracked_from: date not null
leases.epoch: bigint not null a
leases.host: text not null
leases.instance_id: text not null
leases.run_id: uuid not null
leases.shard_count: integer not null
leases.shard_index: integer not null
leases.since: timestamp with time zone not null
leases.until: timestamp with time zone not null
metrics.description: text not null
metrics.kind: text not null
metrics.limit_name: text
metrics.metric: text not null
metrics.position: integer not null
metrics.same_as: text
metrics.source_column: text not null
metrics.stream: text not null
metrics.summary_figures: text[]
metrics.summary_scale: bigint not null 1
metrics.unit: text not null
migrations.applied_at: timestamp with time zone not null clock_timestamp()
migrations.name: text not null
migrations.sha256: text not null
monthly_summaries.earlier: jsonb not null '[]'::jsonb
monthly_summaries.figures: jsonb not null
monthly_summaries.instance_id: text not null
monthly_summaries.month: date not null
monthly_summaries.proration: numeric
monthly_summaries.resource_id: text not null
monthly_summaries.resource_name: text
monthly_summaries.resource_type: text not null
monthly_summaries.response_sha256: bytea not null
monthly_summaries.run_id: uuid
monthly_summaries.verified_at: timestamp with time zone not null
months.month: date not null
months.next_month: date not null
organization_history.created_at: timestamp with time zone
organization_history.current_period_end: timestamp with time zone
organization_history.current_period_start: timestamp with time zone
organization_history.customer_id: text
organization_history.disabled_at: timestamp with time zone
organization_history.instance_id: text not null
organization_history.is_read_only: boolean not null
organization_history.limits: jsonb not null
organization_history.name: text not null
organization_history.org_id: text not null
organization_history.plan_id: text
organization_history.referral_id: text
organization_history.tags: jsonb not null
organization_history.valid_from: timestamp with time zone not null
organization_history.valid_to: timestamp with time zone
organizations.created_at: timestamp with time zone
organizations.created_on: date
organizations.current_period_end: timestamp with time zone
organizations.current_period_start: timestamp with time zone
organizations.customer_id: text
organizations.disabled_at: timestamp with time zone
organizations.first_seen_at: timestamp with time zone not null
organizations.instance_id: text not null
organizations.is_read_only: boolean not null false
organizations.last_seen_at: timestamp with time zone not null
organizations.limits: jsonb not null '{}'::jsonb
organizations.name: text not null
organizations.org_id: text not null
organizations.plan_id: text
organizations.problem: text
organizations.referral_id: text
organizations.removed_at: timestamp with time zone
organizations.removed_on: date ((removed_at AT TIME ZONE 'UTC'::text))::date
organizations.tags: jsonb not null '[]'::jsonb
payload_hours.all_bytes: bigint[] not null
payload_hours.all_counts: bigint[] not null
payload_hours.billable_counts: bigint[] not null
payload_hours.org_id: text not null
payload_hours.usage_date: date not null
payload_sources.count: bigint not null
payload_sources.org_id: text not null
payload_sources.payload_type: text not null
payload_sources.revision: integer not null 1
payload_sources.source: text not null
payload_sources.usage_date: date not null
pruned_months.instance_id: text not null
pruned_months.month: date not null
pruned_months.pruned_at: timestamp with time zone not null clock_timestamp()
pruned_months.pruned_by: text not null SESSION_USER
quarantine.body_gzip: bytea
quarantine.body_truncated: boolean not null false
quarantine.code: text not null
quarantine.first_seen_at: timestamp with time zone not null
quarantine.from_date: date not null
quarantine.last_seen_at: timestamp with time zone not null
quarantine.org_id: text not null
quarantine.problem: text not null
quarantine.resolved_at: timestamp with time zone
quarantine.resolved_days: datemultirange not null '{}'::datemultirange
quarantine.run_id: uuid
quarantine.stream: text not null
quarantine.times: integer not null 1
quarantine.to_date: date not null
revisions.changed_at: timestamp with time zone not null
revisions.changed_by: text not null
revisions.id: bigint not null a
revisions.key: jsonb not null
revisions.new: jsonb
revisions.old: jsonb
revisions.org_id: text not null
revisions.revision: integer not null
revisions.run_id: uuid
revisions.stream: text not null
revisions.usage_date: date not null
revisions.was_final: boolean not null
runs.cells_failed: bigint not null 0
runs.cells_left_out: bigint not null 0
runs.cells_loaded: bigint not null 0
runs.cells_planned: bigint not null 0
runs.cells_quarantined: bigint not null 0
runs.cells_restated: bigint not null 0
runs.cells_restated_final: bigint not null 0
runs.cells_unavailable: bigint not null 0
runs.cells_unchanged: bigint not null 0
runs.error: text
runs.failures: jsonb not null '[]'::jsonb
runs.finished_at: timestamp with time zone
runs.from_date: date
runs.heartbeat_at: timestamp with time zone not null
runs.host: text not null
runs.instance_id: text not null
runs.is_full: boolean not null false
runs.kind: text not null
runs.orgs: integer not null 0
runs.requests: bigint not null 0
runs.rows_deleted: bigint not null 0
runs.rows_inserted: bigint not null 0
runs.rows_unchanged: bigint not null 0
runs.rows_updated: bigint not null 0
runs.run_id: uuid not null
runs.started_at: timestamp with time zone not null
runs.status: text not null
runs.streams: text[] not null
runs.to_date: date
runs.version: text not null
statement_blockers.cause: text not null
statement_blockers.days: integer
statement_blockers.first_day: date not null
statement_blockers.last_day: date not null
statement_blockers.org_id: text
statement_blockers.org_name: text
statement_blockers.period_end: date not null
statement_blockers.period_start: date not null
statement_blockers.position: integer not null
statement_blockers.statement_id: uuid not null
statement_blockers.streams: text[]
statement_blockers.what_to_do: text not null
statement_files.content_gzip: bytea not null
statement_files.name: text not null
statement_files.part: integer not null
statement_files.statement_id: uuid not null
statement_lines.customer_id: text
statement_lines.days_accepted: integer not null
statement_lines.days_by_hand: integer not null 0
statement_lines.days_expected: integer not null
statement_lines.days_final: integer not null
statement_lines.days_in_doubt: integer not null 0
statement_lines.days_in_period: integer not null
statement_lines.days_missing: integer not null 0
statement_lines.days_not_final: integer not null 0
statement_lines.days_stored: integer not null
statement_lines.days_unavailable: integer not null
statement_lines.days_unreported: integer not null
statement_lines.is_billable: boolean not null
statement_lines.kind: text not null
statement_lines.metric: text not null
statement_lines.org_id: text not null
statement_lines.org_name: text not null
statement_lines.period_end: date not null
statement_lines.period_start: date not null
statement_lines.plan_id: text
statement_lines.quantity: bigint
statement_lines.referral_id: text
statement_lines.revision_watermark: bigint not null
statement_lines.statement_id: uuid not null
statement_lines.total: bigint
statement_lines.total_avg: numeric
statement_lines.total_max: bigint
statement_lines.unit: text not null
statement_sources.org_id: text not null
statement_sources.payload_type: text not null
statement_sources.period_start: date not null
statement_sources.quantity: bigint not null
statement_sources.source: text not null
statement_sources.statement_id: uuid not null
statement_sources.total: bigint not null
statements.closed_at: timestamp with time zone not null
statements.closed_by: text not null SESSION_USER
statements.instance_id: text not null
statements.kind: text not null
statements.manifest: text
statements.manifest_sha256: bytea
statements.number: integer not null
statements.orgs: integer not null
statements.period_month: date not null
statements.previous_sha256: bytea
statements.reason: text
statements.rules: jsonb not null '{}'::jsonb
statements.source: text not null
statements.statement_id: uuid not null
streams.description: text not null
streams.key_columns: text[] not null
streams.missing_means: text not null
streams.position: integer not null
streams.stream: text not null
tracking.days_read: integer losant_usage.count_days(read_days)
tracking.has_holes: boolean (isempty(tracked_days) OR (tracked_days <> datemultirange(range_merge(tracked_days))))
tracking.has_untracked: boolean (NOT (read_days <@ tracked_days))
tracking.org_id: text not null
tracking.read_days: datemultirange not null '{}'::datemultirange
tracking.read_from: date lower(read_days)
tracking.read_to: date (upper(read_days) - 1)
tracking.stream: text not null
tracking.tracked_days: datemultirange not null '{}'::datemultirange
tracking.tracked_from: date lower(tracked_days)
tracking.tracked_to: date (upper(tracked_days) - 1)
tracking.unread_from: date lower((tracked_days - read_days))
usage_days.devices_created: bigint
usage_days.devices_deleted: bigint
usage_days.devices_total: bigint
usage_days.notebook_canceled: bigint
usage_days.notebook_completed: bigint
usage_days.notebook_errored: bigint
usage_days.notebook_minutes: bigint
usage_days.notebook_timeout: bigint
usage_days.org_id: text not null
usage_days.payload_all_bytes: bigint
usage_days.payload_all_count: bigint
usage_days.payload_billable_count: bigint
usage_days.payload_source_count: bigint
usage_days.usage_date: date not null
waivers.id: bigint not null a
waivers.lifted_at: timestamp with time zone
waivers.lifted_by_run: uuid
waivers.org_id: text not null
waivers.reason: text not null
waivers.stream: text not null
waivers.usage_date: date not null
waivers.waived_at: timestamp with time zone not null clock_timestamp()
waivers.waived_by: text not null SESSION_USER

-- constraint
control_total_reads_check of control_total_reads: CHECK (((attempts = 0) = (reason IS NULL)))
control_total_reads_instance_id_fkey of control_total_reads: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
control_total_reads_pkey of control_total_reads: PRIMARY KEY (instance_id, question)
coverage_final of coverage: CHECK (((standing <> 'final'::losant_usage.standing) OR ((finalized_at IS NOT NULL) AND (verified_at IS NOT NULL))))
coverage_first_load of coverage: CHECK (((NOT is_stored) OR ((first_loaded_at IS NOT NULL) AND (revision > 0))))
coverage_is_stored of coverage: CHECK (
CASE standing
    WHEN 'accepted'::losant_usage.standing THEN true
    ELSE (is_stored = (standing = ANY (ARRAY['final'::losant_usage.standing, 'stored'::losant_usage.standing, 'in_doubt'::losant_usage.standing])))
END)
coverage_omissions_check of coverage: CHECK (((omissions >= 0) AND (omissions <= 3)))
coverage_org_id_fkey of coverage: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
coverage_pkey of coverage: PRIMARY KEY (usage_date, stream, org_id)
coverage_reason of coverage: CHECK (((standing = ANY (ARRAY['final'::losant_usage.standing, 'stored'::losant_usage.standing])) OR (reason IS NOT NULL)))
coverage_response_sha256_check of coverage: CHECK ((octet_length(response_sha256) = 32))
coverage_standing_check of coverage: CHECK ((standing <> 'waiting'::losant_usage.standing))
coverage_stream_fkey of coverage: FOREIGN KEY (stream) REFERENCES losant_usage.streams(stream)
coverage_usage_date_check of coverage: CHECK (((usage_date >= '2015-01-01'::date) AND (usage_date <= '2049-12-31'::date)))
definitions_pkey of definitions: PRIMARY KEY (object)
device_counts_whole of usage_days: CHECK ((num_nulls(devices_created, devices_deleted, devices_total) = ANY (ARRAY[0, 3])))
instance_totals_instance_id_fkey of instance_totals: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
instance_totals_metric_fkey of instance_totals: FOREIGN KEY (metric) REFERENCES losant_usage.metrics(metric)
instance_totals_pkey of instance_totals: PRIMARY KEY (instance_id, usage_date, metric)
instance_totals_quantity_check of instance_totals: CHECK (((quantity >= 0) AND (quantity <= '9007199254740991'::bigint)))
instance_totals_usage_date_check of instance_totals: CHECK (((usage_date >= '2015-01-01'::date) AND (usage_date <= '2049-12-31'::date)))
instances_billing_periods_check of instances: CHECK ((billing_periods = ANY (ARRAY['calendar'::text, 'losant'::text])))
instances_control_totals_check of instances: CHECK ((control_totals = ANY (ARRAY['block'::text, 'show'::text])))
instances_instance_id_check of instances: CHECK ((instance_id ~ '^[0-9a-f]{24}$'::text))
instances_pkey of instances: PRIMARY KEY (instance_id)
leases_check of leases: CHECK (((shard_index >= 0) AND (shard_index < shard_count)))
leases_instance_id_fkey of leases: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
leases_pkey of leases: PRIMARY KEY (instance_id, shard_count, shard_index)
leases_shard_count_check of leases: CHECK ((shard_count >= 1))
metrics_kind_check of metrics: CHECK ((kind = ANY (ARRAY['flow'::text, 'level'::text])))
metrics_limit_name_key of metrics: UNIQUE (limit_name)
metrics_pkey of metrics: PRIMARY KEY (metric)
metrics_position_key of metrics: UNIQUE ("position")
metrics_same_as_fkey of metrics: FOREIGN KEY (same_as) REFERENCES losant_usage.metrics(metric)
metrics_stream_fkey of metrics: FOREIGN KEY (stream) REFERENCES losant_usage.streams(stream)
metrics_stream_source_column_key of metrics: UNIQUE (stream, source_column)
migrations_pkey of migrations: PRIMARY KEY (name)
monthly_summaries_instance_id_fkey of monthly_summaries: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
monthly_summaries_month_fkey of monthly_summaries: FOREIGN KEY (month) REFERENCES losant_usage.months(month)
monthly_summaries_pkey of monthly_summaries: PRIMARY KEY (instance_id, month, resource_type, resource_id)
monthly_summaries_resource_id_check of monthly_summaries: CHECK ((resource_id ~ '^[0-9a-f]{24}$'::text))
months_pkey of months: PRIMARY KEY (month)
notebook_minutes_whole of usage_days: CHECK ((num_nulls(notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout) = ANY (ARRAY[0, 5])))
organization_history_check of organization_history: CHECK ((valid_to >= valid_from))
organization_history_org_id_fkey of organization_history: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
organization_history_pkey of organization_history: PRIMARY KEY (org_id, valid_from)
organizations_instance_id_fkey of organizations: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
organizations_org_id_check of organizations: CHECK ((org_id ~ '^[0-9a-f]{24}$'::text))
organizations_pkey of organizations: PRIMARY KEY (org_id)
payload_hours_all_bytes_check of payload_hours: CHECK (((array_dims(all_bytes) = '[1:24]'::text) AND (array_position(all_bytes, NULL::bigint) IS NULL) AND (0 <= ALL (all_bytes)) AND ('9007199254740991'::bigint >= ALL (all_bytes))))
payload_hours_all_counts_check of payload_hours: CHECK (((array_dims(all_counts) = '[1:24]'::text) AND (array_position(all_counts, NULL::bigint) IS NULL) AND (0 <= ALL (all_counts)) AND ('9007199254740991'::bigint >= ALL (all_counts))))
payload_hours_billable_counts_check of payload_hours: CHECK (((array_dims(billable_counts) = '[1:24]'::text) AND (array_position(billable_counts, NULL::bigint) IS NULL) AND (0 <= ALL (billable_counts)) AND ('9007199254740991'::bigint >= ALL (billable_counts))))
payload_hours_org_id_check of payload_hours: CHECK ((org_id ~ '^[0-9a-f]{24}$'::text))
payload_hours_pkey of payload_hours: PRIMARY KEY (usage_date, org_id)
payload_hours_usage_date_check of payload_hours: CHECK (((usage_date >= '2015-01-01'::date) AND (usage_date <= '2049-12-31'::date)))
payload_sources_count_check of payload_sources: CHECK (((count >= 0) AND (count <= '9007199254740991'::bigint)))
payload_sources_org_id_check of payload_sources: CHECK ((org_id ~ '^[0-9a-f]{24}$'::text))
payload_sources_payload_type_check of payload_sources: CHECK ((length(payload_type) <= 200))
payload_sources_pkey of payload_sources: PRIMARY KEY (usage_date, org_id, payload_type, source)
payload_sources_source_check of payload_sources: CHECK ((length(source) <= 200))
payload_totals_whole of usage_days: CHECK ((num_nulls(payload_billable_count, payload_all_count, payload_all_bytes) = ANY (ARRAY[0, 3])))
pruned_months_instance_id_fkey of pruned_months: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
pruned_months_month_fkey of pruned_months: FOREIGN KEY (month) REFERENCES losant_usage.months(month)
pruned_months_pkey of pruned_months: PRIMARY KEY (instance_id, month)
quarantine_check of quarantine: CHECK ((to_date >= from_date))
quarantine_org_id_fkey of quarantine: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
quarantine_pkey of quarantine: PRIMARY KEY (org_id, stream, from_date, to_date)
quarantine_stream_fkey of quarantine: FOREIGN KEY (stream) REFERENCES losant_usage.streams(stream)
revisions_pkey of revisions: PRIMARY KEY (id)
runs_instance_id_fkey of runs: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
runs_kind_check of runs: CHECK ((kind = ANY (ARRAY['scheduled'::text, 'manual'::text, 'backfill'::text])))
runs_pkey of runs: PRIMARY KEY (run_id)
runs_status_check of runs: CHECK ((status = ANY (ARRAY['running'::text, 'complete'::text, 'partial'::text, 'failed'::text, 'interrupted'::text])))
statement_blockers_pkey of statement_blockers: PRIMARY KEY (statement_id, "position")
statement_blockers_statement_id_fkey of statement_blockers: FOREIGN KEY (statement_id) REFERENCES losant_usage.statements(statement_id) DEFERRABLE INITIALLY DEFERRED
statement_files_pkey of statement_files: PRIMARY KEY (statement_id, name, part)
statement_files_statement_id_fkey of statement_files: FOREIGN KEY (statement_id) REFERENCES losant_usage.statements(statement_id) DEFERRABLE INITIALLY DEFERRED
statement_lines_check of statement_lines: CHECK ((period_end >= period_start))
statement_lines_metric_fkey of statement_lines: FOREIGN KEY (metric) REFERENCES losant_usage.metrics(metric)
statement_lines_org_id_fkey of statement_lines: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
statement_lines_pkey of statement_lines: PRIMARY KEY (statement_id, org_id, period_start, metric)
statement_lines_statement_id_fkey of statement_lines: FOREIGN KEY (statement_id) REFERENCES losant_usage.statements(statement_id) DEFERRABLE INITIALLY DEFERRED
statement_sources_org_id_fkey of statement_sources: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
statement_sources_pkey of statement_sources: PRIMARY KEY (statement_id, org_id, period_start, payload_type, source)
statement_sources_statement_id_fkey of statement_sources: FOREIGN KEY (statement_id) REFERENCES losant_usage.statements(statement_id) DEFERRABLE INITIALLY DEFERRED
statements_instance_id_fkey of statements: FOREIGN KEY (instance_id) REFERENCES losant_usage.instances(instance_id)
statements_instance_id_number_key of statements: UNIQUE (instance_id, number)
statements_kind_check of statements: CHECK ((kind = ANY (ARRAY['closing'::text, 'adjustment'::text])))
statements_manifest_sha256_check of statements: CHECK ((octet_length(manifest_sha256) = 32))
statements_number_check of statements: CHECK ((number >= 1))
statements_period_month_check of statements: CHECK ((EXTRACT(day FROM period_month) = (1)::numeric))
statements_pkey of statements: PRIMARY KEY (statement_id)
statements_previous_sha256_check of statements: CHECK ((octet_length(previous_sha256) = 32))
statements_source_check of statements: CHECK ((source = ANY (ARRAY['calendar'::text, 'losant'::text])))
streams_missing_means_check of streams: CHECK ((missing_means = ANY (ARRAY['zero'::text, 'missing'::text])))
streams_pkey of streams: PRIMARY KEY (stream)
streams_position_key of streams: UNIQUE ("position")
tracking_org_id_fkey of tracking: FOREIGN KEY (org_id) REFERENCES losant_usage.organizations(org_id)
tracking_pkey of tracking: PRIMARY KEY (org_id, stream)
tracking_stream_fkey of tracking: FOREIGN KEY (stream) REFERENCES losant_usage.streams(stream)
tracking_tracked_days_check of tracking: CHECK ((NOT lower_inf(tracked_days)))
usage_days_devices_created_check of usage_days: CHECK (((devices_created >= 0) AND (devices_created <= '9007199254740991'::bigint)))
usage_days_devices_deleted_check of usage_days: CHECK (((devices_deleted >= 0) AND (devices_deleted <= '9007199254740991'::bigint)))
usage_days_devices_total_check of usage_days: CHECK (((devices_total >= 0) AND (devices_total <= '9007199254740991'::bigint)))
usage_days_notebook_canceled_check of usage_days: CHECK (((notebook_canceled >= 0) AND (notebook_canceled <= '9007199254740991'::bigint)))
usage_days_notebook_completed_check of usage_days: CHECK (((notebook_completed >= 0) AND (notebook_completed <= '9007199254740991'::bigint)))
usage_days_notebook_errored_check of usage_days: CHECK (((notebook_errored >= 0) AND (notebook_errored <= '9007199254740991'::bigint)))
usage_days_notebook_minutes_check of usage_days: CHECK (((notebook_minutes >= 0) AND (notebook_minutes <= '9007199254740991'::bigint)))
usage_days_notebook_timeout_check of usage_days: CHECK (((notebook_timeout >= 0) AND (notebook_timeout <= '9007199254740991'::bigint)))
usage_days_org_id_check of usage_days: CHECK ((org_id ~ '^[0-9a-f]{24}$'::text))
usage_days_payload_all_bytes_check of usage_days: CHECK (((payload_all_bytes >= 0) AND (payload_all_bytes <= '9007199254740991'::bigint)))
usage_days_payload_all_count_check of usage_days: CHECK (((payload_all_count >= 0) AND (payload_all_count <= '9007199254740991'::bigint)))
usage_days_payload_billable_count_check of usage_days: CHECK (((payload_billable_count >= 0) AND (payload_billable_count <= '9007199254740991'::bigint)))
usage_days_payload_source_count_check of usage_days: CHECK (((payload_source_count >= 0) AND (payload_source_count <= '9007199254740991'::bigint)))
usage_days_pkey of usage_days: PRIMARY KEY (usage_date, org_id)
usage_days_usage_date_check of usage_days: CHECK (((usage_date >= '2015-01-01'::date) AND (usage_date <= '2049-12-31'::date)))
waivers_check of waivers: CHECK ((lifted_at >= waived_at))
waivers_pkey of waivers: PRIMARY KEY (id)
waivers_usage_date_stream_org_id_fkey of waivers: FOREIGN KEY (usage_date, stream, org_id) REFERENCES losant_usage.coverage(usage_date, stream, org_id)

CREATE OR REPLACE FUNCTION losant_usage.adjustments_of(for_instance text, of_month date, of_source text)
 RETURNS TABLE(org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date, metric text, unit text, kind text, then_quantity bigint, now_quantity bigint, difference bigint, then_max bigint, now_max bigint, then_avg numeric, now_avg numeric, cause text, days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer, days_unavailable integer, days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer, days_by_hand integer, is_billable boolean)
 LANGUAGE sql
 STABLE STRICT ROWS 100
 SET jit TO 'off'
AS $function$
  select d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.period_start, d.period_end,
    d.metric, d.unit, d.kind, d.then_total, d.now_total,
    case when d.days_expected = d.days_final + d.days_accepted then
      case when d.now_total is null then - d.then_total else d.now_total - coalesce(d.then_total, 0) end end,
    d.then_max, d.now_max, d.then_avg, d.now_avg,
    case when d.watermark is null then 'not_in_statement'
      when r.by_hand then 'changed_by_hand' when r.by_hand is not null then 'restated'
      when exists (
        select from losant_usage.coverage c where c.org_id = d.org_id and c.stream = d.stream
          and c.usage_date between d.period_start and d.period_end and c.first_loaded_at > d.billed_at) then 'loaded_later'
      else 'tracking' end,
    d.days_in_period, d.days_expected, d.days_stored, d.days_final, d.days_accepted, d.days_unavailable, d.days_not_final,
    d.days_in_doubt, d.days_missing, d.days_unreported, d.days_by_hand, d.is_billable
  from (
    select coalesce(n.org_id, b.org_id) as org_id, coalesce(n.org_name, b.org_name) as org_name,
      coalesce(n.referral_id, b.referral_id) as referral_id, coalesce(n.plan_id, b.plan_id) as plan_id,
      coalesce(n.customer_id, b.customer_id) as customer_id,
      coalesce(n.period_start, b.period_start) as period_start, coalesce(n.period_end, b.period_end) as period_end,
      coalesce(n.metric, b.metric) as metric, coalesce(n.unit, b.unit) as unit, coalesce(n.kind, b.kind) as kind,
      b.total as then_total, n.total as now_total, b.total_max as then_max, n.total_max as now_max,
      b.total_avg as then_avg, n.total_avg as now_avg, b.revision_watermark as watermark, b.closed_at as billed_at,
      coalesce(n.stream, (select m.stream from losant_usage.metrics m where m.metric = b.metric)) as stream,
      n.days_in_period, n.days_expected, n.days_stored, n.days_final, n.days_accepted, n.days_unavailable, n.days_not_final,
      n.days_in_doubt, n.days_missing, n.days_unreported, n.days_by_hand, n.is_billable
    from losant_usage.period_numbers(for_instance, of_month, of_source) as n
    full join losant_usage.billed_numbers(for_instance, of_month) as b
      on b.org_id = n.org_id and b.period_start = n.period_start and b.metric = n.metric
    left join (
      select distinct c.org_id, c.period_start, 'payload_source_count' as metric
      from losant_usage.source_changes(for_instance, of_month, of_source, true) as c
    ) as c on c.org_id = n.org_id and c.period_start = n.period_start and c.metric = n.metric
    where (row(n.total, n.total_max, n.total_avg) is distinct from row(b.total, b.total_max, b.total_avg) or c.org_id is not null)
      and not losant_usage.is_pruned(for_instance, coalesce(n.period_start, b.period_start), coalesce(n.period_end, b.period_end))
  ) as d
  left join lateral (
    select bool_or(r.run_id is null) as by_hand from losant_usage.revisions r
    where r.org_id = d.org_id and r.usage_date between d.period_start and d.period_end and r.stream = d.stream
      and r.id > d.watermark
  ) as r on true
$function$

CREATE OR REPLACE FUNCTION losant_usage.billed_numbers(for_instance text, of_month date)
 RETURNS TABLE(org_id text, period_start date, period_end date, metric text, org_name text, referral_id text, plan_id text, customer_id text, unit text, kind text, total bigint, total_max bigint, total_avg numeric, revision_watermark bigint, closed_at timestamp with time zone)
 LANGUAGE sql
 STABLE STRICT ROWS 100000
AS $function$
  select distinct on (l.org_id, l.period_start, l.metric) l.org_id, l.period_start, l.period_end, l.metric, l.org_name,
    l.referral_id, l.plan_id, l.customer_id, l.unit, l.kind, l.total, l.total_max, l.total_avg, l.revision_watermark, s.closed_at
  from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
  where s.instance_id = for_instance and s.period_month = of_month
  order by l.org_id, l.period_start, l.metric, s.number desc
$function$

CREATE OR REPLACE FUNCTION losant_usage.catalog_state()
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  with tables as (select oid, relname from pg_class where relnamespace = 'losant_usage'::regnamespace)
  select md5(string_agg(state, ' ' order by state collate "C")) from (
    select concat_ws(' ', 'relation', oid, relname) from tables
    union all select concat_ws(' ', 'rule', r.oid, r.xmin) from tables t join pg_rewrite r on r.ev_class = t.oid
    union all select concat_ws(' ', 'column', t.oid, a.attnum, a.xmin) from tables t join pg_attribute a on a.attrelid = t.oid
    union all select concat_ws(' ', 'default', d.oid, d.xmin) from tables t join pg_attrdef d on d.adrelid = t.oid
    union all select concat_ws(' ', 'index', t.oid, i.xmin) from tables t join pg_index i on i.indexrelid = t.oid
    union all select concat_ws(' ', 'trigger', g.oid, g.xmin) from tables t join pg_trigger g on g.tgrelid = t.oid
    union all select concat_ws(' ', 'constraint', oid, xmin) from pg_constraint where connamespace = 'losant_usage'::regnamespace
    union all select concat_ws(' ', 'function', oid, xmin) from pg_proc where pronamespace = 'losant_usage'::regnamespace
    union all select concat_ws(' ', 'label', e.oid, e.xmin) from pg_type t join pg_enum e on e.enumtypid = t.oid
      where t.typnamespace = 'losant_usage'::regnamespace
  ) as rows (state)
$function$

CREATE OR REPLACE FUNCTION losant_usage.cell_changes(table_name text, old_row jsonb, new_row jsonb)
 RETURNS SETOF losant_usage.cell_change
 LANGUAGE sql
 STABLE
AS $function$
  -- A row of usage_days has numbers of several streams, named as metrics.
  select s.stream, coalesce(new_row, old_row) ->> 'org_id', (coalesce(new_row, old_row) ->> 'usage_date')::date,
    '{}'::jsonb, n.old, n.new
  from losant_usage.streams s cross join lateral (
    select nullif(jsonb_strip_nulls(jsonb_object_agg(m.source_column, old_row -> m.metric)), '{}') as old,
      nullif(jsonb_strip_nulls(jsonb_object_agg(m.source_column, new_row -> m.metric)), '{}') as new
    from losant_usage.metrics m where m.stream = s.stream
  ) as n
  where table_name = 'usage_days' and n.old is distinct from n.new
  union all
  -- A row of a stream's own table has its numbers, beside its key and revision.
  select s.stream, coalesce(new_row, old_row) ->> 'org_id', (coalesce(new_row, old_row) ->> 'usage_date')::date,
    losant_usage.row_key(coalesce(new_row, old_row), s.key_columns), n.old, n.new
  from losant_usage.streams s cross join lateral (
    select old_row - k.not_numbers as old, new_row - k.not_numbers as new
    from (select array['usage_date', 'org_id', 'revision'] || s.key_columns as not_numbers) as k
  ) as n
  where table_name = s.stream and n.old is distinct from n.new
$function$

CREATE OR REPLACE FUNCTION losant_usage.changed_definitions()
 RETURNS SETOF text
 LANGUAGE plpgsql
 STABLE
AS $function$
begin
  if losant_usage.catalog_state() = (select md5 from losant_usage.definitions where object = 'catalog') then return; end if;
  return query
  select d.object from losant_usage.definitions d left join losant_usage.list_definitions() l on l.object = d.object
  where d.object <> 'catalog' and (l.object is null
    or (md5(l.definition) <> d.md5 and d.server_major = current_setting('server_version_num')::integer / 10000
      and (l.object not like 'view %' or md5(losant_usage.definition_core(l.definition)) <> d.core_md5)))
  union all
  select 'what table definitions says' where not exists (select from losant_usage.definitions)
  order by 1;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.changes_since(moment timestamp with time zone)
 RETURNS TABLE(instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text, usage_date date, stream text, metric text, unit text, payload_type text, source text, change text, old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean, by_hand boolean, changed_at timestamp with time zone)
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select r.instance_id, r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id,
    r.usage_date, r.stream, r.metric, r.unit, r.payload_type, r.source,
    'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.by_hand, r.changed_at
  from losant_usage.restatements r where r.changed_at > moment and r.hour is null
  union all
  select o.instance_id, c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    day, c.stream, m.metric, m.unit, null, null,
    'first_loaded', null, q.quantity, q.quantity, false, false, c.first_loaded_at
  -- Day by day: of most days nothing was first loaded since, and one look at the index tells.
  from losant_usage.days_between(
    (select min(usage_date) from losant_usage.usage_days), (select max(usage_date) from losant_usage.usage_days)) as day
  join losant_usage.coverage c on c.usage_date = day and c.first_loaded_at > moment
  join losant_usage.usage_days u on u.usage_date = day and u.org_id = c.org_id
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  cross join lateral (
    select case m.metric
      when 'devices_created' then u.devices_created
      when 'devices_deleted' then u.devices_deleted
      when 'devices_total' then u.devices_total
      when 'notebook_minutes' then u.notebook_minutes
      when 'notebook_completed' then u.notebook_completed
      when 'notebook_canceled' then u.notebook_canceled
      when 'notebook_errored' then u.notebook_errored
      when 'notebook_timeout' then u.notebook_timeout
      when 'payload_billable_count' then u.payload_billable_count
      when 'payload_all_count' then u.payload_all_count
      when 'payload_all_bytes' then u.payload_all_bytes
      when 'payload_source_count' then u.payload_source_count end as quantity
  ) as q
$function$

CREATE OR REPLACE FUNCTION losant_usage.closing_blockers(for_instance text, of_month date)
 RETURNS TABLE(org_id text, org_name text, referral_id text, period_start date, period_end date, cause text, days integer, first_day date, last_day date, streams text[], what_to_do text)
 LANGUAGE plpgsql
 STABLE STRICT ROWS 10
 SET plan_cache_mode TO 'force_custom_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
declare
  month_end constant date := (of_month + interval '1 month')::date - 1;
  usual text;
  closed text;
begin
  select i.billing_periods, s.source into usual, closed
  from losant_usage.instances i
  left join losant_usage.statements s on s.instance_id = i.instance_id and s.period_month = of_month and s.kind = 'closing'
  where i.instance_id = for_instance;
  -- A query for each source: only then does the view compute no more than the periods asked for.
  if usual = 'calendar' then
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'calendar' and b.period_start = of_month;
  else
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'losant' and b.org_id is not null and b.period_end between of_month and month_end;
    -- What speaks against days of all organizations counts if it concerns a day of one of these periods.
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'losant' and b.org_id is null
      and b.period_start between (
        select coalesce(date_trunc('month', min(p.period_start)::timestamp)::date, of_month) from losant_usage.billing_periods p
        where p.source = 'losant' and p.period_end between of_month and month_end) and of_month
      and case when b.cause = 'list_incomplete' then b.period_start = of_month else exists (
        select from losant_usage.billing_periods p join losant_usage.organizations o on o.org_id = p.org_id
        where o.instance_id = b.instance_id and p.period_end between of_month and month_end
          and p.period_start <= b.last_day and p.period_end >= b.first_day) end;
  end if;
  if closed is null then
    return query
    -- Read once, and not for each organization, of which the index would read the lines of all.
    with billed as materialized (
      select distinct l.org_id, l.period_start, l.period_end from losant_usage.statement_lines l
      where l.period_start <= month_end and l.period_end >= (
        select min(b.period_start) from losant_usage.billing_periods b
        where b.source = usual and b.period_end between of_month and month_end)
    )
    select o.org_id, o.name, o.referral_id, p.period_start, p.period_end, 'already_billed', losant_usage.count_days(p.days),
      lower(p.days), upper(p.days) - 1, null::text[],
      losant_usage.what_to_do('already_billed', o.org_id, p.period_start, p.period_end, p.days, null)
    from (
      select p.org_id, p.period_start, p.period_end,
        range_agg(daterange(p.period_start, p.period_end + 1) * daterange(l.period_start, l.period_end + 1)) as days
      from losant_usage.billing_periods p
      join losant_usage.organizations o on o.org_id = p.org_id and o.instance_id = for_instance
      join billed l on l.org_id = p.org_id and l.period_end >= p.period_start and l.period_start <= p.period_end
      where p.source = usual and p.period_end between of_month and month_end
      group by p.org_id, p.period_start, p.period_end
    ) as p
    join losant_usage.organizations o on o.org_id = p.org_id;
    return;
  end if;
  -- What was billed by periods that are no longer those of its organization.
  return query
  with moved as materialized (
    select p.* from losant_usage.statement_periods(for_instance, of_month, closed) p
    where not exists (
      select from losant_usage.billing_periods b
      where b.org_id = p.org_id and b.source = usual and b.period_start = p.period_start and b.period_end = p.period_end)
  )
  select s.org_id, s.org_name, s.referral_id, p.period_start, p.period_end, c.cause, losant_usage.count_days(c.days),
    coalesce(lower(c.days), p.period_start), coalesce(upper(c.days) - 1, p.period_end), c.streams,
    losant_usage.what_to_do(c.cause, s.org_id, p.period_start, p.period_end, c.days, c.streams)
  from moved p
  cross join lateral losant_usage.period_sums(p.period_start, p.period_end + 1, p.org_id, p.org_id) s
  cross join lateral (values
    ('not_fully_tracked', not s.is_fully_tracked, null::datemultirange, null::text[]),
    ('not_final', s.open_days is not null, s.open_days, s.open_streams),
    ('missing', s.missing_days is not null, s.missing_days, s.missing_streams),
    ('in_doubt', s.in_doubt_days is not null, s.in_doubt_days, s.in_doubt_streams),
    ('unavailable', s.unavailable_days is not null, s.unavailable_days, s.unavailable_streams),
    ('changed_by_hand', s.by_hand_days is not null, s.by_hand_days, s.by_hand_streams)
  ) as c (cause, applies, days, streams)
  where c.applies;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.count_days(days datemultirange)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE COST 2
AS $function$
  select coalesce(sum(upper(part) - lower(part)), 0)::integer from unnest(days) as part
$function$

CREATE OR REPLACE FUNCTION losant_usage.current_run()
 RETURNS uuid
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select nullif(current_setting('losant_usage.run_id', true), '')::uuid
$function$

CREATE OR REPLACE FUNCTION losant_usage.day_hours(day date)
 RETURNS SETOF losant_usage.day_of_hours
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select t.org_id,
    case when c.standing is null then losant_usage.unread_standing(day)
      when losant_usage.is_waiting(c.standing, c.reason, day) then 'waiting' else c.standing end,
    case when c.is_stored then c.is_reported end, h.billable_counts, h.all_counts, h.all_bytes
  from losant_usage.tracked t
  left join losant_usage.payload_hours h on h.usage_date = day and h.org_id = t.org_id
  left join losant_usage.coverage c on c.usage_date = day and c.stream = 'payload_hours' and c.org_id = t.org_id
  where t.stream = 'payload_hours' and day between t.from_day and t.to_day and (not t.has_holes or day <@ t.days)
$function$

CREATE OR REPLACE FUNCTION losant_usage.days_between(first_day date, last_day date)
 RETURNS SETOF date
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT ROWS 10
AS $function$
  select first_day + place from generate_series(0, last_day - first_day) as place
$function$

CREATE OR REPLACE FUNCTION losant_usage.definition_core(definition text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select regexp_replace(definition, '[()\s]|\mAS (\w+|"[^"]+")', '', 'g')
$function$

CREATE OR REPLACE FUNCTION losant_usage.each_day(days datemultirange)
 RETURNS SETOF date
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT ROWS 2
AS $function$
  select lower(part) + place from unnest(days) as part, generate_series(0, upper(part) - lower(part) - 1) as place
$function$

CREATE OR REPLACE FUNCTION losant_usage.grant_rights()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    grant usage on schema losant_usage to losant_usage_reader;
    grant select on
      losant_usage.streams, losant_usage.metrics, losant_usage.months, losant_usage.definitions, losant_usage.instances,
      losant_usage.organizations, losant_usage.organization_history, losant_usage.organization_tags,
      losant_usage.tracking, losant_usage.tracked, losant_usage.coverage, losant_usage.waivers, losant_usage.cells, losant_usage.pruned_months,
      losant_usage.cell_counts, losant_usage.coverage_gaps, losant_usage.known_missing, losant_usage.freshness,
      losant_usage.usage_days, losant_usage.payload_sources, losant_usage.payload_hours, losant_usage.revisions, losant_usage.restatements,
      losant_usage.usage_movers, losant_usage.silent_organizations,
      losant_usage.device_counts, losant_usage.notebook_minutes, losant_usage.payload_totals,
      losant_usage.daily_usage, losant_usage.daily_usage_long, losant_usage.hourly_usage, losant_usage.device_continuity,
      losant_usage.monthly_usage, losant_usage.period_usage, losant_usage.usage_vs_limits, losant_usage.billing_periods,
      losant_usage.days_without_period, losant_usage.period_blockers,
      losant_usage.instance_totals, losant_usage.monthly_summaries, losant_usage.control_total_reads, losant_usage.reconciliation,
      losant_usage.statements, losant_usage.statement_lines, losant_usage.statement_sources,
      losant_usage.statement_blockers, losant_usage.statement_files, losant_usage.adjustments,
      losant_usage.meter_events, losant_usage.focus_usage
      to losant_usage_reader;
    -- Read by functions and by what finds the cells that are due.
    grant select on losant_usage.tracks, losant_usage.read_cells, losant_usage.unread_cells, losant_usage.rowless_days, losant_usage.org_rows,
      losant_usage.month_rows, losant_usage.own_period_rows, losant_usage.losant_periods to losant_usage_reader;
    -- Bodies may hold anything Losant or a proxy answered; hosts are nobody's business.
    grant select (org_id, stream, from_date, to_date, code, problem, body_truncated, times, first_seen_at, last_seen_at,
      resolved_days, resolved_at, run_id) on losant_usage.quarantine to losant_usage_reader;
    grant select (instance_id, shard_count, shard_index, run_id, since, until, epoch) on losant_usage.leases to losant_usage_reader;
    grant select (run_id, instance_id, kind, is_full, status, from_date, to_date, streams, started_at, heartbeat_at,
      finished_at, version, orgs, cells_planned, cells_loaded, cells_unchanged, cells_left_out, cells_failed,
      cells_quarantined, cells_unavailable, cells_restated, cells_restated_final, rows_inserted, rows_updated,
      rows_deleted, rows_unchanged, requests, failures, error) on losant_usage.runs to losant_usage_reader;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    grant usage on schema losant_usage to losant_usage_writer;
    grant select on losant_usage.quarantine, losant_usage.leases, losant_usage.runs to losant_usage_writer;
    grant insert, update on
      losant_usage.instances, losant_usage.organizations, losant_usage.organization_history, losant_usage.runs,
      losant_usage.tracking, losant_usage.coverage, losant_usage.quarantine, losant_usage.usage_days,
      losant_usage.instance_totals, losant_usage.monthly_summaries, losant_usage.control_total_reads to losant_usage_writer;
    grant insert, update, delete on losant_usage.payload_sources, losant_usage.payload_hours, losant_usage.leases to losant_usage_writer;
    -- Who waived is set by the database.
    grant insert (org_id, stream, usage_date, reason), update (lifted_at, lifted_by_run) on losant_usage.waivers
      to losant_usage_writer;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_closer') then
    grant usage on schema losant_usage to losant_usage_closer;
    -- It writes no table: the functions do, with the rights of their owner, and say who closed, when and what.
    grant execute on function losant_usage.open_statement, losant_usage.seal_statement to losant_usage_closer;
    -- What LOCK TABLE asks for; the view cannot be written to.
    grant delete on losant_usage.load_lock to losant_usage_closer;
  end if;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.instance_changed_since(of_instance text, of_stream text, of_day date, moment timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select exists (
    select from losant_usage.revisions r join losant_usage.organizations o on o.org_id = r.org_id
    where r.changed_at > moment and r.usage_date = of_day and r.stream = of_stream and o.instance_id = of_instance)
  or exists (
    select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
    where c.usage_date = of_day and c.first_loaded_at > moment and c.stream = of_stream and o.instance_id = of_instance)
$function$

CREATE OR REPLACE FUNCTION losant_usage.is_by_hand()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select coalesce(current_setting('losant_usage.program', true), '') = ''
$function$

CREATE OR REPLACE FUNCTION losant_usage.is_contradicted(figures jsonb, bytes_of_mb bigint, devices_total bigint, notebook_minutes bigint, payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select coalesce(devices_total <> (figures ->> 'deviceCount')::numeric, false)
    or coalesce(notebook_minutes <> (figures ->> 'notebookMinutesCount')::numeric, false)
    or coalesce(payload_billable_count <> (figures ->> 'payloadBillableCount')::numeric, false)
    or coalesce(payload_all_count <> (figures ->> 'payloadBillableCount')::numeric
      + (figures ->> 'payloadNonbillableCount')::numeric, false)
    or coalesce(abs(payload_all_bytes - bytes_of_mb * ((figures ->> 'payloadBillableSizeMb')::numeric
      + (figures ->> 'payloadNonbillableSizeMb')::numeric)) >= bytes_of_mb, false)
$function$

CREATE OR REPLACE FUNCTION losant_usage.is_final_read(policy jsonb, last_day date, verified_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select coalesce(verified_at >= ((last_day + 1)::timestamp
    + (policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC', false)
$function$

CREATE OR REPLACE FUNCTION losant_usage.is_pruned(of_instance text, first_day date, last_day date)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select exists (
    select from losant_usage.pruned_months p join losant_usage.months m on m.month = p.month
    where p.instance_id = of_instance and p.month <= last_day and m.next_month > first_day)
$function$

CREATE OR REPLACE FUNCTION losant_usage.is_waiting(standing losant_usage.standing, reason text, usage_date date)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select standing = 'missing' and reason in ('left_out', 'unconfirmed', 'contradicted')
    and usage_date >= losant_usage.late_before(now())
$function$

CREATE OR REPLACE FUNCTION losant_usage.keep_read_days()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_seqscan TO 'off'
AS $function$
begin
  -- Locked in key order, after the rows of coverage: the order of every writer. By key, whatever the
  -- statistics of a table that was just filled make the planner think.
  perform from (select distinct c.org_id, c.stream from changed c order by c.org_id, c.stream) as c
  cross join lateral (
    select from losant_usage.tracking t where t.org_id = c.org_id and t.stream = c.stream for update
  ) as t;
  update losant_usage.tracking t
  set read_days = case tg_op when 'INSERT' then t.read_days + c.days else t.read_days - c.days end
  from (
    select org_id, stream, range_agg(daterange(usage_date, usage_date + 1)) as days
    from changed group by org_id, stream
  ) as c
  where t.org_id = c.org_id and t.stream = c.stream;
  return null;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.late_before(moment timestamp with time zone)
 RETURNS date
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select (moment at time zone 'UTC' - interval '6 hours')::date
$function$

CREATE OR REPLACE FUNCTION losant_usage.list_definitions()
 RETURNS TABLE(object text, definition text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select 'view ' || c.relname, pg_get_viewdef(c.oid) || ' ' || (
    select string_agg(a.attname, ',' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)
  from pg_class c
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
  union all
  select 'column ' || c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, ''))
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'r'
  union all
  select 'index ' || c.relname, pg_get_indexdef(c.oid) from pg_class c join pg_index i on i.indexrelid = c.oid
  where c.relnamespace = 'losant_usage'::regnamespace and i.indisvalid
  union all
  select 'constraint ' || n.conname || ' of ' || c.relname, pg_get_constraintdef(n.oid)
  from pg_constraint n join pg_class c on c.oid = n.conrelid
  where n.connamespace = 'losant_usage'::regnamespace and n.contype in ('p', 'u', 'f', 'c') and n.convalidated
  union all
  select 'trigger ' || t.tgname || ' of ' || c.relname, pg_get_triggerdef(t.oid)
  from pg_trigger t join pg_class c on c.oid = t.tgrelid
  where c.relnamespace = 'losant_usage'::regnamespace and not t.tgisinternal and t.tgenabled in ('O', 'A')
  union all
  select 'function ' || p.oid::regprocedure::text, case p.prokind when 'a' then '' else pg_get_functiondef(p.oid) end
  from pg_proc p where p.pronamespace = 'losant_usage'::regnamespace
  union all
  select 'type ' || t.typname, string_agg(e.enumlabel, ' ' order by e.enumsortorder)
  from pg_type t join pg_enum e on e.enumtypid = t.oid where t.typnamespace = 'losant_usage'::regnamespace group by t.typname
$function$

CREATE OR REPLACE FUNCTION losant_usage.loaded_at(cell losant_usage.coverage)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select case when cell.revision = 1 then cell.first_loaded_at else coalesce((
    select max(r.changed_at) from losant_usage.revisions r
    where r.org_id = cell.org_id and r.usage_date = cell.usage_date and r.stream = cell.stream
  ), cell.first_loaded_at) end
$function$

CREATE OR REPLACE FUNCTION losant_usage.local_daily_usage(time_zone text)
 RETURNS SETOF losant_usage.local_usage
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select o.instance_id, u.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, u.local_date, u.hours,
    coalesce(u.hours_stored, 0), u.is_reported, u.standing, u.is_whole and u.standing = 'final',
    case when u.is_whole then u.billable_count end, case when u.is_whole then u.all_count end,
    case when u.is_whole then u.all_bytes end
  from (
    select d.org_id, l.local_date, l.hours, sum(s.hours_stored)::integer as hours_stored,
      coalesce(sum(s.hours_stored) = l.hours, false) as is_whole,
      bool_and(d.is_reported) as is_reported, max(d.standing) as standing, losant_usage.total(s.billable_count) as billable_count,
      losant_usage.total(s.all_count) as all_count, losant_usage.total(s.all_bytes) as all_bytes
    from losant_usage.local_hours(time_zone) as l
    cross join lateral losant_usage.day_hours(l.usage_date) as d
    cross join lateral (
      select case when d.all_counts is not null then l.last_hour - l.first_hour + 1 end as hours_stored,
        losant_usage.total(n.billable) as billable_count, losant_usage.total(n.every) as all_count, losant_usage.total(n.bytes) as all_bytes
      from unnest(d.billable_counts[l.first_hour + 1:l.last_hour + 1], d.all_counts[l.first_hour + 1:l.last_hour + 1],
        d.all_bytes[l.first_hour + 1:l.last_hour + 1]) as n (billable, every, bytes)
    ) as s
    group by d.org_id, l.local_date, l.hours
  ) as u
  join losant_usage.organizations o on o.org_id = u.org_id
$function$

CREATE OR REPLACE FUNCTION losant_usage.local_hours(time_zone text)
 RETURNS TABLE(local_date date, hours integer, usage_date date, first_hour integer, last_hour integer)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE ROWS 100
AS $function$
declare
  first_day constant date := (select min(tracked_from) from losant_usage.tracking where stream = 'payload_hours');
  last_day constant date := (now() at time zone 'UTC')::date - 1;
  odd timestamp;
begin
  if time_zone is null then
    raise exception 'the time zone is null' using errcode = '22023', hint = 'name one, e.g. Europe/Berlin: pg_timezone_names lists them';
  end if;
  -- A year at least, because some zones are off by half an hour in one half of it only.
  select day into odd from generate_series(least(first_day, last_day - 366)::timestamp, last_day + interval '1 day', interval '1 day') as day
  where extract(minute from day at time zone 'UTC' at time zone time_zone) <> 0 limit 1;
  if odd is not null then
    raise exception 'the time zone % is off UTC by a part of an hour (on %), and usage is counted by UTC hours: its days cannot be told', time_zone, odd::date
      using errcode = '22023', hint = 'use a zone that is off by whole hours, or the UTC days of daily_usage';
  end if;
  return query
  select h.local_day, (sum(count(*)) over (partition by h.local_day))::integer, h.utc_day, min(h.hour)::integer, max(h.hour)::integer
  from (
    select ((day + hour * interval '1 hour') at time zone 'UTC' at time zone time_zone)::date as local_day, day::date as utc_day, hour
    from generate_series(first_day - interval '1 day', last_day + interval '1 day', interval '1 day') as day,
      generate_series(0, 23) as hour
  ) as h group by h.local_day, h.utc_day;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.locked_at()
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select coalesce(nullif(current_setting('losant_usage.locked_at', true), '')::timestamptz, now())
$function$

CREATE OR REPLACE FUNCTION losant_usage.next_checkpoint(usage_date date, verified_at timestamp with time zone, read_at_hours integer[])
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select min(checkpoint) from (
    select ((usage_date + 1)::timestamp + hours * interval '1 hour') at time zone 'UTC' as checkpoint
    from unnest(read_at_hours) as hours
  ) as c where verified_at is null or checkpoint > verified_at
$function$

CREATE OR REPLACE FUNCTION losant_usage.open_statement(for_instance text, of_month date, is_adjustment boolean, incomplete_reason text, moment timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare
  periods constant text := losant_usage.require_closable(for_instance, of_month, is_adjustment, moment);
  new_id constant uuid := gen_random_uuid();
  blocker_count bigint;
  line_count bigint;
begin
  -- In another isolation, blockers, lines and files would be of different moments.
  if current_setting('transaction_isolation') <> 'repeatable read' or moment not between now() and clock_timestamp() then
    raise exception 'a statement is of one moment' using hint = 'losant-usage close';
  end if;
  insert into losant_usage.statement_blockers
  select new_id, row_number() over (order by b.org_name, b.org_id, b.period_start, b.cause, b.first_day), b.org_id, b.org_name,
    b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
  from losant_usage.closing_blockers(for_instance, of_month) b;
  get diagnostics blocker_count = row_count;
  if blocker_count > 0 and incomplete_reason is null then return jsonb_build_object('outcome', 'refused'); end if;
  insert into losant_usage.statement_lines (statement_id, org_id, period_start, metric, period_end, org_name,
    referral_id, plan_id, customer_id, unit, kind, quantity, total, total_max, total_avg, days_in_period,
    days_expected, days_stored, days_final, days_accepted, days_unavailable, days_not_final, days_in_doubt, days_missing,
    days_unreported, days_by_hand, is_billable, revision_watermark)
  with draft as materialized (
    select * from losant_usage.statement_draft(for_instance, of_month, periods, is_adjustment)
  ),
  newest as materialized (
    select p.org_id, p.period_start, (
      select max(r.id) from losant_usage.revisions r
      where r.org_id = p.org_id and r.usage_date between p.period_start and p.period_end) as id
    from (select distinct d.org_id, d.period_start, d.period_end from draft d) as p
  )
  select new_id, d.org_id, d.period_start, d.metric, d.period_end, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.unit,
    d.kind, d.quantity, d.total, d.total_max, d.total_avg, d.days_in_period, d.days_expected, d.days_stored, d.days_final,
    d.days_accepted, d.days_unavailable, d.days_not_final, d.days_in_doubt, d.days_missing, d.days_unreported,
    d.days_by_hand, d.is_billable, coalesce(r.id, 0)
  from draft d join newest r on r.org_id = d.org_id and r.period_start = d.period_start;
  get diagnostics line_count = row_count;
  if line_count = 0 then return jsonb_build_object('outcome', case when is_adjustment then 'unchanged' else 'empty' end); end if;
  insert into losant_usage.statement_sources (statement_id, org_id, period_start, payload_type, source, quantity, total)
  select new_id, c.org_id, c.period_start, c.payload_type, c.source, c.quantity, c.total
  from losant_usage.source_changes(for_instance, of_month, periods, false) c
  where exists (
    select from losant_usage.statement_lines l where l.statement_id = new_id and l.org_id = c.org_id
      and l.period_start = c.period_start and l.metric = 'payload_source_count');
  insert into losant_usage.statements
    (statement_id, instance_id, period_month, number, kind, source, reason, orgs, rules, closed_at, previous_sha256)
  select new_id, i.instance_id, of_month, coalesce(p.number, 0) + 1, case when is_adjustment then 'adjustment' else 'closing' end,
    periods, case when blocker_count > 0 then incomplete_reason end,
    (select count(distinct l.org_id) from losant_usage.statement_lines l where l.statement_id = new_id),
    coalesce(i.policy, '{}') || jsonb_build_object('controlTotals', i.control_totals), moment, p.manifest_sha256
  from losant_usage.instances i
  left join lateral (
    select s.number, s.manifest_sha256 from losant_usage.statements s
    where s.instance_id = for_instance order by s.number desc limit 1
  ) as p on true
  where i.instance_id = for_instance;
  return jsonb_build_object('outcome', 'open', 'lines', line_count, 'statement', losant_usage.statement_document(new_id));
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.org_changed_since(of_org text, first_day date, last_day date, moment timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select exists (
    select from losant_usage.revisions r
    where r.org_id = of_org and r.usage_date between first_day and last_day and r.changed_at > moment)
  or exists (
    select from losant_usage.days_between(first_day, last_day) as day
    join losant_usage.coverage c on c.usage_date = day and c.first_loaded_at > moment and c.org_id = of_org)
$function$

CREATE OR REPLACE FUNCTION losant_usage.period_numbers(for_instance text, of_month date, of_source text)
 RETURNS TABLE(org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date, metric text, stream text, unit text, kind text, total bigint, total_max bigint, total_avg numeric, days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer, days_unavailable integer, days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer, days_by_hand integer, is_billable boolean)
 LANGUAGE plpgsql
 STABLE STRICT ROWS 100000
 SET plan_cache_mode TO 'force_custom_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
declare
  month_end constant date := (of_month + interval '1 month')::date - 1;
  first_day date;
  last_day date;
begin
  select min(p.period_start), max(p.period_end) into first_day, last_day
  from losant_usage.statement_periods(for_instance, of_month, of_source) p;
  return query
  with periods as materialized (
    select p.* from losant_usage.statement_periods(for_instance, of_month, of_source) p
  ),
  sums as (
    select p.period_start, p.period_end, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.days_in_period,
      s.days_expected, s.is_clear, s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max,
      s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
      s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
    from losant_usage.period_sums(of_month, month_end + 1, '', 'g') s
    join periods p on p.org_id = s.org_id and p.period_start = of_month and p.period_end = month_end
    where of_source = 'calendar'
    union all
    select p.period_start, p.period_end, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.days_in_period,
      s.days_expected, s.is_clear, s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max,
      s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
      s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
    from periods p cross join lateral losant_usage.period_sums(p.period_start, p.period_end + 1, p.org_id, p.org_id) s
    where of_source = 'losant' or p.period_start <> of_month or p.period_end <> month_end
  ),
  tracks as materialized (
    select p.org_id, p.period_start, t.stream,
      losant_usage.count_days(t.days * datemultirange(daterange(p.period_start, p.period_end + 1))) as days
    from periods p join losant_usage.tracked t on t.org_id = p.org_id
  ),
  -- What is not final or not reported; all other tracked days are final.
  cells as materialized (
    select p.org_id, p.period_start, c.stream, count(*) filter (where c.standing <> 'final')::integer as others,
      count(*) filter (where not c.is_stored)::integer as not_stored,
      count(*) filter (where c.standing = 'accepted')::integer as accepted,
      count(*) filter (where c.standing in ('stored', 'waiting'))::integer as not_final,
      count(*) filter (where c.standing = 'unavailable')::integer as unavailable,
      count(*) filter (where c.standing = 'in_doubt')::integer as in_doubt,
      count(*) filter (where c.standing = 'missing')::integer as missing,
      count(*) filter (where c.is_stored and not c.is_reported and c.verified_at is not null)::integer as unreported,
      count(*) filter (where c.is_stored and c.verified_at is null)::integer as by_hand
    from (
      select r.org_id, r.stream, r.usage_date, r.standing, r.is_stored, r.is_reported, r.verified_at
      from losant_usage.read_cells r
      where r.usage_date between first_day and last_day and (r.standing <> 'final' or not r.is_reported)
      union all
      select r.org_id, r.stream, r.usage_date, r.standing, false, false, null
      from losant_usage.unread_cells r where r.usage_date between first_day and last_day
    ) as c
    join periods p on p.org_id = c.org_id and c.usage_date between p.period_start and p.period_end
    group by p.org_id, p.period_start, c.stream
  )
  select s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.period_start, s.period_end,
    m.metric, m.stream, m.unit, m.kind, m.total, m.total_max, m.total_avg, s.days_in_period, k.days,
    k.days - coalesce(c.not_stored, 0), k.days - coalesce(c.others, 0), coalesce(c.accepted, 0),
    coalesce(c.unavailable, 0), coalesce(c.not_final, 0), coalesce(c.in_doubt, 0), coalesce(c.missing, 0),
    coalesce(c.unreported, 0), coalesce(c.by_hand, 0), s.is_clear
  from sums s
  join tracks k on k.org_id = s.org_id and k.period_start = s.period_start and k.days > 0
  left join cells c on c.org_id = s.org_id and c.period_start = s.period_start and c.stream = k.stream
  join lateral (values
    ('devices_created', 'device_counts', 'devices', 'flow', s.devices_created, null::bigint, null::numeric),
    ('devices_deleted', 'device_counts', 'devices', 'flow', s.devices_deleted, null::bigint, null::numeric),
    ('devices_total', 'device_counts', 'devices', 'level', s.devices_total, s.devices_total_max, s.devices_total_avg),
    ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', s.notebook_minutes, null::bigint, null::numeric),
    ('notebook_completed', 'notebook_minutes', 'executions', 'flow', s.notebook_completed, null::bigint, null::numeric),
    ('notebook_canceled', 'notebook_minutes', 'executions', 'flow', s.notebook_canceled, null::bigint, null::numeric),
    ('notebook_errored', 'notebook_minutes', 'executions', 'flow', s.notebook_errored, null::bigint, null::numeric),
    ('notebook_timeout', 'notebook_minutes', 'executions', 'flow', s.notebook_timeout, null::bigint, null::numeric),
    ('payload_billable_count', 'payload_totals', 'payloads', 'flow', s.payload_billable_count, null::bigint, null::numeric),
    ('payload_all_count', 'payload_totals', 'payloads', 'flow', s.payload_all_count, null::bigint, null::numeric),
    ('payload_all_bytes', 'payload_totals', 'bytes', 'flow', s.payload_all_bytes, null::bigint, null::numeric),
    ('payload_source_count', 'payload_sources', 'payloads', 'flow', s.payload_source_count, null::bigint, null::numeric)
  ) as m (metric, stream, unit, kind, total, total_max, total_avg) on m.stream = k.stream;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.period_sums(first_day date, next_day date, first_org text, last_org text)
 RETURNS SETOF losant_usage.period_sum
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select o.instance_id, o.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, o.tags,
    next_day - first_day, e.days_expected,
    e.days_expected - losant_usage.count_days(c.not_stored_days),
    e.days_expected - losant_usage.count_days(c.not_final_days),
    losant_usage.count_days(c.accepted_days), losant_usage.count_days(c.unavailable_days),
    losant_usage.count_days(c.unreported_days), coalesce(u.days_untracked, 0),
    coalesce(u.device_counts_days, 0), coalesce(u.notebook_minutes_days, 0), coalesce(u.payload_totals_days, 0), coalesce(u.payload_sources_days, 0),
    e.days_possible, e.is_over, f.is_fully_tracked,
    case when e.days_expected > 0 then coalesce(c.standing, 'final') end,
    e.is_over and f.is_fully_tracked and e.days_expected > 0 and c.not_final_days is null,
    e.is_over and f.is_fully_tracked and not coalesce(c.is_blocked, false),
    c.open_days, c.missing_days, c.in_doubt_days, c.unavailable_days, c.by_hand_days,
    c.open_streams, c.missing_streams, c.in_doubt_streams, c.unavailable_streams, c.by_hand_streams,
    u.devices_created, u.devices_deleted, u.devices_total, u.devices_total_on, u.devices_total_max,
    u.devices_total_avg, u.notebook_minutes, u.notebook_completed, u.notebook_canceled, u.notebook_errored,
    u.notebook_timeout, u.payload_billable_count, u.payload_all_count, u.payload_all_bytes, u.payload_source_count
  from losant_usage.organizations o
  left join (
    select r.org_id,
      count(*) filter (where r.is_tracked)::integer as days_tracked,
      count(*) filter (where r.has_untracked)::integer as days_untracked,
      min(r.streams_set) filter (where r.is_tracked) as first_set,
      max(r.streams_set) filter (where r.is_tracked) as last_set,
      count(r.devices_created)::integer as device_counts_days,
      count(r.notebook_minutes)::integer as notebook_minutes_days,
      count(r.payload_billable_count)::integer as payload_totals_days,
      count(r.payload_source_count)::integer as payload_sources_days,
      losant_usage.total(r.devices_created) as devices_created,
      losant_usage.total(r.devices_deleted) as devices_deleted,
      -- The newest day and its number are the greatest of both in one: numbers are below 2^53, days come above them.
      max((r.usage_date - first_day)::bigint << 53 | r.devices_total) & 9007199254740991 as devices_total,
      first_day + (max((r.usage_date - first_day)::bigint << 53 | r.devices_total) >> 53)::integer as devices_total_on,
      max(r.devices_total) as devices_total_max,
      round(losant_usage.total(r.devices_total)::numeric / nullif(count(r.devices_total), 0), 2) as devices_total_avg,
      losant_usage.total(r.notebook_minutes) as notebook_minutes,
      losant_usage.total(r.notebook_completed) as notebook_completed,
      losant_usage.total(r.notebook_canceled) as notebook_canceled,
      losant_usage.total(r.notebook_errored) as notebook_errored,
      losant_usage.total(r.notebook_timeout) as notebook_timeout,
      losant_usage.total(r.payload_billable_count) as payload_billable_count,
      losant_usage.total(r.payload_all_count) as payload_all_count,
      losant_usage.total(r.payload_all_bytes) as payload_all_bytes,
      losant_usage.total(r.payload_source_count) as payload_source_count
    from losant_usage.days_between(first_day, next_day - 1) as day
    join losant_usage.org_rows r on r.usage_date = day and r.org_id between first_org and last_org
    group by r.org_id
  ) as u on u.org_id = o.org_id
  left join (
    select c.org_id, max(c.standing) as standing,
      count(*) filter (where c.streams_set is not null)::integer as days_rowless,
      min(c.streams_set) as first_set, max(c.streams_set) as last_set,
      range_agg(c.day) filter (where not c.is_stored) as not_stored_days,
      range_agg(c.day) filter (where c.standing <> 'final') as not_final_days,
      range_agg(c.day) filter (where c.standing = 'accepted') as accepted_days,
      range_agg(c.day) filter (where c.is_stored and not c.is_reported and c.stream <> 'payload_hours') as unreported_days,
      bool_or(c.cause is not null) as is_blocked,
      range_agg(c.day) filter (where c.cause = 'not_final') as open_days,
      range_agg(c.day) filter (where c.cause = 'missing') as missing_days,
      range_agg(c.day) filter (where c.cause = 'in_doubt') as in_doubt_days,
      range_agg(c.day) filter (where c.cause = 'unavailable') as unavailable_days,
      range_agg(c.day) filter (where c.cause = 'changed_by_hand') as by_hand_days,
      array_agg(distinct c.stream) filter (where c.cause = 'not_final') as open_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'missing') as missing_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'in_doubt') as in_doubt_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'unavailable') as unavailable_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'changed_by_hand') as by_hand_streams
    from (
      select *, case when standing in ('stored', 'waiting') then 'not_final'
        when standing not in ('final', 'accepted') then
          case when reason = 'changed_by_hand' then reason else standing::text end end as cause
      from (
        select r.org_id, r.stream, daterange(r.usage_date, r.usage_date + 1) as day, r.standing, r.reason, r.is_stored,
          -- What was typed in is no zero that stands for what Losant left out.
          r.is_reported or r.verified_at is null as is_reported, null::integer as streams_set
        -- By a range, not by each day: days of a join are not known inside the arms of read_cells.
        from losant_usage.read_cells r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
          and (r.standing <> 'final' or not r.is_reported)
        union all
        select r.org_id, r.stream, daterange(usage_date, usage_date + 1), r.standing, 'never_read', false, false, null
        from losant_usage.unread_cells r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
        union all
        select r.org_id, null, null, null, null, null, null, r.streams_set
        from losant_usage.rowless_days r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
      ) as c
    ) as c group by c.org_id
  ) as c on c.org_id = o.org_id
  cross join lateral (
    select coalesce(u.days_tracked, 0) + coalesce(c.days_rowless, 0) as days_expected,
      next_day <= (now() at time zone 'UTC')::date as is_over,
      greatest(0, least(next_day, o.removed_on + 1) - greatest(first_day, o.created_on)) as days_possible
  ) as e
  cross join lateral (
    -- Every day on which it existed is tracked, each for the same streams.
    select coalesce(least(u.first_set, c.first_set) = greatest(u.last_set, c.last_set), true)
      and e.days_expected = greatest(0,
        least(next_day, o.removed_on + 1, (now() at time zone 'UTC')::date) - greatest(first_day, o.created_on)) as is_fully_tracked
  ) as f
  cross join lateral (
    -- Something is to be invoiced of it: a day is tracked, or one should be. Who left the configuration before is none.
    select e.days_expected > 0 or (e.days_possible > 0 and exists (
      select from losant_usage.tracking t
      where t.org_id = o.org_id and (upper_inf(t.tracked_days) or t.tracked_to >= first_day))) as is_wanted
  ) as w
  where o.org_id between first_org and last_org and w.is_wanted
$function$

CREATE OR REPLACE FUNCTION losant_usage.record_changes()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  changes losant_usage.cell_change[];
  is_by_hand constant boolean := losant_usage.is_by_hand();
  -- A trigger on the way to its own sum, or to the rows below it, only adds to the record.
  is_outermost constant boolean := pg_trigger_depth() = 1;
  is_detail constant boolean := tg_table_name <> 'usage_days';
begin
  if tg_op = 'INSERT' then
    select array_agg(c) into changes from new_rows n
    cross join lateral losant_usage.cell_changes(tg_table_name, null, to_jsonb(n)) as c;
  elsif tg_op = 'DELETE' then
    select array_agg(c) into changes from old_rows o
    cross join lateral losant_usage.cell_changes(tg_table_name, to_jsonb(o), null) as c;
  else
    if is_by_hand and not is_detail and exists (
      select from old_rows o
      where not exists (select from new_rows n where n.usage_date = o.usage_date and n.org_id = o.org_id)) then
      raise exception 'losant_usage.usage_days: the key of a row cannot change' using hint = 'change the numbers of both days';
    end if;
    select array_agg(c) into changes
    from (select r.usage_date, r.org_id, to_jsonb(r) as value, losant_usage.row_key(to_jsonb(r), tg_argv) as key from old_rows r) as o
    full join (select r.usage_date, r.org_id, to_jsonb(r) as value, losant_usage.row_key(to_jsonb(r), tg_argv) as key from new_rows r) as n
      on n.usage_date = o.usage_date and n.org_id = o.org_id and n.key = o.key
    cross join lateral losant_usage.cell_changes(tg_table_name, o.value, n.value) as c;
  end if;
  -- A day that the ledger has keeps its row, also after a row without numbers was deleted by hand.
  if is_by_hand and is_outermost and not is_detail and tg_op = 'DELETE' then
    insert into losant_usage.usage_days (usage_date, org_id)
    select distinct usage_date, org_id from old_rows order by usage_date, org_id on conflict do nothing;
  end if;
  if changes is null then return null; end if;
  if is_by_hand and is_outermost then
    if not is_detail and exists (
      select from unnest(changes) c join losant_usage.streams s on s.stream = c.stream
      where s.key_columns <> '{}' and c.new is not null) then
      raise exception 'losant_usage.usage_days: a sum over the rows of another table is refused' using hint = 'change the rows of that table: the sum follows them';
    end if;
    -- Losant has named nothing of it: what an earlier answer said of the cell is no longer so.
    insert into losant_usage.coverage as c
      (usage_date, stream, org_id, standing, is_stored, revision, first_loaded_at, next_read_at, reason, message)
    select usage_date, stream, org_id,
      case when is_stored then 'in_doubt' else 'missing' end::losant_usage.standing, is_stored, 1,
      clock_timestamp(), clock_timestamp(), 'changed_by_hand',
      case when is_stored then 'its numbers were changed by hand' else 'its numbers were removed by hand' end
    from (
      select distinct k.usage_date, k.stream, k.org_id, case when k.key <> '{}' then exists (
          select from losant_usage.payload_sources p where p.usage_date = k.usage_date and p.org_id = k.org_id)
        else k.new is not null end as is_stored
      from unnest(changes) as k
    ) as cell
    order by usage_date, stream, org_id
    on conflict (usage_date, stream, org_id) do update set
      standing = excluded.standing, is_stored = excluded.is_stored, is_reported = false, revision = c.revision + 1,
      first_loaded_at = coalesce(c.first_loaded_at, excluded.first_loaded_at), next_read_at = excluded.next_read_at,
      verified_at = null, response_sha256 = null, attempts = 0, omissions = 0, run_id = null,
      reason = excluded.reason, message = excluded.message;
    update losant_usage.waivers w set lifted_at = clock_timestamp() from unnest(changes) as k
    where w.usage_date = k.usage_date and w.stream = k.stream and w.org_id = k.org_id and w.lifted_at is null;
  end if;
  -- A first load is no change.
  insert into losant_usage.revisions
    (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final)
  select n.stream, n.org_id, n.usage_date, c.revision, n.key, n.old, n.new,
    losant_usage.current_run(), session_user, clock_timestamp(),
    c.finalized_at is not null and (is_by_hand or c.finalized_at < losant_usage.locked_at())
  from unnest(changes) as n
  join losant_usage.coverage c on c.usage_date = n.usage_date and c.stream = n.stream and c.org_id = n.org_id
  where is_by_hand or n.old is not null or c.revision > 1
  order by n.usage_date, n.org_id, n.stream, n.key::text collate "C";
  if not (is_by_hand and is_outermost) then return null; end if;
  if tg_table_name = 'payload_hours' then
    -- The views have a day by its row of usage_days.
    insert into losant_usage.usage_days (usage_date, org_id)
    select distinct k.usage_date, k.org_id from unnest(changes) as k order by k.usage_date, k.org_id on conflict do nothing;
  elsif is_detail then
    -- A row is of the version of the cell that it is in now: one that came from another day may have had a later one.
    update losant_usage.payload_sources p set revision = c.revision
    from unnest(changes) as k
    join losant_usage.coverage c on c.usage_date = k.usage_date and c.org_id = k.org_id and c.stream = k.stream
    where k.new is not null and p.usage_date = k.usage_date and p.org_id = k.org_id
      and p.payload_type = k.key ->> 'payload_type' and p.source = k.key ->> 'source';
    insert into losant_usage.usage_days as u (usage_date, org_id, payload_source_count)
    select k.usage_date, k.org_id, (
      select sum(p.count) from losant_usage.payload_sources p where p.usage_date = k.usage_date and p.org_id = k.org_id)
    from (select distinct usage_date, org_id from unnest(changes)) as k order by k.usage_date, k.org_id
    on conflict (usage_date, org_id) do update set payload_source_count = excluded.payload_source_count;
  elsif tg_op <> 'INSERT' then
    delete from losant_usage.payload_sources p using unnest(changes) as k
    where k.stream = 'payload_sources' and k.new is null and p.usage_date = k.usage_date and p.org_id = k.org_id;
  end if;
  return null;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.record_definitions()
 RETURNS void
 LANGUAGE sql
AS $function$
  delete from losant_usage.definitions;
  insert into losant_usage.definitions
  select object, md5(definition), md5(losant_usage.definition_core(definition)), current_setting('server_version_num')::integer / 10000 from losant_usage.list_definitions()
  union all
  select 'catalog', losant_usage.catalog_state(), '', current_setting('server_version_num')::integer / 10000
$function$

CREATE OR REPLACE FUNCTION losant_usage.refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'losant_usage.%: % is refused', tg_table_name, lower(tg_op) using hint = tg_argv[0];
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.refuse_addition()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if exists (
    select from added a join losant_usage.statements s on s.statement_id = a.statement_id where s.manifest_sha256 is not null) then
    raise exception 'losant_usage.%: nothing can be added to a statement', tg_table_name;
  end if;
  return null;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.require_closable(for_instance text, of_month date, is_adjustment boolean, moment timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
  month_name constant text := to_char(of_month, 'YYYY-MM');
  usual text;
  title text;
  closing losant_usage.statements;
begin
  select i.billing_periods, case when i.name is null then i.instance_id else format('%s (%s)', i.name, i.instance_id) end
  into usual, title from losant_usage.instances i where i.instance_id = for_instance;
  if usual is null then
    raise exception 'there is no instance %', for_instance using errcode = 'LU001', hint = 'losant-usage status shows those there are';
  end if;
  title := format('%s of instance %s', month_name, title);
  if (of_month + interval '1 month')::date > (moment at time zone 'UTC')::date then
    raise exception '% is not over: its last day is % (UTC)', month_name, (of_month + interval '1 month')::date - 1
      using errcode = 'LU001', hint = 'close a month after its end, when its last days are final: 72 hours later by default (FINAL_AT_HOURS)';
  end if;
  select * into closing from losant_usage.statements s
  where s.instance_id = for_instance and s.period_month = of_month and s.kind = 'closing';
  if losant_usage.is_pruned(for_instance, of_month, (of_month + interval '1 month')::date - 1) then
    raise exception '% was removed: nothing is left to bill', title
      using errcode = 'LU001', hint = 'losant-usage statement writes the proof packs of its statements, which stay';
  end if;
  if is_adjustment and closing.statement_id is null then
    raise exception '% is not closed, so there is nothing to adjust', title
      using errcode = 'LU001', hint = format('close it first: losant-usage close --period %s', month_name);
  end if;
  if not is_adjustment and closing.statement_id is not null then
    raise exception '% is closed already, since % by %', title,
      to_char(closing.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), closing.closed_by using errcode = 'LU001',
      hint = format('a closed period stays as it is; what changed since is billed with: losant-usage close --period %s --adjust', month_name);
  end if;
  return coalesce(closing.source, usual);
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.require_seal()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if exists (select from losant_usage.statements s where s.statement_id = new.statement_id and s.manifest_sha256 is null) then
    raise exception 'losant_usage.statements: a statement without its proof pack is refused' using hint = 'losant-usage close';
  end if;
  return null;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.row_key(row_value jsonb, key_columns text[])
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select coalesce(jsonb_object_agg(k, row_value -> k), '{}') from unnest(key_columns) as k where row_value ? k
$function$

CREATE OR REPLACE FUNCTION losant_usage.seal_statement(of_statement uuid, file_name text, content bytea)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  manifest jsonb;
begin
  perform from losant_usage.statements s where s.statement_id = of_statement and s.manifest is null;
  if not found then
    raise exception 'losant_usage.statements: nothing can be added to a statement' using hint = 'losant-usage close --adjust makes another';
  end if;
  if file_name <> 'manifest.json' then
    insert into losant_usage.statement_files
    select of_statement, file_name, count(*), content from losant_usage.statement_files f
    where f.statement_id = of_statement and f.name = file_name;
    return;
  end if;
  manifest := convert_from(content, 'UTF8')::jsonb;
  if manifest -> 'statement' is distinct from losant_usage.statement_document(of_statement)
    or manifest -> 'totals' is distinct from (select jsonb_agg(to_jsonb(t)) from losant_usage.statement_totals(of_statement) t)
    or array(select f ->> 'name' from jsonb_array_elements(manifest -> 'files') as f order by 1) is distinct from array(
      select distinct f.name from losant_usage.statement_files f where f.statement_id = of_statement and f.name like '%.csv' order by 1) then
    raise exception 'losant_usage.statements: the manifest is not that of the statement' using hint = 'losant-usage close';
  end if;
  perform set_config('losant_usage.sealing', of_statement::text, true);
  update losant_usage.statements s set manifest = convert_from(content, 'UTF8'), manifest_sha256 = sha256(content)
  where s.statement_id = of_statement;
  perform set_config('losant_usage.sealing', '', true);
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.source_changes(for_instance text, of_month date, of_source text, only_restated boolean)
 RETURNS TABLE(org_id text, period_start date, payload_type text, source text, quantity bigint, total bigint)
 LANGUAGE plpgsql
 STABLE STRICT ROWS 10000
 SET plan_cache_mode TO 'force_custom_plan'
 SET jit TO 'off'
 SET enable_nestloop TO 'off'
AS $function$
#variable_conflict use_column
declare
  first_day date;
  last_day date;
  chosen text[];
begin
  select min(p.period_start), max(p.period_end),
    array_agg(distinct p.org_id) filter (where not only_restated or exists (
      select from losant_usage.revisions r
      where r.org_id = p.org_id and r.stream = 'payload_sources' and r.usage_date between p.period_start and p.period_end
        and r.changed_at > (
          select min(s.closed_at) from losant_usage.statements s
          where s.instance_id = for_instance and s.period_month = of_month)))
  into first_day, last_day, chosen
  from losant_usage.statement_periods(for_instance, of_month, of_source) p;
  if chosen is null then return; end if;
  return query
  -- Materialized, and joined without a loop, so that it is what the rows of the month are looked up in, and not the other
  -- way round, however few organizations the planner expects.
  with spans as materialized (
    select p.org_id, p.period_start, p.period_end, t.from_day, t.to_day, t.has_holes, t.days
    from losant_usage.statement_periods(for_instance, of_month, of_source) p
    join losant_usage.tracked t on t.org_id = p.org_id and t.stream = 'payload_sources'
    where p.org_id = any (chosen)
  )
  select coalesce(n.org_id, b.org_id), coalesce(n.period_start, b.period_start),
    coalesce(n.payload_type, b.payload_type), coalesce(n.source, b.source),
    coalesce(n.total, 0) - coalesce(b.total, 0), coalesce(n.total, 0)
  from (
    select p.org_id, p.period_start, u.payload_type, u.source, losant_usage.total(u.count) as total
    from losant_usage.payload_sources u
    join spans p on p.org_id = u.org_id and u.usage_date between p.period_start and p.period_end
      and u.usage_date between p.from_day and p.to_day and (not p.has_holes or u.usage_date <@ p.days)
    where u.usage_date between first_day and last_day
    group by p.org_id, p.period_start, u.payload_type, u.source
  ) as n
  full join (
    select l.org_id, l.period_start, l.payload_type, l.source, losant_usage.total(l.quantity) as total
    from losant_usage.statements s join losant_usage.statement_sources l on l.statement_id = s.statement_id
    where s.instance_id = for_instance and s.period_month = of_month and l.org_id = any (chosen)
    group by l.org_id, l.period_start, l.payload_type, l.source
  ) as b on b.org_id = n.org_id and b.period_start = n.period_start and b.payload_type = n.payload_type and b.source = n.source
  where coalesce(n.total, 0) <> coalesce(b.total, 0);
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.statement_document(of_statement uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select jsonb_build_object('id', s.statement_id, 'instanceId', s.instance_id, 'month', to_char(s.period_month, 'YYYY-MM'),
    'number', s.number, 'kind', s.kind, 'periods', s.source, 'reason', s.reason, 'orgs', s.orgs,
    'closedAt', to_char(s.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'closedBy', s.closed_by,
    'rules', s.rules, 'previousSha256', encode(s.previous_sha256, 'hex'),
    'earlier', (
      select coalesce(jsonb_agg(jsonb_build_object('number', e.number, 'sha256', encode(e.manifest_sha256, 'hex')) order by e.number), '[]')
      from losant_usage.statements e
      where e.instance_id = s.instance_id and e.period_month = s.period_month and e.number < s.number))
  from losant_usage.statements s where s.statement_id = of_statement
$function$

CREATE OR REPLACE FUNCTION losant_usage.statement_draft(for_instance text, of_month date, of_source text, is_adjustment boolean)
 RETURNS TABLE(org_id text, period_start date, metric text, period_end date, org_name text, referral_id text, plan_id text, customer_id text, unit text, kind text, quantity bigint, total bigint, total_max bigint, total_avg numeric, days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer, days_unavailable integer, days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer, days_by_hand integer, is_billable boolean)
 LANGUAGE plpgsql
 STABLE STRICT ROWS 100000
 SET plan_cache_mode TO 'force_custom_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
begin
  if is_adjustment then
    return query
    select a.org_id, a.period_start, a.metric, a.period_end, a.org_name, a.referral_id, a.plan_id, a.customer_id, a.unit, a.kind,
      a.difference, a.now_quantity, a.now_max, a.now_avg, a.days_in_period, a.days_expected, a.days_stored, a.days_final,
      a.days_accepted, a.days_unavailable, a.days_not_final, a.days_in_doubt, a.days_missing, a.days_unreported, a.days_by_hand,
      a.is_billable
    from losant_usage.adjustments_of(for_instance, of_month, of_source) a where a.difference is not null;
  else
    return query
    select n.org_id, n.period_start, n.metric, n.period_end, n.org_name, n.referral_id, n.plan_id, n.customer_id, n.unit, n.kind,
      n.total, n.total, n.total_max, n.total_avg, n.days_in_period, n.days_expected, n.days_stored, n.days_final,
      n.days_accepted, n.days_unavailable, n.days_not_final, n.days_in_doubt, n.days_missing, n.days_unreported, n.days_by_hand,
      n.is_billable
    from losant_usage.period_numbers(for_instance, of_month, of_source) n;
  end if;
end
$function$

CREATE OR REPLACE FUNCTION losant_usage.statement_periods(for_instance text, of_month date, of_source text)
 RETURNS TABLE(org_id text, period_start date, period_end date)
 LANGUAGE sql
 STABLE
AS $function$
  with periods as (
    select o.org_id, of_month as period_start, (of_month + interval '1 month')::date - 1 as period_end
    from losant_usage.organizations o where o.instance_id = for_instance and of_source = 'calendar'
    union all
    select p.org_id, p.period_start, p.period_end
    from losant_usage.losant_periods p join losant_usage.organizations o on o.org_id = p.org_id and o.instance_id = for_instance
    where of_source = 'losant' and p.period_end between of_month and (of_month + interval '1 month')::date - 1
  ),
  billed as materialized (
    select l.org_id, l.period_start, l.period_end, s.period_month
    from losant_usage.statement_lines l
    join losant_usage.statements s on s.statement_id = l.statement_id and s.instance_id = for_instance
    where l.period_end >= (select min(period_start) from periods) and l.period_start < (of_month + interval '1 month')::date
    union
    select l.org_id, l.period_start, l.period_end, s.period_month
    from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
    where s.instance_id = for_instance and s.period_month = of_month
  )
  select b.org_id, b.period_start, b.period_end from billed b where b.period_month = of_month
  union all
  select p.org_id, lower(part), upper(part) - 1
  from periods p
  left join (
    select b.org_id, range_agg(daterange(b.period_start, b.period_end + 1)) as days from billed b group by b.org_id
  ) as b on b.org_id = p.org_id
  cross join lateral unnest(datemultirange(daterange(p.period_start, p.period_end + 1)) - coalesce(b.days, '{}')) as part
$function$

CREATE OR REPLACE FUNCTION losant_usage.statement_totals(of_statement uuid)
 RETURNS TABLE(metric text, unit text, kind text, orgs integer, quantity text)
 LANGUAGE sql
 STABLE
AS $function$
  select l.metric, l.unit, l.kind, count(distinct l.org_id)::integer, sum(l.quantity)::text
  from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
  where l.statement_id = of_statement group by l.metric, l.unit, l.kind, m.position order by m.position
$function$

-- losant_usage.total(bigint)

CREATE OR REPLACE FUNCTION losant_usage.unread_standing(usage_date date)
 RETURNS losant_usage.standing
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select case when usage_date < losant_usage.late_before(now()) then 'missing' else 'waiting' end::losant_usage.standing
$function$

CREATE OR REPLACE FUNCTION losant_usage.usage_as_of(moment timestamp with time zone)
 RETURNS TABLE(instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text, usage_date date, is_final boolean, devices_created bigint, devices_deleted bigint, devices_total bigint, notebook_minutes bigint, notebook_completed bigint, notebook_canceled bigint, notebook_errored bigint, notebook_timeout bigint, payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint, payload_source_count bigint)
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  select o.instance_id, u.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, day,
    u.is_open is not true and u.is_unread is not true,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'created')::bigint else u.devices_created end,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'deleted')::bigint else u.devices_deleted end,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'total')::bigint else u.devices_total end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'minutes')::bigint else u.notebook_minutes end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'completed')::bigint else u.notebook_completed end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'canceled')::bigint else u.notebook_canceled end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'errored')::bigint else u.notebook_errored end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'timeout')::bigint else u.notebook_timeout end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'billable_count')::bigint else u.payload_billable_count end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'all_count')::bigint else u.payload_all_count end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'all_bytes')::bigint else u.payload_all_bytes end,
    case when 'payload_sources' = any (u.unknown) then null when later.old ? 'payload_sources' then (later.old -> 'payload_sources' ->> 'count')::bigint else u.payload_source_count end
  from losant_usage.days_between(
    (select min(usage_date) from losant_usage.usage_days), (select max(usage_date) from losant_usage.usage_days)) as day
  cross join lateral (
    select u.*, c.unknown, c.is_open, n.is_unread
    from losant_usage.usage_days u
    left join (
      select c.org_id, array_agg(c.stream) filter (where c.first_loaded_at > moment) as unknown,
        bool_or(t.days @> c.usage_date and (c.finalized_at is null or c.finalized_at > moment
          or (c.standing <> 'final' and coalesce(c.attempted_at <= moment, true)))) as is_open
      from losant_usage.coverage c
      left join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream
      where c.usage_date = day and c.stream = any (array(select stream from losant_usage.streams))
        and (c.first_loaded_at > moment or c.finalized_at > moment or c.finalized_at is null or c.standing <> 'final')
      group by c.org_id
    ) as c on c.org_id = u.org_id
    left join (
      select org_id, true as is_unread from losant_usage.unread_cells where usage_date = day group by org_id
    ) as n on n.org_id = u.org_id
    where u.usage_date = day
  ) as u
  join losant_usage.organizations o on o.org_id = u.org_id
  left join (
    select r.usage_date, r.org_id, jsonb_object_agg(r.stream, r.old) as old
    from (
      select distinct on (l.usage_date, l.org_id, l.stream) l.usage_date, l.org_id, l.stream, coalesce(l.old, 'null') as old
      from losant_usage.revisions l where l.changed_at > moment and l.key = '{}'
      order by l.usage_date, l.org_id, l.stream, l.id
    ) as r group by r.usage_date, r.org_id
  ) as later on later.usage_date = day and later.org_id = u.org_id
  where ('device_counts' = any (u.unknown) is not true
    and case when later.old ? 'device_counts' then later.old -> 'device_counts' <> 'null' else u.devices_created is not null end)
    or ('notebook_minutes' = any (u.unknown) is not true
    and case when later.old ? 'notebook_minutes' then later.old -> 'notebook_minutes' <> 'null' else u.notebook_minutes is not null end)
    or ('payload_totals' = any (u.unknown) is not true
    and case when later.old ? 'payload_totals' then later.old -> 'payload_totals' <> 'null' else u.payload_billable_count is not null end)
    or ('payload_sources' = any (u.unknown) is not true
    and case when later.old ? 'payload_sources' then later.old -> 'payload_sources' <> 'null' else u.payload_source_count is not null end)
$function$

CREATE OR REPLACE FUNCTION losant_usage.what_to_do(cause text, org_id text, period_start date, period_end date, days datemultirange, streams text[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select case cause
    when 'not_over' then 'wait until the period is over'
    when 'list_incomplete' then 'organizations may be missing: losant-usage status says why the list is incomplete; every run asks again'
    when 'not_fully_tracked' then format('losant-usage backfill --org %s --from %s --to %s', org_id, period_start, period_end)
    when 'no_period' then 'the period was never seen in Losant: BILLING_PERIODS=calendar bills calendar months'
    when 'already_billed' then 'a day is billed once: set BILLING_PERIODS back if it was changed; closed with --incomplete, only the other days are billed'
    when 'not_final' then 'it becomes final by itself: losant-usage run reads what is due'
    when 'contradicted' then format('losant-usage reconcile --from %s --to %s', period_start, period_end)
    when 'missing' then format('losant-usage backfill --org %s --from %s --to %s', org_id, lower(days), upper(days) - 1)
    else format(case when cardinality(streams) = 1 and upper(days) - lower(days) = losant_usage.count_days(days)
      then 'losant-usage explain --org %1$s --day %2$s, then losant-usage waive --org %1$s --day %2$s..%3$s --stream %4$s --reason TEXT'
      else 'losant-usage gaps --all lists them, losant-usage waive --org %1$s --day D --stream S --reason TEXT accepts each' end,
      org_id, lower(days), upper(days) - 1, streams[1])
  end
$function$

-- index
control_total_reads_pkey: CREATE UNIQUE INDEX control_total_reads_pkey ON losant_usage.control_total_reads USING btree (instance_id, question)
coverage_due: CREATE INDEX coverage_due ON losant_usage.coverage USING btree (next_read_at, org_id) WHERE (next_read_at IS NOT NULL)
coverage_first_loaded: CREATE INDEX coverage_first_loaded ON losant_usage.coverage USING btree (usage_date, first_loaded_at)
coverage_open: CREATE INDEX coverage_open ON losant_usage.coverage USING btree (usage_date, org_id) WHERE ((standing <> 'final'::losant_usage.standing) OR (NOT is_reported))
coverage_pkey: CREATE UNIQUE INDEX coverage_pkey ON losant_usage.coverage USING btree (usage_date, stream, org_id)
coverage_trouble: CREATE INDEX coverage_trouble ON losant_usage.coverage USING btree (usage_date, org_id) WHERE (standing = ANY (ARRAY['accepted'::losant_usage.standing, 'unavailable'::losant_usage.standing, 'in_doubt'::losant_usage.standing, 'missing'::losant_usage.standing]))
definitions_pkey: CREATE UNIQUE INDEX definitions_pkey ON losant_usage.definitions USING btree (object)
instance_totals_pkey: CREATE UNIQUE INDEX instance_totals_pkey ON losant_usage.instance_totals USING btree (instance_id, usage_date, metric)
instances_pkey: CREATE UNIQUE INDEX instances_pkey ON losant_usage.instances USING btree (instance_id)
leases_pkey: CREATE UNIQUE INDEX leases_pkey ON losant_usage.leases USING btree (instance_id, shard_count, shard_index)
metrics_limit_name_key: CREATE UNIQUE INDEX metrics_limit_name_key ON losant_usage.metrics USING btree (limit_name)
metrics_pkey: CREATE UNIQUE INDEX metrics_pkey ON losant_usage.metrics USING btree (metric)
metrics_position_key: CREATE UNIQUE INDEX metrics_position_key ON losant_usage.metrics USING btree ("position")
metrics_stream_source_column_key: CREATE UNIQUE INDEX metrics_stream_source_column_key ON losant_usage.metrics USING btree (stream, source_column)
migrations_pkey: CREATE UNIQUE INDEX migrations_pkey ON losant_usage.migrations USING btree (name)
monthly_summaries_pkey: CREATE UNIQUE INDEX monthly_summaries_pkey ON losant_usage.monthly_summaries USING btree (instance_id, month, resource_type, resource_id)
months_pkey: CREATE UNIQUE INDEX months_pkey ON losant_usage.months USING btree (month)
organization_history_open: CREATE UNIQUE INDEX organization_history_open ON losant_usage.organization_history USING btree (org_id) WHERE (valid_to IS NULL)
organization_history_pkey: CREATE UNIQUE INDEX organization_history_pkey ON losant_usage.organization_history USING btree (org_id, valid_from)
organizations_instance: CREATE INDEX organizations_instance ON losant_usage.organizations USING btree (instance_id, org_id)
organizations_pkey: CREATE UNIQUE INDEX organizations_pkey ON losant_usage.organizations USING btree (org_id)
organizations_problem: CREATE INDEX organizations_problem ON losant_usage.organizations USING btree (instance_id) WHERE (problem IS NOT NULL)
organizations_removed: CREATE INDEX organizations_removed ON losant_usage.organizations USING btree (instance_id) WHERE (removed_at IS NOT NULL)
payload_hours_pkey: CREATE UNIQUE INDEX payload_hours_pkey ON losant_usage.payload_hours USING btree (usage_date, org_id)
payload_sources_pkey: CREATE UNIQUE INDEX payload_sources_pkey ON losant_usage.payload_sources USING btree (usage_date, org_id, payload_type, source)
pruned_months_pkey: CREATE UNIQUE INDEX pruned_months_pkey ON losant_usage.pruned_months USING btree (instance_id, month)
quarantine_pkey: CREATE UNIQUE INDEX quarantine_pkey ON losant_usage.quarantine USING btree (org_id, stream, from_date, to_date)
quarantine_unresolved: CREATE INDEX quarantine_unresolved ON losant_usage.quarantine USING btree (last_seen_at) WHERE (resolved_at IS NULL)
revisions_cell: CREATE INDEX revisions_cell ON losant_usage.revisions USING btree (org_id, usage_date, stream)
revisions_changed_at: CREATE INDEX revisions_changed_at ON losant_usage.revisions USING btree (changed_at)
revisions_final: CREATE INDEX revisions_final ON losant_usage.revisions USING btree (id) WHERE was_final
revisions_pkey: CREATE UNIQUE INDEX revisions_pkey ON losant_usage.revisions USING btree (id)
runs_instance_started: CREATE INDEX runs_instance_started ON losant_usage.runs USING btree (instance_id, started_at DESC)
runs_pkey: CREATE UNIQUE INDEX runs_pkey ON losant_usage.runs USING btree (run_id)
runs_running: CREATE INDEX runs_running ON losant_usage.runs USING btree (instance_id) WHERE (status = 'running'::text)
runs_started: CREATE INDEX runs_started ON losant_usage.runs USING btree (started_at DESC)
statement_blockers_pkey: CREATE UNIQUE INDEX statement_blockers_pkey ON losant_usage.statement_blockers USING btree (statement_id, "position")
statement_files_pkey: CREATE UNIQUE INDEX statement_files_pkey ON losant_usage.statement_files USING btree (statement_id, name, part)
statement_lines_period: CREATE INDEX statement_lines_period ON losant_usage.statement_lines USING btree (period_end, org_id)
statement_lines_pkey: CREATE UNIQUE INDEX statement_lines_pkey ON losant_usage.statement_lines USING btree (statement_id, org_id, period_start, metric)
statement_sources_pkey: CREATE UNIQUE INDEX statement_sources_pkey ON losant_usage.statement_sources USING btree (statement_id, org_id, period_start, payload_type, source)
statements_closing: CREATE UNIQUE INDEX statements_closing ON losant_usage.statements USING btree (instance_id, period_month) WHERE (kind = 'closing'::text)
statements_instance_id_number_key: CREATE UNIQUE INDEX statements_instance_id_number_key ON losant_usage.statements USING btree (instance_id, number)
statements_pkey: CREATE UNIQUE INDEX statements_pkey ON losant_usage.statements USING btree (statement_id)
streams_pkey: CREATE UNIQUE INDEX streams_pkey ON losant_usage.streams USING btree (stream)
streams_position_key: CREATE UNIQUE INDEX streams_position_key ON losant_usage.streams USING btree ("position")
tracking_hours: CREATE INDEX tracking_hours ON losant_usage.tracking USING btree (tracked_from) WHERE (stream = 'payload_hours'::text)
tracking_pkey: CREATE UNIQUE INDEX tracking_pkey ON losant_usage.tracking USING btree (org_id, stream)
tracking_unread: CREATE INDEX tracking_unread ON losant_usage.tracking USING btree (unread_from, org_id)
usage_days_date: CREATE INDEX usage_days_date ON losant_usage.usage_days USING btree (usage_date)
usage_days_pkey: CREATE UNIQUE INDEX usage_days_pkey ON losant_usage.usage_days USING btree (usage_date, org_id)
waivers_cell: CREATE INDEX waivers_cell ON losant_usage.waivers USING btree (usage_date, org_id)
waivers_current: CREATE UNIQUE INDEX waivers_current ON losant_usage.waivers USING btree (usage_date, stream, org_id) WHERE (lifted_at IS NULL)
waivers_pkey: CREATE UNIQUE INDEX waivers_pkey ON losant_usage.waivers USING btree (id)

-- trigger
append_only of pruned_months: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.pruned_months FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('what was removed stays on record')
append_only of revisions: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.revisions FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('the record of changes is only added to')
append_only of statement_blockers: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.statement_blockers FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
append_only of statement_files: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.statement_files FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
append_only of statement_lines: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.statement_lines FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
append_only of statement_sources: CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON losant_usage.statement_sources FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
append_only of statements: CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON losant_usage.statements FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
append_only_update of statements: CREATE TRIGGER append_only_update BEFORE UPDATE ON losant_usage.statements FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.sealing'::text, true), ''::text) = ''::text)) EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
by_hand of coverage: CREATE TRIGGER by_hand BEFORE INSERT OR DELETE OR UPDATE ON losant_usage.coverage FOR EACH STATEMENT WHEN ((losant_usage.is_by_hand() AND (pg_trigger_depth() = 0))) EXECUTE FUNCTION losant_usage.refuse('losant-usage backfill --force reads days again, losant-usage waive accepts them as they stand, losant-usage prune removes old months')
by_hand of pruned_months: CREATE TRIGGER by_hand BEFORE INSERT ON losant_usage.pruned_months FOR EACH STATEMENT WHEN (losant_usage.is_by_hand()) EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
by_hand of revisions: CREATE TRIGGER by_hand BEFORE INSERT ON losant_usage.revisions FOR EACH STATEMENT WHEN ((losant_usage.is_by_hand() AND (pg_trigger_depth() = 0))) EXECUTE FUNCTION losant_usage.refuse('a change of the numbers is put on record by itself')
by_hand of tracking: CREATE TRIGGER by_hand BEFORE INSERT OR DELETE OR UPDATE ON losant_usage.tracking FOR EACH STATEMENT WHEN ((losant_usage.is_by_hand() AND (pg_trigger_depth() = 0))) EXECUTE FUNCTION losant_usage.refuse('losant-usage backfill tracks days; LOSANT_ORG_IDS and STREAMS say what is tracked from now on')
by_hand of waivers: CREATE TRIGGER by_hand BEFORE INSERT OR DELETE OR UPDATE ON losant_usage.waivers FOR EACH STATEMENT WHEN ((losant_usage.is_by_hand() AND (pg_trigger_depth() = 0))) EXECUTE FUNCTION losant_usage.refuse('losant-usage waive accepts a cell; the next good read lifts it')
closed of statement_blockers: CREATE TRIGGER closed AFTER INSERT ON losant_usage.statement_blockers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse_addition()
closed of statement_files: CREATE TRIGGER closed AFTER INSERT ON losant_usage.statement_files REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse_addition()
closed of statement_lines: CREATE TRIGGER closed AFTER INSERT ON losant_usage.statement_lines REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse_addition()
closed of statement_sources: CREATE TRIGGER closed AFTER INSERT ON losant_usage.statement_sources REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse_addition()
keep_read_days_delete of coverage: CREATE TRIGGER keep_read_days_delete AFTER DELETE ON losant_usage.coverage REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.keep_read_days()
keep_read_days_insert of coverage: CREATE TRIGGER keep_read_days_insert AFTER INSERT ON losant_usage.coverage REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.keep_read_days()
record_delete of payload_hours: CREATE TRIGGER record_delete AFTER DELETE ON losant_usage.payload_hours REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'prune'::text)) EXECUTE FUNCTION losant_usage.record_changes()
record_delete of payload_sources: CREATE TRIGGER record_delete AFTER DELETE ON losant_usage.payload_sources REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'prune'::text)) EXECUTE FUNCTION losant_usage.record_changes('payload_type', 'source')
record_delete of usage_days: CREATE TRIGGER record_delete AFTER DELETE ON losant_usage.usage_days REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'prune'::text)) EXECUTE FUNCTION losant_usage.record_changes()
record_insert of payload_hours: CREATE TRIGGER record_insert AFTER INSERT ON losant_usage.payload_hours REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes()
record_insert of payload_sources: CREATE TRIGGER record_insert AFTER INSERT ON losant_usage.payload_sources REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes('payload_type', 'source')
record_insert of usage_days: CREATE TRIGGER record_insert AFTER INSERT ON losant_usage.usage_days REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes()
record_update of payload_hours: CREATE TRIGGER record_update AFTER UPDATE ON losant_usage.payload_hours REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes()
record_update of payload_sources: CREATE TRIGGER record_update AFTER UPDATE ON losant_usage.payload_sources REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes('payload_type', 'source')
record_update of usage_days: CREATE TRIGGER record_update AFTER UPDATE ON losant_usage.usage_days REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((COALESCE(current_setting('losant_usage.program'::text, true), ''::text) <> 'first'::text)) EXECUTE FUNCTION losant_usage.record_changes()
sealed of statements: CREATE CONSTRAINT TRIGGER sealed AFTER INSERT ON losant_usage.statements DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION losant_usage.require_seal()
sealed_once of statements: CREATE TRIGGER sealed_once BEFORE UPDATE ON losant_usage.statements FOR EACH ROW WHEN ((old.manifest IS NOT NULL)) EXECUTE FUNCTION losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another')
truncated of control_total_reads: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.control_total_reads FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of coverage: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.coverage FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of definitions: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.definitions FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage migrate keeps it')
truncated of instance_totals: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.instance_totals FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of instances: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.instances FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('instances stay, with all that was collected for them')
truncated of leases: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.leases FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('a lease lapses by itself, a minute after its process was last alive')
truncated of metrics: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.metrics FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('reference data is changed by migrations only')
truncated of migrations: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.migrations FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage migrate keeps it')
truncated of monthly_summaries: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.monthly_summaries FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of months: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.months FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('reference data is changed by migrations only')
truncated of organization_history: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.organization_history FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('the history of organizations stays on record')
truncated of organizations: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.organizations FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('deleted organizations stay, with removed_at')
truncated of payload_hours: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.payload_hours FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of payload_sources: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.payload_sources FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of quarantine: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.quarantine FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('what was set aside stays on record')
truncated of runs: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.runs FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('runs stay on record')
truncated of streams: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.streams FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('reference data is changed by migrations only')
truncated of tracking: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.tracking FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('LOSANT_ORG_IDS and STREAMS say what is tracked from now on')
truncated of usage_days: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.usage_days FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('losant-usage prune removes old months')
truncated of waivers: CREATE TRIGGER truncated BEFORE TRUNCATE ON losant_usage.waivers FOR EACH STATEMENT EXECUTE FUNCTION losant_usage.refuse('waivers stay on record')

-- type
standing: final accepted stored waiting unavailable in_doubt missing

-- view adjustments
SELECT s.instance_id,
    s.period_month,
    a.org_id,
    a.org_name,
    a.referral_id,
    a.plan_id,
    a.customer_id,
    a.period_start,
    a.period_end,
    a.metric,
    a.unit,
    a.kind,
    a.then_quantity,
    a.now_quantity,
    a.difference,
    a.then_max,
    a.now_max,
    a.then_avg,
    a.now_avg,
    a.cause
   FROM (losant_usage.statements s
     CROSS JOIN LATERAL losant_usage.adjustments_of(s.instance_id, s.period_month, s.source) a(org_id, org_name, referral_id, plan_id, customer_id, period_start, period_end, metric, unit, kind, then_quantity, now_quantity, difference, then_max, now_max, then_avg, now_avg, cause, days_in_period, days_expected, days_stored, days_final, days_accepted, days_unavailable, days_not_final, days_in_doubt, days_missing, days_unreported, days_by_hand, is_billable))
  WHERE (s.kind = 'closing'::text); instance_id,period_month,org_id,org_name,referral_id,plan_id,customer_id,period_start,period_end,metric,unit,kind,then_quantity,now_quantity,difference,then_max,now_max,then_avg,now_avg,cause

-- view billing_periods
SELECT o.org_id,
    m.month AS period_start,
    (m.next_month - 1) AS period_end,
    'calendar'::text AS source
   FROM (((losant_usage.organizations o
     JOIN losant_usage.instances i ON (((i.instance_id = o.instance_id) AND (i.billing_periods = 'calendar'::text))))
     CROSS JOIN LATERAL ( SELECT min(lower(t_1.tracked_days)) AS first_day
           FROM losant_usage.tracking t_1
          WHERE (t_1.org_id = o.org_id)) t)
     JOIN losant_usage.months m ON (((m.next_month > t.first_day) AND (m.month <= LEAST(((now() AT TIME ZONE 'UTC'::text))::date, o.removed_on)))))
UNION ALL
 SELECT p.org_id,
    p.period_start,
    p.period_end,
    'losant'::text AS source
   FROM ((losant_usage.losant_periods p
     JOIN losant_usage.organizations o ON ((o.org_id = p.org_id)))
     JOIN losant_usage.instances i ON (((i.instance_id = o.instance_id) AND (i.billing_periods = 'losant'::text)))); org_id,period_start,period_end,source

-- view cell_counts
WITH reads AS (
         SELECT tracked.instance_id,
            tracked.stream,
            sum(
                CASE
                    WHEN tracked.has_untracked THEN losant_usage.count_days((tracked.days * tracked.read_days))
                    ELSE tracked.days_read
                END) AS cells
           FROM losant_usage.tracked
          GROUP BY tracked.instance_id, tracked.stream
        ), open AS (
         SELECT read_cells.instance_id,
            read_cells.stream,
            read_cells.standing,
            count(*) AS cells
           FROM losant_usage.read_cells
          WHERE (read_cells.standing <> 'final'::losant_usage.standing)
          GROUP BY read_cells.instance_id, read_cells.stream, read_cells.standing
        ), others AS (
         SELECT open.instance_id,
            open.stream,
            open.standing,
            open.cells
           FROM open
        UNION ALL
         SELECT unread_cells.instance_id,
            unread_cells.stream,
            unread_cells.standing,
            count(*) AS count
           FROM losant_usage.unread_cells
          GROUP BY unread_cells.instance_id, unread_cells.stream, unread_cells.standing
        )
 SELECT r.instance_id,
    r.stream,
    'final'::losant_usage.standing AS standing,
    (r.cells - (COALESCE(( SELECT sum(o.cells) AS sum
           FROM open o
          WHERE ((o.instance_id = r.instance_id) AND (o.stream = r.stream))), (0)::numeric))::bigint) AS cells
   FROM reads r
UNION ALL
 SELECT others.instance_id,
    others.stream,
    others.standing,
    (sum(others.cells))::bigint AS cells
   FROM others
  GROUP BY others.instance_id, others.stream, others.standing; instance_id,stream,standing,cells

-- view cells
SELECT read_cells.instance_id,
    read_cells.org_id,
    read_cells.stream,
    read_cells.usage_date,
    read_cells.standing,
    read_cells.reason,
    read_cells.message,
    read_cells.is_stored,
    read_cells.is_reported,
    read_cells.revision,
    read_cells.verified_at,
    read_cells.next_read_at,
    read_cells.attempts,
    read_cells.attempted_at,
    read_cells.run_id,
    read_cells.response_sha256
   FROM losant_usage.read_cells
UNION ALL
 SELECT unread_cells.instance_id,
    unread_cells.org_id,
    unread_cells.stream,
    unread_cells.usage_date,
    unread_cells.standing,
    'never_read'::text AS reason,
    'it was never read'::text AS message,
    false AS is_stored,
    false AS is_reported,
    0 AS revision,
    NULL::timestamp with time zone AS verified_at,
    NULL::timestamp with time zone AS next_read_at,
    0 AS attempts,
    NULL::timestamp with time zone AS attempted_at,
    NULL::uuid AS run_id,
    NULL::bytea AS response_sha256
   FROM losant_usage.unread_cells; instance_id,org_id,stream,usage_date,standing,reason,message,is_stored,is_reported,revision,verified_at,next_read_at,attempts,attempted_at,run_id,response_sha256

-- view contradicted_days
SELECT instance_id,
    usage_date,
    stream,
    metric
   FROM losant_usage.total_differences
  WHERE ((quantity <> total) AND (orgs_missing = 0) AND (orgs_removed = 0) AND is_final AND is_final_read AND (NOT is_outdated)); instance_id,usage_date,stream,metric

-- view coverage_gaps
SELECT c.instance_id,
    c.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    c.stream,
    c.usage_date,
    c.standing,
    c.reason,
    c.message,
    c.attempts,
    c.next_read_at,
    c.attempted_at
   FROM (losant_usage.cells c
     JOIN losant_usage.organizations o ON ((o.org_id = c.org_id)))
  WHERE (c.standing = ANY (ARRAY['in_doubt'::losant_usage.standing, 'missing'::losant_usage.standing])); instance_id,org_id,org_name,referral_id,plan_id,customer_id,stream,usage_date,standing,reason,message,attempts,next_read_at,attempted_at

-- view daily_usage
SELECT o.instance_id,
    d.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    o.tags,
    d.usage_date,
    d.streams_expected,
    d.streams_stored,
        CASE
            WHEN (d.streams_stored > 0) THEN (NOT (EXISTS ( SELECT
               FROM losant_usage.read_cells c
              WHERE ((c.usage_date = d.usage_date) AND (c.org_id = d.org_id) AND (NOT c.is_reported) AND c.is_stored AND (c.stream <> 'payload_hours'::text)))))
            ELSE NULL::boolean
        END AS is_reported,
    s.standing,
    (s.standing = 'final'::losant_usage.standing) AS is_final,
    d.devices_created,
    d.devices_deleted,
    d.devices_total,
    d.notebook_minutes,
    d.notebook_completed,
    d.notebook_canceled,
    d.notebook_errored,
    d.notebook_timeout,
    d.payload_billable_count,
    d.payload_all_count,
    d.payload_all_bytes,
    d.payload_source_count
   FROM ((( SELECT day.day AS usage_date,
            r.org_id,
            r.streams_expected,
            r.streams_stored,
            r.devices_created,
            r.devices_deleted,
            r.devices_total,
            r.notebook_minutes,
            r.notebook_completed,
            r.notebook_canceled,
            r.notebook_errored,
            r.notebook_timeout,
            r.payload_billable_count,
            r.payload_all_count,
            r.payload_all_bytes,
            r.payload_source_count
           FROM (losant_usage.days_between(( SELECT min(usage_days.usage_date) AS min
                   FROM losant_usage.usage_days), (((now() AT TIME ZONE 'UTC'::text))::date - 1)) day(day)
             JOIN losant_usage.org_rows r ON ((r.usage_date = day.day)))
          WHERE r.is_tracked
        UNION ALL
         SELECT rowless_days.usage_date,
            rowless_days.org_id,
            rowless_days.streams_expected,
            0,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint
           FROM losant_usage.rowless_days) d
     LEFT JOIN losant_usage.organizations o ON ((o.org_id = d.org_id)))
     CROSS JOIN LATERAL ( SELECT GREATEST('final'::losant_usage.standing, ( SELECT max(c.standing) AS max
                   FROM losant_usage.read_cells c
                  WHERE ((c.usage_date = d.usage_date) AND (c.org_id = d.org_id) AND (c.standing <> 'final'::losant_usage.standing))),
                CASE
                    WHEN ((d.streams_stored < d.streams_expected) AND (EXISTS ( SELECT
                       FROM losant_usage.tracked t
                      WHERE ((t.org_id = d.org_id) AND (t.unread_from <= d.usage_date) AND (d.usage_date <@ t.unread_days))))) THEN losant_usage.unread_standing(d.usage_date)
                    ELSE NULL::losant_usage.standing
                END) AS standing) s); instance_id,org_id,org_name,referral_id,plan_id,customer_id,tags,usage_date,streams_expected,streams_stored,is_reported,standing,is_final,devices_created,devices_deleted,devices_total,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view daily_usage_long
SELECT d.instance_id,
    d.org_id,
    d.org_name,
    d.referral_id,
    d.plan_id,
    d.customer_id,
    d.usage_date,
    m.stream,
    m.metric,
    m.unit,
    m.kind,
    m.quantity,
    c.is_reported,
    s.standing,
    (s.standing = 'final'::losant_usage.standing) AS is_final
   FROM (((losant_usage.daily_usage d
     CROSS JOIN LATERAL ( VALUES ('device_counts'::text,'devices_created'::text,'devices'::text,'flow'::text,d.devices_created), ('device_counts'::text,'devices_deleted'::text,'devices'::text,'flow'::text,d.devices_deleted), ('device_counts'::text,'devices_total'::text,'devices'::text,'level'::text,d.devices_total), ('notebook_minutes'::text,'notebook_minutes'::text,'minutes'::text,'flow'::text,d.notebook_minutes), ('notebook_minutes'::text,'notebook_completed'::text,'executions'::text,'flow'::text,d.notebook_completed), ('notebook_minutes'::text,'notebook_canceled'::text,'executions'::text,'flow'::text,d.notebook_canceled), ('notebook_minutes'::text,'notebook_errored'::text,'executions'::text,'flow'::text,d.notebook_errored), ('notebook_minutes'::text,'notebook_timeout'::text,'executions'::text,'flow'::text,d.notebook_timeout), ('payload_totals'::text,'payload_billable_count'::text,'payloads'::text,'flow'::text,d.payload_billable_count), ('payload_totals'::text,'payload_all_count'::text,'payloads'::text,'flow'::text,d.payload_all_count), ('payload_totals'::text,'payload_all_bytes'::text,'bytes'::text,'flow'::text,d.payload_all_bytes), ('payload_sources'::text,'payload_source_count'::text,'payloads'::text,'flow'::text,d.payload_source_count)) m(stream, metric, unit, kind, quantity))
     LEFT JOIN LATERAL ( SELECT
                CASE
                    WHEN c_1.is_stored THEN c_1.is_reported
                    ELSE NULL::boolean
                END AS is_reported,
                CASE
                    WHEN losant_usage.is_waiting(c_1.standing, c_1.reason, c_1.usage_date) THEN 'waiting'::losant_usage.standing
                    ELSE c_1.standing
                END AS standing
           FROM losant_usage.coverage c_1
          WHERE ((c_1.usage_date = d.usage_date) AND (c_1.stream = m.stream) AND (c_1.org_id = d.org_id))) c ON (true))
     CROSS JOIN LATERAL ( SELECT COALESCE(c.standing, losant_usage.unread_standing(d.usage_date)) AS standing) s)
  WHERE ((m.quantity IS NOT NULL) OR (EXISTS ( SELECT
           FROM losant_usage.tracked t
          WHERE ((t.org_id = d.org_id) AND (t.stream = m.stream) AND (d.usage_date <@ t.days))))); instance_id,org_id,org_name,referral_id,plan_id,customer_id,usage_date,stream,metric,unit,kind,quantity,is_reported,standing,is_final

-- view days_without_period
SELECT o.instance_id,
    o.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    lower(part.part) AS first_day,
    (upper(part.part) - 1) AS last_day,
    (upper(part.part) - lower(part.part)) AS days
   FROM ((((losant_usage.organizations o
     JOIN losant_usage.instances i ON (((i.instance_id = o.instance_id) AND (i.billing_periods = 'losant'::text))))
     CROSS JOIN LATERAL ( SELECT range_agg(t_1.days) AS days
           FROM losant_usage.tracked t_1
          WHERE (t_1.org_id = o.org_id)) t)
     CROSS JOIN LATERAL ( SELECT COALESCE(range_agg(daterange(p_1.period_start, (p_1.period_end + 1))), '{}'::datemultirange) AS days
           FROM losant_usage.billing_periods p_1
          WHERE (p_1.org_id = o.org_id)) p)
     CROSS JOIN LATERAL unnest((t.days - p.days)) part(part)); instance_id,org_id,org_name,referral_id,plan_id,customer_id,first_day,last_day,days

-- view device_continuity
SELECT o.instance_id,
    d.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    d.usage_date,
    before.devices_total AS previous_total,
    d.devices_created,
    d.devices_deleted,
    ((before.devices_total + d.devices_created) - d.devices_deleted) AS expected_total,
    d.devices_total,
    (d.devices_total - ((before.devices_total + d.devices_created) - d.devices_deleted)) AS difference
   FROM ((losant_usage.usage_days d
     JOIN losant_usage.usage_days before ON (((before.usage_date = (d.usage_date - 1)) AND (before.org_id = d.org_id))))
     JOIN losant_usage.organizations o ON ((o.org_id = d.org_id)))
  WHERE ((d.devices_total IS NOT NULL) AND (before.devices_total IS NOT NULL)); instance_id,org_id,org_name,referral_id,plan_id,customer_id,usage_date,previous_total,devices_created,devices_deleted,expected_total,devices_total,difference

-- view device_counts
SELECT u.usage_date,
    u.org_id,
    c.revision,
    c.run_id,
    losant_usage.loaded_at(c.*) AS loaded_at,
    u.devices_created AS created,
    u.devices_deleted AS deleted,
    u.devices_total AS total
   FROM (losant_usage.usage_days u
     JOIN losant_usage.coverage c ON (((c.usage_date = u.usage_date) AND (c.org_id = u.org_id) AND (c.stream = 'device_counts'::text))))
  WHERE (u.devices_created IS NOT NULL); usage_date,org_id,revision,run_id,loaded_at,created,deleted,total

-- view focus_usage
SELECT NULL::numeric AS "BilledCost",
    s.instance_id AS "BillingAccountId",
    i.name AS "BillingAccountName",
    NULL::text AS "BillingCurrency",
    (((b.last_day + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text) AS "BillingPeriodEnd",
    ((b.first_day)::timestamp without time zone AT TIME ZONE 'UTC'::text) AS "BillingPeriodStart",
    'Usage'::text AS "ChargeCategory",
        CASE s.kind
            WHEN 'adjustment'::text THEN 'Correction'::text
            ELSE NULL::text
        END AS "ChargeClass",
    m.description AS "ChargeDescription",
    'Usage-Based'::text AS "ChargeFrequency",
    (((l.period_end + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text) AS "ChargePeriodEnd",
    ((l.period_start)::timestamp without time zone AT TIME ZONE 'UTC'::text) AS "ChargePeriodStart",
    (l.quantity)::numeric AS "ConsumedQuantity",
    l.unit AS "ConsumedUnit",
    NULL::numeric AS "ContractedCost",
    NULL::numeric AS "EffectiveCost",
    'Losant'::text AS "HostProviderName",
    'Losant'::text AS "InvoiceIssuerName",
    NULL::numeric AS "ListCost",
    NULL::numeric AS "PricingQuantity",
    NULL::text AS "PricingUnit",
    'Losant'::text AS "ProviderName",
    'Losant'::text AS "PublisherName",
    l.org_id AS "ResourceId",
    l.org_name AS "ResourceName",
    'Organization'::text AS "ResourceType",
    'Internet of Things'::text AS "ServiceCategory",
    'Losant'::text AS "ServiceName",
    'Losant'::text AS "ServiceProviderName",
    l.metric AS "SkuMeter",
    l.org_id AS "SubAccountId",
    l.org_name AS "SubAccountName",
    NULLIF(l.customer_id, ''::text) AS "x_CustomerId",
    l.kind AS "x_Kind",
    l.period_end AS "x_PeriodEnd",
    l.period_start AS "x_PeriodStart",
    l.plan_id AS "x_PlanId",
    l.referral_id AS "x_ReferralId",
    s.closed_at AS "x_StatementClosedAt",
    (s.statement_id)::text AS "x_StatementId",
    s.number AS "x_StatementNumber",
    m.stream AS "x_Stream"
   FROM (((((losant_usage.statements s
     JOIN losant_usage.statement_lines l ON ((l.statement_id = s.statement_id)))
     JOIN losant_usage.instances i ON ((i.instance_id = s.instance_id)))
     JOIN losant_usage.metrics m ON ((m.metric = l.metric)))
     CROSS JOIN LATERAL ( SELECT ((s.closed_at AT TIME ZONE 'UTC'::text))::date AS day) c)
     LEFT JOIN LATERAL ( SELECT l.period_start AS first_day,
            l.period_end AS last_day
          WHERE (s.kind = 'closing'::text)
        UNION ALL
         SELECT d.month,
            (d.next_month - 1)
           FROM losant_usage.months d
          WHERE ((s.kind = 'adjustment'::text) AND (s.source = 'calendar'::text) AND (d.month = (date_trunc('month'::text, (c.day)::timestamp without time zone))::date))
        UNION ALL
         SELECT p.period_start,
            p.period_end
           FROM losant_usage.losant_periods p
          WHERE ((s.kind = 'adjustment'::text) AND (s.source = 'losant'::text) AND (p.org_id = l.org_id) AND ((c.day >= p.period_start) AND (c.day <= p.period_end)))) b ON (true))
  WHERE (l.quantity IS NOT NULL); BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,EffectiveCost,HostProviderName,InvoiceIssuerName,ListCost,PricingQuantity,PricingUnit,ProviderName,PublisherName,ResourceId,ResourceName,ResourceType,ServiceCategory,ServiceName,ServiceProviderName,SkuMeter,SubAccountId,SubAccountName,x_CustomerId,x_Kind,x_PeriodEnd,x_PeriodStart,x_PlanId,x_ReferralId,x_StatementClosedAt,x_StatementId,x_StatementNumber,x_Stream

-- view freshness
WITH tracks AS (
         SELECT t.instance_id,
            t.stream,
            (upper(t.read_days) - 1) AS newest_day,
                CASE
                    WHEN t.has_holes THEN t.first_day
                    ELSE t.from_day
                END AS first_day,
                CASE
                    WHEN t.has_holes THEN t.last_day
                    ELSE t.to_day
                END AS last_day,
            ((o.removed_at IS NULL) AND (
                CASE
                    WHEN t.has_holes THEN t.last_day
                    ELSE t.to_day
                END = (((now() AT TIME ZONE 'UTC'::text))::date - 1))) AS is_current,
            LEAST(
                CASE
                    WHEN (t.unread_from <= t.to_day) THEN lower(t.unread_days)
                    ELSE NULL::date
                END, m.usage_date,
                CASE
                    WHEN t.has_holes THEN lower((datemultirange(daterange(t.first_day, t.last_day, '[]'::text)) - t.days))
                    ELSE NULL::date
                END) AS missing_from
           FROM ((losant_usage.tracked t
             JOIN losant_usage.organizations o ON ((o.org_id = t.org_id)))
             LEFT JOIN ( SELECT read_cells.org_id,
                    read_cells.stream,
                    min(read_cells.usage_date) AS usage_date
                   FROM losant_usage.read_cells
                  WHERE (read_cells.standing = ANY (ARRAY['waiting'::losant_usage.standing, 'in_doubt'::losant_usage.standing, 'missing'::losant_usage.standing]))
                  GROUP BY read_cells.org_id, read_cells.stream) m ON (((m.org_id = t.org_id) AND (m.stream = t.stream))))
          WHERE
                CASE
                    WHEN t.has_holes THEN (t.first_day IS NOT NULL)
                    ELSE (t.from_day <= t.to_day)
                END
        ), reach AS (
         SELECT tracks.instance_id,
            tracks.stream,
            min(tracks.first_day) AS tracked_from,
            max(tracks.last_day) AS tracked_to,
            max(tracks.newest_day) AS newest_day,
            min(tracks.missing_from) AS missing_from,
            (count(*) FILTER (WHERE tracks.is_current))::integer AS orgs_tracked,
            (count(*) FILTER (WHERE (tracks.is_current AND (tracks.missing_from IS NULL))))::integer AS orgs_complete
           FROM tracks
          GROUP BY tracks.instance_id, tracks.stream
        ), gaps AS (
         SELECT cells.instance_id,
            cells.stream,
            (count(*))::integer AS gaps,
            (count(DISTINCT cells.org_id))::integer AS orgs_with_gaps,
            min(cells.usage_date) AS oldest_gap,
            max(cells.usage_date) AS newest_gap
           FROM losant_usage.cells
          WHERE (cells.standing = ANY (ARRAY['in_doubt'::losant_usage.standing, 'missing'::losant_usage.standing]))
          GROUP BY cells.instance_id, cells.stream
        )
 SELECT r.instance_id,
    r.stream,
    r.tracked_from,
    r.orgs_tracked,
    r.newest_day,
        CASE
            WHEN (r.missing_from IS NULL) THEN r.tracked_to
            WHEN (r.missing_from > r.tracked_from) THEN (r.missing_from - 1)
            ELSE NULL::date
        END AS complete_to,
    r.orgs_complete,
    COALESCE(g.gaps, 0) AS gaps,
    COALESCE(g.orgs_with_gaps, 0) AS orgs_with_gaps,
    g.oldest_gap,
    g.newest_gap
   FROM (reach r
     LEFT JOIN gaps g ON (((g.instance_id = r.instance_id) AND (g.stream = r.stream)))); instance_id,stream,tracked_from,orgs_tracked,newest_day,complete_to,orgs_complete,gaps,orgs_with_gaps,oldest_gap,newest_gap

-- view hourly_usage
SELECT o.instance_id,
    d.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    day.day AS usage_date,
    ((day.day + ((hour.hour)::double precision * '01:00:00'::interval)) AT TIME ZONE 'UTC'::text) AS hour,
    d.is_reported,
    d.standing,
    (d.standing = 'final'::losant_usage.standing) AS is_final,
    d.billable_counts[(hour.hour + 1)] AS payload_billable_count,
    d.all_counts[(hour.hour + 1)] AS payload_all_count,
    d.all_bytes[(hour.hour + 1)] AS payload_all_bytes
   FROM (((losant_usage.days_between(( SELECT min(tracking.tracked_from) AS min
           FROM losant_usage.tracking
          WHERE (tracking.stream = 'payload_hours'::text)), (((now() AT TIME ZONE 'UTC'::text))::date - 1)) day(day)
     CROSS JOIN LATERAL losant_usage.day_hours(day.day) d(org_id, standing, is_reported, billable_counts, all_counts, all_bytes))
     CROSS JOIN generate_series(0, 23) hour(hour))
     JOIN losant_usage.organizations o ON ((o.org_id = d.org_id))); instance_id,org_id,org_name,referral_id,plan_id,customer_id,usage_date,hour,is_reported,standing,is_final,payload_billable_count,payload_all_count,payload_all_bytes

-- view instance_days
SELECT n.instance_id,
    n.usage_date,
    n.device_counts_orgs,
    n.notebook_minutes_orgs,
    n.payload_totals_orgs,
    n.payload_sources_orgs,
    n.devices_created,
    n.devices_deleted,
    n.devices_total,
    n.notebook_minutes,
    n.notebook_completed,
    n.notebook_canceled,
    n.notebook_errored,
    n.notebook_timeout,
    n.payload_billable_count,
    n.payload_all_count,
    n.payload_all_bytes,
    n.payload_source_count,
    e.orgs,
    e.open_streams
   FROM (( SELECT r.instance_id,
            r.usage_date,
            count(r.devices_created) AS device_counts_orgs,
            count(r.notebook_minutes) AS notebook_minutes_orgs,
            count(r.payload_billable_count) AS payload_totals_orgs,
            count(r.payload_source_count) AS payload_sources_orgs,
            losant_usage.total(r.devices_created) AS devices_created,
            losant_usage.total(r.devices_deleted) AS devices_deleted,
            losant_usage.total(r.devices_total) AS devices_total,
            losant_usage.total(r.notebook_minutes) AS notebook_minutes,
            losant_usage.total(r.notebook_completed) AS notebook_completed,
            losant_usage.total(r.notebook_canceled) AS notebook_canceled,
            losant_usage.total(r.notebook_errored) AS notebook_errored,
            losant_usage.total(r.notebook_timeout) AS notebook_timeout,
            losant_usage.total(r.payload_billable_count) AS payload_billable_count,
            losant_usage.total(r.payload_all_count) AS payload_all_count,
            sum(r.payload_all_bytes) AS payload_all_bytes,
            losant_usage.total(r.payload_source_count) AS payload_source_count
           FROM losant_usage.org_rows r
          GROUP BY r.instance_id, r.usage_date) n
     CROSS JOIN LATERAL ( SELECT ( SELECT count(*) AS count
                   FROM losant_usage.organizations o
                  WHERE ((o.instance_id = n.instance_id) AND ((o.created_on IS NULL) OR (o.created_on <= n.usage_date)) AND ((o.removed_on IS NULL) OR (o.removed_on >= n.usage_date)))) AS orgs,
            ARRAY( SELECT DISTINCT c.stream
                   FROM losant_usage.read_cells c
                  WHERE ((c.instance_id = n.instance_id) AND (c.usage_date = n.usage_date) AND (c.standing <> 'final'::losant_usage.standing))) AS open_streams
         OFFSET 0) e); instance_id,usage_date,device_counts_orgs,notebook_minutes_orgs,payload_totals_orgs,payload_sources_orgs,devices_created,devices_deleted,devices_total,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count,orgs,open_streams

-- view known_missing
SELECT c.instance_id,
    c.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    c.stream,
    c.usage_date,
    c.standing,
    c.reason,
    c.message,
    c.is_stored
   FROM (losant_usage.read_cells c
     JOIN losant_usage.organizations o ON ((o.org_id = c.org_id)))
  WHERE (c.standing = ANY (ARRAY['unavailable'::losant_usage.standing, 'accepted'::losant_usage.standing])); instance_id,org_id,org_name,referral_id,plan_id,customer_id,stream,usage_date,standing,reason,message,is_stored

-- view load_lock
SELECT true AS is_locked
   FROM losant_usage.coverage,
    losant_usage.usage_days,
    losant_usage.payload_sources,
    losant_usage.payload_hours
  WHERE false; is_locked

-- view losant_periods
SELECT org_id,
    period_start,
    LEAST(period_end, (lead(period_start) OVER (PARTITION BY org_id ORDER BY period_start) - 1)) AS period_end
   FROM ( SELECT DISTINCT ON (s.org_id, s.period_start) s.org_id,
            s.period_start,
            s.period_end
           FROM ( SELECT h.org_id,
                    h.valid_from,
                    ((((h.current_period_start AT TIME ZONE 'UTC'::text) + '1 day'::interval) - '00:00:00.000001'::interval))::date AS period_start,
                    (((h.current_period_end AT TIME ZONE 'UTC'::text) - '00:00:00.000001'::interval))::date AS period_end
                   FROM losant_usage.organization_history h
                  WHERE (h.current_period_end > h.current_period_start)) s
          WHERE (s.period_end >= s.period_start)
          ORDER BY s.org_id, s.period_start, s.valid_from DESC) p; org_id,period_start,period_end

-- view meter_events
SELECT (e.line || s.number) AS event_id,
    s.instance_id,
    s.period_month,
    s.number,
    s.statement_id,
    s.closed_at,
    l.org_id,
    l.org_name,
    NULLIF(l.customer_id, ''::text) AS customer_id,
    l.referral_id,
    l.plan_id,
    l.period_start,
    l.period_end,
    l.metric,
    l.unit,
    l.kind,
        CASE l.kind
            WHEN 'level'::text THEN l.total
            ELSE l.quantity
        END AS value,
    l.total_max AS value_max,
    l.quantity AS difference,
    (e.line || r.number) AS replaces_event_id,
    r.total AS replaces_value,
    e.is_carried,
    t.occurred_at,
    (t.occurred_at + '840:00:00'::interval) AS send_by
   FROM ((((losant_usage.statements s
     JOIN losant_usage.statement_lines l ON ((l.statement_id = s.statement_id)))
     CROSS JOIN LATERAL ( SELECT concat(l.org_id, ':', l.metric, ':', to_char((l.period_start)::timestamp without time zone, 'YYYY-MM-DD'::text), ':', to_char((s.period_month)::timestamp without time zone, 'YYYY-MM'::text), ':') AS line,
            ((s.closed_at >= (((l.period_end + 28))::timestamp without time zone AT TIME ZONE 'UTC'::text)) OR ((s.kind = 'adjustment'::text) AND (l.kind = 'flow'::text))) AS is_carried) e)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN e.is_carried THEN date_trunc('second'::text, s.closed_at)
                    ELSE (((((l.period_end + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text) - '01:00:00'::interval) + ((LEAST(s.number, 3599))::double precision * '00:00:01'::interval))
                END AS occurred_at) t)
     LEFT JOIN LATERAL ( SELECT f.number,
            b.total
           FROM (losant_usage.statement_lines b
             JOIN losant_usage.statements f ON ((f.statement_id = b.statement_id)))
          WHERE ((s.kind = 'adjustment'::text) AND (l.kind = 'level'::text) AND (b.org_id = l.org_id) AND (b.period_start = l.period_start) AND (b.period_end = l.period_end) AND (b.metric = l.metric) AND (b.total IS NOT NULL) AND (f.instance_id = s.instance_id) AND (f.period_month = s.period_month) AND (f.number < s.number))
          ORDER BY f.number DESC
         LIMIT 1) r ON (true))
  WHERE ((l.quantity <> 0) OR ((l.kind = 'level'::text) AND (l.total IS NOT NULL))); event_id,instance_id,period_month,number,statement_id,closed_at,org_id,org_name,customer_id,referral_id,plan_id,period_start,period_end,metric,unit,kind,value,value_max,difference,replaces_event_id,replaces_value,is_carried,occurred_at,send_by

-- view month_rows
SELECT m.month AS period_start,
    (m.next_month - 1) AS period_end,
    s.instance_id,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.tags,
    s.days_in_period,
    s.days_expected,
    s.days_stored,
    s.days_final,
    s.days_accepted,
    s.days_unavailable,
    s.days_unreported,
    s.days_untracked,
    s.device_counts_days,
    s.notebook_minutes_days,
    s.payload_totals_days,
    s.payload_sources_days,
    s.days_possible,
    s.is_over,
    s.is_fully_tracked,
    s.standing,
    s.is_final,
    s.is_clear,
    s.open_days,
    s.missing_days,
    s.in_doubt_days,
    s.unavailable_days,
    s.by_hand_days,
    s.open_streams,
    s.missing_streams,
    s.in_doubt_streams,
    s.unavailable_streams,
    s.by_hand_streams,
    s.devices_created,
    s.devices_deleted,
    s.devices_total,
    s.devices_total_on,
    s.devices_total_max,
    s.devices_total_avg,
    s.notebook_minutes,
    s.notebook_completed,
    s.notebook_canceled,
    s.notebook_errored,
    s.notebook_timeout,
    s.payload_billable_count,
    s.payload_all_count,
    s.payload_all_bytes,
    s.payload_source_count
   FROM (losant_usage.months m
     CROSS JOIN LATERAL losant_usage.period_sums(m.month, m.next_month, ''::text, 'g'::text) s(instance_id, org_id, org_name, referral_id, plan_id, customer_id, tags, days_in_period, days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported, days_untracked, device_counts_days, notebook_minutes_days, payload_totals_days, payload_sources_days, days_possible, is_over, is_fully_tracked, standing, is_final, is_clear, open_days, missing_days, in_doubt_days, unavailable_days, by_hand_days, open_streams, missing_streams, in_doubt_streams, unavailable_streams, by_hand_streams, devices_created, devices_deleted, devices_total, devices_total_on, devices_total_max, devices_total_avg, notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout, payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count))
  WHERE ((m.month >= ( SELECT (date_trunc('month'::text, (LEAST(min(usage_days.usage_date), ( SELECT min(tracking.tracked_from) AS min
                   FROM losant_usage.tracking)))::timestamp without time zone))::date AS date_trunc
           FROM losant_usage.usage_days)) AND (m.month <= (((now() AT TIME ZONE 'UTC'::text))::date - 1))); period_start,period_end,instance_id,org_id,org_name,referral_id,plan_id,customer_id,tags,days_in_period,days_expected,days_stored,days_final,days_accepted,days_unavailable,days_unreported,days_untracked,device_counts_days,notebook_minutes_days,payload_totals_days,payload_sources_days,days_possible,is_over,is_fully_tracked,standing,is_final,is_clear,open_days,missing_days,in_doubt_days,unavailable_days,by_hand_days,open_streams,missing_streams,in_doubt_streams,unavailable_streams,by_hand_streams,devices_created,devices_deleted,devices_total,devices_total_on,devices_total_max,devices_total_avg,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view monthly_usage
SELECT s.instance_id,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.tags,
    s.period_start AS month,
    s.days_in_period,
    s.days_expected,
    s.days_stored,
    s.days_final,
    s.days_accepted,
    s.days_unavailable,
    s.days_unreported,
    s.days_untracked,
    s.device_counts_days,
    s.notebook_minutes_days,
    s.payload_totals_days,
    s.payload_sources_days,
    s.is_over,
    s.is_fully_tracked,
    s.standing,
    s.is_final,
    (s.is_clear AND (i.list_problem IS NULL) AND ((i.control_totals = 'show'::text) OR ((s.instance_id <> ALL (x.instance_ids)) AND (NOT (s.is_final AND losant_usage.is_contradicted(r.figures, x.bytes_of_mb, s.devices_total, s.notebook_minutes, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes) AND losant_usage.is_final_read(i.policy, s.period_end, r.verified_at) AND (NOT losant_usage.org_changed_since(s.org_id, s.period_start, s.period_end, r.verified_at))))))) AS is_billable,
    s.devices_created,
    s.devices_deleted,
    s.devices_total,
    s.devices_total_on,
    s.devices_total_max,
    s.devices_total_avg,
    s.notebook_minutes,
    s.notebook_completed,
    s.notebook_canceled,
    s.notebook_errored,
    s.notebook_timeout,
    s.payload_billable_count,
    s.payload_all_count,
    s.payload_all_bytes,
    s.payload_source_count
   FROM (((losant_usage.month_rows s
     JOIN losant_usage.instances i ON ((i.instance_id = s.instance_id)))
     LEFT JOIN losant_usage.monthly_summaries r ON (((r.instance_id = s.instance_id) AND (r.month = s.period_start) AND (r.resource_type = 'organization'::text) AND (r.resource_id = s.org_id))))
     LEFT JOIN LATERAL ( SELECT COALESCE(array_agg(DISTINCT d.instance_id), '{}'::text[]) AS instance_ids,
            ( SELECT m.summary_scale
                   FROM losant_usage.metrics m
                  WHERE (m.metric = 'payload_all_bytes'::text)) AS bytes_of_mb
           FROM losant_usage.contradicted_days d
          WHERE ((d.usage_date >= s.period_start) AND (d.usage_date <= s.period_end))) x ON (true))
  WHERE (s.days_expected > 0); instance_id,org_id,org_name,referral_id,plan_id,customer_id,tags,month,days_in_period,days_expected,days_stored,days_final,days_accepted,days_unavailable,days_unreported,days_untracked,device_counts_days,notebook_minutes_days,payload_totals_days,payload_sources_days,is_over,is_fully_tracked,standing,is_final,is_billable,devices_created,devices_deleted,devices_total,devices_total_on,devices_total_max,devices_total_avg,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view notebook_minutes
SELECT u.usage_date,
    u.org_id,
    c.revision,
    c.run_id,
    losant_usage.loaded_at(c.*) AS loaded_at,
    u.notebook_minutes AS minutes,
    u.notebook_completed AS completed,
    u.notebook_canceled AS canceled,
    u.notebook_errored AS errored,
    u.notebook_timeout AS timeout
   FROM (losant_usage.usage_days u
     JOIN losant_usage.coverage c ON (((c.usage_date = u.usage_date) AND (c.org_id = u.org_id) AND (c.stream = 'notebook_minutes'::text))))
  WHERE (u.notebook_minutes IS NOT NULL); usage_date,org_id,revision,run_id,loaded_at,minutes,completed,canceled,errored,timeout

-- view org_rows
SELECT u.usage_date,
    u.org_id,
    t.instance_id,
    ((NOT t.has_untracked) OR (((u.usage_date >= t.device_counts_from) AND (u.usage_date <= t.device_counts_to)) AND ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days))) OR (((u.usage_date >= t.notebook_minutes_from) AND (u.usage_date <= t.notebook_minutes_to)) AND ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days))) OR (((u.usage_date >= t.payload_totals_from) AND (u.usage_date <= t.payload_totals_to)) AND ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days))) OR (((u.usage_date >= t.payload_sources_from) AND (u.usage_date <= t.payload_sources_to)) AND ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days))) OR (((u.usage_date >= t.payload_hours_from) AND (u.usage_date <= t.payload_hours_to)) AND ((t.payload_hours_days IS NULL) OR (u.usage_date <@ t.payload_hours_days)))) AS is_tracked,
    (t.has_untracked AND (((u.devices_created IS NOT NULL) AND (NOT ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days)))) OR ((u.notebook_minutes IS NOT NULL) AND (NOT ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)))) OR ((u.payload_billable_count IS NOT NULL) AND (NOT ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days)))) OR ((u.payload_source_count IS NOT NULL) AND (NOT ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days)))))) AS has_untracked,
    (COALESCE(((((u.usage_date >= t.payload_hours_from) AND (u.usage_date <= t.payload_hours_to)) AND ((t.payload_hours_days IS NULL) OR (u.usage_date <@ t.payload_hours_days))))::integer, 0) +
        CASE
            WHEN ((u.usage_date >= t.all_from) AND (u.usage_date <= t.all_to)) THEN 4
            ELSE (((COALESCE(((((u.usage_date >= t.device_counts_from) AND (u.usage_date <= t.device_counts_to)) AND ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days))))::integer, 0) + COALESCE(((((u.usage_date >= t.notebook_minutes_from) AND (u.usage_date <= t.notebook_minutes_to)) AND ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days))))::integer, 0)) + COALESCE(((((u.usage_date >= t.payload_totals_from) AND (u.usage_date <= t.payload_totals_to)) AND ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days))))::integer, 0)) + COALESCE(((((u.usage_date >= t.payload_sources_from) AND (u.usage_date <= t.payload_sources_to)) AND ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days))))::integer, 0))
        END) AS streams_expected,
    (((((((u.devices_created IS NOT NULL) AND ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days))))::integer + (((u.notebook_minutes IS NOT NULL) AND ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days))))::integer) + (((u.payload_billable_count IS NOT NULL) AND ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days))))::integer) + (((u.payload_source_count IS NOT NULL) AND ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days))))::integer) +
        CASE
            WHEN (((u.usage_date >= t.payload_hours_from) AND (u.usage_date <= t.payload_hours_to)) AND ((t.payload_hours_days IS NULL) OR (u.usage_date <@ t.payload_hours_days))) THEN ((EXISTS ( SELECT
               FROM losant_usage.payload_hours h
              WHERE ((h.usage_date = u.usage_date) AND (h.org_id = u.org_id)))))::integer
            ELSE 0
        END) AS streams_stored,
        CASE
            WHEN ((u.usage_date >= t.all_from) AND (u.usage_date <= t.all_to)) THEN 15
            ELSE (((
            CASE
                WHEN (((u.usage_date >= t.device_counts_from) AND (u.usage_date <= t.device_counts_to)) AND ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days))) THEN 1
                ELSE 0
            END +
            CASE
                WHEN (((u.usage_date >= t.notebook_minutes_from) AND (u.usage_date <= t.notebook_minutes_to)) AND ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days))) THEN 2
                ELSE 0
            END) +
            CASE
                WHEN (((u.usage_date >= t.payload_totals_from) AND (u.usage_date <= t.payload_totals_to)) AND ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days))) THEN 4
                ELSE 0
            END) +
            CASE
                WHEN (((u.usage_date >= t.payload_sources_from) AND (u.usage_date <= t.payload_sources_to)) AND ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days))) THEN 8
                ELSE 0
            END)
        END AS streams_set,
        CASE
            WHEN ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days)) THEN u.devices_created
            ELSE NULL::bigint
        END AS devices_created,
        CASE
            WHEN ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days)) THEN u.devices_deleted
            ELSE NULL::bigint
        END AS devices_deleted,
        CASE
            WHEN ((t.device_counts_days IS NULL) OR (u.usage_date <@ t.device_counts_days)) THEN u.devices_total
            ELSE NULL::bigint
        END AS devices_total,
        CASE
            WHEN ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)) THEN u.notebook_minutes
            ELSE NULL::bigint
        END AS notebook_minutes,
        CASE
            WHEN ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)) THEN u.notebook_completed
            ELSE NULL::bigint
        END AS notebook_completed,
        CASE
            WHEN ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)) THEN u.notebook_canceled
            ELSE NULL::bigint
        END AS notebook_canceled,
        CASE
            WHEN ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)) THEN u.notebook_errored
            ELSE NULL::bigint
        END AS notebook_errored,
        CASE
            WHEN ((t.notebook_minutes_days IS NULL) OR (u.usage_date <@ t.notebook_minutes_days)) THEN u.notebook_timeout
            ELSE NULL::bigint
        END AS notebook_timeout,
        CASE
            WHEN ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days)) THEN u.payload_billable_count
            ELSE NULL::bigint
        END AS payload_billable_count,
        CASE
            WHEN ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days)) THEN u.payload_all_count
            ELSE NULL::bigint
        END AS payload_all_count,
        CASE
            WHEN ((t.payload_totals_days IS NULL) OR (u.usage_date <@ t.payload_totals_days)) THEN u.payload_all_bytes
            ELSE NULL::bigint
        END AS payload_all_bytes,
        CASE
            WHEN ((t.payload_sources_days IS NULL) OR (u.usage_date <@ t.payload_sources_days)) THEN u.payload_source_count
            ELSE NULL::bigint
        END AS payload_source_count
   FROM (losant_usage.usage_days u
     JOIN losant_usage.org_tracks t ON ((t.org_id = u.org_id))); usage_date,org_id,instance_id,is_tracked,has_untracked,streams_expected,streams_stored,streams_set,devices_created,devices_deleted,devices_total,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view org_tracks
SELECT org_id,
    min(instance_id) AS instance_id,
    (bool_or(has_untracked) OR (count(*) FILTER (WHERE (stream <> 'payload_hours'::text)) < 4)) AS has_untracked,
        CASE
            WHEN ((count(*) FILTER (WHERE (stream <> 'payload_hours'::text)) = 4) AND (NOT bool_or(has_holes) FILTER (WHERE (stream <> 'payload_hours'::text)))) THEN max(from_day) FILTER (WHERE (stream <> 'payload_hours'::text))
            ELSE NULL::date
        END AS all_from,
    min(to_day) FILTER (WHERE (stream <> 'payload_hours'::text)) AS all_to,
    min(from_day) FILTER (WHERE (stream = 'device_counts'::text)) AS device_counts_from,
    min(to_day) FILTER (WHERE (stream = 'device_counts'::text)) AS device_counts_to,
        CASE
            WHEN (count(*) FILTER (WHERE (stream = 'device_counts'::text)) = 0) THEN '{}'::datemultirange
            ELSE range_agg(days) FILTER (WHERE ((stream = 'device_counts'::text) AND (has_holes OR has_untracked)))
        END AS device_counts_days,
    min(from_day) FILTER (WHERE (stream = 'notebook_minutes'::text)) AS notebook_minutes_from,
    min(to_day) FILTER (WHERE (stream = 'notebook_minutes'::text)) AS notebook_minutes_to,
        CASE
            WHEN (count(*) FILTER (WHERE (stream = 'notebook_minutes'::text)) = 0) THEN '{}'::datemultirange
            ELSE range_agg(days) FILTER (WHERE ((stream = 'notebook_minutes'::text) AND (has_holes OR has_untracked)))
        END AS notebook_minutes_days,
    min(from_day) FILTER (WHERE (stream = 'payload_totals'::text)) AS payload_totals_from,
    min(to_day) FILTER (WHERE (stream = 'payload_totals'::text)) AS payload_totals_to,
        CASE
            WHEN (count(*) FILTER (WHERE (stream = 'payload_totals'::text)) = 0) THEN '{}'::datemultirange
            ELSE range_agg(days) FILTER (WHERE ((stream = 'payload_totals'::text) AND (has_holes OR has_untracked)))
        END AS payload_totals_days,
    min(from_day) FILTER (WHERE (stream = 'payload_sources'::text)) AS payload_sources_from,
    min(to_day) FILTER (WHERE (stream = 'payload_sources'::text)) AS payload_sources_to,
        CASE
            WHEN (count(*) FILTER (WHERE (stream = 'payload_sources'::text)) = 0) THEN '{}'::datemultirange
            ELSE range_agg(days) FILTER (WHERE ((stream = 'payload_sources'::text) AND (has_holes OR has_untracked)))
        END AS payload_sources_days,
    min(from_day) FILTER (WHERE (stream = 'payload_hours'::text)) AS payload_hours_from,
    min(to_day) FILTER (WHERE (stream = 'payload_hours'::text)) AS payload_hours_to,
    range_agg(days) FILTER (WHERE ((stream = 'payload_hours'::text) AND has_holes)) AS payload_hours_days
   FROM losant_usage.tracked t
  GROUP BY org_id; org_id,instance_id,has_untracked,all_from,all_to,device_counts_from,device_counts_to,device_counts_days,notebook_minutes_from,notebook_minutes_to,notebook_minutes_days,payload_totals_from,payload_totals_to,payload_totals_days,payload_sources_from,payload_sources_to,payload_sources_days,payload_hours_from,payload_hours_to,payload_hours_days

-- view organization_tags
SELECT o.org_id,
    tag.key,
    tag.value,
    (row_number() OVER (PARTITION BY o.org_id, tag.key ORDER BY tag.place))::integer AS nth
   FROM (losant_usage.organizations o
     CROSS JOIN LATERAL ( SELECT (t.item ->> 'key'::text) AS key,
            (t.item ->> 'value'::text) AS value,
            t.place
           FROM jsonb_array_elements(o.tags) WITH ORDINALITY t(item, place)) tag); org_id,key,value,nth

-- view own_period_rows
SELECT p.period_start,
    p.period_end,
    s.instance_id,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.tags,
    s.days_in_period,
    s.days_expected,
    s.days_stored,
    s.days_final,
    s.days_accepted,
    s.days_unavailable,
    s.days_unreported,
    s.days_untracked,
    s.device_counts_days,
    s.notebook_minutes_days,
    s.payload_totals_days,
    s.payload_sources_days,
    s.days_possible,
    s.is_over,
    s.is_fully_tracked,
    s.standing,
    s.is_final,
    s.is_clear,
    s.open_days,
    s.missing_days,
    s.in_doubt_days,
    s.unavailable_days,
    s.by_hand_days,
    s.open_streams,
    s.missing_streams,
    s.in_doubt_streams,
    s.unavailable_streams,
    s.by_hand_streams,
    s.devices_created,
    s.devices_deleted,
    s.devices_total,
    s.devices_total_on,
    s.devices_total_max,
    s.devices_total_avg,
    s.notebook_minutes,
    s.notebook_completed,
    s.notebook_canceled,
    s.notebook_errored,
    s.notebook_timeout,
    s.payload_billable_count,
    s.payload_all_count,
    s.payload_all_bytes,
    s.payload_source_count
   FROM (losant_usage.losant_periods p
     CROSS JOIN LATERAL losant_usage.period_sums(p.period_start, (p.period_end + 1), p.org_id, p.org_id) s(instance_id, org_id, org_name, referral_id, plan_id, customer_id, tags, days_in_period, days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported, days_untracked, device_counts_days, notebook_minutes_days, payload_totals_days, payload_sources_days, days_possible, is_over, is_fully_tracked, standing, is_final, is_clear, open_days, missing_days, in_doubt_days, unavailable_days, by_hand_days, open_streams, missing_streams, in_doubt_streams, unavailable_streams, by_hand_streams, devices_created, devices_deleted, devices_total, devices_total_on, devices_total_max, devices_total_avg, notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout, payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count)); period_start,period_end,instance_id,org_id,org_name,referral_id,plan_id,customer_id,tags,days_in_period,days_expected,days_stored,days_final,days_accepted,days_unavailable,days_unreported,days_untracked,device_counts_days,notebook_minutes_days,payload_totals_days,payload_sources_days,days_possible,is_over,is_fully_tracked,standing,is_final,is_clear,open_days,missing_days,in_doubt_days,unavailable_days,by_hand_days,open_streams,missing_streams,in_doubt_streams,unavailable_streams,by_hand_streams,devices_created,devices_deleted,devices_total,devices_total_on,devices_total_max,devices_total_avg,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view payload_totals
SELECT u.usage_date,
    u.org_id,
    c.revision,
    c.run_id,
    losant_usage.loaded_at(c.*) AS loaded_at,
    u.payload_billable_count AS billable_count,
    u.payload_all_count AS all_count,
    u.payload_all_bytes AS all_bytes
   FROM (losant_usage.usage_days u
     JOIN losant_usage.coverage c ON (((c.usage_date = u.usage_date) AND (c.org_id = u.org_id) AND (c.stream = 'payload_totals'::text))))
  WHERE (u.payload_billable_count IS NOT NULL); usage_date,org_id,revision,run_id,loaded_at,billable_count,all_count,all_bytes

-- view period_blockers
SELECT instance_id,
    org_id,
    org_name,
    referral_id,
    plan_id,
    customer_id,
    period_start,
    period_end,
    source,
    cause,
        CASE
            WHEN (days IS NOT NULL) THEN losant_usage.count_days(days)
            ELSE NULL::integer
        END AS days,
    COALESCE(lower(days), period_start) AS first_day,
    COALESCE((upper(days) - 1), period_end) AS last_day,
    streams,
    losant_usage.what_to_do(cause, org_id, period_start, period_end, days, streams) AS what_to_do
   FROM ( SELECT s.instance_id,
            s.org_id,
            s.org_name,
            s.referral_id,
            s.plan_id,
            s.customer_id,
            s.period_start,
            s.period_end,
            s.source,
            c.cause,
            c.days,
            c.streams
           FROM ((( SELECT s_1.period_start,
                    s_1.period_end,
                    s_1.instance_id,
                    s_1.org_id,
                    s_1.org_name,
                    s_1.referral_id,
                    s_1.plan_id,
                    s_1.customer_id,
                    s_1.tags,
                    s_1.days_in_period,
                    s_1.days_expected,
                    s_1.days_stored,
                    s_1.days_final,
                    s_1.days_accepted,
                    s_1.days_unavailable,
                    s_1.days_unreported,
                    s_1.days_untracked,
                    s_1.device_counts_days,
                    s_1.notebook_minutes_days,
                    s_1.payload_totals_days,
                    s_1.payload_sources_days,
                    s_1.days_possible,
                    s_1.is_over,
                    s_1.is_fully_tracked,
                    s_1.standing,
                    s_1.is_final,
                    s_1.is_clear,
                    s_1.open_days,
                    s_1.missing_days,
                    s_1.in_doubt_days,
                    s_1.unavailable_days,
                    s_1.by_hand_days,
                    s_1.open_streams,
                    s_1.missing_streams,
                    s_1.in_doubt_streams,
                    s_1.unavailable_streams,
                    s_1.by_hand_streams,
                    s_1.devices_created,
                    s_1.devices_deleted,
                    s_1.devices_total,
                    s_1.devices_total_on,
                    s_1.devices_total_max,
                    s_1.devices_total_avg,
                    s_1.notebook_minutes,
                    s_1.notebook_completed,
                    s_1.notebook_canceled,
                    s_1.notebook_errored,
                    s_1.notebook_timeout,
                    s_1.payload_billable_count,
                    s_1.payload_all_count,
                    s_1.payload_all_bytes,
                    s_1.payload_source_count,
                    'calendar'::text AS source,
                    ((i.control_totals = 'block'::text) AND s_1.is_final AND losant_usage.is_contradicted(r.figures, m.summary_scale, s_1.devices_total, s_1.notebook_minutes, s_1.payload_billable_count, s_1.payload_all_count, s_1.payload_all_bytes) AND losant_usage.is_final_read(i.policy, s_1.period_end, r.verified_at) AND (NOT losant_usage.org_changed_since(s_1.org_id, s_1.period_start, s_1.period_end, r.verified_at))) AS is_contradicted
                   FROM (((losant_usage.month_rows s_1
                     JOIN losant_usage.instances i ON (((i.instance_id = s_1.instance_id) AND (i.billing_periods = 'calendar'::text))))
                     JOIN losant_usage.metrics m ON ((m.metric = 'payload_all_bytes'::text)))
                     LEFT JOIN losant_usage.monthly_summaries r ON (((r.instance_id = s_1.instance_id) AND (r.month = s_1.period_start) AND (r.resource_type = 'organization'::text) AND (r.resource_id = s_1.org_id))))
                UNION ALL
                 SELECT s_1.period_start,
                    s_1.period_end,
                    s_1.instance_id,
                    s_1.org_id,
                    s_1.org_name,
                    s_1.referral_id,
                    s_1.plan_id,
                    s_1.customer_id,
                    s_1.tags,
                    s_1.days_in_period,
                    s_1.days_expected,
                    s_1.days_stored,
                    s_1.days_final,
                    s_1.days_accepted,
                    s_1.days_unavailable,
                    s_1.days_unreported,
                    s_1.days_untracked,
                    s_1.device_counts_days,
                    s_1.notebook_minutes_days,
                    s_1.payload_totals_days,
                    s_1.payload_sources_days,
                    s_1.days_possible,
                    s_1.is_over,
                    s_1.is_fully_tracked,
                    s_1.standing,
                    s_1.is_final,
                    s_1.is_clear,
                    s_1.open_days,
                    s_1.missing_days,
                    s_1.in_doubt_days,
                    s_1.unavailable_days,
                    s_1.by_hand_days,
                    s_1.open_streams,
                    s_1.missing_streams,
                    s_1.in_doubt_streams,
                    s_1.unavailable_streams,
                    s_1.by_hand_streams,
                    s_1.devices_created,
                    s_1.devices_deleted,
                    s_1.devices_total,
                    s_1.devices_total_on,
                    s_1.devices_total_max,
                    s_1.devices_total_avg,
                    s_1.notebook_minutes,
                    s_1.notebook_completed,
                    s_1.notebook_canceled,
                    s_1.notebook_errored,
                    s_1.notebook_timeout,
                    s_1.payload_billable_count,
                    s_1.payload_all_count,
                    s_1.payload_all_bytes,
                    s_1.payload_source_count,
                    'losant'::text,
                    false
                   FROM (losant_usage.own_period_rows s_1
                     JOIN losant_usage.instances i ON (((i.instance_id = s_1.instance_id) AND (i.billing_periods = 'losant'::text))))) s
             LEFT JOIN ( SELECT o.instance_id,
                    min(t.tracked_from) AS first_day
                   FROM (losant_usage.tracking t
                     JOIN losant_usage.organizations o ON ((o.org_id = t.org_id)))
                  GROUP BY o.instance_id) n ON ((n.instance_id = s.instance_id)))
             CROSS JOIN LATERAL ( VALUES ('not_over'::text,(NOT s.is_over),NULL::datemultirange,NULL::text[]), ('not_fully_tracked'::text,(NOT s.is_fully_tracked),NULL::datemultirange,NULL::text[]), ('not_final'::text,(s.open_days IS NOT NULL),s.open_days,s.open_streams), ('missing'::text,(s.missing_days IS NOT NULL),s.missing_days,s.missing_streams), ('in_doubt'::text,(s.in_doubt_days IS NOT NULL),s.in_doubt_days,s.in_doubt_streams), ('unavailable'::text,(s.unavailable_days IS NOT NULL),s.unavailable_days,s.unavailable_streams), ('changed_by_hand'::text,(s.by_hand_days IS NOT NULL),s.by_hand_days,s.by_hand_streams), ('contradicted'::text,s.is_contradicted,NULL::datemultirange,NULL::text[])) c(cause, applies, days, streams))
          WHERE (c.applies AND ((NOT s.is_clear) OR s.is_contradicted) AND ((s.days_expected > 0) OR (s.period_end >= n.first_day)))
        UNION ALL
         SELECT p.instance_id,
            p.org_id,
            p.org_name,
            p.referral_id,
            p.plan_id,
            p.customer_id,
            m.month,
            (m.next_month - 1),
            'losant'::text,
            'no_period'::text,
            datemultirange(daterange(GREATEST(p.first_day, m.month), LEAST((p.last_day + 1), m.next_month))) AS datemultirange,
            NULL::text[]
           FROM (losant_usage.days_without_period p
             JOIN losant_usage.months m ON (((m.month <= p.last_day) AND (m.next_month > p.first_day))))
        UNION ALL
         SELECT i.instance_id,
            NULL::text,
            NULL::text,
            NULL::text,
            NULL::text,
            NULL::text,
            m.month,
            (m.next_month - 1),
            i.billing_periods,
            'list_incomplete'::text,
            NULL::datemultirange,
            NULL::text[]
           FROM (losant_usage.instances i
             JOIN losant_usage.months m ON (((m.month < ((now() AT TIME ZONE 'UTC'::text))::date) AND (m.next_month > LEAST(i.tracked_from, ( SELECT min(tracking.tracked_from) AS min
                   FROM losant_usage.tracking))))))
          WHERE (i.list_problem IS NOT NULL)
        UNION ALL
         SELECT d.instance_id,
            NULL::text,
            NULL::text,
            NULL::text,
            NULL::text,
            NULL::text,
            m.month,
            (m.next_month - 1),
            i.billing_periods,
            'contradicted'::text,
            part.days,
            d.streams
           FROM (((losant_usage.months m
             CROSS JOIN LATERAL ( SELECT d_1.instance_id,
                    range_agg(daterange(d_1.usage_date, (d_1.usage_date + 1))) AS days,
                    array_agg(DISTINCT d_1.stream) AS streams
                   FROM losant_usage.contradicted_days d_1
                  WHERE ((d_1.usage_date >= m.month) AND (d_1.usage_date <= (m.next_month - 1)))
                  GROUP BY d_1.instance_id) d)
             JOIN losant_usage.instances i ON (((i.instance_id = d.instance_id) AND (i.control_totals = 'block'::text))))
             CROSS JOIN LATERAL ( SELECT d.days
                  WHERE (i.billing_periods = 'calendar'::text)
                UNION ALL
                 SELECT datemultirange(each.each) AS datemultirange
                   FROM unnest(d.days) each(each)
                  WHERE (i.billing_periods = 'losant'::text)) part)
          WHERE ((m.month < ((now() AT TIME ZONE 'UTC'::text))::date) AND (m.next_month > ( SELECT min(usage_days.usage_date) AS min
                   FROM losant_usage.usage_days)))
        UNION ALL
         SELECT r.instance_id,
            r.resource_id,
            r.resource_name,
            NULL::text,
            NULL::text,
            NULL::text,
            r.month,
            (((r.month + '1 mon'::interval))::date - 1),
            i.billing_periods,
            'contradicted'::text,
            NULL::datemultirange,
            NULL::text[]
           FROM ((losant_usage.monthly_summaries r
             JOIN losant_usage.instances i ON (((i.instance_id = r.instance_id) AND (i.control_totals = 'block'::text) AND (i.billing_periods = 'calendar'::text))))
             JOIN losant_usage.metrics m ON ((m.metric = 'payload_all_bytes'::text)))
          WHERE ((r.resource_type = 'organization'::text) AND (NOT (EXISTS ( SELECT
                   FROM losant_usage.organizations o
                  WHERE ((o.org_id = r.resource_id) AND (o.instance_id = r.instance_id))))) AND losant_usage.is_contradicted(r.figures, m.summary_scale, (0)::bigint, (0)::bigint, (0)::bigint, (0)::bigint, (0)::bigint) AND losant_usage.is_final_read(i.policy, (((r.month + '1 mon'::interval))::date - 1), r.verified_at))) b; instance_id,org_id,org_name,referral_id,plan_id,customer_id,period_start,period_end,source,cause,days,first_day,last_day,streams,what_to_do

-- view period_usage
SELECT s.instance_id,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.tags,
    s.month AS period_start,
    ((s.month + s.days_in_period) - 1) AS period_end,
    'calendar'::text AS source,
    s.days_in_period,
    s.days_expected,
    s.days_stored,
    s.days_final,
    s.days_accepted,
    s.days_unavailable,
    s.days_unreported,
    s.days_untracked,
    s.device_counts_days,
    s.notebook_minutes_days,
    s.payload_totals_days,
    s.payload_sources_days,
    s.is_over,
    s.is_fully_tracked,
    s.standing,
    s.is_final,
    s.is_billable,
    s.devices_created,
    s.devices_deleted,
    s.devices_total,
    s.devices_total_on,
    s.devices_total_max,
    s.devices_total_avg,
    s.notebook_minutes,
    s.notebook_completed,
    s.notebook_canceled,
    s.notebook_errored,
    s.notebook_timeout,
    s.payload_billable_count,
    s.payload_all_count,
    s.payload_all_bytes,
    s.payload_source_count
   FROM (losant_usage.monthly_usage s
     JOIN losant_usage.instances i ON (((i.instance_id = s.instance_id) AND (i.billing_periods = 'calendar'::text))))
UNION ALL
 SELECT s.instance_id,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.tags,
    s.period_start,
    s.period_end,
    'losant'::text AS source,
    s.days_in_period,
    s.days_expected,
    s.days_stored,
    s.days_final,
    s.days_accepted,
    s.days_unavailable,
    s.days_unreported,
    s.days_untracked,
    s.device_counts_days,
    s.notebook_minutes_days,
    s.payload_totals_days,
    s.payload_sources_days,
    s.is_over,
    s.is_fully_tracked,
    s.standing,
    s.is_final,
    (s.is_clear AND (i.list_problem IS NULL) AND ((i.control_totals = 'show'::text) OR (NOT (daterange(s.period_start, s.period_end, '[]'::text) && COALESCE(x.days, '{}'::datemultirange))))) AS is_billable,
    s.devices_created,
    s.devices_deleted,
    s.devices_total,
    s.devices_total_on,
    s.devices_total_max,
    s.devices_total_avg,
    s.notebook_minutes,
    s.notebook_completed,
    s.notebook_canceled,
    s.notebook_errored,
    s.notebook_timeout,
    s.payload_billable_count,
    s.payload_all_count,
    s.payload_all_bytes,
    s.payload_source_count
   FROM ((losant_usage.own_period_rows s
     JOIN losant_usage.instances i ON (((i.instance_id = s.instance_id) AND (i.billing_periods = 'losant'::text))))
     LEFT JOIN LATERAL ( SELECT range_agg(daterange(d.usage_date, (d.usage_date + 1))) AS days
           FROM losant_usage.contradicted_days d
          WHERE (d.instance_id = i.instance_id)) x ON (true))
  WHERE (s.days_expected > 0); instance_id,org_id,org_name,referral_id,plan_id,customer_id,tags,period_start,period_end,source,days_in_period,days_expected,days_stored,days_final,days_accepted,days_unavailable,days_unreported,days_untracked,device_counts_days,notebook_minutes_days,payload_totals_days,payload_sources_days,is_over,is_fully_tracked,standing,is_final,is_billable,devices_created,devices_deleted,devices_total,devices_total_on,devices_total_max,devices_total_avg,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count

-- view read_cells
SELECT t.instance_id,
    c.org_id,
    c.stream,
    c.usage_date,
    c.standing,
    c.reason,
    c.message,
    c.is_stored,
    c.is_reported,
    c.revision,
    c.verified_at,
    c.next_read_at,
    c.attempts,
    c.attempted_at,
    c.run_id,
    c.response_sha256
   FROM ((losant_usage.days_between(( SELECT min(coverage.usage_date) AS min
           FROM losant_usage.coverage), (((now() AT TIME ZONE 'UTC'::text))::date - 1)) day(day)
     JOIN losant_usage.coverage c ON ((c.usage_date = day.day)))
     JOIN losant_usage.tracked t ON (((t.org_id = c.org_id) AND (t.stream = c.stream))))
  WHERE ((NOT losant_usage.is_waiting(c.standing, c.reason, c.usage_date)) AND ((c.usage_date >= t.from_day) AND (c.usage_date <= t.to_day)) AND ((NOT t.has_holes) OR (c.usage_date <@ t.days)))
UNION ALL
 SELECT t.instance_id,
    c.org_id,
    c.stream,
    c.usage_date,
    'waiting'::losant_usage.standing AS standing,
    c.reason,
    c.message,
    c.is_stored,
    c.is_reported,
    c.revision,
    c.verified_at,
    c.next_read_at,
    c.attempts,
    c.attempted_at,
    c.run_id,
    c.response_sha256
   FROM ((losant_usage.days_between(losant_usage.late_before(now()), (((now() AT TIME ZONE 'UTC'::text))::date - 1)) day(day)
     JOIN losant_usage.coverage c ON ((c.usage_date = day.day)))
     JOIN losant_usage.tracked t ON (((t.org_id = c.org_id) AND (t.stream = c.stream))))
  WHERE (losant_usage.is_waiting(c.standing, c.reason, c.usage_date) AND ((c.usage_date >= t.from_day) AND (c.usage_date <= t.to_day)) AND ((NOT t.has_holes) OR (c.usage_date <@ t.days))); instance_id,org_id,stream,usage_date,standing,reason,message,is_stored,is_reported,revision,verified_at,next_read_at,attempts,attempted_at,run_id,response_sha256

-- view reconciliation
SELECT 'instance_day'::text AS scope,
    r.instance_id,
    (date_trunc('month'::text, (r.usage_date)::timestamp without time zone))::date AS month,
    r.usage_date,
    NULL::text AS org_id,
    NULL::text AS org_name,
    NULL::text AS referral_id,
    NULL::text AS plan_id,
    NULL::text AS customer_id,
    true AS is_listed,
    r.metric,
    r.unit,
    r.kind,
    r.quantity,
    r.total,
    (r.quantity - r.total) AS difference,
    r.orgs_missing,
    r.orgs_removed,
    NULL::integer AS days_missing,
        CASE
            WHEN ((r.quantity IS NULL) OR (r.total IS NULL)) THEN 'not_compared'::text
            WHEN (w.reason IS NOT NULL) THEN 'pending'::text
            WHEN (r.quantity <> r.total) THEN 'differs'::text
            ELSE 'equal'::text
        END AS outcome,
        CASE
            WHEN (r.quantity IS NULL) THEN 'not_stored'::text
            WHEN (r.total IS NOT NULL) THEN w.reason
            WHEN (r.verified_at IS NOT NULL) THEN 'left_out'::text
            ELSE COALESCE(q.reason, 'not_read'::text)
        END AS reason,
    r.verified_at
   FROM ((losant_usage.total_differences r
     LEFT JOIN losant_usage.control_total_reads q ON (((q.instance_id = r.instance_id) AND (q.question = r.stream))))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (r.orgs_missing > 0) THEN 'orgs_missing'::text
                    WHEN (r.orgs_removed > 0) THEN 'orgs_removed'::text
                    WHEN (NOT r.is_final) THEN 'not_final'::text
                    WHEN (NOT r.is_final_read) THEN 'total_not_final'::text
                    WHEN r.is_outdated THEN 'total_outdated'::text
                    ELSE NULL::text
                END AS reason) w)
UNION ALL
 SELECT 'org_day'::text AS scope,
    o.instance_id,
    (date_trunc('month'::text, (r.usage_date)::timestamp without time zone))::date AS month,
    r.usage_date,
    o.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    true AS is_listed,
    m.metric,
    m.unit,
    m.kind,
    v.quantity,
    v.total,
    (v.quantity - v.total) AS difference,
    NULL::integer AS orgs_missing,
    NULL::integer AS orgs_removed,
    NULL::integer AS days_missing,
        CASE
            WHEN e.is_open THEN 'pending'::text
            ELSE 'differs'::text
        END AS outcome,
        CASE
            WHEN e.is_open THEN 'not_final'::text
            ELSE NULL::text
        END AS reason,
    NULL::timestamp with time zone AS verified_at
   FROM (((((losant_usage.org_rows r
     CROSS JOIN LATERAL ( VALUES ('payload_source_count'::text,(r.payload_source_count)::numeric,(r.payload_all_count)::numeric)) v(metric, quantity, total))
     JOIN losant_usage.organizations o ON ((o.org_id = r.org_id)))
     JOIN losant_usage.metrics m ON ((m.metric = v.metric)))
     JOIN losant_usage.metrics w ON ((w.metric = m.same_as)))
     CROSS JOIN LATERAL ( SELECT (EXISTS ( SELECT
                   FROM losant_usage.read_cells c
                  WHERE ((c.usage_date = r.usage_date) AND (c.org_id = r.org_id) AND (c.standing <> 'final'::losant_usage.standing) AND (c.stream = ANY (ARRAY[m.stream, w.stream]))))) AS is_open) e)
  WHERE (v.quantity <> v.total)
UNION ALL
 SELECT 'org_month'::text AS scope,
    s.instance_id,
    s.month,
    NULL::date AS usage_date,
    s.org_id,
    s.org_name,
    s.referral_id,
    s.plan_id,
    s.customer_id,
    s.is_listed,
    s.metric,
    s.unit,
    s.kind,
    s.quantity,
    s.total,
    (s.quantity - s.total) AS difference,
    NULL::integer AS orgs_missing,
    NULL::integer AS orgs_removed,
    s.days_missing,
        CASE
            WHEN ((s.total IS NULL) OR ((s.quantity IS NULL) AND s.is_listed)) THEN 'not_compared'::text
            WHEN (w.reason IS NOT NULL) THEN 'pending'::text
            WHEN s.differs THEN 'differs'::text
            ELSE 'equal'::text
        END AS outcome,
        CASE
            WHEN ((s.total IS NOT NULL) AND (s.quantity IS NULL) AND s.is_listed) THEN 'not_stored'::text
            WHEN (s.total IS NOT NULL) THEN w.reason
            WHEN (s.verified_at IS NOT NULL) THEN
            CASE
                WHEN (q.reason = 'unusable'::text) THEN q.reason
                ELSE 'left_out'::text
            END
            WHEN (q.verified_at IS NOT NULL) THEN 'no_summary'::text
            ELSE COALESCE(q.reason, 'not_read'::text)
        END AS reason,
    s.verified_at
   FROM ((losant_usage.summary_differences s
     LEFT JOIN losant_usage.control_total_reads q ON (((q.instance_id = s.instance_id) AND (q.question = ('monthly_summaries '::text || to_char((s.month)::timestamp with time zone, 'YYYY-MM'::text))))))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (s.is_listed AND (s.is_final IS NOT TRUE)) THEN 'not_final'::text
                    WHEN (NOT s.is_final_read) THEN 'total_not_final'::text
                    WHEN (s.differs AND s.is_listed AND losant_usage.org_changed_since(s.org_id, s.month, (((s.month + '1 mon'::interval))::date - 1), s.verified_at)) THEN 'total_outdated'::text
                    ELSE NULL::text
                END AS reason) w); scope,instance_id,month,usage_date,org_id,org_name,referral_id,plan_id,customer_id,is_listed,metric,unit,kind,quantity,total,difference,orgs_missing,orgs_removed,days_missing,outcome,reason,verified_at

-- view restatements
SELECT o.instance_id,
    r.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    r.stream,
    r.usage_date,
    m.metric,
    (r.key ->> 'payload_type'::text) AS payload_type,
    (r.key ->> 'source'::text) AS source,
    ((r.old ->> m.source_column))::bigint AS old_quantity,
    ((r.new ->> m.source_column))::bigint AS new_quantity,
    (COALESCE(((r.new ->> m.source_column))::bigint, (0)::bigint) - COALESCE(((r.old ->> m.source_column))::bigint, (0)::bigint)) AS difference,
    m.unit,
    r.revision,
    r.was_final,
    (r.run_id IS NULL) AS by_hand,
    r.run_id,
    r.changed_by,
    r.changed_at,
    r.id AS revision_id,
    NULL::integer AS hour
   FROM (((losant_usage.revisions r
     JOIN losant_usage.streams s ON ((s.stream = r.stream)))
     JOIN losant_usage.metrics m ON (((m.stream = r.stream) AND ((r.old ->> m.source_column) IS DISTINCT FROM (r.new ->> m.source_column)))))
     JOIN losant_usage.organizations o ON ((o.org_id = r.org_id)))
  WHERE ((r.key = '{}'::jsonb) = (s.key_columns = '{}'::text[]))
UNION ALL
 SELECT o.instance_id,
    r.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    r.stream,
    r.usage_date,
    m.metric,
    NULL::text AS payload_type,
    NULL::text AS source,
    q.old AS old_quantity,
    q.new AS new_quantity,
    (COALESCE(q.new, (0)::bigint) - COALESCE(q.old, (0)::bigint)) AS difference,
    m.unit,
    r.revision,
    r.was_final,
    (r.run_id IS NULL) AS by_hand,
    r.run_id,
    r.changed_by,
    r.changed_at,
    r.id AS revision_id,
    hour.hour
   FROM (((((losant_usage.revisions r
     CROSS JOIN ( VALUES ('payload_billable_count'::text,'billable_counts'::text), ('payload_all_count'::text,'all_counts'::text), ('payload_all_bytes'::text,'all_bytes'::text)) c(metric, array_column))
     JOIN losant_usage.metrics m ON ((m.metric = c.metric)))
     CROSS JOIN generate_series(0, 23) hour(hour))
     CROSS JOIN LATERAL ( SELECT (((r.old -> c.array_column) ->> hour.hour))::bigint AS old,
            (((r.new -> c.array_column) ->> hour.hour))::bigint AS new) q)
     JOIN losant_usage.organizations o ON ((o.org_id = r.org_id)))
  WHERE ((r.stream = 'payload_hours'::text) AND (q.old IS DISTINCT FROM q.new)); instance_id,org_id,org_name,referral_id,plan_id,customer_id,stream,usage_date,metric,payload_type,source,old_quantity,new_quantity,difference,unit,revision,was_final,by_hand,run_id,changed_by,changed_at,revision_id,hour

-- view rowless_days
SELECT usage_date,
    org_id,
    (count(*))::integer AS streams_expected,
    (sum(
        CASE stream
            WHEN 'device_counts'::text THEN 1
            WHEN 'notebook_minutes'::text THEN 2
            WHEN 'payload_totals'::text THEN 4
            WHEN 'payload_sources'::text THEN 8
            ELSE 0
        END))::integer AS streams_set
   FROM losant_usage.unread_cells c
  WHERE (NOT (EXISTS ( SELECT
           FROM losant_usage.usage_days u
          WHERE ((u.usage_date = c.usage_date) AND (u.org_id = c.org_id)))))
  GROUP BY usage_date, org_id; usage_date,org_id,streams_expected,streams_set

-- view silent_organizations
SELECT o.instance_id,
    o.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    u.last_day,
    z.days AS silent_days,
    u.payloads AS payloads_before
   FROM (((( SELECT (((now() AT TIME ZONE 'UTC'::text))::date - 1) AS yesterday) y
     CROSS JOIN LATERAL ( SELECT d.org_id,
            max(d.usage_date) FILTER (WHERE (d.payload_all_count > 0)) AS last_day,
            (sum(d.payload_all_count))::bigint AS payloads
           FROM losant_usage.usage_days d
          WHERE ((d.usage_date >= (y.yesterday - 33)) AND (d.usage_date <= y.yesterday))
          GROUP BY d.org_id) u)
     JOIN losant_usage.organizations o ON (((o.org_id = u.org_id) AND (o.removed_at IS NULL))))
     CROSS JOIN LATERAL ( SELECT (count(*))::integer AS days
           FROM (losant_usage.days_between((u.last_day + 1), y.yesterday) day(day)
             JOIN losant_usage.usage_days s ON (((s.usage_date = day.day) AND (s.org_id = u.org_id) AND (s.payload_all_count = 0))))) z)
  WHERE ((u.last_day < (y.yesterday - 2)) AND (z.days >= 3)); instance_id,org_id,org_name,referral_id,plan_id,customer_id,last_day,silent_days,payloads_before

-- view summary_differences
SELECT k.instance_id,
    m.month,
    k.org_id,
    (o.org_id IS NOT NULL) AS is_listed,
    COALESCE(o.name, k.resource_name) AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    t.metric,
    t.stream,
    t.unit,
    t.kind,
    v.quantity,
    v.total,
    k.verified_at,
    (k.days_expected - k.days_stored) AS days_missing,
    k.is_final,
    losant_usage.is_final_read(i.policy, (m.next_month - 1), k.verified_at) AS is_final_read,
        CASE
            WHEN (o.org_id IS NULL) THEN (v.total > (0)::numeric)
            WHEN (t.summary_scale > 1) THEN COALESCE((abs((v.quantity - v.total)) >= (t.summary_scale)::numeric), false)
            ELSE COALESCE((v.quantity <> v.total), false)
        END AS differs
   FROM ((((((losant_usage.months m
     CROSS JOIN LATERAL ( SELECT instance_id,
            org_id,
            s.resource_name,
            s.figures,
            s.verified_at,
            u.days_expected,
            u.days_stored,
            u.is_final,
            u.devices_total,
            u.notebook_minutes,
            u.payload_billable_count,
            u.payload_all_count,
            u.payload_all_bytes
           FROM (( SELECT r.instance_id,
                    r.resource_id AS org_id,
                    r.resource_name,
                    r.figures,
                    r.verified_at
                   FROM losant_usage.monthly_summaries r
                  WHERE ((r.month = m.month) AND (r.resource_type = 'organization'::text))) s
             FULL JOIN ( SELECT n.instance_id,
                    n.org_id,
                    n.days_expected,
                    n.days_stored,
                    n.is_final,
                    n.devices_total,
                    n.notebook_minutes,
                    n.payload_billable_count,
                    n.payload_all_count,
                    n.payload_all_bytes
                   FROM losant_usage.period_sums(m.month, m.next_month, ''::text, 'g'::text) n(instance_id, org_id, org_name, referral_id, plan_id, customer_id, tags, days_in_period, days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported, days_untracked, device_counts_days, notebook_minutes_days, payload_totals_days, payload_sources_days, days_possible, is_over, is_fully_tracked, standing, is_final, is_clear, open_days, missing_days, in_doubt_days, unavailable_days, by_hand_days, open_streams, missing_streams, in_doubt_streams, unavailable_streams, by_hand_streams, devices_created, devices_deleted, devices_total, devices_total_on, devices_total_max, devices_total_avg, notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout, payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count)
                  WHERE (n.is_over AND (n.days_expected > 0))) u USING (instance_id, org_id))) k)
     JOIN losant_usage.instances i ON ((i.instance_id = k.instance_id)))
     LEFT JOIN losant_usage.organizations o ON (((o.org_id = k.org_id) AND (o.instance_id = k.instance_id))))
     CROSS JOIN LATERAL ( VALUES ('devices_total'::text,(k.devices_total)::numeric,((k.figures ->> 'deviceCount'::text))::numeric), ('notebook_minutes'::text,(k.notebook_minutes)::numeric,((k.figures ->> 'notebookMinutesCount'::text))::numeric), ('payload_billable_count'::text,(k.payload_billable_count)::numeric,((k.figures ->> 'payloadBillableCount'::text))::numeric), ('payload_all_count'::text,(k.payload_all_count)::numeric,(((k.figures ->> 'payloadBillableCount'::text))::numeric + ((k.figures ->> 'payloadNonbillableCount'::text))::numeric)), ('payload_all_bytes'::text,(k.payload_all_bytes)::numeric,(((k.figures ->> 'payloadBillableSizeMb'::text))::numeric + ((k.figures ->> 'payloadNonbillableSizeMb'::text))::numeric))) f(metric, quantity, figure))
     JOIN losant_usage.metrics t ON ((t.metric = f.metric)))
     CROSS JOIN LATERAL ( SELECT f.quantity,
            (f.figure * (t.summary_scale)::numeric) AS total) v)
  WHERE (m.month < ((now() AT TIME ZONE 'UTC'::text))::date); instance_id,month,org_id,is_listed,org_name,referral_id,plan_id,customer_id,metric,stream,unit,kind,quantity,total,verified_at,days_missing,is_final,is_final_read,differs

-- view total_differences
SELECT instance_id,
    usage_date,
    stream,
    metric,
    unit,
    kind,
    quantity,
    verified_at,
    total,
    orgs_missing,
    orgs_removed,
    is_final,
    is_final_read,
    ((total IS NOT NULL) AND (quantity <> total) AND losant_usage.instance_changed_since(instance_id, stream, usage_date, verified_at)) AS is_outdated
   FROM ( SELECT s.instance_id,
            s.usage_date,
            m.stream,
            m.metric,
            m.unit,
            m.kind,
            v.quantity,
            t.verified_at,
            (t.quantity)::numeric AS total,
            ((s.orgs - v.orgs))::integer AS orgs_missing,
            ( SELECT (count(*))::integer AS count
                   FROM losant_usage.organizations o
                  WHERE ((o.instance_id = s.instance_id) AND (o.removed_at IS NOT NULL) AND (o.removed_at <= t.verified_at) AND (o.removed_on >= s.usage_date) AND ((o.created_on IS NULL) OR (o.created_on <= s.usage_date)))) AS orgs_removed,
            (m.stream <> ALL (s.open_streams)) AS is_final,
            losant_usage.is_final_read(i.policy, s.usage_date, t.verified_at) AS is_final_read
           FROM ((((losant_usage.instance_days s
             JOIN losant_usage.instances i ON ((i.instance_id = s.instance_id)))
             CROSS JOIN LATERAL ( VALUES ('devices_created'::text,(s.devices_created)::numeric,s.device_counts_orgs), ('devices_deleted'::text,(s.devices_deleted)::numeric,s.device_counts_orgs), ('devices_total'::text,(s.devices_total)::numeric,s.device_counts_orgs), ('notebook_minutes'::text,(s.notebook_minutes)::numeric,s.notebook_minutes_orgs), ('notebook_completed'::text,(s.notebook_completed)::numeric,s.notebook_minutes_orgs), ('notebook_canceled'::text,(s.notebook_canceled)::numeric,s.notebook_minutes_orgs), ('notebook_errored'::text,(s.notebook_errored)::numeric,s.notebook_minutes_orgs), ('notebook_timeout'::text,(s.notebook_timeout)::numeric,s.notebook_minutes_orgs), ('payload_billable_count'::text,(s.payload_billable_count)::numeric,s.payload_totals_orgs), ('payload_all_count'::text,(s.payload_all_count)::numeric,s.payload_totals_orgs), ('payload_all_bytes'::text,s.payload_all_bytes,s.payload_totals_orgs), ('payload_source_count'::text,(s.payload_source_count)::numeric,s.payload_sources_orgs)) v(metric, quantity, orgs))
             JOIN losant_usage.metrics m ON ((m.metric = v.metric)))
             LEFT JOIN losant_usage.instance_totals t ON (((t.instance_id = s.instance_id) AND (t.usage_date = s.usage_date) AND (t.metric = v.metric))))) d; instance_id,usage_date,stream,metric,unit,kind,quantity,verified_at,total,orgs_missing,orgs_removed,is_final,is_final_read,is_outdated

-- view tracked
SELECT instance_id,
    org_id,
    stream,
    days,
    lower(days) AS first_day,
    (upper(days) - 1) AS last_day,
    (days - read_days) AS unread_days,
    read_days,
    days_read,
    from_day,
    to_day,
    has_holes,
    (has_untracked OR COALESCE((read_from < from_day), false) OR COALESCE((read_to > to_day), false)) AS has_untracked,
    unread_from
   FROM ( SELECT bounds.instance_id,
            bounds.org_id,
            bounds.stream,
            bounds.tracked_days,
            bounds.read_days,
            bounds.days_read,
            bounds.read_from,
            bounds.read_to,
            bounds.from_day,
            bounds.end_day,
            bounds.has_holes,
            bounds.has_untracked,
            bounds.unread_from,
            bounds.to_day,
            (bounds.tracked_days * datemultirange(daterange(bounds.from_day, GREATEST(bounds.from_day, (bounds.to_day + 1))))) AS days
           FROM ( SELECT tracks.instance_id,
                    tracks.org_id,
                    tracks.stream,
                    tracks.tracked_days,
                    tracks.read_days,
                    tracks.days_read,
                    tracks.read_from,
                    tracks.read_to,
                    tracks.from_day,
                    tracks.end_day,
                    tracks.has_holes,
                    tracks.has_untracked,
                    tracks.unread_from,
                    LEAST(tracks.end_day, (((now() AT TIME ZONE 'UTC'::text))::date - 1)) AS to_day
                   FROM losant_usage.tracks) bounds) t; instance_id,org_id,stream,days,first_day,last_day,unread_days,read_days,days_read,from_day,to_day,has_holes,has_untracked,unread_from

-- view tracks
SELECT o.instance_id,
    k.org_id,
    k.stream,
    k.tracked_days,
    k.read_days,
    k.days_read,
    k.read_from,
    k.read_to,
    GREATEST(k.tracked_from, o.created_on) AS from_day,
    LEAST(k.tracked_to, o.removed_on) AS end_day,
    k.has_holes,
    k.has_untracked,
    k.unread_from
   FROM (losant_usage.tracking k
     JOIN losant_usage.organizations o ON ((o.org_id = k.org_id))); instance_id,org_id,stream,tracked_days,read_days,days_read,read_from,read_to,from_day,end_day,has_holes,has_untracked,unread_from

-- view unread_cells
SELECT t.instance_id,
    t.org_id,
    t.stream,
    day.day AS usage_date,
    'missing'::losant_usage.standing AS standing
   FROM (losant_usage.tracked t
     CROSS JOIN LATERAL losant_usage.each_day((t.unread_days * datemultirange(daterange(NULL::date, losant_usage.late_before(now()))))) day(day))
  WHERE (t.unread_from < losant_usage.late_before(now()))
UNION ALL
 SELECT t.instance_id,
    t.org_id,
    t.stream,
    day.day AS usage_date,
    'waiting'::losant_usage.standing AS standing
   FROM (losant_usage.tracked t
     CROSS JOIN LATERAL losant_usage.each_day((t.unread_days * datemultirange(daterange(losant_usage.late_before(now()), NULL::date)))) day(day))
  WHERE (t.unread_from < ((now() AT TIME ZONE 'UTC'::text))::date); instance_id,org_id,stream,usage_date,standing

-- view usage_movers
SELECT o.instance_id,
    o.org_id,
    o.name AS org_name,
    o.referral_id,
    o.plan_id,
    o.customer_id,
    u.period_start,
    u.period_end,
    u.days,
    u.quantity,
    u.previous_quantity,
    (u.quantity - u.previous_quantity) AS difference,
    round((((u.quantity - u.previous_quantity))::numeric / (NULLIF(u.previous_quantity, 0))::numeric), 4) AS change
   FROM (( SELECT n.org_id,
            p.month AS period_start,
            p.yesterday AS period_end,
            (count(*))::integer AS days,
            (sum(n.payload_billable_count))::bigint AS quantity,
            (sum(b.payload_billable_count))::bigint AS previous_quantity
           FROM ((( SELECT y.yesterday,
                    (date_trunc('month'::text, (y.yesterday)::timestamp without time zone))::date AS month
                   FROM ( SELECT (((now() AT TIME ZONE 'UTC'::text))::date - 1) AS yesterday) y) p
             JOIN losant_usage.usage_days n ON ((((n.usage_date >= p.month) AND (n.usage_date <= p.yesterday)) AND (n.payload_billable_count IS NOT NULL))))
             JOIN losant_usage.usage_days b ON (((b.org_id = n.org_id) AND (b.payload_billable_count IS NOT NULL) AND (b.usage_date < p.month) AND (b.usage_date = (((p.month - '1 mon'::interval))::date + (n.usage_date - p.month))))))
          GROUP BY n.org_id, p.month, p.yesterday) u
     JOIN losant_usage.organizations o ON (((o.org_id = u.org_id) AND (o.removed_at IS NULL)))); instance_id,org_id,org_name,referral_id,plan_id,customer_id,period_start,period_end,days,quantity,previous_quantity,difference,change

-- view usage_vs_limits
SELECT p.instance_id,
    p.org_id,
    p.org_name,
    p.referral_id,
    p.plan_id,
    p.customer_id,
    p.period_start,
    p.period_end,
    p.source,
    p.days_in_period,
    p.days_expected,
    q.days AS days_stored,
    l.key AS limit_name,
    m.metric,
    m.unit,
    m.kind,
    (q.bound)::bigint AS limit_quantity,
    (q.quantity)::bigint AS quantity,
    round((q.quantity / NULLIF(q.bound, (0)::numeric)), 4) AS share,
    (q.projected)::bigint AS projected_quantity,
    round((q.projected / NULLIF(q.bound, (0)::numeric)), 4) AS projected_share,
        CASE
            WHEN (q.quantity > q.bound) THEN COALESCE(( SELECT min(r.day) AS min
               FROM ( SELECT day.day,
                            CASE m.kind
                                WHEN 'level'::text THEN v.number
                                ELSE sum(v.number) OVER (ORDER BY day.day)
                            END AS number
                       FROM ((losant_usage.days_between(p.period_start, q.yesterday) day(day)
                         JOIN losant_usage.usage_days u ON (((u.usage_date = day.day) AND (u.org_id = p.org_id))))
                         CROSS JOIN LATERAL ( SELECT (
                                    CASE m.metric
WHEN 'devices_total'::text THEN u.devices_total
WHEN 'notebook_minutes'::text THEN u.notebook_minutes
WHEN 'payload_billable_count'::text THEN u.payload_billable_count
ELSE NULL::bigint
                                    END)::numeric AS "numeric") v(number))) r
              WHERE (r.number > q.bound)), q.yesterday)
            WHEN (q.projected > q.bound) THEN LEAST(q.last_day, ((q.yesterday + (floor((((q.bound - q.quantity) * (q.days)::numeric) / q.quantity)))::integer) + 1))
            ELSE NULL::date
        END AS crosses_on
   FROM (((((losant_usage.period_usage p
     JOIN losant_usage.organizations o ON ((o.org_id = p.org_id)))
     CROSS JOIN LATERAL jsonb_each(o.limits) l(key, value))
     LEFT JOIN losant_usage.metrics m ON ((m.limit_name = l.key)))
     CROSS JOIN LATERAL ( SELECT (
                CASE m.metric
                    WHEN 'devices_total'::text THEN p.devices_total
                    WHEN 'notebook_minutes'::text THEN p.notebook_minutes
                    WHEN 'payload_billable_count'::text THEN p.payload_billable_count
                    ELSE NULL::bigint
                END)::numeric AS number,
                CASE m.stream
                    WHEN 'device_counts'::text THEN p.device_counts_days
                    WHEN 'notebook_minutes'::text THEN p.notebook_minutes_days
                    WHEN 'payload_totals'::text THEN p.payload_totals_days
                    ELSE NULL::integer
                END AS days,
            ((LEAST(p.period_end, o.removed_on) - GREATEST(p.period_start, o.created_on)) + 1) AS days_possible,
            LEAST(p.period_end, o.removed_on) AS last_day,
            (((now() AT TIME ZONE 'UTC'::text))::date - 1) AS yesterday) n)
     CROSS JOIN LATERAL ( SELECT trunc(LEAST(((l.value)::text)::numeric, ('9007199254740991'::bigint)::numeric)) AS bound,
            n.number AS quantity,
            n.days,
            n.last_day,
            n.yesterday,
                CASE m.kind
                    WHEN 'level'::text THEN n.number
                    WHEN 'flow'::text THEN round(((n.number * (n.days_possible)::numeric) / (NULLIF(n.days, 0))::numeric))
                    ELSE NULL::numeric
                END AS projected) q)
  WHERE ((((((now() AT TIME ZONE 'UTC'::text))::date - 1) >= p.period_start) AND ((((now() AT TIME ZONE 'UTC'::text))::date - 1) <= p.period_end)) AND (jsonb_typeof(l.value) = 'number'::text)); instance_id,org_id,org_name,referral_id,plan_id,customer_id,period_start,period_end,source,days_in_period,days_expected,days_stored,limit_name,metric,unit,kind,limit_quantity,quantity,share,projected_quantity,projected_share,crosses_on

-- storage
coverage: autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_scale_factor=0.02
tracking: fillfactor=80
usage_days: fillfactor=90

-- comments
adjustments: 20 of 20 columns
billing_periods: 4 of 4 columns
cell_counts: 4 of 4 columns
cells: 16 of 16 columns
contradicted_days: 0 of 4 columns
control_total_reads: 8 of 8 columns
coverage: 18 of 18 columns
coverage_gaps: 14 of 14 columns
daily_usage: 25 of 25 columns
daily_usage_long: 15 of 15 columns
days_without_period: 9 of 9 columns
definitions: 4 of 4 columns
device_continuity: 13 of 13 columns
device_counts: 8 of 8 columns
focus_usage: 42 of 42 columns
freshness: 11 of 11 columns
hourly_usage: 14 of 14 columns
instance_days: 0 of 20 columns
instance_totals: 8 of 8 columns
instances: 12 of 12 columns
known_missing: 12 of 12 columns
leases: 8 of 8 columns
load_lock: 1 of 1 columns
losant_periods: 0 of 3 columns
meter_events: 24 of 24 columns
metrics: 11 of 11 columns
migrations: 3 of 3 columns
month_rows: 0 of 52 columns
monthly_summaries: 11 of 11 columns
monthly_usage: 40 of 40 columns
months: 2 of 2 columns
notebook_minutes: 10 of 10 columns
org_rows: 0 of 20 columns
org_tracks: 0 of 20 columns
organization_history: 15 of 15 columns
organization_tags: 4 of 4 columns
organizations: 19 of 19 columns
own_period_rows: 0 of 52 columns
payload_hours: 5 of 5 columns
payload_sources: 6 of 6 columns
payload_totals: 8 of 8 columns
period_blockers: 15 of 15 columns
period_usage: 42 of 42 columns
pruned_months: 4 of 4 columns
quarantine: 14 of 14 columns
read_cells: 0 of 16 columns
reconciliation: 22 of 22 columns
restatements: 23 of 23 columns
revisions: 12 of 12 columns
rowless_days: 0 of 4 columns
runs: 30 of 30 columns
silent_organizations: 9 of 9 columns
statement_blockers: 12 of 12 columns
statement_files: 4 of 4 columns
statement_lines: 28 of 28 columns
statement_sources: 7 of 7 columns
statements: 14 of 14 columns
streams: 5 of 5 columns
summary_differences: 0 of 19 columns
total_differences: 0 of 14 columns
tracked: 14 of 14 columns
tracking: 12 of 12 columns
tracks: 0 of 13 columns
unread_cells: 0 of 5 columns
usage_days: 14 of 14 columns
usage_movers: 13 of 13 columns
usage_vs_limits: 22 of 22 columns
waivers: 9 of 9 columns

-- rights of public
adjustments_of(): EXECUTE
billed_numbers(): EXECUTE
catalog_state(): EXECUTE
cell_changes(): EXECUTE
changed_definitions(): EXECUTE
changes_since(): EXECUTE
closing_blockers(): EXECUTE
count_days(): EXECUTE
current_run(): EXECUTE
day_hours(): EXECUTE
days_between(): EXECUTE
definition_core(): EXECUTE
definitions: SELECT
each_day(): EXECUTE
instance_changed_since(): EXECUTE
is_by_hand(): EXECUTE
is_contradicted(): EXECUTE
is_final_read(): EXECUTE
is_pruned(): EXECUTE
is_waiting(): EXECUTE
keep_read_days(): EXECUTE
late_before(): EXECUTE
list_definitions(): EXECUTE
loaded_at(): EXECUTE
local_daily_usage(): EXECUTE
local_hours(): EXECUTE
locked_at(): EXECUTE
migrations: SELECT
next_checkpoint(): EXECUTE
org_changed_since(): EXECUTE
period_numbers(): EXECUTE
period_sums(): EXECUTE
record_changes(): EXECUTE
refuse(): EXECUTE
refuse_addition(): EXECUTE
require_closable(): EXECUTE
require_seal(): EXECUTE
row_key(): EXECUTE
source_changes(): EXECUTE
statement_document(): EXECUTE
statement_draft(): EXECUTE
statement_periods(): EXECUTE
statement_totals(): EXECUTE
unread_standing(): EXECUTE
usage_as_of(): EXECUTE
what_to_do(): EXECUTE

-- rights of losant_usage_reader
adjustments: SELECT
billing_periods: SELECT
cell_counts: SELECT
cells: SELECT
control_total_reads: SELECT
coverage: SELECT
coverage_gaps: SELECT
daily_usage: SELECT
daily_usage_long: SELECT
days_without_period: SELECT
definitions: SELECT
device_continuity: SELECT
device_counts: SELECT
focus_usage: SELECT
freshness: SELECT
hourly_usage: SELECT
instance_totals: SELECT
instances: SELECT
known_missing: SELECT
leases.epoch: SELECT
leases.instance_id: SELECT
leases.run_id: SELECT
leases.shard_count: SELECT
leases.shard_index: SELECT
leases.since: SELECT
leases.until: SELECT
losant_periods: SELECT
meter_events: SELECT
metrics: SELECT
month_rows: SELECT
monthly_summaries: SELECT
monthly_usage: SELECT
months: SELECT
notebook_minutes: SELECT
org_rows: SELECT
organization_history: SELECT
organization_tags: SELECT
organizations: SELECT
own_period_rows: SELECT
payload_hours: SELECT
payload_sources: SELECT
payload_totals: SELECT
period_blockers: SELECT
period_usage: SELECT
pruned_months: SELECT
quarantine.body_truncated: SELECT
quarantine.code: SELECT
quarantine.first_seen_at: SELECT
quarantine.from_date: SELECT
quarantine.last_seen_at: SELECT
quarantine.org_id: SELECT
quarantine.problem: SELECT
quarantine.resolved_at: SELECT
quarantine.resolved_days: SELECT
quarantine.run_id: SELECT
quarantine.stream: SELECT
quarantine.times: SELECT
quarantine.to_date: SELECT
read_cells: SELECT
reconciliation: SELECT
restatements: SELECT
revisions: SELECT
rowless_days: SELECT
runs.cells_failed: SELECT
runs.cells_left_out: SELECT
runs.cells_loaded: SELECT
runs.cells_planned: SELECT
runs.cells_quarantined: SELECT
runs.cells_restated: SELECT
runs.cells_restated_final: SELECT
runs.cells_unavailable: SELECT
runs.cells_unchanged: SELECT
runs.error: SELECT
runs.failures: SELECT
runs.finished_at: SELECT
runs.from_date: SELECT
runs.heartbeat_at: SELECT
runs.instance_id: SELECT
runs.is_full: SELECT
runs.kind: SELECT
runs.orgs: SELECT
runs.requests: SELECT
runs.rows_deleted: SELECT
runs.rows_inserted: SELECT
runs.rows_unchanged: SELECT
runs.rows_updated: SELECT
runs.run_id: SELECT
runs.started_at: SELECT
runs.status: SELECT
runs.streams: SELECT
runs.to_date: SELECT
runs.version: SELECT
schema: USAGE
silent_organizations: SELECT
statement_blockers: SELECT
statement_files: SELECT
statement_lines: SELECT
statement_sources: SELECT
statements: SELECT
streams: SELECT
tracked: SELECT
tracking: SELECT
tracks: SELECT
unread_cells: SELECT
usage_days: SELECT
usage_movers: SELECT
usage_vs_limits: SELECT
waivers: SELECT

-- rights of losant_usage_writer
control_total_reads: INSERT, UPDATE
coverage: INSERT, UPDATE
instance_totals: INSERT, UPDATE
instances: INSERT, UPDATE
leases: DELETE, INSERT, SELECT, UPDATE
monthly_summaries: INSERT, UPDATE
organization_history: INSERT, UPDATE
organizations: INSERT, UPDATE
payload_hours: DELETE, INSERT, UPDATE
payload_sources: DELETE, INSERT, UPDATE
quarantine: INSERT, SELECT, UPDATE
runs: INSERT, SELECT, UPDATE
schema: USAGE
tracking: INSERT, UPDATE
usage_days: INSERT, UPDATE
waivers.lifted_at: UPDATE
waivers.lifted_by_run: UPDATE
waivers.org_id: INSERT
waivers.reason: INSERT
waivers.stream: INSERT
waivers.usage_date: INSERT

-- rights of losant_usage_closer
load_lock: DELETE
open_statement(): EXECUTE
schema: USAGE
seal_statement(): EXECUTE
