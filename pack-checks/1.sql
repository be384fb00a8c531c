-- Checks a proof pack, version 1. Prints a row for each contradiction, notes, and at last "checked N rows in M files".
-- In the folder of the pack: sqlite3 :memory: < FILE, with this file from a release, because that of a pack could run
-- any command. It does not check hashes, signatures and other packs.
.bail on
-- A database in a temporary file: the memory needed does not grow with the pack.
.open ""
pragma cache_size = -65536;
create table manifest_json (statement text);
insert into manifest_json values (cast(readfile('manifest.json') as text) ->> '$.statement');
create table totals_csv (metric text, unit text, kind text, orgs text, quantity text);
create table lines_csv (org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  is_customer_changed text, metric text, unit text, kind text, quantity text, billed_before text, total text,
  maximum text, average text, days_expected text, days_stored text, days_final text, days_waived text,
  days_pending text, days_unavailable text, days_in_doubt text, days_missing text, days_unreported text);
create table sources_csv (org_id text, payload_type text, source text, total text);
create table days_csv (org_id text, usage_date text, standing text, is_reported text, devices_created text,
  devices_deleted text, devices_total text, notebook_minutes text, notebook_completed text, notebook_canceled text,
  notebook_errored text, notebook_timeout text, payload_billable_count text, payload_all_count text,
  payload_all_bytes text, payload_source_count text);
create table cells_csv (org_id text, usage_date text, stream text, standing text, is_stored text, is_reported text,
  revision text, last_read_at text, response_sha256 text, reason text);
create table revisions_csv (org_id text, usage_date text, stream text, revision text, old text, new text,
  was_final text, changed_at text, run_id text);
create table waivers_csv (org_id text, usage_date text, stream text, id text, kind text, reason text, waived_by text,
  waived_by_run text, waived_at text, lifted_at text);
create table blockers_csv (position text, org_id text, org_name text, cause text, days text, first_day text,
  last_day text, streams text, detail text, remedy text);
.import --csv totals.csv totals_csv
.import --csv lines.csv lines_csv
.import --csv sources.csv sources_csv
.import --csv days.csv days_csv
.import --csv cells.csv cells_csv
.import --csv revisions.csv revisions_csv
.import --csv waivers.csv waivers_csv
.import --csv blockers.csv blockers_csv
-- ---------------------------------------------------------------- the lines above are for the sqlite3 shell


-- The first row of each file has the names of its columns.
select 'totals.csv', 'has unexpected columns' where (select * from totals_csv where rowid = 1)
  is not ('metric', 'unit', 'kind', 'orgs', 'quantity');
select 'lines.csv', 'has unexpected columns' where (select * from lines_csv where rowid = 1)
  is not ('org_id', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'is_customer_changed', 'metric', 'unit',
  'kind', 'quantity', 'billed_before', 'total', 'maximum', 'average', 'days_expected', 'days_stored', 'days_final',
  'days_waived', 'days_pending', 'days_unavailable', 'days_in_doubt', 'days_missing', 'days_unreported');
select 'sources.csv', 'has unexpected columns' where (select * from sources_csv where rowid = 1)
  is not ('org_id', 'payload_type', 'source', 'total');
select 'days.csv', 'has unexpected columns' where (select * from days_csv where rowid = 1)
  is not ('org_id', 'usage_date', 'standing', 'is_reported', 'devices_created', 'devices_deleted', 'devices_total',
  'notebook_minutes', 'notebook_completed', 'notebook_canceled', 'notebook_errored', 'notebook_timeout',
  'payload_billable_count', 'payload_all_count', 'payload_all_bytes', 'payload_source_count');
select 'cells.csv', 'has unexpected columns' where (select * from cells_csv where rowid = 1)
  is not ('org_id', 'usage_date', 'stream', 'standing', 'is_stored', 'is_reported', 'revision', 'last_read_at',
  'response_sha256', 'reason');
select 'revisions.csv', 'has unexpected columns' where (select * from revisions_csv where rowid = 1)
  is not ('org_id', 'usage_date', 'stream', 'revision', 'old', 'new', 'was_final', 'changed_at', 'run_id');
select 'waivers.csv', 'has unexpected columns' where (select * from waivers_csv where rowid = 1)
  is not ('org_id', 'usage_date', 'stream', 'id', 'kind', 'reason', 'waived_by', 'waived_by_run', 'waived_at',
  'lifted_at');
select 'blockers.csv', 'has unexpected columns' where (select * from blockers_csv where rowid = 1)
  is not ('position', 'org_id', 'org_name', 'cause', 'days', 'first_day', 'last_day', 'streams', 'detail', 'remedy');
delete from totals_csv where rowid = 1;
delete from lines_csv where rowid = 1;
delete from sources_csv where rowid = 1;
delete from days_csv where rowid = 1;
delete from cells_csv where rowid = 1;
delete from revisions_csv where rowid = 1;
delete from waivers_csv where rowid = 1;
delete from blockers_csv where rowid = 1;

-- =====================================================================================================================
-- 1. The words and numbers that the files use.

-- From the best to the worst: a day has the standing of its worst cell.
create table standings (standing text primary key, severity integer) strict, without rowid;
insert into standings values ('final', 1), ('waived', 2), ('stored', 3), ('waiting', 4), ('unavailable', 5),
  ('in_doubt', 6), ('missing', 7);
create table streams (stream text primary key) strict, without rowid;
insert into streams values ('device_counts'), ('notebook_minutes'), ('payload_totals'), ('payload_sources'),
  ('payload_hours');
