-- Rights and comments, and the end of runs of another version. This file is applied after the migrations, whenever one
-- was applied or its own text has changed. It must be safe to run again.

-- The roles of deploy/postgres/roles.sql, where they exist, get the privileges named here and no others, and no other
-- role gets any. The writer and the closer are members of the reader.

create or replace function losant_usage.grant_rights() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- Postgres lets every role execute a new function.
  revoke execute on all functions in schema losant_usage, losant_usage_internal from public;
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    grant usage on schema losant_usage to losant_usage_reader;
    grant select on
      losant_usage.streams, losant_usage.metrics, losant_usage.instances, losant_usage.organizations,
      losant_usage.organization_history, losant_usage.organization_tags, losant_usage.tracks, losant_usage.waivers,
      losant_usage.revisions, losant_usage.instance_totals, losant_usage.cells, losant_usage.coverage_gaps,
      losant_usage.daily_usage, losant_usage.daily_usage_long, losant_usage.device_counts,
      losant_usage.notebook_minutes, losant_usage.payload_totals, losant_usage.payload_sources,
      losant_usage.hourly_usage, losant_usage.reconciliation, losant_usage.month_blockers,
      losant_usage.monthly_usage, losant_usage.billing_period_usage, losant_usage.usage_vs_limits,
      losant_usage.restatements, losant_usage.organization_activity, losant_usage.freshness, losant_usage.health,
      losant_usage.statements, losant_usage.statement_lines, losant_usage.statement_blockers,
      losant_usage.statement_files, losant_usage.adjustments, losant_usage.months, losant_usage.meter_events,
      losant_usage.draft_lines, losant_usage.customer_statements, losant_usage.adjustment_days,
      losant_usage.attention_items
      to losant_usage_reader;
    -- The functions with arguments read these with the privileges of their caller.
    grant select on losant_usage_internal.org_days, losant_usage_internal.hour_cells, losant_usage_internal.cell_times,
      losant_usage_internal.recorded_days
      to losant_usage_reader;
    grant execute on function
      losant_usage.local_daily_usage, losant_usage.usage_compared, losant_usage.usage_as_of,
      losant_usage.changes_since, losant_usage.statement_draft, losant_usage.month_reconciliation,
      losant_usage.check_closable
      to losant_usage_reader;
    -- A function in a view executes with the privileges of whoever reads the view. The reader can name neither these
    -- nor the views above, because it lacks the privilege on their schema.
    grant execute on function
      losant_usage_internal.today, losant_usage_internal.month_of, losant_usage_internal.month_end,
      losant_usage_internal.has_ended, losant_usage_internal.state_of_month,
      losant_usage_internal.late_before, losant_usage_internal.is_overdue, losant_usage_internal.current_day_standing,
      losant_usage_internal.current_standing, losant_usage_internal.is_gap, losant_usage_internal.total,
      losant_usage_internal.dated_level, losant_usage_internal.last_level, losant_usage_internal.number_of,
      losant_usage_internal.has_numbers_of,
      losant_usage_internal.day_text, losant_usage_internal.minute_text,
      losant_usage_internal.remedy, losant_usage_internal.month_lines,
      losant_usage_internal.local_hours, losant_usage_internal.value_as_of, losant_usage_internal.reject_comparison,
      losant_usage_internal.is_settled, losant_usage_internal.billing_steps, losant_usage_internal.quantity_at,
      losant_usage_internal.days_of
      to losant_usage_reader;
    -- The program reads the version of the schema here. A schema that was created with psql lacks the table.
    if to_regclass('losant_usage.migrations') is not null then
      grant select on losant_usage.migrations to losant_usage_reader;
    end if;
    -- Bodies may contain anything that Losant or a proxy sent, and hosts are internal.
    grant select (id, org_id, stream, first_day, last_day, reason, detail, body_truncated, run_id, seen_at)
      on losant_usage.quarantine to losant_usage_reader;
    grant select (instance_id, run_id, acquired_at, expires_at, epoch) on losant_usage.leases to losant_usage_reader;
    grant select (instance_id, day, outcome, error, finished_at) on losant_usage.digests to losant_usage_reader;
    grant select (run_id, instance_id, kind, is_full, status, first_day, last_day, counts, failures, error, started_at,
      finished_at, version) on losant_usage.runs to losant_usage_reader;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    grant usage on schema losant_usage, losant_usage_internal to losant_usage_writer;
    grant select on losant_usage.coverage, losant_usage.usage_days, losant_usage.quarantine, losant_usage.leases,
      losant_usage.runs, losant_usage.digests to losant_usage_writer;
    grant select on losant_usage_internal.unrecorded_cells, losant_usage_internal.counterparts,
      losant_usage_internal.sum_streams, losant_usage_internal.comparisons, losant_usage_internal.attention,
      losant_usage_internal.activity_to_watch, losant_usage_internal.months_to_bill,
      losant_usage_internal.weekday_rates, losant_usage_internal.month_issues, losant_usage_internal.month_summaries
      to losant_usage_writer;
    -- It calls the first, and the console the last; the first, and triggers of tables that it writes, call the others.
    grant execute on function
      losant_usage_internal.compute_our_sums, losant_usage_internal.metric_sums,
      losant_usage_internal.unsettled_counts, losant_usage_internal.counterpart_sums,
      losant_usage_internal.existed_on, losant_usage_internal.is_settled, losant_usage_internal.invalidate_sums,
      losant_usage_internal.is_manual_write, losant_usage_internal.name_or_id, losant_usage_internal.month_orgs
      to losant_usage_writer;
    grant insert, update on
      losant_usage.instances, losant_usage.organizations, losant_usage.organization_history, losant_usage.runs,
      losant_usage.tracks, losant_usage.coverage, losant_usage.usage_days, losant_usage.instance_totals,
      losant_usage.attention_items, losant_usage.digests
      to losant_usage_writer;
    -- Tracks that touch become one.
    grant delete on losant_usage.tracks to losant_usage_writer;
    grant insert on losant_usage.revisions, losant_usage.quarantine to losant_usage_writer;
    grant insert, update, delete on losant_usage.leases to losant_usage_writer;
    grant delete on losant_usage.attention_items to losant_usage_writer;
    -- LOCK TABLE needs it for the lock of a writer; the table can have no row.
    grant delete on losant_usage_internal.ledger_lock to losant_usage_writer;
    -- The database sets waived_by.
    grant insert (org_id, stream, usage_date, reason, waived_by_run), update (lifted_at, lifted_by_run)
      on losant_usage.waivers to losant_usage_writer;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_closer') then
    grant usage on schema losant_usage, losant_usage_internal to losant_usage_closer;
    -- It writes no table: the functions do, with the rights of their owner.
    grant execute on function losant_usage.begin_statement, losant_usage.add_pack_file to losant_usage_closer;
    -- LOCK TABLE needs them for the locks of a close. With the first privilege no lock keeps out more than loads.
    grant insert on losant_usage_internal.ledger_lock to losant_usage_closer;
    grant delete on losant_usage_internal.closing_lock to losant_usage_closer;
  end if;
