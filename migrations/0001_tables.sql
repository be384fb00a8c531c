-- Tables of losant-usage-export. Every time is UTC; a usage date is a UTC day.
-- Statements are separated by a line that holds only the marker below.

create table losant_usage.instances (
  instance_id text primary key check (instance_id ~ '^[0-9a-f]{24}$'),
  api_url text not null,
  tracked_from date not null,
  streams_from jsonb not null default '{}',
  listed_at timestamptz,
  lease_run_id uuid,
  lease_host text,
  lease_since timestamptz,
  lease_until timestamptz,
  lease_epoch bigint not null default 0
)
-- ;;
comment on table losant_usage.instances is 'Losant instances this database collects for, one row each, with the lease that lets one process at a time export an instance. Written by losant-usage.'
-- ;;
comment on column losant_usage.instances.instance_id is 'Losant instance id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.instances.api_url is 'Base URL of the Losant API the numbers came from; a run with another URL is refused.'
-- ;;
comment on column losant_usage.instances.tracked_from is 'First usage date (UTC) collected for the instance: the day before its first run.'
-- ;;
comment on column losant_usage.instances.streams_from is 'Stream name to the first usage date (UTC, YYYY-MM-DD) it is collected from.'
-- ;;
comment on column losant_usage.instances.listed_at is 'When the organizations were last discovered completely (UTC).'
-- ;;
comment on column losant_usage.instances.lease_run_id is 'Run that holds the lease; null when nobody does.'
-- ;;
comment on column losant_usage.instances.lease_host is 'Host of the process that holds the lease.'
-- ;;
comment on column losant_usage.instances.lease_since is 'When the lease was taken (UTC, database clock).'
-- ;;
comment on column losant_usage.instances.lease_until is 'When the lease lapses unless it is renewed (UTC, database clock).'
-- ;;
comment on column losant_usage.instances.lease_epoch is 'Counts the holders of the lease; a load with an older number is refused.'
-- ;;

create table losant_usage.organizations (
  org_id text primary key check (org_id ~ '^[0-9a-f]{24}$'),
  instance_id text not null references losant_usage.instances (instance_id),
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
  removed_at timestamptz
)
-- ;;
create index organizations_instance on losant_usage.organizations (instance_id, org_id)
-- ;;
comment on table losant_usage.organizations is 'Organizations of the instances as last seen in Losant, one row each. Source: the organization list. Deleted organizations stay, with removed_at.'
-- ;;
comment on column losant_usage.organizations.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.organizations.instance_id is 'Instance the organization belongs to.'
-- ;;
comment on column losant_usage.organizations.name is 'Name as last seen.'
-- ;;
comment on column losant_usage.organizations.tags is 'Tags as last seen: array of {key, value}; keys may repeat.'
-- ;;
comment on column losant_usage.organizations.referral_id is 'Free text set in Losant, the natural place for your own customer number.'
-- ;;
comment on column losant_usage.organizations.plan_id is 'Billing plan id in Losant.'
-- ;;
comment on column losant_usage.organizations.customer_id is 'Customer id in Losant''s billing.'
-- ;;
comment on column losant_usage.organizations.limits is 'Resource limits as last seen: map of limit name to integer (e.g. payload, device, notebookMinutesPerMonth).'
-- ;;
comment on column losant_usage.organizations.is_read_only is 'Whether the organization was read-only when last seen.'
-- ;;
comment on column losant_usage.organizations.disabled_at is 'Since when it is disabled (UTC); null if it is not. Disabled organizations are still collected.'
-- ;;
comment on column losant_usage.organizations.current_period_start is 'Start of its current billing period (UTC, inclusive).'
-- ;;
comment on column losant_usage.organizations.current_period_end is 'End of its current billing period (UTC, exclusive).'
-- ;;
comment on column losant_usage.organizations.created_at is 'When it was created in Losant (UTC); null if Losant does not say.'
-- ;;
comment on column losant_usage.organizations.first_seen_at is 'When this program first saw it (UTC).'
-- ;;
comment on column losant_usage.organizations.last_seen_at is 'When this program last saw it (UTC).'
-- ;;
comment on column losant_usage.organizations.removed_at is 'When it was found to be deleted in Losant (UTC); null while it exists.'
-- ;;