-- Hours have no metric: nothing is billed by them, and the files have no numbers of them.
create table metrics (metric text primary key, stream text, unit text, kind text) strict, without rowid;
insert into metrics values
  ('devices_created', 'device_counts', 'devices', 'flow'), ('devices_deleted', 'device_counts', 'devices', 'flow'),
  ('devices_total', 'device_counts', 'devices', 'level'), ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow'),
  ('notebook_completed', 'notebook_minutes', 'executions', 'flow'),
  ('notebook_canceled', 'notebook_minutes', 'executions', 'flow'),
  ('notebook_errored', 'notebook_minutes', 'executions', 'flow'),
  ('notebook_timeout', 'notebook_minutes', 'executions', 'flow'),
  ('payload_billable_count', 'payload_totals', 'payloads', 'flow'),
  ('payload_all_count', 'payload_totals', 'payloads', 'flow'), ('payload_all_bytes', 'payload_totals', 'bytes', 'flow'),
  ('payload_source_count', 'payload_sources', 'payloads', 'flow');

-- =====================================================================================================================
-- 2. The statement, and the days of its month.

select 'manifest.json', 'does not describe a statement' from manifest_json
where not coalesce(statement ->> 'month' glob '20[0-9][0-9]-[01][0-9]'
  and statement ->> 'kind' in ('closing', 'adjustment')
  and typeof(statement ->> 'orgs') = 'integer' and typeof(statement ->> 'number') = 'integer'
  and typeof(statement ->> '$.rules.finalAfterHours') = 'integer' and length(statement ->> 'instanceId') = 24
  and statement ->> 'closedAt' glob '????-??-??T??:??:??.??????Z' and julianday(statement ->> 'closedAt') is not null,
  false);
-- A read may be five minutes later than the statement, because a run dates its reads by what it knows of the database's
-- clock.
create table statement (month text, first_day text, last_day text, kind text, reason text, orgs integer,
  number integer, previous_sha256 text, closed_at text, latest_read_at text, final_after_hours integer) strict;
insert into statement
select statement ->> 'month', statement ->> 'month' || '-01',
  date(statement ->> 'month' || '-01', '+1 month', '-1 day'), statement ->> 'kind', statement ->> 'reason',
  statement ->> 'orgs', statement ->> 'number', statement ->> 'previousSha256', statement ->> 'closedAt',
  strftime('%Y-%m-%dT%H:%M:%f', statement ->> 'closedAt', '+5 minutes'), statement ->> '$.rules.finalAfterHours'
from manifest_json;

select 'manifest.json', 'was closed before its month had ended' from statement
where closed_at < date(last_day, '+1 day');
select 'manifest.json', 'is number ' || number || iif(previous_sha256 is null,
  ', but names no statement before it', ', but names a statement before it') from statement
where (number = 1) <> (previous_sha256 is null);
select 'manifest.json', 'has a reason, although nothing blocked it' from statement
where reason is not null and not exists (select 1 from blockers_csv);
select 'manifest.json', 'has no reason, although something blocked it' from statement
where trim(coalesce(reason, '')) = '' and exists (select 1 from blockers_csv);
select 'manifest.json', 'orgs is ' || s.orgs || ', but lines.csv has ' || l.orgs
from statement s, (select count(distinct org_id) as orgs from lines_csv) as l where s.orgs <> l.orgs;

-- The time from which the cells of a day may be read, and from which a read makes them final.
create table calendar (usage_date text primary key, ends_at text, final_at text) strict, without rowid;
insert into calendar
with recursive dates (date) as (
  select first_day from statement
  union all
  select date(date, '+1 day') from dates, statement where date < last_day
)
select date, strftime('%Y-%m-%dT%H:%M', date, '+1 day'),
  strftime('%Y-%m-%dT%H:%M', date, '+1 day', '+' || final_after_hours || ' hours')
from dates, statement where date is not null;

-- =====================================================================================================================
-- 3. The form of each row. A number is valid if it is written back as the same text, which 1e3, 007, +5 and " 5" are
-- not. If it may not be negative, it has no minus, which sorts before the digits. A row with too few fields ends in
-- null.

select 'totals.csv', 'line ' || rowid || ' is not a valid total' from totals_csv
where (metric <> '' and cast(orgs as integer) || '' = orgs and cast(orgs as integer) > 0
  and (quantity = '' or cast(quantity as integer) || '' = quantity)) is not true limit 20;

select 'lines.csv', 'line ' || rowid || ' is not a valid line' from lines_csv
where (length(org_id) = 24 and org_id not glob '*[^0-9a-f]*' and is_customer_changed in ('true', 'false')
  and (quantity = '' or cast(quantity as integer) || '' = quantity)
  and (billed_before = '' or cast(billed_before as integer) || '' = billed_before)
  and (total = '' or (cast(total as integer) || '' = total and total >= '0'))
  and (maximum = '' or (cast(maximum as integer) || '' = maximum and maximum >= '0'))
  and (average = '' or (average glob '*[0-9].[0-9][0-9]' and average not glob '*[^0-9.]*'
    and average not glob '*.*.*' and average not glob '0[0-9]*'))
  and cast(days_expected as integer) || '' = days_expected and days_expected >= '1'
  and cast(days_stored as integer) || '' = days_stored and days_stored >= '0'
  and cast(days_final as integer) || '' = days_final and days_final >= '0'
  and cast(days_waived as integer) || '' = days_waived and days_waived >= '0'
  and cast(days_pending as integer) || '' = days_pending and days_pending >= '0'
  and cast(days_unavailable as integer) || '' = days_unavailable and days_unavailable >= '0'
  and cast(days_in_doubt as integer) || '' = days_in_doubt and days_in_doubt >= '0'
  and cast(days_missing as integer) || '' = days_missing and days_missing >= '0'
  and cast(days_unreported as integer) || '' = days_unreported and days_unreported >= '0') is not true limit 20;

