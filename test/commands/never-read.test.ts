/** An instance that was never read: named by every command that says how things stand, until it is read or retired. */
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { createPlace, type Place } from '../e2e/usage.ts';
import { usePlatform } from '../simulator/platform.ts';
import { type Env, jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { settingsOf } from '../worker/process.ts';

const platform = usePlatform({ orgs: 2, now: Date.now });
const NEW = '5c00000000000000000000e1';

let place: Place;
let newcomer: Env;

beforeEach(async () => {
  place = await createPlace();
  onTestFinished(() => place.remove());
  newcomer = {
    ...settingsOf(platform, place),
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
  readonly notInSettings: readonly string[];
}

const REASON = expect.stringMatching(
  /^instance\.get \(instance .*\): connection failed: .*ECONNREFUSED/,
) as string;
const statusOf = async (env: Env) => {
  const ended = await runProgram(['status', '--json'], env);
  return { code: ended.code, ...jsonOf<Document>(ended) };
};

// Promise (Missing numbers): An instance that was never read is named, with the reason, and is no success anywhere.
it('is named with why the last run broke off, and exits with 3, beside healthy ones too', async () => {
  expect((await runProgram(['run'], newcomer)).code).toBe(1);
  expect(await place.query('select api_url, last_error from losant_usage.instances')).toEqual([
    { api_url: null, last_error: REASON },
  ]);
  const since = expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string;
  const entry = { instanceId: NEW, neverReadSince: since, lastError: REASON, streams: [] };
  expect(await statusOf(newcomer)).toMatchObject({ code: 3, instances: [entry], notInSettings: [] });

  expect((await runProgram(['run'], settingsOf(platform, place))).code).toBe(0);
  const reader = { DATABASE_URL: place.url };
  const healthy = { instanceId: platform.instanceId.toLowerCase(), neverReadSince: null, lastError: null };
  const { code, instances } = await statusOf(reader);
  expect(code).toBe(3);
  expect(new Set(instances)).toEqual(
    new Set([expect.objectContaining(entry), expect.objectContaining(healthy)]),
  );
  const gap = { orgId: null, stream: null, day: null, standing: 'missing', reason: 'never_read' };
  const gaps = await runProgram(['gaps', '--json'], reader);
  expect(gaps.code).toBe(3);
  expect(jsonOf(gaps)).toEqual([{ instanceId: NEW, ...gap, message: REASON, nextReadAt: null }]);
  for (const command of ['status', 'gaps']) {
    const { code: exitCode, stdout } = await runProgram([command], reader);
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(
      new RegExp(`Instance ${NEW} was never read: the first attempt was .* UTC\\.
  The last run broke off: instance\\.get .*ECONNREFUSED.*
  To find out what is wrong: losant-usage check\n`),
    );
    expect(stdout).not.toContain('No gaps.');
  }
});

it('may still get another address, and is read then like any other', async () => {
  expect((await runProgram(['run'], newcomer)).code).toBe(1);
  const { instanceId } = platform;
  const wrong = { ...newcomer, LOSANT_INSTANCE_ID: instanceId };
  expect(
    (await runProgram(['run', '--dry-run', '--json'], { ...wrong, LOSANT_API_URL: platform.url })).code,
  ).toBe(0);
  expect((await runProgram(['run'], wrong)).code).toBe(1);
  const planned = await runProgram(['run', '--dry-run', '--json'], settingsOf(platform, place));
  expect(jsonOf(planned)).toMatchObject({ orgs: 2, cells: 8 });
  expect((await runProgram(['run'], settingsOf(platform, place))).code).toBe(0);
  expect(await statusOf(settingsOf(platform, place))).toMatchObject({
    code: 0,
    instances: [{ neverReadSince: null, lastError: null }],
    notInSettings: [NEW],
  });
  const ended = await runProgram(['run', '--json'], wrong);
  expect(jsonOf<Refusal>(ended).error.code).toBe('database_mismatch');
});

it('is named after it has left the settings, until it is retired, and again once it is tried', async () => {
  await runProgram(['run'], newcomer);
  const others = settingsOf(platform, place);
  await runProgram(['run'], others);
  expect(await statusOf(others)).toMatchObject({ code: 0, notInSettings: [NEW] });
  expect((await runProgram(['status'], others)).stdout).toContain(`\n  losant-usage run --end ${NEW}\n`);
  const unknown = await runProgram(['run', '--end', '5c00000000000000000000e2', '--json'], others);
  expect(unknown.code).toBe(2);
  expect(jsonOf<Refusal>(unknown).error.message).toContain('the database has no such instance');
  expect((await runProgram(['run', '--end', NEW], others)).code).toBe(0);
  expect(await statusOf(others)).toMatchObject({ code: 0, notInSettings: [] });
  const reader = { DATABASE_URL: place.url };
  expect(await statusOf(reader)).toMatchObject({ code: 0 });
  expect(await runProgram(['gaps', '--json'], reader)).toMatchObject({ code: 0, stdout: '[]\n' });
  await runProgram(['run'], newcomer);
  expect((await statusOf(reader)).code).toBe(3);
});
