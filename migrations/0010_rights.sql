-- Rights, and the comments on columns that several tables share.

-- The roles of deploy/postgres/roles.sql, where they exist, get the privileges named here and no others, and no other
-- role gets any. The writer is a member of the reader.
create function losant_usage.grant_rights() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- Postgres lets every role execute a new function.
  revoke execute on all functions in schema losant_usage, losant_usage_internal from public;
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    grant usage on schema losant_usage to losant_usage_reader;
    grant select on
      losant_usage.streams, losant_usage.metrics, losant_usage.instance, losant_usage.organizations,
      losant_usage.organization_history, losant_usage.organization_tags, losant_usage.tracks, losant_usage.waivers,
      losant_usage.revisions, losant_usage.instance_totals, losant_usage.cells, losant_usage.coverage_gaps,
      losant_usage.daily_usage, losant_usage.daily_usage_long, losant_usage.payload_sources,
      losant_usage.hourly_usage, losant_usage.reconciliation, losant_usage.month_blockers,
      losant_usage.monthly_usage, losant_usage.billing_period_usage, losant_usage.usage_vs_limits,
      losant_usage.restatements, losant_usage.freshness, losant_usage.attention,
      losant_usage.statements, losant_usage.statement_lines, losant_usage.adjustments, losant_usage.months
      to losant_usage_reader;
    -- The functions with arguments read these with the privileges of their caller.
    grant select on losant_usage_internal.org_days, losant_usage_internal.hour_cells,
      losant_usage_internal.loaded_cells, losant_usage_internal.recorded_days
      to losant_usage_reader;
    grant execute on function
      losant_usage.local_daily_usage, losant_usage.usage_as_of, losant_usage.changes_since
      to losant_usage_reader;
    -- A function in a view executes with the privileges of whoever reads the view. The reader can name none of these,
    -- because it lacks the privilege on their schema.
    grant execute on function
      losant_usage_internal.today, losant_usage_internal.month_of, losant_usage_internal.month_end,
      losant_usage_internal.has_ended, losant_usage_internal.late_before, losant_usage_internal.is_overdue,
      losant_usage_internal.current_day_standing, losant_usage_internal.current_standing,
      losant_usage_internal.is_settled, losant_usage_internal.is_gap, losant_usage_internal.total,
      losant_usage_internal.dated_level, losant_usage_internal.last_level, losant_usage_internal.level_of,
      losant_usage_internal.number_of, losant_usage_internal.has_numbers_of, losant_usage_internal.day_text,
      losant_usage_internal.minute_text, losant_usage_internal.remedy, losant_usage_internal.local_hours,
      losant_usage_internal.existed_on, losant_usage_internal.sum_of, losant_usage_internal.sum_of_metric
      to losant_usage_reader;
    -- The program reads the version of the schema here. A schema that was created with psql lacks the table.
    if to_regclass('losant_usage.migrations') is not null then
      grant select on losant_usage.migrations to losant_usage_reader;
    end if;
    -- Bodies may contain anything that Losant or a proxy sent, and hosts are internal.
    grant select (id, org_id, stream, first_day, last_day, reason, detail, body_truncated, run_id, seen_at)
      on losant_usage.quarantine to losant_usage_reader;
    grant select (id, run_id, acquired_at, expires_at, epoch) on losant_usage.lease to losant_usage_reader;
    grant select (run_id, kind, is_full, status, first_day, last_day, counts, failures, error, started_at,
      finished_at, version) on losant_usage.runs to losant_usage_reader;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    grant usage on schema losant_usage, losant_usage_internal to losant_usage_writer;
    grant select on losant_usage.coverage, losant_usage.usage_days, losant_usage.quarantine, losant_usage.lease,
      losant_usage.runs to losant_usage_writer;
    grant select on losant_usage_internal.unrecorded_cells, losant_usage_internal.month_lines,
      losant_usage_internal.adjustment_lines
      to losant_usage_writer;
    grant insert, update on
      losant_usage.instance, losant_usage.organizations, losant_usage.organization_history, losant_usage.runs,
      losant_usage.tracks, losant_usage.coverage, losant_usage.usage_days, losant_usage.instance_totals
      to losant_usage_writer;
    -- A track that has no day yet is deleted when its organization is.
    grant delete on losant_usage.tracks to losant_usage_writer;
    grant insert on losant_usage.quarantine, losant_usage.statement_lines to losant_usage_writer;
    grant insert, update, delete on losant_usage.lease to losant_usage_writer;
    -- The database sets waived_by, changed_by and created_by, and when.
    grant insert (org_id, stream, usage_date, reason), update (lifted_at, lifted_by_run)
      on losant_usage.waivers to losant_usage_writer;
    grant insert (org_id, stream, usage_date, revision, old, new, was_final, run_id, reason)
      on losant_usage.revisions to losant_usage_writer;
    grant insert (number, month, kind, reason, blockers) on losant_usage.statements to losant_usage_writer;
  end if;
