/** How a statement reads a month: by which indexes, and how often. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { asOwner, openAs } from '../support/databases.ts';
import { DEVICES, INSTANCE, OTHER_INSTANCE, useBooks } from './books.ts';

const books = useBooks();

describe('month_lines', () => {
  // The owner explains what it reads, because the function executes with the rights of its owner.
  const explain = async (query: string) => {
    await using owner = await openAs('migrator', books.url);
    const trx = await owner.db.startTransaction().execute();
    await sql`set local enable_seqscan = off; set local enable_hashagg = off`.execute(trx);
    const { rows } = await sql<{ 'QUERY PLAN': string }>`explain verbose ${sql.raw(query)}`.execute(trx);
    await trx.rollback().execute();
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  };

  /** Returns how often the lines of a month look into a table by its indexes, and the rows that they find there. */
  const countReads = async (month: string, table: string) => {
    await using owner = await openAs('migrator', books.url);
    const trx = await owner.db.startTransaction().execute();
    await sql`set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off`.execute(
      trx,
    );
    await sql`select from losant_usage_internal.month_lines(${INSTANCE}, ${`${month}-01`}::date)`.execute(trx);
    const { rows } = await sql<{ scans: number; found: number }>`
      select idx_scan::integer as scans, coalesce(idx_tup_fetch, 0)::integer as found
      from pg_stat_xact_user_tables where relid = ${table}::regclass`.execute(trx);
    await trx.rollback().execute();
    return rows[0];
  };

  test('is not compiled', async () => {
    const source = sql`select 'jit=off' = any(proconfig) from pg_proc where proname = 'month_lines'`;
    expect(await books.list(source)).toEqual(['true']);
  });

  test('finds the cells of some organizations by their key', async () => {
    const plan = await explain(`select * from losant_usage_internal.count_month_cells('2026-10-01', array['a', 'b'])`);
    expect(plan).toMatch(/coverage_pkey[^]*org_id = ANY [^]*usage_date = ANY /);
    expect(plan).not.toContain('count_month_cells');
  });

  test.each([
    ['a month', '2024-06', 3],
    ['a closed month without changes', '2024-07', 0],
  ])('reads no cells of other instances in %s', async (_, month, cells) => {
    const others = { from: `${month}-01`, to: `${month}-30`, instanceId: OTHER_INSTANCE };
    const otherOrg = await books.addFinalOrg(others);
    for (let orgs = 1; orgs < 20; orgs += 1) await books.addFinalOrg(others);
    const days = { from: `${month}-01`, to: `${month}-03` };
    await books.addFinalOrg(days);
    if (cells === 0) await books.accept(month);
    await asOwner(books.url, 'analyze losant_usage.coverage');
    await books.restate(otherOrg, `${month}-20`, { old: DEVICES, numbers: { ...DEVICES, devices_total: 18 } });
    expect(await countReads(month, 'losant_usage.coverage')).toMatchObject({ found: cells });
  });

  test('looks for the version of an organization, and for a change of its customer, once for all its lines', async () => {
    for (let orgs = 0; orgs < 10; orgs += 1) await books.addFinalOrg({ from: '2024-08-01', to: '2024-08-02' });
    await asOwner(books.url, 'analyze');
    const orgs = await books.list(sql`select count(*) from losant_usage.organizations where instance_id = ${INSTANCE}`);
    expect(await countReads('2024-08', 'losant_usage.organization_history')).toMatchObject({ scans: 2 * Number(orgs) });
  });

  test('looks for the first trace of a change without sorting all of them', async () => {
    const traces = `select from losant_usage_internal.changed_orgs where month = '2026-10-01'`;
    expect(await explain(`select where exists (${traces})`)).toMatch(/changed_orgs .*\n +-> +Append/);
  });

  test.each(['settled_sums', 'settled_sources'])(
    'finds days and cells of a month by its indexes in %s',
    async (view) => {
      const plan = await explain(`select * from losant_usage_internal.${view} where month = '2026-10-01'`);
      expect(plan).toContain('usage_days_month');
      // It reads the cells that are not settled once.
      expect(plan.match(/coverage_\w+/g)).toEqual(['coverage_not_final_month']);
    },
  );

  test('sorts the counts of sources without the objects that have them', async () => {
    const orgs = `month = '2026-10-01' and org_id = any (array['a', 'b'])`;
    const plan = await explain(`select * from losant_usage_internal.settled_sources where ${orgs}`);
    expect(plan).toMatch(/Index Cond: .*month = .*\n +Filter: .*org_id = ANY /);
    expect(plan).toMatch(/Sort .*\n +Output: .*counts -> /);
    expect(plan).not.toMatch(/Sort .*\n +Output: .*\.counts,/);
  });
});

test('a day without a control total counts once, whatever tracks organizations have', async () => {
  const org = { from: '2024-01-01', instanceId: OTHER_INSTANCE };
  const [first, second] = [await books.addOrg(org), await books.addOrg(org)];
  await books.addCells({ orgId: first, from: '2024-05-01', to: '2024-05-05' });
  await books.addCells({ orgId: second, from: '2024-05-03', to: '2024-05-10' });
  await books.addCells({ orgId: second, from: '2024-05-20', to: '2024-05-21' });
  const days = sql`select stream, days from losant_usage.month_reconciliation(${OTHER_INSTANCE}, '2024-05-01')`;
  expect(await books.list(days)).toEqual(['device_counts 12']);
});
