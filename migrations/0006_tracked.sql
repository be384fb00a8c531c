-- What is tracked, and the building blocks of the views of usage.

-- The one definition of what is tracked, as a view, and by a moment so that it can be asked, and tested, for any.
-- (A view on the function would lose the collation of org_id, and with it look-ups by key.)
do $do$
declare
  body constant text := $body$
    select instance_id, org_id, stream, days, lower(days) as first_day, upper(days) - 1 as last_day,
      days - read_days as unread_days, read_days, from_day, to_day, has_holes,
      has_untracked or coalesce(read_from < from_day, false) or coalesce(read_to > to_day, false) as has_untracked,
      unread_from
    from (
      select *, tracked_days * datemultirange(daterange(from_day, greatest(from_day, to_day + 1))) as days
      from (
        select o.instance_id, k.*, greatest(k.tracked_from, o.created_on) as from_day,
          least(k.tracked_to, o.removed_on, (%s at time zone 'UTC')::date - 1) as to_day
        from losant_usage.tracking k join losant_usage.organizations o on o.org_id = k.org_id
      ) as bounds
    ) as t
  $body$;
begin
  execute 'create view losant_usage.tracked as ' || format(body, 'now()');
  execute format($function$
    create function losant_usage.tracked_at(moment timestamptz) returns table (
      instance_id text, org_id text, stream text, days datemultirange, first_day date, last_day date,
      unread_days datemultirange, read_days datemultirange, from_day date, to_day date, has_holes boolean,
      has_untracked boolean, unread_from date
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
comment on column losant_usage.tracked.from_day is 'No usage date before this one is tracked (UTC). With to_day and has_holes it tells without days which are.';
comment on column losant_usage.tracked.to_day is 'No usage date after this one is tracked (UTC).';
comment on column losant_usage.tracked.has_holes is 'Whether some usage dates from from_day to to_day may not be tracked.';
comment on column losant_usage.tracked.has_untracked is 'Whether a usage date was read that is not tracked.';
comment on column losant_usage.tracked.unread_from is 'No tracked usage date before this one was left unread; found by index.';

create function losant_usage.count_days(days datemultirange) returns integer
language sql immutable parallel safe cost 2 as $$
  select coalesce(sum(upper(part) - lower(part)), 0)::integer from unnest(days) as part
$$;
comment on function losant_usage.count_days is 'How many days a bounded multirange holds; 0 for null.';

-- Strict, so that they are not inlined and their estimates of rows count. These are low: what hangs on them is a
-- look-up by index however many days there are, and a plan that looks dear is compiled first (jit), for a second.
create function losant_usage.each_day(days datemultirange) returns setof date
language sql immutable strict parallel safe rows 2 as $$
  select lower(part) + place from unnest(days) as part, generate_series(0, upper(part) - lower(part) - 1) as place
$$;
comment on function losant_usage.each_day is 'The days of a bounded multirange.';
create function losant_usage.days_between(first_day date, last_day date) returns setof date
language sql immutable strict parallel safe rows 10 as $$
  select first_day + place from generate_series(0, last_day - first_day) as place
$$;
comment on function losant_usage.days_between is 'The days from the first to the last.';

-- Of whole numbers, and one itself: sum() gives a numeric, and takes three times as long over many groups. A month
-- of numbers below 2^53 is far from the limit of a bigint.
create aggregate losant_usage.total(bigint) (sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe);
comment on aggregate losant_usage.total(bigint) is 'Sum of whole numbers as a bigint; null if there is none.';

create view losant_usage.unread_cells as
select t.instance_id, t.org_id, t.stream, day as usage_date
from losant_usage.tracked t cross join lateral losant_usage.each_day(t.unread_days) as day
where t.unread_from < (now() at time zone 'UTC')::date;
comment on view losant_usage.unread_cells is 'Tracked cells that were never read, whatever their age. Source: tracked.';
comment on column losant_usage.unread_cells.instance_id is 'Losant instance id.';
comment on column losant_usage.unread_cells.org_id is 'Losant organization id.';
comment on column losant_usage.unread_cells.stream is 'Stream.';
comment on column losant_usage.unread_cells.usage_date is 'Usage date (UTC).';

create view losant_usage.open_cells as
select t.instance_id, c.org_id, c.stream, c.usage_date, c.state, c.reported, c.error_code
from losant_usage.coverage c
join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream
where (c.state <> 'final' or not c.reported)
  and c.usage_date between t.from_day and t.to_day and (not t.has_holes or c.usage_date <@ t.days);
comment on view losant_usage.open_cells is 'Tracked cells that were read and are not both final and reported. Source: coverage, tracked.';
comment on column losant_usage.open_cells.instance_id is 'Losant instance id.';
comment on column losant_usage.open_cells.org_id is 'Losant organization id.';
comment on column losant_usage.open_cells.stream is 'Stream.';
comment on column losant_usage.open_cells.usage_date is 'Usage date (UTC).';
comment on column losant_usage.open_cells.state is 'What is held, see coverage.';
comment on column losant_usage.open_cells.reported is 'Whether Losant has ever named the number.';
comment on column losant_usage.open_cells.error_code is 'What was wrong with the newest read, in one word; null if nothing.';

-- Comments of what is built: a text per column, and the metric's own where a column has a metric's name.
create function losant_usage.describe(relation text, texts jsonb) returns void language plpgsql as $$
declare
  c record;
begin
  for c in
    select a.attname, coalesce(texts ->> a.attname::text, (
      select format('%s (%s, %s). NULL: not held.', m.description, m.unit, m.kind)
      from losant_usage.metrics m where m.metric = a.attname)) as text
    from pg_attribute a
    where a.attrelid = format('losant_usage.%I', relation)::regclass and a.attnum > 0 and not a.attisdropped
  loop
    execute format('comment on column losant_usage.%I.%I is %L', relation, c.attname, c.text);
  end loop;
end
$$;
comment on function losant_usage.describe is 'Comments the columns of a view that is built: by the texts given, or the description of the metric.';
create function losant_usage.organization_texts() returns jsonb language sql immutable as $$
  select jsonb_build_object(
    'instance_id', 'Losant instance id.', 'org_id', 'Losant organization id, 24 lower-case hex characters.',
    'org_name', 'Name of the organization as last seen.', 'referral_id', 'Referral id of the organization as last seen.',
    'plan_id', 'Billing plan id of the organization as last seen.',
    'customer_id', 'Customer id of the organization as last seen.',
    'tags', 'Tags of the organization as last seen; one row per tag in organization_tags.')
$$;
comment on function losant_usage.organization_texts is 'What the columns of organizations mean in the views.';
