-- Instances, the leases under which they are exported, organizations with their history, and the runs.

create table losant_usage.instances (
  instance_id text collate "C" primary key check (instance_id ~ '^[0-9a-f]{24}$'),
  name text,
  api_url text not null,
  policy jsonb not null default '{}',
  control_totals text not null default 'block' check (control_totals in ('block', 'show')),
  all_from date,
  listed_at timestamptz,
  list_problem text,
  totals_problem text,
  org_moved_on date,
  horizon_day date
);

create table losant_usage.leases (
  instance_id text collate "C" primary key references losant_usage.instances,
  run_id uuid not null,
  host text not null,
  since timestamptz not null,
  until timestamptz not null,
  epoch bigint not null generated always as identity
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
  removed_on date,
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
  row_number() over (partition by o.org_id, tag.item ->> 'key' order by tag.place)::integer as nth
from losant_usage.organizations o
cross join lateral jsonb_array_elements(o.tags) with ordinality as tag (item, place);

create table losant_usage.runs (
  run_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances,
  kind text not null check (kind in ('scheduled', 'manual', 'backfill')),
  is_full boolean not null,
  status text not null check (status in ('running', 'complete', 'partial', 'failed', 'interrupted')),
  from_date date,
  to_date date,
  counts jsonb not null default '{}',
  failures jsonb not null default '[]',
  error text,
  started_at timestamptz not null,
  finished_at timestamptz,
  host text not null,
  version text not null
);
create index runs_instance on losant_usage.runs (instance_id, started_at desc);
create index runs_started on losant_usage.runs (started_at desc);

create trigger by_hand before insert or update or delete or truncate on losant_usage.instances
  execute function losant_usage_internal.refuse('settings are changed in the configuration; losant-usage run --end ID ends an instance');
create trigger append_only before truncate on losant_usage.leases
  execute function losant_usage_internal.refuse('a lease lapses by itself, a minute after its process was last alive');
create trigger by_hand before insert or update or delete or truncate on losant_usage.organizations
  execute function losant_usage_internal.refuse('organizations are as Losant lists them: losant-usage run reads the list, losant-usage org set changes one');
create trigger by_hand before insert or update or delete or truncate on losant_usage.organization_history
  execute function losant_usage_internal.refuse('the history of organizations is append-only: losant-usage run adds to it, losant-usage org set changes an organization');
create trigger append_only before truncate on losant_usage.runs
  execute function losant_usage_internal.refuse('runs stay on record');

comment on table losant_usage.instances is 'Losant instances this database collects for, one row each. Written by losant-usage.';
comment on column losant_usage.instances.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.instances.name is 'Name as last seen; null if Losant does not say.';
comment on column losant_usage.instances.api_url is 'Base URL of the Losant API the numbers came from; a run with another URL is refused.';
comment on column losant_usage.instances.policy is 'The settings by which next_read_at of its cells was last computed: readAtHours, finalAtHours, horizonDays.';
comment on column losant_usage.instances.control_totals is 'Whether a control total that differs blocks a month (block) or is only shown (show). The setting CONTROL_TOTALS.';
comment on column losant_usage.instances.all_from is 'From which usage date on a newly listed organization is collected (UTC): the day before the first run over all organizations; null while LOSANT_ORG_IDS names some.';
comment on column losant_usage.instances.listed_at is 'When the organizations were last listed completely (UTC); null if never.';
comment on column losant_usage.instances.list_problem is 'Why the newest list was not complete, so that organizations may be missing; null if it was.';
comment on column losant_usage.instances.totals_problem is 'Why Losants own totals could not be read when they were last asked for; null if they could.';
comment on column losant_usage.instances.org_moved_on is 'Last usage date whose totals an organization that moved to or from another instance makes incomparable (UTC); null if none moved.';
comment on column losant_usage.instances.horizon_day is 'Oldest usage date that could still be read when older ones were last closed (UTC); null before the first run.';
comment on table losant_usage.leases is 'Who exports what now, one row per instance. Written by losant-usage.';
comment on column losant_usage.leases.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.leases.run_id is 'Run that holds the lease.';
comment on column losant_usage.leases.host is 'Host of the process that holds it.';
comment on column losant_usage.leases.since is 'When it was taken (UTC, database clock).';
comment on column losant_usage.leases.until is 'When it lapses unless it is renewed (UTC, database clock).';
comment on column losant_usage.leases.epoch is 'Tells the lease from every earlier one; a load under another epoch is refused.';
comment on table losant_usage.organizations is 'Organizations as last seen in Losant, one row each. Source: the organization list. Deleted ones stay, with removed_on.';
comment on column losant_usage.organizations.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.organizations.instance_id is 'Instance it belongs to.';
comment on column losant_usage.organizations.name is 'Name as last seen.';
comment on column losant_usage.organizations.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.organizations.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.organizations.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.organizations.tags is 'Tags as last seen: array of {key, value}; one row per tag in organization_tags.';
comment on column losant_usage.organizations.limits is 'Resource limits as last seen: map of limit name to integer, e.g. payload, device, notebookMinutesPerMonth.';
comment on column losant_usage.organizations.current_period_start is 'Start of the current billing period in Losant (UTC, inclusive); null if Losant names none.';
comment on column losant_usage.organizations.current_period_end is 'End of the current billing period in Losant (UTC, exclusive); null if Losant names none.';
comment on column losant_usage.organizations.created_on is 'First usage date on which it existed (UTC): Losants creation date, or an earlier day of which a number is stored; null if not known.';
comment on column losant_usage.organizations.removed_on is 'The day on which it was found to be deleted (UTC), the first on which it no longer exists; null while it exists.';
comment on column losant_usage.organizations.first_seen_at is 'When this program first saw it (UTC).';
comment on column losant_usage.organizations.last_seen_at is 'When this program last saw it (UTC).';
comment on column losant_usage.organizations.unlisted_on is 'Newest day on which a complete list lacked it (UTC); null while it is listed.';
comment on column losant_usage.organizations.unlisted_days is 'Days on which a complete list lacked it since it was last listed (count).';
comment on column losant_usage.organizations.problem is 'Why its attributes could not be read when it was last listed; null if they could. Its usage is collected all the same.';
comment on table losant_usage.organization_history is 'The attributes of every organization over time, one row per version. Times are when a change was seen, not when it was made.';
comment on column losant_usage.organization_history.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.organization_history.valid_from is 'When this version was first seen (UTC).';
comment on column losant_usage.organization_history.valid_to is 'When another version was seen (UTC, exclusive); null for the current one.';
comment on column losant_usage.organization_history.instance_id is 'Instance it belonged to.';
comment on column losant_usage.organization_history.name is 'Name as last seen.';
comment on column losant_usage.organization_history.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.organization_history.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.organization_history.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.organization_history.tags is 'Tags as last seen: array of {key, value}; one row per tag in organization_tags.';
comment on column losant_usage.organization_history.limits is 'Resource limits as last seen: map of limit name to integer, e.g. payload, device, notebookMinutesPerMonth.';
comment on column losant_usage.organization_history.current_period_start is 'Start of the current billing period in Losant (UTC, inclusive); null if Losant names none.';
comment on column losant_usage.organization_history.current_period_end is 'End of the current billing period in Losant (UTC, exclusive); null if Losant names none.';
comment on column losant_usage.organization_history.created_on is 'Its first usage date as known then (UTC): a creation date that moved is on record; null if not known.';
comment on view losant_usage.organization_tags is 'Tags of organizations as last seen, one row per tag. A key may repeat: with nth = 1 an organization never counts twice for a key. Source: organizations.tags.';
comment on column losant_usage.organization_tags.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.organization_tags.key is 'Key of the tag.';
comment on column losant_usage.organization_tags.value is 'Value of the tag.';
comment on column losant_usage.organization_tags.nth is '1 for the first tag of this key, 2 for the second, ….';
comment on table losant_usage.runs is 'Every export that had something to do, one row each.';
comment on column losant_usage.runs.run_id is 'Id of the run; coverage and revisions name it.';
comment on column losant_usage.runs.instance_id is 'Instance exported.';
comment on column losant_usage.runs.kind is 'scheduled (the worker), manual (the run command) or backfill.';
comment on column losant_usage.runs.is_full is 'Whether it was to read all that was due of the instance, and not a part chosen on the command line.';
comment on column losant_usage.runs.status is 'running, complete, partial (something due is missing), failed (it could not go on) or interrupted.';
comment on column losant_usage.runs.from_date is 'Earliest usage date read (UTC); null if none.';
comment on column losant_usage.runs.to_date is 'Latest usage date read (UTC); null if none.';
comment on column losant_usage.runs.counts is 'What it did: orgs, cells by result, rows, requests.';
comment on column losant_usage.runs.failures is 'What failed, by cause: array of {code, message, stream, cells, orgs, example}.';
comment on column losant_usage.runs.error is 'Why it failed or was interrupted; null otherwise.';
comment on column losant_usage.runs.started_at is 'When it began (UTC).';
comment on column losant_usage.runs.finished_at is 'When it ended (UTC); null while it runs.';
comment on column losant_usage.runs.host is 'Host it ran on.';
comment on column losant_usage.runs.version is 'Version of losant-usage.';
