/** Invariants of any ledger, each with a query for the rows that contradict it. */
export const CONTRADICTIONS: Readonly<Record<string, string>> = {
  'coverage_gaps has exactly the cells that are missing or in doubt': `
    select g.org_id, c.org_id from losant_usage.coverage_gaps g
    full join (select * from losant_usage.cells where standing in ('missing', 'in_doubt')) as c
      using (usage_date, org_id, stream, standing)
    where g.org_id is null or c.org_id is null`,
  'a day has the worst standing of its cells that have metrics, and is reported only if all of them are': `
    select * from losant_usage.daily_usage d
    full join (
      select usage_date, org_id, max(standing) as standing, bool_and(is_reported or not is_stored) as is_reported
      from losant_usage.cells where stream in (select stream from losant_usage.metrics) group by usage_date, org_id
    ) as c using (usage_date, org_id, standing, is_reported)
    where c is null or d is null or d.is_final <> (standing = 'final')`,
  'each number of a day has the standing of its cell, and is null if that is not stored': `
    select * from losant_usage.daily_usage_long l
    full join (
      select c.*, m.metric, m.unit, m.kind, (to_jsonb(d) ->> m.metric)::bigint as quantity
      from losant_usage.cells c join losant_usage.metrics m using (stream)
      join losant_usage.daily_usage d using (usage_date, org_id)
    ) as c using (usage_date, org_id, metric)
    where l is null or c is null or (c.quantity is null) = c.is_stored or l.quantity is distinct from c.quantity
      or (l.standing, l.is_final, l.is_reported, l.unit, l.kind)
        <> (c.standing, c.standing = 'final', c.is_reported, c.unit, c.kind)`,
  'a month sums flows over its days': `
    select * from losant_usage.monthly_usage m
    join losant_usage.metrics k on k.kind = 'flow'
    full join (
      select org_id, date_trunc('month', usage_date)::date as month, metric, sum(quantity) as quantity
      from losant_usage.daily_usage_long where kind = 'flow' group by org_id, 2, metric
    ) as d on d.org_id = m.org_id and d.month = m.month and d.metric = k.metric
    where (to_jsonb(m) ->> k.metric)::numeric is distinct from d.quantity`,
  'a billing period sums flows over its days': `
    select * from losant_usage.billing_period_usage p
    cross join lateral (
      select sum(quantity) as quantity from losant_usage.daily_usage_long l
      where l.org_id = p.org_id and l.metric = p.metric and l.usage_date between p.period_start and p.period_end
    ) as d
    where p.kind = 'flow' and p.quantity is distinct from d.quantity`,
  'a month is not ready exactly if something blocks it': `
    select * from losant_usage.monthly_usage m
    where m.is_ready = exists (
      select from losant_usage.month_blockers b where b.month = m.month and (b.org_id is null or b.org_id = m.org_id)
    )`,
  'freshness counts the cells of a stream by standing, and has its gaps': `
    select * from losant_usage.freshness f
    full join (
      select stream, jsonb_object_agg(standing, cells) as counts, min(first_gap) as oldest_gap, max(last_gap) as newest_gap
      from (
        select stream, standing, count(*) as cells,
          min(usage_date) filter (where standing in ('in_doubt', 'missing')) as first_gap,
          max(usage_date) filter (where standing in ('in_doubt', 'missing')) as last_gap
        from losant_usage.cells group by stream, standing
      ) as s group by stream
    ) as c on c.stream = f.stream
    where c is null or f is null or (f.oldest_gap, f.newest_gap) is distinct from (c.oldest_gap, c.newest_gap)
      or f.gaps <> f.in_doubt + f.missing or exists (
        select from unnest(enum_range(null::losant_usage.standing)) as s
        where (to_jsonb(f) ->> s::text)::integer <> coalesce((c.counts ->> s::text)::integer, 0)
      )`,
  'the sources of a day add up to its payloads by source': `
    select * from losant_usage.daily_usage d
    left join (
      select usage_date, org_id, sum(count) as count from losant_usage.payload_sources group by usage_date, org_id
    ) as s using (usage_date, org_id)
    where d.payload_source_count is distinct from s.count`,
  'a day has 24 hours, all with its standing, and with numbers if they are stored': `
    select * from (select * from losant_usage.cells where stream = 'payload_hours') as c
    full join (
      select usage_date, org_id, standing, count(*) as hours, count(payload_all_count) > 0 as is_stored,
        min(hour) as first, max(hour) as last
      from losant_usage.hourly_usage group by usage_date, org_id, standing
    ) as h using (usage_date, org_id, standing)
    where (c.is_stored, 24, usage_date::timestamp at time zone 'UTC', h.first + interval '23 hours')
      is distinct from (h.is_stored, h.hours, h.first, h.last)`,
};

/** Returns a query for the local days of a time zone that differ from the sum of their hours. */
export const contradictionsOfLocalDays = (zone: string): string => `
  select * from losant_usage.local_daily_usage('${zone}') as d
  full join (
    select org_id, local_date, max(standing) as standing, sum(payload_billable_count) as billable,
      sum(payload_all_count) as count, sum(payload_all_bytes) as bytes, count(payload_all_count) as stored,
      extract(epoch from ((local_date + 1)::timestamp at time zone '${zone}')
        - (local_date::timestamp at time zone '${zone}')) / 3600 as hours
    from (select *, (hour at time zone '${zone}')::date as local_date from losant_usage.hourly_usage) as h
    group by org_id, local_date
  ) as h using (org_id, local_date)
  where (d.hours, d.hours_stored, d.standing, d.is_final,
      d.payload_billable_count, d.payload_all_count, d.payload_all_bytes)
    is distinct from (h.hours, h.stored, h.standing, h.stored = h.hours and h.standing = 'final',
      case when h.stored = h.hours then h.billable end,
      case when h.stored = h.hours then h.count end, case when h.stored = h.hours then h.bytes end)`;
