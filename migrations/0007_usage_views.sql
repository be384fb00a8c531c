-- Views of usage for reading and BI. A stable contract: names and meanings stay, columns are only added, at the
-- end. A number that is not held is null, never 0. Days are UTC days, whatever the session's time zone.

-- Building blocks: which days of each stream are tracked, one row per organization, and the rows of numbers with
-- it. Nearly every track is one range of days and nothing else was read, so that comparing dates tells what is
-- tracked, and no number has to be left out; <stream>_days is there for the other tracks only.
create function losant_usage.build_org_rows() returns void language plpgsql as $build$
declare
  streams_count constant integer := (select count(*) from losant_usage.streams);
  -- Sets of streams as numbers, to tell whether two days have the same.
  whole_set constant bigint := (select sum(1::bigint << position) from losant_usage.streams);
  is_tracked constant text :=
    '(u.usage_date between t.%1$s_from and t.%1$s_to and (t.%1$s_days is null or u.usage_date <@ t.%1$s_days))';
  counts constant text := '(t.%1$s_days is null or u.usage_date <@ t.%1$s_days)';
begin
  execute format($view$
    create or replace view losant_usage.org_tracks as
    select t.org_id, bool_or(t.has_untracked) or count(*) < %1$s as has_untracked,
      case when count(*) = %1$s and not bool_or(t.has_holes) then max(t.from_day) end as all_from,
      min(t.to_day) as all_to,
      %2$s
    from losant_usage.tracked t group by t.org_id
    $view$, streams_count, losant_usage.per_stream(
      'min(t.from_day) filter (where t.stream = %1$L) as %1$s_from,
       min(t.to_day) filter (where t.stream = %1$L) as %1$s_to,
       case when count(*) filter (where t.stream = %1$L) = 0 then ''{}''::datemultirange
         else range_agg(t.days) filter (where t.stream = %1$L and (t.has_holes or t.has_untracked)) end as %1$s_days', ', '));
  execute format($view$
    create or replace view losant_usage.org_rows as
    select u.usage_date, u.org_id,
      not t.has_untracked or %1$s as is_tracked,
      t.has_untracked and (%2$s) as has_untracked,
      case when u.usage_date between t.all_from and t.all_to then %3$s else %4$s end as streams_expected,
      %5$s as streams_held,
      case when u.usage_date between t.all_from and t.all_to then %6$s else %7$s end as streams_set,
      %8$s
    from losant_usage.usage_days u join losant_usage.org_tracks t on t.org_id = u.org_id
    $view$,
    losant_usage.per_stream(is_tracked, ' or '),
    losant_usage.per_stream('u.%2$I is not null and not ' || counts, ' or '),
    streams_count, losant_usage.per_stream('coalesce(' || is_tracked || '::integer, 0)', ' + '),
    losant_usage.per_stream('(u.%2$I is not null and ' || counts || ')::integer', ' + '),
    whole_set,
    (select string_agg(format('case when ' || is_tracked || ' then %2$s else 0 end', stream, 1::bigint << position), ' + ')
     from losant_usage.streams),
    losant_usage.per_metric('case when ' || replace(counts, '%1$', '%3$') || ' then u.%1$I end as %1$I', ', '));
  -- Tracked days of which nothing was ever read have no row of numbers.
  execute format($view$
    create or replace view losant_usage.rowless_days as
    select c.usage_date, c.org_id, count(*)::integer as streams_expected, sum(%1$s)::bigint as streams_set
    from losant_usage.unread_cells c
    where not exists (select from losant_usage.usage_days u where u.usage_date = c.usage_date and u.org_id = c.org_id)
    group by c.usage_date, c.org_id
    $view$, (select 'case c.stream ' || string_agg(format('when %L then %s', stream, 1::bigint << position), ' ') || ' end'
             from losant_usage.streams));
  execute $c$ comment on view losant_usage.org_tracks is 'Building block of the views of usage, not for use by others: it may change.' $c$;
  execute $c$ comment on view losant_usage.org_rows is 'Building block of the views of usage, not for use by others: it may change.' $c$;
  execute $c$ comment on view losant_usage.rowless_days is 'Building block of the views of usage, not for use by others: it may change.' $c$;
  perform losant_usage.describe('org_tracks', jsonb_build_object(
    'org_id', 'Losant organization id.',
    'has_untracked', 'Whether a number may be held that is not tracked.',
    'all_from', 'First usage date (UTC) on which every stream is tracked, up to all_to without a hole; null where that is not so simple.',
    'all_to', 'Last usage date (UTC) on which every stream is tracked.') || (
    select jsonb_object_agg(stream || suffix, text) from losant_usage.streams, (values
      ('_from', 'No day before this one is tracked for the stream (UTC).'),
      ('_to', 'No day after this one is tracked for the stream (UTC).'),
      ('_days', 'Tracked days of the stream; null where every day from the first to the last is, and no other was read.')
    ) as t (suffix, text)));
  perform losant_usage.describe('org_rows', jsonb_build_object(
    'usage_date', 'Usage date (UTC).', 'org_id', 'Losant organization id.',
    'is_tracked', 'Whether the day is tracked for any stream.',
    'has_untracked', 'Whether a number is held that is not tracked, and so is left out.',
    'streams_expected', 'Streams tracked for the day (count).', 'streams_held', 'Streams of these whose numbers are held (count).',
    'streams_set', 'The streams tracked for the day, as one number: other streams, another number.'));
  perform losant_usage.describe('rowless_days', jsonb_build_object(
    'usage_date', 'Usage date (UTC).', 'org_id', 'Losant organization id.',
    'streams_expected', 'Streams tracked for the day (count).',
    'streams_set', 'The streams tracked for the day, as one number: other streams, another number.'));
end
$build$;
comment on function losant_usage.build_org_rows is 'Builds what the views of usage stand on, from streams and metrics.';

create function losant_usage.build_daily_usage() returns void language plpgsql as $build$
begin
  -- The days come from a function, so that one organization's can be found by key, day by day.
  execute format($view$
    create or replace view losant_usage.daily_usage as
    select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, d.usage_date,
      d.streams_expected, d.streams_held,
      case when d.streams_held > 0 then not exists (
        select from losant_usage.open_cells c
        where c.usage_date = d.usage_date and c.org_id = d.org_id
          and not c.reported and c.state in ('loaded', 'final')) end as reported,
      d.streams_held = d.streams_expected and not exists (
        select from losant_usage.open_cells c
        where c.usage_date = d.usage_date and c.org_id = d.org_id and c.state <> 'final') as is_final,
      %1$s
    from (
      select day as usage_date, r.org_id, r.streams_expected, r.streams_held, %2$s
      from losant_usage.days_between((select min(usage_date) from losant_usage.usage_days), (now() at time zone 'UTC')::date - 1) as day
      join losant_usage.org_rows r on r.usage_date = day
      where r.is_tracked
      union all
      select usage_date, org_id, streams_expected, 0, %3$s from losant_usage.rowless_days
    ) as d
    left join losant_usage.organizations o on o.org_id = d.org_id
    $view$, losant_usage.per_metric('d.%1$I', ', '), losant_usage.per_metric('r.%1$I', ', '),
    losant_usage.per_metric('null::bigint', ', '));
  execute $c$ comment on view losant_usage.daily_usage is 'One row per organization and usage date: every tracked day up to yesterday has its row, and a number that is not held is null. Source: usage_days, coverage, tracked.' $c$;
  perform losant_usage.describe('daily_usage', losant_usage.organization_texts() || jsonb_build_object(
    'usage_date', 'Usage date (UTC).',
    'streams_expected', 'Streams tracked for the day (count).',
    'streams_held', 'Streams of these whose numbers are held (count).',
    'reported', 'Whether Losant has named every number that is held; false where zeros stand for a day it left out; null if none is held.',
    'is_final', 'Whether every tracked number of the day is held and final.'));

  execute format($view$
    create or replace view losant_usage.daily_usage_long as
    select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.usage_date,
      m.stream, m.metric, m.unit, m.kind, m.quantity,
      case when m.quantity is not null then (
        select c.reported from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.stream = m.stream and c.org_id = d.org_id) end as reported,
      m.quantity is not null and coalesce((
        select c.state = 'final' from losant_usage.coverage c
        where c.usage_date = d.usage_date and c.stream = m.stream and c.org_id = d.org_id), false) as is_final
    from losant_usage.daily_usage d
    cross join lateral (values %1$s) as m (stream, metric, unit, kind, quantity)
    where m.quantity is not null or exists (
      select from losant_usage.tracked t
      where t.org_id = d.org_id and t.stream = m.stream and d.usage_date <@ t.days)
    $view$, (select string_agg(format('(%L, %L, %L, %L, d.%I)', stream, metric, unit, kind, metric), ', ' order by position)
             from losant_usage.metrics));
  execute $c$ comment on view losant_usage.daily_usage_long is 'daily_usage with one row per metric: every tracked metric of every tracked day up to yesterday, quantity null where it is not held. Source: daily_usage, coverage.' $c$;
  perform losant_usage.describe('daily_usage_long', losant_usage.organization_texts() || jsonb_build_object(
    'usage_date', 'Usage date (UTC).', 'stream', 'Stream the metric belongs to.', 'metric', 'Metric, see metrics.',
    'unit', 'Unit of the quantity.', 'kind', 'flow: may be summed over days. level: never sum it over days.',
    'quantity', 'The number, in the unit beside it; null if it is not held.',
    'reported', 'Whether Losant has named the number; false where a zero stands for a day it left out; null if it is not held.',
    'is_final', 'Whether the number is held and final.'));
end
$build$;
comment on function losant_usage.build_daily_usage is 'Builds daily_usage and daily_usage_long from streams and metrics.';

-- Text for each metric, joined: one pattern for flows (%1$I the metric), one for levels (and %2$I … _on, %3$I … _max, %4$I … _avg).
create function losant_usage.per_level(flow text, level text) returns text language sql stable as $$
  select string_agg(format(case kind when 'flow' then flow else level end,
    metric, metric || '_on', metric || '_max', metric || '_avg'), ', ' order by position)
  from losant_usage.metrics
$$;
comment on function losant_usage.per_level is 'SQL text for each metric by its kind. Used while views are built.';

-- What is summed over a period, as SQL text: a month of all organizations, or the period of one. For m with
-- first_day, next_day and is_over, and org_id if it is the period of one organization; the result is to be called s.
-- A period at a time (lateral), so that a query for one month reads that month, also where the month is only known
-- by a join. Numbers are summed over the rows; what is not held, not final or not reported is looked up in the
-- ledger, where that is little. Both hang on organizations, whose statistics keep the estimates right.
create function losant_usage.period_sums(of_one_org boolean) returns text language sql stable as $function$
  select format($sums$
    cross join lateral (
      select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags,
        coalesce(u.days_tracked, 0) + coalesce(c.days_rowless, 0) as days_expected,
        coalesce(u.days_untracked, 0) as days_untracked,
        -- Every day on which it existed is tracked, each for the same streams.
        coalesce(least(u.first_set, c.first_set) = greatest(u.last_set, c.last_set), true)
          and coalesce(u.days_tracked, 0) + coalesce(c.days_rowless, 0) = greatest(0,
            least(m.next_day, o.removed_on + 1, (now() at time zone 'UTC')::date) - greatest(m.first_day, o.created_on)) as is_whole,
        c.not_held_days, c.not_final_days, c.not_billable_days, c.waived_days, c.unavailable_days, c.unreported_days,
        %1$s
      from losant_usage.organizations o
      left join (
        select r.org_id,
          count(*) filter (where r.is_tracked)::integer as days_tracked,
          count(*) filter (where r.has_untracked)::integer as days_untracked,
          min(r.streams_set) filter (where r.is_tracked) as first_set,
          max(r.streams_set) filter (where r.is_tracked) as last_set,
          %2$s
        from losant_usage.days_between(m.first_day, m.next_day - 1) as day
        join losant_usage.org_rows r on r.usage_date = day %3$s
        group by r.org_id
      ) as u on u.org_id = o.org_id
      left join (
        select c.org_id,
          count(*) filter (where c.streams_set is not null)::integer as days_rowless,
          min(c.streams_set) as first_set, max(c.streams_set) as last_set,
          range_agg(c.day) filter (where c.state not in ('loaded', 'final')) as not_held_days,
          range_agg(c.day) filter (where c.state <> 'final') as not_final_days,
          range_agg(c.day) filter (where c.state <> 'final' and c.error_code is distinct from 'waived') as not_billable_days,
          range_agg(c.day) filter (where c.state <> 'final' and c.error_code = 'waived') as waived_days,
          range_agg(c.day) filter (where c.state = 'unavailable') as unavailable_days,
          range_agg(c.day) filter (where c.state in ('loaded', 'final') and not c.reported) as unreported_days
        from (
          select r.org_id, daterange(day, day + 1) as day, r.state, r.reported, r.error_code, null::bigint as streams_set
          from losant_usage.days_between(m.first_day, m.next_day - 1) as day
          join losant_usage.open_cells r on r.usage_date = day %3$s
          union all
          select r.org_id, daterange(usage_date, usage_date + 1), 'never_read', null, null, null
          from losant_usage.unread_cells r where r.usage_date between m.first_day and m.next_day - 1 %3$s
          union all
          select r.org_id, null, null, null, null, r.streams_set
          from losant_usage.rowless_days r where r.usage_date between m.first_day and m.next_day - 1 %3$s
        ) as c group by c.org_id
      ) as c on c.org_id = o.org_id
      %4$s
    ) as s
    $sums$,
    losant_usage.per_level('u.%1$I', 'u.%1$I, u.%2$I, u.%3$I, u.%4$I'),
    losant_usage.per_level('losant_usage.total(r.%1$I) as %1$I',
      -- The newest day and its number are the greatest of both in one: numbers are below 2^53, days come above them.
      'max((r.usage_date - m.first_day)::bigint << 53 | r.%1$I) & 9007199254740991 as %1$I,
       m.first_day + (max((r.usage_date - m.first_day)::bigint << 53 | r.%1$I) >> 53)::integer as %2$I,
       max(r.%1$I) as %3$I, round(losant_usage.total(r.%1$I)::numeric / nullif(count(r.%1$I), 0), 2) as %4$I'),
    case when of_one_org then 'and r.org_id = m.org_id' else '' end,
    case when of_one_org then 'where o.org_id = m.org_id' else '' end)
$function$;
comment on function losant_usage.period_sums is 'SQL text that sums a period. Used while views are built.';

-- The columns of a period, of m and s.
create function losant_usage.period_columns() returns text language sql stable as $function$
  select $columns$
      s.days_expected,
      s.days_expected - losant_usage.count_days(s.not_held_days) as days_held,
      s.days_expected - losant_usage.count_days(s.not_final_days) as days_final,
      losant_usage.count_days(s.waived_days) as days_waived,
      losant_usage.count_days(s.unavailable_days) as days_unavailable,
      losant_usage.count_days(s.unreported_days) as days_unreported,
      s.days_untracked,
      m.is_over, s.is_whole,
      m.is_over and s.is_whole and s.days_expected > 0 and s.not_final_days is null as is_final,
      m.is_over and s.is_whole and s.days_expected > 0 and s.not_billable_days is null as is_billable,
  $columns$ || losant_usage.per_level('s.%1$I', 's.%1$I, s.%2$I, s.%3$I, s.%4$I')
$function$;
comment on function losant_usage.period_columns is 'SQL text of the columns of a period. Used while views are built.';

-- What these columns mean; of_period: month or billing period.
create function losant_usage.period_texts(of_period text) returns jsonb language sql stable as $function$
  select jsonb_build_object(
    'days_in_period', format('Days of the %s (count).', of_period),
    'days_expected', format('Days of the %s, up to yesterday, that are tracked for any stream (count).', of_period),
    'days_held', 'Days of these of which every tracked number is held (count).',
    'days_final', 'Days of these of which every tracked number is held and final (count).',
    'days_waived', 'Days with a number that was accepted as missing, and is not final (count).',
    'days_unavailable', 'Days with a number that is no longer available (count).',
    'days_unreported', 'Days with zeros that stand for numbers Losant left out (count).',
    'days_untracked', 'Days with a number that is held but not tracked, and so is not in the sums (count).',
    'is_over', format('Whether the %s is over (UTC).', of_period),
    'is_whole', format('Whether every day of the %s, up to yesterday, on which the organization existed is tracked, for the same streams on each.', of_period),
    'is_final', format('Whether the %s is over and whole, and every tracked number of it is held and final.', of_period),
    'is_billable', format('Whether the %s is over and whole, and every tracked number of it is final or accepted as missing.', of_period)) || (
    select jsonb_object_agg(metric || suffix, format(text, description, unit, of_period)) from losant_usage.metrics,
      (values ('flow', '', '%1$s (%2$s, flow), summed over the tracked days that are held; null if none is.'),
        ('level', '', '%1$s (%2$s, level) on the last day of the %3$s that is held; null if none is.'),
        ('level', '_on', '%1$s: the day of the %3$s that the number is of (UTC).'),
        ('level', '_max', '%1$s (%2$s): the greatest of the %3$s.'),
        ('level', '_avg', '%1$s (%2$s): the average of the days that are held.')) as t (for_kind, suffix, text)
    where kind = for_kind)
$function$;
comment on function losant_usage.period_texts is 'What the columns of a period mean. Used while views are built.';

create function losant_usage.build_monthly_usage() returns void language plpgsql as $build$
begin
  execute format($view$
    create or replace view losant_usage.monthly_usage as
    select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.tags, m.first_day as month,
      m.next_day - m.first_day as days_in_period,
      %1$s
    from (
      select month as first_day, next_month as next_day, next_month <= (now() at time zone 'UTC')::date as is_over
      from losant_usage.months
      where month between (select date_trunc('month', least(min(usage_date), (select min(tracked_from) from losant_usage.tracking))::timestamp)::date
          from losant_usage.usage_days) and (now() at time zone 'UTC')::date - 1
    ) as m
    %2$s
    where s.days_expected > 0 or s.days_untracked > 0
    $view$, losant_usage.period_columns(), losant_usage.period_sums(of_one_org => false));
  execute $c$ comment on view losant_usage.monthly_usage is 'One row per organization and month (UTC) with a tracked day: flows summed over the tracked days that are held; of levels the last, the maximum and the average. May it be billed: is_billable. Source: usage_days, coverage, tracked.' $c$;
  perform losant_usage.describe('monthly_usage', losant_usage.organization_texts()
    || jsonb_build_object('month', 'First day of the month (UTC).') || losant_usage.period_texts('month'));
end
$build$;
comment on function losant_usage.build_monthly_usage is 'Builds monthly_usage from streams and metrics.';
do $$
begin
  perform losant_usage.build_org_rows();
  perform losant_usage.build_daily_usage();
  perform losant_usage.build_monthly_usage();
end
$$;
