-- Checks a proof pack, version 1. Prints a row for each contradiction, and at last "checked N rows in M files". In the
-- folder of the pack: sqlite3 :memory: < pack-checks.sql. It does not check hashes, signatures and other packs.
.bail on
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

-- A month has over a million cells, and comparing each with its day and line would be most of the work. But there are
-- few different ones. So a cell becomes five bits: its rank among the standings in the lowest three (1 final to
-- 7 missing), 8 if it is stored, 16 if Losant reported it; 0 means not expected. The streams take five bits each, so a
-- day is the sum of its cells in 20 bits, and `day_kinds` works out standing and flags once per distinct sum. In
-- `stored` and `settled` each stream has one bit, at the start of its five: 1 device_counts, 32 notebook_minutes,
-- 1024 payload_totals, 32768 payload_sources. `bits >> first_bit & 7` is the rank of a stream's cell, `& 24 = 8`:
-- stored, not reported.
create table standings (standing text primary key, rank integer) strict, without rowid;
insert into standings values ('final', 1), ('waived', 2), ('stored', 3), ('waiting', 4), ('unavailable', 5),
  ('in_doubt', 6), ('missing', 7);
create table streams (stream text primary key, first_bit integer) strict, without rowid;
insert into streams values ('device_counts', 0), ('notebook_minutes', 5), ('payload_totals', 10),
  ('payload_sources', 15);
-- The combinations that a cell may have.
create table cell_kinds (stream text, standing text, is_stored text, is_reported text, rank integer, bits integer,
  primary key (stream, standing, is_stored, is_reported)) strict, without rowid;
insert into cell_kinds
select s.stream, p.standing, k.column1, k.column2, p.rank,
  (p.rank + 8 * (k.column1 = 'true') + 16 * (k.column2 = 'true')) << s.first_bit
from streams s cross join standings p
cross join (values ('true', 'true'), ('true', 'false'), ('false', 'false')) as k
where p.standing in ('waived', 'unavailable')
  or (k.column1 = 'true') = (p.standing in ('final', 'stored', 'in_doubt'));
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

select 'manifest.json', 'does not describe a statement' from manifest_json
where not coalesce(statement ->> 'month' glob '20[0-9][0-9]-[01][0-9]'
  and statement ->> 'kind' in ('closing', 'adjustment')
  and typeof(statement ->> 'orgs') = 'integer' and length(statement ->> 'instanceId') = 24
  and statement ->> 'closedAt' glob '????-??-??T??:??:??.??????Z' and julianday(statement ->> 'closedAt') is not null,
  false);
-- Five minutes are added because a run dates its reads by what it knows of the database's clock.
create table statement (month text, month_end text, kind text, reason text, orgs integer, closed_at text,
  latest_read_at text) strict;
insert into statement
select statement ->> 'month', date(statement ->> 'month' || '-01', '+1 month', '-1 day'), statement ->> 'kind',
  statement ->> 'reason', statement ->> 'orgs', statement ->> 'closedAt',
  strftime('%Y-%m-%dT%H:%M:%f', statement ->> 'closedAt', '+5 minutes')
from manifest_json;
create table calendar (usage_date text primary key, next_date text) strict, without rowid;
insert into calendar
with recursive dates (date) as (
  select month || '-01' from statement
  union all
  select date(date, '+1 day') from dates, statement where date < month_end
)
select date, date(date, '+1 day') from dates where date is not null;

-- Rows with types: those that are valid on their own and have a key of their own. An integer is valid if it is written
-- back as the same text, which 1e3, 007, +5 and " 5" are not. A minus sorts before the digits.
create table totals (metric text primary key, unit text, kind text, orgs integer, quantity integer)
  strict, without rowid;
insert or ignore into totals
select metric, unit, kind, cast(orgs as integer), cast(nullif(quantity, '') as integer) from totals_csv
where cast(orgs as integer) || '' = orgs and cast(orgs as integer) > 0
  and (quantity = '' or cast(quantity as integer) || '' = quantity);

create table lines (org_id text, metric text, unit text, kind text, quantity integer, billed_before integer,
  total integer, maximum integer, average real, expected integer, stored integer, final integer, waived integer,
  pending integer, unavailable integer, in_doubt integer, missing integer, unreported integer,
  primary key (org_id, metric)) strict, without rowid;
