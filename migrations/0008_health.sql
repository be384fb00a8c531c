-- How far the numbers reach, and the one snapshot that pages, metrics and status read.

create view losant_usage.freshness as
select t.instance_id, t.stream, t.first_day, t.orgs, t.last_day,
  case when g.missing_from is null then t.last_day when g.missing_from > t.first_day then g.missing_from - 1 end as complete_to,
  t.orgs - coalesce(g.orgs_incomplete, 0) as orgs_complete, coalesce(g.gaps, 0) as gaps, coalesce(g.orgs_with_gaps, 0) as orgs_with_gaps,
  g.oldest_gap, g.newest_gap
from (
  select o.instance_id, t.stream, min(t.first_day) as first_day,
    max(least(t.to_day, losant_usage_internal.today() - 1)) as last_day,
    count(*) filter (where t.to_day is null and t.first_day < losant_usage_internal.today())::integer as orgs
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
  where t.first_day < losant_usage_internal.today() and (t.to_day is null or t.to_day >= t.first_day)
  group by o.instance_id, t.stream
) as t
left join (
  select o.instance_id, d.stream, min(d.usage_date) as missing_from,
    count(distinct d.org_id) filter (where k.to_day is null)::integer as orgs_incomplete,
    count(*) filter (where d.standing in ('in_doubt', 'missing'))::integer as gaps,
    count(distinct d.org_id) filter (where d.standing in ('in_doubt', 'missing'))::integer as orgs_with_gaps,
    min(d.usage_date) filter (where d.standing in ('in_doubt', 'missing')) as oldest_gap,
    max(d.usage_date) filter (where d.standing in ('in_doubt', 'missing')) as newest_gap
  from losant_usage_internal.lacking_cells d
  join losant_usage.organizations o on o.org_id = d.org_id
  join losant_usage.tracks k on k.org_id = d.org_id and k.stream = d.stream
  where d.standing <> 'unavailable'
  group by o.instance_id, d.stream
) as g on g.instance_id = t.instance_id and g.stream = t.stream;