end
$$;
select losant_usage.grant_rights();
comment on function losant_usage.grant_rights is 'Grants the roles of deploy/postgres/roles.sql their privileges. Run it again after creating roles.';

-- What a column means that occurs in several tables, once per name; a column without a line here has a comment in the
-- file that creates it, and that one stands. The word "null" in a comment is part of the contract: a column of a view
-- always has a value unless its comment has it.
do $comments$
declare
  col record;
begin
  for col in
    with dictionary (name, meaning) as (values
    ('org_id', 'Losant organization ID (24 lowercase hex digits).'),
    ('usage_date', 'Usage day (UTC).'),
    ('month', 'Calendar month (UTC), as its first day.'),
    ('stream', 'Stream; see streams.'),
    ('metric', 'Metric; see metrics.'),
    ('unit', 'Unit of the quantities.'),
    ('kind', 'flow: a sum over days. level: a state, never to be summed over days.'),
    ('run_id', 'Run that last wrote the row; null if none did.'),
    ('statement_id', 'Statement; see statements.'),
    ('position', 'Display order.'),
    ('description', 'What it counts.'),
    ('id', 'Identifier, ascending in time.'),
    ('name', 'Name as last seen.'),
    ('host', 'Host of the process.'),
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
    ('standing', 'Standing as of now: final, waived, stored, waiting, unavailable, in_doubt or missing; see the type '
      'standing.'),
    ('is_stored', 'Whether the numbers are stored.'),
    ('is_reported', 'Whether Losant has reported every number; false if a stored zero is an omission, or if nothing '
      'is stored.'),
    ('is_final', 'Whether every number is final.'),
    ('has_ended', 'Whether the last day has ended (UTC).'),
    ('quantity', 'Number in its unit; null if not stored.'),
    ('reason', 'Code for what is wrong with the cell or with its last read; null if nothing is.'),
    ('detail', 'The reason in words, with what the code does not say; null if there is nothing to add.'),
    ('revision', 'Revision of the numbers: 0 for none yet, 1 for the first, one more with each change.'),
    ('last_read_at', 'When the first request of the last good read was sent (UTC, database clock); null if there was '
      'none.'),
    ('next_read_at', 'When the cell is read next (UTC); null if it is not read again.'),
    ('failed_reads', 'Failed reads since the last good one (count).'),
    ('last_attempt_at', 'When the last request was sent, whatever its result (UTC, database clock); null if none was.'),
    ('first_loaded_at', 'When numbers were first stored (UTC); null if none are.'),
    ('finalized_at', 'When the cell first became final (UTC); null if it never did.'),
    ('was_final', 'Whether the cell was final before the change.'),
    ('changed_at', 'When a number or the standing last changed (UTC, database clock); null if no run has recorded the '
      'day yet.'),
    ('changed_by', 'Database user whose transaction made the change.'),
    ('first_day', 'First day (UTC).'),
    ('last_day', 'Last day (UTC); null of a track that goes on.'),
    ('days_in_month', 'Days in the month (count).'),
    ('days_expected', 'Days that are expected (count).'),
    ('days_stored', 'Expected days with every number stored (count).'),
    ('days_final', 'Expected days with every number final (count).'),
    ('days_waived', 'Expected days with the standing waived (count).'),
    ('days_unavailable', 'Expected days with the standing unavailable, no longer readable (count).'),
    ('days_unreported', 'Expected days with zeros that Losant never reported (count).'),
    ('devices_total_max', 'Highest number of devices (devices); null if not stored.'),
    ('devices_total_avg', 'Average number of devices (devices); null if not stored.'),
    ('response_sha256', 'SHA-256 over the bodies of the last good read, in request order; null if there was none.')
    )
    select t.relname as table_name, a.attname as column_name, coalesce(
      (select format('%s (%s, %s)%s.', m.description, m.unit, m.kind,
          case when t.relname <> 'monthly_usage' then '; null if not stored'
            when m.kind = 'level' then ' on the last day on which it is stored; null if it is on none'
            else ' over the stored days; null if none is stored' end)
        from losant_usage.metrics m where m.metric = a.attname),
      case t.relname when 'organization_history' then replace(d.meaning, 'as last seen', 'in this version')
        else d.meaning end) as meaning
    from pg_class t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join dictionary d on d.name = a.attname
    where t.relnamespace = 'losant_usage'::regnamespace and t.relkind in ('r', 'v')
      and t.relname not in ('migrations', 'migrations_lock') and col_description(t.oid, a.attnum) is null
    order by t.relname, a.attnum
  loop
    if col.meaning is null then
      raise exception 'column losant_usage.%.% has no comment', col.table_name, col.column_name
        using hint = 'add a comment to the migration that adds it, or a line to the dictionary if others have it too';
    end if;
    execute format('comment on column losant_usage.%I.%I is %L', col.table_name, col.column_name, col.meaning);
  end loop;
end
$comments$;
