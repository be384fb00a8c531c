-- Completeness by stream, and the view that pages, metrics and status read.

create view losant_usage.freshness as
select t.instance_id, t.stream, t.first_day, t.orgs, t.last_day,
  case when g.first_lacking_day is null then t.last_day
    when g.first_lacking_day > t.first_day then g.first_lacking_day - 1 end as complete_to,
  t.orgs - coalesce(g.orgs_incomplete, 0) as orgs_complete, coalesce(g.gaps, 0) as gaps,
  coalesce(g.orgs_with_gaps, 0) as orgs_with_gaps, g.oldest_gap, g.newest_gap
from (
  select o.instance_id, t.stream, min(t.first_day) as first_day,
    max(least(t.last_day, losant_usage_internal.today() - 1)) as last_day,
    count(*) filter (where t.last_day is null and t.first_day < losant_usage_internal.today())::integer as orgs
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
  where t.first_day < losant_usage_internal.today()
  group by o.instance_id, t.stream
) as t
left join (
  select o.instance_id, d.stream, min(d.usage_date) as first_lacking_day,
    count(distinct d.org_id) filter (where k.org_id is not null)::integer as orgs_incomplete,
    count(*) filter (where d.standing in ('in_doubt', 'missing'))::integer as gaps,
    count(distinct d.org_id) filter (where d.standing in ('in_doubt', 'missing'))::integer as orgs_with_gaps,
    min(d.usage_date) filter (where d.standing in ('in_doubt', 'missing')) as oldest_gap,
    max(d.usage_date) filter (where d.standing in ('in_doubt', 'missing')) as newest_gap
  from losant_usage_internal.lacking_cells d
  join losant_usage.organizations o on o.org_id = d.org_id
  left join losant_usage.tracks k on k.org_id = d.org_id and k.stream = d.stream and k.last_day is null
  where d.standing <> 'unavailable'
  group by o.instance_id, d.stream
) as g on g.instance_id = t.instance_id and g.stream = t.stream;

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