select 'sources.csv', 'line ' || rowid || ' is not a valid source' from sources_csv
where (payload_type is not null and source is not null
  and cast(total as integer) || '' = total and total >= '0') is not true limit 20;

select 'days.csv', 'line ' || rowid || coalesce(', ' || org_id || ' ' || usage_date, '') || ': is not a valid day'
from days_csv
where (standing in (select standing from standings) and is_reported in ('true', 'false')
  and (devices_created = '' or (cast(devices_created as integer) || '' = devices_created and devices_created >= '0'))
  and (devices_deleted = '' or (cast(devices_deleted as integer) || '' = devices_deleted and devices_deleted >= '0'))
  and (devices_total = '' or (cast(devices_total as integer) || '' = devices_total and devices_total >= '0'))
  and (notebook_minutes = ''
    or (cast(notebook_minutes as integer) || '' = notebook_minutes and notebook_minutes >= '0'))
  and (notebook_completed = ''
    or (cast(notebook_completed as integer) || '' = notebook_completed and notebook_completed >= '0'))
  and (notebook_canceled = ''
    or (cast(notebook_canceled as integer) || '' = notebook_canceled and notebook_canceled >= '0'))
  and (notebook_errored = ''
    or (cast(notebook_errored as integer) || '' = notebook_errored and notebook_errored >= '0'))
  and (notebook_timeout = ''
    or (cast(notebook_timeout as integer) || '' = notebook_timeout and notebook_timeout >= '0'))
  and (payload_billable_count = ''
    or (cast(payload_billable_count as integer) || '' = payload_billable_count and payload_billable_count >= '0'))
  and (payload_all_count = ''
    or (cast(payload_all_count as integer) || '' = payload_all_count and payload_all_count >= '0'))
  and (payload_all_bytes = ''
    or (cast(payload_all_bytes as integer) || '' = payload_all_bytes and payload_all_bytes >= '0'))
  and (payload_source_count = ''
    or (cast(payload_source_count as integer) || '' = payload_source_count and payload_source_count >= '0'))
) is not true limit 20;

-- Final, stored and doubtful cells have numbers, waiting and missing ones have none, and only numbers have revisions. A
-- final cell is the result of a response that was sent late enough, and nothing was wrong with it.
select 'cells.csv', 'line ' || line || coalesce(', ' || cell, '') || ': ' || problem
from (
  select c.rowid as line, c.org_id || ' ' || c.usage_date || ' ' || c.stream as cell, case
    when d.usage_date is null then 'day outside the month'
    when (c.stream in (select stream from streams) and c.standing in (select standing from standings)
      and (c.is_stored, c.is_reported) in (values ('true', 'true'), ('true', 'false'), ('false', 'false'))
      and cast(c.revision as integer) || '' = c.revision and c.revision >= '0'
      and (c.last_read_at = '' or (c.last_read_at glob '????-??-??T??:??:??.??????Z'
        and julianday(c.last_read_at) is not null))
      and (c.response_sha256 = ''
        or (length(c.response_sha256) = 64 and c.response_sha256 not glob '*[^0-9a-f]*'))
      and c.reason is not null) is not true then 'is not a valid cell'
    when c.last_read_at < d.ends_at and c.last_read_at <> '' then 'was read before its day ended'
    when c.last_read_at > s.latest_read_at then 'was read after the statement was created'
    when c.is_stored = 'false' and (c.standing in ('final', 'stored', 'in_doubt') or c.revision <> '0')
      then 'is ' || c.standing || ' at revision ' || c.revision || ', but its numbers are not stored'
    when c.is_stored = 'true' and (c.standing in ('waiting', 'missing') or c.revision = '0')
      then 'is ' || c.standing || ' at revision ' || c.revision || ', but its numbers are stored'
    when c.standing = 'final' and c.last_read_at < d.final_at
      then 'is final, but was not read ' || s.final_after_hours || ' hours after its day or later'
    when c.standing = 'final' and c.response_sha256 = '' then 'is final, but has no hash of a response'
    when c.standing = 'final' and c.reason <> '' then 'is final, but has the reason ' || c.reason
    when c.is_stored = 'true' and (c.last_read_at = '' or c.response_sha256 = '')
      then 'is stored, but has no time or hash of a response'
    end as problem
  from cells_csv c cross join statement s left join calendar d on d.usage_date = c.usage_date
) where problem is not null limit 20;

select 'revisions.csv', 'line ' || rowid || ' is not a valid revision' from revisions_csv
where (cast(revision as integer) || '' = revision and json_valid(old) and json_valid(new)
  and json_type(old) = 'object' and json_type(new) = 'object' and new <> '{}'
  and was_final in ('true', 'false') and run_id glob '????????-????-????-????-????????????'
  and changed_at glob '????-??-??T??:??:??.??????Z' and julianday(changed_at) is not null) is not true limit 20;

-- A person's waiver has no run, and the program's has one and always the same reason.
select 'waivers.csv', 'line ' || rowid || ' is not a valid waiver' from waivers_csv
where (cast(id as integer) || '' = id and trim(reason) <> '' and trim(waived_by) <> ''
  and case kind when 'person' then waived_by_run = ''
    when 'program' then waived_by_run <> '' and reason = 'before_creation' else false end
  and waived_at glob '????-??-??T??:??:??.??????Z' and julianday(waived_at) is not null
  and (lifted_at = '' or (lifted_at >= waived_at and lifted_at glob '????-??-??T??:??:??.??????Z'
    and julianday(lifted_at) is not null))) is not true limit 20;

