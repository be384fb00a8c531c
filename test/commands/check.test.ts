import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startServer } from '../losant/server.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import {
  createEmbeddedFolder,
  createTestDatabase,
  queryOnce,
  type TestDatabase,
} from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { freePort } from '../support/ports.ts';
import { type Env, jsonOf, runProgram } from '../support/program.ts';
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
  readonly probe?: readonly Record<'question' | 'answer' | 'touches', string>[];
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
  return { ...ended, document: jsonOf<CheckDocument>(ended) };
}

const failedOf = ({ checks }: CheckDocument) => checks.filter(({ ok }) => !ok);
const namesOf = (checks: readonly Check[]) => checks.map(({ name }) => name);

const DATABASE = ['settings', 'database', 'schema', 'rights', 'clock.database'];
const INSTANCE = ['instance.get', 'clock.losant', 'api_url', 'instanceOrgs.get'];
const USAGE = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const ORG = ['instanceOrg.get', ...USAGE.map((action) => `instanceOrg.${action}`)];

async function withScopes(...scopes: readonly string[]): Promise<Env> {
  await platform.control('tokens', { token: 'narrow-token', scopes });
  return { LOSANT_API_TOKEN: 'narrow-token' };
}

describe('when everything is fine', () => {
  it('checks settings, database, clocks and each endpoint, and exits 0', async () => {
    const { code, document } = await check();
    expect(failedOf(document)).toEqual([]);
    expect(namesOf(document.checks)).toEqual([...DATABASE, ...INSTANCE, ...ORG, 'reconcile']);
    expect(document.checks.every(({ hint }) => hint === null)).toBe(true);
    expect(document.ok).toBe(true);
    expect(code).toBe(0);
  });

  it('asks for the newest day that is over', async () => {
    const { document } = await check();
    const devices = document.checks.find(({ name }) => name === 'instanceOrg.deviceCounts');
    expect(devices?.message).toMatch(
      new RegExp(`^${daysAgo(1)}: devices_created \\d+, devices_deleted \\d+, devices_total \\d+$`),
    );
  });

  it('prints the verdict and a line for each check to people, and then the settings', async () => {
    const { code, stdout } = await runProgram(['check'], settingsOf(platform, database));
    expect(stdout).toMatch(/^ +HORIZON_DAYS +90 +default$/m);
    expect(stdout).toMatch(/^ +DATABASE_URL +set +environment$/m);
    expect(stdout).toMatch(/^ok {6}database: .*, not encrypted, on this machine$/m);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith(' '));
    expect(lines[0]).toBe('Everything works.');
    const checks = lines.filter((line) => line.startsWith('ok      '));
    expect(checks).toHaveLength(DATABASE.length + INSTANCE.length + ORG.length + 1);
    expect(code).toBe(0);
  });

  it('prints what is wrong first', async () => {
    await platform.control('tokens/revoke', { token: platform.token });
    const { stdout } = await runProgram(['check'], settingsOf(platform, database));
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'One check failed.',
      expect.stringMatching(/^FAILED {2}instance\.get/) as string,
    ]);
  });

  it('leaves out the endpoints of streams that are not exported', async () => {
    const { document } = await check({ STREAMS: 'device_counts' });
    expect(namesOf(document.checks).filter((name) => ORG.includes(name))).toEqual([
      'instanceOrg.get',
      'instanceOrg.deviceCounts',
    ]);
  });
});

