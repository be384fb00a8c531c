-- Checks a proof pack, version 1: a row for each contradiction, and at last "checked N rows of M files". In the pack's
-- folder: sqlite3 :memory: < pack-checks.sql. Hashes, signatures and other packs are not looked at here.
.bail on
create table manifest_json (statement text);
insert into manifest_json values (cast(readfile('manifest.json') as text) ->> '$.statement');
create table totals_csv (metric text, unit text, kind text, orgs text, quantity text);
create table lines_csv (org_id text, org_name text, referral_id text, plan_id text, customer_id text, is_customer_changed text, metric text, unit text,
  kind text, quantity text, billed_before text, total text, maximum text, average text, days_expected text, days_stored text, days_final text,
  days_accepted text, days_open text, days_unavailable text, days_in_doubt text, days_missing text, days_unreported text);
create table sources_csv (org_id text, payload_type text, source text, total text);
create table days_csv (org_id text, usage_date text, standing text, is_reported text, devices_created text, devices_deleted text, devices_total text,
  notebook_minutes text, notebook_completed text, notebook_canceled text, notebook_errored text, notebook_timeout text,
  payload_billable_count text, payload_all_count text, payload_all_bytes text, payload_source_count text);
create table cells_csv (org_id text, usage_date text, stream text, standing text, is_stored text, is_reported text, revision text, verified_at text,
  response_sha256 text, reason text);
create table revisions_csv (org_id text, usage_date text, stream text, revision text, old text, new text, was_final text, changed_at text, run_id text);
create table waivers_csv (org_id text, usage_date text, stream text, id text, reason text, waived_by text, waived_at text, lifted_at text);
create table blockers_csv (position text, org_id text, org_name text, cause text, days text, first_day text, last_day text, streams text, message text,
  what_to_do text);
.import --csv totals.csv totals_csv
.import --csv lines.csv lines_csv
.import --csv sources.csv sources_csv
.import --csv days.csv days_csv
.import --csv cells.csv cells_csv
.import --csv revisions.csv revisions_csv
.import --csv waivers.csv waivers_csv
.import --csv blockers.csv blockers_csv
-- ---------------------------------------------------------------- what is above this line is for the sqlite3 shell

-- The names of the columns, which came in as the first row.
select 'totals.csv', 'names other columns' where (select * from totals_csv where rowid = 1) is not ('metric', 'unit', 'kind', 'orgs', 'quantity');
select 'lines.csv', 'names other columns' where (select * from lines_csv where rowid = 1) is not
  ('org_id', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'is_customer_changed', 'metric', 'unit', 'kind', 'quantity', 'billed_before',
  'total', 'maximum', 'average', 'days_expected', 'days_stored', 'days_final', 'days_accepted', 'days_open', 'days_unavailable',
  'days_in_doubt', 'days_missing', 'days_unreported');
select 'sources.csv', 'names other columns' where (select * from sources_csv where rowid = 1) is not ('org_id', 'payload_type', 'source', 'total');
select 'days.csv', 'names other columns' where (select * from days_csv where rowid = 1) is not
  ('org_id', 'usage_date', 'standing', 'is_reported', 'devices_created', 'devices_deleted', 'devices_total', 'notebook_minutes',
  'notebook_completed', 'notebook_canceled', 'notebook_errored', 'notebook_timeout', 'payload_billable_count', 'payload_all_count',
  'payload_all_bytes', 'payload_source_count');
select 'cells.csv', 'names other columns' where (select * from cells_csv where rowid = 1) is not
  ('org_id', 'usage_date', 'stream', 'standing', 'is_stored', 'is_reported', 'revision', 'verified_at', 'response_sha256', 'reason');
select 'revisions.csv', 'names other columns' where (select * from revisions_csv where rowid = 1) is not
  ('org_id', 'usage_date', 'stream', 'revision', 'old', 'new', 'was_final', 'changed_at', 'run_id');
select 'waivers.csv', 'names other columns' where (select * from waivers_csv where rowid = 1) is not
  ('org_id', 'usage_date', 'stream', 'id', 'reason', 'waived_by', 'waived_at', 'lifted_at');
select 'blockers.csv', 'names other columns' where (select * from blockers_csv where rowid = 1) is not
  ('position', 'org_id', 'org_name', 'cause', 'days', 'first_day', 'last_day', 'streams', 'message', 'what_to_do');
