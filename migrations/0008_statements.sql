-- Closed months: statements with their lines, which are immutable, and the differences since.

create table losant_usage.statements (
  statement_id uuid primary key default gen_random_uuid(),
  number integer not null unique check (number >= 1),
  month date not null check (extract(day from month) = 1),
  kind text not null check (kind in ('closing', 'adjustment')),
  created_at timestamptz not null default clock_timestamp(),
  created_by text not null default session_user,
  reason text,
  blockers jsonb,
  check ((reason is null) = (blockers is null))
);
create unique index statements_closing on losant_usage.statements (month) where kind = 'closing';
create index statements_month on losant_usage.statements (month);

create table losant_usage.statement_lines (
  statement_id uuid not null references losant_usage.statements,
  month date not null,
  org_id text collate "C" not null,
  org_name text not null,
  referral_id text,
  plan_id text,
  customer_id text,
  metric text collate "C" not null,
  unit text not null,
  kind text not null,
  quantity bigint,
  maximum bigint,
  average numeric,
  days_expected integer not null,
  days_stored integer not null,
  days_final integer not null,
  days_waived integer not null,
  days_unreported integer not null,
  primary key (statement_id, org_id, metric)
);
create index statement_lines_month on losant_usage.statement_lines (month, org_id, metric);

create trigger reject_change before update or delete or truncate on losant_usage.statements
  execute function losant_usage_internal.reject_change(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_change before update or delete or truncate on losant_usage.statement_lines
  execute function losant_usage_internal.reject_change(
    'statements are immutable; losant-usage close --adjust creates another one');

-- The expected days of a month by organization and stream.
create view losant_usage_internal.month_days as
select c.org_id, c.stream, c.month, count(*)::integer as days_expected,
  count(*) filter (where c.is_stored)::integer as days_stored,
  count(*) filter (where c.standing = 'final')::integer as days_final,
  count(*) filter (where c.standing = 'waived')::integer as days_waived,
  count(*) filter (where c.is_stored and not c.is_reported)::integer as days_unreported
from losant_usage_internal.expected_cells c group by c.org_id, c.stream, c.month;

-- The sums of a month by organization and metric as they are now, with the organization as it was at the end of the
-- month: in the version in force, else in the first later one. What is looked up per organization is joined before its
-- metrics; a close sets join_collapse_limit, so that the planner keeps this order.
create view losant_usage_internal.month_lines as
select s.period_start as month, s.org_id, coalesce(v.name, o.name) as org_name,
  case when v.org_id is null then o.referral_id else v.referral_id end as referral_id,
  case when v.org_id is null then o.plan_id else v.plan_id end as plan_id,
  case when v.org_id is null then o.customer_id else v.customer_id end as customer_id, m.metric, m.unit, m.kind,
  losant_usage_internal.sum_of_metric(j.sums, m.metric) as quantity,
  losant_usage_internal.sum_of_metric(j.sums, m.metric || '_max') as maximum,
  (j.sums ->> (m.metric || '_avg'))::numeric as average,
  d.days_expected, d.days_stored, d.days_final, d.days_waived, d.days_unreported
from losant_usage_internal.usage_sums s
join losant_usage.organizations o on o.org_id = s.org_id
cross join lateral (select to_jsonb(s) as sums offset 0) as j
left join lateral (
  select h.org_id, h.name, h.referral_id, h.plan_id, h.customer_id
  from losant_usage.organization_history h
  cross join (
    select (losant_usage_internal.month_end(s.period_start) + 1)::timestamp at time zone 'UTC' as end_at) as e
  where h.org_id = s.org_id
  order by h.valid_from < e.end_at desc, abs(extract(epoch from h.valid_from - e.end_at)) limit 1
) as v on true
join losant_usage_internal.month_days d on d.org_id = s.org_id and d.month = s.period_start
join losant_usage.metrics m on m.stream = d.stream
where s.range_kind = 'month';

-- What the statements of a month billed, by organization and metric, with the maximum and average of the newest one.
create view losant_usage_internal.billed_lines as
select l.month, l.org_id, l.metric, sum(l.quantity)::bigint as quantity, count(*)::integer as lines,
  (array_agg(l.maximum order by s.number desc))[1] as maximum,
  (array_agg(l.average order by s.number desc))[1] as average
from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
group by l.month, l.org_id, l.metric;

-- The organizations whose numbers of a closed month can differ from what was billed: adding up the month of all takes
-- seconds, and usually a handful has changed. Each trace has an index that finds it without reading the month.
create view losant_usage_internal.changed_orgs as
select s.month, r.org_id, true as is_restated
from losant_usage.statements s
join losant_usage.revisions r on r.usage_date between s.month and losant_usage_internal.month_end(s.month)
  and r.changed_at >= s.created_at
where s.kind = 'closing'
union
select s.month, c.org_id, false
from losant_usage.statements s
join losant_usage.coverage c on c.month = s.month and c.first_loaded_at >= s.created_at
  and c.first_loaded_at >= (c.month + interval '1 month') at time zone 'UTC'
where s.kind = 'closing';

create view losant_usage_internal.adjustment_lines as
select n.*, b.quantity as billed_quantity, c.is_restated
from (
  select month, org_id, bool_or(is_restated) as is_restated
  from losant_usage_internal.changed_orgs group by month, org_id
) as c
join lateral (
  select n.* from losant_usage_internal.month_lines n where n.month = c.month and n.org_id = c.org_id offset 0
) as n on true
left join lateral (
  select b.* from losant_usage_internal.billed_lines b
  where b.month = c.month and b.org_id = c.org_id and b.metric = n.metric
) as b on true
where n.quantity is not null
  and (b.lines is null or row(n.quantity, n.maximum, n.average) is distinct from row(b.quantity, b.maximum, b.average));

-- Differences between what was billed and the numbers now. `close --adjust` bills each once.
create view losant_usage.adjustments as
select month, org_id, org_name, referral_id, plan_id, customer_id, metric, unit, kind, billed_quantity, quantity,
  quantity - coalesce(billed_quantity, 0) as difference,
  case when is_restated then 'restated' else 'first_loaded' end as cause
from losant_usage_internal.adjustment_lines;

-- The months that were closed, the current one, and those of which cells are expected.
create view losant_usage.months as
select m.month, e.has_ended,
  case when a.lines > 0 then 'needs_adjustment' when c.created_at is not null then 'closed'
    when not e.has_ended then 'in_progress' else coalesce(b.state, 'ready') end::losant_usage.month_state as state,
  case when e.has_ended and c.created_at is null then b.causes end as causes,
  case when e.has_ended and c.created_at is null then coalesce(b.orgs, 0) end as orgs_blocked,
  case when c.created_at is not null then coalesce(a.orgs, 0) end as orgs_to_adjust,
  case when c.created_at is not null then coalesce(a.lines, 0) end as lines_to_adjust,
  c.created_at as closed_at, c.created_by as closed_by, coalesce(t.statements, 0) as statements
from (
  select month from losant_usage_internal.tracked_months
  union
  select month from losant_usage.statements
) as m
cross join lateral (select losant_usage_internal.has_ended(m.month) as has_ended) as e
left join losant_usage.statements c on c.month = m.month and c.kind = 'closing'
left join (
  select month, count(*)::integer as statements from losant_usage.statements group by month
) as t on t.month = m.month
-- Lateral, so that only the days of months that can be closed are read.
left join lateral (
  select array_agg(distinct b.cause order by b.cause) as causes, max(b.state) as state,
    count(distinct b.org_id) filter (where b.state = 'blocked')::integer as orgs
  from losant_usage.month_blockers b where b.month = m.month and e.has_ended and c.created_at is null
) as b on true
left join (
  select a.month, count(*)::integer as lines, count(distinct a.org_id)::integer as orgs
  from losant_usage.adjustments a group by a.month
) as a on a.month = m.month;

comment on table losant_usage.statements is 'Closings and adjustments of months; append-only. Written by losant-usage close.';
comment on column losant_usage.statements.statement_id is 'Identifier of the statement.';
comment on column losant_usage.statements.blockers is 'The blockers that were accepted: array of the rows of month_blockers; null if there were none.';
comment on column losant_usage.statements.created_at is 'When the statement was created (UTC): it has the numbers that were stored then.';
comment on column losant_usage.statements.created_by is 'Database user who created it.';
comment on column losant_usage.statements.kind is 'closing: the quantities of the month. adjustment: the differences from earlier statements of the month.';
comment on column losant_usage.statements.number is 'Sequence number among all statements, from 1 without gaps.';
comment on column losant_usage.statements.reason is 'Why the month was closed despite its blockers; null if it had none.';
comment on table losant_usage.statement_lines is 'Lines of statements by organization and metric; append-only. The sum of quantity over all statements of a month is what was billed.';
comment on column losant_usage.statement_lines.average is 'Average of a level (its number now, in an adjustment too); null for flows, and if nothing is stored.';
comment on column losant_usage.statement_lines.customer_id is 'Customer ID at the end of the month; null if there is none.';
comment on column losant_usage.statement_lines.days_final is 'Expected days with a final number (count).';
comment on column losant_usage.statement_lines.days_stored is 'Expected days with a number (count).';
comment on column losant_usage.statement_lines.days_unreported is 'Expected days with a zero that Losant never reported (count).';
comment on column losant_usage.statement_lines.days_waived is 'Expected days with the standing waived (count).';
comment on column losant_usage.statement_lines.kind is 'flow: summed over the days. level: the last of the month.';
comment on column losant_usage.statement_lines.maximum is 'Maximum of a level (its number now, in an adjustment too); null for flows, and if nothing is stored.';
comment on column losant_usage.statement_lines.org_name is 'Organization name at the end of the month.';
comment on column losant_usage.statement_lines.plan_id is 'Billing plan ID at the end of the month; null if there is none.';
comment on column losant_usage.statement_lines.quantity is 'Of a closing, the number of the month over its stored days, null if none is stored; of an adjustment, the difference from what was billed.';
comment on column losant_usage.statement_lines.referral_id is 'Referral ID at the end of the month; null if there is none.';
comment on view losant_usage.adjustments is 'Differences between what was billed for a closed month and its numbers now; losant-usage close --adjust bills them. Key: month, org_id, metric. Source: statement_lines, usage_days, revisions, coverage.';
comment on column losant_usage.adjustments.billed_quantity is 'What was billed; null if nothing was.';
comment on column losant_usage.adjustments.cause is 'restated: a stored number changed since. first_loaded: a number was first stored since.';
comment on column losant_usage.adjustments.difference is 'What an adjustment would bill; 0 for a level of which only the maximum or average differs.';
comment on column losant_usage.adjustments.quantity is 'Number of the month now, over its stored days.';
comment on view losant_usage.months is 'The months with their state: those that were closed, the current one, and those of which cells are expected. Key: month. Source: statements, month_blockers, adjustments.';
comment on column losant_usage.months.causes is 'What keeps the month from being ready; see month_blockers. Null if nothing does, or if the month has not ended or is closed.';
comment on column losant_usage.months.closed_at is 'When the month was closed (UTC); null if it was not.';
comment on column losant_usage.months.closed_by is 'Database user who closed the month; null if nobody did.';
comment on column losant_usage.months.lines_to_adjust is 'Numbers that differ from what was billed (count); null unless the month is closed.';
comment on column losant_usage.months.orgs_blocked is 'Organizations with a blocker of the state blocked (count); null unless the month has ended and is not closed.';
comment on column losant_usage.months.orgs_to_adjust is 'Organizations with a number that differs from what was billed (count); null unless the month is closed.';
comment on column losant_usage.months.state is 'in_progress, settling, blocked, ready, closed or needs_adjustment.';
comment on column losant_usage.months.statements is 'Statements of the month (count).';
