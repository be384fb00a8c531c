/** Signals that end a process in the middle of a backfill. */
import { expect, it } from 'vitest';
import { exitCodeOf, InterruptedError } from '../../src/errors.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { useInstallation } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

const installation = useInstallation({ orgs: 8 });

it('ends on SIGTERM with exit code 143, and the next run completes it', async () => {
  const { platform, store, run, spawn } = installation;
  await run(['run']);
  const day = daysAgo(2);
  const args = ['backfill', '--json', '--from', day, '--to', day];
  await platform.control('config', { latencyMs: 200 });
  const program = spawn(args, { REQUEST_CONCURRENCY: '2' });
  const storedCell = `select from losant_usage.coverage where usage_date = '${day}' and is_stored limit 1`;
  await until('a cell is stored', async () => (await asWriter(store.url, storedCell)).length > 0);
  program.kill('SIGTERM');
  const ended = await program.ended;
  expect(ended.code).toBe(143);
  expect(jsonOf<Refusal>(ended).error).toEqual({
    code: 'terminated',
    message: 'Interrupted by SIGTERM',
    hint: 'nothing was left half done; run the same command again, or wait for the next run',
  });
  const runs = await store.query('select status from losant_usage.runs order by started_at');
  expect(runs.at(-1)).toEqual({ status: 'interrupted' });
  expect(await store.query('select run_id from losant_usage.lease')).toEqual([]);
  await platform.control('config', { latencyMs: 0 });
  const completion = await run(args);
  expect(completion.code).toBe(0);
  // The interrupted one has stored the rest.
  expect(jsonOf(completion).cells['planned']).toBeLessThan(32);
  expect(await readStored(store)).toEqual(await readTruth(platform, day, daysAgo(1)));
});

it.each([
  ['SIGINT', 130, 'interrupted'],
  ['SIGHUP', 143, 'terminated'],
] as const)('%s is exit code %i', (signal, exitCode, kind) => {
  const error = new InterruptedError(signal);
  expect([exitCodeOf(error), error.kind]).toEqual([exitCode, kind]);
});