select 'blockers.csv', 'line ' || rowid || ' is not a valid blocker' from blockers_csv
where (cast(position as integer) || '' = position and (days = '' or cast(days as integer) || '' = days)
  and first_day <= last_day and remedy is not null and cause in ('list_incomplete', 'not_final', 'missing', 'in_doubt',
    'unavailable', 'not_fully_tracked', 'not_reconciled')) is not true limit 20;

-- =====================================================================================================================
-- 4. The rows with numbers as numbers, where an empty field is null. Two rows of one key are a problem.

create table totals (metric text primary key, unit text, kind text, orgs integer, quantity integer) without rowid;
insert or ignore into totals select metric, unit, kind, cast(orgs as integer), nullif(quantity, '') from totals_csv;

create table lines (org_id text, metric text, unit text, kind text, quantity integer, billed_before integer,
  total integer, maximum integer, average real, expected integer, stored integer, final integer, waived integer,
  pending integer, unavailable integer, in_doubt integer, missing integer, unreported integer,
  primary key (org_id, metric)) without rowid;
insert or ignore into lines
select org_id, metric, unit, kind, nullif(quantity, ''), nullif(billed_before, ''), nullif(total, ''),
  nullif(maximum, ''), nullif(average, ''), days_expected, days_stored, days_final, days_waived, days_pending,
  days_unavailable, days_in_doubt, days_missing, days_unreported
from lines_csv;
create table orgs (org_id text primary key) without rowid;
insert into orgs select distinct org_id from lines;

create table sources (org_id text, payload_type text, source text, total integer,
  primary key (org_id, payload_type, source)) without rowid;
insert or ignore into sources select org_id, payload_type, source, total from sources_csv;

create table days (usage_date text, org_id text, standing text, is_reported text, devices_created integer,
  devices_deleted integer, devices_total integer, notebook_minutes integer, notebook_completed integer,
  notebook_canceled integer, notebook_errored integer, notebook_timeout integer, payload_billable_count integer,
  payload_all_count integer, payload_all_bytes integer, payload_source_count integer,
  primary key (usage_date, org_id)) without rowid;
insert or ignore into days
select usage_date, org_id, standing, is_reported, nullif(devices_created, ''), nullif(devices_deleted, ''),
  nullif(devices_total, ''), nullif(notebook_minutes, ''), nullif(notebook_completed, ''),
  nullif(notebook_canceled, ''), nullif(notebook_errored, ''), nullif(notebook_timeout, ''),
  nullif(payload_billable_count, ''), nullif(payload_all_count, ''), nullif(payload_all_bytes, ''),
  nullif(payload_source_count, '')
from days_csv;

create table cells (usage_date text, org_id text, stream text, standing text, is_stored integer, is_reported integer,
  revision integer, reason text, primary key (usage_date, org_id, stream)) without rowid;
insert or ignore into cells
select usage_date, org_id, stream, standing, is_stored = 'true', is_reported = 'true', revision, reason from cells_csv;

create table revisions (org_id text, usage_date text, stream text, revision integer, old text, new text,
  changed_at text, primary key (org_id, usage_date, stream, revision)) without rowid;
insert or ignore into revisions
select org_id, usage_date, stream, revision, old, new, changed_at from revisions_csv
where json_valid(old) and json_valid(new);

create table waivers (id integer primary key, org_id text, usage_date text, stream text, cell_reason text,
  waived_at text, lifted_at text);
insert or ignore into waivers
select cast(id as integer), org_id, usage_date, stream, iif(kind = 'program', reason, 'waived'), waived_at,
  nullif(lifted_at, '')
from waivers_csv;

create table blockers (position integer primary key, org_id text, cause text, days integer, first_day text,
  last_day text, streams text);
insert or ignore into blockers
select cast(position as integer), nullif(org_id, ''), cause, nullif(days, ''), first_day, last_day, streams
from blockers_csv;

create table files (file text primary key, rows integer, keys integer) without rowid;
insert into files values
  ('totals.csv', (select count(*) from totals_csv), (select count(*) from totals)),
  ('lines.csv', (select count(*) from lines_csv), (select count(*) from lines)),
  ('sources.csv', (select count(*) from sources_csv), (select count(*) from sources)),
  ('days.csv', (select count(*) from days_csv), (select count(*) from days)),
  ('cells.csv', (select count(*) from cells_csv), (select count(*) from cells)),
  ('revisions.csv', (select count(*) from revisions_csv where json_valid(old) and json_valid(new)),
    (select count(*) from revisions)),
  ('waivers.csv', (select count(*) from waivers_csv), (select count(*) from waivers)),
  ('blockers.csv', (select count(*) from blockers_csv), (select count(*) from blockers));
select file, (rows - keys) || ' rows repeat the key of another row' from files where rows > keys;

-- =====================================================================================================================
-- 5. Cells and days. The cells of a day side by side: what is stored and what is settled in each stream with metrics.

create table day_cells (usage_date text, org_id text, standing text, is_reported text, has_devices integer,
  has_notebooks integer, has_totals integer, has_sources integer, is_devices_settled integer,
  is_notebooks_settled integer, is_totals_settled integer, is_sources_settled integer,
  primary key (usage_date, org_id)) without rowid;
insert into day_cells
select c.usage_date, c.org_id, w.standing, iif(c.has_omission, 'false', 'true'), c.has_devices, c.has_notebooks,
  c.has_totals, c.has_sources, c.is_devices_settled, c.is_notebooks_settled, c.is_totals_settled, c.is_sources_settled