insert or ignore into lines
select org_id, metric, unit, kind, cast(nullif(quantity, '') as integer), cast(nullif(billed_before, '') as integer),
  cast(nullif(total, '') as integer), cast(nullif(maximum, '') as integer), cast(nullif(average, '') as real),
  cast(days_expected as integer), cast(days_stored as integer), cast(days_final as integer),
  cast(days_waived as integer), cast(days_pending as integer), cast(days_unavailable as integer),
  cast(days_in_doubt as integer), cast(days_missing as integer), cast(days_unreported as integer)
from lines_csv
where length(org_id) = 24 and org_id not glob '*[^0-9a-f]*' and is_customer_changed in ('true', 'false')
  and (quantity = '' or cast(quantity as integer) || '' = quantity)
  and (billed_before = '' or cast(billed_before as integer) || '' = billed_before)
  and (total = '' or (cast(total as integer) || '' = total and total >= '0'))
  and (maximum = '' or (cast(maximum as integer) || '' = maximum and maximum >= '0'))
  and (average = '' or (average glob '*[0-9].[0-9][0-9]' and average not glob '*[^0-9.]*'
    and average not glob '*.*.*' and average not glob '0[0-9]*'))
  and cast(days_expected as integer) || '' = days_expected and cast(days_stored as integer) || '' = days_stored
  and cast(days_final as integer) || '' = days_final and cast(days_waived as integer) || '' = days_waived
  and cast(days_pending as integer) || '' = days_pending
  and cast(days_unavailable as integer) || '' = days_unavailable
  and cast(days_in_doubt as integer) || '' = days_in_doubt and cast(days_missing as integer) || '' = days_missing
  and cast(days_unreported as integer) || '' = days_unreported;
create table orgs (org_id text primary key) strict, without rowid;
insert into orgs select distinct org_id from lines;

create table sources (org_id text, payload_type text, source text, total integer,
  primary key (org_id, payload_type, source)) strict, without rowid;
insert or ignore into sources select org_id, payload_type, source, cast(total as integer) from sources_csv
where cast(total as integer) || '' = total and total >= '0';

create table cells (usage_date text, org_id text, stream text, rank integer, bits integer, revision integer,
  primary key (usage_date, org_id, stream)) strict, without rowid;
insert or ignore into cells
select c.usage_date, c.org_id, c.stream, k.rank, k.bits, cast(c.revision as integer)
from statement s cross join cells_csv c
cross join cell_kinds k on k.stream = c.stream and k.standing = c.standing and k.is_stored = c.is_stored
  and k.is_reported = c.is_reported
where (c.revision = '1'
    or (cast(c.revision as integer) || '' = c.revision and c.revision >= iif(c.is_stored = 'true', '1', '0')))
  and length(c.response_sha256) in (0, 64) and c.reason is not null
  and case when c.last_read_at = '' then k.rank <> 1
    else c.last_read_at glob '????-??-??T??:??:??.??????Z' and julianday(c.last_read_at) is not null
      and c.last_read_at >= c.usage_date || 'T24' and c.last_read_at <= s.latest_read_at end;

-- What the cells of a day are together: few different sums, each of many days.
create table day_cells (usage_date text, org_id text, bits integer, primary key (usage_date, org_id))
  strict, without rowid;
insert into day_cells select usage_date, org_id, sum(bits) from cells group by usage_date, org_id;
create table day_kinds (bits integer primary key, standing text, is_reported text, stored integer, settled integer)
  strict;
insert into day_kinds
select k.bits, p.standing, iif(k.has_omission, 'false', 'true'), k.stored, k.settled
from (
  select d.bits, max(d.bits >> s.first_bit & 7) as worst_rank, max(d.bits >> s.first_bit & 24 = 8) as has_omission,
    sum((d.bits >> s.first_bit & 8 <> 0) << s.first_bit) as stored,
    sum((d.bits >> s.first_bit & 7 <= 2) << s.first_bit) as settled
  from (select distinct bits from day_cells) as d join streams s on d.bits >> s.first_bit & 31 <> 0
  group by d.bits
) as k join standings p on p.rank = k.worst_rank;

create table days (usage_date text, org_id text, settled integer, devices_created integer, devices_deleted integer,
  devices_total integer, notebook_minutes integer, notebook_completed integer, notebook_canceled integer,
  notebook_errored integer, notebook_timeout integer, payload_billable_count integer, payload_all_count integer,
  payload_all_bytes integer, payload_source_count integer, primary key (usage_date, org_id)) strict, without rowid;
