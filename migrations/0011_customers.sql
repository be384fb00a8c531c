-- For billing: the lines of a draft, the statements of each customer, and the days that explain an adjustment.

-- What `close` or `close --adjust` would bill now. A condition on the instance or the month reaches the tables.
create view losant_usage.draft_lines as
select m.instance_id, m.month, case when c.is_closed then 'adjustment' else 'closing' end as statement_kind,
  d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.is_customer_changed, d.metric, d.unit, d.kind,
  d.quantity, d.billed_before, d.total, d.maximum, d.average, d.sources, d.days_expected, d.days_stored, d.days_final,
  d.days_waived, d.days_pending, d.days_unavailable, d.days_in_doubt, d.days_missing, d.days_unreported
from losant_usage_internal.instance_months m
cross join lateral (
  select exists (
    select from losant_usage.statements s
    where s.instance_id = m.instance_id and s.month = m.month and s.kind = 'closing') as is_closed
) as c
cross join lateral losant_usage.statement_draft(m.instance_id, m.month, c.is_closed) as d
where losant_usage_internal.has_ended(m.month);

-- An organization without a customer is listed by itself. Earlier statements of the month count in whichever instance
-- they were made, as in the lines.
create view losant_usage.customer_statements as
select s.instance_id, c.month, s.number, s.kind as statement_kind, c.statement_id, s.closed_at, s.closed_by,
  encode(s.manifest_sha256, 'hex') as manifest_sha256, c.customer_id, c.org_id, c.org_name, c.referral_id, c.plan_id,
  c.orgs, c.metric, c.unit, c.kind, (sum(c.quantity) over earlier)::bigint as billed_before, c.quantity,
  (sum(c.quantity) over upto)::bigint as total
from (
  select l.statement_id, l.month, null::text as customer_id, l.org_id, l.org_name, l.referral_id, l.plan_id,
    1 as orgs, l.metric, l.unit, l.kind, l.quantity
  from losant_usage.statement_lines l where coalesce(l.customer_id, '') = ''
  union all
  select l.statement_id, l.month, l.customer_id, null, string_agg(distinct l.org_name, ', ' order by l.org_name),
    string_agg(distinct l.referral_id, ', ' order by l.referral_id),
    string_agg(distinct l.plan_id, ', ' order by l.plan_id), count(*)::integer, l.metric, l.unit, l.kind,
    sum(l.quantity)::bigint
  from losant_usage.statement_lines l where l.customer_id <> ''
  group by l.statement_id, l.month, l.customer_id, l.metric, l.unit, l.kind
) as c
join losant_usage.statements s on s.statement_id = c.statement_id
window upto as (
  partition by c.month, c.customer_id, c.org_id, c.metric order by s.closed_at, s.instance_id, s.number
  rows unbounded preceding
), earlier as (
  partition by c.month, c.customer_id, c.org_id, c.metric order by s.closed_at, s.instance_id, s.number
  rows between unbounded preceding and 1 preceding
);

-- The cells of closed months whose numbers may differ from those of an earlier statement: they were not settled then or
-- are not now, or were changed or first loaded since the first statement of the month, or no closing has billed them,
-- because their organization came from an instance that had not closed the month.
create view losant_usage_internal.cells_to_explain as
with closed_months as (
  select s.month, min(s.closed_at) as closed_at from losant_usage.statements s group by s.month
)
select s.month, w.org_id, w.stream, w.usage_date
from losant_usage_internal.unbilled_cells w join losant_usage.statements s on s.statement_id = w.statement_id
union
select m.month, c.org_id, c.stream, c.usage_date
from closed_months m join losant_usage_internal.non_final_cells c on c.month = m.month
where c.standing <> 'waived'
union
select m.month, r.org_id, r.stream, r.usage_date
from closed_months m
join losant_usage.revisions r on r.usage_date between m.month and losant_usage_internal.month_end(m.month)
  and r.changed_at > m.closed_at
union
select m.month, c.org_id, c.stream, c.usage_date
from closed_months m
join losant_usage.coverage c on c.month = m.month and c.first_loaded_at > m.closed_at
  and c.first_loaded_at >= (c.month + interval '1 month') at time zone 'UTC'
