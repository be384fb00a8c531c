/** Errors before a run begins: command line, settings, database and Losant. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { PARSERS } from '../../src/database/parsers.ts';
import { useTestDatabase } from '../opened.ts';
import {
  asAdministrator,
  asOwner,
  createDatabaseName,
  createEmbeddedFolder,
  dropDatabase,
  queryOnce,
  urlOf,
} from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, jsonOf, type Refusal } from '../support/program.ts';
import { loginAs } from '../support/roles.ts';
import { CERTIFICATE_FILE, startTlsProxy } from '../support/tls-proxy.ts';
import { useInstallation } from './installation.ts';

const PASSWORD = 'canary-password';

const installation = useInstallation({ orgs: 3 });
/** A database without the schema, in which a failed run must not create it. */
const emptyDatabase = useTestDatabase({ template: false });
/** Another one, because a database belongs to the instance of the first attempt. */
const unknownDatabase = useTestDatabase({ template: false });

/** Expects an error, checks what is true of every one, and returns it as `--json` prints it. */
async function expectError(args: readonly string[], env: Env, code: number): Promise<Refusal['error']> {
  const ended = await installation.run([...args, '--json'], env);
  expect(ended).toMatchObject({ code });
  const { error } = jsonOf<Refusal>(ended);
  expect(Object.keys(error)).toEqual(['code', 'message', 'hint']);
  expect(ended.stderr).toContain(error.message);
  expect(ended.stderr).not.toMatch(/this is a bug|report it|\n {4}at /);
  for (const secret of [PASSWORD, installation.platform.token]) {
    expect(ended.stdout + ended.stderr).not.toContain(secret);
  }
  return error;
}

const [TODAY, UNKNOWN_ORG] = [daysAgo(0), 'f'.repeat(24)];
const [FROM, TO] = [daysAgo(3), daysAgo(2)];

it.each([
  [['run', '--day', TODAY], `--day ${TODAY} has not ended yet (UTC)`],
  [['run', '--org', UNKNOWN_ORG], `--org ${UNKNOWN_ORG}: not tracked`],
  [['run', '--org', UNKNOWN_ORG, '--dry-run'], `--org ${UNKNOWN_ORG}: not tracked`],
  [['backfill', '--from', FROM, '--to', TO, '--org', UNKNOWN_ORG, '--dry-run'], `--org ${UNKNOWN_ORG}: not tracked`],
  [['run', '--stream', 'payload_hours'], '--stream payload_hours: not tracked'],
])('%j is an error that names the option and the problem', async (args, problem) => {
  const { code, message } = await expectError(args, {}, 2);
  expect(code).toBe('settings');
  expect(message).toContain(problem);
  expect(await installation.store.query('select from losant_usage.cells where is_stored')).toEqual([]);
});