delete from totals_csv where rowid = 1;
delete from lines_csv where rowid = 1;
delete from sources_csv where rowid = 1;
delete from days_csv where rowid = 1;
delete from cells_csv where rowid = 1;
delete from revisions_csv where rowid = 1;
delete from waivers_csv where rowid = 1;
delete from blockers_csv where rowid = 1;

-- Worst last. A stream is a bit, so that a sum says which streams of a day are stored or settled, and the first of five
-- bits for how each of them is.
create table standings (standing text primary key, place integer) strict, without rowid;
insert into standings values ('final', 1), ('accepted', 2), ('stored', 3), ('waiting', 4), ('unavailable', 5), ('in_doubt', 6), ('missing', 7);
create table streams (stream text primary key, bit integer, first integer) strict, without rowid;
insert into streams values ('device_counts', 1, 0), ('notebook_minutes', 2, 5), ('payload_totals', 4, 10), ('payload_sources', 8, 15), ('payload_hours', 16, 20);

-- What a row is written with. An integer is the text that it is written back as: 1e3, 007, +5 and " 5" are none.
select 'manifest.json', 'is not that of a statement' from manifest_json
where not coalesce(statement ->> 'month' glob '20[0-9][0-9]-[01][0-9]' and statement ->> 'kind' in ('closing', 'adjustment')
  and typeof(statement ->> 'orgs') = 'integer' and length(statement ->> 'instanceId') = 24
  and statement ->> 'closedAt' glob '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z', false);
select 'totals.csv', 'line ' || rowid || ' is not written as a total' from totals_csv
where cast(orgs as integer) || '' <> orgs or cast(orgs as integer) < 1 or quantity is null or (quantity <> '' and cast(quantity as integer) || '' <> quantity) limit 20;
select 'lines.csv', 'line ' || rowid || ' is not written as a line' from lines_csv
where length(org_id) <> 24 or org_id glob '*[^0-9a-f]*' or is_customer_changed not in ('true', 'false')
  or (quantity <> '' and cast(quantity as integer) || '' <> quantity) or (billed_before <> '' and cast(billed_before as integer) || '' <> billed_before)
  or (total <> '' and (cast(total as integer) || '' <> total or cast(total as integer) < 0))
  or (maximum <> '' and (cast(maximum as integer) || '' <> maximum or cast(maximum as integer) < 0))
  or (average <> '' and (average not glob '*[0-9].[0-9][0-9]' or average glob '*[^0-9.]*' or average glob '*.*.*' or average glob '0[0-9]*'))
  or cast(days_expected as integer) || ' ' || cast(days_stored as integer) || ' ' || cast(days_final as integer) || ' ' || cast(days_accepted as integer)
    || ' ' || cast(days_open as integer) || ' ' || cast(days_unavailable as integer) || ' ' || cast(days_in_doubt as integer)
    || ' ' || cast(days_missing as integer) || ' ' || cast(days_unreported as integer)
    <> days_expected || ' ' || days_stored || ' ' || days_final || ' ' || days_accepted || ' ' || days_open || ' ' || days_unavailable || ' '
    || days_in_doubt || ' ' || days_missing || ' ' || days_unreported
  or days_unreported is null limit 20;
