/** A backup as docs/install.md makes it, restored on another server, where the worker's role goes on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { DebianPostgres, documentedOptions, tool } from '../support/debian-postgres.ts';
import { jsonOf, runProgram } from '../support/program.ts';

let simulator: Simulator;
let first: DebianPostgres;
let second: DebianPostgres;

beforeAll(async () => {
  simulator = await startSimulator({ orgs: 3 });
  [first, second] = await Promise.all([DebianPostgres.start(), DebianPostgres.start()]);
});

afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await simulator.close();
});

const program = async (url: string, ...args: readonly string[]) =>
  await runProgram(args, {
    LOSANT_API_URL: simulator.url,
    LOSANT_INSTANCE_ID: simulator.instanceId,
    LOSANT_API_TOKEN: simulator.token,
    DATABASE_URL: url,
    REQUESTS_PER_SECOND: '2000',
  });

const TABLES = `select c.relname as name from pg_class c
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'r' order by 1`;

/** Every row of every table, and every right on them. */
async function contents(server: DebianPostgres): Promise<unknown> {
  const url = server.urlOf('postgres');
  const found: Record<string, unknown> = {};
  for (const { name } of await queryOnce(url, TABLES)) {
    const rows = `select to_jsonb(t)::text as row from losant_usage.${String(name)} t order by 1`;
    found[String(name)] = (await queryOnce(url, rows)).map(({ row }) => row);
  }
  const rights = `select relname, array(select a::text from unnest(relacl) as a order by 1) as rights from pg_class
    where relnamespace::regnamespace::text like 'losant_usage%' and relkind in ('r', 'v') order by 1`;
  return { found, rights: await queryOnce(url, rights) };
}

// Promise (Database): A database that is dumped and restored as documented has every row and every right, and the
// next run goes on from there.
test('a dump as the migrator, restored as an administrator, has every row and right, and a run goes on', async () => {
  const [writer, migrator] = ['losant_usage_writer', 'losant_usage_migrator'];
  expect(await program(first.urlOf(migrator), 'migrate')).toMatchObject({ code: 0 });
  expect(await program(first.urlOf(writer), 'run')).toMatchObject({ code: 0 });

  const file = join(first.folder, 'losant-usage.dump');
  expect(readFileSync('docs/install.md', 'utf8')).toContain(`--username=${migrator}`);
  tool('pg_dump', ...documentedOptions('pg_dump'), `--file=${file}`, first.urlOf(migrator));
  tool('pg_restore', ...documentedOptions('pg_restore'), `--dbname=${second.urlOf('postgres')}`, file);
  second.makeRoles('billing');
  expect(await contents(second)).toEqual(await contents(first));

  expect(await program(second.urlOf(migrator), 'migrate')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('up to date'),
  });
  expect(await program(second.urlOf('losant_usage_reader'), 'status')).toMatchObject({ code: 0 });
  const more = await program(second.urlOf(writer), 'backfill', '--from', daysAgo(3), '--json');
  expect(more.code).toBe(0);
  expect(jsonOf(more)).toMatchObject({ status: 'complete', cells: { planned: 24, loaded: 24 } });
});
