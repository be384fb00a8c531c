/**
 * How long the views take on a large database. By hand:
 *
 *   node bench/views.ts postgres://postgres:PASSWORD@HOST:PORT/EMPTY_DATABASE [ORGS] [DAYS]
 *
 * Fills an empty database (as a superuser: triggers and foreign keys are skipped),
 * then prints the best of three times of each query. Run it again on the same
 * database to measure only.
 */
import pg from 'pg';
import { createDatabase } from '../src/database/connect/open.ts';
import { migrateToHead } from '../src/database/migrate/migrate.ts';

const [url = '', orgsText = '10000', daysText = '400'] = process.argv.slice(2);
const orgs = Number(orgsText);
const days = Number(daysText);
const runs = 3;

const handle = await createDatabase({ url, applicationName: 'bench views', poolSize: 1 });
await migrateToHead(handle);
await handle.close();
const client = new pg.Client({ connectionString: url });
await client.connect();
const known = await client.query<{ count: string }>('select count(*) from losant_usage.organizations');
if (known.rows[0]?.count === '0') await fill();
for (const [name, query] of Object.entries(queries())) await measure(name, query);
await client.end();

async function fill(): Promise<void> {
  await client.query(`set session_replication_role = replica; set synchronous_commit = off`);
  await client.query(`
    insert into losant_usage.instances (instance_id, api_url, tracked_from)
    values ('${'5c'.padEnd(24, '0')}', 'https://api.example.com', current_date - ${days});
    insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
    select '5d' || lpad(i::text, 22, '0'), '${'5c'.padEnd(24, '0')}', 'Org ' || i, now(), now()
    from generate_series(1, ${orgs}) i;
    insert into losant_usage.tracking (org_id, stream, tracked_from, expired_to)
    select org_id, stream, current_date - ${days}, current_date - ${Math.min(days, 90)}
    from losant_usage.organizations
    cross join unnest(array['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources']) as stream`);
  for (let ago = days; ago >= 1; ago -= 1) {
    const cells = `from losant_usage.organizations o order by org_id`;
    const meta = `gen_random_uuid(), 1, now()`;
    await client.query(`
      insert into losant_usage.device_counts
        select current_date - ${ago}, org_id, 4, 1, 17, ${meta} ${cells};
      insert into losant_usage.notebook_minutes
        select current_date - ${ago}, org_id, 17, 4, 0, 1, 0, ${meta} ${cells};
      insert into losant_usage.payload_totals
        select current_date - ${ago}, org_id, 19772, 20000, 5000000000, ${meta} ${cells};
      insert into losant_usage.payload_sources
        select current_date - ${ago}, org_id, 'deviceState', 'source.' || i, 100, ${meta}
        from losant_usage.organizations cross join generate_series(1, 5) as i order by org_id, i;
      insert into losant_usage.coverage (usage_date, stream, org_id, state, reported, revision, verified_at,
          attempted_at, response_sha256, run_id, first_loaded_at, finalized_at)
        select current_date - ${ago}, stream, org_id, ${ago > 3 ? `'final'` : `'loaded'`}, true, 1, now(), now(),
          repeat('ab', 32), gen_random_uuid(), now(), now()
        from losant_usage.tracking order by stream, org_id`);
    if (ago % 50 === 0) console.log(`${ago} days to go`);
  }
  await client.query('set session_replication_role = origin');
  await client.query('vacuum analyze');
}

function queries(): Record<string, string> {
  const month = `date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date`;
  const inMonth = `usage_date >= ${month} and usage_date < (${month} + interval '1 month')::date`;
  const org = `org_id = '5d${'500'.padStart(22, '0')}'`;
  return {
    'a month of all organizations, billable payloads, daily_usage': `
      select org_id, sum(payload_billable_count), bool_and(is_final) from losant_usage.daily_usage
      where ${inMonth} group by org_id`,
    'a month of all organizations, one metric, daily_usage_long': `
      select org_id, sum(quantity) from losant_usage.daily_usage_long
      where metric = 'payload_billable_count' and ${inMonth} group by org_id`,
    'a month of all organizations, monthly_usage': `
      select org_id, payload_billable_count, days_expected, days_covered, is_final
      from losant_usage.monthly_usage where month = ${month}`,
    'a month of all organizations, monthly_usage with payload_source_count': `
      select * from losant_usage.monthly_usage where month = ${month}`,
    'a day of all organizations, daily_usage, every column': `
      select * from losant_usage.daily_usage where usage_date = current_date - 2`,
    '90 days of one organization, daily_usage, every column': `
      select * from losant_usage.daily_usage where ${org} and usage_date >= current_date - 90`,
    '90 days of one organization, daily_usage_long': `
      select * from losant_usage.daily_usage_long where ${org} and usage_date >= current_date - 90`,
    'a year of one organization, monthly_usage': `
      select * from losant_usage.monthly_usage where ${org} and month >= current_date - 365`,
    coverage_gaps: `select * from losant_usage.coverage_gaps`,
    'coverage_gaps after a day without any read': `
      select * from losant_usage.coverage_gaps_at(now() + interval '1 day')`,
    'coverage_gaps of one organization': `select * from losant_usage.coverage_gaps where ${org}`,
    freshness: `select * from losant_usage.freshness`,
    'a month of all organizations, usage_as_of': `
      select org_id, sum(quantity) from losant_usage.usage_as_of(now())
      where metric = 'payload_billable_count' and ${inMonth} group by org_id`,
    'a month of all organizations, device_continuity': `
      select count(*) from losant_usage.device_continuity where ${inMonth} and difference <> 0`,
  };
}

async function measure(name: string, query: string): Promise<void> {
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const start = performance.now();
    await client.query(query);
    times.push(performance.now() - start);
  }
  console.log(
    `${Math.min(...times)
      .toFixed(0)
      .padStart(7)} ms  ${name}`,
  );
}
