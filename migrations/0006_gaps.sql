-- What is missing, and how far the numbers reach. Read by status, gaps, health, metrics and the console alike.

create view losant_usage.coverage_gaps as
select c.instance_id, c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.stream, c.usage_date,
  c.standing, c.reason, c.message, c.attempts, c.next_read_at, c.attempted_at
from losant_usage.cells c join losant_usage.organizations o on o.org_id = c.org_id
where c.standing in ('in_doubt', 'missing');
comment on view losant_usage.coverage_gaps is 'Every gap, one row per organization, stream and usage date: a tracked number that is in doubt or missing. What is unavailable or accepted is in known_missing. Source: cells.';
comment on column losant_usage.coverage_gaps.instance_id is 'Losant instance id.';
comment on column losant_usage.coverage_gaps.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.coverage_gaps.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.coverage_gaps.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.coverage_gaps.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.coverage_gaps.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.coverage_gaps.stream is 'Stream.';
comment on column losant_usage.coverage_gaps.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage_gaps.standing is 'in_doubt: stored, but something speaks against it. missing: not stored, and late or its read failed.';
comment on column losant_usage.coverage_gaps.reason is 'Why, as one code to group by, e.g. never_read, server_error, left_out, contradicted, changed_by_hand.';
comment on column losant_usage.coverage_gaps.message is 'Why, for people.';
comment on column losant_usage.coverage_gaps.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage_gaps.next_read_at is 'When it is read next (UTC); null: with the next run if it was never read, otherwise not again.';
comment on column losant_usage.coverage_gaps.attempted_at is 'When the newest request was sent (UTC); null if none was.';

create view losant_usage.known_missing as
select c.instance_id, c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.stream, c.usage_date,
  c.standing, c.reason, c.message, c.is_stored
from losant_usage.read_cells c join losant_usage.organizations o on o.org_id = c.org_id
where c.standing in ('unavailable', 'accepted');
comment on view losant_usage.known_missing is 'Tracked numbers that are known not to come, and so are no gaps: they can no longer be read, or a person accepted them. Source: cells.';
comment on column losant_usage.known_missing.instance_id is 'Losant instance id.';
comment on column losant_usage.known_missing.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.known_missing.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.known_missing.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.known_missing.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.known_missing.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.known_missing.stream is 'Stream.';
comment on column losant_usage.known_missing.usage_date is 'Usage date (UTC).';
comment on column losant_usage.known_missing.standing is 'unavailable: can no longer be read, and nobody accepted it. accepted: a person accepted it, missing or as it stands.';
comment on column losant_usage.known_missing.reason is 'Why, as one code: e.g. past_horizon, org_deleted, left_out, waived.';
comment on column losant_usage.known_missing.message is 'Why, for people; of an accepted cell the reason that was given.';
comment on column losant_usage.known_missing.is_stored is 'Whether its numbers are stored: an accepted cell may have some, and is summed with them.';

create view losant_usage.cell_counts as
with reads as (
  select instance_id, stream,
    sum(case when has_untracked then losant_usage.count_days(days * read_days) else days_read end)::bigint as cells
  from losant_usage.tracked group by instance_id, stream
), open as (
  select instance_id, stream, standing, count(*) as cells from losant_usage.read_cells
  where standing <> 'final' group by instance_id, stream, standing
), others as (
  select * from open
  union all
  select instance_id, stream, standing, count(*) from losant_usage.unread_cells group by instance_id, stream, standing
)
select r.instance_id, r.stream, 'final'::losant_usage.standing as standing, r.cells - coalesce((
  select sum(o.cells) from open o where o.instance_id = r.instance_id and o.stream = r.stream), 0)::bigint as cells
from reads r
union all
select instance_id, stream, standing, sum(cells)::bigint from others group by instance_id, stream, standing;
comment on view losant_usage.cell_counts is 'Tracked cells by standing, one row per instance, stream and standing that any has (and final). Final ones are not gone through, but what is left of those that were read. Source: cells.';
comment on column losant_usage.cell_counts.instance_id is 'Losant instance id.';
comment on column losant_usage.cell_counts.stream is 'Stream.';
comment on column losant_usage.cell_counts.standing is 'Standing, see cells.';
comment on column losant_usage.cell_counts.cells is 'Tracked cells with that standing (count).';

