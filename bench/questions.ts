/** The month and day that an invoice or a dashboard asks for; the month is the last complete one. */
const MONTH = `(date_trunc('month', now() at time zone 'UTC') - interval '1 month')::date`;
const BEFORE = `(date_trunc('month', now() at time zone 'UTC') - interval '2 months')::date`;
const NEXT = `date_trunc('month', now() at time zone 'UTC')::date`;
/** The newest day that can be stored, and its month. */
const DAY = `((now() at time zone 'UTC')::date - 1)`;
const NEWEST = `date_trunc('month', ${DAY})::date`;
const MONTHS = 'losant_usage.monthly_usage';
const DAYS = 'losant_usage.daily_usage';

/**
 * Returns the questions that people and dashboards ask of the views, including those about one
 * organization.
 */
export function questionsAbout(orgId: string): Readonly<Record<string, string>> {
  const org = `org_id = '${orgId}'`;
  return {
    'total by day, 90 days': `select usage_date, sum(payload_all_count) from ${DAYS}
    where usage_date >= current_date - 90 group by 1`,
    'a month, every column': `select * from ${MONTHS} where month = ${MONTH}`,
    'this month, every column': `select * from ${MONTHS} where month = ${NEXT}`,
    'month over month, by a join': `select a.org_id, a.payload_all_count - b.payload_all_count from ${MONTHS} a
    join ${MONTHS} b on b.org_id = a.org_id and b.month = (a.month - interval '1 month')::date where a.month = ${MONTH}`,
    'month over month, two months named': `select a.org_id, a.payload_all_count - b.payload_all_count from ${MONTHS} a
    join ${MONTHS} b on b.org_id = a.org_id and b.month = ${BEFORE} where a.month = ${MONTH}`,
    'month over month, every column': `select * from ${MONTHS} a
    join ${MONTHS} b on b.org_id = a.org_id and b.month = (a.month - interval '1 month')::date where a.month = ${MONTH}`,
    'one organization, a year of days': `select * from ${DAYS} where ${org} and usage_date >= current_date - 365`,
    'one organization, its months': `select * from ${MONTHS} where ${org}`,
    'heat map, 100 organizations, 90 days': `select org_id, usage_date, streams_expected, streams_stored, is_final from ${DAYS}
    where org_id = any (array(select org_id from losant_usage.organizations order by org_id limit 100))
      and usage_date >= current_date - 90`,
    coverage_gaps: 'select * from losant_usage.coverage_gaps',
    freshness: 'select * from losant_usage.freshness',
    'health, every standing by stream': 'select * from losant_usage.cell_counts',
    'cells of one organization': `select * from losant_usage.cells where ${org}`,
    'cells of 100 organizations, 30 days': `select * from losant_usage.cells
    where org_id = any (array(select org_id from losant_usage.organizations order by org_id limit 100))
      and usage_date >= current_date - 30`,
    'cells that are gaps': `select * from losant_usage.cells where standing in ('in_doubt', 'missing')`,
    'blockers of a month': `select * from losant_usage.period_blockers where period_start = ${MONTH}`,
    'a month, what may be invoiced': `select org_id, is_billable, payload_billable_count from ${MONTHS} where month = ${MONTH}`,
    'usage_as_of, a month, every column': `select * from losant_usage.usage_as_of(${NEXT} + interval '5 days')
    where usage_date >= ${MONTH} and usage_date < ${NEXT}`,
    'usage_as_of, a month, one sum': `select org_id, sum(payload_all_count)
    from losant_usage.usage_as_of(${NEXT} + interval '5 days')
    where usage_date >= ${MONTH} and usage_date < ${NEXT} group by 1`,
    'changes of a month since its invoice': `select * from losant_usage.changes_since(${NEXT} + interval '1 day')
    where usage_date >= ${MONTH} and usage_date < ${NEXT}`,
    'all restated in 20 days': `select * from losant_usage.changes_since(now() - interval '20 days') where change = 'restated'`,
    'the months of the whole instance': `select month, sum(payload_all_count) from ${MONTHS} group by 1`,
    'one organization, 30 days': `select * from ${DAYS} where ${org} and usage_date >= current_date - 30`,
    'the newest day, every column': `select * from ${DAYS} where usage_date = ${DAY}`,
    'the newest day, one sum': `select sum(payload_all_count) from ${DAYS} where usage_date = ${DAY}`,
    'its month, every column': `select * from ${MONTHS} where month = ${NEWEST}`,
    'its month, the ten largest': `select org_id, payload_all_count from ${MONTHS} where month = ${NEWEST}
    order by payload_all_count desc nulls last limit 10`,
  };
}
