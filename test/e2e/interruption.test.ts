/** A process that a signal ends in the midst of a backfill. */
import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const exported = useExport({ orgs: 20 });
beforeAll(async () => {
  await exported.run(['run']);
});

const runs = () => exported.place.query('select status from losant_usage.runs order by started_at');

/** Starts reading a day, sends the signal once some of it is stored, and returns the end. */
async function interrupt(day: string, signal: NodeJS.Signals, begin: 'start' | 'spawn') {
  const { platform, place } = exported;
  await platform.control('config', { latencyMs: 60 });
  const args = ['backfill', '--json', '--from', day, '--to', day];
  const running = exported[begin](args, { REQUEST_CONCURRENCY: '2' });
  await until('some of it is stored', async () => {
    const some = `select from losant_usage.cells where usage_date = '${day}' and is_stored limit 1`;
    return (await place.query(some)).length > 0;
  });
  (running.kill as (signal: NodeJS.Signals) => void)(signal);
  const ended = await running.ended;
  await platform.control('config', { latencyMs: 0 });
  return ended;
}

/** Expects that the next run reads what the interrupted one has not stored. */
async function expectCompletion(day: string): Promise<void> {
  const { platform, place, run } = exported;
  const ended = await run(['backfill', '--json', '--from', day, '--to', day]);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended).cells['planned']).toBeLessThan(80);
  expect(await readStored(place)).toEqual(await readTruth(platform, day, daysAgo(1)));
}

it.each<{ signal: NodeJS.Signals; code: number; kind: string; back: number; begin: 'start' | 'spawn' }>([
  { signal: 'SIGTERM', code: 143, kind: 'terminated', back: 2, begin: 'spawn' },
  { signal: 'SIGINT', code: 130, kind: 'interrupted', back: 3, begin: 'start' },
  { signal: 'SIGHUP', code: 143, kind: 'terminated', back: 4, begin: 'start' },
])('ends on $signal with exit code $code, and the next run completes what it began', async (given) => {
  const { signal, code, kind, back, begin } = given;
  const day = daysAgo(back);
  const ended = await interrupt(day, signal, begin);
  expect(ended.code).toBe(code);
  expect(jsonOf<Refusal>(ended).error).toEqual({
    code: kind,
    message: `Interrupted by ${signal}`,
    hint: 'nothing is half done: the next run goes on, or the same command',
  });
  expect((await runs()).at(-1)).toEqual({ status: 'interrupted' });
  expect(await exported.place.query('select run_id from losant_usage.leases')).toEqual([]);
  await expectCompletion(day);
});
