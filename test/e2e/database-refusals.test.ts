/** Databases that a run refuses, with what to do about it. */
import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  asAdministrator,
  asOwner,
  createEmbeddedFolder,
  dropDatabase,
  newDatabaseName,
  queryOnce,
  urlOf,
} from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { loginAs } from '../support/roles.ts';
import { CERTIFICATE_FILE, startTlsProxy } from '../support/tls-proxy.ts';
import { useExport } from './export.ts';
import { createPlace } from './usage.ts';

const exported = useExport({ orgs: 1 });
const ORG = ['--org', '0'.repeat(24), '--day', daysAgo(1)];

/** Returns what is said of a refusal with exit code 2, which is no mistake of the program's own. */
async function refusalOf(args: readonly string[], url: string): Promise<Refusal['error']> {
  const ended = await exported.run([...args, '--json'], { DATABASE_URL: url });
  expect(ended.stderr).not.toMatch(/defect|report it|\n {4}at /);
  expect(ended.code).toBe(2);
  return jsonOf<Refusal>(ended).error;
}

it('an encrypted connection is verified in full, in whatever words it is asked for', async () => {
  const { url } = exported.place;
  const proxy = await startTlsProxy(url);
  onTestFinished(() => proxy.close());
  const known = `&sslrootcert=${CERTIFICATE_FILE}`;
  for (const mode of ['verify-full', 'verify-ca', 'require', 'prefer']) {
    const DATABASE_URL = proxy.urlVia('localhost', `?sslmode=${mode}${known}`);
    expect(await exported.run(['status'], { DATABASE_URL })).toMatchObject({ code: 0, stderr: '' });
    const { message } = await refusalOf(['status'], proxy.urlVia('localhost', `?sslmode=${mode}`));
    expect(message).toMatch(/^No encrypted connection to .*: self-signed certificate\b/);
  }
  const elsewhere = await refusalOf(['run'], proxy.urlVia('127.0.0.1', `?sslmode=verify-full${known}`));
  const other = /^No encrypted connection to .*: Hostname\/IP does not match certificate's altnames/;
  expect(elsewhere.message).toMatch(other);
  expect(elsewhere.hint).toBe('use the host name that the certificate names in DATABASE_URL');
  const where = `the database at ${url.slice(url.indexOf('//') + 2)}`;
  expect(await refusalOf(['run'], `${url}?sslmode=require`)).toEqual({
    code: 'database_refused',
    message: `No encrypted connection to ${where}: The server does not support SSL connections`,
    hint: 'switch TLS on at the server, or leave sslmode out of DATABASE_URL if nobody can listen in between',
  });
});

it('a database that cannot hold every name is refused by its encoding, and no table is made', async () => {
  const name = newDatabaseName();
  await asAdministrator(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
  onTestFinished(() => dropDatabase(name));
  const url = urlOf(name);
  const { message, hint } = await refusalOf(['run'], url);
  expect(message).toBe(`The database at ${new URL(url).host}/${name} is encoded in LATIN1`);
  expect(hint).toContain(`encoding 'UTF8'`);
  expect(await queryOnce(url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual([]);
});

it('a user whose transactions only read is told that another one writes; what only looks works', async () => {
  const { place } = exported;
  const { host, pathname } = new URL(place.url);
  const url = loginAs('reader', place.url);
  for (const args of [['run'], ['waive', ...ORG, '--stream', 'device_counts', '--reason', 'x']]) {
    expect(await refusalOf(args, url)).toMatchObject({
      message: `Transactions of the user losant_usage_reader on ${host}${pathname} only read`,
      hint: 'connect as losant_usage_writer',
    });
  }
  const own = `${loginAs('writer', place.url)}?options=-c%20default_transaction_read_only%3Don`;
  const { hint } = await refusalOf(['run'], own);
  expect(hint).toBe('set default_transaction_read_only = off for this user');
  expect((await exported.run(['run', '--dry-run'], { DATABASE_URL: url })).code).toBe(0);
});

it('a database that only reads, whoever asks, may pass: exit code 1', async () => {
  const place = await createPlace();
  onTestFinished(() => place.remove());
  const name = new URL(place.url).pathname.slice(1);
  await asOwner(place.url, `alter database ${name} set default_transaction_read_only = on`);
  const ended = await exported.run(['run', '--json'], { DATABASE_URL: place.url });
  expect(ended.code).toBe(1);
  expect(jsonOf<Refusal>(ended).error.message).toMatch(/^Transactions on .* only read, whoever begins them$/);
});

describe('an embedded database', () => {
  const missingFolder = () => {
    const place = createEmbeddedFolder();
    place.remove();
    return place.folder;
  };

  it('that does not exist is refused by what only looks, planned for by a dry run, and not made', async () => {
    const folder = missingFolder();
    for (const args of [['status'], ['gaps'], ['explain', ...ORG]]) {
      const { message, hint } = await refusalOf(args, `embedded:${folder}`);
      expect(message).toBe(`There is no embedded database in ${folder}`);
      expect(hint).toBe('correct the folder in DATABASE_URL; `losant-usage run` begins a new database there');
    }
    const planned = await exported.run(['run', '--dry-run'], { DATABASE_URL: `embedded:${folder}` });
    expect(planned.code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it('where no folder can be made is refused at once', async () => {
    for (const folder of ['/proc/losant-usage/data', '/dev/null/data']) {
      const { message, hint } = await refusalOf(['run'], `embedded:${folder}`);
      expect(message).toContain(`The folder ${folder} cannot be written: `);
      expect(hint).toBe('give DATABASE_URL=embedded:DIR a folder that this user may write');
    }
  });
});
