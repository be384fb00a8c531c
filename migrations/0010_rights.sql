-- Rights of the roles of deploy/postgres/roles.sql, where they exist: what each may do is named here, and nothing else is
-- granted, to nobody else. The writer and the closer belong to the reader and may read all that it may.

create function losant_usage.grant_rights() returns void language plpgsql as $$
begin
  -- Postgres lets everybody execute a new function.
  revoke execute on all functions in schema losant_usage, losant_usage_internal from public;
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    grant usage on schema losant_usage to losant_usage_reader;
    grant select on
      losant_usage.streams, losant_usage.metrics, losant_usage.instances, losant_usage.organizations,
      losant_usage.organization_history, losant_usage.organization_tags, losant_usage.tracks, losant_usage.waivers,
      losant_usage.revisions, losant_usage.instance_totals, losant_usage.cells, losant_usage.coverage_gaps, losant_usage.daily_usage,
      losant_usage.daily_usage_long, losant_usage.device_counts, losant_usage.notebook_minutes, losant_usage.payload_totals,
      losant_usage.payload_sources, losant_usage.hourly_usage, losant_usage.reconciliation, losant_usage.period_blockers,
      losant_usage.monthly_usage, losant_usage.period_usage, losant_usage.usage_vs_limits, losant_usage.restatements,
      losant_usage.organization_activity, losant_usage.freshness, losant_usage.health, losant_usage.statements, losant_usage.statement_lines,
      losant_usage.statement_blockers, losant_usage.statement_files, losant_usage.adjustments, losant_usage.months,
      losant_usage.meter_events, losant_usage.customer_statements
      to losant_usage_reader;
    grant execute on function
      losant_usage.local_daily_usage, losant_usage.usage_beside, losant_usage.usage_as_of, losant_usage.changes_since,
      losant_usage.statement_draft, losant_usage.month_controls, losant_usage.require_closable to losant_usage_reader;
    -- A function inside a view is executed with the rights of whoever reads the view. Without the schema itself, the reader
    -- can call none of them by name.
    grant execute on function
      losant_usage_internal.today, losant_usage_internal.month_of, losant_usage_internal.month_end,
      losant_usage_internal.late_before, losant_usage_internal.day_as_of_now, losant_usage_internal.as_of_now,
      losant_usage_internal.total, losant_usage_internal.number_of, losant_usage_internal.what_to_do,
      losant_usage_internal.month_lines to losant_usage_reader;
    -- The program asks for the version of the schema. psql, which can make the schema too, makes no such table.
    if to_regclass('losant_usage.migrations') is not null then
      grant select on losant_usage.migrations to losant_usage_reader;
    end if;
    -- Bodies may hold anything Losant or a proxy answered; hosts are nobody's business.
    grant select (id, org_id, stream, from_date, to_date, code, problem, body_truncated, run_id, seen_at)
      on losant_usage.quarantine to losant_usage_reader;
    grant select (instance_id, run_id, since, until, epoch) on losant_usage.leases to losant_usage_reader;
    grant select (run_id, instance_id, kind, is_full, status, from_date, to_date, counts, failures, error, started_at,
      finished_at, version) on losant_usage.runs to losant_usage_reader;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    grant usage on schema losant_usage, losant_usage_internal to losant_usage_writer;
    grant select on losant_usage.coverage, losant_usage.usage_days, losant_usage.quarantine, losant_usage.leases, losant_usage.runs
      to losant_usage_writer;
    grant select on losant_usage_internal.unfilled to losant_usage_writer;
    -- The second is called by the triggers of what it writes.
    grant execute on function losant_usage_internal.sum_days, losant_usage_internal.is_by_hand to losant_usage_writer;
    grant insert, update on
      losant_usage.instances, losant_usage.organizations, losant_usage.organization_history, losant_usage.runs, losant_usage.tracks,
      losant_usage.coverage, losant_usage.usage_days, losant_usage.instance_totals to losant_usage_writer;
    grant insert on losant_usage.revisions, losant_usage.quarantine to losant_usage_writer;
    grant insert, update, delete on losant_usage.leases to losant_usage_writer;
    -- Who waived is set by the database.
    grant insert (org_id, stream, usage_date, reason), update (lifted_at, lifted_by_run) on losant_usage.waivers
      to losant_usage_writer;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_closer') then
    grant usage on schema losant_usage, losant_usage_internal to losant_usage_closer;
    -- It writes no table: the functions do, with the rights of their owner, and say who closed, when and what.
    grant execute on function losant_usage.open_statement, losant_usage.seal_statement to losant_usage_closer;
    -- What LOCK TABLE asks for; the views cannot be written to.
    grant delete on losant_usage_internal.ledger_lock, losant_usage_internal.closing_lock to losant_usage_closer;
  end if;
end
$$;
comment on function losant_usage.grant_rights is 'Grants the roles of deploy/postgres/roles.sql what each may do; run it again after the roles were made.';

select losant_usage.grant_rights();