select 'sources.csv', 'line ' || rowid || ' is not written as a source' from sources_csv
where total is null or cast(total as integer) || '' <> total or cast(total as integer) < 0 limit 20;
select 'days.csv', 'line ' || rowid || ' is not written as a day' from days_csv
where standing not in (select standing from standings) or is_reported not in ('true', 'false')
  or payload_source_count is null
  or (devices_created <> '' and (cast(devices_created as integer) || '' <> devices_created or devices_created glob '-*'))
  or (devices_deleted <> '' and (cast(devices_deleted as integer) || '' <> devices_deleted or devices_deleted glob '-*'))
  or (devices_total <> '' and (cast(devices_total as integer) || '' <> devices_total or devices_total glob '-*'))
  or (notebook_minutes <> '' and (cast(notebook_minutes as integer) || '' <> notebook_minutes or notebook_minutes glob '-*'))
  or (notebook_completed <> '' and (cast(notebook_completed as integer) || '' <> notebook_completed or notebook_completed glob '-*'))
  or (notebook_canceled <> '' and (cast(notebook_canceled as integer) || '' <> notebook_canceled or notebook_canceled glob '-*'))
  or (notebook_errored <> '' and (cast(notebook_errored as integer) || '' <> notebook_errored or notebook_errored glob '-*'))
  or (notebook_timeout <> '' and (cast(notebook_timeout as integer) || '' <> notebook_timeout or notebook_timeout glob '-*'))
  or (payload_billable_count <> '' and (cast(payload_billable_count as integer) || '' <> payload_billable_count or payload_billable_count glob '-*'))
  or (payload_all_count <> '' and (cast(payload_all_count as integer) || '' <> payload_all_count or payload_all_count glob '-*'))
  or (payload_all_bytes <> '' and (cast(payload_all_bytes as integer) || '' <> payload_all_bytes or payload_all_bytes glob '-*'))
  or (payload_source_count <> '' and (cast(payload_source_count as integer) || '' <> payload_source_count or payload_source_count glob '-*')) limit 20;
select 'cells.csv', 'line ' || rowid || ' is not written as a cell' from cells_csv
where stream not in (select stream from streams)
  or standing not in (select standing from standings)
  or is_stored not in ('true', 'false') or is_reported not in ('true', 'false') or reason is null
  or cast(revision as integer) || '' <> revision or revision glob '-*'
  or (verified_at <> '' and verified_at not glob '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')
  or length(response_sha256) not in (0, 64) limit 20;
select 'revisions.csv', 'line ' || rowid || ' is not written as a revision' from revisions_csv
where cast(revision as integer) || '' <> revision or not json_valid(old) or not json_valid(new) or was_final not in ('true', 'false') or run_id is null
  or changed_at not glob '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z' limit 20;
select 'waivers.csv', 'line ' || rowid || ' is not written as a waiver' from waivers_csv
where cast(id as integer) || '' <> id or reason = '' or waived_by = '' or lifted_at is null
  or waived_at not glob '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'
  or (lifted_at <> '' and lifted_at < waived_at) limit 20;
select 'blockers.csv', 'line ' || rowid || ' is not written as a blocker' from blockers_csv
where cast(position as integer) || '' <> position or (days <> '' and cast(days as integer) || '' <> days) or what_to_do is null
  or first_day > last_day or cause not in ('list_incomplete', 'not_final', 'missing', 'in_doubt', 'unavailable', 'not_fully_tracked', 'contradicted') limit 20;

-- Typed, each row once.
create table counted (file text, rows integer);
insert into counted select 'totals.csv', count(*) from totals_csv
  union all select 'lines.csv', count(*) from lines_csv union all select 'sources.csv', count(*) from sources_csv
  union all select 'days.csv', count(*) from days_csv union all select 'cells.csv', count(*) from cells_csv
  union all select 'revisions.csv', count(*) from revisions_csv union all select 'waivers.csv', count(*) from waivers_csv
  union all select 'blockers.csv', count(*) from blockers_csv;

create table statement (month text, month_end text, kind text, reason text, orgs integer, closed_at text, read_by text) strict;
insert into statement select statement ->> 'month', date(statement ->> 'month' || '-01', '+1 month', '-1 day'), statement ->> 'kind',
  statement ->> 'reason', statement ->> 'orgs', statement ->> 'closedAt', strftime('%Y-%m-%dT%H:%M:%f', statement ->> 'closedAt', '+5 minutes')
from manifest_json;
create table calendar (usage_date text primary key, over text) strict, without rowid;
insert into calendar with recursive days (day) as (select month || '-01' from statement union all select date(day, '+1 day') from days, statement where day < month_end)
  select day, date(day, '+1 day') from days where day is not null;

create table metrics (metric text primary key, stream text, unit text, kind text) strict, without rowid;
insert into metrics values
  ('devices_created', 'device_counts', 'devices', 'flow'), ('devices_deleted', 'device_counts', 'devices', 'flow'),
  ('devices_total', 'device_counts', 'devices', 'level'), ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow'),
  ('notebook_completed', 'notebook_minutes', 'executions', 'flow'), ('notebook_canceled', 'notebook_minutes', 'executions', 'flow'),
  ('notebook_errored', 'notebook_minutes', 'executions', 'flow'), ('notebook_timeout', 'notebook_minutes', 'executions', 'flow'),
  ('payload_billable_count', 'payload_totals', 'payloads', 'flow'), ('payload_all_count', 'payload_totals', 'payloads', 'flow'),
  ('payload_all_bytes', 'payload_totals', 'bytes', 'flow'), ('payload_source_count', 'payload_sources', 'payloads', 'flow');

