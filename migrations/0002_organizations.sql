-- Instances, the leases under which they are loaded, organizations with their history, and the runs.

create table losant_usage.instances (
  instance_id text collate "C" primary key check (instance_id ~ '^[0-9a-f]{24}$'),
  name text,
  api_url text,
  policy jsonb not null default '{}',
  control_totals text not null default 'block' check (control_totals in ('block', 'show')),
  new_orgs_from date,
  collected_from date,
  listed_at timestamptz,
  list_problem text,
  totals_problem text,
  unreadable_totals text[] collate "C",
  org_transferred_on date,
  horizon_day date,
  first_attempt_at timestamptz not null default clock_timestamp(),
  last_attempt_at timestamptz not null default clock_timestamp(),
  last_error text,
  attention_at timestamptz,
  retired_at timestamptz
);

create table losant_usage.leases (
  instance_id text collate "C" primary key references losant_usage.instances,
  run_id uuid not null,
  host text not null,
  acquired_at timestamptz not null,
  expires_at timestamptz not null,
  -- Unique, so that it is a key to Postgres: a lock FOR KEY SHARE holds off takeovers, and lets renewals pass.
  epoch bigint not null generated always as identity unique
);

create table losant_usage.organizations (
  org_id text collate "C" primary key check (org_id ~ '^[0-9a-f]{24}$'),
  instance_id text collate "C" not null references losant_usage.instances,
  name text not null,
  referral_id text,
  plan_id text,
  customer_id text,
  tags jsonb not null default '[]',
  limits jsonb not null default '{}',
  current_period_start timestamptz,
  current_period_end timestamptz,
  created_on date,
  deleted_on date,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  unlisted_on date,
  unlisted_days smallint not null default 0,
  problem text
);
create index organizations_instance on losant_usage.organizations (instance_id, org_id);

create table losant_usage.organization_history (
  org_id text collate "C" not null references losant_usage.organizations,
  valid_from timestamptz not null,
  valid_to timestamptz check (valid_to >= valid_from),
  instance_id text collate "C" not null,
  name text not null,
  referral_id text,
  plan_id text,
  customer_id text,
  tags jsonb not null,
  limits jsonb not null,
  current_period_start timestamptz,
  current_period_end timestamptz,
  created_on date,
  primary key (org_id, valid_from)
);
create unique index organization_history_current on losant_usage.organization_history (org_id) where valid_to is null;

create view losant_usage.organization_tags as
select o.org_id, tag.item ->> 'key' as key, tag.item ->> 'value' as value,
  row_number() over (partition by o.org_id, tag.item ->> 'key' order by tag.position)::integer as nth
from losant_usage.organizations o
cross join lateral jsonb_array_elements(o.tags) with ordinality as tag (item, position);

create table losant_usage.runs (
  run_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances,
  kind text not null check (kind in ('scheduled', 'manual', 'backfill')),
  is_full boolean not null,
  status text not null check (status in ('running', 'complete', 'partial', 'failed', 'interrupted')),
  first_day date,
  last_day date,
  counts jsonb not null default '{}',
  failures jsonb not null default '[]',
  error text,
  started_at timestamptz not null,
  finished_at timestamptz,
  host text not null,
  version text not null
);
create index runs_instance on losant_usage.runs (instance_id, started_at desc);
create index runs_finished on losant_usage.runs (instance_id, finished_at desc);
create index runs_started on losant_usage.runs (started_at desc);

create trigger reject_manual_write before insert or update or delete or truncate on losant_usage.instances
  execute function losant_usage_internal.reject_write(
    'change the settings instead; losant-usage retire --instance ID retires an instance');
create trigger reject_rewrite before truncate on losant_usage.leases
  execute function losant_usage_internal.reject_write(
    'a lease expires by itself, a minute after its process last renewed it');
create trigger reject_manual_write before insert or update or delete or truncate on losant_usage.organizations
  execute function losant_usage_internal.reject_write(
    'organizations mirror Losant: losant-usage run reads the list, losant-usage org set changes one');
create trigger reject_manual_write before insert or update or delete or truncate on losant_usage.organization_history
  execute function losant_usage_internal.reject_write('the history of organizations is append-only: '
    'losant-usage run adds to it, losant-usage org set changes an organization');
create trigger reject_rewrite before truncate on losant_usage.runs
  execute function losant_usage_internal.reject_write('the record of runs is append-only');