describe('Losant', () => {
  // The migrator is the role whose first run may create the tables.
  const DATABASE = () => ({ DATABASE_URL: loginAs('migrator', emptyDatabase.url) });
  const ask = (statement: string) => queryOnce(emptyDatabase.url, statement);
  const cells = () => ask('select * from losant_usage.cells');

  it('rejects the token: exit code 5, a hint that names the setting, and no cell changes', async () => {
    const env = { ...DATABASE(), LOSANT_API_TOKEN: PASSWORD };
    const { code, message, hint } = await expectError(['run'], env, 5);
    expect(code).toBe('unauthorized');
    expect(message).toContain('instance.get');
    expect(hint).toContain('LOSANT_API_TOKEN');
    expect(await cells()).toEqual([]);
  });

  it('does not know the instance: exit code 2, which is on record', async () => {
    const { url } = unknownDatabase;
    const env = { DATABASE_URL: loginAs('migrator', url), LOSANT_INSTANCE_ID: '0123456789abcdef01234567' };
    const { message, hint } = await expectError(['run'], env, 2);
    expect(message).toContain('0123456789abcdef01234567');
    expect(hint).toContain('LOSANT_INSTANCE_ID');
    const attempts = await queryOnce(url, 'select instance_id, api_url, last_error from losant_usage.instance');
    expect(attempts).toEqual([{ instance_id: '0123456789abcdef01234567', api_url: null, last_error: message }]);
  });

  it.each([6, -6])('has a clock that is %i minutes off: exit code 1, and nothing is loaded', async (minutes) => {
    const { platform } = installation;
    await platform.control('config', { clock: { offsetMs: minutes * 60_000 } });
    try {
      const { code, message } = await expectError(['run'], { ...DATABASE(), REQUEST_ATTEMPTS: '2' }, 1);
      expect(code).toBe('clock_skew');
      expect(message).toMatch(/clock is (6 min|5 min 5\d s|6 min \d s) (ahead of|behind) the Losant API's/);
      expect(await cells()).toEqual([]);
    } finally {
      await platform.control('config', { clock: { offsetMs: 0 } });
    }
  });
});

const ORG = ['--org', '0'.repeat(24), '--day', daysAgo(1)];

/** The error for a database: exit code 2, and not like a bug. */
const expectDatabaseError = (args: readonly string[], url: string) => expectError(args, { DATABASE_URL: url }, 2);

it('every sslmode that encrypts verifies the certificate', async () => {
  const { url } = installation.store;
  const proxy = await startTlsProxy(url);
  onTestFinished(() => proxy.close());
  const trusted = `&sslrootcert=${CERTIFICATE_FILE}`;
  for (const mode of ['verify-full', 'verify-ca', 'require', 'prefer']) {
    const DATABASE_URL = proxy.urlVia('localhost', `?sslmode=${mode}${trusted}`);
    expect(await installation.run(['digest'], { DATABASE_URL })).toMatchObject({ code: 0, stderr: '' });
    const { message } = await expectDatabaseError(['digest'], proxy.urlVia('localhost', `?sslmode=${mode}`));
    expect(message).toMatch(/^No encrypted connection to .*: self-signed certificate\b/);
  }
  const wrongHost = await expectDatabaseError(['run'], proxy.urlVia('127.0.0.1', `?sslmode=verify-full${trusted}`));
  const wrongName = /^No encrypted connection to .*: Hostname\/IP does not match certificate's altnames/;
  expect(wrongHost.message).toMatch(wrongName);
  expect(wrongHost.hint).toBe('in DATABASE_URL, use a host name that the certificate covers');
  const database = `the database at ${url.slice(url.indexOf('//') + 2)}`;
  expect(await expectDatabaseError(['run'], `${url}?sslmode=require`)).toEqual({
    code: 'database_rejected',
    message: `No encrypted connection to ${database}: The server does not support SSL connections`,
    hint: 'enable TLS on the server, or remove sslmode from DATABASE_URL if the network path is trusted',
  });
});

it('a database whose encoding cannot store every name is rejected, and no table is created', async () => {
  const name = createDatabaseName();
  await asAdministrator(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
  onTestFinished(() => dropDatabase(name));
  const url = urlOf(name);
  const { message, hint } = await expectDatabaseError(['run'], url);
  expect(message).toBe(`The database at ${new URL(url).host}/${name} is encoded in LATIN1`);
  expect(hint).toContain(`encoding 'UTF8'`);
  expect(await queryOnce(url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual([]);
});

it('for a read-only user, errors name the role that writes, and read-only commands work', async () => {
  const { store } = installation;
  const { host, pathname } = new URL(store.url);
  const url = loginAs('reader', store.url);
  for (const args of [['run'], ['waive', ...ORG, '--stream', 'device_counts', '--reason', 'x']]) {
    expect(await expectDatabaseError(args, url)).toMatchObject({
      message: `User losant_usage_reader is read-only on ${host}${pathname}`,
      hint: 'connect as losant_usage_writer',
    });
  }
  const readOnlyWriter = `${loginAs('writer', store.url)}?options=-c%20default_transaction_read_only%3Don`;
  const { hint } = await expectDatabaseError(['run'], readOnlyWriter);
  expect(hint).toBe('set default_transaction_read_only = off for this user');
  expect((await installation.run(['run', '--dry-run'], { DATABASE_URL: url })).code).toBe(0);
});

it('a read-only database may recover: exit code 1', async () => {
  const { store } = installation;
  const setDatabase = `alter database ${new URL(store.url).pathname.slice(1)}`;
  await asOwner(store.url, `${setDatabase} set default_transaction_read_only = on`);
  const ended = await installation.run(['run', '--json']);
  const reset = `${setDatabase} reset default_transaction_read_only`;
  await asOwner(store.url, `set default_transaction_read_only = off; ${reset}`);
  expect(ended.code).toBe(1);
  expect(jsonOf<Refusal>(ended).error.message).toMatch(/^.* is read-only for every user$/);
});

// The last test of this database.
it('a database that another program created is rejected by dry runs too', async () => {
  const { store } = installation;
  await asOwner(store.url, `update losant_usage.migrations set name = 'another' where name like '0001%'`);
  const days = ['--from', daysAgo(2), '--to', daysAgo(1)];
  for (const args of [['run'], ['run', '--dry-run'], ['backfill', '--dry-run', ...days], ['status']]) {
    expect((await expectDatabaseError(args, store.url)).message).toContain('was created by different migrations');
  }
});

describe('an embedded database', () => {
  it('that does not exist is an error, except for a check and a dry run of a run, and is not created', async () => {
    const store = createEmbeddedFolder();
    store.remove();
    const { folder } = store;
    for (const args of [['status'], ['gaps'], ['explain', ...ORG]]) {
      const { message, hint } = await expectDatabaseError(args, `embedded:${folder}`);
      expect(message).toBe(`There is no embedded database in ${folder}`);
      expect(hint).toBe('correct the folder in DATABASE_URL; `losant-usage run` creates a new database there');
    }
    // They share what stands in for it, because to create one takes two seconds of CPU.
    const standIn = await PGlite.create({ parsers: PARSERS });
    const create = vi.spyOn(PGlite, 'create').mockResolvedValue(standIn);
    vi.spyOn(standIn, 'close').mockResolvedValue();
    onTestFinished(async () => {
      vi.restoreAllMocks();
      await standIn.close();
    });
    const dryRun = await installation.run(['run', '--dry-run'], { DATABASE_URL: `embedded:${folder}` });
    expect(dryRun.code).toBe(0);
    const check = await installation.run(['check'], { DATABASE_URL: `embedded:${folder}` });
    expect(check.code).toBe(0);
    expect(check.stdout).toContain(`\nok      database: ${folder}\n`);
    expect(check.stdout).toContain('\nok      schema: no tables yet; migrate or the first run creates them\n');
    expect(create.mock.calls).toEqual([[{ parsers: PARSERS }], [{ parsers: PARSERS }]]);
    expect(existsSync(folder)).toBe(false);
  });

  it('is not created among other files', async () => {
    const store = createEmbeddedFolder();
    const { folder } = store;
    writeFileSync(join(folder, 'thesis.txt'), '');
    const { message, hint } = await expectDatabaseError(['run'], `embedded:${folder}`);
    store.remove();
    expect(message).toBe(`The folder ${folder} has other files, such as thesis.txt`);
    expect(hint).toBe('point DATABASE_URL=embedded:DIR at a folder that does not exist yet, or is empty');
  });
});
