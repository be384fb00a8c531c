-- Views of usage for reading and BI. A stable contract: names and meanings stay, columns are only added, at the
-- end. A number that is not held is null, never 0. Days are UTC days, whatever the session's time zone.

-- The one definition of what is tracked, as a view, and by a moment so that it can be asked, and tested, for any.
-- (A view on the function would lose the collation of org_id, and with it look-ups by key.)
do $do$
declare
  body constant text := $body$
    select instance_id, org_id, stream, days, lower(days) as first_day, upper(days) - 1 as last_day,
      days - read_days as unread_days, read_days
    from (
      select o.instance_id, k.org_id, k.stream, k.read_days,
        k.tracked_days * datemultirange(daterange(o.created_on,
          greatest(o.created_on, least(o.removed_on + 1, (%s at time zone 'UTC')::date)))) as days
      from losant_usage.tracking k join losant_usage.organizations o on o.org_id = k.org_id
    ) as t
  $body$;
begin
  execute 'create view losant_usage.tracked as ' || format(body, 'now()');
  execute format($function$
    create function losant_usage.tracked_at(moment timestamptz) returns table (
      instance_id text, org_id text, stream text, days datemultirange, first_day date, last_day date,
      unread_days datemultirange, read_days datemultirange
    ) language sql stable parallel safe as $fn$ %s $fn$
    $function$, format(body, 'moment'));
end
$do$;
comment on function losant_usage.tracked_at is 'The view tracked as of a moment: what is tracked up to the day before it.';
comment on view losant_usage.tracked is 'The usage dates for which a number is wanted, per organization and stream: creation, removal and yesterday taken into account. Everything that speaks of gaps, months or coverage reads it. Source: tracking, organizations.';
comment on column losant_usage.tracked.instance_id is 'Losant instance id.';
comment on column losant_usage.tracked.org_id is 'Losant organization id.';
comment on column losant_usage.tracked.stream is 'Stream.';
comment on column losant_usage.tracked.days is 'Tracked usage dates up to yesterday (UTC).';
comment on column losant_usage.tracked.first_day is 'First tracked usage date (UTC); null if there is none.';
comment on column losant_usage.tracked.last_day is 'Last tracked usage date (UTC); null if there is none.';
comment on column losant_usage.tracked.unread_days is 'Tracked usage dates that were never read.';
comment on column losant_usage.tracked.read_days is 'Usage dates that have a row in coverage, tracked or not.';

-- Without a call where there is nothing to count, or one range: that is most of what is asked.
create function losant_usage.count_days(days datemultirange) returns integer language sql immutable parallel safe as $$
  select case when isempty(days) then 0
    when days = datemultirange(range_merge(days)) then upper(days) - lower(days)
    else (select sum(upper(part) - lower(part))::integer from unnest(days) as part) end
$$;
comment on function losant_usage.count_days is 'How many days a bounded multirange holds.';

-- Strict, so that it is not inlined and its estimate of rows counts: most multiranges asked for are empty.
create function losant_usage.each_day(days datemultirange) returns setof date
language sql immutable strict parallel safe rows 2 as $$
  select lower(part) + place from unnest(days) as part, generate_series(0, upper(part) - lower(part) - 1) as place
$$;
comment on function losant_usage.each_day is 'The days of a bounded multirange.';

create function losant_usage.build_usage_views() returns void language plpgsql as $build$
declare
  streams_count constant integer := (select count(*) from losant_usage.streams);
  x record;
