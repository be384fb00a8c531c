-- What is closed, for systems that bill or report it: nothing here changes once its statement stands.

-- The time of an event depends on its statement alone, so that an event that is sent again is the same. Inside its period
-- it is in the last hour, where a later statement's comes after an earlier one's. Stripe takes 35 calendar days: an event
-- is carried after 27, so that a week is left for sending it. A correction of a flow is always carried, because the
-- invoice of its period is out; that of a level is not while it can be avoided, because it would speak of another period.
create view losant_usage.meter_events as
select e.line || s.number as event_id, s.instance_id, s.period_month, s.number, s.statement_id, s.closed_at,
  l.org_id, l.org_name, nullif(l.customer_id, '') as customer_id, l.referral_id, l.plan_id, l.period_start, l.period_end,
  l.metric, l.unit, l.kind, case l.kind when 'level' then l.total else l.quantity end as value, l.total_max as value_max,
  l.quantity as difference, e.line || r.number as replaces_event_id, r.total as replaces_value, e.is_carried, t.occurred_at,
  t.occurred_at + interval '840 hours' as send_by
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
cross join lateral (
  select concat(l.org_id, ':', l.metric, ':', to_char(l.period_start::timestamp, 'YYYY-MM-DD'), ':',
      to_char(s.period_month::timestamp, 'YYYY-MM'), ':') as line,
    s.closed_at >= (l.period_end + 28)::timestamp at time zone 'UTC' or (s.kind = 'adjustment' and l.kind = 'flow') as is_carried
) as e
cross join lateral (
  select case when e.is_carried then date_trunc('second', s.closed_at)
    else (l.period_end + 1)::timestamp at time zone 'UTC' - interval '1 hour' + least(s.number, 3599) * interval '1 second'
    end as occurred_at
) as t
left join lateral (
  select f.number, b.total from losant_usage.statement_lines b
  join losant_usage.statements f on f.statement_id = b.statement_id
  where s.kind = 'adjustment' and l.kind = 'level' and b.org_id = l.org_id and b.period_start = l.period_start
    and b.period_end = l.period_end and b.metric = l.metric and b.total is not null
    and f.instance_id = s.instance_id and f.period_month = s.period_month and f.number < s.number
  order by f.number desc limit 1
) as r on true
where l.quantity <> 0 or (l.kind = 'level' and l.total is not null);
comment on view losant_usage.meter_events is 'What a billing system is to be told, one row per line of a statement that has something to bill. Rows appear with their statement, all at once, and never change. Sent by a program of your own, see docs/billing.md. Source: statements, statement_lines.';
comment on column losant_usage.meter_events.event_id is 'Id of the event, at most 100 characters: organization, metric, first day of the period, closed month and number of the statement. The same whenever it is asked for.';
comment on column losant_usage.meter_events.instance_id is 'Losant instance id.';
comment on column losant_usage.meter_events.period_month is 'First day of the closed month (UTC), see statements.';
comment on column losant_usage.meter_events.number is 'Number of the statement, without a gap, see statements. What a sender remembers.';
comment on column losant_usage.meter_events.statement_id is 'Statement.';
comment on column losant_usage.meter_events.closed_at is 'When the statement was made (UTC).';
comment on column losant_usage.meter_events.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.meter_events.org_name is 'Name of the organization when the statement was made.';
comment on column losant_usage.meter_events.customer_id is 'Customer id of the organization when the statement was made: the customer of the billing system; null if it had none.';
comment on column losant_usage.meter_events.referral_id is 'Referral id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.meter_events.plan_id is 'Billing plan id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.meter_events.period_start is 'First usage date of the period that the event bills (UTC), also where it is carried into another.';
comment on column losant_usage.meter_events.period_end is 'Last usage date of that period (UTC, inclusive).';
comment on column losant_usage.meter_events.metric is 'Metric, see metrics.';
comment on column losant_usage.meter_events.unit is 'Unit of the values.';
comment on column losant_usage.meter_events.kind is 'flow: for a meter that sums. level: value for one that takes the last, value_max for one that takes the greatest, difference for one that sums.';
comment on column losant_usage.meter_events.value is 'Of a flow what the statement adds, which may be negative in an adjustment; of a level the level itself, the last of the period; null if none is stored any more.';
comment on column losant_usage.meter_events.value_max is 'Of a level the greatest of the period; null for flows.';
comment on column losant_usage.meter_events.difference is 'What the statement adds to those before it; the sum over the statements of a period is what it comes to, also of a level.';
comment on column losant_usage.meter_events.replaces_event_id is 'Of an adjusted level the event that this one replaces; null where it is the first, and for flows, which add up.';
comment on column losant_usage.meter_events.replaces_value is 'The value of that event; null if none is replaced.';
comment on column losant_usage.meter_events.is_carried is 'Whether the event is dated outside its period, into the one that was open when the statement was made: it corrects a flow, or the statement was made more than 27 days after the period.';
comment on column losant_usage.meter_events.occurred_at is 'Time of the event in whole seconds (UTC): in the last hour of the period, or, where is_carried, when the statement was made.';
comment on column losant_usage.meter_events.send_by is 'Until when the time of the event is accepted by Stripe (UTC): 35 days after it, at least a week after the statement.';

