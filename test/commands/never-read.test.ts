/** An instance that was never read: every status command reports it until it is read or retired. One world, in turn. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { HOUR_MS } from '../../src/usage/day.ts';
import { useInstallation } from '../e2e/installation.ts';
import { daysAgo } from '../support/days.ts';
import { createTestFolder } from '../support/folders.ts';
import { type Env, jsonOf, resultOf, runProgram } from '../support/program.ts';
import { matching } from '../support/texts.ts';

const installation = useInstallation({ orgs: 1 });
const [NEW, UNTRIED, UNKNOWN] = ['1', '2', '3'].map((end) => end.padStart(24, '5c0000')) as [string, string, string];

/** The settings of an instance that cannot be reached, of the instance that can, and those of a reader. */
let newcomer: Env;
let others: Env;
let reader: Env;

beforeAll(() => {
  others = installation.env;
  newcomer = { ...others, LOSANT_INSTANCE_ID: NEW, LOSANT_API_URL: 'http://127.0.0.1:1', REQUEST_ATTEMPTS: '1' };
  reader = { DATABASE_URL: installation.store.url };
});

const REASON = matching(/^instance\.get \(instance .*\): connection failed: .*ECONNREFUSED/);
const SINCE = matching(/^\d{4}-\d\d-\d\dT/);
const ENTRY = { instanceId: NEW, neverReadSince: SINCE, lastError: REASON };
const statusOf = async (env: Env) => {
  const ended = await runProgram(['status', '--json'], env);
  return { code: ended.code, ...jsonOf<{ readonly instances: readonly object[] }>(ended) };
};

it('is no gap of a database in which nothing has been loaded', async () => {
  const begin = { code: 0, stdout: 'Nothing has been loaded yet. Start with: losant-usage run\n' };
  expect(await runProgram(['status'], newcomer)).toMatchObject(begin);
  expect(await runProgram(['gaps'], newcomer)).toMatchObject({ code: 0, stdout: 'No gaps.\n' });
  const { stdout } = await runProgram(['digest'], newcomer);
  expect(stdout).toBe(`Not known yet, because nothing has been read\n\nInstance ${NEW}: not known yet.\n`);
});

it('can still be loaded from another API, and then is like any other', async () => {
  const wrong = { ...newcomer, LOSANT_INSTANCE_ID: installation.platform.instanceId };
  expect((await runProgram(['run'], wrong)).code).toBe(1);
  expect(jsonOf(await runProgram(['run', '--dry-run', '--json'], others))).toMatchObject({ orgs: 1, cells: 4 });
  expect((await runProgram(['run'], others)).code).toBe(0);
  const instances = [{ neverReadSince: null, lastError: null }];
  expect(await statusOf(others)).toMatchObject({ code: 0, instances });
  const hint = matching(/^correct LOSANT_API_URL, or use another database if this is another Losant/);
  const refused = await resultOf(runProgram(['run', '--json'], wrong));
  expect(refused).toMatchObject([2, { error: { code: 'database_mismatch', hint } }]);
});