create table losant_usage.organization_history (
  org_id text not null references losant_usage.organizations (org_id),
  valid_from timestamptz not null,
  valid_to timestamptz,
  instance_id text not null,
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
  primary key (org_id, valid_from)
)
-- ;;
comment on table losant_usage.organization_history is 'The attributes of every organization over time, one row per version. Times are when a change was observed, not when it was made.'
-- ;;
comment on column losant_usage.organization_history.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.organization_history.valid_from is 'When this version was first observed (UTC).'
-- ;;
comment on column losant_usage.organization_history.valid_to is 'When another version was observed (UTC, exclusive); null for the current one.'
-- ;;
comment on column losant_usage.organization_history.instance_id is 'Instance the organization belongs to.'
-- ;;
comment on column losant_usage.organization_history.name is 'Name in this version.'
-- ;;
comment on column losant_usage.organization_history.tags is 'Tags in this version: array of {key, value}.'
-- ;;
comment on column losant_usage.organization_history.referral_id is 'Referral id in this version.'
-- ;;
comment on column losant_usage.organization_history.plan_id is 'Billing plan id in this version.'
-- ;;
comment on column losant_usage.organization_history.customer_id is 'Customer id in this version.'
-- ;;
comment on column losant_usage.organization_history.limits is 'Resource limits in this version: map of limit name to integer.'
-- ;;
comment on column losant_usage.organization_history.is_read_only is 'Whether it was read-only in this version.'
-- ;;
comment on column losant_usage.organization_history.disabled_at is 'Since when it was disabled in this version (UTC); null if it was not.'
-- ;;
comment on column losant_usage.organization_history.current_period_start is 'Start of the billing period in this version (UTC, inclusive).'
-- ;;
comment on column losant_usage.organization_history.current_period_end is 'End of the billing period in this version (UTC, exclusive).'
-- ;;

create table losant_usage.tracking (
  org_id text not null references losant_usage.organizations (org_id),
  stream text not null,
  tracked_from date not null,
  tracked_to date,
  expired_to date,
  primary key (org_id, stream)
)
-- ;;
comment on table losant_usage.tracking is 'For which usage dates a number is promised, per organization and stream.'
-- ;;
comment on column losant_usage.tracking.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.tracking.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.tracking.tracked_from is 'First usage date promised (UTC).'
-- ;;
comment on column losant_usage.tracking.tracked_to is 'Last usage date promised (UTC), set when the organization left the configuration; null while it goes on.'
-- ;;
comment on column losant_usage.tracking.expired_to is 'Usage dates before this one (UTC) are past the horizon and settled: held, waived or marked unavailable.'
-- ;;

create table losant_usage.coverage (
  usage_date date not null,
  stream text not null,
  org_id text not null references losant_usage.organizations (org_id),
  state text not null check (state in ('loaded', 'final', 'absent', 'quarantined', 'failed', 'unavailable', 'waived')),
  reported boolean not null default false,
  revision integer not null default 0,
  verified_at timestamptz,
  attempted_at timestamptz,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  error_code text,
  error_message text,
  response_sha256 text,
  run_id uuid,
  first_loaded_at timestamptz,
  finalized_at timestamptz,
  primary key (usage_date, stream, org_id)
) with (fillfactor = 50)
-- ;;
create index coverage_uncovered on losant_usage.coverage (org_id, stream, usage_date) where state not in ('loaded', 'final')
-- ;;
comment on table losant_usage.coverage is 'The ledger: what is held for each cell (organization, stream, usage date). A cell without a row was never asked for.'
-- ;;
comment on column losant_usage.coverage.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.coverage.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.coverage.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.coverage.state is 'What is held: loaded, final (read late enough that no change is expected), absent (Losant has no number yet), quarantined (the answer could not be believed), failed (no answer), unavailable (can no longer be had), waived (accepted as missing).'
-- ;;
comment on column losant_usage.coverage.reported is 'Whether Losant has ever named this number; false where zeros stand for a day it left out.'
-- ;;
comment on column losant_usage.coverage.revision is 'Which version of the cell''s numbers is held: 0 nothing, 1 the first, more after each change.'
-- ;;
comment on column losant_usage.coverage.verified_at is 'When the request of the newest accepted answer was sent (UTC, database clock).'
-- ;;
comment on column losant_usage.coverage.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock).'
-- ;;
comment on column losant_usage.coverage.attempts is 'Failed reads since the last accepted one.'
-- ;;
comment on column losant_usage.coverage.next_attempt_at is 'Not read again before this time (UTC) after a failure; null otherwise.'
-- ;;
comment on column losant_usage.coverage.error_code is 'What was wrong with the newest read, in one word; null if nothing. For waived: waived.'
-- ;;
comment on column losant_usage.coverage.error_message is 'What was wrong with the newest read, for people; for waived: the reason given.'
-- ;;
comment on column losant_usage.coverage.response_sha256 is 'SHA-256 (hex) over the response bodies of the newest accepted answer, in request order.'
-- ;;
comment on column losant_usage.coverage.run_id is 'Run that last wrote this row.'
-- ;;
comment on column losant_usage.coverage.first_loaded_at is 'When the cell first held numbers (UTC).'
-- ;;
comment on column losant_usage.coverage.finalized_at is 'When the cell became final (UTC).'
-- ;;

