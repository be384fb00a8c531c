/** Signals that end a process in the middle of a backfill. */
import { beforeAll, expect, it } from 'vitest';
import { exitCodeOf, InterruptedError } from '../../src/errors.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { useInstallation } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

const installation = useInstallation({ orgs: 8 });
beforeAll(async () => {
  await installation.run(['run']);
});

const runs = () => installation.store.query('select status from losant_usage.runs order by started_at');

/** Starts to read a day, ends the process once a part of it is stored, and waits for the end. */
async function interrupt(day: string) {
  const { platform, store, spawn } = installation;
  await platform.control('config', { latencyMs: 200 });
  const args = ['backfill', '--json', '--from', day, '--to', day];
  const program = spawn(args, { REQUEST_CONCURRENCY: '2' });
  await until('a cell is stored', async () => {
    const storedCell = `select from losant_usage.cells where usage_date = '${day}' and is_stored limit 1`;
    return (await store.query(storedCell)).length > 0;
  });
  program.kill('SIGTERM');
  const ended = await program.ended;
  await platform.control('config', { latencyMs: 0 });
  return ended;
}

/** Expects that the next run reads what the interrupted one has not stored. */
async function expectCompletion(day: string): Promise<void> {
  const { platform, store, run } = installation;
  const ended = await run(['backfill', '--json', '--from', day, '--to', day]);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended).cells['planned']).toBeLessThan(32);
  expect(await readStored(store)).toEqual(await readTruth(platform, day, daysAgo(1)));
}

it('ends on SIGTERM with exit code 143, and the next run completes it', async () => {
  const day = daysAgo(2);
  const ended = await interrupt(day);
  expect(ended.code).toBe(143);
  expect(jsonOf<Refusal>(ended).error).toEqual({
    code: 'terminated',
    message: 'Interrupted by SIGTERM',
    hint: 'nothing was left half done; run the same command again, or wait for the next run',
  });
  expect((await runs()).at(-1)).toEqual({ status: 'interrupted' });
  expect(await installation.store.query('select run_id from losant_usage.leases')).toEqual([]);
  await expectCompletion(day);
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 143],
] as const)('%s is exit code %i', (signal, code) => {
  expect(exitCodeOf(new InterruptedError(signal))).toBe(code);
});
