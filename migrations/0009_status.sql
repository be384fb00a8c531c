-- Completeness by stream, and what needs attention: what pages, metrics, the digest and status read.

-- What is not final, by stream. Cells are counted by day and standing first, because waived and unavailable ones add up
-- for years. A count of no cells is null.
create view losant_usage_internal.non_final_counts as
select c.stream, losant_usage_internal.total(c.cells) as cells,
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
    select n.stream, n.usage_date, n.standing, count(*) as cells
    from losant_usage_internal.non_final_cells n group by n.stream, n.usage_date, n.standing
  ) as d
  cross join losant_usage.instance i
) as c
group by c.stream;

-- Organizations with lacking cells (waiting or a gap) by stream, and how many of them are still tracked.
create view losant_usage_internal.lacking_counts as
select c.stream, count(s.org_id) as orgs, count(*) filter (where c.has_gaps) as orgs_with_gaps
from (
  select n.org_id, n.stream, bool_or(losant_usage_internal.is_gap(n.standing)) as has_gaps
  from losant_usage_internal.non_final_cells n
  where losant_usage_internal.is_gap(n.standing) or n.standing = 'waiting' group by n.org_id, n.stream
) as c
left join losant_usage_internal.expected_spans s on s.org_id = c.org_id and s.stream = c.stream and s.is_current
group by c.stream;

-- Final cells are not counted: they are those of the tracks that are not in non_final_counts.
create view losant_usage.freshness as
select t.stream, t.first_day, t.last_day,
  case when n.first_lacking_day is null then t.last_day
    when n.first_lacking_day > t.first_day then n.first_lacking_day - 1 end as complete_to,
  d.newest_read_day, t.orgs::integer as orgs, (t.orgs - coalesce(l.orgs, 0))::integer as orgs_complete,
  coalesce(l.orgs_with_gaps, 0)::integer as orgs_with_gaps, n.oldest_gap, n.newest_gap, coalesce(n.gaps, 0) as gaps,
  coalesce(n.gaps_expiring, 0) as gaps_expiring, greatest(0, t.cells - coalesce(n.cells, 0)) as final,
  coalesce(n.waived, 0) as waived, coalesce(n.stored, 0) as stored, coalesce(n.waiting, 0) as waiting,
  coalesce(n.unavailable, 0) as unavailable, coalesce(n.in_doubt, 0) as in_doubt, coalesce(n.missing, 0) as missing,
  t.yesterday_expected, coalesce(n.yesterday_waiting, 0) as yesterday_waiting,
  coalesce(n.yesterday_unavailable, 0) as yesterday_unavailable,
  coalesce(n.yesterday_in_doubt, 0) as yesterday_in_doubt, coalesce(n.yesterday_missing, 0) as yesterday_missing,
  coalesce(f.failing, 0) as failing, coalesce(f.quarantined, 0) as quarantined
from (
  select s.stream, min(s.first_day) as first_day, max(s.last_day) as last_day,
    count(*) filter (where s.is_current) as orgs, sum(s.last_day - s.first_day + 1) as cells,
    count(*) filter (where s.last_day >= losant_usage_internal.today() - 1) as yesterday_expected
  from losant_usage_internal.expected_spans s group by s.stream
) as t
left join losant_usage_internal.non_final_counts n on n.stream = t.stream
left join losant_usage_internal.lacking_counts l on l.stream = t.stream
left join (
  select c.stream, count(*) filter (where c.is_stored and c.failed_reads > 1) as failing,
    count(*) filter (where c.reason in ('invalid_value', 'not_hourly', 'unplaceable_body', 'database_rejected'))
      as quarantined
  from losant_usage.coverage c where c.failed_reads > 0 group by c.stream
) as f on f.stream = t.stream
left join lateral (
  select c.usage_date as newest_read_day
  from losant_usage.coverage c
  where c.stream = t.stream and c.last_read_at is not null and c.usage_date >= losant_usage_internal.today() - 10
  order by c.usage_date desc limit 1
) as d on true;