-- One row per instance and stream. Cells that are not final are counted, all others are.
create view losant_usage.health as
with reached as (
  select f.instance_id, f.stream, f.first_day, f.orgs, f.last_day, f.complete_to, f.orgs_complete, f.gaps, f.orgs_with_gaps,
    f.oldest_gap, f.newest_gap
  from losant_usage.freshness f
  union all
  -- An instance that was never read: nothing is tracked, unless the complete list of all organizations has none.
  select i.instance_id, null, null, 0, null, null, 0, 0, 0, null, null
  from losant_usage.instances i
  where i.retired_at is null
    and not exists (
      select from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
      where o.instance_id = i.instance_id)
    and (i.listed_at is null or i.all_from is null or exists (
      select from losant_usage.organizations o where o.instance_id = i.instance_id and o.removed_on is null))
),
tracked as (
  select o.instance_id, t.stream,
    sum(greatest(t.next_day, least(t.to_day, losant_usage_internal.today() - 1) + 1) - t.first_day)::bigint as cells
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id group by o.instance_id, t.stream
),
counts as (
  select o.instance_id, o.stream,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'accepted') as accepted,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'stored') as stored,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'waiting') as waiting,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'unavailable') as unavailable,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'in_doubt') as in_doubt,
    losant_usage_internal.total(o.cells) filter (where o.standing = 'missing') as missing,
    losant_usage_internal.total(o.cells) filter (where o.standing <> 'final') as not_final,
    losant_usage_internal.total(o.unreported) as unreported,
    losant_usage_internal.total(o.cells) filter (where o.is_yesterday and o.standing = 'waiting') as yesterday_waiting,
    losant_usage_internal.total(o.cells) filter (where o.is_yesterday and o.standing = 'unavailable') as yesterday_unavailable,
    losant_usage_internal.total(o.cells) filter (where o.is_yesterday and o.standing = 'in_doubt') as yesterday_in_doubt,
    losant_usage_internal.total(o.cells) filter (where o.is_yesterday and o.standing = 'missing') as yesterday_missing
  from (
    select o.instance_id, c.stream, c.standing, c.usage_date = losant_usage_internal.today() - 1 as is_yesterday, count(*) as cells,
      count(*) filter (where c.is_stored and not c.is_reported) as unreported
    from losant_usage_internal.open_cells c join losant_usage.organizations o on o.org_id = c.org_id
    group by o.instance_id, c.stream, c.standing, c.usage_date = losant_usage_internal.today() - 1
  ) as o
  group by o.instance_id, o.stream
),
failing as (
  select o.instance_id, c.stream, count(*) filter (where c.is_stored and c.attempts > 1) as failing,
    count(*) filter (where c.reason in ('invalid_value', 'unplaceable_body', 'database_refused')) as quarantined
  from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
  where c.attempts > 0 group by o.instance_id, c.stream
),
orgs as (
  select instance_id, count(*) filter (where removed_on is null)::integer as organizations,
    count(*) filter (where removed_on is not null)::integer as organizations_removed
  from losant_usage.organizations group by instance_id
),
ended as (
  select instance_id, max(finished_at) as last_run_at,
    max(finished_at) filter (where is_full and status = 'complete') as last_complete_run_at
  from losant_usage.runs group by instance_id
)
select f.instance_id, i.name as instance_name, i.api_url, i.first_attempt_at, i.last_attempt_at, i.last_error, i.listed_at,
  i.list_problem, i.totals_problem,
  coalesce(o.organizations, 0) as organizations, coalesce(o.organizations_removed, 0) as organizations_removed,
  e.last_run_at, e.last_complete_run_at, l.run_id as lease_run_id, l.since as lease_since, f.stream,
  f.first_day, f.last_day, f.complete_to, f.orgs, f.orgs_complete, f.gaps, f.orgs_with_gaps, f.oldest_gap, f.newest_gap,
  (select count(*) from losant_usage.coverage_gaps g where g.instance_id = f.instance_id and g.stream = f.stream
    and g.usage_date < losant_usage_internal.today() + 7 - (i.policy ->> 'horizonDays')::integer) as gaps_expiring,
  greatest(0, coalesce(t.cells, 0) - coalesce(c.not_final, 0)) as final, coalesce(c.accepted, 0) as accepted, coalesce(c.stored, 0) as stored,
  coalesce(c.waiting, 0) as waiting, coalesce(c.unavailable, 0) as unavailable, coalesce(c.in_doubt, 0) as in_doubt,
  coalesce(c.missing, 0) as missing, coalesce(c.unreported, 0) as unreported,
  coalesce(c.yesterday_waiting, 0) as yesterday_waiting, coalesce(c.yesterday_unavailable, 0) as yesterday_unavailable,
  coalesce(c.yesterday_in_doubt, 0) as yesterday_in_doubt, coalesce(c.yesterday_missing, 0) as yesterday_missing,
  d.newest_read_day, coalesce(n.failing, 0) as failing, coalesce(n.quarantined, 0) as quarantined
from reached f
join losant_usage.instances i on i.instance_id = f.instance_id
left join tracked t on t.instance_id = f.instance_id and t.stream = f.stream
left join counts c on c.instance_id = f.instance_id and c.stream = f.stream
left join failing n on n.instance_id = f.instance_id and n.stream = f.stream
left join lateral (
  select c.usage_date as newest_read_day
  from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = f.instance_id
  where c.stream = f.stream and c.verified_at is not null and c.usage_date >= losant_usage_internal.today() - 10
  order by c.usage_date desc limit 1
) as d on true
left join orgs o on o.instance_id = f.instance_id
left join ended e on e.instance_id = f.instance_id
left join losant_usage.leases l on l.instance_id = f.instance_id and l.until > now();