from (
  select c.usage_date, c.org_id, max(s.severity) as severity, max(c.is_stored and not c.is_reported) as has_omission,
    max(c.stream = 'device_counts' and c.is_stored) as has_devices,
    max(c.stream = 'notebook_minutes' and c.is_stored) as has_notebooks,
    max(c.stream = 'payload_totals' and c.is_stored) as has_totals,
    max(c.stream = 'payload_sources' and c.is_stored) as has_sources,
    max(c.stream = 'device_counts' and c.standing in ('final', 'waived')) as is_devices_settled,
    max(c.stream = 'notebook_minutes' and c.standing in ('final', 'waived')) as is_notebooks_settled,
    max(c.stream = 'payload_totals' and c.standing in ('final', 'waived')) as is_totals_settled,
    max(c.stream = 'payload_sources' and c.standing in ('final', 'waived')) as is_sources_settled
  from cells c join standings s on s.standing = c.standing
  where c.stream <> 'payload_hours' group by c.usage_date, c.org_id
) as c join standings w on w.severity = c.severity;

select 'cells.csv', org_id || ' ' || usage_date || ' ' || stream || ': organization without a line' from cells
where org_id not in (select org_id from orgs) limit 20;
select 'days.csv', c.org_id || ' ' || c.usage_date || ': is in cells.csv but not here'
from day_cells c left join days d on d.usage_date = c.usage_date and d.org_id = c.org_id
where d.org_id is null limit 20;
select 'days.csv', day || ': ' || problem
from (
  select d.org_id || ' ' || d.usage_date as day, case
    when c.org_id is null then 'has no cells in cells.csv'
    when d.standing <> c.standing then 'is ' || d.standing || ', but its worst cell is ' || c.standing
    when d.is_reported <> c.is_reported then 'is_reported does not match cells.csv'
    when (d.devices_created is not null) <> c.has_devices or (d.devices_deleted is not null) <> c.has_devices
      or (d.devices_total is not null) <> c.has_devices or (d.notebook_minutes is not null) <> c.has_notebooks
      or (d.notebook_completed is not null) <> c.has_notebooks or (d.notebook_canceled is not null) <> c.has_notebooks
      or (d.notebook_errored is not null) <> c.has_notebooks or (d.notebook_timeout is not null) <> c.has_notebooks
      or (d.payload_billable_count is not null) <> c.has_totals or (d.payload_all_count is not null) <> c.has_totals
      or (d.payload_all_bytes is not null) <> c.has_totals or (d.payload_source_count is not null) <> c.has_sources
      then 'has a number whose cell is not stored, or a stored cell without its number'
    end as problem
  from days d left join day_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
) where problem is not null limit 20;
-- Not a problem, because numbers are stored as they were reported. Whoever doubts them asks Losant.
select 'note: days.csv has more billable payloads than payloads on ' || group_concat(org_id || ' ' || usage_date, ', ')
from (select org_id, usage_date from days where payload_billable_count > payload_all_count
  order by org_id, usage_date limit 20) having count(*) > 0;

-- =====================================================================================================================
-- 6. Totals and lines.

select 'totals.csv', coalesce(t.metric, l.metric) || ' does not equal the sum over lines.csv'
from (
  select metric, unit, kind, count(*) as orgs, sum(quantity) as quantity from lines group by metric, unit, kind
) as l full join totals t on t.metric = l.metric
where t.metric is null or l.metric is null or t.unit <> l.unit or t.kind <> l.kind or t.orgs <> l.orgs
  or t.quantity is not l.quantity;
select 'lines.csv', l.org_id || ' ' || l.metric || ': is not a metric with this unit and kind' from lines l
left join metrics m on m.metric = l.metric and m.unit = l.unit and m.kind = l.kind where m.metric is null limit 20;
select 'lines.csv', org_id || ' ' || metric || ': quantity is not total minus billed_before' from lines
where quantity is not case when billed_before is null then total else total - billed_before end limit 20;
select 'lines.csv', org_id || ' ' || metric || ': was billed before, but the manifest names no earlier statement'
from lines where billed_before is not null
  and not exists (select 1 from manifest_json, json_each(statement -> 'earlier')) limit 20;
select 'lines.csv', org_id || ' ' || metric || ': days do not add up' from lines
where expected <> final + waived + pending + unavailable + in_doubt + missing or stored > expected
  or unreported > stored limit 20;
select 'lines.csv', org_id || ' ' || metric || ': is adjusted although it is not settled' from lines, statement s
where expected <> final + waived and (billed_before is not null or s.kind = 'adjustment') limit 20;
select 'lines.csv', org_id || ' ' || metric || ': maximum or average does not fit its kind' from lines
where (kind = 'flow' and (maximum is not null or average is not null))
  or (kind = 'level' and ((total is null) <> (maximum is null) or (total is null) <> (average is null)))
limit 20;
-- Lines that were billed before keep the customer of that statement; all others of an organization have the same one.
select 'lines.csv', org_id || ': has lines with different names, referral IDs, plans or customers'
from lines_csv where billed_before = ''
group by org_id having count(distinct org_name) > 1 or count(distinct referral_id) > 1
  or count(distinct plan_id) > 1 or count(distinct customer_id) > 1 limit 20;
select 'lines.csv', org_id || ': is_customer_changed differs between its lines' from lines_csv
group by org_id having count(distinct is_customer_changed) > 1 limit 20;

-- =====================================================================================================================
-- 7. Lines and the cells, days and sources behind them.