create table lines (org_id text, metric text, unit text, kind text, quantity integer, billed_before integer, total integer, maximum integer, average real,
  expected integer, stored integer, final integer, accepted integer, open integer, unavailable integer, in_doubt integer, missing integer,
  unreported integer, primary key (org_id, metric)) strict, without rowid;
insert or ignore into lines select org_id, metric, unit, kind, cast(nullif(quantity, '') as integer), cast(nullif(billed_before, '') as integer),
  cast(nullif(total, '') as integer), cast(nullif(maximum, '') as integer), cast(nullif(average, '') as real), cast(days_expected as integer),
  cast(days_stored as integer), cast(days_final as integer), cast(days_accepted as integer), cast(days_open as integer),
  cast(days_unavailable as integer), cast(days_in_doubt as integer), cast(days_missing as integer), cast(days_unreported as integer)
from lines_csv where org_id is not null and metric is not null;
create table orgs (org_id text primary key) strict, without rowid;
insert into orgs select distinct org_id from lines;
create table sources (org_id text, payload_type text, source text, total integer, primary key (org_id, payload_type, source)) strict, without rowid;
insert or ignore into sources select org_id, payload_type, source, cast(total as integer) from sources_csv;
create table days (org_id text, usage_date text, standing text, is_reported text, devices_created integer, devices_deleted integer, devices_total integer,
  notebook_minutes integer, notebook_completed integer, notebook_canceled integer, notebook_errored integer, notebook_timeout integer,
  payload_billable_count integer, payload_all_count integer, payload_all_bytes integer, payload_source_count integer,
  primary key (usage_date, org_id)) strict, without rowid;
insert or ignore into days select org_id, usage_date, standing, is_reported, cast(nullif(devices_created, '') as integer),
  cast(nullif(devices_deleted, '') as integer), cast(nullif(devices_total, '') as integer), cast(nullif(notebook_minutes, '') as integer),
  cast(nullif(notebook_completed, '') as integer), cast(nullif(notebook_canceled, '') as integer), cast(nullif(notebook_errored, '') as integer),
  cast(nullif(notebook_timeout, '') as integer), cast(nullif(payload_billable_count, '') as integer), cast(nullif(payload_all_count, '') as integer),
  cast(nullif(payload_all_bytes, '') as integer), cast(nullif(payload_source_count, '') as integer) from days_csv;
create table cells (org_id text, usage_date text, stream text, bit integer, first integer, standing text, place integer, is_stored integer, is_reported integer,
  revision integer, verified_at text, primary key (usage_date, org_id, stream)) strict, without rowid;
insert or ignore into cells select c.org_id, c.usage_date, c.stream, s.bit, s.first, c.standing, p.place, c.is_stored = 'true', c.is_reported = 'true',
  cast(c.revision as integer), nullif(c.verified_at, '') from cells_csv c join streams s on s.stream = c.stream join standings p on p.standing = c.standing;
create table revisions (org_id text, usage_date text, stream text, revision integer, old text, new text, changed_at text,
  primary key (org_id, usage_date, stream, revision)) strict, without rowid;
