/** Recovery on real servers and disks: a full disk, a backup, a standby that is promoted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { createEmbeddedFolder, queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { DebianPostgres, documentedOptions, tool } from '../support/debian-postgres.ts';
import { freePort } from '../support/ports.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { containing } from '../support/texts.ts';
import { settingsOf } from '../worker/process.ts';

const platform = usePlatform({ orgs: 30, now: Date.now, hostile: false });

/** Runs a command with a role's credentials. */
async function runAs(server: DebianPostgres, role: string, ...args: readonly string[]) {
  const settings = settingsOf(platform, { url: server.urlOf(`losant_usage_${role}`) });
  const env = { ...settings, REQUESTS_PER_SECOND: '2000', HTTP_PORT: `${await freePort()}` };
  return await runProgram(args, env);
}

test('a run ends at once, with a message, if the disk of the embedded database is full', async () => {
  const embedded = createEmbeddedFolder();
  const disk = join(embedded.folder, 'disk');
  mkdirSync(disk);
  // Enough for the schema, which takes 41 MB; the load stops while a segment of the log still fits.
  const script = 'mount -t tmpfs -o size=107m tmpfs "$0" && exec "$1" --liftoff-only "$2" backfill --from "$3"';
  const program = [process.execPath, resolve('bin/losant-usage.js'), daysAgo(60)];
  const running = spawn('unshare', ['-rm', 'sh', '-c', script, disk, ...program], {
    env: { ...settingsOf(platform, { url: `embedded:${join(disk, 'usage')}` }), REQUESTS_PER_SECOND: '2000' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr, [code]] = await Promise.all([text(running.stderr), once(running, 'exit')]);
  embedded.remove();
  expect(stderr).toMatch(/The disk of the embedded database in \S+ is full: \d+ MB free, 64 MB needed$/m);
  expect(code).toBe(1);
});

const TABLES = `select c.relname as name from pg_class c
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'r' order by 1`;

/** Reads every row of every table, and every privilege. */
async function readContents(server: DebianPostgres): Promise<unknown> {
  const url = server.urlOf('postgres');
  const tables: Record<string, unknown> = {};
  for (const { name } of await queryOnce(url, TABLES)) {
    const rows = `select to_jsonb(t)::text as row from losant_usage.${String(name)} t order by 1`;
    tables[String(name)] = (await queryOnce(url, rows)).map(({ row }) => row);
  }
  const rights = `select relname, array(select a::text from unnest(relacl) as a order by 1) as rights from pg_class
    where relnamespace::regnamespace::text like 'losant_usage%' and relkind in ('r', 'v')
    union all
    select proname, array(select a::text from unnest(proacl) as a order by 1) from pg_proc
    where pronamespace::regnamespace::text like 'losant_usage%' order by 1, 2`;
  return { tables, rights: await queryOnce(url, rights) };
}

test('a dump restored as documented has every row and privilege; a standby runs nothing until it is promoted', async () => {
  const [first, second] = await Promise.all([DebianPostgres.start(), DebianPostgres.start()]);
  try {
    expect(await runAs(first, 'migrator', 'migrate')).toMatchObject({ code: 0 });
    expect(await runAs(first, 'writer', 'run')).toMatchObject({ code: 0 });

    // A schema of others, such as dbt's, is not the program's to dump.
    await queryOnce(first.urlOf('postgres'), 'create schema losant_usage_marts create table days ()');
    const file = join(first.folder, 'losant-usage.dump');
    expect(readFileSync('docs/install.md', 'utf8')).toContain('--username=losant_usage_migrator');
    tool('pg_dump', ...documentedOptions('pg_dump'), `--file=${file}`, first.urlOf('losant_usage_migrator'));
    tool('pg_restore', ...documentedOptions('pg_restore'), `--dbname=${second.urlOf('postgres')}`, file);
    second.makeRoles();
    await queryOnce(first.urlOf('postgres'), 'drop schema losant_usage_marts cascade');
    expect(await readContents(second)).toEqual(await readContents(first));
    expect(await runAs(second, 'migrator', 'migrate')).toMatchObject({
      code: 0,
      stdout: containing('up to date'),
    });

    await second.becomeStandby();
    for (const command of ['run', 'worker']) {
      expect(await runAs(second, 'writer', command)).toMatchObject({
        code: 1,
        stderr: containing('is a standby and accepts no writes'),
      });
    }
    expect(await runAs(second, 'reader', 'status')).toMatchObject({ code: 0 });
    await queryOnce(second.url, 'select pg_promote()');
    const more = await runAs(second, 'writer', 'backfill', '--from', daysAgo(3), '--json');
    expect(jsonOf(more)).toMatchObject({ status: 'complete', cells: { planned: 240, loaded: 240 } });
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
});
