-- Instances, the leases under which they are exported, organizations with their history, and the runs.

create table losant_usage.instances (
  instance_id text collate "C" primary key check (instance_id ~ '^[0-9a-f]{24}$'),
  name text,
  api_url text not null,
  tracked_from date not null,
  streams_from jsonb not null default '{}',
  policy jsonb,
  billing_periods text not null default 'calendar' check (billing_periods in ('calendar', 'losant')),
  control_totals text not null default 'block' check (control_totals in ('block', 'show')),
  listed_at timestamptz,
  listed_org_ids text[] collate "C",
  list_problem text,
  settled_by uuid
);
comment on table losant_usage.instances is 'Losant instances this database collects for, one row each. Written by losant-usage.';
comment on column losant_usage.instances.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.instances.name is 'Name of the instance as last seen; null if Losant did not say.';
comment on column losant_usage.instances.api_url is 'Base URL of the Losant API the numbers came from; a run with another URL is refused.';
comment on column losant_usage.instances.tracked_from is 'First usage date (UTC) collected for the instance: the day before its first run.';
comment on column losant_usage.instances.streams_from is 'Stream name to the first usage date (UTC, YYYY-MM-DD) it is collected from.';
comment on column losant_usage.instances.policy is 'The settings by which next_read_at of its cells was last computed: readAtHours, finalAtHours, horizonDays.';
comment on column losant_usage.instances.billing_periods is 'What its billing periods are: calendar months, or each organization''s own as seen in Losant. The setting BILLING_PERIODS.';
comment on column losant_usage.instances.control_totals is 'Whether a control total that differs blocks a period (block) or is only shown (show). The setting CONTROL_TOTALS.';
comment on column losant_usage.instances.listed_at is 'When the organizations were last listed completely (UTC).';
comment on column losant_usage.instances.listed_org_ids is 'The organizations that were looked up one by one at listed_at, as LOSANT_ORG_IDS named them; null if all were listed.';
comment on column losant_usage.instances.settled_by is 'Run that wrote something and then found everything complete, as its last transaction: a worker rests on what it remembers only while it finds the same run here.';
comment on column losant_usage.instances.list_problem is 'Why the newest organization list was not complete, so that organizations may be missing; null if it was.';

create table losant_usage.leases (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  shard_count integer not null check (shard_count >= 1),
  shard_index integer not null check (shard_index >= 0 and shard_index < shard_count),
  run_id uuid not null,
  host text not null,
  since timestamptz not null,
  until timestamptz not null,
  epoch bigint not null generated always as identity,
  primary key (instance_id, shard_count, shard_index)
);
comment on table losant_usage.leases is 'Who exports what now, one row per instance, or per shard of its organizations: no two have an organization in common. A whole instance is shard 0 of 1. Written by losant-usage.';
comment on column losant_usage.leases.instance_id is 'Losant instance id.';
comment on column losant_usage.leases.shard_count is 'Into how many shards the organizations are divided, by a hash of their ids.';
comment on column losant_usage.leases.shard_index is 'Which of them it is, from 0.';
comment on column losant_usage.leases.run_id is 'Run that holds the lease.';
comment on column losant_usage.leases.host is 'Host of the process that holds the lease.';
comment on column losant_usage.leases.since is 'When the lease was taken (UTC, database clock).';
comment on column losant_usage.leases.until is 'When the lease lapses unless it is renewed (UTC, database clock).';
comment on column losant_usage.leases.epoch is 'Tells the lease from every other one, earlier or later; a load that names another is refused.';

