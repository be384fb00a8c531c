import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { migrateToHead } from '../../src/database/migrate.ts';
import { startServer } from '../losant/server.ts';
import { useTestDatabase } from '../opened.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { asOwner, asWriter, createTestDatabase, openAs, queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { createTestFolder } from '../support/folders.ts';
import { type Env, jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { loginAs, toRoleName } from '../support/roles.ts';
import { containing, matching } from '../support/texts.ts';
import { startTransactionPooler } from '../support/transaction-pooler.ts';
import { settingsOf } from '../worker/process.ts';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string | null;
}

const database = useTestDatabase();
/** A database to break. */
const spare = useTestDatabase();
let platform: Platform;
beforeEach(async () => {
  platform = await startPlatform({ now: Date.now, orgs: 3 });
});
afterEach(() => platform[Symbol.asyncDispose]());

/** Runs `check` with valid settings, except for the changes. */
async function check(changes: Env = {}, ...args: readonly string[]) {
  const env = { ...settingsOf(platform, database), ...changes };
  const ended = await runProgram(['check', '--json', ...args], env);
  const { checks } = jsonOf<{ readonly checks: readonly Check[] }>(ended);
  const messageOf = (name: string) => checks.find((each) => each.name === name)?.message;
  return { ...ended, checks, failed: checks.filter(({ ok }) => !ok), names: checks.map(({ name }) => name), messageOf };
}

const DATABASE = ['settings', 'database', 'session', 'schema', 'rights', 'clock.database', 'instance'];
const INSTANCE = ['instance.get', 'clock.losant', 'instanceOrgs.get'];
const USAGE = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const ORG = ['instanceOrg.get', ...USAGE.map((action) => `instanceOrg.${action}`)];

/** Creates the tables as an earlier version of the program did, and returns the migration that is not applied. */
async function migrateAllButNewest(url: string): Promise<string> {
  const folder = createTestFolder();
  const files = readdirSync('migrations').toSorted();
  for (const name of files.slice(0, -1)) copyFileSync(join('migrations', name), join(folder, name));
  await using handle = await openAs('migrator', url);
  await migrateToHead(handle, folder);
  await asOwner(
    url,
    `grant usage on schema losant_usage to losant_usage_reader;
     grant select on losant_usage.migrations to losant_usage_reader`,
  );
  return files.at(-1)?.replace('.sql', '') ?? '';
}

async function withScopes(...scopes: readonly string[]): Promise<Env> {
  await platform.control('tokens', { token: 'narrow-token', scopes });
  return { LOSANT_API_TOKEN: 'narrow-token' };
}

it('checks settings, database, clocks and each endpoint for the newest day, writes nothing and exits 0', async () => {
  const { code, checks, failed, names, messageOf } = await check({ READ_AT_HOURS: '6,720' });
  expect(failed).toEqual([]);
  expect(names).toEqual([...DATABASE, ...INSTANCE, ...ORG]);
  expect(checks.every(({ hint }) => hint === null)).toBe(true);
  const numbers = new RegExp(`^${daysAgo(1)}: devices_created \\d+, devices_deleted \\d+, devices_total \\d+$`);
  expect(messageOf('instanceOrg.deviceCounts')).toMatch(numbers);
  expect(code).toBe(0);
  expect(await queryOnce(database.url, 'select from losant_usage.instance')).toEqual([]);
});

it('adds up the hours of a day', async () => {
  const { checks } = await check({ STREAMS: 'payload_totals,payload_hours' });
  const breakdowns = checks.filter(({ name }) => name.endsWith('Breakdown'));
  const [totals, hours] = breakdowns.map(({ message }) => message);
  expect(hours).toMatch(/: hours_billable_count [1-9]/);
  expect(hours?.replaceAll('hours_', 'payload_')).toBe(totals);
});

it('advises an earlier checkpoint if days would be missing before their first', async () => {
  const { code, checks } = await check({ READ_AT_HOURS: '7,720' });
  const late = 'READ_AT_HOURS begins after 7 hours, but an unread day is missing after 6';
  const settings = { name: 'settings', ok: true, hint: `${late}; add an earlier checkpoint, such as 0` };
  expect([code, checks[0]]).toMatchObject([0, settings]);
});