-- Final cells are not counted: they are the cells of the tracks without those that are not final.
create view losant_usage.health as
with completeness as (
  select f.instance_id, f.stream, f.first_day, f.orgs, f.last_day, f.complete_to, f.orgs_complete, f.gaps,
    f.orgs_with_gaps, f.oldest_gap, f.newest_gap
  from losant_usage.freshness f
  union all
  select i.instance_id, null, null, 0, null, null, 0, 0, 0, null, null from losant_usage_internal.never_read_instances i
),
tracked_cells as (
  select o.instance_id, t.stream,
    sum(greatest(t.next_day, least(t.last_day, losant_usage_internal.today() - 1) + 1) - t.first_day)::bigint as cells
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id group by o.instance_id, t.stream
),
standing_counts as (
  select c.instance_id, c.stream,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'waived') as waived,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'stored') as stored,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'waiting') as waiting,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'unavailable') as unavailable,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'in_doubt') as in_doubt,
    losant_usage_internal.total(c.cells) filter (where c.standing = 'missing') as missing,
    losant_usage_internal.total(c.cells) filter (where c.standing <> 'final') as not_final,
    losant_usage_internal.total(c.unreported) as unreported,
    losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'waiting') as yesterday_waiting,
    losant_usage_internal.total(c.cells)
      filter (where c.is_yesterday and c.standing = 'unavailable') as yesterday_unavailable,
    losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'in_doubt')
      as yesterday_in_doubt,
    losant_usage_internal.total(c.cells) filter (where c.is_yesterday and c.standing = 'missing') as yesterday_missing
  from (
    select o.instance_id, c.stream, c.standing, c.usage_date = losant_usage_internal.today() - 1 as is_yesterday,
      count(*) as cells, count(*) filter (where c.is_stored and not c.is_reported) as unreported
    from losant_usage_internal.exception_cells c join losant_usage.organizations o on o.org_id = c.org_id
    group by o.instance_id, c.stream, c.standing, c.usage_date = losant_usage_internal.today() - 1
  ) as c
  group by c.instance_id, c.stream
),
failure_counts as (
  select o.instance_id, c.stream, count(*) filter (where c.is_stored and c.failed_reads > 1) as failing,
    count(*) filter (where c.reason in ('invalid_value', 'unplaceable_body', 'database_refused')) as quarantined
  from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
  where c.failed_reads > 0 group by o.instance_id, c.stream
),
org_counts as (
  select instance_id, count(*) filter (where deleted_on is null)::integer as organizations,
    count(*) filter (where deleted_on is not null)::integer as organizations_deleted
  from losant_usage.organizations group by instance_id
),
last_runs as (
  select instance_id, max(finished_at) as last_run_at,
    max(finished_at) filter (where is_full and status = 'complete') as last_complete_run_at
  from losant_usage.runs group by instance_id
)
select f.instance_id, i.name as instance_name, i.api_url, i.first_attempt_at, i.last_attempt_at, i.last_error,
  i.listed_at, i.list_problem, i.totals_problem,
  coalesce(o.organizations, 0) as organizations, coalesce(o.organizations_deleted, 0) as organizations_deleted,
  r.last_run_at, r.last_complete_run_at, l.run_id as lease_run_id, l.acquired_at as lease_acquired_at, f.stream,
  f.first_day, f.last_day, f.complete_to, f.orgs, f.orgs_complete, f.gaps, f.orgs_with_gaps, f.oldest_gap, f.newest_gap,
  (select count(*) from losant_usage.coverage_gaps g where g.instance_id = f.instance_id and g.stream = f.stream
    and g.usage_date < losant_usage_internal.today() + 7 - (i.policy ->> 'horizonDays')::integer) as gaps_expiring,
  greatest(0, coalesce(t.cells, 0) - coalesce(c.not_final, 0)) as final, coalesce(c.waived, 0) as waived,
  coalesce(c.stored, 0) as stored, coalesce(c.waiting, 0) as waiting, coalesce(c.unavailable, 0) as unavailable,
  coalesce(c.in_doubt, 0) as in_doubt,
  coalesce(c.missing, 0) as missing, coalesce(c.unreported, 0) as unreported,
  coalesce(c.yesterday_waiting, 0) as yesterday_waiting, coalesce(c.yesterday_unavailable, 0) as yesterday_unavailable,
  coalesce(c.yesterday_in_doubt, 0) as yesterday_in_doubt, coalesce(c.yesterday_missing, 0) as yesterday_missing,
  d.newest_read_day, coalesce(n.failing, 0) as failing, coalesce(n.quarantined, 0) as quarantined
from completeness f
join losant_usage.instances i on i.instance_id = f.instance_id
left join tracked_cells t on t.instance_id = f.instance_id and t.stream = f.stream
left join standing_counts c on c.instance_id = f.instance_id and c.stream = f.stream
left join failure_counts n on n.instance_id = f.instance_id and n.stream = f.stream
left join lateral (
  select c.usage_date as newest_read_day
  from losant_usage.coverage c
  join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = f.instance_id
  where c.stream = f.stream and c.last_read_at is not null and c.usage_date >= losant_usage_internal.today() - 10
  order by c.usage_date desc limit 1
) as d on true
left join org_counts o on o.instance_id = f.instance_id
left join last_runs r on r.instance_id = f.instance_id
left join losant_usage.leases l on l.instance_id = f.instance_id and l.expires_at > now();

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
comment on column losant_usage.health.unreported is 'Cells with zeros that Losant never reported (count).';
comment on column losant_usage.health.waiting is 'Cells that are waiting (count).';
comment on column losant_usage.health.waived is 'Cells that are waived (count).';
comment on column losant_usage.health.yesterday_in_doubt is 'Cells of yesterday in doubt (count).';
comment on column losant_usage.health.yesterday_missing is 'Cells of yesterday that are missing (count).';
comment on column losant_usage.health.yesterday_unavailable is 'Cells of yesterday that can no longer be read (count).';
comment on column losant_usage.health.yesterday_waiting is 'Cells of yesterday that are waiting (count).';
