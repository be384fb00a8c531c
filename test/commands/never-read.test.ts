/** An instance that was never read: every status command reports it until it is read or retired. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { createStore, type Store } from '../e2e/usage.ts';
import { usePlatform } from '../simulator/platform.ts';
import { type Env, jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { settingsOf } from '../worker/process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });
const NEW = '5c00000000000000000000e1';

let store: Store;
let newcomer: Env;

beforeEach(async () => {
  store = await createStore();
  onTestFinished(() => store.remove());
  newcomer = {
    ...settingsOf(platform, store),
    LOSANT_INSTANCE_ID: NEW,
    LOSANT_API_URL: 'http://127.0.0.1:1',
    REQUEST_ATTEMPTS: '1',
  };
});

interface Document {
  readonly instances: readonly {
    readonly instanceId: string;
    readonly neverReadSince: string | null;
    readonly lastError: string | null;
  }[];
  readonly unconfiguredInstances: readonly string[];
}

const REASON = expect.stringMatching(/^instance\.get \(instance .*\): connection failed: .*ECONNREFUSED/) as string;
const statusOf = async (env: Env) => {
  const ended = await runProgram(['status', '--json'], env);
  return { code: ended.code, ...jsonOf<Document>(ended) };
};

// Guarantee (Missing numbers): An instance that was never read is reported with the reason, and counts as incomplete.
it('is reported with the error of its last run and exit code 3, also next to complete instances', async () => {
  expect((await runProgram(['run'], newcomer)).code).toBe(1);
  expect(await store.query('select api_url, last_error from losant_usage.instances')).toEqual([
    { api_url: null, last_error: REASON },
  ]);
  const since = expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string;
  const entry = { instanceId: NEW, neverReadSince: since, lastError: REASON, streams: [] };
  expect(await statusOf(newcomer)).toMatchObject({ code: 3, instances: [entry], unconfiguredInstances: [] });

  expect((await runProgram(['run'], settingsOf(platform, store))).code).toBe(0);
  const reader = { DATABASE_URL: store.url };
  const healthy = { instanceId: platform.instanceId.toLowerCase(), neverReadSince: null, lastError: null };
  const { code, instances } = await statusOf(reader);
  expect(code).toBe(3);
  expect(new Set(instances)).toEqual(new Set([expect.objectContaining(entry), expect.objectContaining(healthy)]));
  const gap = { orgId: null, stream: null, day: null, standing: 'missing', reason: 'never_read' };
  const gaps = await runProgram(['gaps', '--json'], reader);
  expect(gaps.code).toBe(3);
  expect(jsonOf(gaps)).toEqual([{ instanceId: NEW, ...gap, detail: REASON, nextReadAt: null }]);
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
});

it('is no gap of a database in which nothing has been loaded', async () => {
  const begin = { code: 0, stdout: 'Nothing has been loaded yet. Start with: losant-usage run\n' };
  expect(await runProgram(['status'], newcomer)).toMatchObject(begin);
  expect(await runProgram(['gaps'], newcomer)).toMatchObject({ code: 0, stdout: 'No gaps.\n' });
  const { stdout } = await runProgram(['digest'], newcomer);
  expect(stdout).toBe(`Not known yet, because nothing has been read\n\nInstance ${NEW}: not known yet.\n`);
});

it('that no run has tried to read is reported like one, also next to complete instances', async () => {
  const others = settingsOf(platform, store);
  expect((await runProgram(['run'], others)).code).toBe(0);
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-untried-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'usage.yaml');
  const entries = [platform.instanceId, NEW].map(
    (id) => `  - LOSANT_INSTANCE_ID: ${id}\n    LOSANT_API_TOKEN_FILE: token\n`,
  );
  writeFileSync(path, `instances:\n${entries.join('')}`);
  writeFileSync(join(folder, 'token'), platform.token);
  const look = (...args: string[]) => runProgram([...args, '--config', path], { DATABASE_URL: store.url });
  const gap = { instanceId: NEW, standing: 'missing', reason: 'never_read', detail: null, orgId: null, day: null };
  const gaps = await look('gaps', '--json');
  expect(gaps.code).toBe(3);
  expect(jsonOf(gaps)).toEqual([{ ...gap, stream: null, nextReadAt: null }]);
  expect(jsonOf<object>(await look('status', '--json'))).toMatchObject({ untriedInstances: [NEW] });
  for (const command of ['status', 'gaps']) {
    const { code, stdout } = await look(command);
    expect(code).toBe(3);
    expect(stdout).toContain(`Instance ${NEW} was never read, and no run has tried to.\n`);
    expect(stdout).not.toContain('No gaps.');
  }
  expect((await look('digest')).stdout).toContain(`\nInstance ${NEW}: not known yet.\n`);
});

it('that was read before is reported with the error of its last run', async () => {
  const env = settingsOf(platform, store);
  expect((await runProgram(['run'], env)).code).toBe(0);
  expect((await runProgram(['status'], env)).stdout).not.toContain('failed');
  expect((await runProgram(['run'], { ...env, LOSANT_API_TOKEN: 'revoked' })).code).toBe(5);
  expect((await runProgram(['status'], env)).stdout).toMatch(
    /\n {2}the run of .* UTC failed: instance\.get .*HTTP 401/,
  );
  expect((await runProgram(['run'], env)).code).toBe(0);
  expect((await runProgram(['status'], env)).stdout).not.toContain('failed');
});

it('can still be loaded from another API, and then is like any other', async () => {
  expect((await runProgram(['run'], newcomer)).code).toBe(1);
  const { instanceId } = platform;
  const wrong = { ...newcomer, LOSANT_INSTANCE_ID: instanceId };
  expect((await runProgram(['run', '--dry-run', '--json'], { ...wrong, LOSANT_API_URL: platform.url })).code).toBe(0);
  expect((await runProgram(['run'], wrong)).code).toBe(1);
  const planned = await runProgram(['run', '--dry-run', '--json'], settingsOf(platform, store));
  expect(jsonOf(planned)).toMatchObject({ orgs: 1, cells: 4 });
  expect((await runProgram(['run'], settingsOf(platform, store))).code).toBe(0);
  expect(await statusOf(settingsOf(platform, store))).toMatchObject({
    code: 0,
    instances: [{ neverReadSince: null, lastError: null }],
    unconfiguredInstances: [NEW],
  });
  const ended = await runProgram(['run', '--json'], wrong);
  expect(jsonOf<Refusal>(ended).error).toMatchObject({
    code: 'database_mismatch',
    hint: 'correct LOSANT_API_URL, or use another database if this is another Losant',
  });
});

it('is reported after it was removed from the settings until it is retired, and again once it is tried', async () => {
  await runProgram(['run'], newcomer);
  const others = settingsOf(platform, store);
  await runProgram(['run'], others);
  expect(await statusOf(others)).toMatchObject({ code: 0, unconfiguredInstances: [NEW] });
  expect((await runProgram(['status'], others)).stdout).toContain(`\n  losant-usage retire --instance ${NEW}\n`);
  const unknown = await runProgram(['retire', '--instance', '5c00000000000000000000e2', '--json'], others);
  expect(unknown.code).toBe(2);
  expect(jsonOf<Refusal>(unknown).error.message).toContain('The database has no instance');
  expect((await runProgram(['retire', '--instance', NEW], others)).code).toBe(0);
  expect(await statusOf(others)).toMatchObject({ code: 0, unconfiguredInstances: [] });
  const reader = { DATABASE_URL: store.url };
  expect(await statusOf(reader)).toMatchObject({ code: 0 });
  expect(await runProgram(['gaps', '--json'], reader)).toMatchObject({ code: 0, stdout: '[]\n' });
  await runProgram(['run'], newcomer);
  expect((await statusOf(reader)).code).toBe(3);
});