create table losant_usage.organizations (
  org_id text collate "C" primary key check (org_id ~ '^[0-9a-f]{24}$'),
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  name text not null,
  tags jsonb not null default '[]',
  referral_id text,
  plan_id text,
  customer_id text,
  limits jsonb not null default '{}',
  is_read_only boolean not null default false,
  disabled_at timestamptz,
  current_period_start timestamptz,
  current_period_end timestamptz,
  created_at timestamptz,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  removed_at timestamptz,
  problem text,
  created_on date,
  removed_on date generated always as ((removed_at at time zone 'UTC')::date) stored
);
create index organizations_instance on losant_usage.organizations (instance_id, org_id);
create index organizations_problem on losant_usage.organizations (instance_id) where problem is not null;
create index organizations_removed on losant_usage.organizations (instance_id) where removed_at is not null;
comment on table losant_usage.organizations is 'Organizations of the instances as last seen in Losant, one row each. Source: the organization list. Deleted organizations stay, with removed_at.';
comment on column losant_usage.organizations.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.organizations.instance_id is 'Instance the organization belongs to.';
comment on column losant_usage.organizations.name is 'Name as last seen.';
comment on column losant_usage.organizations.tags is 'Tags as last seen: array of {key, value}; keys may repeat. One row per tag: organization_tags.';
comment on column losant_usage.organizations.referral_id is 'Free text set in Losant, the natural place for your own customer number.';
comment on column losant_usage.organizations.plan_id is 'Billing plan id in Losant.';
comment on column losant_usage.organizations.customer_id is 'Customer id in Losant''s billing.';
comment on column losant_usage.organizations.limits is 'Resource limits as last seen: map of limit name to integer (e.g. payload, device, notebookMinutesPerMonth).';
comment on column losant_usage.organizations.is_read_only is 'Whether the organization was read-only when last seen.';
comment on column losant_usage.organizations.disabled_at is 'Since when it is disabled (UTC); null if it is not. Disabled organizations are still collected.';
comment on column losant_usage.organizations.current_period_start is 'Start of its current billing period (UTC, inclusive).';
comment on column losant_usage.organizations.current_period_end is 'End of its current billing period (UTC, exclusive).';
comment on column losant_usage.organizations.created_at is 'When it was created, as last seen in Losant (UTC); null if Losant does not say.';
comment on column losant_usage.organizations.first_seen_at is 'When this program first saw it (UTC).';
comment on column losant_usage.organizations.last_seen_at is 'When this program last saw it (UTC).';
comment on column losant_usage.organizations.removed_at is 'When it was found to be deleted in Losant (UTC); null while it exists.';
comment on column losant_usage.organizations.problem is 'Why its attributes could not be read when it was last listed; null if they could. Its usage is collected all the same.';
comment on column losant_usage.organizations.created_on is 'First usage date (UTC) on which it counts as existing: that of created_at, or an earlier one from which on days were tracked before created_at was known or moved later; null if unknown, or if created_at is later than the day it was first seen and so cannot be right.';
comment on column losant_usage.organizations.removed_on is 'Last usage date (UTC) on which it existed; null while it exists.';

create table losant_usage.organization_history (
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  valid_from timestamptz not null,
  valid_to timestamptz check (valid_to >= valid_from),
  instance_id text collate "C" not null,
  name text not null,
  tags jsonb not null,
  referral_id text,
  plan_id text,
  customer_id text,
  limits jsonb not null,
  is_read_only boolean not null,
  disabled_at timestamptz,
  current_period_start timestamptz,
  current_period_end timestamptz,
  created_at timestamptz,
  primary key (org_id, valid_from)
);
create unique index organization_history_open on losant_usage.organization_history (org_id) where valid_to is null;
comment on table losant_usage.organization_history is 'The attributes of every organization over time, one row per version; one version of each is open. Times are when a change was observed, not when it was made.';
comment on column losant_usage.organization_history.org_id is 'Losant organization id.';
comment on column losant_usage.organization_history.valid_from is 'When this version was first observed (UTC).';
comment on column losant_usage.organization_history.valid_to is 'When another version was observed (UTC, exclusive); null for the current one.';
comment on column losant_usage.organization_history.instance_id is 'Instance the organization belongs to.';
comment on column losant_usage.organization_history.name is 'Name in this version.';
comment on column losant_usage.organization_history.tags is 'Tags in this version: array of {key, value}.';
comment on column losant_usage.organization_history.referral_id is 'Referral id in this version.';
comment on column losant_usage.organization_history.plan_id is 'Billing plan id in this version.';
comment on column losant_usage.organization_history.customer_id is 'Customer id in this version.';
comment on column losant_usage.organization_history.limits is 'Resource limits in this version: map of limit name to integer.';
comment on column losant_usage.organization_history.is_read_only is 'Whether it was read-only in this version.';
comment on column losant_usage.organization_history.disabled_at is 'Since when it was disabled in this version (UTC); null if it was not.';
comment on column losant_usage.organization_history.current_period_start is 'Start of the billing period in this version (UTC, inclusive).';
comment on column losant_usage.organization_history.current_period_end is 'End of the billing period in this version (UTC, exclusive).';
comment on column losant_usage.organization_history.created_at is 'When Losant said in this version that it was created (UTC): a date that moved is on record.';

create view losant_usage.organization_tags as
select o.org_id, tag.key, tag.value,
  row_number() over (partition by o.org_id, tag.key order by tag.place)::integer as nth
from losant_usage.organizations o
cross join lateral (
  select t.item ->> 'key' as key, t.item ->> 'value' as value, t.place
  from jsonb_array_elements(o.tags) with ordinality as t (item, place)
) as tag;
comment on view losant_usage.organization_tags is 'Tags of organizations as last seen, one row per tag. A key may repeat: with nth = 1 an organization never counts twice for a key. Source: organizations.tags.';
comment on column losant_usage.organization_tags.org_id is 'Losant organization id.';
comment on column losant_usage.organization_tags.key is 'Key of the tag.';
comment on column losant_usage.organization_tags.value is 'Value of the tag.';
comment on column losant_usage.organization_tags.nth is '1 for the first tag of this key, 2 for the second, ….';