insert or ignore into days
select d.usage_date, d.org_id, t.settled, cast(nullif(d.devices_created, '') as integer),
  cast(nullif(d.devices_deleted, '') as integer), cast(nullif(d.devices_total, '') as integer),
  cast(nullif(d.notebook_minutes, '') as integer), cast(nullif(d.notebook_completed, '') as integer),
  cast(nullif(d.notebook_canceled, '') as integer), cast(nullif(d.notebook_errored, '') as integer),
  cast(nullif(d.notebook_timeout, '') as integer), cast(nullif(d.payload_billable_count, '') as integer),
  cast(nullif(d.payload_all_count, '') as integer), cast(nullif(d.payload_all_bytes, '') as integer),
  cast(nullif(d.payload_source_count, '') as integer)
from days_csv d cross join day_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
cross join day_kinds t on t.bits = c.bits
where d.standing = t.standing and d.is_reported = t.is_reported
  and case when t.stored & 1 then
    cast(d.devices_created as integer) || '' = d.devices_created and d.devices_created >= '0' and
    cast(d.devices_deleted as integer) || '' = d.devices_deleted and d.devices_deleted >= '0' and
    cast(d.devices_total as integer) || '' = d.devices_total and d.devices_total >= '0'
    else d.devices_created || d.devices_deleted || d.devices_total = '' end
  and case when t.stored & 32 then
    cast(d.notebook_minutes as integer) || '' = d.notebook_minutes and d.notebook_minutes >= '0' and
    cast(d.notebook_completed as integer) || '' = d.notebook_completed and d.notebook_completed >= '0' and
    cast(d.notebook_canceled as integer) || '' = d.notebook_canceled and d.notebook_canceled >= '0' and
    cast(d.notebook_errored as integer) || '' = d.notebook_errored and d.notebook_errored >= '0' and
    cast(d.notebook_timeout as integer) || '' = d.notebook_timeout and d.notebook_timeout >= '0'
    else d.notebook_minutes || d.notebook_completed || d.notebook_canceled || d.notebook_errored
      || d.notebook_timeout = '' end
  and case when t.stored & 1024 then
    cast(d.payload_billable_count as integer) || '' = d.payload_billable_count and d.payload_billable_count >= '0' and
    cast(d.payload_all_count as integer) || '' = d.payload_all_count and d.payload_all_count >= '0' and
    cast(d.payload_all_bytes as integer) || '' = d.payload_all_bytes and d.payload_all_bytes >= '0'
    else d.payload_billable_count || d.payload_all_count || d.payload_all_bytes = '' end
  and case when t.stored & 32768 then
    cast(d.payload_source_count as integer) || '' = d.payload_source_count and d.payload_source_count >= '0'
    else d.payload_source_count = '' end;

create table revisions (org_id text, usage_date text, stream text, revision integer, old text, new text,
  changed_at text, primary key (org_id, usage_date, stream, revision)) strict, without rowid;
insert or ignore into revisions
select org_id, usage_date, stream, cast(revision as integer), old, new, changed_at from revisions_csv
where cast(revision as integer) || '' = revision and json_valid(old) and json_valid(new)
  and was_final in ('true', 'false') and run_id is not null
  and changed_at glob '????-??-??T??:??:??.??????Z' and julianday(changed_at) is not null;

-- A person's waiver has no run, and the program's has one and always the same reason.
create table waivers (id integer primary key, org_id text, usage_date text, stream text, waived_at text,
  lifted_at text) strict;
insert or ignore into waivers
select cast(id as integer), org_id, usage_date, stream, waived_at, nullif(lifted_at, '') from waivers_csv
where cast(id as integer) || '' = id and reason <> '' and waived_by <> '' and (lifted_at = '' or lifted_at >= waived_at)
  and case kind when 'person' then waived_by_run = ''
    when 'program' then waived_by_run <> '' and reason = 'before_creation' else false end
  and waived_at glob '????-??-??T??:??:??.??????Z' and julianday(waived_at) is not null;

create table blockers (position integer primary key, org_id text, cause text, days integer, first_day text,
  last_day text, streams text) strict;
insert or ignore into blockers
select cast(position as integer), nullif(org_id, ''), cause, cast(nullif(days, '') as integer), first_day, last_day,
  streams