insert or ignore into revisions select org_id, usage_date, stream, cast(revision as integer), old, new, changed_at from revisions_csv where json_valid(old) and json_valid(new);
create table waivers (id integer primary key, org_id text, usage_date text, stream text, waived_at text, lifted_at text) strict;
insert or ignore into waivers select cast(id as integer), org_id, usage_date, stream, waived_at, nullif(lifted_at, '') from waivers_csv;
create table blockers (position integer primary key, org_id text, cause text, days integer, first_day text, last_day text, streams text) strict;
insert or ignore into blockers select cast(position as integer), nullif(org_id, ''), cause, cast(nullif(days, '') as integer), first_day, last_day, streams
from blockers_csv;
create table totals (metric text primary key, unit text, kind text, orgs integer, quantity integer) strict, without rowid;
insert or ignore into totals select metric, unit, kind, cast(orgs as integer), cast(nullif(quantity, '') as integer) from totals_csv;
select c.file, (c.rows - t.rows) || ' rows have the key of another row' from counted c join (
  select 'totals.csv' as file, count(*) as rows from totals union all select 'lines.csv', count(*) from lines
  union all select 'sources.csv', count(*) from sources union all select 'days.csv', count(*) from days
  union all select 'cells.csv', count(*) from cells union all select 'revisions.csv', count(*) from revisions
  union all select 'waivers.csv', count(*) from waivers union all select 'blockers.csv', count(*) from blockers
) as t on t.file = c.file where c.rows <> t.rows;
drop table days_csv;
drop table cells_csv;

-- The statement.
select 'manifest.json', 'its month was not over when it was closed' from statement where closed_at < date(month_end, '+1 day');
select 'manifest.json', 'orgs is ' || orgs || ', lines.csv has ' || (select count(*) from orgs) from statement where orgs <> (select count(*) from orgs);
select 'manifest.json', 'it has a reason, and nothing blocked it' from statement where reason is not null and not exists (select 1 from blockers);
select 'manifest.json', 'something blocked it, and it has no reason' from statement where reason is null and exists (select 1 from blockers);

-- Totals and lines.
select 'totals.csv', coalesce(t.metric, l.metric) || ' is not the sum of lines.csv'
from (select metric, unit, kind, count(*) as orgs, sum(quantity) as quantity from lines group by metric, unit, kind) as l
full join totals t on t.metric = l.metric
where t.metric is null or l.metric is null or t.unit <> l.unit or t.kind <> l.kind or t.orgs <> l.orgs or t.quantity is not l.quantity;
select 'lines.csv', l.org_id || ' ' || l.metric || ': no metric of this unit and kind' from lines l
left join metrics m on m.metric = l.metric and m.unit = l.unit and m.kind = l.kind where m.metric is null limit 20;
select 'lines.csv', org_id || ' ' || metric || ': quantity is not its total without what was billed before' from lines
where quantity is not case when billed_before is null then total else total - billed_before end limit 20;
select 'lines.csv', org_id || ' ' || metric || ': days do not add up' from lines
where expected < 1 or expected <> final + accepted + open + unavailable + in_doubt + missing or stored > expected or unreported > stored
  or min(final, accepted, open, unavailable, in_doubt, missing, unreported, stored) < 0 limit 20;
select 'lines.csv', org_id || ' ' || metric || ': is billed again, or adjusted, although it is not settled' from lines, statement s
where expected <> final + accepted and (billed_before is not null or s.kind = 'adjustment') limit 20;
select 'lines.csv', org_id || ' ' || metric || ': has a maximum or average that its kind has not, or lacks one' from lines
where (kind = 'flow' and (maximum is not null or average is not null)) or (kind = 'level' and ((total is null) <> (maximum is null) or (total is null) <> (average is null)))
limit 20;

-- Cells.
select 'cells.csv', org_id || ' ' || usage_date || ' ' || stream || ': ' || problem from (
  select c.org_id, c.usage_date, c.stream, case
    when c.verified_at < c.usage_date || 'T24' then 'was read before its day was over'
    when c.verified_at > s.read_by then 'was read after the statement was made'
    when (c.standing not in ('accepted', 'unavailable') and c.is_stored <> (c.standing in ('final', 'stored', 'in_doubt')))
      or (c.is_stored and c.revision < 1) or (c.is_reported and not c.is_stored) or (c.standing = 'final' and c.verified_at is null)
      then 'is ' || c.standing || ', and its numbers are ' || case when c.is_stored then '' else 'not ' end || 'stored'
    end as problem
  from cells c, statement s
) where problem is not null limit 20;

-- Days and their cells.
create table day_cells (org_id text, usage_date text, place integer, silent integer, stored integer, settled integer, cells integer,
  primary key (usage_date, org_id)) strict, without rowid;
insert into day_cells select org_id, usage_date, max(place), max(is_stored and not is_reported), sum(bit * is_stored), sum(bit * (place <= 2)),
  sum((place + 8 * is_stored + 16 * is_reported) << first)
