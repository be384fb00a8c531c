/** Shards of a run, of which one is killed, and one frozen beyond its lease and then goes on; and their rate. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { type RecordingProxy, startRecordingProxy } from '../support/recording-proxy.ts';
import { FREEZE_MS, freeze, letLapse, PATIENTLY, readDoubled, readStarts } from './freeze.ts';
import { excessOf } from './rate.ts';

const DAY = daysAgo(1);
const part = (index: number, ...more: string[]) => ['run', '--json', '--shard', `${index}/3`, ...more];

/** A platform whose requests are recorded, and a database with tables. */
async function open({ orgs, perSecond, latencyMs }: { orgs: number; perSecond: number; latencyMs: number }) {
  const exported = await openExport({ orgs, hostile: false, seed: 'frozen', latencyMs });
  const proxy = await startRecordingProxy(exported.platform.url);
  const env = { LOSANT_API_URL: proxy.url, REQUESTS_PER_SECOND: `${perSecond}`, REQUEST_CONCURRENCY: '2' };
  return { ...exported, proxy, env, [Symbol.asyncDispose]: () => closeBoth(exported, proxy) };
}

async function closeBoth(exported: Export, proxy: RecordingProxy): Promise<void> {
  await proxy[Symbol.asyncDispose]();
  await exported.close();
}

describe.concurrent('shards of a run', { timeout: 120_000 + 2 * FREEZE_MS }, () => {
  test('one killed, one frozen until another has its shard: every number once, and exit code 4 for the frozen one', async () => {
    const perSecond = FREEZE_MS > 0 ? 3 : 50;
    await using exported = await open({ orgs: 48, perSecond, latencyMs: 300 });
    const { platform, place, proxy, env, run, start, spawn } = exported;
    const startPart = (index: number, ...more: string[]) => start(part(index, ...more), env);
    const first = startPart(0);
    const [frozen, killed] = [spawn(part(1), env), spawn(part(2), env)];
    const held = `select run_id from losant_usage.leases l where exists (
      select from losant_usage.coverage c where c.run_id = l.run_id) order by shard_index`;
    await expect.poll(async () => (await place.query(held)).length, PATIENTLY).toBe(3);
    const [, ...lost] = (await place.query(held)).map(({ run_id }) => run_id);
    killed.kill('SIGKILL');
    await freeze(frozen, place);
    const frozenAtMs = Date.now();
    // Until now it kept them from finishing before they were stopped.
    await platform.control('config', { latencyMs: 0 });

    const [same, whole] = await Promise.all([run(part(1), env), run(['run', '--json'], env)]);
    expect([same.code, whole.code]).toEqual([4, 4]);
    expect(jsonOf<Refusal>(same).error).toMatchObject({
      code: 'lease_held',
      message: expect.stringMatching(
        /^Shard 1\/3 of instance \w+ is being exported by a process on /,
      ) as unknown,
    });

    const successors = [startPart(1, '--wait', '90'), startPart(2, '--wait', '90')];
    await letLapse(place, lost);
    const runs = async () => (await place.query('select from losant_usage.runs')).length;
    await expect.poll(runs, { timeout: 40_000 + FREEZE_MS }).toBe(5);
    await sleep(Math.max(0, frozenAtMs + FREEZE_MS - Date.now()));
    const thawedAtMs = Date.now();
    frozen.kill('SIGCONT');
    const woken = await frozen.ended;
    expect(woken.code).toBe(4);
    expect(jsonOf<Refusal>(woken).error.code).toBe('lease_lost');

    const ends = await Promise.all([first, ...successors].map(({ ended }) => ended));
    expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(['ok', 'ok', 'ok']);
    expect(firstDifference(await readStored(place), await readTruth(platform, DAY, DAY))).toBeNull();
    expect(await readDoubled(place)).toEqual([]);
    const statuses = await place.query(
      'select status, count(*)::integer from losant_usage.runs group by 1 order by 1',
    );
    expect(statuses).toEqual([
      { status: 'complete', count: 3 },
      { status: 'interrupted', count: 2 },
    ]);
    expect(await place.query('select from losant_usage.leases')).toEqual([]);
    const startsMs = [...(await readStarts(place, platform.instanceId)), thawedAtMs];
    expect(excessOf(proxy.atMs, { perSecond, startsMs })).toEqual([]);
  });
});
