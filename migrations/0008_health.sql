-- Completeness by stream, and the view that pages, metrics and status read.

-- What is not final, by instance and stream. A cell is lacking if it is waiting or a gap. Cells are counted by day and
-- standing first, because waived and unavailable ones add up for years, and each condition below computes the standing
-- of each row again. A count of no cells is null.
create view losant_usage_internal.non_final_counts as
select c.instance_id, c.stream, losant_usage_internal.total(c.cells) as cells,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'waived') as waived,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'stored') as stored,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'waiting') as waiting,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'unavailable') as unavailable,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'in_doubt') as in_doubt,
  losant_usage_internal.total(c.cells) filter (where c.standing = 'missing') as missing,
  losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'waiting') as yesterday_waiting,
  losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'unavailable')
    as yesterday_unavailable,
  losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'in_doubt') as yesterday_in_doubt,
  losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'missing') as yesterday_missing,
  losant_usage_internal.total(c.cells) filter (where c.is_gap) as gaps,
  losant_usage_internal.total(c.cells) filter (where c.is_gap and c.usage_date < c.horizon + 7) as gaps_expiring,
  min(c.usage_date) filter (where c.is_gap) as oldest_gap,
  max(c.usage_date) filter (where c.is_gap) as newest_gap,
  min(c.usage_date) filter (where c.is_gap or c.standing = 'waiting') as first_lacking_day
from (
  select d.*, losant_usage_internal.is_gap(d.standing) as is_gap,
    d.usage_date = losant_usage_internal.today() - 1 as is_yesterday,
    losant_usage_internal.today() - (i.policy ->> 'horizonDays')::integer as horizon
  from (
    select o.instance_id, n.stream, n.usage_date, n.standing, count(*) as cells
    from losant_usage_internal.non_final_cells n
    join losant_usage.organizations o on o.org_id = n.org_id
    group by o.instance_id, n.stream, n.usage_date, n.standing
  ) as d
  join losant_usage.instances i on i.instance_id = d.instance_id
) as c
group by c.instance_id, c.stream;

-- Organizations with lacking cells, by instance and stream, and how many of them are still tracked.
create view losant_usage_internal.lacking_counts as
select o.instance_id, c.stream, count(s.org_id) as orgs, count(*) filter (where c.has_gaps) as orgs_with_gaps
from (
  select n.org_id, n.stream, bool_or(losant_usage_internal.is_gap(n.standing)) as has_gaps
  from losant_usage_internal.non_final_cells n
  where losant_usage_internal.is_gap(n.standing) or n.standing = 'waiting' group by n.org_id, n.stream
) as c
join losant_usage.organizations o on o.org_id = c.org_id
left join losant_usage_internal.expected_spans s on s.org_id = c.org_id and s.stream = c.stream and s.is_current
group by o.instance_id, c.stream;

-- Cells by instance and stream. Final ones are not counted: they are those of the tracks that are not in
-- non_final_counts. An organization has one current track of a stream at most.
create view losant_usage_internal.stream_counts as
select t.instance_id, t.stream, t.first_day, t.last_day,
  case when n.first_lacking_day is null then t.last_day
    when n.first_lacking_day > t.first_day then n.first_lacking_day - 1 end as complete_to,
  t.orgs::integer as orgs, (t.orgs - coalesce(l.orgs, 0))::integer as orgs_complete,
  coalesce(l.orgs_with_gaps, 0)::integer as orgs_with_gaps, n.oldest_gap, n.newest_gap, coalesce(n.gaps, 0) as gaps,
  greatest(0, t.cells - coalesce(n.cells, 0)) as final, n.gaps_expiring, n.waived, n.stored, n.waiting, n.unavailable,
  n.in_doubt, n.missing, t.yesterday_expected, n.yesterday_waiting, n.yesterday_unavailable,
  n.yesterday_in_doubt, n.yesterday_missing
from (
  select o.instance_id, s.stream, min(s.first_day) as first_day, max(s.last_day) as last_day,
    count(*) filter (where s.is_current) as orgs, sum(s.last_day - s.first_day + 1) as cells,
    count(*) filter (where s.last_day >= losant_usage_internal.today() - 1) as yesterday_expected
  from losant_usage_internal.expected_spans s
  join losant_usage.organizations o on o.org_id = s.org_id
  group by o.instance_id, s.stream
) as t
left join losant_usage_internal.non_final_counts n on n.instance_id = t.instance_id and n.stream = t.stream
left join losant_usage_internal.lacking_counts l on l.instance_id = t.instance_id and l.stream = t.stream;

create view losant_usage.freshness as
select instance_id, stream, first_day, orgs, last_day, complete_to, orgs_complete, gaps::integer as gaps,
  orgs_with_gaps, oldest_gap, newest_gap
from losant_usage_internal.stream_counts;

-- An instance that was never read has no tracks. One without organizations has none either, but a complete list.
create view losant_usage_internal.never_read_instances as
select i.instance_id, i.name, i.last_error
from losant_usage.instances i
where i.retired_at is null
  and not exists (
    select from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    where o.instance_id = i.instance_id)
  and (i.listed_at is null or i.new_orgs_from is null or exists (
    select from losant_usage.organizations o where o.instance_id = i.instance_id and o.deleted_on is null));

create view losant_usage_internal.failure_counts as
select o.instance_id, c.stream, count(*) filter (where c.is_stored and c.failed_reads > 1) as failing,
  count(*) filter (where c.reason in ('invalid_value', 'unplaceable_body', 'database_refused')) as quarantined
from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
where c.failed_reads > 0 group by o.instance_id, c.stream;