it('that was read before is reported with the error of its last run', async () => {
  const status = async () => (await runProgram(['status'], others)).stdout;
  expect((await runProgram(['run'], { ...others, LOSANT_API_TOKEN: 'revoked' })).code).toBe(5);
  expect(await status()).toMatch(/\n {2}the run of .* UTC failed: instance\.get .*HTTP 401/);
  expect((await runProgram(['run'], others, { hostNow: () => Date.now() + HOUR_MS + 10_000 })).code).toBe(1);
  expect(await status()).toMatch(/UTC failed: This host's clock is 1 h ahead of that of the database/);
  expect((await runProgram(['run'], others)).code).toBe(0);
  expect(await runProgram(['run', '--day', daysAgo(20)], others)).toMatchObject({ code: 2 });
  expect(await status()).not.toContain('UTC failed');
  const failedRuns = await installation.store.query(`select kind, is_full, substring(error from '^instance.get')
    as error from losant_usage.runs where status = 'failed'`);
  // That without a connection, that without a token and that with another clock, but not that of another API, and not
  // that of another day.
  const failedRun = { kind: 'manual', is_full: true, error: 'instance.get' };
  expect(failedRuns).toEqual([failedRun, failedRun, { ...failedRun, error: null }]);
});

// Guarantee (Missing numbers): An instance that was never read is reported with the reason, and counts as incomplete.
it('is reported with the error of its last run and exit code 3, also next to complete instances', async () => {
  expect((await runProgram(['run'], newcomer)).code).toBe(1);
  expect(await statusOf(newcomer)).toMatchObject({ code: 3, instances: [{ ...ENTRY, streams: [] }] });
  const { code, instances } = await statusOf(reader);
  expect(code).toBe(3);
  const healthy = { instanceId: installation.platform.instanceId.toLowerCase(), neverReadSince: null, lastError: null };
  expect(new Set(instances)).toEqual(new Set([expect.objectContaining(ENTRY), expect.objectContaining(healthy)]));
  const gap = { orgId: null, stream: null, day: null, standing: 'missing', reason: 'never_read' };
  const gaps = await resultOf(runProgram(['gaps', '--json'], reader));
  expect(gaps).toEqual([3, [{ instanceId: NEW, ...gap, detail: REASON, nextReadAt: null }]]);
  for (const command of ['status', 'gaps']) {
    const { code: exitCode, stdout } = await runProgram([command], reader);
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(
      new RegExp(`Instance ${NEW} was never read; the first attempt was .* UTC\\.
  The last run failed: instance\\.get .*ECONNREFUSED.*
  To see what is wrong: losant-usage check\n`),
    );
    expect(stdout).not.toContain('No gaps.');
  }
  expect((await runProgram(['close'], newcomer)).stdout).toBe('No month has anything to bill yet.\n');
});

it('is reported after it was removed from the settings until it is retired, and again once it is tried', async () => {
  expect(await statusOf(others)).toMatchObject({ code: 0, unconfiguredInstances: [NEW] });
  expect((await runProgram(['status'], others)).stdout).toContain(`\n  losant-usage retire --instance ${NEW}\n`);
  const unknown = await resultOf(runProgram(['retire', '--instance', UNKNOWN, '--json'], others));
  const hint = 'losant-usage status lists the instances that are not in the settings';
  expect(unknown).toMatchObject([2, { error: { message: `The database has no instance ${UNKNOWN}`, hint } }]);
  expect((await runProgram(['retire', '--instance', NEW], others)).code).toBe(0);
  expect(await statusOf(others)).toMatchObject({ code: 0, unconfiguredInstances: [] });
  expect(await statusOf(reader)).toMatchObject({ code: 0 });
  expect(await runProgram(['gaps', '--json'], reader)).toMatchObject({ code: 0, stdout: '[]\n' });
  await runProgram(['run'], newcomer);
  expect((await statusOf(reader)).code).toBe(3);
});

it('that no run has tried to read is reported like one, also next to complete instances', async () => {
  const { platform } = installation;
  const folder = createTestFolder();
  const path = join(folder, 'usage.yaml');
  const entryOf = (id: string) => `  - LOSANT_INSTANCE_ID: ${id}\n    LOSANT_API_TOKEN_FILE: token\n`;
  writeFileSync(path, `instances:\n${entryOf(platform.instanceId)}${entryOf(UNTRIED)}`);
  writeFileSync(join(folder, 'token'), platform.token);
  const look = (...args: string[]) => runProgram([...args, '--config', path], reader);
  const gap = { instanceId: UNTRIED, standing: 'missing', reason: 'never_read', detail: null, orgId: null, day: null };
  expect(jsonOf(await look('gaps', '--json'))).toEqual([{ ...gap, stream: null, nextReadAt: null }]);
  expect(jsonOf<object>(await look('status', '--json'))).toMatchObject({ untriedInstances: [UNTRIED] });
  for (const command of ['status', 'gaps']) {
    const { code, stdout } = await look(command);
    expect(code).toBe(3);
    expect(stdout).toContain(`Instance ${UNTRIED} was never read: no run has tried to read it.\n`);
    expect(stdout).not.toContain('No gaps.');
  }
  expect((await look('digest')).stdout).toContain(`\nInstance ${UNTRIED}: not known yet.\n`);
});