from cells group by usage_date, org_id;
select 'cells.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': organization without a line' from day_cells d
cross join cells c on c.usage_date = d.usage_date and c.org_id = d.org_id where d.org_id not in (select org_id from orgs) limit 20;
select 'cells.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': day outside the month' from day_cells d
cross join cells c on c.usage_date = d.usage_date and c.org_id = d.org_id where d.usage_date not in (select usage_date from calendar) limit 20;
select 'days.csv', c.org_id || ' ' || c.usage_date || ': is missing; cells.csv has it' from day_cells c
left join days d on d.org_id = c.org_id and d.usage_date = c.usage_date where d.org_id is null limit 20;
select 'days.csv', org_id || ' ' || usage_date || ': ' || problem from (
  select d.org_id, d.usage_date, case
    when c.org_id is null then 'has no cell in cells.csv'
    when c.place <> (select s.place from standings s where s.standing = d.standing) then 'is ' || d.standing || ', which is not that of its worst cell'
    when (d.is_reported = 'true') = c.silent then 'is_reported is not as in cells.csv'
    when (d.devices_created is not null) + (d.devices_deleted is not null) + (d.devices_total is not null) <> 3 * (c.stored & 1 <> 0)
      or (d.notebook_minutes is not null) + (d.notebook_completed is not null) + (d.notebook_canceled is not null) + (d.notebook_errored is not null)
        + (d.notebook_timeout is not null) <> 5 * (c.stored & 2 <> 0)
      or (d.payload_billable_count is not null) + (d.payload_all_count is not null) + (d.payload_all_bytes is not null) <> 3 * (c.stored & 4 <> 0)
      or (d.payload_source_count is not null) <> (c.stored & 8 <> 0) then 'a number is there and its cell not stored, or the other way'
    end as problem
  from days d left join day_cells c on c.org_id = d.org_id and c.usage_date = d.usage_date
) where problem is not null limit 20;

-- Lines and their cells, days and sources.
create table stream_days (org_id text, bit integer, expected integer, stored integer, final integer, accepted integer, open integer, unavailable integer,
  in_doubt integer, missing integer, unreported integer, primary key (org_id, bit)) strict, without rowid;
insert into stream_days select d.org_id, s.bit, sum(d.days), sum(d.days * (d.cells >> s.first & 8 <> 0)), sum(d.days * (d.cells >> s.first & 7 = 1)),
  sum(d.days * (d.cells >> s.first & 7 = 2)), sum(d.days * (d.cells >> s.first & 7 in (3, 4))), sum(d.days * (d.cells >> s.first & 7 = 5)),
  sum(d.days * (d.cells >> s.first & 7 = 6)), sum(d.days * (d.cells >> s.first & 7 = 7)), sum(d.days * (d.cells >> s.first & 24 = 8))
from (select org_id, cells, count(*) as days from day_cells group by org_id, cells) as d join streams s on d.cells >> s.first & 31 <> 0
group by d.org_id, s.bit;
select 'lines.csv', l.org_id || ' ' || l.metric || ': its days are not those of cells.csv' from lines l
join metrics m on m.metric = l.metric
join streams s on s.stream = m.stream
left join stream_days c on c.org_id = l.org_id and c.bit = s.bit
where (l.expected, l.stored, l.final, l.accepted, l.open, l.unavailable, l.in_doubt, l.missing, l.unreported)
  is not (c.expected, c.stored, c.final, c.accepted, c.open, c.unavailable, c.in_doubt, c.missing, c.unreported) limit 20;
select 'lines.csv', c.org_id || ' ' || m.metric || ': is missing; cells.csv has its stream' from stream_days c
join streams s on s.bit = c.bit join metrics m on m.stream = s.stream left join lines l on l.org_id = c.org_id and l.metric = m.metric
where l.org_id is null and (select kind from statement) = 'closing'
  and not exists (select 1 from lines e where e.org_id = c.org_id and e.billed_before is not null) limit 20;