end
$$;

-- A run of another version that is in progress writes nothing more without its lease.
delete from losant_usage.leases;

select losant_usage.grant_rights();
comment on function losant_usage.grant_rights is 'Grants the roles of deploy/postgres/roles.sql their privileges. Run it again after creating roles.';

-- What columns mean, once per name. A line with a table precedes a metric of that name, which precedes a line with the
-- name alone. A column whose name occurs once has its comment in the migration that adds it. The word "null" in a
-- comment is part of the contract: a column of a view always has a value unless its comment has it.
do $comments$
declare
  col record;
begin
  for col in
    with dictionary (name, meaning) as (values
    ('org_id', 'Losant organization ID (24 lowercase hex digits).'),
    ('instance_id', 'Losant instance ID (24 lowercase hex digits). A transferred organization takes its usage of all '
      'days along; statements stay.'),
    ('usage_date', 'Usage day (UTC).'),
    ('month', 'Calendar month (UTC), as its first day.'),
    ('stream', 'Stream; see streams.'),
    ('metric', 'Metric; see metrics.'),
    ('unit', 'Unit of the quantities.'),
    ('kind', 'flow: a sum over days. level: a state, never to be summed over days.'),
    ('run_id', 'Run that last wrote the row; null if none did.'),
    ('statement_id', 'Statement; see statements.'),
    ('position', 'Display order.'),
    ('id', 'Identifier, ascending in time.'),
    ('name', 'Name as last seen.'),
    ('org_name', 'Organization name as last seen.'),
    ('referral_id', 'Referral ID of the organization as last seen; the place for your own customer number; null if '
      'it has none.'),
    ('plan_id', 'Billing plan ID of the organization as last seen; null if it has none.'),
    ('customer_id', 'Customer ID of the organization as last seen; null if it has none.'),
    ('tags', 'Tags as last seen: array of {key, value}; organization_tags has a row per tag.'),
    ('limits', 'Resource limits as last seen: map of limit name to integer, such as payload, device or '
      'notebookMinutesPerMonth.'),
    ('current_period_start', 'Start of the current billing period in Losant (UTC, inclusive); null if there is none.'),
    ('current_period_end', 'End of the current billing period in Losant (UTC, exclusive); null if there is none.'),
    ('api_url', 'Base URL of the Losant API that the usage comes from: that of the first response that confirmed the '
      'instance; null before, and once it is retired. A run with another URL is rejected.'),
    ('listed_at', 'When the organizations were last listed completely (UTC); null if never.'),
    ('list_problem', 'Why the last list was incomplete: organizations may be missing. Null if it was complete.'),
    ('totals_problem', 'Why control totals could not be read when last requested; null if they could.'),
    ('unreadable_totals', 'Streams whose control totals Losant rejected, or whose bodies were invalid; null if none.'),
    ('host', 'Host of the process.'),
    ('standing', 'Standing as of now: final, waived, stored, waiting, unavailable, in_doubt or missing; see the type '
      'standing.'),
    ('is_stored', 'Whether the numbers are stored.'),
    ('is_reported', 'Whether Losant has reported every stored number; false if a stored zero is an omission.'),
    ('is_final', 'Whether every number is final.'),
    ('reason', 'Code for what is wrong with the cell or with its last read; null if nothing is.'),
    ('detail', 'The reason in words, with what the code does not say; null if there is nothing to add.'),
    ('revision', 'Revision of the numbers: 0 for none yet, 1 for the first, one more with each change.'),
    ('omissions', 'Responses in a row, an hour apart, that have omitted a stored zero that nothing confirms, or a '
      'stored number other than zero (count, at most 3).'),
    ('last_omitted_at', 'When the first request of the last response that counts in omissions was sent (UTC, database '
      'clock); null if there was none.'),
    ('last_read_at', 'When the first request of the last good read was sent (UTC, database clock); null if there was '
      'none.'),
    ('next_read_at', 'When the cell is read next (UTC); null if it is not read again.'),
    ('failed_reads', 'Failed reads since the last good one (count).'),
    ('last_attempt_at', 'When the last request was sent, whatever its result (UTC, database clock); null if none was.'),
    ('first_attempt_at', 'When a run first tried to read the instance (UTC, database clock).'),
    ('last_error', 'Why the last run failed; null if it did not.'),
    ('first_loaded_at', 'When numbers were first stored (UTC); null if none are.'),
    ('finalized_at', 'When the cell first became final (UTC); null if it never did.'),
    ('was_final', 'Whether the cell was final before the change.'),
    ('changed_at', 'When the change was stored (UTC).'),
    ('orgs_differing', 'Organizations whose number differs from its counterpart (count); null if it has none.'),
    ('is_over', 'Whether the last day has ended (UTC).'),
    ('days_in_month', 'Days in the month (count).'),
    ('days_expected', 'Days that are expected (count).'),
    ('days_stored', 'Expected days with every number stored (count).'),
    ('days_final', 'Expected days with every number final (count).'),
    ('days_waived', 'Expected days with the standing waived (count).'),
    ('days_unavailable', 'Expected days with the standing unavailable, no longer readable (count).'),
    ('days_unreported', 'Expected days with zeros that Losant never reported (count).'),
    ('devices_total_max', 'Highest number of devices (devices); null if not stored.'),
    ('devices_total_avg', 'Average number of devices (devices); null if not stored.'),
    ('days', 'Affected days (count); null if the cause is not about days.'),
    ('streams', 'Affected streams; null if the cause is not about streams.'),
    ('remedy', 'What to do, one command or sentence per line.'),
    ('complete_to', 'Last day through which the stream is complete (UTC); null if its first expected day is not.'),
    ('orgs_complete', 'Organizations that are complete (count).'),
    ('gaps', 'Cells that are in doubt or missing (count).'),
    ('orgs_with_gaps', 'Organizations with a gap (count).'),
    ('oldest_gap', 'Oldest day with a gap (UTC); null if there is none.'),
    ('newest_gap', 'Newest day with a gap (UTC); null if there is none.'),
    ('statements', 'Statements (count).'),
    ('response_sha256', 'SHA-256 over the bodies of the last good read, in request order; null if there was none.'),
    ('closed_by', 'Database user who closed it.'),
    ('statement_kind', 'closing or adjustment.'),
    ('adjustment_days.cause', 'restated: a stored number changed. first_loaded, settled or waived: it was not '
      'stored, or not settled, when the statement before was created. not_settled: it waits until the day is '
      'settled.'),
    ('adjustment_days.changed_at', 'When the number changed, or was first loaded, waived or read (UTC).'),
    ('adjustment_days.customer_id', 'Customer ID as in the line before; null if there is none.'),
    ('adjustment_days.difference', 'What the day adds to the difference of a flow: quantity minus '
      'billed_quantity, where a missing value counts as 0; null while it is not settled.'),
    ('adjustment_days.number', 'Sequence number of the adjustment; null if it was not created yet.'),
    ('adjustment_days.org_name', 'Organization name as in the line before.'),
    ('adjustment_days.quantity', 'Number of the day in the adjustment; null if it is not stored or not settled.'),
    ('adjustment_days.revision', 'Revision of the numbers after the last change before the adjustment; null if '
      'they did not change.'),
    ('adjustment_days.run_id', 'Run of the revision; without one, run that last wrote the cell. Null if none did.'),
    ('adjustment_days.statement_id', 'Adjustment; see statements. Null if it was not created yet.'),
    ('adjustments.cause', 'restated: a stored number changed. not_settled: a day is not settled now. settled_later: '
      'a day was not settled when billed. not_in_statement: never billed.'),
    ('adjustments.customer_id', 'Customer ID as in the newest line; null if there is none.'),
    ('adjustments.difference', 'What an adjustment would bill, 0 for a level of which only the maximum or average '
      'differs; null while a day is not settled.'),
    ('adjustments.org_name', 'Organization name as in the newest line.'),
    ('adjustments.plan_id', 'Billing plan ID as in the newest line; null if there is none.'),
    ('adjustments.quantity', 'Quantity now, over settled days; null if none is stored.'),
    ('adjustments.referral_id', 'Referral ID as in the newest line; null if there is none.'),
    ('attention_items.kind', 'Kind of item; the type attention_kind has them in order of importance.'),
    ('attention_items.quantity', 'How much there is of it: cells, sums, a quantity, its change or organizations; null '
      'if it is not counted.'),
    ('billing_period_usage.is_final', 'Whether the period has ended, is tracked while the organization existed, and '
      'every number is final.'),
    ('billing_period_usage.standing', 'Worst standing of the period; see cells.'),
    ('cells.is_reported', 'Whether Losant has reported every number; false if a stored zero is an omission, or if '
      'nothing is stored.'),
    ('coverage.standing', 'Standing as of the last response or decision; the view cells has it as of now.'),
    ('coverage_gaps.reason', 'Code for why it is a gap.'),
    ('customer_statements.closed_at', 'When the statement was created (UTC).'),
    ('customer_statements.customer_id', 'Customer ID as in the statements; null for an organization without one.'),
    ('customer_statements.kind', 'flow: summed over the days. level: the last of the month, summed over '
      'organizations.'),
    ('customer_statements.manifest_sha256', 'SHA-256 of the manifest of its proof pack, in hexadecimal digits.'),
    ('customer_statements.number', 'Sequence number of the statement.'),
    ('customer_statements.org_id', 'Losant organization ID; null if customer_id is set.'),
    ('customer_statements.org_name', 'Name of the organization in the statement; of several, all names.'),
    ('customer_statements.plan_id', 'Billing plan ID of the organization in the statement; of several, all IDs. '
      'Null if it has none.'),
    ('customer_statements.referral_id', 'Referral ID of the organization in the statement; of several, all IDs. '
      'Null if it has none.'),
    ('daily_usage.changed_at', 'When a number or the standing of the day last changed (UTC, database clock); null if '
      'no run has recorded the day yet. A waiting day becomes missing without a change.'),
    ('daily_usage.standing', 'Worst standing of the day; see cells. Hours do not count: they have no metric.'),
    ('daily_usage_long.is_reported', 'Whether Losant has reported the number; false if it is a zero that is an '
      'omission, or is not stored.'),
    ('device_counts.total', 'Devices near the end of the day (devices).'),
    ('digests.expires_at', 'When the claim expires unless it is renewed (UTC, database clock).'),
    ('freshness.first_day', 'First expected day (UTC).'),
    ('freshness.last_day', 'Last expected day (UTC), at most yesterday.'),
    ('freshness.orgs', 'Organizations that are tracked (count).'),
    ('health.first_day', 'First expected day (UTC); null for an instance that was never read.'),
    ('health.last_attempt_at', 'When a run last tried to read the instance (UTC, database clock).'),
    ('health.last_day', 'Last expected day (UTC), at most yesterday; null for an instance that was never read.'),
    ('health.orgs', 'Organizations that are tracked (count).'),
    ('health.stream', 'Stream; see streams. Null for an instance that was never read.'),
    ('hourly_usage.is_reported', 'Whether Losant has reported the numbers of the day by hour; false if a stored zero '
      'is an omission, or if nothing is stored.'),
    ('instance_totals.last_read_at', 'When the control total was requested (UTC); null if it was not.'),
    ('instance_totals.quantity', 'Control total of Losant; null if it was not read or was omitted.'),
    ('instances.last_attempt_at', 'When a run last tried to read the instance (UTC, database clock).'),
    ('instances.name', 'Name as last seen; null if Losant reports none.'),
    ('leases.run_id', 'Run that holds the lease.'),
    ('meter_events.closed_at', 'When the statement was created (UTC).'),
    ('meter_events.customer_id', 'Customer ID as in the statement; null if there is none.'),
    ('meter_events.difference', 'What the statement bills; may be negative.'),
    ('meter_events.kind', 'flow: add the difference to the sum of the month. level: the difference from what was '
      'billed before.'),
    ('meter_events.number', 'Sequence number of the statement.'),
    ('meter_events.org_name', 'Organization name as in the statement.'),
    ('meter_events.plan_id', 'Billing plan ID as in the statement; null if there is none.'),
    ('meter_events.referral_id', 'Referral ID as in the statement; null if there is none.'),
    ('metrics.description', 'What it counts.'),
    ('metrics.metric', 'Metric; the name of its column in usage_days and in the views.'),
    ('month_blockers.cause', 'not_over, list_incomplete, not_final, missing, in_doubt, unavailable, '
      'not_fully_tracked or not_reconciled.'),
    ('month_blockers.detail', 'What else is known about the cause; null if nothing is.'),
    ('month_blockers.first_day', 'First affected day (UTC).'),
    ('month_blockers.last_day', 'Last affected day (UTC).'),
    ('month_blockers.org_id', 'Losant organization ID (24 lowercase hex digits); null if the cause concerns the '
      'whole instance.'),
    ('month_blockers.org_name', 'Organization name as last seen; null if the cause concerns the whole instance.'),
    ('monthly_usage.is_final', 'Whether the month has ended, is tracked while the organization existed, and every '
      'number is final.'),
    ('monthly_usage.standing', 'Worst standing of the month; see cells.'),
    ('months.closed_at', 'When the month was closed (UTC); null if it was not.'),
    ('months.closed_by', 'Database user who closed the month; null if nobody did.'),
    ('organization_activity.devices_total', 'Devices on the newest stored day of the last three; null if none is.'),
    ('organization_activity.month', 'Calendar month of yesterday (UTC), as its first day.'),
    ('organization_activity.payload_billable_count', 'Billable payloads of the month to date; null if not stored.'),
    ('organization_history.created_on', 'First day on which the organization existed, as known at the time (UTC); '
      'null if unknown.'),
    ('organizations.problem', 'Why its attributes could not be read when it was last listed; null if they could. Its '
      'usage is loaded regardless.'),
    ('payload_sources.changed_at', 'When a number or the standing of the day last changed (UTC, database clock).'),
    ('quarantine.detail', 'What is wrong with the response.'),
    ('quarantine.reason', 'invalid_value, unplaceable_body or database_refused.'),
    ('quarantine.run_id', 'Run that received the response.'),
    ('reconciliation.difference', 'Our sum minus the other number; null if either is.'),
    ('reconciliation.last_read_at', 'When the control total was requested (UTC); null for a counterpart.'),
    ('reconciliation.quantity', 'Our sum; null until it is computed.'),
    ('reconciliation.reason', 'Why the comparison is pending or not_compared; null otherwise.'),
    ('reconciliation.total', 'The number it is compared with; null if there is none.'),
    ('restatements.difference', 'new_quantity minus old_quantity, where a missing value counts as 0.'),
    ('restatements.hour', 'UTC hour of the day, 0 to 23; null for a daily number.'),
    ('restatements.metric', 'Metric; for an hourly number hours_billable_count, hours_all_count or hours_all_bytes, '
      'which are not in metrics.'),
    ('restatements.payload_type', 'Payload type; null for other metrics.'),
    ('restatements.revision', 'Revision of the numbers after the change.'),
    ('restatements.run_id', 'Run that changed the numbers.'),
    ('restatements.source', 'Payload source; null for other metrics.'),
    ('revisions.revision', 'Revision of the numbers after the change.'),
    ('revisions.run_id', 'Run that changed the numbers.'),
    ('runs.first_day', 'First usage day read (UTC); null if none.'),
    ('runs.kind', 'scheduled (the worker), manual (run) or backfill.'),
    ('runs.last_day', 'Last usage day read (UTC); null if none.'),
    ('runs.run_id', 'Identifier of the run; coverage and revisions refer to it.'),
    ('statement_blockers.first_day', 'First affected day (UTC).'),
    ('statement_blockers.last_day', 'Last affected day (UTC).'),
    ('statement_blockers.org_id', 'Losant organization ID (24 lowercase hex digits); null if the cause concerned the '
      'whole instance.'),
    ('statement_blockers.org_name', 'Organization name when the statement was created; null if the cause concerned '
      'the whole instance.'),
    ('statement_blockers.position', 'Position in the list, from 1.'),
    ('statement_files.name', 'File name.'),
    ('statement_lines.average', 'Average of a level; null for flows, and without a total.'),
    ('statement_lines.billed_before', 'What earlier lines of the organization, month and metric billed, in '
      'whichever instance; null if nothing.'),
    ('statement_lines.customer_id', 'Customer ID on the last day of the month; in an adjustment, as in the line it '
      'corrects; null if there is none.'),
    ('statement_lines.days_expected', 'Days that are expected (count): the sum of final, waived, pending, '
      'unavailable, in doubt and missing days.'),
    ('statement_lines.days_in_doubt', 'Expected days with a number in doubt (count).'),
    ('statement_lines.days_missing', 'Expected days with a missing number (count).'),
    ('statement_lines.days_pending', 'Expected days whose number is stored or waiting and will be read again (count).'),
    ('statement_lines.is_customer_changed', 'Whether the organization had another customer or plan earlier in '
      'the month.'),
    ('statement_lines.kind', 'flow: summed over the days. level: the last of the month.'),
    ('statement_lines.maximum', 'Maximum of a level; null for flows, and without a total.'),
    ('statement_lines.org_name', 'Organization name on the last day of the month; in an adjustment, as in the line '
      'it corrects.'),
    ('statement_lines.plan_id', 'Billing plan ID on the last day of the month; in an adjustment, as in the line it '
      'corrects; null if there is none.'),
    ('statement_lines.quantity', 'What the line bills: total minus billed_before; null if there is no total.'),
    ('statement_lines.referral_id', 'Referral ID on the last day of the month; in an adjustment, as in the line it '
      'corrects; null if there is none.'),
    ('statement_lines.sources', 'Total of payload_source_count by type and source: {type: {source: count}}; null '
      'for other metrics.'),
    ('statement_lines.total', 'Number of the month as of closed_at, over settled days, never to be summed over '
      'statements; null if none is stored.'),
    ('statements.kind', 'closing: the quantities of the month. adjustment: the differences from earlier statements '
      'of the month.'),
    ('statements.orgs', 'Organizations with a line (count).'),
    ('statements.reason', 'Why the month was closed despite its blockers; null if it had none. See '
      'statement_blockers.'),
    ('streams.description', 'What it counts, and its endpoint in Losant.'),
    ('streams.stream', 'Stream.'),
    ('tracks.first_day', 'First day of the span (UTC); a backfill may move it back.'),
    ('tracks.last_day', 'Last day of the span (UTC); null while the track continues.'),
    ('usage_days.changed_at', 'When a number or the standing of the day last changed (UTC, database clock).'),
    ('usage_days.is_stored', 'Whether every cell of the day is stored, of the streams that have metrics.'),
    ('usage_days.standing', 'Worst standing of the day as of the last change of a cell; daily_usage has it as of now. '
      'Null if no stream with metrics is expected.'),
    ('usage_vs_limits.days_stored', 'Expected days on which the number that the limit applies to, or every number, is '
      'stored (count).'),
    ('usage_vs_limits.kind', 'flow or level; null if the limit has no metric.'),
    ('usage_vs_limits.limit_name', 'Name of the limit in Losant.'),
    ('usage_vs_limits.metric', 'Metric that the limit applies to; null if it applies to none.'),
    ('usage_vs_limits.month', 'Calendar month of yesterday (UTC), as its first day.'),
    ('usage_vs_limits.quantity', 'Month to date, over the stored days; null if none is stored.'),
    ('usage_vs_limits.unit', 'Unit; null if the limit has no metric.'),
    ('waivers.kind', 'person: waived by losant-usage waive. program: waived by a run, because the day is before the '
      'creation date.'),
    ('waivers.reason', 'Why, in the words of the person; before_creation for a waiver of the program.')
    )
    select t.relname as table_name, a.attname as column_name,
      coalesce(
        column_entry.meaning,
        (select format('%s (%s, %s)%s.', m.description, m.unit, m.kind,
            case when t.relname not in ('monthly_usage', 'billing_period_usage') then '; null if not stored'
              when m.kind = 'level' then ' on the last day on which it is stored; null if it is on none'
              else ' over the stored days; null if none is stored' end)
          from losant_usage.metrics m where m.metric = a.attname),
        case t.relname when 'organization_history' then replace(name_entry.meaning, 'as last seen', 'in this version')
          else name_entry.meaning end) as meaning,
      col_description(t.oid, a.attnum) is not null as has_comment
    from pg_class t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    -- A draft has the lines of a statement.
    left join dictionary column_entry
      on column_entry.name = replace(t.relname, 'draft_lines', 'statement_lines') || '.' || a.attname
    left join dictionary name_entry on name_entry.name = a.attname
    where t.relnamespace = 'losant_usage'::regnamespace and t.relkind in ('r', 'v')
      and t.relname not in ('migrations', 'migrations_lock')
    order by t.relname, a.attnum
  loop
    if col.meaning is not null then
      execute format('comment on column losant_usage.%I.%I is %L', col.table_name, col.column_name, col.meaning);
    elsif not col.has_comment then
      raise exception 'column losant_usage.%.% has no comment', col.table_name, col.column_name
        using hint = 'add a comment to the migration that adds it, or a line to the dictionary if other tables have '
          'the column too';
    end if;
  end loop;
end
$comments$;