-- In the order in which people read them.
create type losant_usage.attention_kind as enum (
  'never_read', 'not_read', 'list_incomplete', 'missing', 'in_doubt', 'difference', 'limit_exceeded', 'limit_at_risk',
  'month_ready', 'month_blocked', 'month_needs_adjustment'
);

-- What is not read as it should be. As long as yesterday is not late and runs do not fail, the day before counts too:
-- at midnight nothing of yesterday can have been read.
create view losant_usage_internal.unread_attention as
select 'never_read'::losant_usage.attention_kind as kind, 'instance' as subject,
  (i.first_attempt_at at time zone 'UTC')::date as since_day, null::text collate "C" as org_id, null::text as org_name,
  null::bigint as count, i.last_error as detail, 'losant-usage check' as remedy
from losant_usage.instance i
where not exists (select from losant_usage.tracks) and (i.listed_at is null or i.last_error is not null)
union all
select 'not_read', 'instance', losant_usage_internal.today() - 1, null, null, null, i.last_error, 'losant-usage run'
from losant_usage.instance i
where exists (
    select from losant_usage.tracks t
    where t.first_day < losant_usage_internal.today()
      and (t.last_day is null or t.last_day >= losant_usage_internal.today() - 1))
  and not exists (
    select from losant_usage.coverage c
    where c.last_read_at is not null
      and c.usage_date between losant_usage_internal.late_before() - 1 and losant_usage_internal.today() - 1
      and (i.last_error is null or c.usage_date = losant_usage_internal.today() - 1))
union all
select 'list_incomplete', 'instance', (i.listed_at at time zone 'UTC')::date, null, null, null, i.list_problem,
  'losant-usage run'
from losant_usage.instance i where i.list_problem is not null;

create view losant_usage.attention as
select * from losant_usage_internal.unread_attention
union all
select g.standing::text::losant_usage.attention_kind, g.org_id, min(g.usage_date), g.org_id, g.org_name, count(*),
  string_agg(distinct g.stream, ', '), 'losant-usage gaps --org ' || g.org_id
from losant_usage.coverage_gaps g group by g.standing, g.org_id, g.org_name
union all
-- Older days can no longer be read. A difference of a closed month was accepted, or is in an adjustment.
select 'difference', r.metric, min(r.usage_date), null, null, count(distinct r.usage_date),
  'from ' || string_agg(distinct case r.compared_with when 'losant' then 'Losant''s total' else r.compared_with end,
    ', '),
  format('losant-usage reconcile --from %s --to %s', losant_usage_internal.day_text(min(r.usage_date)),
    losant_usage_internal.day_text(max(r.usage_date)))
from losant_usage.reconciliation r
join losant_usage.instance i on i.control_totals = 'block'
where r.outcome = 'difference' and r.usage_date >= losant_usage_internal.today() - (i.policy ->> 'horizonDays')::integer
  and not exists (select from losant_usage.statements s where s.month = r.month)
group by r.metric
union all
select case when l.is_exceeded then 'limit_exceeded' else 'limit_at_risk' end::losant_usage.attention_kind,
  concat(l.org_id, ' ', l.limit_name), coalesce(l.exceeds_on, l.month), l.org_id, l.org_name, l.quantity::bigint,
  concat(l.limit_name, ' ', l.quantity, ' of ', l.limit_quantity, ', expected to exceed on '
    || losant_usage_internal.day_text(l.exceeds_on)), 'losant-usage org show --org ' || l.org_id
from losant_usage.usage_vs_limits l where l.is_exceeded or l.exceeds_on is not null
union all
select ('month_' || m.state)::losant_usage.attention_kind, to_char(m.month::timestamp, 'YYYY-MM'), m.month, null, null,
  case m.state when 'needs_adjustment' then m.orgs_to_adjust when 'blocked' then m.orgs_blocked end,
  array_to_string(m.causes, ', '),
  concat('losant-usage close --month ', to_char(m.month::timestamp, 'YYYY-MM'),
    case m.state when 'needs_adjustment' then ' --adjust' when 'blocked' then ' --dry-run' end)