create table stream_days (org_id text, stream text, expected integer, stored integer, final integer, waived integer,
  pending integer, unavailable integer, in_doubt integer, missing integer, unreported integer,
  primary key (org_id, stream)) without rowid;
insert into stream_days
select org_id, stream, count(*), sum(is_stored), sum(standing = 'final'), sum(standing = 'waived'),
  sum(standing in ('stored', 'waiting')), sum(standing = 'unavailable'), sum(standing = 'in_doubt'),
  sum(standing = 'missing'), sum(is_stored and not is_reported)
from cells group by org_id, stream;
select 'lines.csv', l.org_id || ' ' || l.metric || ': its days do not match cells.csv' from lines l
join metrics m on m.metric = l.metric
left join stream_days c on c.org_id = l.org_id and c.stream = m.stream
where (l.expected, l.stored, l.final, l.waived, l.pending, l.unavailable, l.in_doubt, l.missing, l.unreported)
  is not (c.expected, c.stored, c.final, c.waived, c.pending, c.unavailable, c.in_doubt, c.missing, c.unreported)
limit 20;
-- An organization that came from another instance has lines only for what is not billed there. That is listed in the
-- manifest, without its organizations; a stream has all of its lines or none, unless something was billed before.
select 'lines.csv', c.org_id || ' ' || m.metric || ': has cells in cells.csv but no line here' from stream_days c
join metrics m on m.stream = c.stream left join lines l on l.org_id = c.org_id and l.metric = m.metric
where l.org_id is null and (select kind from statement) = 'closing'
  and not exists (select 1 from lines e where e.org_id = c.org_id and e.billed_before is not null)
  and (exists (
      select 1 from lines e join metrics k on k.metric = e.metric where e.org_id = c.org_id and k.stream = c.stream
    ) or not exists (select 1 from manifest_json, json_each(statement -> 'earlier'))) limit 20;

-- The numbers that count: those of settled cells.
create table settled_days (org_id text, usage_date text, devices_created integer, devices_deleted integer,
  devices_total integer, notebook_minutes integer, notebook_completed integer, notebook_canceled integer,
  notebook_errored integer, notebook_timeout integer, payload_billable_count integer, payload_all_count integer,
  payload_all_bytes integer, payload_source_count integer, primary key (org_id, usage_date)) without rowid;
insert into settled_days
select d.org_id, d.usage_date, iif(c.is_devices_settled, d.devices_created, null),
  iif(c.is_devices_settled, d.devices_deleted, null), iif(c.is_devices_settled, d.devices_total, null),
  iif(c.is_notebooks_settled, d.notebook_minutes, null), iif(c.is_notebooks_settled, d.notebook_completed, null),
  iif(c.is_notebooks_settled, d.notebook_canceled, null), iif(c.is_notebooks_settled, d.notebook_errored, null),
  iif(c.is_notebooks_settled, d.notebook_timeout, null), iif(c.is_totals_settled, d.payload_billable_count, null),
  iif(c.is_totals_settled, d.payload_all_count, null), iif(c.is_totals_settled, d.payload_all_bytes, null),
  iif(c.is_sources_settled, d.payload_source_count, null)
from days d join day_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
order by d.org_id, d.usage_date;

-- A flow of the month is the sum of its days.
create table flows (org_id text, metric text, total integer, primary key (org_id, metric)) without rowid;
insert into flows select org_id, 'devices_created', sum(devices_created) from settled_days group by org_id;
insert into flows select org_id, 'devices_deleted', sum(devices_deleted) from settled_days group by org_id;
insert into flows select org_id, 'notebook_minutes', sum(notebook_minutes) from settled_days group by org_id;
insert into flows select org_id, 'notebook_completed', sum(notebook_completed) from settled_days group by org_id;
insert into flows select org_id, 'notebook_canceled', sum(notebook_canceled) from settled_days group by org_id;
insert into flows select org_id, 'notebook_errored', sum(notebook_errored) from settled_days group by org_id;
insert into flows select org_id, 'notebook_timeout', sum(notebook_timeout) from settled_days group by org_id;
insert into flows select org_id, 'payload_billable_count', sum(payload_billable_count) from settled_days
group by org_id;
insert into flows select org_id, 'payload_all_count', sum(payload_all_count) from settled_days group by org_id;
insert into flows select org_id, 'payload_all_bytes', sum(payload_all_bytes) from settled_days group by org_id;
insert into flows select org_id, 'payload_source_count', sum(payload_source_count) from settled_days group by org_id;
select 'lines.csv', l.org_id || ' ' || l.metric || ': total is ' || coalesce(l.total, 'none')
  || ', which is not the sum over days.csv'
from lines l left join flows f on f.org_id = l.org_id and f.metric = l.metric
where l.kind = 'flow' and l.total is not f.total limit 20;

-- A level of the month is that of its last day with one. An average has two decimals.
create table levels (org_id text primary key, last_date text, maximum integer, average real) without rowid;
insert into levels
select org_id, max(usage_date), max(devices_total), avg(devices_total) from settled_days
where devices_total is not null group by org_id;
select 'lines.csv', l.org_id || ' ' || l.metric || ': does not match the last, greatest and average number in days.csv'
from lines l left join levels v on v.org_id = l.org_id
left join settled_days d on d.org_id = v.org_id and d.usage_date = v.last_date
where l.kind = 'level' and (l.total is not d.devices_total or l.maximum is not v.maximum
  or abs(l.average - v.average) > 0.0051 + 1e-12 * v.average) limit 20;

