-- What needs attention, and the record of the digests that say so.

-- In the order in which people read them.
create type losant_usage.attention_kind as enum (
  'never_read', 'not_read', 'list_incomplete', 'missing', 'in_doubt', 'sums_differ', 'limit_exceeded', 'limit_at_risk',
  'large_change', 'silent', 'new', 'deleted', 'month_ready', 'month_blocked', 'month_needs_adjustment'
);

-- A refresh replaces what is current. What is no longer seen stays for three days, so that it is not new if it returns.
create table losant_usage.attention_items (
  instance_id text collate "C" not null references losant_usage.instances,
  kind losant_usage.attention_kind not null,
  subject text collate "C" not null,
  text text not null,
  quantity bigint,
  first_seen_on date not null,
  last_seen_on date not null,
  is_current boolean not null default true,
  named_on date,
  primary key (instance_id, kind, subject)
);

-- A row is claimed by the process that sends the digest. One that dies leaves it unfinished, and its claim expires.
create table losant_usage.digests (
  instance_id text collate "C" not null references losant_usage.instances,
  day date not null,
  claim_id uuid not null,
  expires_at timestamptz not null,
  outcome text check (outcome in ('sent', 'nothing_new', 'rejected', 'failed')),
  error text,
  finished_at timestamptz,
  primary key (instance_id, day),
  check ((outcome is null) = (finished_at is null))
);

-- Instances that are not read as they should be. As long as yesterday is not late and runs do not fail, the day before
-- counts too: at midnight nothing of yesterday can have been read.
create view losant_usage_internal.unread_instances as
select n.instance_id, 'never_read'::losant_usage.attention_kind as kind, n.instance_id::text as subject,
  concat_ws(': ', coalesce(n.name, n.instance_id), n.last_error) as text, null::bigint as quantity
from losant_usage_internal.never_read_instances n
union all
select i.instance_id, 'not_read', i.instance_id,
  concat_ws(': ', losant_usage_internal.day_text(losant_usage_internal.today() - 1), i.last_error), null
from losant_usage.instances i
where exists (
    select from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    where o.instance_id = i.instance_id and t.first_day < losant_usage_internal.today()
      and (t.last_day is null or t.last_day >= losant_usage_internal.today() - 1))
  and not exists (
    select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
    where o.instance_id = i.instance_id and c.last_read_at is not null
      and c.usage_date between losant_usage_internal.late_before() - 1 and losant_usage_internal.today() - 1
      and (i.last_error is null or c.usage_date = losant_usage_internal.today() - 1))
union all
select i.instance_id, 'list_incomplete', i.instance_id, i.list_problem, null
from losant_usage.instances i where i.list_problem is not null and i.retired_at is null;

-- Cells that are missing, or have been in doubt for more than a day: most doubts end sooner.
create view losant_usage_internal.lacking_cells as
select c.org_id, c.stream, c.usage_date, c.month, c.standing
from losant_usage_internal.non_final_cells c
where c.standing = 'missing' or (c.standing = 'in_doubt' and c.doubted_at < now() - interval '1 day');

create view losant_usage_internal.lacking_organizations as
select o.instance_id, c.standing::text::losant_usage.attention_kind as kind, c.org_id::text as subject,
  format('%s (%s since %s)', losant_usage_internal.name_or_id(o.name, c.org_id), string_agg(distinct c.stream, ', '),
    losant_usage_internal.day_text(min(c.usage_date))) as text,
  count(*) as quantity
from losant_usage_internal.lacking_cells c
join losant_usage.organizations o on o.org_id = c.org_id
group by o.instance_id, c.standing, c.org_id, o.name;

-- Those that block a month which is not closed. src/queries/health.ts counts the same.
create view losant_usage_internal.differing_sums as
select r.instance_id, 'sums_differ'::losant_usage.attention_kind as kind, r.metric::text as subject,
  format('%s (from %s since %s)', r.metric,
    string_agg(distinct case r.compared_with when 'losant' then 'Losant''s total' else r.compared_with end, ', '),
    losant_usage_internal.day_text(min(r.usage_date))) as text,
  count(*) as quantity
from losant_usage.reconciliation r join losant_usage.instances i on i.instance_id = r.instance_id
where r.outcome = 'differs' and i.control_totals = 'block' and not exists (
  select from losant_usage.statements s where s.instance_id = r.instance_id and s.month = r.month)
group by r.instance_id, r.metric;

