/** The functions with arguments, which the planner merges into the query that calls them. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import { useLedger } from '../ledger/ledger.ts';
import { asOwner, openAs, queryOnce } from '../support/databases.ts';

const ledger = useLedger('2026-11-22T12:00:00.000Z');
const ORG = '000000000000000000000017';

/** Fills so many rows that the planner prefers an index where one can be used. */
beforeAll(async () => {
  await ledger.createOrgs(100);
  await ledger.write(sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    select org_id, stream, '2026-08-24', '2026-08-24'
    from losant_usage.organizations cross join unnest(array['device_counts', 'payload_hours']) as stream`);
  await createExpectedCells(ledger.writer());
  await ledger.write(
    sql`update losant_usage.coverage set standing = 'final', is_stored = true, is_reported = true, revision = 1,
        reason = null, last_read_at = now(), last_attempt_at = now(),
        first_loaded_at = usage_date + interval '1 day', finalized_at = usage_date + interval '4 days'`,
  );
  // When a revision was made is set by the database.
  await asOwner(
    ledger.url,
    `insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id, changed_at)
     select org_id, stream, usage_date, 2, '{"devices_total": 17}', '{"devices_total": 18}', false, gen_random_uuid(),
       usage_date + interval '2 days'
     from losant_usage.coverage where stream = 'device_counts'`,
  );
  // Days that are loaded one after the other lie together.
  await asOwner(ledger.url, 'cluster losant_usage.coverage using coverage_date; analyze');
});

/** The functions, each with the column of its day. */
const CALLS = [
  [`usage_as_of('2026-11-10T00:00Z')`, 'usage_date'],
  [`changes_since('2026-11-10T00:00Z')`, 'usage_date'],
  [`local_daily_usage('Europe/Berlin')`, 'local_date'],
] as const;

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Function Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Recheck Cond'?: string;
  readonly Filter?: string;
  readonly 'Group Key'?: readonly string[];
  readonly Plans?: readonly Plan[];
}

async function explain(query: string): Promise<Plan[]> {
  const rows = await queryOnce(ledger.url, `explain (format json) ${query}`);
  const plans = rows.flatMap((row) => row['QUERY PLAN'] as readonly { readonly Plan: Plan }[]);
  const listNodes = (node: Plan): Plan[] => [node, ...(node.Plans ?? []).flatMap(listNodes)];
  return plans.flatMap(({ Plan: root }) => listNodes(root));
}

/** Returns the scans of tables that have a row for each organization and day. */
async function explainScans(query: string): Promise<Plan[]> {
  const nodes = await explain(query);
  return nodes.filter((node) => ['coverage', 'usage_days', 'revisions'].includes(node['Relation Name'] ?? ''));
}

/**
 * Whether a scan uses an index, and reads no rows but those that a condition on the column admits. A filter for an
 * organization must have the collation of the indexes, or none of them could be used instead.
 */
function isRestricted(scan: Plan, column: string): boolean {
  const conditions = [scan['Index Cond'], scan['Recheck Cond'], scan.Filter].join(' ');
  const hasOtherCollation = scan.Filter?.includes(`'${ORG}'::text)`);
  return scan['Node Type'] !== 'Seq Scan' && conditions.includes(column) && !hasOtherCollation;
}

describe.each(CALLS)('%s', (call, day) => {
  test('is part of the query that calls it', async () => {
    const functions = (await explain(`select * from losant_usage.${call}`)).map((node) => node['Function Name']);
    expect(functions).not.toContain(call.replace(/\(.*/, ''));
  });

  test.each([
    ['org_id', 'org_id', ORG],
    [day, 'usage_date', '2026-10-20'],
  ])('with a condition on %s reads what it admits, through indexes', async (column, tableColumn, value) => {
    const scans = await explainScans(`select * from losant_usage.${call} where ${column} = '${value}'`);
    expect(scans.length).toBeGreaterThan(1);
    expect(scans.filter((scan) => !isRestricted(scan, tableColumn))).toEqual([]);
  });
});

test('the long form of a range of days reads no other days, and looks up no cells of final ones', async () => {
  const october = `usage_date between '2026-10-01' and '2026-10-31'`;
  const scans = await explainScans(`select * from losant_usage.daily_usage_long where ${october}`);
  expect(scans.filter((scan) => !isRestricted(scan, 'usage_date'))).toEqual([]);
  const cells = scans.filter((scan) => scan['Relation Name'] === 'coverage');
  expect(cells.map((scan) => isRestricted(scan, 'org_id'))).toEqual([true]);
  const days = scans.filter((scan) => scan['Relation Name'] === 'usage_days' && scan.Filter?.includes('standing'));
  expect(days.map((scan) => scan.Filter?.includes(`<> 'final'`))).toContain(true);
});

test('the long form looks up the cells of days that are not final by their keys, however many these are', async () => {
  await using owner = await openAs('migrator', ledger.url);
  const trx = await owner.db.startTransaction().execute();
  await sql`update losant_usage.usage_days set standing = 'stored' where usage_date >= '2026-09-20'`.execute(trx);
  await sql`analyze losant_usage.usage_days`.execute(trx);
  const { rows } = await sql<{ 'QUERY PLAN': string }>`explain select * from losant_usage.daily_usage_long
    where usage_date between '2026-10-01' and '2026-10-31'`.execute(trx);
  await trx.rollback().execute();
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).toMatch(
    /coverage_pkey .*\n *Index Cond: \(\(org_id = d_\d\.org_id\) AND \(usage_date = d_\d\.usage_date\)\)/,
  );
});

test('the hours of a range of days are those of its cells, looked up by their keys', async () => {
  const week = `usage_date between '2026-10-20' and '2026-10-26'`;
  const scans = await explainScans(`select * from losant_usage.hourly_usage where ${week}`);
  expect(scans.map((scan) => scan['Index Name'])).toEqual(['coverage_date', 'usage_days_pkey']);
});

test.each([
  ['coverage_pkey', 'org_id', `org_id = '${ORG}'`],
  ['coverage_date', 'usage_date', `usage_date between '2026-10-20' and '2026-10-26'`],
])('cells are found through %s with a condition on %s', async (index, column, condition) => {
  const query = `select * from losant_usage.cells where ${condition}`;
  expect((await explain(query)).map((node) => node['Index Name'])).toContain(index);
  const scans = await explainScans(query);
  expect(scans.map((scan) => [scan['Relation Name'], isRestricted(scan, column)])).toEqual([['coverage', true]]);
});

test('cells that were loaded lately are found by when they were', async () => {
  const scans = await explain(`select * from losant_usage.changes_since('2026-11-21T00:00Z')`);
  expect(scans.map((scan) => scan['Index Name'])).toContain('coverage_first_loaded');
});

test('cells of a month that were loaded since it was billed are found without reading those of other months', async () => {
  const scans = await explainScans(
    `select * from losant_usage.changes_since('2026-10-20T00:00Z') where usage_date between '2026-10-01' and '2026-10-31'`,
  );
  const cells = scans.filter((scan) => scan['Relation Name'] === 'coverage');
  expect(cells.map((scan) => isRestricted(scan, 'usage_date'))).toEqual([true]);
});

test('the day of a loaded cell is looked up without the days that no run has recorded yet', async () => {
  const nodes = await explain(`select * from losant_usage.changes_since('2026-10-20T00:00Z')`);
  const tables = nodes.map((node) => node['Relation Name']);
  expect(tables).toContain('usage_days');
  expect(tables).not.toContain('tracks');
});

test('what is not final is found through its own indexes', async () => {
  const indexesOf = async (query: string) => (await explain(query)).map((node) => node['Index Name']);
  for (const view of ['freshness', 'coverage_gaps', 'month_blockers']) {
    const scans = await explainScans(`select * from losant_usage.${view}`);
    const seqScans = scans.filter((scan) => scan['Node Type'] === 'Seq Scan' && scan['Relation Name'] === 'coverage');
    expect([view, seqScans]).toEqual([view, []]);
    expect([view, await indexesOf(`select * from losant_usage.${view}`)]).toEqual([
      view,
      expect.arrayContaining([expect.stringMatching(/^coverage_not_final/)]),
    ]);
  }
});

test('cells that are not final are counted by day before their standings are told apart', async () => {
  const keys = (await explain('select * from losant_usage.freshness')).map((node) => node['Group Key']?.join() ?? '');
  expect(keys).toContainEqual(expect.stringMatching(/stream.*usage_date/));
});