create table sums as
select d.org_id, sum(case when c.settled & 1 then d.devices_created end) as devices_created,
  sum(case when c.settled & 1 then d.devices_deleted end) as devices_deleted,
  sum(case when c.settled & 1 then d.devices_total end) as devices_sum, max(case when c.settled & 1 then d.devices_total end) as devices_max,
  sum(c.settled & 1 and d.devices_total is not null) as devices_days,
  sum(case when c.settled & 2 then d.notebook_minutes end) as notebook_minutes, sum(case when c.settled & 2 then d.notebook_completed end) as notebook_completed,
  sum(case when c.settled & 2 then d.notebook_canceled end) as notebook_canceled, sum(case when c.settled & 2 then d.notebook_errored end) as notebook_errored,
  sum(case when c.settled & 2 then d.notebook_timeout end) as notebook_timeout,
  sum(case when c.settled & 4 then d.payload_billable_count end) as payload_billable_count, sum(case when c.settled & 4 then d.payload_all_count end) as payload_all_count,
  sum(case when c.settled & 4 then d.payload_all_bytes end) as payload_all_bytes, sum(case when c.settled & 8 then d.payload_source_count end) as payload_source_count
from days d join day_cells c on c.org_id = d.org_id and c.usage_date = d.usage_date group by d.org_id;
create unique index sums_org on sums (org_id);
select 'lines.csv', l.org_id || ' ' || l.metric || ': total is ' || coalesce(l.total, 'none') || ', not the sum of days.csv' from lines l
left join sums s on s.org_id = l.org_id
where l.kind = 'flow' and l.total is not case l.metric when 'devices_created' then s.devices_created when 'devices_deleted' then s.devices_deleted
  when 'notebook_minutes' then s.notebook_minutes when 'notebook_completed' then s.notebook_completed when 'notebook_canceled' then s.notebook_canceled
  when 'notebook_errored' then s.notebook_errored when 'notebook_timeout' then s.notebook_timeout when 'payload_billable_count' then s.payload_billable_count
  when 'payload_all_count' then s.payload_all_count when 'payload_all_bytes' then s.payload_all_bytes when 'payload_source_count' then s.payload_source_count end
limit 20;
select 'lines.csv', l.org_id || ' ' || l.metric || ': is not the last, greatest and average number of days.csv' from lines l
left join sums s on s.org_id = l.org_id
left join (
  select d.org_id, max(d.usage_date), d.devices_total as last from days d join day_cells c on c.org_id = d.org_id and c.usage_date = d.usage_date
  where c.settled & 1 and d.devices_total is not null group by d.org_id
) as e on e.org_id = l.org_id
where l.kind = 'level' and (l.total is not e.last or l.maximum is not s.devices_max
  or abs(l.average * s.devices_days - s.devices_sum) > 0.0051 * s.devices_days + 1e-12 * s.devices_sum) limit 20;
create table source_sums (org_id text primary key, total integer) strict, without rowid;
insert into source_sums select org_id, sum(total) from sources group by org_id;
select 'sources.csv', s.org_id || ': total is not that of payload_source_count in lines.csv' from source_sums s
left join lines l on l.org_id = s.org_id and l.metric = 'payload_source_count' where l.total is not s.total limit 20;
select 'sources.csv', l.org_id || ': total is not that of payload_source_count in lines.csv' from lines l
where l.metric = 'payload_source_count' and l.total > 0 and l.org_id not in (select org_id from source_sums) limit 20;

-- Changes: one for each version of a cell after the first, each from what the one before it made, up to the number of today.
select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream || ': version ' || r.revision || ' of a cell that has no such version' from revisions r
left join cells c on c.org_id = r.org_id and c.usage_date = r.usage_date and c.stream = r.stream
where c.org_id is null or r.revision < 2 or r.revision > c.revision limit 20;
select 'revisions.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': ' || count(r.revision) || ' changes of a cell of version ' || c.revision from cells c
left join revisions r on r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream
where c.revision > 1 group by c.org_id, c.usage_date, c.stream having count(r.revision) <> c.revision - 1 limit 20;
select 'revisions.csv', r.org_id || ' ' || r.usage_date || ' ' || r.stream || ': was changed before its day was over, or after the statement' from revisions r, statement s
left join calendar d on d.usage_date = r.usage_date where r.changed_at < d.over or r.changed_at > s.closed_at limit 20;
create table changes (org_id text, usage_date text, stream text, revision integer, place text, metric text, old, new, primary key (org_id, usage_date, stream, place, revision)) without rowid;
insert into changes
select r.org_id, r.usage_date, r.stream, r.revision, t.fullkey, m.metric, json_extract(r.old, t.fullkey), t.atom from revisions r, json_tree(r.new) as t
left join metrics m on t.path = '$' and m.metric = t.key where t.type not in ('object', 'array');
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ' ' || a.stream || ': version ' || a.revision || ' changes ' || a.place || ' from ' || coalesce(a.old, 'none')
  || ', which is not what version ' || b.revision || ' made of it'