it('prints failures first, with hints, and then the checks that passed', async () => {
  await platform.control('tokens/revoke', { token: platform.token });
  const { code, stdout } = await runProgram(['check'], settingsOf(platform, database));
  expect(code).toBe(5);
  const order =
    /^1 check failed\.\nFAILED {2}instance\.get.*\n {10}.*Create a new instance API token.*\nok {6}settings: /;
  expect(stdout).toMatch(order);
  expect(stdout).not.toContain(platform.token);
});

it.each([1, 4])('fails behind a pooler in transaction mode that has %d sessions', async (sessions) => {
  const pooler = await startTransactionPooler(loginAs('writer', database.url), sessions);
  const { code, failed } = await check({ DATABASE_URL: pooler.url });
  await pooler.close();
  const message = matching(/^A pooler at 127\.0\.0\.1:\d+\/\w+ lends sessions for one transaction only$/);
  const session = { name: 'session', message, hint: containing('a pooler in session mode') };
  expect([code, failed[0]]).toMatchObject([2, session]);
});

it.each<[what: string, row: string, message: string]>([
  [
    'another instance',
    `'5c0000000000000000000099', null`,
    'This database belongs to instance 5c0000000000000000000099; LOSANT_INSTANCE_ID is ',
  ],
  [
    'another API',
    `'INSTANCE', 'https://elsewhere.example'`,
    'The usage was loaded from https://elsewhere.example, not',
  ],
])('fails on a database with the usage of %s', async (_, row, message) => {
  const instance = row.replace('INSTANCE', platform.instanceId.toLowerCase());
  await asOwner(spare.url, 'delete from losant_usage.instance');
  await asWriter(spare.url, `insert into losant_usage.instance (instance_id, api_url) values (${instance})`);
  const failed = [{ name: 'instance', message: containing(message) }];
  expect(await check({ DATABASE_URL: spare.url })).toMatchObject({ code: 2, failed });
});

it('reports a bug of the program as one, with its stack, and not as a failed check', async () => {
  await asOwner(spare.url, 'alter table losant_usage.instance rename column api_url to address');
  const ended = await runProgram(['check', '--json'], { ...settingsOf(platform, database), DATABASE_URL: spare.url });
  expect(ended.code).toBe(1);
  expect(jsonOf<Refusal>(ended).error).toMatchObject({ code: 'unexpected' });
  expect(ended.stderr).toMatch(/api_url.*\n {2}this is a bug; please report it.*\n {4}at /);
});

it('exits 1 if the host’s clock is minutes off Losant’s, and tells to set it', async () => {
  await platform.control('config', { clock: { offsetMs: 360_000 } });
  const clock = { name: 'clock.losant', hint: containing('synchronize the clocks') };
  expect(await check()).toMatchObject({ code: 1, failed: [{ name: 'instance.get' }, clock] });
});

describe('the token', () => {
  it('without a scope fails only at that endpoint, which the hint names', async () => {
    const missing = 'instanceOrg.notebookMinuteCounts';
    const scopes = ['instance.get', 'instanceOrgs.get', ...ORG].filter((scope) => scope !== missing);
    const checked = await check(await withScopes(...scopes));
    const hint = containing(`add ${missing},`);
    expect(checked).toMatchObject({ code: 5, failed: [{ name: missing, hint }] });
    expect(checked.names).toContain('instanceOrg.payloadCounts');
  });

  it('that cannot list organizations can only be checked for configured ones', async () => {
    const changes = await withScopes('instance.get', ...ORG);
    const listed = { code: 5, failed: [{ name: 'instanceOrgs.get' }] };
    const unconfigured = await check(changes);
    expect(unconfigured).toMatchObject(listed);
    expect(unconfigured.names).not.toContain('instanceOrg.payloadCounts');
    const orgId = (await platform.orgWith('large')).slice('/orgs/'.length);
    const configured = await check({ ...changes, LOSANT_ORG_IDS: orgId });
    expect(configured).toMatchObject(listed);
    expect(configured.names).toContain('instanceOrg.payloadCounts');
  });
});

