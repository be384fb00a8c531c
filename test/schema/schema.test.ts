/**
 * The schema that the migrations create: its types in the program, and its comments. `npm run schema` regenerates
 * src/database/schema.ts and rights.txt.
 */
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { useDisposable, useTestDatabase } from '../opened.ts';
import { openAs } from '../support/databases.ts';
import { generateTypes } from './types.ts';

const database = useTestDatabase();
const handle = useDisposable(() => openAs('migrator', database.url));

test('src/database/schema.ts has the types of the schema: npm run schema', async () => {
  await expect(await generateTypes(handle.db)).toMatchFileSnapshot('../../src/database/schema.ts');
});

test('every table, view, column and function of the contract has a comment', async () => {
  const undocumented = sql<{ name: string }>`
    select c.relname as name from pg_class c
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
    and obj_description(c.oid, 'pg_class') is null
    union all
    select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
    and col_description(c.oid, a.attnum) is null
    union all
    select p.proname from pg_proc p where p.pronamespace = 'losant_usage'::regnamespace
    and obj_description(p.oid, 'pg_proc') is null`;
  // These two tables belong to kysely's Migrator.
  const isOfMigrator = ({ name }: { name: string }) => /^migrations(_lock)?(\.|$)/.test(name);
  const { rows } = await undocumented.execute(handle.db);
  expect(rows.filter((row) => !isOfMigrator(row))).toEqual([]);
});

test('comments say which days a number of a month is of, and that earlier attributes are not those last seen', async () => {
  const { rows } = await sql<{ line: string }>`select concat(c.relname, ': ', col_description(c.oid, a.attnum)) as line
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where (c.relname, a.attname) in (
      ('daily_usage', 'notebook_minutes'), ('monthly_usage', 'devices_total'), ('monthly_usage', 'notebook_minutes'),
      ('organization_history', 'plan_id'))
      and c.relnamespace = 'losant_usage'::regnamespace order by c.relname, a.attname`.execute(handle.db);
  const level =
    'Devices near the end of the day (devices, level) on the last day on which it is stored; null if it is on';
  expect(rows.map(({ line }) => line)).toEqual([
    'daily_usage: Notebook execution time (minutes, flow); null if not stored.',
    `monthly_usage: ${level} none.`,
    'monthly_usage: Notebook execution time (minutes, flow) over the stored days; null if none is stored.',
    'organization_history: Billing plan ID of the organization in this version; null if it has none.',
  ]);
});

const TABLES_PAGE = readFileSync('docs/tables.md', 'utf8');

test('docs/tables.md names every table, view and function of the contract, and every metric', async () => {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_class where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v')
      and has_any_column_privilege('losant_usage_reader', oid, 'select') and relname <> 'migrations'
    union all select proname from pg_proc where pronamespace = 'losant_usage'::regnamespace
      and has_function_privilege('losant_usage_reader', oid, 'execute')
    union all select metric from losant_usage.metrics`.execute(handle.db);
  expect(rows.length).toBeGreaterThan(40);
  expect(rows.filter(({ name }) => !TABLES_PAGE.includes(`\`${name}`))).toEqual([]);
});