union
select m.month, c.org_id, c.stream, c.usage_date
from closed_months m
cross join losant_usage_internal.transferred_orgs o
cross join losant_usage.streams t
join losant_usage.coverage c on c.org_id = o.org_id and c.stream = t.stream
  and c.usage_date = any (losant_usage_internal.days_of(m.month))
where not exists (
  select from losant_usage.statement_lines l
  join losant_usage.statements s on s.statement_id = l.statement_id
  join losant_usage.metrics k on k.metric = l.metric
  where l.month = m.month and l.org_id = o.org_id and k.stream = t.stream and s.kind = 'closing'
    and l.billed_before is null);

-- The statements that billed a metric of an organization, each with the one that followed: null for what the next
-- adjustment bills. Before the first, it was billed nothing.
create function losant_usage_internal.billing_steps(p_month date, p_org_id text, p_metric text) returns table (
  billed_id uuid, billed_at timestamptz, org_name text, customer_id text, statement_id uuid, statement_kind text,
  instance_id text, number integer, closed_at timestamptz
) language sql stable parallel safe
begin atomic
  select b.statement_id, b.closed_at, b.org_name, b.customer_id, lead(b.statement_id) over following,
    lead(b.kind) over following, coalesce(lead(b.instance_id) over following, o.instance_id),
    lead(b.number) over following, coalesce(lead(b.closed_at) over following, 'infinity')
  from losant_usage.organizations o
  cross join lateral (
    select s.statement_id, s.instance_id, s.number, s.kind, s.closed_at, l.org_name, l.customer_id
    from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
    where l.month = p_month and l.org_id = o.org_id and l.metric = p_metric
    union all
    select null, null, null, null, '-infinity', o.name, o.customer_id
  ) as b
  where o.org_id = p_org_id
  window following as (order by b.closed_at, b.instance_id, b.number);
end;

-- A number as it was at an instant: the old one of its first later revision, or the current one.
create function losant_usage_internal.quantity_at(d losant_usage_internal.org_days, p_stream text, p_metric text,
  p_at timestamptz
) returns bigint language sql stable parallel safe
begin atomic
  select n.quantity
  from (
    select v.id, (v.old ->> p_metric)::bigint as quantity from losant_usage.revisions v
    where v.org_id = d.org_id and v.usage_date = d.usage_date and v.stream = p_stream and v.old ? p_metric
      and v.changed_at > p_at
    union all
    select null, losant_usage_internal.number_of(d, p_metric)
  ) as n order by n.id nulls last limit 1;
end;

-- What was billed of a day, and what the next statement bills, if it was loaded by then.
create view losant_usage_internal.billed_days as
select p.*, c.month, c.org_id, c.usage_date, t.stream, t.metric, t.unit, t.kind, s.is_settled, n.is_new,
  k.first_loaded_at, k.last_read_at, k.run_id,
  case when not (n.is_new or n.was_unbilled)
    then losant_usage_internal.quantity_at(d.day, t.stream, t.metric, p.billed_at) end as billed_quantity,
  case when s.is_settled and k.org_id is not null
    then losant_usage_internal.quantity_at(d.day, t.stream, t.metric, p.closed_at) end as quantity
from losant_usage_internal.cells_to_explain c
join losant_usage.metrics t on t.stream = c.stream
cross join lateral losant_usage_internal.billing_steps(c.month, c.org_id, t.metric) as p
left join losant_usage.coverage k
  on k.org_id = c.org_id and k.usage_date = c.usage_date and k.stream = c.stream and k.first_loaded_at <= p.closed_at
-- By the key: the planner expects many cells, and would sort the days of all months.
left join lateral (
  select o as day from losant_usage_internal.org_days o
  where o.org_id = c.org_id and o.usage_date = c.usage_date limit 1
) as d on true
cross join lateral (
  select coalesce(p.billed_id is null or k.first_loaded_at > p.billed_at, true) as is_new,
    bool_or(u.statement_id = p.billed_id) is true as was_unbilled,
    bool_or(u.statement_id = p.statement_id) is true as is_unbilled
  from losant_usage_internal.unbilled_cells u
  where u.statement_id in (p.billed_id, p.statement_id) and u.org_id = c.org_id and u.stream = c.stream
    and u.usage_date = c.usage_date
) as n
cross join lateral (
  select case when p.statement_id is not null then not n.is_unbilled
    else coalesce(losant_usage_internal.is_settled(k.standing), false) end as is_settled
) as s;

