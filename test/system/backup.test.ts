/** A backup as docs/operations.md makes it, restored on another server, where the worker's role goes on. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { queryOnce } from '../support/databases.ts';
import { freePort } from '../support/ports.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

const OPERATIONS = readFileSync('docs/operations.md', 'utf8');

/** pg_dump refuses a server that is newer than itself, so these are Debian's, of its own version. */
const MAJOR = /\d+/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[0] ?? '';
const BIN = `/usr/lib/postgresql/${MAJOR}/bin`;

/** Postgres refuses to run as root: for root it runs as the user that Debian's package makes. */
const OWNER = process.getuid?.() === 0 ? idsOf('postgres') : null;

function idsOf(user: string): { uid: number; gid: number } {
  const id = (which: string) => Number(execFileSync('id', [which, user], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

class Server {
  readonly folder = mkdtempSync(join(tmpdir(), 'losant-usage-backup-'));
  port = 0;
  process: ChildProcess | null = null;

  async start(): Promise<void> {
    if (OWNER !== null) chownSync(this.folder, OWNER.uid, OWNER.gid);
    this.port = await freePort();
    const options = { ...OWNER, cwd: '/', stdio: 'ignore' as const };
    const init = [
      '-D',
      join(this.folder, 'data'),
      '-U',
      'postgres',
      '--auth=trust',
      '--no-sync',
      '-E',
      'UTF8',
    ];
    execFileSync(join(BIN, 'initdb'), init, options);
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'fsync=off',
      `port=${this.port}`,
    ];
    const args = ['-D', join(this.folder, 'data'), ...settings.flatMap((each) => ['-c', each])];
    this.process = spawn(join(BIN, 'postgres'), args, options);
    await until('Postgres answers', async () => {
      return await queryOnce(this.url('postgres', 'postgres'), 'select 1').then(
        () => true,
        () => false,
      );
    });
    await queryOnce(this.url('postgres', 'postgres'), 'create database billing');
    psql(this.url('postgres'), 'deploy/postgres/roles.sql');
  }

  url(role: string, name = 'billing'): string {
    return `postgres://${role}@127.0.0.1:${this.port}/${name}`;
  }

  async stop(): Promise<void> {
    if (this.process !== null && this.process.exitCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGINT');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Without the notices that something is there already. */
const QUIET = { PATH: process.env['PATH'], PGOPTIONS: '-c client_min_messages=warning' };

function tool(name: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(name, args, { env: QUIET, encoding: 'utf8', timeout: 120_000 });
  if (error) throw error;
  if (status !== 0 || stderr !== '') throw new Error(`${name} ended with ${status}: ${stderr}`);
}

function psql(url: string, file: string): void {
  tool('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '--single-transaction', '-d', url, '-f', file);
}

/** The options of a command that the documentation shows, without those that name files and databases. */
function documented(name: string): string[] {
  const line = new RegExp(`^${name} .*$`, 'm').exec(OPERATIONS)?.[0] ?? '';
  const words = line.split(' ').slice(1);
  const options = words.filter((word) => word.startsWith('--') && !/^--(file|dbname|username)=/.test(word));
  if (options.length === 0) throw new Error(`docs/operations.md shows no ${name}`);
  return options;
}

let simulator: Simulator;
const [first, second] = [new Server(), new Server()];

beforeAll(async () => {
  if (!existsSync(BIN)) throw new Error(`there is no Postgres server in ${BIN}: apt-get install postgresql`);
  simulator = await startSimulator({ orgs: 3 });
  await Promise.all([first.start(), second.start()]);
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
async function contents(server: Server): Promise<unknown> {
  const url = server.url('postgres');
  const found: Record<string, unknown> = {};
  for (const { name } of await queryOnce(url, TABLES)) {
    const rows = `select to_jsonb(t)::text as row from losant_usage.${String(name)} t order by 1`;
    found[String(name)] = (await queryOnce(url, rows)).map(({ row }) => row);
  }
  const rights = `select relname, array(select a::text from unnest(relacl) as a order by 1) as rights from pg_class
    where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v') order by 1`;
  return { found, rights: await queryOnce(url, rights) };
}

test('a dump as the migrator, restored as an administrator, has every row and right, and a run goes on', async () => {
  const [writer, migrator] = ['losant_usage_writer', 'losant_usage_migrator'];
  expect(await program(first.url(migrator), 'migrate')).toMatchObject({ code: 0 });
  expect(await program(first.url(writer), 'run')).toMatchObject({ code: 0 });
  await queryOnce(first.url(writer), 'update losant_usage.usage_days set devices_total = devices_total + 1');

  const file = join(first.folder, 'losant-usage.dump');
  expect(OPERATIONS).toContain(`--username=${migrator}`);
  tool('pg_dump', ...documented('pg_dump'), `--file=${file}`, first.url(migrator));
  tool('pg_restore', ...documented('pg_restore'), `--dbname=${second.url('postgres')}`, file);
  psql(second.url('postgres'), 'deploy/postgres/roles.sql');
  expect(await contents(second)).toEqual(await contents(first));

  expect(await program(second.url(migrator), 'migrate')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('up to date'),
  });
  // What was changed by hand before the dump is still in doubt, and the run there reads it again.
  expect(await program(second.url('losant_usage_reader'), 'status')).toMatchObject({ code: 3 });
  const run = await program(second.url(writer), 'run', '--json');
  expect(run.code).toBe(0);
  expect(jsonOf(run)).toMatchObject({ status: 'complete', cells: { planned: 3, loaded: 3 } });
  expect(await program(second.url('losant_usage_reader'), 'status')).toMatchObject({ code: 0 });
  const record = `select count(*)::int as changes from losant_usage.revisions`;
  expect(await queryOnce(second.url('losant_usage_reader'), record)).toEqual([{ changes: 6 }]);
});