describe('a database', () => {
  const NO_TABLES = 'no tables yet; migrate or the first run creates them';

  it('that is empty stays empty, and a user without rights cannot create the tables', async () => {
    const empty = await createTestDatabase({ template: false });
    const { code, checks } = await check({ DATABASE_URL: loginAs('migrator', empty.url) });
    const poor = await check({ DATABASE_URL: empty.url });
    const tables = `select from pg_class where relnamespace::regnamespace::text like 'losant_usage%'`;
    const createdTables = await queryOnce(empty.url, tables);
    await empty.drop();
    const rights = {
      name: 'rights',
      message: matching(/ and user losant_usage_writer is not allowed to create them$/),
      hint: 'run `losant-usage migrate` as losant_usage_migrator, a role of deploy/postgres/roles.sql',
    };
    expect(poor).toMatchObject({ code: 2, failed: [rights] });
    expect([code, checks[3], createdTables]).toMatchObject([0, { ok: true, message: NO_TABLES }, []]);
  });

  it('that is older can only be migrated by the next run, with AUTO_MIGRATE, as a user who may migrate', async () => {
    const older = await createTestDatabase({ template: false });
    onTestFinished(() => older.drop());
    const newest = await migrateAllButNewest(older.url);
    const asWriterRole = { ...settingsOf(platform, older), DATABASE_URL: older.url };
    const asMigrator = { DATABASE_URL: loginAs('migrator', older.url), AUTO_MIGRATE: 'true' };
    const message = containing(` is older than this program; not applied yet: ${newest}`);
    expect(await check(asWriterRole)).toMatchObject({
      code: 2,
      failed: [{ name: 'schema', message }, { name: 'rights' }],
    });
    const mayNot = { ...asWriterRole, AUTO_MIGRATE: 'true' };
    const denial = matching(/ is older than this program, and user losant_usage_writer is not allowed to migrate it$/);
    expect(await check(mayNot)).toMatchObject({ code: 2, failed: [{ name: 'rights', message: denial }] });
    const rejectedRun = { code: 2, stderr: matching(/ is older than this program, and user .* to migrate it\n/) };
    expect(await runProgram(['run'], mayNot)).toMatchObject(rejectedRun);
    const { code, messageOf } = await check(asMigrator);
    expect([code, messageOf('schema')]).toEqual([0, `the next run applies ${newest} (AUTO_MIGRATE is true)`]);
    const { stdout } = await runProgram(['migrate', '--dry-run'], asWriterRole);
    expect(stdout).toMatch(new RegExp(`^1 migration pending for .*:\\n {2}${newest}\\n$`));
    const run = await runProgram(['run'], { ...asWriterRole, ...asMigrator, LOG_LEVEL: 'info' });
    expect(run).toMatchObject({ code: 0, stderr: containing(`"migration":"${newest}","msg":"migration applied"`) });
  });

  it.each([
    ['/dev/null', 'Cannot write to the folder /dev/null: ENOTDIR', 'at a folder that this user can write to'],
    ['/dev/null/sub/usage', 'Cannot write to the folder /dev/null/sub/usage: ENOTDIR', 'that this user can write to'],
    [process.cwd(), `The folder ${process.cwd()} has other files`, 'that does not exist yet, or is empty'],
  ])('that is embedded in %s, where a run would not create one, exits 2', async (folder, message, hint) => {
    const database = { name: 'database', message: containing(message), hint: containing(hint) };
    expect(await check({ DATABASE_URL: `embedded:${folder}` })).toMatchObject({ code: 2, failed: [database] });
  });

  const DOWN = { DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/usage' };
  const UNREACHABLE = { name: 'database', hint: containing('host and port') };

  it('that is down exits 1, and Losant is still checked', async () => {
    const checked = await check(DOWN);
    expect(checked).toMatchObject({ code: 1, failed: [UNREACHABLE] });
    expect(checked.names).toContain('instanceOrg.payloadCounts');
  });

  it('that is slow is not reported as a slow Losant', async () => {
    const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort());
    const { failed } = await check(DOWN);
    timeout.mockRestore();
    const slowLosant = { name: 'instance.get', message: 'no response within 60 s' };
    expect(failed.slice(0, 2)).toMatchObject([UNREACHABLE, slowLosant]);
  });

  it('that rejects the password, or writes, exits 2 and shows no password', async () => {
    const wrongLogin = { username: toRoleName('writer'), password: 'wrong-password' };
    const { href } = Object.assign(new URL(database.url), wrongLogin);
    const checked = await check({ DATABASE_URL: href });
    const rejected = { name: 'database', hint: 'check user and password in DATABASE_URL' };
    expect(checked).toMatchObject({ code: 2, failed: [rejected] });
    expect(checked.stdout + checked.stderr).not.toContain('wrong-password');
    const poor = { code: 2, failed: [{ name: 'rights' }] };
    expect(await check({ DATABASE_URL: loginAs('reader', database.url) })).toMatchObject(poor);
  });

  it('on which the writer lacks privileges exits 2 and names them', async () => {
    const missing = 'delete on lease, insert on statements, update on tracks, update on waivers';
    for (const privilege of missing.split(', ')) {
      await asOwner(database.url, `set search_path = losant_usage; revoke ${privilege} from losant_usage_writer`);
    }
    const { code, failed } = await check({ DATABASE_URL: loginAs('writer', database.url) });
    await asOwner(database.url, 'select losant_usage.grant_rights()');
    expect([code, failed]).toMatchObject([2, [{ name: 'rights', message: containing(`: ${missing}`) }]]);
  });
});