from changes a join changes b on b.org_id = a.org_id and b.usage_date = a.usage_date and b.stream = a.stream and b.place = a.place
where b.revision = (select max(c.revision) from changes c where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream
  and c.place = a.place and c.revision < a.revision) and a.old is not b.new limit 20;
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ' ' || a.stream || ': version ' || a.revision || ' changes nothing' from changes a
group by a.org_id, a.usage_date, a.stream, a.revision having sum(a.old is not a.new) = 0 limit 20;
select 'revisions.csv', a.org_id || ' ' || a.usage_date || ': its last change of ' || a.metric || ' is to ' || coalesce(a.new, 'none') || ', days.csv has another number'
from changes a join days d on d.org_id = a.org_id and d.usage_date = a.usage_date
where a.revision = (select max(c.revision) from changes c where c.org_id = a.org_id and c.usage_date = a.usage_date and c.stream = a.stream and c.place = a.place)
  and a.metric is not null and a.new is not case a.metric when 'devices_created' then d.devices_created when 'devices_deleted' then d.devices_deleted
    when 'devices_total' then d.devices_total when 'notebook_minutes' then d.notebook_minutes when 'notebook_completed' then d.notebook_completed
    when 'notebook_canceled' then d.notebook_canceled when 'notebook_errored' then d.notebook_errored when 'notebook_timeout' then d.notebook_timeout
    when 'payload_billable_count' then d.payload_billable_count when 'payload_all_count' then d.payload_all_count
    when 'payload_all_bytes' then d.payload_all_bytes when 'payload_source_count' then d.payload_source_count end limit 20;

-- What a person accepted.
select 'waivers.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': is accepted in cells.csv, by no waiver in force' from cells c
where c.standing = 'accepted' and not exists (select 1 from waivers w where w.org_id = c.org_id and w.usage_date = c.usage_date and w.stream = c.stream and w.lifted_at is null)
limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream || ': a waiver in force of a cell that is not accepted' from waivers w
left join cells c on c.org_id = w.org_id and c.usage_date = w.usage_date and c.stream = w.stream
where c.org_id is null or (w.lifted_at is null and c.standing <> 'accepted') limit 20;
select 'waivers.csv', w.org_id || ' ' || w.usage_date || ' ' || w.stream || ': was waived after the statement was made' from waivers w, statement s
where w.waived_at > s.closed_at limit 20;

-- What blocked it: what is not settled, named with its days.
select 'blockers.csv', 'position ' || position || ' is not in order' from blockers where position > (select count(*) from blockers) or position < 1 limit 20;
select 'blockers.csv', 'position ' || position || ' is not of this month' from blockers, statement s
where first_day < s.month || '-01' or last_day > s.month_end limit 20;
select 'blockers.csv', coalesce(c.org_id, b.org_id) || ' ' || coalesce(c.cause, b.cause) || ': is not what cells.csv says'
from (
  select org_id, cause, count(distinct usage_date) as days, min(usage_date) as first_day, max(usage_date) as last_day, count(distinct stream) as streams
  from (
    select org_id, usage_date, stream, case when standing in ('stored', 'waiting') then 'not_final' else standing end as cause
    from cells where standing not in ('final', 'accepted')
  ) group by org_id, cause
) as c
full join (select * from blockers where cause in ('not_final', 'missing', 'in_doubt', 'unavailable') and org_id in (select org_id from orgs)) as b
  on b.org_id = c.org_id and b.cause = c.cause
where b.org_id is null or c.org_id is null or (c.days, c.first_day, c.last_day) is not (b.days, b.first_day, b.last_day)
  or c.streams <> length(b.streams) - length(replace(b.streams, ' ', '')) + 1 limit 20;

select 'checked ' || sum(rows) || ' rows of ' || count(*) || ' files' from counted;