describe('writes nothing', () => {
  it('leaves an empty database empty, and says that run creates the tables', async () => {
    const empty = await createTestDatabase({ template: false });
    try {
      const { code, document } = await check({ DATABASE_URL: empty.url });
      const schema = document.checks.find(({ name }) => name === 'schema');
      expect(schema).toEqual({
        name: 'schema',
        ok: true,
        message: 'no tables yet: run creates them',
        hint: null,
      });
      expect(code).toBe(0);
      expect(await queryOnce(empty.url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual(
        [],
      );
    } finally {
      await empty.drop();
    }
  });

  it('registers no instance', async () => {
    await check();
    expect(await queryOnce(database.url, 'select from losant_usage.instances')).toEqual([]);
  });

  // Promise (Operation): A command that only looks, and a dry run, create nothing.
  it('does not make the folder of an embedded database', async () => {
    const place = createEmbeddedFolder();
    place.remove();
    const { url, folder } = place;
    const { code, document } = await check({ DATABASE_URL: url });
    expect(document.checks[1]?.message).toBe(`${folder} has no embedded database yet: run creates it`);
    expect(code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });
});

describe('the token', () => {
  it('when revoked fails once, with exit code 5 and what to do', async () => {
    await platform.control('tokens/revoke', { token: platform.token });
    const { code, document, stdout, stderr } = await check();
    expect(namesOf(failedOf(document))).toEqual(['instance.get']);
    expect(failedOf(document)[0]).toMatchObject({
      message: expect.stringContaining('HTTP 401') as string,
      hint: expect.stringContaining('create a new instance API token') as string,
    });
    expect(code).toBe(5);
    expect(stdout + stderr).not.toContain(platform.token);
  });

  it('without a scope fails at that endpoint alone, which the hint names', async () => {
    const scopes = ['instance.get', 'instanceOrgs.get', ...ORG].filter(
      (scope) => scope !== 'instanceOrg.notebookMinuteCounts',
    );
    const { code, document } = await check(await withScopes(...scopes));
    expect(namesOf(failedOf(document))).toEqual(['instanceOrg.notebookMinuteCounts']);
    expect(failedOf(document)[0]?.hint).toContain('add instanceOrg.notebookMinuteCounts to it');
    expect(namesOf(document.checks)).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(5);
  });

  it('that may not list organizations leaves nothing to ask, unless they are named', async () => {
    const changes = await withScopes('instance.get', ...ORG);
    const without = await check(changes);
    expect(namesOf(failedOf(without.document))).toEqual(['instanceOrgs.get']);
    expect(namesOf(without.document.checks)).not.toContain('instanceOrg.payloadCounts');
    expect(without.code).toBe(5);

    const orgId = (await platform.orgWith('large')).slice('/orgs/'.length);
    const named = await check({ ...changes, LOSANT_ORG_IDS: orgId });
    expect(namesOf(failedOf(named.document))).toEqual(['instanceOrgs.get']);
    expect(namesOf(named.document.checks)).toContain('instanceOrg.payloadCounts');
    expect(named.code).toBe(5);
  });
});

it('exits 2 for an instance that Losant does not know', async () => {
  const { code, document } = await check({ LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' });
  expect(namesOf(failedOf(document))).toEqual(['instance.get']);
  expect(failedOf(document)[0]?.hint).toContain('Check LOSANT_INSTANCE_ID');
  expect(code).toBe(2);
});

describe('the database', () => {
  it('that is down exits 1, and Losant is checked all the same', async () => {
    const { code, document } = await check({
      DATABASE_URL: `postgres://me:secret@127.0.0.1:${await freePort()}/usage`,
    });
    expect(failedOf(document)).toMatchObject([
      { name: 'database', hint: expect.stringContaining('host and port') as string },
    ]);
    expect(namesOf(document.checks)).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(1);
  });

  it('that a newer program migrated exits 2', async () => {
    const newer = await createTestDatabase();
    try {
      await queryOnce(
        newer.url,
        `insert into losant_usage.migrations (name, timestamp) values ('9999_later ${'0'.repeat(64)}', '2026-01-01')`,
      );
      const { code, document } = await check({ DATABASE_URL: newer.url });
      expect(failedOf(document)).toMatchObject([
        { name: 'schema', message: expect.stringContaining('it has 9999_later') as string },
      ]);
      expect(code).toBe(2);
    } finally {
      await newer.drop();
    }
  });

  it('that refuses the password exits 2 and does not show it', async () => {
    const role = `${database.name}_reader`;
    await queryOnce(database.url, `create role ${role} login password 'right-password'`);
    try {
      const { code, document, stdout, stderr } = await check({
        DATABASE_URL: as(role, 'wrong-password'),
      });
      expect(failedOf(document)).toMatchObject([
        { name: 'database', hint: 'check user and password in DATABASE_URL' },
      ]);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain('wrong-password');

      const poor = await check({ DATABASE_URL: as(role, 'right-password') });
      expect(namesOf(failedOf(poor.document))).toContain('rights');
      expect(poor.code).toBe(2);
    } finally {
      await queryOnce(database.url, `drop role ${role}`);
    }
  });
});

it('exits 1 when the clock is more than five minutes from Losant’s', async () => {
  await platform.control('config', { clock: { offsetMs: 360_000 } });
  const { code, document } = await check();
  expect(failedOf(document)).toMatchObject([
    {
      name: 'clock.losant',
      message: expect.stringMatching(/^This host's clock is 3(59|60) s behind/) as string,
    },
  ]);
  expect(code).toBe(1);
});

function as(role: string, password: string): string {
  const url = new URL(database.url);
  url.username = role;
  url.password = password;
  return url.href;
}

it('shows payloads that do not add up, and does not fail for it', async () => {
  const orgId = (await platform.orgWith('large')).slice('/orgs/'.length);
  // The platform behind a server that adds payloads to one of two answers.
  await using proxy = await startServer(({ path, query, headers: { authorization = '' } }, response) => {
    const url = `${platform.url}${path}?${new URLSearchParams(query).toString()}`;
    fetch(url, { headers: { authorization } })
      .then(async (answer) => (await answer.json()) as object)
      .then((body) =>
        path.endsWith('/payloadCounts') ? { ...body, event: { 'application.rest': 7 } } : body,
      )
      .then((body) => response.end(JSON.stringify(body)))
      .catch(() => response.destroy());
  });
  const { code, document } = await check({ LOSANT_API_URL: proxy.url, LOSANT_ORG_IDS: orgId });
  const last = document.checks.at(-1);
  expect(last).toMatchObject({
    name: 'reconcile',
    ok: true,
    hint: 'they count differently here: see losant-usage reconcile, and CONTROL_TOTALS',
  });
  const [, sum, all] = /add up to (\d+), all payloads are (\d+)$/.exec(last?.message ?? '') ?? [];
  expect(Number(sum)).not.toBe(Number(all));
  expect(document.ok).toBe(true);
  expect(code).toBe(0);
});

it('says that an answer has no numbers for the day, and compares nothing with it', async () => {
  const orgId = (await platform.orgWith('large')).slice('/orgs/'.length);
  await platform.control('omit', { orgId, day: daysAgo(1), action: 'payload_totals' });
  const { code, document } = await check({ LOSANT_ORG_IDS: orgId });
  const totals = document.checks.find(({ name }) => name === 'instanceOrg.payloadCountsBreakdown');
  expect(totals).toMatchObject({ ok: true, message: `${daysAgo(1)}: no numbers for the day` });
  expect(namesOf(document.checks)).not.toContain('reconcile');
  expect(code).toBe(0);
});

it('answers with --probe what the documentation leaves open', async () => {
  await platform.control('config', { echoWindow: false });
  const { code, document } = await check({}, '--probe');
  const answers = Object.fromEntries(
    (document.probe ?? []).map(({ question, answer }) => [question, answer]),
  );
  expect(answers).toMatchObject({
    'end inclusive?': 'a range that ends at the midnight after a day has 2 buckets: yes',
    'echo of start and end?': expect.stringMatching(/^none \(asked /) as string,
    'a 100-day-old day': 'no bucket',
    'a 400-day-old day': 'no bucket',
    'longest range': '31 days: 31 buckets; 93 days: 93 buckets; 180 days: 93 buckets; 366 days: 93 buckets',
    'perPage 1000': '3 organizations on the first page, of 3',
    'missing scope or unknown instance':
      'instance.deviceCounts with this token: HTTP 200; an instance that does not exist: HTTP 404',
  });
  const totals = answers['instance totals equal to sums?'] ?? '';
  expect(totals).toMatch(
    /^\d{4}-\d\d-\d\d, 3 organizations: devices_created \d+ equal; .*payload_all_bytes \d+ equal$/,
  );
  expect(answers['payloads in two ways']).toMatch(/: equal to all payloads$/);
  expect(answers['zero days present?']).toMatch(
    /^31 buckets for 31 days of notebook minutes, \d+ of them all zero$/,
  );
  expect(answers['hours of a day?']).toMatch(
    /^24 buckets for the 24 hours of \d{4}-\d\d-\d\d; all payloads by hour \d+ equal$/,
  );
  expect(Object.keys(answers)).toHaveLength(11);
  expect(document.probe?.every(({ touches }) => touches !== '')).toBe(true);
  expect(code).toBe(0);
});
