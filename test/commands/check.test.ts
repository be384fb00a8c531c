import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import {
  asOwner,
  createEmbeddedFolder,
  createTestDatabase,
  queryOnce,
  type TestDatabase,
} from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { freePort } from '../support/ports.ts';
import { type Env, jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { loginAs, nameOf } from '../support/roles.ts';
import { settingsOf } from '../worker/process.ts';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string | null;
}

/** What `check --json` prints. */
interface CheckDocument {
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

let database: TestDatabase;
let platform: Platform;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  platform = await startPlatform({ now: Date.now, orgs: 3 });
});
afterEach(() => platform[Symbol.asyncDispose]());

/** Checks with settings under which everything is fine, but for the changes. */
async function check(changes: Env = {}, ...args: readonly string[]) {
  const env = { ...settingsOf(platform, database), ...changes };
  const ended = await runProgram(['check', '--json', ...args], env);
  const document = jsonOf<CheckDocument>(ended);
  const failed = document.checks.filter(({ ok }) => !ok);
  const names = document.checks.map(({ name }) => name);
  return { ...ended, document, failed, failedNames: failed.map(({ name }) => name), names };
}

const DATABASE = ['settings', 'database', 'schema', 'rights', 'clock.database', 'api_url'];
const INSTANCE = ['instance.get', 'clock.losant', 'instanceOrgs.get'];
const USAGE = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const ORG = ['instanceOrg.get', ...USAGE.map((action) => `instanceOrg.${action}`)];

async function withScopes(...scopes: readonly string[]): Promise<Env> {
  await platform.control('tokens', { token: 'narrow-token', scopes });
  return { LOSANT_API_TOKEN: 'narrow-token' };
}

it('checks settings, database, clocks and each endpoint for the newest day, writes nothing and exits 0', async () => {
  const { code, document, failed, names } = await check();
  expect(failed).toEqual([]);
  expect(names).toEqual([...DATABASE, ...INSTANCE, ...ORG]);
  expect(document.checks.every(({ hint }) => hint === null)).toBe(true);
  const devices = document.checks.find(({ name }) => name === 'instanceOrg.deviceCounts');
  expect(devices?.message).toMatch(
    new RegExp(`^${daysAgo(1)}: devices_created \\d+, devices_deleted \\d+, devices_total \\d+$`),
  );
  expect(code).toBe(0);
  expect(await queryOnce(database.url, 'select from losant_usage.instances')).toEqual([]);
});

it('prints what is wrong first and what to do, and then what is right', async () => {
  await platform.control('tokens/revoke', { token: platform.token });
  const { code, stdout } = await runProgram(['check'], settingsOf(platform, database));
  expect(code).toBe(5);
  expect(stdout).toMatch(
    /^1 check failed\.\nFAILED {2}instance\.get.*\n {10}.*create a new instance API token.*\nok {6}settings: /,
  );
  expect(stdout).not.toContain(platform.token);
});

it('shows a defect of the program as one, with its place, and not as a failed check', async () => {
  const broken = await createTestDatabase();
  await asOwner(broken.url, 'alter table losant_usage.instances rename column api_url to address');
  const ended = await runProgram(['check', '--json'], {
    ...settingsOf(platform, database),
    DATABASE_URL: broken.url,
  });
  await broken.drop();
  expect(ended.code).toBe(1);
  expect(jsonOf<Refusal>(ended).error).toMatchObject({ code: 'unexpected' });
  expect(ended.stderr).toMatch(/api_url.*\n {2}this is a defect: please report it.*\n {4}at /);
});

it('exits 1 with a clock that is minutes off the one of Losant, and says to set it', async () => {
  await platform.control('config', { clock: { offsetMs: 360_000 } });
  const { code, failed, failedNames } = await check();
  expect(failedNames).toEqual(['instance.get', 'clock.losant']);
  expect(failed.at(-1)?.hint).toContain('set the clock');
  expect(code).toBe(1);
});

describe('the token', () => {
  it('without a scope fails at that endpoint alone, which the hint names', async () => {
    const missing = 'instanceOrg.notebookMinuteCounts';
    const scopes = ['instance.get', 'instanceOrgs.get', ...ORG].filter((scope) => scope !== missing);
    const { code, failed, names } = await check(await withScopes(...scopes));
    expect(failed).toMatchObject([
      { name: missing, hint: expect.stringContaining(`add ${missing} to it`) as string },
    ]);
    expect(names).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(5);
  });

  it('that may not list organizations leaves nothing to ask, unless they are named', async () => {
    const changes = await withScopes('instance.get', ...ORG);
    const without = await check(changes);
    expect(without.failedNames).toEqual(['instanceOrgs.get']);
    expect(without.names).not.toContain('instanceOrg.payloadCounts');
    const orgId = (await platform.orgWith('large')).slice('/orgs/'.length);
    const named = await check({ ...changes, LOSANT_ORG_IDS: orgId });
    expect(named.failedNames).toEqual(['instanceOrgs.get']);
    expect(named.names).toContain('instanceOrg.payloadCounts');
    expect(named.code).toBe(5);
  });
});

