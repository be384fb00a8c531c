import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSchema, disconnect, makeFastFolder, queryOnce, withDatabase } from '../support/databases.ts';
import { useTestFolder } from '../support/folders.ts';
import { OwnPostgres } from '../support/own-postgres.ts';

/** A separate server, because roles belong to a whole server, and grants in other tests' schemas would use them. */
let server: OwnPostgres;
let database: string;
const secrets = useTestFolder();

beforeAll(async () => {
  server = await OwnPostgres.start(makeFastFolder('losant-usage-psql-server-'));
  await queryOnce(server.url, 'create database billing');
  database = withDatabase(server.url, 'billing');
  for (const name of ['migrator', 'writer', 'reader']) {
    writeFileSync(join(secrets, `${name}-password`), `the ${name}'s "own" $HOME \\ password\n`);
  }
});

afterAll(async () => {
  for (const url of [server.url, database]) await disconnect(url);
  await server.stop();
});

/** Runs psql as documented, with the test's database instead of `-d billing`. */
function psql(file: string) {
  const args = ['-X', '-v', 'ON_ERROR_STOP=1', '--single-transaction', '-d', database, '-f', file];
  const env = { PATH: process.env['PATH'], SECRETS: secrets };
  const { status, stderr, error } = spawnSync('psql', args, { env, encoding: 'utf8', timeout: 60_000 });
  if (error) throw error;
  return { status, stderr };
}

test('one psql command creates the roles, and can be repeated', () => {
  expect(psql('deploy/postgres/roles.sql')).toEqual({ status: 0, stderr: '' });
  expect(psql('deploy/postgres/roles.sql')).toMatchObject({ status: 0 });
});

test('passwords come from files and may have any characters', async () => {
  expect(psql('deploy/postgres/passwords.sql')).toEqual({ status: 0, stderr: '' });
  const url = new URL(database);
  url.username = 'losant_usage_reader';
  url.password = encodeURIComponent(`the reader's "own" $HOME \\ password`);
  const rows = await queryOnce(url.href, 'select current_user::text as name');
  expect(rows).toEqual([{ name: 'losant_usage_reader' }]);
});

/** Every object of both schemas with its definition, except the list of migrations, which only the program writes. */
const OBJECTS = `
  with schemas as (select 'losant_usage'::regnamespace as oid union all select 'losant_usage_internal'::regnamespace),
  relations as (select c.* from pg_class c join schemas s on s.oid = relnamespace where relname not like 'migrations%')
  select oid::regclass::text as name, pg_get_viewdef(oid) as definition from relations where relkind = 'v'
  union all
  select r.oid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 where r.relkind = 'r'
  union all
  select pg_get_indexdef(oid), '' from relations where relkind = 'i'
  union all
  select conrelid::regclass || ' ' || conname, pg_get_constraintdef(c.oid) from pg_constraint c
  join relations r on r.oid = c.conrelid
  union all
  select t.tgrelid::regclass || ' ' || t.tgname, pg_get_triggerdef(t.oid) from pg_trigger t
  join relations r on r.oid = t.tgrelid where not t.tgisinternal
  union all
  select f.oid::regprocedure::text, case when f.prokind = 'f' then pg_get_functiondef(f.oid) end from pg_proc f
  join schemas s on s.oid = f.pronamespace
  order by 1, 2`;

test('psql creates the same schema from the migrations as migrate', async () => {
  await queryOnce(server.url, 'create database migrated');
  const migrated = withDatabase(server.url, 'migrated');
  await createSchema(migrated);
  for (const file of readdirSync('migrations').sort()) {
    expect({ file, ...psql(`migrations/${file}`) }).toMatchObject({ file, status: 0 });
  }
  expect(await queryOnce(database, OBJECTS)).toEqual(await queryOnce(migrated, OBJECTS));
  await disconnect(migrated);
});
