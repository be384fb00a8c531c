/** Failures of the database during a run: a full disk, a crash. */
import { describe, expect, test } from 'vitest';
import { createInstallation, type Installation } from '../e2e/installation.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { asOwner, asWriter, makeFastFolder, queryOnce, withDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { OwnPostgres } from '../support/own-postgres.ts';
import { jsonOf, type Refusal, type Running } from '../support/program.ts';
import { readRolesSql, removeLogin } from '../support/roles.ts';
import { containing } from '../support/texts.ts';
import { until } from '../support/wait.ts';

const [FROM, TO] = [daysAgo(9), daysAgo(1)];
const BACKFILL = ['backfill', '--json', '--from', FROM, '--to', TO];

async function createSlowInstallation(): Promise<Installation & AsyncDisposable> {
  const installation = await createInstallation({ orgs: 8, seed: 'losses', hostile: false, latencyMs: 60 });
  return { ...installation, [Symbol.asyncDispose]: () => installation.close() };
}

/** Starts a backfill, and returns once it requests usage: it is slow enough for something to happen in the middle. */
async function startBackfill({ platform, start }: Installation, url?: string): Promise<Running> {
  const program = start(BACKFILL, url === undefined ? {} : { DATABASE_URL: url });
  const countRequests = async () => ((await platform.control('stats')) as { requests: number }).requests;
  await until('the backfill requests usage', async () => (await countRequests()) >= 20);
  return program;
}

/** Expects that a run without delay completes what another one began. */
async function expectCompletion({ platform, store, run }: Installation): Promise<void> {
  await platform.control('config', { latencyMs: 0 });
  expect(await run(BACKFILL)).toMatchObject({ code: 0 });
  expect(firstDifference(await readStored(store), await readTruth(platform, FROM, TO))).toBeNull();
}

describe('a database failure', () => {
  test('a full disk during a load leaves nothing partial, and the next run continues', async () => {
    await using installation = await createSlowInstallation();
    const { store } = installation;
    const program = await startBackfill(installation);
    await asOwner(
      store.url,
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
      message: containing('No space left on device'),
      hint: 'free disk space on the database server; the next run continues',
    });
    expect(await store.query('select status from losant_usage.runs')).toEqual([{ status: 'failed' }]);
    const partialCells = `select from losant_usage.coverage c join losant_usage.usage_days d using (usage_date, org_id)
      where c.stream = 'payload_sources' and c.is_stored <> (d.payload_sources is not null)`;
    expect(await asWriter(store.url, partialCells)).toEqual([]);
    await asOwner(store.url, 'drop function public.full_disk() cascade');
    await expectCompletion(installation);
  });

  test('crashes during and after a run lose nothing, although the server commits asynchronously', async () => {
    await using installation = await createSlowInstallation();
    await using stack = new AsyncDisposableStack();
    const server = await OwnPostgres.start(makeFastFolder('losant-usage-crash-'), {
      initdbFlags: ['--no-sync'],
      settings: ['timezone=UTC', 'synchronous_commit=off', 'wal_writer_delay=10s'],
    });
    stack.defer(() => server.stop());
    await queryOnce(server.url, 'create database usage');
    const adminUrl = withDatabase(server.url, 'usage');
    await queryOnce(adminUrl, readRolesSql());
    const url = removeLogin(adminUrl);
    const { run, platform } = installation;
    expect(await run(['migrate', '--json'], { DATABASE_URL: url })).toMatchObject({ code: 0 });
    const program = await startBackfill(installation, url);
    await server.crash();
    // Loads are retried; a read of the next organizations that meets the crash ends the run.
    expect([0, 1]).toContain((await program.ended).code);
    await platform.control('config', { latencyMs: 0 });
    // The next run would wait for a lease that could not be released.
    await asWriter(url, 'delete from losant_usage.lease');
    expect(await run(BACKFILL, { DATABASE_URL: url })).toMatchObject({ code: 0 });
    await server.crash();
    const stored = await readStored({ query: (statement) => queryOnce(url, statement) });
    expect(firstDifference(stored, await readTruth(platform, FROM, TO))).toBeNull();
  });
});
