/** What is lost while a run is under way: the server, its connections, its time, its disk; or the run's own time. */
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { makeFastFolder, queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { startOwnPostgres } from '../support/own-postgres.ts';
import type { Running } from '../support/program.ts';
import { differences, takeSnapshot } from './snapshot.ts';
import { openStage, SOON, type Stage } from './stage.ts';

const BACKFILL = ['backfill', '--from', daysAgo(9), '--to', daysAgo(1)];

const open = () => openStage({ orgs: 8, seed: 'losses' });

/** Long enough for something to happen in the middle: it has begun to ask for usage. */
async function startSlowly({ platform, start, hasAsked }: Stage, url?: string): Promise<Running> {
  await platform.control('config', { latencyMs: 60 });
  const program = start(BACKFILL, url === undefined ? {} : { url });
  await hasAsked(20);
  return program;
}

/** A run without delay finishes what another began. */
async function finishes({ platform, run }: Stage): Promise<void> {
  await platform.control('config', { latencyMs: 0 });
  expect(await run(BACKFILL)).toMatchObject({ code: 0 });
}

/** The program's sessions in the midst of a transaction. */
const IN_TRANSACTION = `from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage' and xact_start is not null`;

/** Until the program waits for a lock that somebody else has. */
async function waitsForLock({ sql }: Stage): Promise<void> {
  const waiting = `select count(*)::integer as n ${IN_TRANSACTION} and wait_event_type = 'Lock'`;
  await expect.poll(async () => (await sql(waiting))[0]?.['n'], SOON).toBe(1);
}

/** Stops every load at the ledger until it is released. */
async function holdLedger({ database }: Stage): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query('begin; lock table losant_usage.coverage in exclusive mode');
  return async () => {
    await client.query('rollback');
    await client.end();
  };
}

describe('a loss', { timeout: 60_000 }, () => {
  test('a statement that the server cancels for its time ends the run, and the next one does the rest', async () => {
    await using stage = await open();
    const expected = await stage.alone(BACKFILL);
    const program = await startSlowly(stage);
    const release = await holdLedger(stage);
    await waitsForLock(stage);
    await stage.sql(`select pg_cancel_backend(pid) ${IN_TRANSACTION}`);
    await release();
    const ended = await program.ended;
    expect(ended).toMatchObject({ code: 1 });
    expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: 'database_failed' } });
    expect(await stage.statuses()).toEqual(['failed']);
    await finishes(stage);
    expect(differences(expected, await stage.snapshot())).toEqual([]);
  });

  test('a disk that is full in the midst of a load leaves no half of it, and the next run does the rest', async () => {
    await using stage = await open();
    const expected = await stage.alone(BACKFILL);
    await stage.sql(`create function public.full_disk() returns trigger language plpgsql as $$ begin
      if (select count(*) from losant_usage.payload_sources) > 20 then
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
      end if; return new; end $$`);
    await stage.sql(`create trigger full_disk after insert on losant_usage.payload_sources
      for each row execute function public.full_disk()`);
    const ended = await stage.run(BACKFILL);
    expect(ended).toMatchObject({ code: 1 });
    const { error } = JSON.parse(ended.stdout) as { error: object };
    expect(error).toMatchObject({
      code: 'database_failed',
      message: expect.stringContaining('No space left on device') as string,
      hint: 'free disk space on the database server; the next run does the rest',
    });
    const left = `select (select count(*)::integer from losant_usage.device_counts) as facts,
      (select count(*)::integer from losant_usage.coverage) as cells`;
    expect(await stage.sql(left)).toEqual([{ facts: 0, cells: 0 }]);
    await stage.sql('drop function public.full_disk() cascade');
    await finishes(stage);
    expect(differences(expected, await stage.snapshot())).toEqual([]);
  });

  test('a Postgres that crashes while a run is at work and after it loses nothing, though it commits asynchronously', async () => {
    await using stage = await open();
    const expected = await stage.alone(BACKFILL);
    await using server = await startOwnServer();
    await queryOnce(server.url, 'create database usage');
    const url = server.url.replace(/postgres$/, 'usage');
    expect(await stage.start(['migrate'], { url }).ended).toMatchObject({ code: 0 });
    const program = await startSlowly(stage, url);
    await server.crash();
    // Loads are tried again; a read of the next organizations that meets the crash ends the run.
    expect([0, 1]).toContain((await program.ended).code);
    await stage.platform.control('config', { latencyMs: 0 });
    expect(await stage.start(BACKFILL, { url }).ended).toMatchObject({ code: 0 });
    await server.crash();
    expect(differences(expected, await takeSnapshot(url, { hashes: false }))).toEqual([]);
  });
});

interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** Ends it without writing down anything that it had not yet, and starts it again. */
  crash(): Promise<void>;
}

/** A server of this test's own, which it may stop. */
async function startOwnServer(): Promise<OwnServer> {
  const { url, server, pid, stop } = await startOwnPostgres(makeFastFolder('losant-usage-crash-'), {
    initdbFlags: ['--no-sync'],
    settings: ['timezone=UTC', 'synchronous_commit=off', 'wal_writer_delay=10s'],
  });
  return {
    url,
    crash: async () => {
      process.kill(pid(), 'SIGQUIT');
      await server.stop();
      await server.start();
    },
    [Symbol.asyncDispose]: stop,
  };
}
