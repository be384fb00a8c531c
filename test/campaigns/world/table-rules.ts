/**
 * What holds between the tables at any moment, whoever wrote them last: each rule is
 * SQL that finds what breaks it, written from the tables' comments.
 */
import type pg from 'pg';
import { NUMBERS } from './truth.ts';

/** Numbers of cells, one row a cell: how many of its columns are there, of how many. */
const holds = Object.entries({ ...NUMBERS, payload_sources: { count: 'payload_source_count' } }).map(
  ([stream, columns]) => `
    select usage_date, org_id, '${stream}' as stream, num_nonnulls(${Object.values(columns).join(', ')}) as there,
      ${Object.keys(columns).length} as wanted from losant_usage.usage_days`,
);

/** The oldest day that Losant still answers for, of an instance `i`. What is left out or changed by hand stays as it is before it. */
const HORIZON = `(now() at time zone 'UTC')::date - (i.policy ->> 'horizonDays')::integer`;

/** Rule to the query that gives a text for each breach of it. */
const RULES: Readonly<Record<string, string>> = {
  'a row of the ledger has no row of numbers': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date) as what from losant_usage.coverage c
    where not exists (select from losant_usage.usage_days u
      where u.usage_date = c.usage_date and u.org_id = c.org_id)`,
  'numbers are there, and the ledger does not have them stored': `
    select concat_ws(' ', h.stream, h.org_id, h.usage_date, c.standing) as what from (${holds.join(' union all ')}) h
    left join losant_usage.coverage c
      on c.usage_date = h.usage_date and c.org_id = h.org_id and c.stream = h.stream
    where h.there > 0 and c.is_stored is not true`,
  'the ledger has numbers stored that are not there': `
    select concat_ws(' ', h.stream, h.org_id, h.usage_date, c.standing) as what from (${holds.join(' union all ')}) h
    join losant_usage.coverage c on c.usage_date = h.usage_date and c.org_id = h.org_id and c.stream = h.stream
    where h.there < h.wanted and c.is_stored`,
  'the sum of the sources is another': `
    select concat_ws(' ', u.org_id, u.usage_date, u.payload_source_count, s.sum) as what
    from losant_usage.usage_days u
    left join (select usage_date, org_id, sum(count) as sum from losant_usage.payload_sources group by 1, 2) s
      on s.usage_date = u.usage_date and s.org_id = u.org_id
    where u.payload_source_count is not null and u.payload_source_count <> coalesce(s.sum, 0)`,
  'sources are there, and their sum is not': `
    select concat_ws(' ', s.org_id, s.usage_date, s.source) as what from losant_usage.payload_sources s
    left join losant_usage.usage_days u on u.usage_date = s.usage_date and u.org_id = s.org_id
    where u.payload_source_count is null`,
  'zeros that nobody reported stand against a source count': `
    select concat_ws(' ', u.org_id, u.usage_date, u.payload_source_count) as what from losant_usage.usage_days u
    join losant_usage.coverage t on t.usage_date = u.usage_date and t.org_id = u.org_id and t.stream = 'payload_totals'
    join losant_usage.coverage s on s.usage_date = u.usage_date and s.org_id = u.org_id and s.stream = 'payload_sources'
    where u.payload_source_count > 0 and not t.is_reported
      and u.payload_billable_count = 0 and u.payload_all_count = 0 and u.payload_all_bytes = 0
      and t.standing <> 'accepted' and t.reason is distinct from 'changed_by_hand' and s.reason is distinct from 'changed_by_hand'`,
  'the days that were read are others': `
    select concat_ws(' ', t.stream, t.org_id, t.read_days, c.days) as what from losant_usage.tracking t
    left join (select stream, org_id, range_agg(daterange(usage_date, usage_date + 1)) as days
      from losant_usage.coverage group by 1, 2) c on c.stream = t.stream and c.org_id = t.org_id
    where t.read_days <> coalesce(c.days, '{}')`,
  'a cell is read again never': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date, c.standing) as what from losant_usage.coverage c
    join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
    join losant_usage.organizations o on o.org_id = c.org_id
    join losant_usage.instances i on i.instance_id = o.instance_id
    where c.standing = 'missing' and c.next_read_at is null
      and not (c.reason = 'changed_by_hand' and (o.removed_at is not null or c.usage_date < ${HORIZON}))`,
  'a number that is not sure is read again never': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date, c.standing) as what from losant_usage.coverage c
    join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
    join losant_usage.organizations o on o.org_id = c.org_id and o.removed_at is null
    join losant_usage.instances i on i.instance_id = o.instance_id
    where (c.standing = 'in_doubt' or c.standing = 'stored' and not c.is_reported and c.omissions < 3)
      and c.next_read_at is null
      and c.usage_date > ${HORIZON}`,
  'an invalid answer is not kept': `
    select concat_ws(' ', c.stream, c.org_id, c.usage_date) as what from losant_usage.coverage c
    where c.reason in ('unplaceable_body', 'invalid_value', 'database_refused') and not exists (select from losant_usage.quarantine q
      where q.org_id = c.org_id and q.stream = c.stream and c.usage_date between q.from_date and q.to_date
        and q.resolved_at is null and not c.usage_date <@ q.resolved_days)`,
};

/** A line for each breach of a rule. */
export async function checkTables(client: pg.Client): Promise<string[]> {
  const lines: string[] = [];
  for (const [rule, breaches] of Object.entries(RULES)) {
    const { rows } = await client.query<{ what: string }>(breaches);
    for (const { what } of rows) lines.push(`${rule}: ${what}`);
  }
  return lines;
}