comment on view losant_usage.freshness is 'How far the numbers reach, one row per instance and stream. Source: tracks, coverage.';
comment on column losant_usage.freshness.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.freshness.stream is 'Stream, see streams.';
comment on column losant_usage.freshness.first_day is 'First wanted usage date (UTC).';
comment on column losant_usage.freshness.orgs is 'Organizations that are exported now (count).';
comment on column losant_usage.freshness.last_day is 'Newest wanted usage date (UTC), at most yesterday.';
comment on column losant_usage.freshness.complete_to is 'Last usage date up to which nothing is missing (UTC); null if the first day is.';
comment on column losant_usage.freshness.orgs_complete is 'Organizations of these of which nothing is missing (count).';
comment on column losant_usage.freshness.gaps is 'Cells that are in doubt or missing (count).';
comment on column losant_usage.freshness.orgs_with_gaps is 'Organizations with a gap (count).';
comment on column losant_usage.freshness.oldest_gap is 'Oldest usage date with a gap (UTC); null if there is none.';
comment on column losant_usage.freshness.newest_gap is 'Newest usage date with a gap (UTC); null if there is none.';
comment on view losant_usage.health is 'The state of everything that is collected, one row per instance and stream, and one without a stream for an instance that was never read: what pages, /metrics, /status.json and status read. Source: freshness, coverage, runs, instances.';
comment on column losant_usage.health.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.health.instance_name is 'Name of the instance; null if Losant does not say.';
comment on column losant_usage.health.api_url is 'Base URL of the Losant API; null before a response confirmed the instance.';
comment on column losant_usage.health.first_attempt_at is 'When a run first tried to read the instance (UTC).';
comment on column losant_usage.health.last_attempt_at is 'When a run last tried to read the instance (UTC).';
comment on column losant_usage.health.last_error is 'Why the last run that ended broke off; null if it did not.';
comment on column losant_usage.health.listed_at is 'When the organizations were last listed completely (UTC); null if never.';
comment on column losant_usage.health.list_problem is 'Why the newest list was not complete; null if it was.';
comment on column losant_usage.health.totals_problem is 'Why Losants totals could not be read; null if they could.';
comment on column losant_usage.health.organizations is 'Organizations that exist (count).';
comment on column losant_usage.health.organizations_removed is 'Organizations found to be deleted (count).';
comment on column losant_usage.health.last_run_at is 'When a run last ended (UTC); null if none has.';
comment on column losant_usage.health.last_complete_run_at is 'When a run over everything last ended with nothing due missing (UTC); null if none has.';
comment on column losant_usage.health.lease_run_id is 'Run that holds the lease now; null if none does.';
comment on column losant_usage.health.lease_since is 'Since when (UTC); null if none does.';
comment on column losant_usage.health.stream is 'Stream, see streams; null for an instance that was never read.';
comment on column losant_usage.health.first_day is 'First wanted usage date (UTC); null for an instance that was never read.';
comment on column losant_usage.health.last_day is 'Newest wanted usage date (UTC), at most yesterday; null for an instance that was never read.';
comment on column losant_usage.health.complete_to is 'Last usage date up to which nothing is missing (UTC); null if the first day is.';
comment on column losant_usage.health.orgs is 'Organizations that are exported now (count).';
comment on column losant_usage.health.orgs_complete is 'Organizations of these of which nothing is missing (count).';
comment on column losant_usage.health.gaps is 'Cells that are in doubt or missing (count).';
comment on column losant_usage.health.orgs_with_gaps is 'Organizations with a gap (count).';
comment on column losant_usage.health.oldest_gap is 'Oldest usage date with a gap (UTC); null if there is none.';
comment on column losant_usage.health.newest_gap is 'Newest usage date with a gap (UTC); null if there is none.';
comment on column losant_usage.health.gaps_expiring is 'Gaps that pass the horizon within 7 days (count).';
comment on column losant_usage.health.final is 'Cells that are final (count).';
comment on column losant_usage.health.accepted is 'Cells that a person accepted (count).';
comment on column losant_usage.health.stored is 'Cells that are stored and not final (count).';
comment on column losant_usage.health.waiting is 'Cells that are waiting (count).';
comment on column losant_usage.health.unavailable is 'Cells that can no longer be read (count).';
comment on column losant_usage.health.in_doubt is 'Cells in doubt (count).';
comment on column losant_usage.health.missing is 'Cells that are missing (count).';
comment on column losant_usage.health.unreported is 'Cells with zeros that Losant never named (count).';
comment on column losant_usage.health.yesterday_waiting is 'Cells of yesterday that are waiting (count).';
comment on column losant_usage.health.yesterday_unavailable is 'Cells of yesterday that can no longer be read (count).';
comment on column losant_usage.health.yesterday_in_doubt is 'Cells of yesterday in doubt (count).';
comment on column losant_usage.health.yesterday_missing is 'Cells of yesterday that are missing (count).';
comment on column losant_usage.health.newest_read_day is 'Newest usage date of the last ten days that was read for any organization (UTC); null if none was.';
comment on column losant_usage.health.failing is 'Stored cells whose last two reads failed (count).';
comment on column losant_usage.health.quarantined is 'Cells whose newest answer was set aside (count).';