create table losant_usage.runs (
  run_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  kind text not null check (kind in ('scheduled', 'manual', 'backfill')),
  is_full boolean not null default false,
  status text not null check (status in ('running', 'complete', 'partial', 'failed', 'interrupted')),
  from_date date,
  to_date date,
  streams text[] not null,
  started_at timestamptz not null,
  heartbeat_at timestamptz not null,
  finished_at timestamptz,
  host text not null,
  version text not null,
  orgs integer not null default 0,
  cells_planned bigint not null default 0,
  cells_loaded bigint not null default 0,
  cells_unchanged bigint not null default 0,
  cells_left_out bigint not null default 0,
  cells_failed bigint not null default 0,
  cells_quarantined bigint not null default 0,
  cells_unavailable bigint not null default 0,
  cells_restated bigint not null default 0,
  cells_restated_final bigint not null default 0,
  rows_inserted bigint not null default 0,
  rows_updated bigint not null default 0,
  rows_deleted bigint not null default 0,
  rows_unchanged bigint not null default 0,
  requests bigint not null default 0,
  failures jsonb not null default '[]',
  error text
);
create index runs_instance_started on losant_usage.runs (instance_id, started_at desc);
create index runs_started on losant_usage.runs (started_at desc);
create index runs_running on losant_usage.runs (instance_id) where status = 'running';
comment on table losant_usage.runs is 'Every export that had something to do, one row each. A wake-up with nothing due leaves none.';
comment on column losant_usage.runs.run_id is 'Id of the run; coverage and revisions name it.';
comment on column losant_usage.runs.instance_id is 'Instance exported.';
comment on column losant_usage.runs.kind is 'scheduled (the worker), manual (the run command) or backfill.';
comment on column losant_usage.runs.is_full is 'Whether it was to read all that was due of the instance, and not a part chosen on the command line.';
comment on column losant_usage.runs.status is 'running, complete (it did all that it had to; the ledger may still have older gaps), partial (something due is missing), failed (it could not go on) or interrupted.';
comment on column losant_usage.runs.from_date is 'Earliest usage date read (UTC).';
comment on column losant_usage.runs.to_date is 'Latest usage date read (UTC).';
comment on column losant_usage.runs.streams is 'Streams in scope.';
comment on column losant_usage.runs.started_at is 'When it began (UTC).';
comment on column losant_usage.runs.heartbeat_at is 'When it was last known to be alive (UTC, database clock).';
comment on column losant_usage.runs.finished_at is 'When it ended (UTC); null while it runs.';
comment on column losant_usage.runs.host is 'Host it ran on.';
comment on column losant_usage.runs.version is 'Version of losant-usage.';
comment on column losant_usage.runs.orgs is 'Organizations with something to read.';
comment on column losant_usage.runs.cells_planned is 'Cells it set out to read; the other cell counts add up to it.';
comment on column losant_usage.runs.cells_loaded is 'Cells whose numbers are new or changed.';
comment on column losant_usage.runs.cells_unchanged is 'Cells read again with equal numbers.';
comment on column losant_usage.runs.cells_left_out is 'Cells that Losant left out of its answer and that have no number yet.';
comment on column losant_usage.runs.cells_failed is 'Cells without an answer, or whose answer left out a number that is stored.';
comment on column losant_usage.runs.cells_quarantined is 'Cells whose answer was invalid.';
comment on column losant_usage.runs.cells_unavailable is 'Cells found to be no longer available.';
comment on column losant_usage.runs.cells_restated is 'Cells among the loaded whose numbers were stored before and changed.';
comment on column losant_usage.runs.cells_restated_final is 'Cells among the restated that were final before.';
comment on column losant_usage.runs.rows_inserted is 'Rows of numbers inserted.';
comment on column losant_usage.runs.rows_updated is 'Rows of numbers updated.';
comment on column losant_usage.runs.rows_deleted is 'Rows of numbers deleted.';
comment on column losant_usage.runs.rows_unchanged is 'Rows of numbers compared and found equal.';
comment on column losant_usage.runs.requests is 'HTTP requests sent, retries included; kept up to date while it runs.';
comment on column losant_usage.runs.failures is 'What failed, grouped by cause: array of {code, message, stream, cells, orgs, example}.';
comment on column losant_usage.runs.error is 'Why it failed or was interrupted; null otherwise.';

create trigger truncated before truncate on losant_usage.instances for each statement
  execute function losant_usage.refuse('instances stay, with all that was collected for them');
create trigger truncated before truncate on losant_usage.leases for each statement
  execute function losant_usage.refuse('a lease lapses by itself, a minute after its process was last alive');
create trigger truncated before truncate on losant_usage.organizations for each statement
  execute function losant_usage.refuse('deleted organizations stay, with removed_at');
create trigger truncated before truncate on losant_usage.organization_history for each statement
  execute function losant_usage.refuse('the history of organizations stays on record');
create trigger truncated before truncate on losant_usage.runs for each statement
  execute function losant_usage.refuse('runs stay on record');
