-- Rights of the roles of deploy/postgres/roles.sql, where they exist. That file's default rights let the writer
-- write and the reader read every table to come; this takes back what would let the writer forge a record, and
-- what is not for people who read usage.
create function losant_usage.limit_rights() returns void language plpgsql as $$
begin
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    revoke insert, update, delete, truncate on
      losant_usage.revisions, losant_usage.migrations, losant_usage.streams, losant_usage.metrics from losant_usage_writer;
    revoke update, delete, truncate on losant_usage.waivers,
      losant_usage.statements, losant_usage.statement_lines, losant_usage.statement_files from losant_usage_writer;
    grant update (lifted_at, lifted_by_run) on losant_usage.waivers to losant_usage_writer;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    -- Bodies may hold anything Losant or a proxy answered; hosts are nobody's business.
    revoke select on losant_usage.quarantine, losant_usage.instances, losant_usage.shard_leases, losant_usage.runs
      from losant_usage_reader;
    grant select (org_id, stream, from_date, to_date, code, problem, body_truncated, times, first_seen_at, last_seen_at,
      resolved_days, resolved_at, run_id) on losant_usage.quarantine to losant_usage_reader;
    grant select (instance_id, name, api_url, tracked_from, streams_from, policy, billing_periods, listed_at, list_problem,
      lease_run_id, lease_since, lease_until)
      on losant_usage.instances to losant_usage_reader;
    grant select (instance_id, shard_count, shard_index, lease_run_id, lease_since, lease_until)
      on losant_usage.shard_leases to losant_usage_reader;
    grant select (run_id, instance_id, kind, is_full, status, from_date, to_date, streams, started_at, heartbeat_at,
      finished_at, version, orgs, cells_planned, cells_loaded, cells_unchanged, cells_absent, cells_failed,
      cells_quarantined, cells_unavailable, cells_restated, cells_restated_final, rows_inserted, rows_updated,
      rows_deleted, rows_unchanged, requests, failures, error) on losant_usage.runs to losant_usage_reader;
  end if;
end
$$;
comment on function losant_usage.limit_rights is 'Takes back from the writer and the reader what their default rights give too much.';
do $$ begin perform losant_usage.limit_rights(); end $$;