create view losant_usage.health as
select i.instance_id, i.name as instance_name, i.api_url, i.first_attempt_at, i.last_attempt_at, i.last_error,
  i.listed_at, i.list_problem, i.totals_problem,
  coalesce(o.organizations, 0) as organizations, coalesce(o.organizations_deleted, 0) as organizations_deleted,
  r.last_run_at, r.last_complete_run_at, l.run_id as lease_run_id, l.acquired_at as lease_acquired_at, f.stream,
  f.first_day, f.last_day, f.complete_to, coalesce(f.orgs, 0) as orgs, coalesce(f.orgs_complete, 0) as orgs_complete,
  coalesce(f.gaps, 0)::integer as gaps, coalesce(f.orgs_with_gaps, 0) as orgs_with_gaps, f.oldest_gap, f.newest_gap,
  coalesce(f.gaps_expiring, 0) as gaps_expiring, coalesce(f.final, 0) as final, coalesce(f.waived, 0) as waived,
  coalesce(f.stored, 0) as stored, coalesce(f.waiting, 0) as waiting, coalesce(f.unavailable, 0) as unavailable,
  coalesce(f.in_doubt, 0) as in_doubt, coalesce(f.missing, 0) as missing,
  coalesce(f.yesterday_expected, 0) as yesterday_expected, coalesce(f.yesterday_waiting, 0) as yesterday_waiting,
  coalesce(f.yesterday_unavailable, 0) as yesterday_unavailable,
  coalesce(f.yesterday_in_doubt, 0) as yesterday_in_doubt, coalesce(f.yesterday_missing, 0) as yesterday_missing,
  d.newest_read_day, coalesce(n.failing, 0) as failing, coalesce(n.quarantined, 0) as quarantined
from losant_usage.instances i
left join losant_usage_internal.stream_counts f on f.instance_id = i.instance_id
left join losant_usage_internal.failure_counts n on n.instance_id = f.instance_id and n.stream = f.stream
left join lateral (
  select c.usage_date as newest_read_day
  from losant_usage.coverage c
  join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = f.instance_id
  where c.stream = f.stream and c.last_read_at is not null and c.usage_date >= losant_usage_internal.today() - 10
  order by c.usage_date desc limit 1
) as d on true
left join (
  select instance_id, count(*) filter (where deleted_on is null)::integer as organizations,
    count(*) filter (where deleted_on is not null)::integer as organizations_deleted
  from losant_usage.organizations group by instance_id
) as o on o.instance_id = i.instance_id
-- Through the index of runs, which add up for years.
left join (
  select i.instance_id, (
      select max(r.finished_at) from losant_usage.runs r where r.instance_id = i.instance_id
    ) as last_run_at, (
      select max(r.finished_at) from losant_usage.runs r
      where r.instance_id = i.instance_id and r.is_full and r.status = 'complete'
    ) as last_complete_run_at
  from losant_usage.instances i
) as r on r.instance_id = i.instance_id
left join losant_usage.leases l on l.instance_id = i.instance_id and l.expires_at > now()
where f.stream is not null or i.instance_id in (select instance_id from losant_usage_internal.never_read_instances);

comment on view losant_usage.freshness is 'Completeness by instance and stream, one row each. Key: instance_id, stream. Source: tracks, coverage.';
comment on view losant_usage.health is 'Status by instance and stream, with one row without a stream for an instance that was never read: what the console, /metrics, /status.json and losant-usage status show. Key: instance_id, stream. Source: freshness, coverage, runs, instances.';
comment on column losant_usage.health.failing is 'Stored cells whose last two reads failed (count).';
comment on column losant_usage.health.final is 'Cells that are final (count).';
comment on column losant_usage.health.gaps_expiring is 'Gaps that pass the horizon within 7 days (count).';
comment on column losant_usage.health.in_doubt is 'Cells in doubt (count).';
comment on column losant_usage.health.instance_name is 'Instance name as last seen; null if Losant reports none.';
comment on column losant_usage.health.last_complete_run_at is 'When a full run last finished with nothing due missing (UTC); null if none has.';
comment on column losant_usage.health.last_run_at is 'When a run last finished (UTC); null if none has.';
comment on column losant_usage.health.lease_acquired_at is 'When that lease was acquired (UTC); null if there is none.';
comment on column losant_usage.health.lease_run_id is 'Run that holds the lease; null if none does.';
comment on column losant_usage.health.missing is 'Cells that are missing (count).';
comment on column losant_usage.health.newest_read_day is 'Newest of the last ten days that was read for any organization (UTC); null if none was.';
comment on column losant_usage.health.organizations is 'Organizations that exist (count).';
comment on column losant_usage.health.organizations_deleted is 'Deleted organizations (count).';
comment on column losant_usage.health.quarantined is 'Cells whose last response was quarantined (count).';
comment on column losant_usage.health.stored is 'Cells that are stored and not final (count).';
comment on column losant_usage.health.unavailable is 'Cells that can no longer be read (count).';
comment on column losant_usage.health.waiting is 'Cells that are waiting (count).';
comment on column losant_usage.health.waived is 'Cells that are waived (count).';
comment on column losant_usage.health.yesterday_expected is 'Expected cells of yesterday (count).';
comment on column losant_usage.health.yesterday_in_doubt is 'Cells of yesterday in doubt (count).';
comment on column losant_usage.health.yesterday_missing is 'Cells of yesterday that are missing (count).';
comment on column losant_usage.health.yesterday_unavailable is 'Cells of yesterday that can no longer be read (count).';
comment on column losant_usage.health.yesterday_waiting is 'Cells of yesterday that are waiting (count).';