-- A row for each day whose number differs between two statements that follow each other, of which the second bills the
-- difference, or between the newest statement and now (number is null).
create view losant_usage.adjustment_days as
select b.instance_id, b.month, b.number, b.statement_id, b.org_id, b.org_name, b.customer_id, b.metric, b.unit, b.kind,
  b.usage_date, b.billed_quantity, b.quantity,
  case when b.is_settled then coalesce(b.quantity, 0) - coalesce(b.billed_quantity, 0) end as difference,
  case when not b.is_settled then 'not_settled' when b.is_new then 'first_loaded'
    when r.revision is not null then 'restated' when w.id is not null then 'waived' else 'settled' end as cause,
  r.revision, coalesce(r.run_id, b.run_id) as run_id,
  coalesce(r.changed_at, w.waived_at, case when b.is_new then b.first_loaded_at else b.last_read_at end) as changed_at,
  w.id as waiver_id, w.reason as waiver_reason
from losant_usage_internal.billed_days b
left join lateral (
  select v.revision, v.run_id, v.changed_at from losant_usage.revisions v
  where v.org_id = b.org_id and v.usage_date = b.usage_date and v.stream = b.stream and v.old ? b.metric
    -- Without "is true" the planner would read what was restated of all organizations on the day.
    and (v.changed_at > b.billed_at and v.changed_at <= b.closed_at) is true
  order by v.id desc limit 1
) as r on true
left join lateral (
  select v.id, v.reason, v.waived_at from losant_usage.waivers v
  where v.org_id = b.org_id and v.usage_date = b.usage_date and v.stream = b.stream
    and v.waived_at <= b.closed_at and coalesce(v.lifted_at, 'infinity') >= b.closed_at
  order by v.id desc limit 1
) as w on true
where b.billed_quantity is distinct from b.quantity
  -- The first line of an organization in a closing bills the month, and no difference.
  and case when b.statement_id is not null then b.billed_id is not null or b.statement_kind = 'adjustment'
    else exists (
      select from losant_usage.statements s
      where s.instance_id = b.instance_id and s.month = b.month and s.kind = 'closing') end;

comment on view losant_usage.draft_lines is 'The lines that close, or close --adjust in a closed month, would bill now, of months that have ended. Give a month: each takes seconds. Key: instance_id, month, org_id, metric. Source: statement_draft.';
comment on view losant_usage.customer_statements is 'What each statement bills to a customer, over all its organizations; an organization without a customer is listed by itself. Sum quantity over the statements of a month. Key: statement_id, customer_id, org_id, metric. Source: statement_lines.';
comment on column losant_usage.customer_statements.billed_before is 'What earlier statements of the month billed to the customer, in any instance; null if nothing.';
comment on column losant_usage.customer_statements.orgs is 'Organizations of the customer with a line (count).';
comment on column losant_usage.customer_statements.quantity is 'What the statement bills; null if nothing.';
comment on column losant_usage.customer_statements.total is 'What was billed for the month so far: billed_before plus quantity, never to be summed over statements; null if nothing was.';
comment on view losant_usage.adjustment_days is 'The days that explain an adjustment: the number of a day that was billed, the number that replaces it, and what changed it. Without a statement number, the days of the next adjustment. Key: instance_id, number, org_id, metric, usage_date. Source: statement_lines, revisions, coverage, waivers.';
comment on column losant_usage.adjustment_days.billed_quantity is 'Number of the day in the statement before; null if it was not stored or not settled.';
comment on column losant_usage.adjustment_days.waiver_id is 'Waiver in force; see waivers. Null if there is none.';
comment on column losant_usage.adjustment_days.waiver_reason is 'Reason of the waiver; null if there is none.';
