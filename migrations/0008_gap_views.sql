-- What is missing, and how far the numbers reach. Read by status, gaps, health, metrics and the console alike.

-- One rule for what is missing of the cells that were read, whatever their age.
create function losant_usage.is_missing(state text, error_code text) returns boolean
language sql immutable parallel safe as $$
  select state in ('failed', 'quarantined', 'absent')
    or (state in ('loaded', 'final') and error_code in ('bucket_missing', 'changed_by_hand'))
$$;
comment on function losant_usage.is_missing is 'Whether the number of a cell that was read is missing, or in doubt, and not known to be.';

-- By a moment, so that what was missing at any can be asked, and tested.
create function losant_usage.coverage_gaps_at(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  stream text, usage_date date, state text, reason text, attempts integer, next_read_at timestamptz,
  attempted_at timestamptz, error_code text, error_message text
) language sql stable parallel safe as $$
  select t.instance_id, t.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    t.stream, c.usage_date, c.state, coalesce(c.error_message, c.error_code), c.attempts, c.next_read_at,
    c.attempted_at, c.error_code, c.error_message
  from losant_usage.coverage c
  join losant_usage.tracked_at(moment) t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
  join losant_usage.organizations o on o.org_id = c.org_id
  where c.error_code is not null and losant_usage.is_missing(c.state, c.error_code)
    and (c.state <> 'absent' or c.usage_date < losant_usage.gap_before(moment))
  union all
  select t.instance_id, t.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    t.stream, day, 'never_read', 'it was never read', 0, null, null, null, null
  from losant_usage.tracked_at(moment) t
  join losant_usage.organizations o on o.org_id = t.org_id
  cross join lateral losant_usage.each_day(
    t.unread_days * datemultirange(daterange(null, losant_usage.gap_before(moment)))) as day
  where t.unread_from < losant_usage.gap_before(moment)
$$;
comment on function losant_usage.coverage_gaps_at is 'The gaps there were at a moment, by what the ledger says now.';
create view losant_usage.coverage_gaps as select * from losant_usage.coverage_gaps_at(now());
comment on view losant_usage.coverage_gaps is 'Every gap, one row per organization, stream and usage date: a tracked number that is not held six hours after its day, or whose read failed. What is unavailable or waived is in known_missing. Source: tracked, coverage.';
comment on column losant_usage.coverage_gaps.instance_id is 'Losant instance id.';
comment on column losant_usage.coverage_gaps.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.coverage_gaps.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.coverage_gaps.referral_id is 'Referral id of the organization as last seen.';
comment on column losant_usage.coverage_gaps.plan_id is 'Billing plan id of the organization as last seen.';
comment on column losant_usage.coverage_gaps.customer_id is 'Customer id of the organization as last seen.';
comment on column losant_usage.coverage_gaps.stream is 'Stream.';
comment on column losant_usage.coverage_gaps.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage_gaps.state is 'never_read: it was never read. failed: no answer. quarantined: the answer was invalid. absent: Losant has no number yet. loaded, final: a number is held, but Losant left it out since, or it was changed by hand.';
comment on column losant_usage.coverage_gaps.reason is 'Why it is missing, for people.';
comment on column losant_usage.coverage_gaps.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage_gaps.next_read_at is 'When it is read next (UTC); null: with the next run.';
comment on column losant_usage.coverage_gaps.attempted_at is 'When the newest request was sent (UTC); null if none was.';
comment on column losant_usage.coverage_gaps.error_code is 'What was wrong with the newest read, in one word; null if nothing.';
comment on column losant_usage.coverage_gaps.error_message is 'What was wrong with the newest read; null if nothing.';

create view losant_usage.known_missing as
select t.instance_id, c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.stream, c.usage_date,
  case when c.error_code = 'waived' then 'waived' else c.state end as state,
  coalesce(c.error_message, c.error_code) as reason, c.error_code
