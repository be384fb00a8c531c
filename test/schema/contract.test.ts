/** Everything that a reader sees says what it is; who may do what is granted by name. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';

let database: TestDatabase;
let handle: DatabaseHandle;

beforeAll(async () => {
  database = await createTestDatabase();
  handle = await createDatabase({ url: database.url, applicationName: 'schema test', poolSize: 1 });
});

afterAll(async () => {
  await handle.close();
  await database.drop();
});

const ask = async (query: ReturnType<typeof sql>) => (await query.execute(handle.db)).rows;

test('every table, view, column and function of the contract says what it is', async () => {
  const silent = sql`
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
  // Those two are kysely's own.
  const ofMigrator = ({ name }: { name: string }) => /^migrations(_lock)?(\.|$)/.test(name);
  const names = (await ask(silent)) as { name: string }[];
  expect(names.filter((each) => !ofMigrator(each))).toEqual([]);
});

/** Roles are of the whole server: they are made in a transaction that is rolled back. */
test('each role may do what is named, and nothing else', async () => {
  const trx = await handle.db.startTransaction().execute();
  try {
    await sql`
      do $$ declare name text; begin
        foreach name in array array['losant_usage_reader', 'losant_usage_writer', 'losant_usage_closer'] loop
          if to_regrole(name) is null then execute format('create role %I', name); end if;
        end loop;
        perform losant_usage.grant_rights();
      end $$`.execute(trx);
    const { rows } = await sql<{ line: string }>`
      select concat_ws(' ', replace(r.rolname, 'losant_usage_', ''), g.object) || ': '
        || string_agg(lower(g.privilege), ', ' order by g.privilege) as line
      from (
        select a.grantee, n.nspname || '.' || c.relname as object, a.privilege_type as privilege
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) a
        union all
        select a.grantee, n.nspname || '.' || c.relname || '.' || t.attname, a.privilege_type
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute t on t.attrelid = c.oid
        cross join lateral aclexplode(t.attacl) a
        union all
        select a.grantee, n.nspname || '.' || p.proname || '()', a.privilege_type
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join lateral aclexplode(p.proacl) a
        union all
        select a.grantee, 'schema ' || n.nspname, a.privilege_type
        from pg_namespace n cross join lateral aclexplode(n.nspacl) a
      ) as g
      join pg_roles r on r.oid = g.grantee and r.rolname in ('losant_usage_reader', 'losant_usage_writer',
      'losant_usage_closer')
      where g.object like '%losant_usage%'
      group by r.rolname, g.object order by 1`.execute(trx);
    await expect(rows.map(({ line }) => `${line}\n`).join('')).toMatchFileSnapshot('rights.txt');
  } finally {
    await trx.rollback().execute();
  }
});