create table losant_usage.runs (
  run_id uuid primary key,
  instance_id text not null references losant_usage.instances (instance_id),
  kind text not null check (kind in ('scheduled', 'manual', 'backfill')),
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
  cells_absent bigint not null default 0,
  cells_failed bigint not null default 0,
  cells_quarantined bigint not null default 0,
  cells_unavailable bigint not null default 0,
  rows_inserted bigint not null default 0,
  rows_updated bigint not null default 0,
  rows_deleted bigint not null default 0,
  rows_unchanged bigint not null default 0,
  requests bigint not null default 0,
  error text
)
-- ;;
create index runs_instance_started on losant_usage.runs (instance_id, started_at desc)
-- ;;
create index runs_running on losant_usage.runs (instance_id) where status = 'running'
-- ;;
comment on table losant_usage.runs is 'Every export that had something to do, one row each. A wake-up with nothing due leaves none.'
-- ;;
comment on column losant_usage.runs.run_id is 'Id of the run; facts, coverage and revisions name it.'
-- ;;
comment on column losant_usage.runs.instance_id is 'Instance exported.'
-- ;;
comment on column losant_usage.runs.kind is 'scheduled (the worker), manual (the run command) or backfill.'
-- ;;
comment on column losant_usage.runs.status is 'running, complete (nothing due is missing), partial (some of it is), failed (it could not go on) or interrupted.'
-- ;;
comment on column losant_usage.runs.from_date is 'Earliest usage date read (UTC).'
-- ;;
comment on column losant_usage.runs.to_date is 'Latest usage date read (UTC).'
-- ;;
comment on column losant_usage.runs.streams is 'Streams in scope.'
-- ;;
comment on column losant_usage.runs.started_at is 'When it began (UTC).'
-- ;;
comment on column losant_usage.runs.heartbeat_at is 'When it was last known to be alive (UTC, database clock).'
-- ;;
comment on column losant_usage.runs.finished_at is 'When it ended (UTC); null while it runs.'
-- ;;
comment on column losant_usage.runs.host is 'Host it ran on.'
-- ;;
comment on column losant_usage.runs.version is 'Version of losant-usage.'
-- ;;
comment on column losant_usage.runs.orgs is 'Organizations in scope.'
-- ;;
comment on column losant_usage.runs.cells_planned is 'Cells it set out to read; the other cell counts add up to it.'
-- ;;
comment on column losant_usage.runs.cells_loaded is 'Cells whose numbers are new or changed.'
-- ;;
comment on column losant_usage.runs.cells_unchanged is 'Cells read again with equal numbers.'
-- ;;
comment on column losant_usage.runs.cells_absent is 'Cells Losant has no number for yet.'
-- ;;
comment on column losant_usage.runs.cells_failed is 'Cells without an answer, or whose answer lacked a number that is held.'
-- ;;
comment on column losant_usage.runs.cells_quarantined is 'Cells whose answer could not be believed.'
-- ;;
comment on column losant_usage.runs.cells_unavailable is 'Cells found to be lost for good.'
-- ;;
comment on column losant_usage.runs.rows_inserted is 'Fact rows inserted.'
-- ;;
comment on column losant_usage.runs.rows_updated is 'Fact rows updated.'
-- ;;
comment on column losant_usage.runs.rows_deleted is 'Fact rows deleted.'
-- ;;
comment on column losant_usage.runs.rows_unchanged is 'Fact rows compared and found equal.'
-- ;;
comment on column losant_usage.runs.requests is 'HTTP requests sent, retries included.'
-- ;;
comment on column losant_usage.runs.error is 'Why it failed or was interrupted; null otherwise.'
-- ;;

create table losant_usage.quarantine (
  org_id text not null,
  stream text not null,
  from_date date not null,
  to_date date not null,
  code text not null,
  problem text not null,
  body_gzip bytea,
  body_truncated boolean not null default false,
  times integer not null default 1,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  resolved_at timestamptz,
  run_id uuid,
  primary key (org_id, stream, from_date, to_date)
)
-- ;;
comment on table losant_usage.quarantine is 'Answers that could not be believed, one row per cell or per window, with the body as it came.'
-- ;;
comment on column losant_usage.quarantine.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.quarantine.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.quarantine.from_date is 'First usage date of the cell or window (UTC).'
-- ;;
comment on column losant_usage.quarantine.to_date is 'Last usage date of the cell or window (UTC).'
-- ;;
comment on column losant_usage.quarantine.code is 'What was wrong, in one word.'
-- ;;
comment on column losant_usage.quarantine.problem is 'What was wrong, with its path in the body.'
-- ;;
comment on column losant_usage.quarantine.body_gzip is 'The response bodies, joined by newlines, gzip-compressed, cut at 256 KiB before compression.'
-- ;;
comment on column losant_usage.quarantine.body_truncated is 'Whether the body was cut.'
-- ;;
comment on column losant_usage.quarantine.times is 'How often it was seen.'
-- ;;
comment on column losant_usage.quarantine.first_seen_at is 'When it was first seen (UTC).'
-- ;;
comment on column losant_usage.quarantine.last_seen_at is 'When it was last seen (UTC).'
-- ;;
comment on column losant_usage.quarantine.resolved_at is 'When a good answer was accepted for it (UTC); null while it stands.'
-- ;;
comment on column losant_usage.quarantine.run_id is 'Run that last saw it.'