create view losant_usage.freshness as
with tracks as (
  -- Multiranges are worked out only of tracks where dates alone do not tell.
  select t.instance_id, t.stream, upper(t.read_days) - 1 as newest_day,
    case when t.has_holes then t.first_day else t.from_day end as first_day,
    case when t.has_holes then t.last_day else t.to_day end as last_day,
    o.removed_at is null
      and case when t.has_holes then t.last_day else t.to_day end = (now() at time zone 'UTC')::date - 1 as is_current,
    least(case when t.unread_from <= t.to_day then lower(t.unread_days) end, m.usage_date, case when t.has_holes then
      lower(datemultirange(daterange(t.first_day, t.last_day, '[]')) - t.days) end) as missing_from
  from losant_usage.tracked t
  join losant_usage.organizations o on o.org_id = t.org_id
  left join (
    select org_id, stream, min(usage_date) as usage_date from losant_usage.read_cells
    where standing in ('waiting', 'in_doubt', 'missing') group by org_id, stream
  ) as m on m.org_id = t.org_id and m.stream = t.stream
  where case when t.has_holes then t.first_day is not null else t.from_day <= t.to_day end
), reach as (
  select instance_id, stream, min(first_day) as tracked_from, max(last_day) as tracked_to, max(newest_day) as newest_day,
    min(missing_from) as missing_from, count(*) filter (where is_current)::integer as orgs_tracked,
    count(*) filter (where is_current and missing_from is null)::integer as orgs_complete
  from tracks group by instance_id, stream
), gaps as (
  select instance_id, stream, count(*)::integer as gaps, count(distinct org_id)::integer as orgs_with_gaps,
    min(usage_date) as oldest_gap, max(usage_date) as newest_gap
  from losant_usage.cells where standing in ('in_doubt', 'missing') group by instance_id, stream
)
select r.instance_id, r.stream, r.tracked_from, r.orgs_tracked, r.newest_day,
  case when r.missing_from is null then r.tracked_to
    when r.missing_from > r.tracked_from then r.missing_from - 1 end as complete_to,
  r.orgs_complete, coalesce(g.gaps, 0) as gaps, coalesce(g.orgs_with_gaps, 0) as orgs_with_gaps,
  g.oldest_gap, g.newest_gap
from reach r left join gaps g on g.instance_id = r.instance_id and g.stream = r.stream;
comment on view losant_usage.freshness is 'How far the numbers reach, one row per instance and stream. Source: cells, tracked.';
comment on column losant_usage.freshness.instance_id is 'Losant instance id.';
comment on column losant_usage.freshness.stream is 'Stream.';
comment on column losant_usage.freshness.tracked_from is 'First tracked usage date of any organization (UTC).';
comment on column losant_usage.freshness.orgs_tracked is 'Organizations that exist in Losant and are tracked up to yesterday (count).';
comment on column losant_usage.freshness.newest_day is 'Newest usage date (UTC) that was read for any organization; null if there is none.';
comment on column losant_usage.freshness.complete_to is 'Last usage date (UTC) up to which every number of every organization is tracked and stored, accepted or known to be unavailable; null if that is not so for even the first tracked day.';
comment on column losant_usage.freshness.orgs_complete is 'Organizations of which that is so up to yesterday (count).';
comment on column losant_usage.freshness.gaps is 'Gaps (count), see coverage_gaps.';
comment on column losant_usage.freshness.orgs_with_gaps is 'Organizations with a gap (count).';
comment on column losant_usage.freshness.oldest_gap is 'Oldest usage date with a gap (UTC); null if there is none.';
comment on column losant_usage.freshness.newest_gap is 'Newest usage date with a gap (UTC); null if there is none.';
