-- The instance, the lease under which it is loaded, organizations with their history, and the runs.

-- One row: a database belongs to one instance.
create table losant_usage.instance (
  id boolean primary key default true check (id),
  instance_id text collate "C" not null check (instance_id ~ '^[0-9a-f]{24}$'),
  name text,
  api_url text,
  policy jsonb not null default '{}',
  control_totals text not null default 'block' check (control_totals in ('block', 'show')),
  new_orgs_from date,
  listed_at timestamptz,
  list_problem text,
  totals_problem text,
  rejected_totals text[] collate "C",
  first_attempt_at timestamptz not null default clock_timestamp(),
  last_attempt_at timestamptz not null default clock_timestamp(),
  last_error text,
  digest_on date
);

create table losant_usage.lease (
  id boolean primary key default true check (id),
  run_id uuid not null,
  host text not null,
  acquired_at timestamptz not null,
  expires_at timestamptz not null,
  -- Unique, so that it is a key to Postgres: a lock FOR KEY SHARE holds off takeovers, and lets renewals pass.
  epoch bigint not null generated always as identity unique
);

create table losant_usage.organizations (
  org_id text collate "C" primary key check (org_id ~ '^[0-9a-f]{24}$'),
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

create table losant_usage.organization_history (
  org_id text collate "C" not null references losant_usage.organizations,
  valid_from timestamptz not null,
  valid_to timestamptz check (valid_to >= valid_from),
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
create index runs_started on losant_usage.runs (started_at desc);
create index runs_finished on losant_usage.runs (finished_at desc);

comment on table losant_usage.instance is 'The Losant instance that this database belongs to: one row, from the first attempt to read it. Written by losant-usage.';
comment on column losant_usage.instance.id is 'Always true: there is one row.';
comment on column losant_usage.instance.instance_id is 'Losant instance ID (24 lowercase hex digits).';
comment on column losant_usage.instance.control_totals is 'Setting CONTROL_TOTALS: block, if a difference between settled numbers blocks the month, or show.';
comment on column losant_usage.instance.digest_on is 'Day of the last digest (time zone of NOTIFY_AT); null if there was none.';
comment on column losant_usage.instance.first_attempt_at is 'When a run first tried to read the instance (UTC, database clock).';
comment on column losant_usage.instance.last_attempt_at is 'When a run last tried to read the instance (UTC, database clock).';
comment on column losant_usage.instance.last_error is 'Why the last run failed; null if it did not.';
comment on column losant_usage.instance.list_problem is 'Why the last list was incomplete: organizations may be missing. Null if it was complete.';
comment on column losant_usage.instance.listed_at is 'When the organizations were last listed completely (UTC); null if never.';
comment on column losant_usage.instance.new_orgs_from is 'First usage day of a newly listed organization (UTC): the day before the first run over all organizations; null while LOSANT_ORG_IDS selects some.';
comment on column losant_usage.instance.policy is 'Settings from which next_read_at was last computed: readAtHours, finalAfterHours, horizonDays.';
comment on column losant_usage.instance.rejected_totals is 'Streams whose control totals Losant rejected, or whose bodies were invalid; null if none.';
comment on column losant_usage.instance.totals_problem is 'Why control totals could not be read when last requested; null if they could.';
comment on column losant_usage.instance.api_url is 'Base URL of the Losant API that the usage comes from: that of the first response that confirmed the instance; null before. A run with another URL is rejected.';
comment on table losant_usage.lease is 'Which process runs: one row, or none. Written by losant-usage.';
comment on column losant_usage.lease.id is 'Always true: there is one row.';
comment on column losant_usage.lease.acquired_at is 'When the lease was acquired (UTC, database clock).';
comment on column losant_usage.lease.epoch is 'Fencing number; a write under an earlier epoch is rejected.';
comment on column losant_usage.lease.expires_at is 'When the lease expires unless renewed (UTC, database clock).';
comment on table losant_usage.organizations is 'Organizations as last seen in Losant, one row each. Deleted ones stay, with deleted_on.';
comment on column losant_usage.organizations.created_on is 'First day on which the organization existed (UTC): the earliest creation date that Losant reported; null if unknown.';
comment on column losant_usage.organizations.deleted_on is 'First day on which the organization no longer existed (UTC): the day on which its deletion was noticed; null while it exists.';
comment on column losant_usage.organizations.first_seen_at is 'When losant-usage first saw it (UTC).';
comment on column losant_usage.organizations.last_seen_at is 'When losant-usage last saw it (UTC).';
comment on column losant_usage.organizations.problem is 'Why its attributes could not be read when it was last listed; null if they could. Its usage is loaded regardless.';
comment on column losant_usage.organizations.unlisted_days is 'Days on which complete lists have lacked it since it was last listed, until it counted as deleted (count).';
comment on column losant_usage.organizations.unlisted_on is 'Last day on which a complete list lacked it, until it counted as deleted (UTC); null while it is listed.';
comment on table losant_usage.organization_history is 'The attributes of organizations over time, one row per version. Times say when a change was seen, not when it was made; the first version begins when losant-usage first saw the organization, after the days that it loaded for it.';
comment on column losant_usage.organization_history.created_on is 'First day on which the organization existed, as known at the time (UTC); null if unknown.';
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
comment on column losant_usage.runs.first_day is 'First usage day read (UTC); null if none.';
comment on column losant_usage.runs.is_full is 'Whether the run covered everything due, rather than a selection from the command line.';
comment on column losant_usage.runs.kind is 'scheduled (the worker), manual (run) or backfill.';
comment on column losant_usage.runs.last_day is 'Last usage day read (UTC); null if none.';
comment on column losant_usage.runs.run_id is 'Identifier of the run; coverage and revisions refer to it.';
comment on column losant_usage.runs.started_at is 'When the run started (UTC).';
comment on column losant_usage.runs.status is 'running, complete, partial (something due is missing), failed (stopped by an error) or interrupted.';
comment on column losant_usage.runs.version is 'Version of losant-usage.';
