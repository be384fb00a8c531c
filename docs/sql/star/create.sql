-- A star schema for BI tools, in a database that also has losant_usage. Run it once, as a role that may create schemas
-- and is a member of losant_usage_reader; then run load.sql as often as you like.
create schema usage_star;

-- Join both to the facts. They are read as of now.
create view usage_star.dim_organization as
select org_id, instance_id, name, referral_id, plan_id, customer_id, created_on, deleted_on
from losant_usage.organizations;

create view usage_star.dim_metric as
select metric, stream, unit, kind, description from losant_usage.metrics;

-- A fact is one organization's day. A number that is not stored is null; sum flows over days, never devices_total.
create view usage_star.current_usage as
select org_id, usage_date, standing::text as standing, is_final, is_reported, devices_created, devices_deleted,
  devices_total, notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout,
  payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count, changed_at
from losant_usage.daily_usage;

create table usage_star.fact_usage as select * from usage_star.current_usage with no data;
alter table usage_star.fact_usage add primary key (org_id, usage_date);
comment on table usage_star.fact_usage is 'Usage by organization and day. A number that is not stored is null.';
comment on column usage_star.fact_usage.devices_total is 'A level: never to be summed over days.';
create index fact_usage_changed on usage_star.fact_usage (changed_at);

-- What was billed: one line of a statement each.
create view usage_star.fact_billed as
select s.statement_id, s.month, s.kind as statement_kind, s.closed_at, l.org_id, l.metric, l.customer_id, l.plan_id,
  l.quantity
from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id;