from blockers_csv
where cast(position as integer) || '' = position and (days = '' or cast(days as integer) || '' = days)
  and remedy is not null and first_day <= last_day and cause in ('list_incomplete', 'not_final', 'missing', 'in_doubt',
    'unavailable', 'not_fully_tracked', 'not_reconciled');

-- Where rows are not valid: which are not, and how many repeat the key of another row.
create table files (file text primary key, rows integer, valid_rows integer) strict, without rowid;
insert into files values
  ('totals.csv', (select count(*) from totals_csv), (select count(*) from totals)),
  ('lines.csv', (select count(*) from lines_csv), (select count(*) from lines)),
  ('sources.csv', (select count(*) from sources_csv), (select count(*) from sources)),
  ('days.csv', (select count(*) from days_csv), (select count(*) from days)),
  ('cells.csv', (select count(*) from cells_csv), (select count(*) from cells)),
  ('revisions.csv', (select count(*) from revisions_csv), (select count(*) from revisions)),
  ('waivers.csv', (select count(*) from waivers_csv), (select count(*) from waivers)),
  ('blockers.csv', (select count(*) from blockers_csv), (select count(*) from blockers));
create table invalid_rows (file text, line integer, problem text);
create view invalid_files as select file from files where rows > valid_rows;
insert into invalid_rows select f.file, c.rowid, ' is not a valid total' from invalid_files f cross join totals_csv c
left join totals t on t.metric = c.metric where f.file = 'totals.csv' and t.metric is null;
insert into invalid_rows select f.file, c.rowid, ' is not a valid line' from invalid_files f cross join lines_csv c
left join lines t on t.org_id = c.org_id and t.metric = c.metric where f.file = 'lines.csv' and t.org_id is null;
insert into invalid_rows select f.file, c.rowid, ' is not a valid source' from invalid_files f cross join sources_csv c
left join sources t on t.org_id = c.org_id and t.payload_type = c.payload_type and t.source = c.source
where f.file = 'sources.csv' and t.org_id is null;
insert into invalid_rows
select f.file, c.rowid, ', ' || c.org_id || ' ' || c.usage_date || ' ' || c.stream || case
    when c.usage_date not in (select usage_date from calendar) then ': day outside the month'
    when c.last_read_at < c.usage_date || 'T24' and c.last_read_at <> '' then ': was read before its day ended'
    when c.last_read_at > s.latest_read_at then ': was read after the statement was created'
    when c.standing in (select standing from standings) and (
      k.rank is null or (c.is_stored = 'true' and c.revision = '0') or (c.standing = 'final' and c.last_read_at = ''))
      then ': is ' || c.standing || ', but its numbers are ' || iif(c.is_stored = 'true', '', 'not ') || 'stored'
    else ': is not a valid cell' end
from invalid_files f cross join statement s cross join cells_csv c
left join cell_kinds k on k.stream = c.stream and k.standing = c.standing and k.is_stored = c.is_stored
  and k.is_reported = c.is_reported
left join cells t on t.usage_date = c.usage_date and t.org_id = c.org_id and t.stream = c.stream
where f.file = 'cells.csv' and t.org_id is null;
insert into invalid_rows
select f.file, d.rowid, ', ' || d.org_id || ' ' || d.usage_date || case
    when t.bits is null then ': has no cells in cells.csv'
    when d.standing in (select standing from standings) and d.standing <> t.standing
      then ': is ' || d.standing || ', but its worst cell is ' || t.standing
    when d.is_reported in ('true', 'false') and d.is_reported <> t.is_reported
      then ': is_reported does not match cells.csv'
    when (d.devices_created <> '') + (d.devices_deleted <> '') + (d.devices_total <> '') <> 3 * (t.stored & 1 <> 0)
      or (d.notebook_minutes <> '') + (d.notebook_completed <> '') + (d.notebook_canceled <> '')
        + (d.notebook_errored <> '') + (d.notebook_timeout <> '') <> 5 * (t.stored & 32 <> 0)
      or (d.payload_billable_count <> '') + (d.payload_all_count <> '') + (d.payload_all_bytes <> '')
        <> 3 * (t.stored & 1024 <> 0)
      or (d.payload_source_count <> '') <> 1 * (t.stored & 32768 <> 0)
      then ': has a number whose cell is not stored, or a stored cell without its number'
    else ': is not a valid day' end