it('checks HEARTBEAT_URL at the address that changes no state of the monitor', async () => {
  await using monitor = await startServer((_request, response, number) => {
    response.writeHead(number === 1 ? 200 : 404).end();
  });
  const HEARTBEAT_URL = `${monitor.url}/ping/canary`;
  const last = async (url: string) => (await check({ HEARTBEAT_URL: url })).checks.at(-1);
  expect(await last(HEARTBEAT_URL)).toMatchObject({ ok: true, message: 'the monitor responds', hint: null });
  expect(monitor.received).toMatchObject([{ method: 'GET', path: '/ping/canary/log' }]);
  const unknown = { ok: true, message: 'HEARTBEAT_URL responded with HTTP 404', hint: containing('/log') };
  expect(await last(HEARTBEAT_URL)).toMatchObject(unknown);
  const absent = { ok: false, message: 'HEARTBEAT_URL does not respond: no connection' };
  expect(await last('http://127.0.0.1:1/ping/canary')).toMatchObject(absent);
});

it('tests with --probe what the documentation leaves open', async () => {
  const { code, checks } = await check({}, '--probe');
  const probes = checks.filter(({ name }) => name.startsWith('probe.'));
  const results = probes.map(({ name, message }) => `${name}: ${message.replace(/ \(affects .*/, '')}`);
  expect(results).toEqual([
    matching(/^probe.response_headers: .*\bcontent-type, date\b/),
    'probe.end_of_range: end is inclusive',
    matching(/^probe.day_89_days_ago: payload_billable_count \d+, /),
    matching(/^probe.day_90_days_ago: payload_billable_count \d+, /),
    'probe.day_100_days_ago: no numbers',
    'probe.day_400_days_ago: no numbers',
    matching(/^probe.device_counts_of_31_days: 31 of 31 days, \d+ of them zeros; start and end repeated$/),
    matching(/^probe.range_of_31_days: \d+ of 31 days, \d+ of them zeros; start and end repeated$/),
    matching(/^probe.range_of_365_days: \d+ of 365 days, \d+ of them zeros; start and end repeated$/),
    'probe.page_of_1000: 3 of 3 organizations',
    matching(/^probe.payloads_in_two_ways: payload_source_count (\d+), .*payload_all_count \1, /),
    matching(
      /^probe.instance_totals: \S+, 3 organizations: devices_created: organizations (\d+), instance \1; .* organizations (\d+), instance \2$/,
    ),
  ]);
  expect(code).toBe(0);
});