from losant_usage.coverage c
join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
join losant_usage.organizations o on o.org_id = c.org_id
where c.error_code is not null and (c.state in ('unavailable', 'waived') or c.error_code = 'waived');
comment on view losant_usage.known_missing is 'Tracked numbers that are known to be missing, and so are no gaps: they are no longer available, or were waived. Source: tracked, coverage.';
comment on column losant_usage.known_missing.instance_id is 'Losant instance id.';
comment on column losant_usage.known_missing.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.known_missing.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.known_missing.referral_id is 'Referral id of the organization as last seen.';
comment on column losant_usage.known_missing.plan_id is 'Billing plan id of the organization as last seen.';
comment on column losant_usage.known_missing.customer_id is 'Customer id of the organization as last seen.';
comment on column losant_usage.known_missing.stream is 'Stream.';
comment on column losant_usage.known_missing.usage_date is 'Usage date (UTC).';
comment on column losant_usage.known_missing.state is 'unavailable: no longer available. waived: accepted as missing by a person.';
comment on column losant_usage.known_missing.reason is 'Why it is missing; for waived the reason that was given.';
comment on column losant_usage.known_missing.error_code is 'Why, in one word: e.g. past_horizon, org_removed, absent, waived.';

create view losant_usage.freshness as
with tracks as (
  select t.instance_id, t.stream, t.first_day, t.last_day, upper(t.read_days) - 1 as newest_day,
    t.last_day = (now() at time zone 'UTC')::date - 1 as is_current,
    least(lower(t.unread_days), m.usage_date) as missing_from
  from losant_usage.tracked t
  left join (
    select c.org_id, c.stream, min(c.usage_date) as usage_date
    from losant_usage.coverage c
    join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
    where c.error_code is not null and losant_usage.is_missing(c.state, c.error_code)
    group by c.org_id, c.stream
  ) as m on m.org_id = t.org_id and m.stream = t.stream
  where t.first_day is not null
), reach as (
  select instance_id, stream, min(first_day) as tracked_from, max(last_day) as tracked_to, max(newest_day) as newest_day,
    min(missing_from) as missing_from, count(*) filter (where is_current)::integer as orgs_tracked,
    count(*) filter (where is_current and missing_from is null)::integer as orgs_complete
  from tracks group by instance_id, stream
), gaps as (
  select instance_id, stream, count(*)::integer as gaps, count(distinct org_id)::integer as orgs_with_gaps,
    min(usage_date) as oldest_gap, max(usage_date) as newest_gap
  from losant_usage.coverage_gaps group by instance_id, stream
)
select r.instance_id, r.stream, r.tracked_from, r.orgs_tracked, r.newest_day,
  case when r.missing_from is null then r.tracked_to
    when r.missing_from > r.tracked_from then r.missing_from - 1 end as complete_to,
  r.orgs_complete, coalesce(g.gaps, 0) as gaps, coalesce(g.orgs_with_gaps, 0) as orgs_with_gaps,
  g.oldest_gap, g.newest_gap
from reach r left join gaps g on g.instance_id = r.instance_id and g.stream = r.stream;
comment on view losant_usage.freshness is 'How far the numbers reach, one row per instance and stream. Source: tracked, coverage.';
comment on column losant_usage.freshness.instance_id is 'Losant instance id.';
comment on column losant_usage.freshness.stream is 'Stream.';
comment on column losant_usage.freshness.tracked_from is 'First tracked usage date of any organization (UTC).';
comment on column losant_usage.freshness.orgs_tracked is 'Organizations tracked up to yesterday (count).';
comment on column losant_usage.freshness.newest_day is 'Newest usage date (UTC) that was read for any organization; null if there is none.';
comment on column losant_usage.freshness.complete_to is 'Last usage date (UTC) up to which nothing is missing for any organization, apart from what is known to be; null if even the first tracked day is missing.';
comment on column losant_usage.freshness.orgs_complete is 'Organizations of which nothing is missing up to yesterday (count).';
comment on column losant_usage.freshness.gaps is 'Gaps (count), see coverage_gaps.';
comment on column losant_usage.freshness.orgs_with_gaps is 'Organizations with a gap (count).';
comment on column losant_usage.freshness.oldest_gap is 'Oldest usage date with a gap (UTC); null if there is none.';
comment on column losant_usage.freshness.newest_gap is 'Newest usage date with a gap (UTC); null if there is none.';