begin
  -- Building block: the tracked days of an organization, of any stream and of each.
  execute format($view$
    create or replace view losant_usage.org_tracks as
    select t.org_id, min(t.instance_id) as instance_id, range_agg(t.days) as days,
      range_agg(t.days) - range_agg(t.read_days) as rowless_days,
      range_agg(t.unread_days) as unread_days,
      count(*) = %1$s and range_agg(t.days) = range_intersect_agg(t.days) as is_uniform,
      %2$s
    from losant_usage.tracked t group by t.org_id
    $view$, streams_count,
    losant_usage.per_stream('coalesce(range_agg(t.days) filter (where t.stream = %1$L), ''{}'') as %1$I', ', '));

  -- Building block: rows of numbers on tracked days, and the tracked days that have none. The calendar lets
  -- one organization's days be found by key, where the index begins with the date.
  execute format($view$
    create or replace view losant_usage.org_days as
    select u.usage_date, u.org_id,
      %1$s as streams_expected,
      %2$s as streams_held,
      %3$s
    from losant_usage.org_tracks t
    -- coalesce: the operator alone is estimated to be true once in a thousand rows, and most days are tracked.
    join losant_usage.usage_days u on u.org_id = t.org_id and coalesce(u.usage_date <@ t.days, false)
    join losant_usage.calendar on calendar.usage_date = u.usage_date
      and calendar.usage_date >= (select min(usage_date) from losant_usage.usage_days)
    union all
    select day, t.org_id, %4$s, 0, %5$s
    from losant_usage.org_tracks t, losant_usage.each_day(t.rowless_days) as day
    where not isempty(t.rowless_days)
    $view$,
    losant_usage.per_stream('case when t.is_uniform or u.usage_date <@ t.%1$I then 1 else 0 end', ' + '),
    losant_usage.per_stream('case when u.%2$I is not null and (t.is_uniform or u.usage_date <@ t.%1$I) then 1 else 0 end', ' + '),
    losant_usage.per_metric('case when t.is_uniform or u.usage_date <@ t.%3$I then u.%1$I end as %1$I', ', '),
    losant_usage.per_stream('case when day <@ t.%1$I then 1 else 0 end', ' + '),
    losant_usage.per_metric('null::bigint', ', '));
  execute $c$ comment on view losant_usage.org_tracks is 'Building block of the usage views, not for use by others: it may change.' $c$;
  execute $c$ comment on view losant_usage.org_days is 'Building block of the usage views, not for use by others: it may change.' $c$;

  execute format($view$
    create or replace view losant_usage.daily_usage as
    select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, d.usage_date,
      d.streams_expected, d.streams_held,
      case when d.streams_held > 0 then not exists (
        select from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.org_id = d.org_id
          and (c.state <> 'final' or not c.reported)
          and not c.reported and c.state in ('loaded', 'final')) end as reported,
      d.streams_held = d.streams_expected and not exists (
        select from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.org_id = d.org_id
          and (c.state <> 'final' or not c.reported) and c.state <> 'final' and exists (
            select from losant_usage.tracking k
            where k.org_id = c.org_id and k.stream = c.stream and c.usage_date <@ k.tracked_days)) as is_final,
      %1$s
    from losant_usage.org_days d
    left join losant_usage.organizations o on o.org_id = d.org_id
    $view$, losant_usage.per_metric('d.%1$I', ', '));

  execute format($view$
    create or replace view losant_usage.daily_usage_long as
    select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.usage_date,
      m.stream, m.metric, m.unit, m.kind, m.quantity,
      case when m.quantity is not null then (select c.reported from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.stream = m.stream and c.org_id = d.org_id) end as reported,
      coalesce((select c.state = 'final' from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.stream = m.stream and c.org_id = d.org_id), false) as is_final
    from losant_usage.daily_usage d
    cross join lateral (values %1$s) as m (stream, metric, unit, kind, quantity)
    where m.quantity is not null or exists (
      select from losant_usage.tracking k
      where k.org_id = d.org_id and k.stream = m.stream and d.usage_date <@ k.tracked_days)
    $view$, (select string_agg(format('(%L, %L, %L, %L, d.%I)', stream, metric, unit, kind, metric), ', ' order by position)
             from losant_usage.metrics));

  -- Of a period: what is not held, not final, or not reported is looked up where it stands; the rest follows
  -- from the number of tracked days.
  execute format($view$
    create or replace view losant_usage.monthly_usage as
    select o.instance_id, t.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, m.month,
      m.next_month - m.month as days_in_period,
      p.days_expected,
      p.days_expected - losant_usage.count_days(p.unread_days + p.not_held_days) as days_held,
      p.days_expected - losant_usage.count_days(p.unread_days + p.not_final_days) as days_final,
      losant_usage.count_days(p.waived_days) as days_waived,
      losant_usage.count_days(p.unavailable_days) as days_unavailable,
      losant_usage.count_days(p.unreported_days) as days_unreported,
      coalesce(u.days_untracked, 0) as days_untracked,
      m.is_over, p.is_whole,
      m.is_over and p.is_whole and p.days_expected > 0
        and isempty(p.unread_days) and isempty(p.not_final_days) as is_final,
      m.is_over and p.is_whole and p.days_expected > 0
        and isempty(p.unread_days) and isempty(p.not_billable_days) as is_billable,
      %1$s
    from (
      select month, (month + interval '1 month')::date as next_month,
        (month + interval '1 month')::date <= (now() at time zone 'UTC')::date as is_over
      from losant_usage.calendar
      where usage_date between least((select min(lower(tracked_days)) from losant_usage.tracking),
          (select min(usage_date) from losant_usage.usage_days)) and (now() at time zone 'UTC')::date - 1
      group by month
    ) as m
    cross join losant_usage.org_tracks t
    join losant_usage.organizations o on o.org_id = t.org_id
    left join (
      select d.month, d.org_id, count(*) filter (where not d.is_tracked)::integer as days_untracked, %2$s
      from (
        select calendar.month, u.org_id, u.usage_date, u.usage_date <@ k.days as is_tracked, %3$s
        from losant_usage.calendar
        join losant_usage.usage_days u on u.usage_date = calendar.usage_date
        join losant_usage.org_tracks k on k.org_id = u.org_id
        where calendar.usage_date >= (select min(usage_date) from losant_usage.usage_days)
      ) as d
      group by d.month, d.org_id
    ) as u on u.month = m.month and u.org_id = t.org_id
    left join (
      select calendar.month, c.org_id,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (where c.state not in ('loaded', 'final')) as not_held_days,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (where c.state <> 'final') as not_final_days,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (where c.state <> 'final'
          and c.error_code is distinct from 'waived') as not_billable_days,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (where c.error_code = 'waived') as waived_days,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (where c.state = 'unavailable') as unavailable_days,
        range_agg(daterange(c.usage_date, c.usage_date + 1)) filter (
          where not c.reported and c.state in ('loaded', 'final')) as unreported_days
      from losant_usage.calendar
      join losant_usage.coverage c on c.usage_date = calendar.usage_date and (c.state <> 'final' or not c.reported)
      join losant_usage.tracking k on k.org_id = c.org_id and k.stream = c.stream and c.usage_date <@ k.tracked_days
      group by calendar.month, c.org_id
    ) as c on c.month = m.month and c.org_id = t.org_id
    cross join lateral (
      select losant_usage.count_days(t.days * month_range) as days_expected,
        t.unread_days * month_range as unread_days,
        coalesce(c.not_held_days, '{}') * t.days as not_held_days,
        coalesce(c.not_final_days, '{}') * t.days as not_final_days,
        coalesce(c.not_billable_days, '{}') * t.days as not_billable_days,
        coalesce(c.waived_days, '{}') * t.days as waived_days,
        coalesce(c.unavailable_days, '{}') * t.days as unavailable_days,
        coalesce(c.unreported_days, '{}') * t.days as unreported_days,
        month_range * datemultirange(daterange(o.created_on, greatest(o.created_on,
          least(o.removed_on + 1, (now() at time zone 'UTC')::date)))) <@ t.days as is_whole
      from (select datemultirange(daterange(m.month, m.next_month)) as month_range) as r
      -- Each of these once, and not again wherever it is used.
      offset 0
    ) as p
    where p.days_expected > 0 or u.days_untracked > 0
    $view$,
    (select string_agg(case kind when 'flow' then format('u.%I', metric) else format(
       '(select l.%1$I from losant_usage.usage_days l where l.usage_date = u.%2$I and l.org_id = t.org_id) as %1$I, u.%2$I, u.%3$I, u.%4$I',
       metric, metric || '_on', metric || '_max', metric || '_avg') end, ', ' order by position) from losant_usage.metrics),
    (select string_agg(case kind when 'flow' then format('sum(d.%1$I)::bigint as %1$I', metric) else format(
       'max(d.usage_date) filter (where d.%1$I is not null) as %2$I, max(d.%1$I) as %3$I, round(avg(d.%1$I), 2) as %4$I',
       metric, metric || '_on', metric || '_max', metric || '_avg') end, ', ' order by position) from losant_usage.metrics),
    losant_usage.per_metric('case when k.is_uniform and u.usage_date <@ k.days or u.usage_date <@ k.%3$I then u.%1$I end as %1$I', ', '));
end
$build$;
comment on function losant_usage.build_usage_views is 'Builds the usage views from streams and metrics.';

create or replace function losant_usage.build() returns void language plpgsql as $$
begin
  perform losant_usage.build_streams();
  perform losant_usage.build_record();
  perform losant_usage.build_usage_views();
end
$$;
do $$ begin perform losant_usage.build(); end $$;
