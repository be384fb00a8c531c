/** What is lost while a run is under way: the server, its disk. */
import { describe, expect, test } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { asOwner, asWriter, makeFastFolder, queryOnce, withDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { OwnPostgres } from '../support/own-postgres.ts';
import { jsonOf, type Refusal, type Running } from '../support/program.ts';
import { nameless, readRolesSql } from '../support/roles.ts';
import { until } from '../support/wait.ts';

const [FROM, TO] = [daysAgo(9), daysAgo(1)];
const BACKFILL = ['backfill', '--json', '--from', FROM, '--to', TO];

async function open(): Promise<Export & AsyncDisposable> {
  const exported = await openExport({ orgs: 8, seed: 'losses', hostile: false, latencyMs: 60 });
  return { ...exported, [Symbol.asyncDispose]: () => exported.close() };
}

/** Starts a backfill that is slow enough for something to happen in the middle: it has begun to ask for usage. */
async function startSlowly({ platform, start }: Export, url?: string): Promise<Running> {
  const program = start(BACKFILL, url === undefined ? {} : { DATABASE_URL: url });
  const asked = async () => ((await platform.control('stats')) as { requests: number }).requests;
  await until('it has asked for usage', async () => (await asked()) >= 20);
  return program;
}

/** A run without delay finishes what another began. */
async function finishes({ platform, place, run }: Export): Promise<void> {
  await platform.control('config', { latencyMs: 0 });
  expect(await run(BACKFILL)).toMatchObject({ code: 0 });
  expect(firstDifference(await readStored(place), await readTruth(platform, FROM, TO))).toBeNull();
}

describe('a loss', () => {
  // Promise (Numbers): Interrupted anywhere, the next run goes on without a lost, doubled or half-written number.
  test('a disk that is full in the midst of a load leaves no half of it, and the next run does the rest', async () => {
    await using exported = await open();
    const { place } = exported;
    const program = await startSlowly(exported);
    // A run refuses a trigger that it finds when it starts.
    await asOwner(
      place.url,
      `create function public.full_disk() returns trigger language plpgsql as $$ begin
        if new.payload_sources is null then return new; end if;
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
      end $$;
      create trigger full_disk after update on losant_usage.usage_days
        for each row execute function public.full_disk()`,
    );
    const ended = await program.ended;
    expect(ended).toMatchObject({ code: 1 });
    expect(jsonOf<Refusal>(ended).error).toMatchObject({
      code: 'database_failed',
      message: expect.stringContaining('No space left on device') as string,
      hint: 'free disk space on the database server; the next run does the rest',
    });
    expect(await place.query('select status from losant_usage.runs')).toEqual([{ status: 'failed' }]);
    const halves = `select from losant_usage.coverage c join losant_usage.usage_days d using (usage_date, org_id)
      where c.stream = 'payload_sources' and c.is_stored <> (d.payload_sources is not null)`;
    expect(await asWriter(place.url, halves)).toEqual([]);
    await asOwner(place.url, 'drop function public.full_disk() cascade');
    await finishes(exported);
  });

  // Promise (Database): A server that crashes loses nothing of a run, even where it commits asynchronously by default.
  test('a Postgres that crashes in and after a run loses nothing, though it commits asynchronously', async () => {
    await using exported = await open();
    await using stack = new AsyncDisposableStack();
    const server = await OwnPostgres.start(makeFastFolder('losant-usage-crash-'), {
      initdbFlags: ['--no-sync'],
      settings: ['timezone=UTC', 'synchronous_commit=off', 'wal_writer_delay=10s'],
    });
    stack.defer(() => server.stop());
    await queryOnce(server.url, 'create database usage');
    const adminUrl = withDatabase(server.url, 'usage');
    await queryOnce(adminUrl, readRolesSql());
    const url = nameless(adminUrl);
    const { run, platform } = exported;
    expect(await run(['migrate', '--json'], { DATABASE_URL: url })).toMatchObject({ code: 0 });
    const program = await startSlowly(exported, url);
    await server.crash();
    // Loads are tried again; a read of the next organizations that meets the crash ends the run.
    expect([0, 1]).toContain((await program.ended).code);
    await platform.control('config', { latencyMs: 0 });
    // A lease that could not be given back would be waited for.
    await asWriter(url, 'delete from losant_usage.leases');
    expect(await run(BACKFILL, { DATABASE_URL: url })).toMatchObject({ code: 0 });
    await server.crash();
    const stored = await readStored({ query: (statement) => queryOnce(url, statement) });
    expect(firstDifference(stored, await readTruth(platform, FROM, TO))).toBeNull();
  });
});