create view losant_usage_internal.limits_to_watch as
select l.instance_id,
  (case when l.is_exceeded then 'limit_exceeded' else 'limit_at_risk' end)::losant_usage.attention_kind as kind,
  concat(l.org_id, ' ', l.limit_name) as subject,
  format('%s (%s %s)', losant_usage_internal.name_or_id(l.org_name, l.org_id), l.limit_name, case
    when l.is_exceeded is not true then 'on ' || losant_usage_internal.day_text(l.exceeds_on)
    when l.share is null then l.quantity || ' of 0' else trunc(l.share * 100) || '%' end) as text,
  l.quantity::bigint as quantity
from losant_usage.usage_vs_limits l where l.is_exceeded or l.exceeds_on is not null;

-- What organizations did. One that is silent, new or deleted has changed too, which is said once.
create view losant_usage_internal.activity_to_watch as
select a.instance_id, k.kind::losant_usage.attention_kind as kind, a.org_id::text as subject,
  format('%s (%s)', losant_usage_internal.name_or_id(o.name, o.org_id), k.detail) as text, k.quantity
from losant_usage.organization_activity a
join losant_usage.organizations o on o.org_id = a.org_id
cross join lateral (values
  ('large_change',
    a.has_large_change and not a.is_silent and o.deleted_on is null and (o.created_on >= a.month - 28) is not true,
    coalesce(to_char(round(a.change_ratio * 100), 'FMSG999,999,999,999,999,990') || '%', 'from 0'),
    a.compared_quantity - a.previous_quantity),
  ('silent', a.is_silent, 'since ' || losant_usage_internal.day_text(a.last_active_on + 1), null),
  ('new', a.is_new and o.deleted_on is null, losant_usage_internal.day_text(o.created_on), null),
  ('deleted', a.is_recently_deleted, losant_usage_internal.day_text(o.deleted_on), null)
) as k (kind, applies, detail, quantity)
where k.applies;

-- By organization, what keeps a past month from being ready, and what can be adjusted in a closed one, with the
-- billable payloads concerned. What blocks an entire instance has no organization.
create view losant_usage_internal.month_issues as
select b.instance_id, b.month, b.org_id,
  coalesce(losant_usage_internal.name_or_id(b.org_name, b.org_id), i.name, b.instance_id) as name,
  max(b.state) as state,
  string_agg(concat(to_char(b.first_day::timestamp, 'FMDD Mon'),
    to_char(nullif(b.last_day, b.first_day)::timestamp, '" to "FMDD Mon'), ' ', replace(b.cause, '_', ' ')),
    ', ' order by b.first_day, b.cause) as summary,
  string_agg(concat_ws(' ', b.summary, concat_ws('..', losant_usage_internal.day_text(b.first_day),
    losant_usage_internal.day_text(nullif(b.last_day, b.first_day))), b.detail), '; ') as causes,
  string_agg(b.remedy, E'\n') as remedy,
  (
    select sum(d.payload_billable_count)::bigint from losant_usage.usage_days d
    where d.org_id = b.org_id and d.usage_date between b.month and losant_usage_internal.month_end(b.month)
  ) as payloads,
  bool_or(b.state = 'blocked' and (b.cause <> 'in_doubt' or exists (
    select from losant_usage_internal.lacking_cells c
    where c.org_id = b.org_id and c.month = b.month and c.standing = 'in_doubt'))) as needs_attention
from losant_usage.month_blockers b
join losant_usage.instances i on i.instance_id = b.instance_id
where losant_usage_internal.has_ended(b.month)
group by b.instance_id, b.month, b.org_id, b.org_name, i.name
union all
select a.instance_id, a.month, a.org_id, losant_usage_internal.name_or_id(a.org_name, a.org_id), 'needs_adjustment',
  coalesce(to_char(a.payloads, 'FMSG999,999,999,999,999,990'), 'other metrics'), null, null, a.payloads, true
from (
  select a.instance_id, a.month, a.org_id, a.org_name,
    (sum(a.quantity - coalesce(a.billed_quantity, 0)) filter (where a.metric = 'payload_billable_count'))::bigint
      as payloads
  from losant_usage.adjustments a where a.difference is not null
  group by a.instance_id, a.month, a.org_id, a.org_name
) as a;

-- Each month with its state, how many of its organizations are ready, and those that are most affected. While something
-- blocks an entire instance, none is ready.
create view losant_usage_internal.month_summaries as
select m.instance_id, m.month,
  losant_usage_internal.state_of_month(m.month, c.closed_at is not null, s.is_adjustment, s.state) as state,
  c.closed_at, o.orgs - n.orgs_ready as orgs_not_ready, case when s.is_adjustment then s.orgs end as orgs_to_adjust,
  to_char(n.orgs_ready, 'FM999,999,990') || ' of ' || to_char(o.orgs, 'FM999,999,990') || ' ready' as readiness,
  array_to_string(s.issues, case when s.is_adjustment then ', ' else '; ' end)
    || coalesce(case when s.is_adjustment then ' and ' else '; and ' end
      || nullif(greatest(s.others, 0), 0) || ' more', '') as issues,
  case when c.closed_at is null and s.is_entire_instance is not true then s.payloads end as payloads_on_hold,
  case when c.closed_at is not null then s.payloads end as difference, s.needs_attention
