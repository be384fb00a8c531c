import { beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { useDisposable } from '../opened.ts';
import { daysAgo } from '../support/days.ts';
import type { Env } from '../support/program.ts';
import { startRecordingProxy } from '../support/recording-proxy.ts';
import { until } from '../support/wait.ts';
import { orgIdsOf, useInstallation } from './installation.ts';

const installation = useInstallation({ orgs: 2 });
const proxy = useDisposable(() => startRecordingProxy(installation.platform.url));
let orgId: string;

/** Has a token with every permission, so that only the program itself prevents changes. */
let env: Env;

beforeAll(async () => {
  env = { LOSANT_API_URL: proxy.url, LOSANT_ADMIN_TOKEN: installation.platform.token };
  [orgId = ''] = await orgIdsOf(installation.platform);
});

const yesterday = daysAgo(1);

/** The calls of each command that reads the settings of Losant. The worker is started for one wake-up. */
const CALLS: Readonly<Record<string, () => readonly (readonly string[])[]>> = {
  worker: () => [],
  run: () => [['run'], ['run', '--day', yesterday]],
  backfill: () => [['backfill', '--from', daysAgo(3), '--to', yesterday]],
  check: () => [['check', '--probe']],
  'org show': () => [['org', 'show', '--org', orgId]],
  'org set': () => [['org', 'set', '--org', orgId, '--patch', '{"name":"Other"}', '--dry-run']],
  'org delete': () => [['org', 'delete', '--org', orgId, '--dry-run']],
};

/** Returns the distinct methods of the requests since the last call. */
const takeMethods = () => [...new Set(proxy.seen.splice(0).map((each) => each.replace(/ .*/, '')))];

describe('Losant receives only GET requests', () => {
  it('by the worker', async () => {
    const worker = installation.start(['worker'], { ...env, HTTP_PORT: '0', SCHEDULE: '0 0 1 1 *' });
    await until('the first run has ended', () => worker.stderr().includes('run finished'));
    worker.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
    expect(proxy.seen.some((each) => each.endsWith('/payloadCounts'))).toBe(true);
    expect(takeMethods()).toEqual(['GET']);
  });

  it.each(Object.keys(CALLS).filter((name) => name !== 'worker'))('by %s', async (name) => {
    for (const args of CALLS[name]?.() ?? []) {
      const { code, stderr } = await installation.run(args, env);
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    }
    expect(takeMethods()).toEqual(['GET']);
  });

  it('by all other commands, because they do not read the settings of Losant', async () => {
    const names: string[] = [];
    for (const [name, load] of commands) if ((await load()).needs?.includes('losant')) names.push(name);
    expect(names.toSorted()).toEqual(Object.keys(CALLS).toSorted());
  });
});