from invalid_files f cross join days_csv d
left join day_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
left join day_kinds t on t.bits = c.bits
left join days y on y.usage_date = d.usage_date and y.org_id = d.org_id
where f.file = 'days.csv' and y.org_id is null;
insert into invalid_rows
select f.file, c.rowid, ' is not a valid revision' from invalid_files f cross join revisions_csv c
left join revisions t on t.org_id = c.org_id and t.usage_date = c.usage_date and t.stream = c.stream
  and t.revision = cast(c.revision as integer)
where f.file = 'revisions.csv' and t.org_id is null;
insert into invalid_rows select f.file, c.rowid, ' is not a valid waiver' from invalid_files f cross join waivers_csv c
left join waivers t on t.id = cast(c.id as integer) where f.file = 'waivers.csv' and t.id is null;
insert into invalid_rows
select f.file, c.rowid, ' is not a valid blocker' from invalid_files f cross join blockers_csv c
left join blockers t on t.position = cast(c.position as integer) where f.file = 'blockers.csv' and t.position is null;
select file, 'line ' || line || problem
from (select *, row_number() over (partition by file order by line) as position from invalid_rows)
where position <= 20;
select file, repetitions || ' rows repeat the key of another row'
from (
  select file, rows - valid_rows - (select count(*) from invalid_rows i where i.file = files.file) as repetitions
  from files
) where repetitions > 0;

-- Days and their cells.
select 'cells.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': organization without a line'
from day_cells d cross join cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
where d.org_id not in (select org_id from orgs) limit 20;
select 'cells.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': day outside the month'
from day_cells d cross join cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
where d.usage_date not in (select usage_date from calendar) limit 20;
select 'days.csv', c.org_id || ' ' || c.usage_date || ': is in cells.csv but not here'
from (select 1 where (select count(*) from days) < (select count(*) from day_cells)) cross join day_cells c
left join days_csv d on d.org_id = c.org_id and d.usage_date = c.usage_date where d.org_id is null limit 20;
drop table days_csv;
drop table cells_csv;

-- The statement.
select 'manifest.json', 'was closed before its month had ended' from statement
where closed_at < date(month_end, '+1 day');
select 'manifest.json', 'orgs is ' || orgs || ', but lines.csv has ' || (select count(*) from orgs) from statement
where orgs <> (select count(*) from orgs);
select 'manifest.json', 'has a reason, although nothing blocked it' from statement
where reason is not null and not exists (select 1 from blockers);
select 'manifest.json', 'has no reason, although something blocked it' from statement
where reason is null and exists (select 1 from blockers);

-- Totals and lines.
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
select 'lines.csv', org_id || ' ' || metric || ': days do not add up' from lines
where expected < 1 or expected <> final + waived + pending + unavailable + in_doubt + missing or stored > expected
  or unreported > stored
  or min(final, waived, pending, unavailable, in_doubt, missing, unreported, stored) < 0 limit 20;
select 'lines.csv', org_id || ' ' || metric || ': is adjusted although it is not settled' from lines, statement s
where expected <> final + waived and (billed_before is not null or s.kind = 'adjustment') limit 20;
select 'lines.csv', org_id || ' ' || metric || ': maximum or average does not fit its kind' from lines
where (kind = 'flow' and (maximum is not null or average is not null))
  or (kind = 'level' and ((total is null) <> (maximum is null) or (total is null) <> (average is null)))
limit 20;

-- Lines and their cells, days and sources.
create table stream_days (org_id text, stream text, expected integer, stored integer, final integer, waived integer,
  pending integer, unavailable integer, in_doubt integer, missing integer, unreported integer,
  primary key (org_id, stream)) strict, without rowid;
insert into stream_days
select d.org_id, s.stream, sum(d.days), sum(d.days * (d.bits >> s.first_bit & 8 <> 0)),
  sum(d.days * (d.bits >> s.first_bit & 7 = 1)), sum(d.days * (d.bits >> s.first_bit & 7 = 2)),
  sum(d.days * (d.bits >> s.first_bit & 7 in (3, 4))), sum(d.days * (d.bits >> s.first_bit & 7 = 5)),
  sum(d.days * (d.bits >> s.first_bit & 7 = 6)), sum(d.days * (d.bits >> s.first_bit & 7 = 7)),
  sum(d.days * (d.bits >> s.first_bit & 24 = 8))