-- By the names of FOCUS, the FinOps open cost and usage specification (https://focus.finops.org): every mandatory column of
-- its versions 1.0 to 1.3, and what it has no name for begins with x_. There is no price, and so no cost. A correction is
-- billed in the period that is open when it is made; its charge period stays the one in which the usage was.
create view losant_usage.focus_usage as
select null::numeric as "BilledCost", s.instance_id as "BillingAccountId", i.name as "BillingAccountName",
  null::text as "BillingCurrency", (b.last_day + 1)::timestamp at time zone 'UTC' as "BillingPeriodEnd",
  b.first_day::timestamp at time zone 'UTC' as "BillingPeriodStart", 'Usage'::text as "ChargeCategory",
  case s.kind when 'adjustment' then 'Correction' end as "ChargeClass", m.description as "ChargeDescription",
  'Usage-Based'::text as "ChargeFrequency", (l.period_end + 1)::timestamp at time zone 'UTC' as "ChargePeriodEnd",
  l.period_start::timestamp at time zone 'UTC' as "ChargePeriodStart", l.quantity::numeric as "ConsumedQuantity",
  l.unit as "ConsumedUnit", null::numeric as "ContractedCost", null::numeric as "EffectiveCost",
  'Losant'::text as "HostProviderName", 'Losant'::text as "InvoiceIssuerName", null::numeric as "ListCost",
  null::numeric as "PricingQuantity", null::text as "PricingUnit", 'Losant'::text as "ProviderName",
  'Losant'::text as "PublisherName", l.org_id as "ResourceId", l.org_name as "ResourceName",
  'Organization'::text as "ResourceType", 'Internet of Things'::text as "ServiceCategory", 'Losant'::text as "ServiceName",
  'Losant'::text as "ServiceProviderName", l.metric as "SkuMeter", l.org_id as "SubAccountId",
  l.org_name as "SubAccountName", nullif(l.customer_id, '') as "x_CustomerId", l.kind as "x_Kind",
  l.period_end as "x_PeriodEnd", l.period_start as "x_PeriodStart", l.plan_id as "x_PlanId",
  l.referral_id as "x_ReferralId", s.closed_at as "x_StatementClosedAt", s.statement_id::text as "x_StatementId",
  s.number as "x_StatementNumber", m.stream as "x_Stream"
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
join losant_usage.instances i on i.instance_id = s.instance_id
join losant_usage.metrics m on m.metric = l.metric
cross join lateral (select (s.closed_at at time zone 'UTC')::date as day) as c
left join lateral (
  select l.period_start as first_day, l.period_end as last_day where s.kind = 'closing'
  union all
  select d.month, d.next_month - 1 from losant_usage.months d
  where s.kind = 'adjustment' and s.source = 'calendar' and d.month = date_trunc('month', c.day::timestamp)::date
  union all
  select p.period_start, p.period_end from losant_usage.losant_periods p
  where s.kind = 'adjustment' and s.source = 'losant' and p.org_id = l.org_id and c.day between p.period_start and p.period_end
) as b on true
where l.quantity is not null;
comment on view losant_usage.focus_usage is 'Closed usage by the column names of FOCUS 1.x, one row per line of a statement; no prices. The sum over the statements of a period is what it comes to. Source: statements, statement_lines.';
comment on column losant_usage.focus_usage."BilledCost" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."BillingAccountId" is 'Losant instance id.';
comment on column losant_usage.focus_usage."BillingAccountName" is 'Name of the instance as last seen; null if Losant did not say.';
comment on column losant_usage.focus_usage."BillingCurrency" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."BillingPeriodEnd" is 'End of the period in which the row is billed (UTC, exclusive): of a correction the one that was open when it was made; null if that is not known.';
comment on column losant_usage.focus_usage."BillingPeriodStart" is 'Start of the period in which the row is billed (UTC, inclusive): of a correction the one that was open when it was made; null if that is not known.';
comment on column losant_usage.focus_usage."ChargeCategory" is 'Usage.';
comment on column losant_usage.focus_usage."ChargeClass" is 'Correction: what an adjustment adds to a closed period. Null: what the closing says.';
comment on column losant_usage.focus_usage."ChargeDescription" is 'What the metric counts.';
comment on column losant_usage.focus_usage."ChargeFrequency" is 'Usage-Based.';
comment on column losant_usage.focus_usage."ChargePeriodEnd" is 'End of the period in which the usage was (UTC, exclusive).';
comment on column losant_usage.focus_usage."ChargePeriodStart" is 'Start of the period in which the usage was (UTC, inclusive).';
comment on column losant_usage.focus_usage."ConsumedQuantity" is 'What the statement bills, in ConsumedUnit; of a correction the difference from the statements before it.';
comment on column losant_usage.focus_usage."ConsumedUnit" is 'Unit of the quantity.';
comment on column losant_usage.focus_usage."ContractedCost" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."EffectiveCost" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."HostProviderName" is 'Losant.';
comment on column losant_usage.focus_usage."InvoiceIssuerName" is 'Losant.';
comment on column losant_usage.focus_usage."ListCost" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."PricingQuantity" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."PricingUnit" is 'Null: nothing is priced here.';
comment on column losant_usage.focus_usage."ProviderName" is 'Losant. Superseded by ServiceProviderName in FOCUS 1.3.';
comment on column losant_usage.focus_usage."PublisherName" is 'Losant. Superseded by ServiceProviderName and HostProviderName in FOCUS 1.3.';
comment on column losant_usage.focus_usage."ResourceId" is 'Losant organization id.';
comment on column losant_usage.focus_usage."ResourceName" is 'Name of the organization when the statement was made.';
comment on column losant_usage.focus_usage."ResourceType" is 'Organization.';
comment on column losant_usage.focus_usage."ServiceCategory" is 'Internet of Things.';
comment on column losant_usage.focus_usage."ServiceName" is 'Losant.';
comment on column losant_usage.focus_usage."ServiceProviderName" is 'Losant.';
comment on column losant_usage.focus_usage."SkuMeter" is 'Metric, see metrics.';
comment on column losant_usage.focus_usage."SubAccountId" is 'Losant organization id.';
comment on column losant_usage.focus_usage."SubAccountName" is 'Name of the organization when the statement was made.';
comment on column losant_usage.focus_usage."x_CustomerId" is 'Customer id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.focus_usage."x_Kind" is 'flow: summed over the days of the period. level: the last of the period; never sum it over periods.';
comment on column losant_usage.focus_usage."x_PeriodEnd" is 'Last usage date of the charge period (UTC, inclusive).';
comment on column losant_usage.focus_usage."x_PeriodStart" is 'First usage date of the charge period (UTC).';
comment on column losant_usage.focus_usage."x_PlanId" is 'Billing plan id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.focus_usage."x_ReferralId" is 'Referral id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.focus_usage."x_StatementClosedAt" is 'When the statement was made (UTC).';
comment on column losant_usage.focus_usage."x_StatementId" is 'Statement.';
comment on column losant_usage.focus_usage."x_StatementNumber" is 'Number of the statement, see statements.';
comment on column losant_usage.focus_usage."x_Stream" is 'Stream the metric belongs to.';