from losant_usage_internal.instance_months m
left join losant_usage.statements c
  on c.instance_id = m.instance_id and c.month = m.month and c.kind = 'closing'
left join (
  select i.instance_id, i.month, i.state = 'needs_adjustment' as is_adjustment, max(i.state) as state,
    count(i.org_id) as orgs, bool_or(i.org_id is null) as is_entire_instance, sum(i.payloads)::bigint as payloads,
    bool_or(i.needs_attention) as needs_attention,
    (array_agg(concat(i.name, case i.state when 'needs_adjustment' then ' ' else ': ' end, i.summary)
      order by i.org_id is not null, i.state desc, abs(i.payloads) desc nulls last, i.name, i.org_id))[1:2] as issues,
    count(*) - 2 as others
  from losant_usage_internal.month_issues i group by i.instance_id, i.month, i.state = 'needs_adjustment'
) as s on s.instance_id = m.instance_id and s.month = m.month and s.is_adjustment = (c.closed_at is not null)
left join lateral (
  select count(distinct t.org_id) as orgs
  from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
  where o.instance_id = m.instance_id and t.first_day <= losant_usage_internal.month_end(m.month)
    and (t.last_day is null or t.last_day >= m.month) and t.stream in (select stream from losant_usage.metrics)
) as o on losant_usage_internal.has_ended(m.month) and c.closed_at is null
cross join lateral (
  select case when s.is_entire_instance then 0 else greatest(0, o.orgs - coalesce(s.orgs, 0)) end as orgs_ready
) as n;

-- Months for which somebody has to do something. The others wait for runs, which may also end a doubt, or are done.
create view losant_usage_internal.months_to_bill as
select m.instance_id, ('month_' || m.state)::losant_usage.attention_kind as kind,
  to_char(m.month::timestamp, 'YYYY-MM') as subject,
  format('%s (%s)', to_char(m.month::timestamp, 'FMMonth YYYY'), concat_ws('; ', m.readiness, m.issues,
    to_char(m.payloads_on_hold, 'FM999,999,999,999,999,990') || ' billable payloads on hold')) as text,
  nullif(coalesce(m.orgs_not_ready, m.orgs_to_adjust), 0) as quantity
from losant_usage_internal.month_summaries m
where m.state in ('ready', 'needs_adjustment') or (m.state = 'blocked' and m.needs_attention);

-- What needs attention now, besides what organizations did and months to bill. Doubts of less than a day do not.
create view losant_usage_internal.attention as
select * from losant_usage_internal.unread_instances
union all
select * from losant_usage_internal.lacking_organizations
union all
select * from losant_usage_internal.differing_sums
union all
select * from losant_usage_internal.limits_to_watch;

comment on table losant_usage.attention_items is 'What needs attention, as of instances.attention_at. Written at the end of runs, and once a day at NOTIFY_AT.';
comment on column losant_usage.attention_items.first_seen_on is 'Day on which it was first seen (time zone of NOTIFY_AT).';
comment on column losant_usage.attention_items.is_current is 'Whether the last refresh saw it.';
comment on column losant_usage.attention_items.last_seen_on is 'Day on which it was last seen (time zone of NOTIFY_AT).';
comment on column losant_usage.attention_items.named_on is 'Day of the first digest that named it; null if none has. Items of the first refresh are never new, and have the day before it.';
comment on column losant_usage.attention_items.subject is 'What it is about: an organization and its limit, an organization, a metric, a month or an instance.';
comment on column losant_usage.attention_items.text is 'Name of the subject, with what is known about it.';
comment on table losant_usage.digests is 'The digests of what needs attention, by instance and day. Written by losant-usage worker.';
comment on column losant_usage.digests.claim_id is 'Process that sends it.';
comment on column losant_usage.digests.day is 'Day (time zone of NOTIFY_AT).';
comment on column losant_usage.digests.error is 'Why the last attempt to send it failed; null if it did not.';
comment on column losant_usage.digests.finished_at is 'When its outcome was recorded (UTC, database clock); null until then.';
comment on column losant_usage.digests.outcome is 'sent, nothing_new (no message), rejected (by the receiver) or failed (for an hour); null until then.';
