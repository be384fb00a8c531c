-- What whoever bills reads of statements: the lines of a draft, the statements of each customer, and the days that
-- explain an adjustment.

-- What `close` would bill now, or `close --adjust` in a closed month. A condition on the instance or the month reaches
-- the tables.
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
where losant_usage_internal.month_end(m.month) < losant_usage_internal.today();

-- An organization without a customer stands for itself. Earlier statements of the month count in whichever instance
-- they were made, as in the lines.
create view losant_usage.customer_statements as
select s.instance_id, c.month, s.number, s.kind as statement_kind, c.statement_id, s.closed_at, s.closed_by,
  encode(s.manifest_sha256, 'hex') as manifest_sha256, c.customer_id, c.org_id, c.org_name, c.referral_id, c.plan_id,
  c.orgs, c.metric, c.unit, c.kind, (sum(c.quantity) over earlier)::bigint as billed_before, c.quantity,
  (sum(c.quantity) over upto)::bigint as total
from (
  select l.statement_id, l.month, i.customer_id, i.org_id, l.metric, l.unit, l.kind,
    string_agg(distinct l.org_name, ', ' order by l.org_name) as org_name,
    string_agg(distinct l.referral_id, ', ' order by l.referral_id) as referral_id,
    string_agg(distinct l.plan_id, ', ' order by l.plan_id) as plan_id,
    count(*)::integer as orgs, sum(l.quantity)::bigint as quantity
  from losant_usage.statement_lines l
  cross join lateral (
    select nullif(l.customer_id, '') as customer_id,
      case when nullif(l.customer_id, '') is null then l.org_id end as org_id
  ) as i
  group by l.statement_id, l.month, i.customer_id, i.org_id, l.metric, l.unit, l.kind
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
-- are not now, or were changed or first loaded since the first statement of the month.
create view losant_usage_internal.cells_to_explain as
with closed_months as (
  select s.month, min(s.closed_at) as closed_at from losant_usage.statements s group by s.month
)
select s.month, w.org_id, w.stream, w.usage_date
from losant_usage_internal.unbilled_cells w join losant_usage.statements s on s.statement_id = w.statement_id
union
select m.month, c.org_id, c.stream, c.usage_date
from closed_months m join losant_usage_internal.non_final_cells c on c.month = m.month
where c.standing not in ('final', 'waived')
union
select m.month, r.org_id, r.stream, r.usage_date
from closed_months m
join losant_usage.revisions r on r.usage_date between m.month and losant_usage_internal.month_end(m.month)
  and r.changed_at > m.closed_at
union
select m.month, c.org_id, c.stream, c.usage_date
from closed_months m
join losant_usage.coverage c on c.month = m.month and c.first_loaded_at > m.closed_at
  and c.first_loaded_at >= (c.month + interval '1 month') at time zone 'UTC';

-- A row for each day whose number differs between two statements that follow each other, of which the second bills the
-- difference, or between the newest statement and now (number is null). An organization that had no line before was
-- billed nothing.
create view losant_usage.adjustment_days as
select p.instance_id, c.month, p.number, p.statement_id, c.org_id, p.org_name, p.customer_id, t.metric, t.unit, t.kind,
  c.usage_date, q.billed_quantity, q.quantity,
  case when q.is_settled then coalesce(q.quantity, 0) - coalesce(q.billed_quantity, 0) end as difference,
  case when not q.is_settled then 'not_settled' when q.is_new then 'first_loaded'
    when r.revision is not null then 'restated' when w.id is not null then 'waived' else 'settled' end as cause,
  r.revision, coalesce(r.run_id, k.run_id) as run_id,
  coalesce(r.changed_at, w.waived_at, case when q.is_new then k.first_loaded_at else k.last_read_at end) as changed_at,
  w.id as waiver_id, w.reason as waiver_reason
from losant_usage_internal.cells_to_explain c
join losant_usage.metrics t on t.stream = c.stream
join losant_usage.organizations o on o.org_id = c.org_id
cross join lateral (
  select b.statement_id as billed_id, b.closed_at as billed_at, b.org_name, b.customer_id,
    lead(b.statement_id) over following as statement_id, lead(b.kind) over following as statement_kind,
    coalesce(lead(b.instance_id) over following, o.instance_id) as instance_id, lead(b.number) over following as number,
    coalesce(lead(b.closed_at) over following, 'infinity') as closed_at
  from (
    select s.statement_id, s.instance_id, s.number, s.kind, s.closed_at, l.org_name, l.customer_id
    from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
    where l.month = c.month and l.org_id = c.org_id and l.metric = t.metric
    union all
    select null, null, null, null, '-infinity', o.name, o.customer_id
  ) as b
  window following as (order by b.closed_at, b.instance_id, b.number)
) as p
left join losant_usage.coverage k
  on k.org_id = c.org_id and k.usage_date = c.usage_date and k.stream = c.stream and k.first_loaded_at <= p.closed_at
left join losant_usage.usage_days d on d.org_id = c.org_id and d.usage_date = c.usage_date
left join lateral (
  select (v.old ->> t.metric)::bigint as quantity, v.id from losant_usage.revisions v
  where v.org_id = c.org_id and v.usage_date = c.usage_date and v.stream = c.stream and v.old ? t.metric
    and v.changed_at > p.billed_at
  order by v.id limit 1
) as after_billed on true
left join lateral (
  select (v.old ->> t.metric)::bigint as quantity, v.id from losant_usage.revisions v
  where v.org_id = c.org_id and v.usage_date = c.usage_date and v.stream = c.stream and v.old ? t.metric
    and v.changed_at > p.closed_at
  order by v.id limit 1
) as after_closed on true
left join lateral (
  select v.revision, v.run_id, v.changed_at from losant_usage.revisions v
  where v.org_id = c.org_id and v.usage_date = c.usage_date and v.stream = c.stream and v.old ? t.metric
    and v.changed_at > p.billed_at and v.changed_at <= p.closed_at
  order by v.id desc limit 1
) as r on true
left join lateral (
  select v.id, v.reason, v.waived_at from losant_usage.waivers v
  where v.org_id = c.org_id and v.usage_date = c.usage_date and v.stream = c.stream
    and v.waived_at <= p.closed_at and coalesce(v.lifted_at, 'infinity') >= p.closed_at
  order by v.id desc limit 1
) as w on true
cross join lateral (
  select (to_jsonb(d) ->> t.metric)::bigint as quantity,
    coalesce(p.billed_id is null or k.first_loaded_at > p.billed_at, true) as is_new,
    exists (
      select from losant_usage_internal.unbilled_cells h
      where h.statement_id = p.billed_id and h.org_id = c.org_id and h.stream = c.stream
        and h.usage_date = c.usage_date) as was_withheld,
    case when p.statement_id is null then coalesce(k.standing in ('final', 'waived'), false)
      else not exists (
        select from losant_usage_internal.unbilled_cells h
        where h.statement_id = p.statement_id and h.org_id = c.org_id and h.stream = c.stream
          and h.usage_date = c.usage_date) end as is_settled
) as n
cross join lateral (
  select n.is_settled, n.is_new,
    case when n.is_new or n.was_withheld then null when after_billed.id is null then n.quantity
      else after_billed.quantity end as billed_quantity,
    case when not n.is_settled or k.org_id is null then null when after_closed.id is null then n.quantity
      else after_closed.quantity end as quantity
) as q
where q.billed_quantity is distinct from q.quantity
  -- The first line of an organization in a closing bills the month, and no difference.
  and case when p.statement_id is not null then p.billed_id is not null or p.statement_kind = 'adjustment'
    else exists (
      select from losant_usage.statements s
      where s.instance_id = p.instance_id and s.month = c.month and s.kind = 'closing') end;

comment on view losant_usage.draft_lines is 'The lines that close, or close --adjust in a closed month, would bill now, of months that have ended. Give a month: each takes seconds. Key: instance_id, month, org_id, metric. Source: statement_draft.';
comment on view losant_usage.customer_statements is 'What each statement bills to a customer, over all its organizations; an organization without a customer stands for itself. Sum quantity over the statements of a month. Key: statement_id, customer_id, org_id, metric. Source: statement_lines.';
comment on column losant_usage.customer_statements.billed_before is 'What earlier statements of the month billed to the customer, in any instance; null if nothing.';
comment on column losant_usage.customer_statements.org_name is 'Name of the organization in the statement; of several, all names.';
comment on column losant_usage.customer_statements.orgs is 'Organizations of the customer with a line (count).';
comment on column losant_usage.customer_statements.quantity is 'What the statement bills; null if nothing.';
comment on column losant_usage.customer_statements.total is 'What was billed for the month so far: billed_before plus quantity; null if nothing was.';
comment on view losant_usage.adjustment_days is 'The days that explain an adjustment: the number of a day that was billed, the number that replaces it, and what changed it. Without a statement number, the days of the next adjustment. Key: instance_id, number, org_id, metric, usage_date. Source: statement_lines, revisions, coverage, waivers.';
comment on column losant_usage.adjustment_days.billed_quantity is 'Number of the day in the statement before; null if it was not stored or not settled.';
comment on column losant_usage.adjustment_days.changed_at is 'When the number was changed, first loaded, waived or read (UTC); null if it never was.';
comment on column losant_usage.adjustment_days.waiver_id is 'Waiver in force; see waivers. Null if there is none.';
comment on column losant_usage.adjustment_days.waiver_reason is 'Reason of the waiver; null if there is none.';