-- What was billed by source is what was billed.
create table source_totals (org_id text primary key, total integer) without rowid;
insert into source_totals select org_id, sum(total) from sources group by org_id;
select 'sources.csv', s.org_id || ': total does not equal payload_source_count in lines.csv' from source_totals s
left join lines l on l.org_id = s.org_id and l.metric = 'payload_source_count' where l.total is not s.total limit 20;
select 'sources.csv', org_id || ': total does not equal payload_source_count in lines.csv' from lines
where metric = 'payload_source_count' and total > 0 and org_id not in (select org_id from source_totals) limit 20;

-- =====================================================================================================================
-- 8. Revisions: one for each revision of a cell after the first, in the order of time. Each begins with what the one
-- before it stored, and the last one ends with the number of the day.

select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream || ': revision ' || r.revision
  || ' of a cell that has no such revision'
from revisions r
left join cells c on c.org_id = r.org_id and c.usage_date = r.usage_date and c.stream = r.stream
where c.org_id is null or r.revision < 2 or r.revision > c.revision limit 20;
select 'revisions.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': ' || count(r.revision)
  || ' revisions listed for a cell at revision ' || c.revision
from cells c
left join revisions r on r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream
where c.revision > 1 group by c.org_id, c.usage_date, c.stream having count(r.revision) <> c.revision - 1 limit 20;
select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream
  || ': was changed before its day ended or after the statement was created'
from revisions r cross join statement s left join calendar d on d.usage_date = r.usage_date
where r.changed_at < d.ends_at or r.changed_at > s.closed_at limit 20;
select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream || ': revision ' || r.revision
  || ' is older than the revision before it'
from revisions r
join revisions b on b.org_id = r.org_id and b.usage_date = r.usage_date and b.stream = r.stream
  and b.revision = r.revision - 1
where r.changed_at < b.changed_at limit 20;

select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream || ': revision ' || r.revision || ' changes '
  || n.key || ', which is not a number of this stream'
from revisions r, json_each(r.new) as n
where (r.stream, n.key) not in (
  select stream, metric from metrics
  union all values ('payload_sources', 'payload_sources'), ('payload_hours', 'hours_billable_count'),
    ('payload_hours', 'hours_all_count'), ('payload_hours', 'hours_all_bytes')) limit 20;

-- A number that changed: a metric, or a number of a source or an hour, by its path.
create table changes (org_id text, usage_date text, stream text, revision integer, path text, name text, old, new,
  primary key (org_id, usage_date, stream, path, revision)) without rowid;
-- Both paths are of json_tree: some versions of SQLite find no key with a quote or a backslash by its path.
insert into changes
select org_id, usage_date, stream, revision, path, name, max(old), max(new)
from (
  select r.org_id, r.usage_date, r.stream, r.revision, t.fullkey as path, iif(t.path = '$', t.key, null) as name,
    t.atom as old, null as new
  from revisions r, json_tree(r.old) as t where t.type not in ('object', 'array')
  union all
  select r.org_id, r.usage_date, r.stream, r.revision, t.fullkey, iif(t.path = '$', t.key, null), null, t.atom
  from revisions r, json_tree(r.new) as t where t.type not in ('object', 'array')
) group by org_id, usage_date, stream, revision, path, name;
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ' ' || a.stream || ': revision ' || a.revision || ' changes '
  || a.path || ' from ' || coalesce(a.old, 'none') || ', but revision ' || b.revision || ' had changed it to '
  || coalesce(b.new, 'none')
from changes a
join changes b on b.org_id = a.org_id and b.usage_date = a.usage_date and b.stream = a.stream and b.path = a.path
where b.revision = (
    select max(c.revision) from changes c
    where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream
      and c.path = a.path and c.revision < a.revision) and a.old is not b.new limit 20;
select 'revisions.csv', org_id || ' ' || usage_date || ' ' || stream || ': revision ' || revision || ' changes nothing'
from changes group by org_id, usage_date, stream, revision having sum(old is not new) = 0 limit 20;

-- The number that the last change of a metric left behind is the number of the day.
create table last_changes (org_id text, usage_date text, metric text, new, primary key (org_id, usage_date, metric))
  without rowid;
insert into last_changes
select a.org_id, a.usage_date, a.name, a.new
from changes a
where a.name in (select metric from metrics) and a.revision = (
  select max(c.revision) from changes c
  where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream and c.path = a.path);
select 'revisions.csv', c.org_id || ' ' || c.usage_date || ': its last change of ' || c.metric || ' is to '
  || coalesce(c.new, 'none') || ', but days.csv has a different number'
from last_changes c join days d on d.org_id = c.org_id and d.usage_date = c.usage_date
where c.new is not case c.metric when 'devices_created' then d.devices_created
  when 'devices_deleted' then d.devices_deleted when 'devices_total' then d.devices_total
  when 'notebook_minutes' then d.notebook_minutes when 'notebook_completed' then d.notebook_completed
  when 'notebook_canceled' then d.notebook_canceled when 'notebook_errored' then d.notebook_errored
  when 'notebook_timeout' then d.notebook_timeout when 'payload_billable_count' then d.payload_billable_count
  when 'payload_all_count' then d.payload_all_count when 'payload_all_bytes' then d.payload_all_bytes
  when 'payload_source_count' then d.payload_source_count end limit 20;

-- =====================================================================================================================
-- 9. Waivers: each waived cell has exactly one in force, which is its reason, and no other cell has.

select 'waivers.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream
  || ': is waived in cells.csv, but no waiver is in force'
from cells c left join waivers w on w.org_id = c.org_id and w.usage_date = c.usage_date and w.stream = c.stream
  and w.lifted_at is null
