import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { daysAgo } from '../support/days.ts';
import type { Env } from '../support/program.ts';
import { type RecordingProxy, startRecordingProxy } from '../support/recording-proxy.ts';
import { until } from '../support/wait.ts';
import { orgIdsOf, useInstallation } from './installation.ts';

const exported = useInstallation({ orgs: 2 });
let proxy: RecordingProxy;
let orgId: string;

/** A token that may do anything, for reading too: nothing but the program itself holds it back. */
let env: Env;

beforeAll(async () => {
  proxy = await startRecordingProxy(exported.platform.url);
  env = { LOSANT_API_URL: proxy.url, LOSANT_ADMIN_TOKEN: exported.platform.token };
  [orgId = ''] = await orgIdsOf(exported.platform);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
});

const yesterday = daysAgo(1);

/** How each command that is given a token is started; the worker for one wake-up. */
const CALLS: Readonly<Record<string, () => readonly (readonly string[])[]>> = {
  worker: () => [],
  run: () => [['run'], ['run', '--day', yesterday]],
  backfill: () => [['backfill', '--from', daysAgo(3), '--to', yesterday]],
  check: () => [['check', '--probe']],
  'org show': () => [['org', 'show', '--org', orgId]],
  'org set': () => [['org', 'set', '--org', orgId, '--patch', '{"name":"Other"}', '--dry-run']],
  'org delete': () => [['org', 'delete', '--org', orgId, '--dry-run']],
};

/** The methods that Losant was sent, each once. */
const methodsSeen = () => [...new Set(proxy.seen.splice(0).map((each) => each.replace(/ .*/, '')))];

describe('Losant is sent nothing but GET', () => {
  // Guarantee (Losant): Only org set and org delete can send Losant anything but GET.
  it('by the worker', async () => {
    const worker = exported.start(['worker'], { ...env, HTTP_PORT: '0', SCHEDULE: '0 0 1 1 *' });
    await until('the first run has ended', () => worker.stderr().includes('run finished'));
    worker.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
    expect(proxy.seen.some((each) => each.endsWith('/payloadCounts'))).toBe(true);
    expect(methodsSeen()).toEqual(['GET']);
  });

  it.each(Object.keys(CALLS).filter((name) => name !== 'worker'))('by %s', async (name) => {
    for (const args of CALLS[name]?.() ?? []) {
      const { code, stderr } = await exported.run(args, env);
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    }
    expect(methodsSeen()).toEqual(['GET']);
  });

  it('by any other command, as no other reads the settings of Losant', async () => {
    const loaded = await Promise.all(
      [...commands].map(async ([name, load]) => ({ name, needs: (await load()).needs })),
    );
    const given = loaded.filter(({ needs }) => needs?.includes('losant'));
    expect(given.map(({ name }) => name).toSorted()).toEqual(Object.keys(CALLS).toSorted());
  });
});
