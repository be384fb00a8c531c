/**
 * The plans of closing and adjusting, as Postgres ran them: the month of all organizations is read at once, and
 * never again for each of them, whatever statistics say of the statement that was written a moment ago.
 */
import { readFileSync } from 'node:fs';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closePeriod } from '../../src/billing/close.ts';
import { PARSERS } from '../../src/database/parsers.ts';
import type { Schema } from '../../src/database/schema.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';

const INSTANCE = '5c0000000000000000000001';
const ORGS = 150;
/** Scans may be repeated for each day there is, and not for each organization. */
const LOOPS_MAX = 100;
/** What has a row for each organization and day, or each organization and metric. */
const LARGE = ['coverage', 'usage_days', 'payload_sources', 'statement_lines', 'statement_sources'];

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Loops'?: number;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly Plan[];
}

let database: TestDatabase;
let client: pg.Client;
let db: Kysely<Schema>;
let plans: { query: string; plan: Plan }[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({
    connectionString: database.url,
    types: { getTypeParser: (oid: number) => PARSERS[oid] ?? pg.types.getTypeParser(oid) },
  });
  client.on('notice', ({ message = '' }) => {
    const json = message.indexOf('{');
    if (!message.includes('plan:') || json < 0) return;
    const { 'Query Text': query, Plan: plan } = JSON.parse(message.slice(json)) as {
      'Query Text': string;
      Plan: Plan;
    };
    plans.push({ query, plan });
  });
  await client.connect();
  const fill = readFileSync('bench/fill.sql', 'utf8')
    .replaceAll(':orgs', `${ORGS}`)
    .replaceAll(':days', '75');
  await client.query(fill);
  // As a database in use has it; of statements there are no statistics yet.
  await client.query('analyze');
  await client.query(`set search_path = public; set jit = off; set timezone = 'UTC'; load 'auto_explain';
    set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on; set auto_explain.log_timing = off;
    set auto_explain.log_nested_statements = on; set auto_explain.log_format = 'json'`);
  const connection = Object.assign(client, { release: () => {} });
  const pool = { connect: () => Promise.resolve(connection), end: () => Promise.resolve(), options: {} };
  db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) }).withSchema('losant_usage');
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

/** Restates a number of every organization, as a run would. */
async function restate(): Promise<void> {
  await client.query(`begin; set local losant_usage.program = 'on';
    set local losant_usage.run_id = '00000000-0000-4000-8000-000000000001';
    update losant_usage.coverage set revision = revision + 1
      where usage_date = date_trunc('month', now())::date - 10 and stream = 'device_counts' and standing = 'final';
    update losant_usage.usage_days set devices_created = devices_created + 1
      where usage_date = date_trunc('month', now())::date - 10 and devices_created is not null;
    commit`);
}

/** Closes or adjusts the month that ended so many months ago, and returns the scans that were repeated too often. */
async function closeMonth(isAdjustment: boolean, monthsAgo = 0): Promise<string[]> {
  const { rows } = await client.query<{ month: string }>(
    `select to_char(date_trunc('month', now()) - interval '1 day' - $1 * interval '1 month', 'YYYY-MM') as month`,
    [monthsAgo],
  );
  const month = rows[0]?.month ?? '';
  const { signal } = new AbortController();
  const request = { month, reason: 'a bench', isAdjustment, isDryRun: false, signingKey: null, signal };
  plans = [];
  await client.query('set client_min_messages = log');
  const outcome = await closePeriod(
    { db },
    { instanceId: INSTANCE, name: null, source: 'calendar' },
    request,
  );
  await client.query('set client_min_messages = notice');
  expect(outcome).toMatchObject({ kind: 'closed' });
  expect(plans.length).toBeGreaterThan(20);
  // The view of blockers hangs on no statement: it is planned for the size of the tables, which are small here.
  const ofStatements = plans.filter(({ query }) => !query.includes('from losant_usage.period_blockers'));
  return ofStatements.flatMap(({ query, plan }) =>
    repeated(plan).map((scan) => `${scan} of ${query.replaceAll(/\s+/g, ' ').slice(0, 200)}`),
  );
}

/** The scans of large tables that were repeated too often. */
function repeated(plan: Plan): string[] {
  const { 'Relation Name': name = '', 'Actual Loops': loops = 0, Plans: below = [] } = plan;
  const condition = plan['Index Cond'] ?? '';
  const own =
    LARGE.includes(name) && loops > LOOPS_MAX
      ? [`${plan['Node Type']} on ${name} × ${loops} ${condition}`]
      : [];
  return [...own, ...below.flatMap(repeated)];
}

test('a closing and adjustments read the month once, before and after statistics know of it', async () => {
  expect(await closeMonth(false)).toEqual([]);
  await restate();
  expect(await closeMonth(true)).toEqual([]);
  await client.query('analyze');
  await restate();
  expect(await closeMonth(true)).toEqual([]);
  expect(await closeMonth(false, 1)).toEqual([]);
}, 180_000);