where c.standing = 'waived' and w.id is null limit 20;
select 'waivers.csv', org_id || ' ' || usage_date || ' ' || stream || ': has ' || count(*) || ' waivers in force'
from waivers where lifted_at is null group by org_id, usage_date, stream having count(*) > 1 limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream || ': is not the waiver that cells.csv names'
from waivers w join cells c on c.org_id = w.org_id and c.usage_date = w.usage_date and c.stream = w.stream
where w.lifted_at is null and c.standing = 'waived' and c.reason <> w.cell_reason limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream
  || ': has a waiver in force, but its cell is not waived'
from waivers w left join cells c on c.org_id = w.org_id and c.usage_date = w.usage_date and c.stream = w.stream
where c.org_id is null or (w.lifted_at is null and c.standing <> 'waived') limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream
  || ': was waived or lifted after the statement was created'
from waivers w, statement s where w.waived_at > s.closed_at or w.lifted_at > s.closed_at limit 20;

-- =====================================================================================================================
-- 10. Blockers: every cell that is not settled is covered, with its day and its stream.

select 'blockers.csv', 'position ' || position || ' is out of sequence' from blockers
where position > (select count(*) from blockers) or position < 1 limit 20;
select 'blockers.csv', 'position ' || position || ' lies outside the month' from blockers b, statement s
where b.first_day < s.first_day or b.last_day > s.last_day limit 20;
create table blocker_streams (position integer, stream text, primary key (position, stream)) without rowid;
insert or ignore into blocker_streams
select b.position, n.value from blockers b, json_each('["' || replace(b.streams, ' ', '","') || '"]') as n
where b.streams <> '';
select 'blockers.csv', 'position ' || position || ' names ' || stream || ', which is not a stream'
from blocker_streams where stream not in (select stream from streams) limit 20;
create table unsettled_cells (org_id text, cause text, usage_date text, stream text,
  primary key (org_id, cause, usage_date, stream)) without rowid;
insert into unsettled_cells
select org_id, iif(standing in ('stored', 'waiting'), 'not_final', standing), usage_date, stream from cells
where standing not in ('final', 'waived') and stream <> 'payload_hours';
select 'blockers.csv', coalesce(c.org_id, b.org_id) || ' ' || coalesce(c.cause, b.cause)
  || ': does not match cells.csv'
from (
  select org_id, cause, count(distinct usage_date) as days, min(usage_date) as first_day, max(usage_date) as last_day,
    count(distinct stream) as streams
  from unsettled_cells group by org_id, cause
) as c
full join (
  select b.*, (select count(*) from blocker_streams s where s.position = b.position and exists (
      select 1 from unsettled_cells u where u.org_id = b.org_id and u.cause = b.cause and u.stream = s.stream
    )) as matching_streams, (select count(*) from blocker_streams s where s.position = b.position) as named_streams
  from blockers b
  where b.cause in ('not_final', 'missing', 'in_doubt', 'unavailable') and b.org_id in (select org_id from orgs)
) as b on b.org_id = c.org_id and b.cause = c.cause
where (c.days, c.first_day, c.last_day, c.streams, c.streams)
  is not (b.days, b.first_day, b.last_day, b.matching_streams, b.named_streams) limit 20;

-- =====================================================================================================================
-- 11. The reconciliation in the manifest: days by stream, what it was compared with, and the outcome.

create table reconciliation (stream text, compared_with text, outcome text, reason text, days integer) strict;
insert into reconciliation
select c.value ->> 'stream', c.value ->> 'compared_with', c.value ->> 'outcome', c.value ->> 'reason',
  c.value ->> 'days'
from manifest_json m, json_each(m.statement -> 'reconciliation') as c;
select 'manifest.json', 'reconciliation of ' || r.stream || ' with ' || r.compared_with || ': is not a valid comparison'
from reconciliation r
where r.stream not in (select stream from streams)
  or (r.compared_with <> 'losant' and r.compared_with not in (select stream from streams))
  or r.outcome not in ('equal', 'differs', 'pending', 'not_compared')
  or (r.outcome in ('pending', 'not_compared')) <> (r.reason is not null)
  or r.days not between 1 and (select count(*) from calendar) limit 20;

-- Totals and sources count the same payloads. If they were compared, each day on which settled numbers of an
-- organization differ is listed as such, or its sums were still to be compared.
select 'manifest.json', 'reconciliation of payload_sources with payload_totals: ' || d.days
  || ' days of days.csv differ, but only ' || r.days || ' are listed'
from (
  select count(distinct usage_date) as days from settled_days where payload_source_count <> payload_all_count
) as d, (
  select sum(iif(outcome in ('differs', 'pending'), days, 0)) as days from reconciliation
  where stream = 'payload_sources' and (compared_with = 'payload_totals' or reason = 'not_summed')
) as r
where d.days > r.days;

-- If differences block a month, they are a blocker, and so is what was still to be compared.
select 'manifest.json', 'reconciliation ' || iif(r.has_difference, 'has a difference, but', 'has no difference, but')
  || ' blockers.csv has ' || iif(b.is_blocked, 'a', 'no') || ' not_reconciled'
from (
  select exists (
    select 1 from reconciliation where outcome = 'differs' or (outcome = 'pending' and reason <> 'not_final')
  ) as has_difference
) as r, (select exists (select 1 from blockers where cause = 'not_reconciled') as is_blocked) as b, manifest_json m
where m.statement ->> '$.rules.controlTotals' = 'block' and r.has_difference <> b.is_blocked;

select 'checked ' || sum(rows) || ' rows in ' || count(*) || ' files' from files;
