/** Databases that commands reject, and their hints. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
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
import { jsonOf, type Refusal } from '../support/program.ts';
import { loginAs } from '../support/roles.ts';
import { CERTIFICATE_FILE, startTlsProxy } from '../support/tls-proxy.ts';
import { useInstallation } from './installation.ts';

const installation = useInstallation({ orgs: 1 });
const ORG = ['--org', '0'.repeat(24), '--day', daysAgo(1)];

/** Expects an error with exit code 2 that does not look like a bug, and returns it. */
async function expectError(args: readonly string[], url: string): Promise<Refusal['error']> {
  const ended = await installation.run([...args, '--json'], { DATABASE_URL: url });
  expect(ended.stderr).not.toMatch(/defect|report it|\n {4}at /);
  expect(ended.code).toBe(2);
  return jsonOf<Refusal>(ended).error;
}

it('every sslmode that encrypts verifies the certificate', async () => {
  const { url } = installation.store;
  const proxy = await startTlsProxy(url);
  onTestFinished(() => proxy.close());
  const trusted = `&sslrootcert=${CERTIFICATE_FILE}`;
  for (const mode of ['verify-full', 'verify-ca', 'require', 'prefer']) {
    const DATABASE_URL = proxy.urlVia('localhost', `?sslmode=${mode}${trusted}`);
    expect(await installation.run(['status'], { DATABASE_URL })).toMatchObject({ code: 0, stderr: '' });
    const { message } = await expectError(['status'], proxy.urlVia('localhost', `?sslmode=${mode}`));
    expect(message).toMatch(/^No encrypted connection to .*: self-signed certificate\b/);
  }
  const wrongHost = await expectError(['run'], proxy.urlVia('127.0.0.1', `?sslmode=verify-full${trusted}`));
  const wrongName = /^No encrypted connection to .*: Hostname\/IP does not match certificate's altnames/;
  expect(wrongHost.message).toMatch(wrongName);
  expect(wrongHost.hint).toBe('in DATABASE_URL, use a host name that the certificate covers');
  const database = `the database at ${url.slice(url.indexOf('//') + 2)}`;
  expect(await expectError(['run'], `${url}?sslmode=require`)).toEqual({
    code: 'database_refused',
    message: `No encrypted connection to ${database}: The server does not support SSL connections`,
    hint: 'enable TLS on the server, or remove sslmode from DATABASE_URL if the network path is trusted',
  });
});

it('a database whose encoding cannot store every name is rejected, and no table is created', async () => {
  const name = createDatabaseName();
  await asAdministrator(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
  onTestFinished(() => dropDatabase(name));
  const url = urlOf(name);
  const { message, hint } = await expectError(['run'], url);
  expect(message).toBe(`The database at ${new URL(url).host}/${name} is encoded in LATIN1`);
  expect(hint).toContain(`encoding 'UTF8'`);
  expect(await queryOnce(url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual([]);
});

it('for a read-only user, errors name the role that writes, and read-only commands work', async () => {
  const { store } = installation;
  const { host, pathname } = new URL(store.url);
  const url = loginAs('reader', store.url);
  for (const args of [['run'], ['waive', ...ORG, '--stream', 'device_counts', '--reason', 'x']]) {
    expect(await expectError(args, url)).toMatchObject({
      message: `User losant_usage_reader is read-only on ${host}${pathname}`,
      hint: 'connect as losant_usage_writer',
    });
  }
  const readOnlyWriter = `${loginAs('writer', store.url)}?options=-c%20default_transaction_read_only%3Don`;
  const { hint } = await expectError(['run'], readOnlyWriter);
  expect(hint).toBe('set default_transaction_read_only = off for this user');
  expect((await installation.run(['run', '--dry-run'], { DATABASE_URL: url })).code).toBe(0);
});

it('a read-only database may recover: exit code 1', async () => {
  const { store } = installation;
  const setDatabase = `alter database ${new URL(store.url).pathname.slice(1)}`;
  await asOwner(store.url, `${setDatabase} set default_transaction_read_only = on`);
  const ended = await installation.run(['run', '--json']);
  await asOwner(
    store.url,
    `set default_transaction_read_only = off; ${setDatabase} reset default_transaction_read_only`,
  );
  expect(ended.code).toBe(1);
  expect(jsonOf<Refusal>(ended).error.message).toMatch(/^.* is read-only for every user$/);
});

// The last test of this database.
it('a database that another program created is rejected by dry runs too', async () => {
  const { store } = installation;
  await asOwner(store.url, `update losant_usage.migrations set name = 'another' where name like '0001%'`);
  const days = ['--from', daysAgo(2), '--to', daysAgo(1)];
  for (const args of [['run'], ['run', '--dry-run'], ['backfill', '--dry-run', ...days], ['status']]) {
    expect((await expectError(args, store.url)).message).toContain('was created by different migrations');
  }
});

describe('an embedded database', () => {
  const missingFolder = () => {
    const store = createEmbeddedFolder();
    store.remove();
    return store.folder;
  };

  it('that does not exist is an error, except for a dry run of a run, and is not created', async () => {
    const folder = missingFolder();
    for (const args of [['status'], ['gaps'], ['explain', ...ORG]]) {
      const { message, hint } = await expectError(args, `embedded:${folder}`);
      expect(message).toBe(`There is no embedded database in ${folder}`);
      expect(hint).toBe('correct the folder in DATABASE_URL; `losant-usage run` creates a new database there');
    }
    const dryRun = await installation.run(['run', '--dry-run'], { DATABASE_URL: `embedded:${folder}` });
    expect(dryRun.code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it('is not created among other files', async () => {
    const store = createEmbeddedFolder();
    const { folder } = store;
    writeFileSync(join(folder, 'thesis.txt'), '');
    const { message, hint } = await expectError(['run'], `embedded:${folder}`);
    store.remove();
    expect(message).toBe(`The folder ${folder} has other files, such as thesis.txt`);
    expect(hint).toBe('point DATABASE_URL=embedded:DIR at a folder that does not exist yet, or is empty');
  });

  it('whose folder cannot be created is an error at once', async () => {
    for (const folder of ['/proc/losant-usage/data', '/dev/null/data']) {
      const { message, hint } = await expectError(['run'], `embedded:${folder}`);
      expect(message).toContain(`Cannot write to the folder ${folder}: `);
      expect(hint).toBe('point DATABASE_URL=embedded:DIR at a folder that this user can write to');
    }
  });
});