from (select org_id, bits, count(*) as days from day_cells group by org_id, bits) as d
join streams s on d.bits >> s.first_bit & 31 <> 0
group by d.org_id, s.stream;
select 'lines.csv', l.org_id || ' ' || l.metric || ': its days do not match cells.csv' from lines l
join metrics m on m.metric = l.metric
left join stream_days c on c.org_id = l.org_id and c.stream = m.stream
where (l.expected, l.stored, l.final, l.waived, l.pending, l.unavailable, l.in_doubt, l.missing, l.unreported)
  is not (c.expected, c.stored, c.final, c.waived, c.pending, c.unavailable, c.in_doubt, c.missing, c.unreported)
limit 20;
select 'lines.csv', c.org_id || ' ' || m.metric || ': has cells in cells.csv but no line here' from stream_days c
join metrics m on m.stream = c.stream left join lines l on l.org_id = c.org_id and l.metric = m.metric
where l.org_id is null and (select kind from statement) = 'closing'
  and not exists (select 1 from lines e where e.org_id = c.org_id and e.billed_before is not null) limit 20;
create table sums (org_id text primary key, devices_created integer, devices_deleted integer, devices_sum integer,
  devices_max integer, devices_days integer, devices_last_date text, notebook_minutes integer,
  notebook_completed integer, notebook_canceled integer, notebook_errored integer, notebook_timeout integer,
  payload_billable_count integer, payload_all_count integer, payload_all_bytes integer, payload_source_count integer)
  strict, without rowid;
insert into sums
select org_id, sum(case when settled & 1 then devices_created end), sum(case when settled & 1 then devices_deleted end),
  sum(case when settled & 1 then devices_total end), max(case when settled & 1 then devices_total end),
  count(case when settled & 1 then devices_total end),
  max(case when settled & 1 and devices_total is not null then usage_date end),
  sum(case when settled & 32 then notebook_minutes end), sum(case when settled & 32 then notebook_completed end),
  sum(case when settled & 32 then notebook_canceled end), sum(case when settled & 32 then notebook_errored end),
  sum(case when settled & 32 then notebook_timeout end), sum(case when settled & 1024 then payload_billable_count end),
  sum(case when settled & 1024 then payload_all_count end), sum(case when settled & 1024 then payload_all_bytes end),
  sum(case when settled & 32768 then payload_source_count end)
from days group by org_id;
select 'lines.csv', l.org_id || ' ' || l.metric || ': total is ' || coalesce(l.total, 'none')
  || ', which is not the sum over days.csv'
from lines l left join sums s on s.org_id = l.org_id
where l.kind = 'flow' and l.total is not case l.metric when 'devices_created' then s.devices_created
  when 'devices_deleted' then s.devices_deleted when 'notebook_minutes' then s.notebook_minutes
  when 'notebook_completed' then s.notebook_completed when 'notebook_canceled' then s.notebook_canceled
  when 'notebook_errored' then s.notebook_errored when 'notebook_timeout' then s.notebook_timeout
  when 'payload_billable_count' then s.payload_billable_count when 'payload_all_count' then s.payload_all_count
  when 'payload_all_bytes' then s.payload_all_bytes when 'payload_source_count' then s.payload_source_count end
limit 20;
select 'lines.csv', l.org_id || ' ' || l.metric || ': does not match the last, greatest and average number in days.csv'
from lines l left join sums s on s.org_id = l.org_id
left join days e on e.usage_date = s.devices_last_date and e.org_id = l.org_id
where l.kind = 'level' and (l.total is not e.devices_total or l.maximum is not s.devices_max
  or abs(l.average * s.devices_days - s.devices_sum) > 0.0051 * s.devices_days + 1e-12 * s.devices_sum) limit 20;
create table source_sums (org_id text primary key, total integer) strict, without rowid;
insert into source_sums select org_id, sum(total) from sources group by org_id;
select 'sources.csv', s.org_id || ': total does not equal payload_source_count in lines.csv' from source_sums s
left join lines l on l.org_id = s.org_id and l.metric = 'payload_source_count' where l.total is not s.total limit 20;
select 'sources.csv', l.org_id || ': total does not equal payload_source_count in lines.csv' from lines l
where l.metric = 'payload_source_count' and l.total > 0 and l.org_id not in (select org_id from source_sums) limit 20;

-- Revisions: one for each revision of a cell after the first. Each begins with what the one before it stored, and the
-- last one ends with the value of the day.
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
from revisions r, statement s left join calendar d on d.usage_date = r.usage_date
where r.changed_at < d.next_date or r.changed_at > s.closed_at limit 20;
create table changes (org_id text, usage_date text, stream text, revision integer, path text, metric text, old, new,
  primary key (org_id, usage_date, stream, path, revision)) without rowid;
