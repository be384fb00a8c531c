-- The numbers: one wide row per organization and day, payloads by source, and each stream in its own words.

create table losant_usage.usage_days (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  org_id text collate "C" not null check (org_id ~ '^[0-9a-f]{24}$'),
  devices_created bigint check (devices_created between 0 and 9007199254740991),
  devices_deleted bigint check (devices_deleted between 0 and 9007199254740991),
  devices_total bigint check (devices_total between 0 and 9007199254740991),
  notebook_minutes bigint check (notebook_minutes between 0 and 9007199254740991),
  notebook_completed bigint check (notebook_completed between 0 and 9007199254740991),
  notebook_canceled bigint check (notebook_canceled between 0 and 9007199254740991),
  notebook_errored bigint check (notebook_errored between 0 and 9007199254740991),
  notebook_timeout bigint check (notebook_timeout between 0 and 9007199254740991),
  payload_billable_count bigint check (payload_billable_count between 0 and 9007199254740991),
  payload_all_count bigint check (payload_all_count between 0 and 9007199254740991),
  payload_all_bytes bigint check (payload_all_bytes between 0 and 9007199254740991),
  payload_source_count bigint check (payload_source_count between 0 and 9007199254740991),
  primary key (usage_date, org_id)
) with (fillfactor = 90);
-- Days lie together on disk. The planner knows it of an index on the date alone, not of the primary key, and would
-- read the whole table for a month without it; it takes 7 bytes a row.
create index usage_days_date on losant_usage.usage_days (usage_date);
comment on table losant_usage.usage_days is 'The numbers, one row per organization and usage date that was ever asked for. NULL: not held. Which of these days count is in tracked; the views take care of it.';
comment on column losant_usage.usage_days.usage_date is 'Usage date (UTC).';
comment on column losant_usage.usage_days.org_id is 'Losant organization id, 24 lower-case hex characters.';

create table losant_usage.payload_sources (
  usage_date date not null,
  org_id text collate "C" not null check (org_id ~ '^[0-9a-f]{24}$'),
  payload_type text collate "C" not null,
  source text collate "C" not null,
  count bigint not null check (count >= 0),
  revision integer not null default 1,
  primary key (usage_date, org_id, payload_type, source)
);
comment on table losant_usage.payload_sources is 'Payloads per organization, UTC day, type and source. Source: Losant payloadCounts, one request per day.';
comment on column losant_usage.payload_sources.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_sources.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_sources.payload_type is 'Payload type as Losant names it, e.g. deviceState; an open list.';
comment on column losant_usage.payload_sources.source is 'Source as Losant names it, e.g. device.mqtt; an open list.';
comment on column losant_usage.payload_sources.count is 'Payloads of this type and source (count, flow).';
comment on column losant_usage.payload_sources.revision is 'Version of the cell that last changed the row: 1, 2, ….';

-- Text with one placeholder per metric of a stream, joined: %1$s metric, %2$s source column, %3$s stream.
create function losant_usage.per_metric(pattern text, separator text, only_stream text default null) returns text
language sql stable as $$
  select string_agg(format(pattern, m.metric, m.source_column, m.stream), separator order by m.position)
  from losant_usage.metrics m where only_stream is null or m.stream = only_stream
$$;
comment on function losant_usage.per_metric is 'SQL text repeated for each metric: %1$I the metric, %2$I its name in the stream, %3$I the stream. Used while views and triggers are built.';

-- Text with one placeholder per stream, joined: %1$s stream, %2$s its first metric.
create function losant_usage.per_stream(pattern text, separator text, with_detail boolean default true) returns text
language sql stable as $$
  select string_agg(format(pattern, s.stream, (
    select m.metric from losant_usage.metrics m where m.stream = s.stream order by m.position limit 1
  )), separator order by s.position)
  from losant_usage.streams s where with_detail or s.detail_table is null
$$;
comment on function losant_usage.per_stream is 'SQL text repeated for each stream: %1$I the stream, %2$I its first metric. Used while views and triggers are built.';

create function losant_usage.build_streams() returns void language plpgsql as $$
declare
  s record;
  m record;
begin
  for s in select * from losant_usage.streams order by position loop
    -- A cell's numbers are held together or not at all.
    if exists (select from pg_constraint where conname = s.stream || '_whole') then
      execute format('alter table losant_usage.usage_days drop constraint %I', s.stream || '_whole');
    end if;
    execute format('alter table losant_usage.usage_days add constraint %I check (num_nulls(%s) in (0, %s))',
      s.stream || '_whole', losant_usage.per_metric('%1$I', ', ', s.stream),
      (select count(*) from losant_usage.metrics where stream = s.stream));
    continue when s.detail_table is not null;
    execute format($view$
      create or replace view losant_usage.%1$I as
      select u.usage_date, u.org_id, c.revision, c.run_id,
        case when c.revision = 1 then c.first_loaded_at else coalesce((
          select max(r.changed_at) from losant_usage.revisions r
          where r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream
        ), c.first_loaded_at) end as loaded_at,
        %2$s
      from losant_usage.usage_days u
      join losant_usage.coverage c
        on c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = %1$L
      where num_nulls(%3$s) = 0
      $view$, s.stream, losant_usage.per_metric('u.%1$I as %2$I', ', ', s.stream),
      losant_usage.per_metric('u.%1$I', ', ', s.stream));
    execute format('comment on view losant_usage.%I is %L', s.stream, s.description || ' One row per organization and UTC day that is held.');
    execute format('comment on column losant_usage.%I.usage_date is %L', s.stream, 'Usage date (UTC).');
    execute format('comment on column losant_usage.%I.org_id is %L', s.stream, 'Losant organization id, 24 lower-case hex characters.');
    execute format('comment on column losant_usage.%I.revision is %L', s.stream, 'Version of the numbers: 1, 2, ….');
    execute format('comment on column losant_usage.%I.run_id is %L', s.stream, 'Run that last read the numbers; null if they were changed by hand since.');
    execute format('comment on column losant_usage.%I.loaded_at is %L', s.stream, 'When the numbers were last changed (UTC).');
  end loop;
  for m in select metric, stream, source_column, unit, kind, detail_table, metrics.description from losant_usage.metrics join losant_usage.streams using (stream) loop
    execute format('comment on column losant_usage.usage_days.%I is %L', m.metric,
      format('%s (%s, %s). NULL: not held. Source: %s.%s%s.', m.description, m.unit, m.kind, m.stream, m.source_column,
        case when m.detail_table is not null then ', summed over the day' else '' end));
    continue when m.detail_table is not null;
    execute format('comment on column losant_usage.%I.%I is %L', m.stream, m.source_column,
      format('%s (%s, %s).', m.description, m.unit, m.kind));
  end loop;
end
$$;
comment on function losant_usage.build_streams is 'Builds what follows from streams and metrics: the constraint that a cell is held as a whole, each stream''s view, comments.';