from losant_usage.months m where m.state in ('ready', 'blocked', 'needs_adjustment');

comment on view losant_usage.freshness is 'Completeness by stream, one row each. Key: stream. Source: tracks, coverage.';
comment on column losant_usage.freshness.complete_to is 'Last day through which the stream is complete (UTC); null if its first expected day is not.';
comment on column losant_usage.freshness.failing is 'Stored cells whose last two reads failed (count).';
comment on column losant_usage.freshness.final is 'Cells that are final (count).';
comment on column losant_usage.freshness.first_day is 'First expected day (UTC).';
comment on column losant_usage.freshness.gaps is 'Cells that are in doubt or missing (count).';
comment on column losant_usage.freshness.gaps_expiring is 'Gaps that pass the horizon within 7 days (count).';
comment on column losant_usage.freshness.in_doubt is 'Cells in doubt (count).';
comment on column losant_usage.freshness.last_day is 'Last expected day (UTC), at most yesterday.';
comment on column losant_usage.freshness.missing is 'Cells that are missing (count).';
comment on column losant_usage.freshness.newest_gap is 'Newest day with a gap (UTC); null if there is none.';
comment on column losant_usage.freshness.newest_read_day is 'Newest of the last ten days that was read for any organization (UTC); null if none was.';
comment on column losant_usage.freshness.oldest_gap is 'Oldest day with a gap (UTC); null if there is none.';
comment on column losant_usage.freshness.orgs is 'Organizations that are tracked (count).';
comment on column losant_usage.freshness.orgs_complete is 'Organizations that are complete (count).';
comment on column losant_usage.freshness.orgs_with_gaps is 'Organizations with a gap (count).';
comment on column losant_usage.freshness.quarantined is 'Cells whose last response was quarantined (count).';
comment on column losant_usage.freshness.stored is 'Cells that are stored and not final (count).';
comment on column losant_usage.freshness.unavailable is 'Cells that can no longer be read (count).';
comment on column losant_usage.freshness.waiting is 'Cells that are waiting (count).';
comment on column losant_usage.freshness.waived is 'Cells that are waived (count).';
comment on column losant_usage.freshness.yesterday_expected is 'Expected cells of yesterday (count).';
comment on column losant_usage.freshness.yesterday_in_doubt is 'Cells of yesterday in doubt (count).';
comment on column losant_usage.freshness.yesterday_missing is 'Cells of yesterday that are missing (count).';
comment on column losant_usage.freshness.yesterday_unavailable is 'Cells of yesterday that can no longer be read (count).';
comment on column losant_usage.freshness.yesterday_waiting is 'Cells of yesterday that are waiting (count).';
comment on view losant_usage.attention is 'What needs attention now, one row per thing. Key: kind, subject. Source: freshness, coverage_gaps, reconciliation, usage_vs_limits, months.';
comment on column losant_usage.attention.count is 'How much there is of it: cells, days, a quantity or organizations; null if it is not counted.';
comment on column losant_usage.attention.detail is 'What else is known about it; null if nothing is.';
comment on column losant_usage.attention.kind is 'Kind; the type attention_kind has them in order of importance.';
comment on column losant_usage.attention.org_id is 'Losant organization ID (24 lowercase hex digits); null if it is not about one.';
comment on column losant_usage.attention.org_name is 'Organization name as last seen; null if it is not about one.';
comment on column losant_usage.attention.remedy is 'The command that shows or settles it.';
comment on column losant_usage.attention.since_day is 'Oldest day concerned (UTC); of a limit at risk, the day on which it is expected to be exceeded. Null if none is known.';
comment on column losant_usage.attention.subject is 'What it is about: an organization, an organization and its limit, a metric, a month, or instance.';