insert into changes
select r.org_id, r.usage_date, r.stream, r.revision, t.fullkey, m.metric, json_extract(r.old, t.fullkey), t.atom
from revisions r, json_tree(r.new) as t left join metrics m on t.path = '$' and m.metric = t.key
where t.type not in ('object', 'array');
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ' ' || a.stream || ': revision ' || a.revision || ' changes '
  || a.path || ' from ' || coalesce(a.old, 'none') || ', but revision ' || b.revision || ' had changed it to '
  || coalesce(b.new, 'none')
from changes a
join changes b on b.org_id = a.org_id and b.usage_date = a.usage_date and b.stream = a.stream and b.path = a.path
where b.revision = (
    select max(c.revision) from changes c
    where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream
      and c.path = a.path and c.revision < a.revision) and a.old is not b.new limit 20;
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ' ' || a.stream || ': revision ' || a.revision
  || ' changes nothing'
from changes a
group by a.org_id, a.usage_date, a.stream, a.revision having sum(a.old is not a.new) = 0 limit 20;
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ': its last change of ' || a.metric || ' is to '
  || coalesce(a.new, 'none') || ', but days.csv has a different number'
from changes a join days d on d.org_id = a.org_id and d.usage_date = a.usage_date
where a.revision = (
    select max(c.revision) from changes c
    where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream and c.path = a.path)
  and a.metric is not null and a.new is not case a.metric when 'devices_created' then d.devices_created
    when 'devices_deleted' then d.devices_deleted when 'devices_total' then d.devices_total
    when 'notebook_minutes' then d.notebook_minutes when 'notebook_completed' then d.notebook_completed
    when 'notebook_canceled' then d.notebook_canceled when 'notebook_errored' then d.notebook_errored
    when 'notebook_timeout' then d.notebook_timeout when 'payload_billable_count' then d.payload_billable_count
    when 'payload_all_count' then d.payload_all_count when 'payload_all_bytes' then d.payload_all_bytes
    when 'payload_source_count' then d.payload_source_count end limit 20;

-- Waivers: each waived cell has one in force, and no other cell has.
select 'waivers.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream
  || ': is waived in cells.csv, but no waiver is in force'
from cells c
where c.rank = 2 and not exists (
  select 1 from waivers w where w.org_id = c.org_id and w.usage_date = c.usage_date and w.stream = c.stream
    and w.lifted_at is null)
limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream
  || ': has a waiver in force, but its cell is not waived'
from waivers w left join cells c on c.org_id = w.org_id and c.usage_date = w.usage_date and c.stream = w.stream
where c.org_id is null or (w.lifted_at is null and c.rank <> 2) limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream
  || ': was waived after the statement was created'
from waivers w, statement s where w.waived_at > s.closed_at limit 20;

-- Blockers: every cell that is not settled is covered, with its day.
select 'blockers.csv', 'position ' || position || ' is out of sequence' from blockers
where position > (select count(*) from blockers) or position < 1 limit 20;
select 'blockers.csv', 'position ' || position || ' lies outside the month' from blockers, statement s
where first_day < s.month || '-01' or last_day > s.month_end limit 20;
select 'blockers.csv', coalesce(c.org_id, b.org_id) || ' ' || coalesce(c.cause, b.cause)
  || ': does not match cells.csv'
from (
  select org_id, cause, count(distinct usage_date) as days, min(usage_date) as first_day,
    max(usage_date) as last_day, count(distinct stream) as streams
  from (
    select c.org_id, c.usage_date, c.stream, case when c.rank in (3, 4) then 'not_final' else p.standing end as cause
    from cells c join standings p on p.rank = c.rank where c.rank > 2
  ) group by org_id, cause
) as c full join (
  select * from blockers
  where cause in ('not_final', 'missing', 'in_doubt', 'unavailable') and org_id in (select org_id from orgs)
) as b on b.org_id = c.org_id and b.cause = c.cause
where b.org_id is null or c.org_id is null or (c.days, c.first_day, c.last_day) is not (b.days, b.first_day, b.last_day)
  or c.streams <> length(b.streams) - length(replace(b.streams, ' ', '')) + 1 limit 20;

select 'checked ' || sum(rows) || ' rows in ' || count(*) || ' files' from files;