it('tests with --probe whether an install omits zeros, does not repeat a range, and rejects long ranges', async () => {
  await platform.control('config', { omitZeroDays: true, echoWindow: false, maxRangeDays: 31 });
  const { code, messageOf } = await check({}, '--probe');
  expect(messageOf('probe.range_of_31_days')).toMatch(/^\d+ of 31 days, 0 of them zeros; start and end not repeated /);
  const rejection = /^instanceOrg\.notebookMinuteCounts .*: responded with HTTP 400: .* \(affects nothing: /;
  expect(messageOf('probe.range_of_365_days')).toMatch(rejection);
  expect(code).toBe(0);
});

it('tests with --probe whether an install cuts long ranges short without saying so', async () => {
  const changes = { LOSANT_ORG_IDS: (await platform.orgWith('large')).slice('/orgs/'.length) };
  await platform.control('config', { maxRangeDays: 7, longRange: 'cut', echoWindow: false });
  const { messageOf } = await check(changes, '--probe');
  for (const name of ['range_of_31_days', 'device_counts_of_31_days']) {
    expect(messageOf(`probe.${name}`)).toMatch(/^7 of 31 days, /);
    expect(messageOf(`probe.${name}`)).toContain(`; it lacks ${daysAgo(31)}, which a request for that day returns (`);
  }
});

it('fails if a run would quarantine a response, which for --probe is a result', async () => {
  const faults = [
    { kinds: ['negative'], forever: true, actions: ['instanceOrg.deviceCounts'] },
    { kinds: ['no_counts'], forever: true, actions: ['instanceOrg.notebookMinuteCounts'] },
  ];
  await platform.control('config', { faults });
  const { code, failed, messageOf } = await check({}, '--probe');
  const hint = containing('a run would quarantine this response');
  const devices = { name: 'instanceOrg.deviceCounts', message: matching(/^\w+: is negative \(-\d+\)$/), hint };
  expect([code, failed]).toMatchObject([1, [devices, { name: 'instanceOrg.notebookMinuteCounts', hint }]]);
  expect(messageOf('probe.end_of_range')).toMatch(/^the body has no counts /);
  expect(messageOf('probe.range_of_31_days')).toMatch(/^the body has no counts /);
  expect(messageOf('probe.instance_totals')).toMatch(/^\w+: is negative /);
});

it('tests with --probe the oldest days that a run reads', async () => {
  await platform.control('config', { detailDays: 49, retention: 'zeros' });
  const changes = { HORIZON_DAYS: '50', LOSANT_ORG_IDS: (await platform.orgWith('large')).slice('/orgs/'.length) };
  const { messageOf } = await check(changes, '--probe');
  expect(messageOf('probe.day_50_days_ago')).toMatch(/^payload_billable_count 0, /);
  expect(messageOf('probe.day_49_days_ago')).toMatch(/^payload_billable_count [1-9]/);
});

it('adds up all organizations with --probe, however short the pages of the list are', async () => {
  await platform.control('config', { pageSizeMax: 1 });
  const message = (await check({}, '--probe')).messageOf('probe.instance_totals');
  expect(message).toMatch(/3 organizations: devices_created: organizations (\d+), instance \1; /);
});

it('shows with --probe which totals the instance has no number for', async () => {
  await platform.control('config', { faults: { kinds: ['missing_bucket'], actions: ['instance.deviceCounts'] } });
  const message = (await check({}, '--probe')).messageOf('probe.instance_totals');
  expect(message).toMatch(/3 organizations: devices_created: organizations \d+, instance none; /);
});

it('does not conclude from an organization without usage that the end of a range is exclusive', async () => {
  await platform.control('config', { omitZeroDays: true });
  const id = 'e'.repeat(24);
  await platform.control('orgs', { id, creationDate: new Date().toISOString() });
  const { messageOf } = await check({ LOSANT_ORG_IDS: id }, '--probe');
  expect(messageOf('probe.end_of_range')).toMatch(/^end is exclusive, or zeros are omitted /);
});