comment on table losant_usage.instances is 'The Losant instances that this database tracks, one row each from the first attempt to read one. Written by losant-usage.';
comment on column losant_usage.instances.attention_at is 'When attention_items were last refreshed (UTC, database clock); null if never.';
comment on column losant_usage.instances.collected_from is 'First usage day that is collected (UTC): the day before the first run, or the first day of a backfill of everything; null before the first run.';
comment on column losant_usage.instances.control_totals is 'Setting CONTROL_TOTALS: block, if a difference from a control total or counterpart blocks the month, or show.';
comment on column losant_usage.instances.horizon_day is 'Oldest day that could still be read when cells before it were last marked unavailable (UTC); null before the first run.';
comment on column losant_usage.instances.new_orgs_from is 'First usage day of a newly listed organization (UTC): the day before the first run over all organizations; null while LOSANT_ORG_IDS selects some.';
comment on column losant_usage.instances.org_transferred_on is 'Last usage day whose control totals are not comparable, because an organization was transferred from or to another instance (UTC); null if none was.';
comment on column losant_usage.instances.retired_at is 'When the instance was retired (UTC); null while it is read, and again once a run tries to read it.';
comment on column losant_usage.instances.policy is 'Settings from which next_read_at was last computed: readAtHours, finalAfterHours, horizonDays; and the least finalAfterHours so far.';
comment on table losant_usage.leases is 'Which process runs for which instance, one row per instance. Written by losant-usage.';
comment on column losant_usage.leases.acquired_at is 'When the lease was acquired (UTC, database clock).';
comment on column losant_usage.leases.epoch is 'Fencing number; a write under an earlier epoch is rejected.';
comment on column losant_usage.leases.expires_at is 'When the lease expires unless renewed (UTC, database clock).';
comment on table losant_usage.organizations is 'Organizations as last seen in Losant, one row each. Deleted ones stay, with deleted_on.';
comment on column losant_usage.organizations.created_on is 'First day on which the organization existed (UTC): the creation date in Losant, or an earlier day with a stored number; null if unknown.';
comment on column losant_usage.organizations.deleted_on is 'First day on which the organization no longer existed (UTC): the day on which its deletion was noticed; null while it exists.';
comment on column losant_usage.organizations.first_seen_at is 'When losant-usage first saw it (UTC).';
comment on column losant_usage.organizations.last_seen_at is 'When losant-usage last saw it (UTC).';
comment on column losant_usage.organizations.unlisted_days is 'Days on which complete lists have lacked it since it was last listed, until it counted as deleted (count).';
comment on column losant_usage.organizations.unlisted_on is 'Last day on which a complete list lacked it, until it counted as deleted (UTC); null while it is listed.';
comment on table losant_usage.organization_history is 'The attributes of organizations over time, one row per version. Times say when a change was seen, not when it was made; the first version begins when losant-usage first saw the organization, after the days that it loaded for it.';
comment on column losant_usage.organization_history.valid_from is 'When this version was first seen (UTC).';
comment on column losant_usage.organization_history.valid_to is 'When the next version was seen (UTC, exclusive); null for the current version.';
comment on view losant_usage.organization_tags is 'Tags of organizations as last seen, one row per tag. Keys may repeat; filter on nth = 1 to count an organization once per key. Key: org_id, key, nth. Source: organizations.';
comment on column losant_usage.organization_tags.key is 'Tag key.';
comment on column losant_usage.organization_tags.nth is '1 for the first tag with this key, 2 for the second, and so on.';
comment on column losant_usage.organization_tags.value is 'Tag value.';
comment on table losant_usage.runs is 'Runs that had something to do, or could not begin, one row each.';
comment on column losant_usage.runs.counts is 'What the run did, or has done so far: orgs, cells by result, rows, requests.';
comment on column losant_usage.runs.error is 'Why the run failed or was interrupted; null otherwise.';
comment on column losant_usage.runs.failures is 'Failures by cause: array of {code, message, stream, cells, orgs, example}.';
comment on column losant_usage.runs.finished_at is 'When the run finished (UTC); null while it is running.';
comment on column losant_usage.runs.is_full is 'Whether the run covered everything due of its instance, rather than a selection from the command line.';
comment on column losant_usage.runs.started_at is 'When the run started (UTC).';
comment on column losant_usage.runs.status is 'running, complete, partial (something due is missing), failed (stopped by an error) or interrupted.';
comment on column losant_usage.runs.version is 'Version of losant-usage.';