describe('a database', () => {
  it('that is empty stays empty, and run creates the tables', async () => {
    const empty = await createTestDatabase({ template: false });
    const { code, document } = await check({ DATABASE_URL: loginAs('migrator', empty.url) });
    const poor = await check({ DATABASE_URL: empty.url });
    const run = await runProgram(['run'], settingsOf(platform, empty));
    const tables = `select from pg_class where relnamespace::regnamespace::text like 'losant_usage%'`;
    const made = await queryOnce(empty.url, tables);
    await empty.drop();
    const refusal =
      'the user losant_usage_writer may not create them\n  run `losant-usage migrate` as the migrator';
    expect([poor.failedNames, poor.code, run.code]).toEqual([['rights'], 2, 2]);
    expect(run.stderr).toContain(refusal);
    expect(document.checks[2]).toMatchObject({ ok: true, message: 'no tables yet: run creates them' });
    expect(made).toEqual([]);
    expect(code).toBe(0);
  });

  // Promise (Operation): A command that only looks, and a dry run, create nothing.
  it('that is embedded and not there yet is not made', async () => {
    const place = createEmbeddedFolder();
    place.remove();
    const { url, folder } = place;
    const { code, document } = await check({ DATABASE_URL: url });
    expect(document.checks[1]?.message).toBe(folder);
    expect(document.checks[2]?.message).toBe('no tables yet: run creates them');
    expect(code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it('that is down exits 1, and Losant is checked all the same', async () => {
    const DATABASE_URL = `postgres://me:secret@127.0.0.1:${await freePort()}/usage`;
    const { code, failed, names } = await check({ DATABASE_URL });
    expect(failed).toMatchObject([
      { name: 'database', hint: expect.stringContaining('host and port') as string },
    ]);
    expect(names).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(1);
  });

  it('that refuses the password, or to be written, exits 2 and shows no password', async () => {
    const wrong = { username: nameOf('writer'), password: 'wrong-password' };
    const { href } = Object.assign(new URL(database.url), wrong);
    const { code, failed, stdout, stderr } = await check({ DATABASE_URL: href });
    expect(failed).toMatchObject([{ name: 'database', hint: 'check user and password in DATABASE_URL' }]);
    expect(code).toBe(2);
    expect(stdout + stderr).not.toContain('wrong-password');
    for (const role of ['reader', 'closer'] as const) {
      const poor = await check({ DATABASE_URL: loginAs(role, database.url) });
      expect([role, poor.failedNames, poor.code]).toEqual([role, ['rights'], 2]);
    }
  });
});

it('asks the monitor of HEARTBEAT_URL by the address that changes no state', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(asked.length === 1 ? 200 : 404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const HEARTBEAT_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ping/canary`;
  const last = async (url: string) => (await check({ HEARTBEAT_URL: url })).document.checks.at(-1);
  expect(await last(HEARTBEAT_URL)).toMatchObject({ ok: true, message: 'the monitor answers', hint: null });
  expect(asked).toEqual(['GET /ping/canary/log']);
  const unknown = { ok: true, message: 'the monitor answers HTTP 404' };
  expect(await last(HEARTBEAT_URL)).toMatchObject({ ...unknown, hint: expect.stringContaining('/log') });
  server.close();
  expect(await last('http://127.0.0.1:1/ping/canary')).toMatchObject({
    ok: false,
    message: 'the monitor of HEARTBEAT_URL does not answer: no connection',
  });
});

it('answers with --probe what the documentation leaves open', async () => {
  const { code, document } = await check({}, '--probe');
  const probes = document.checks.filter(({ name }) => name.startsWith('probe.'));
  const answers = probes.map(({ name, message }) => `${name}: ${message.replace(/ \(touches .*/, '')}`);
  expect(answers).toEqual([
    'probe.day_100_days_ago: no number',
    'probe.day_400_days_ago: no number',
    expect.stringMatching(
      /^probe.payloads_in_two_ways: payload_source_count (\d+), .*payload_all_count \1, /,
    ),
    expect.stringMatching(
      /^probe.instance_totals: \S+, 3 organizations: devices_created (\d+) of \1; .* (\d+) of \2$/,
    ),
  ]);
  expect(code).toBe(0);
});
