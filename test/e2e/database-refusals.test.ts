import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createEmbeddedFolder, queryOnce, withDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { CERTIFICATE_FILE, startTlsProxy, type TlsProxy } from '../support/tls-proxy.ts';
import { useExport } from './export.ts';
import { createPlace, type Place } from './usage.ts';

/** What this program calls its own mistakes: none of these is one. */
const DEFECT = /defect|report it|\n {4}at /;

const exported = useExport({ orgs: 1 });

/** What is said of a refusal with exit code 2. */
async function refusalOf(args: readonly string[], url: string): Promise<Refusal['error']> {
  const ended = await exported.run([...args, '--json'], { DATABASE_URL: url });
  expect(ended.stderr).not.toMatch(DEFECT);
  expect(ended.code).toBe(2);
  return jsonOf<Refusal>(ended).error;
}

describe('encryption', () => {
  let place: Place;
  let proxy: TlsProxy;
  beforeAll(async () => {
    place = await createPlace();
    proxy = await startTlsProxy(place.url);
    await exported.run(['migrate'], { DATABASE_URL: place.url });
  });
  afterAll(async () => {
    await proxy.close();
    await place.remove();
  });

  it('works with sslrootcert and verify-full, and says nothing about it', async () => {
    const DATABASE_URL = proxy.urlVia('localhost', `?sslmode=verify-full&sslrootcert=${CERTIFICATE_FILE}`);
    expect(await exported.run(['status'], { DATABASE_URL })).toMatchObject({ code: 0, stderr: '' });
  });

  it.each(['prefer', 'require', 'verify-ca'])(
    'sslmode=%s means verify-full, without a warning',
    async (mode) => {
      const DATABASE_URL = proxy.urlVia('localhost', `?sslmode=${mode}&sslrootcert=${CERTIFICATE_FILE}`);
      expect(await exported.run(['status'], { DATABASE_URL })).toMatchObject({ code: 0, stderr: '' });
      const { message } = await refusalOf(['status'], proxy.urlVia('localhost', `?sslmode=${mode}`));
      expect(message).toContain('self-signed');
    },
  );

  it('that the server does not offer', async () => {
    const error = await refusalOf(['run'], `${place.url}?sslmode=require`);
    const where = place.url.slice(place.url.indexOf('@') + 1);
    expect(error).toEqual({
      code: 'database_refused',
      message: `No encrypted connection to the database at ${where}: The server does not support SSL connections`,
      hint: 'switch TLS on at the server, or leave sslmode out of DATABASE_URL if nobody can listen in between',
    });
  });

  it('with a certificate that nobody known has signed', async () => {
    const { message, hint } = await refusalOf(['run'], proxy.urlVia('localhost', '?sslmode=verify-full'));
    expect(message).toMatch(/^No encrypted connection to .*: self-signed certificate\b/);
    expect(hint).toBe(
      'name the file of the authority that signed it: DATABASE_URL=…?sslmode=verify-full&sslrootcert=/path/ca.pem',
    );
  });

  it('with a certificate for another host name', async () => {
    const url = proxy.urlVia('127.0.0.1', `?sslmode=verify-full&sslrootcert=${CERTIFICATE_FILE}`);
    const { message, hint } = await refusalOf(['run'], url);
    expect(message).toMatch(
      /^No encrypted connection to .*: Hostname\/IP does not match certificate's altnames/,
    );
    expect(hint).toBe('use the host name that the certificate names in DATABASE_URL');
  });
});

describe('a database that cannot hold every name', () => {
  it('is refused by its encoding, and no table is made', async () => {
    const adminUrl = inject('postgresAdminUrl');
    const name = `losant_usage_test_latin1_${process.pid}`;
    await queryOnce(adminUrl, `create database ${name} encoding 'LATIN1' locale 'C' template template0`);
    const url = withDatabase(adminUrl, name);
    try {
      const { message, hint } = await refusalOf(['run'], url);
      expect(message).toBe(`The database at ${new URL(url).host}/${name} is encoded in LATIN1`);
      expect(hint).toContain(`encoding 'UTF8'`);
      expect(await queryOnce(url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual([]);
    } finally {
      await queryOnce(adminUrl, `drop database ${name} with (force)`);
    }
  });
});

describe('a user whose transactions only read', () => {
  it('is told so, and that another user writes; what only looks works', async () => {
    const place = await createPlace();
    const role = `only_reads_${process.pid}`;
    try {
      expect((await exported.run(['run'], { DATABASE_URL: place.url })).code).toBe(0);
      await place.query(`create role ${role} login superuser password 'reads'`);
      await place.query(`alter role ${role} set default_transaction_read_only = on`);
      const url = Object.assign(new URL(place.url), { username: role, password: 'reads' }).href;
      const where = `${new URL(url).host}${new URL(url).pathname}`;
      for (const args of [
        ['run'],
        ['backfill', '--from', daysAgo(2), '--to', daysAgo(2)],
        ['waive', '--org', '0'.repeat(24), '--day', daysAgo(1), '--stream', 'device_counts', '--reason', 'x'],
      ]) {
        const { message, hint } = await refusalOf(args, url);
        expect(message).toBe(`Transactions of the user ${role} on ${where} only read`);
        expect(hint).toBe(
          'use the user that writes (losant_usage_writer), or set default_transaction_read_only to off for this one',
        );
      }
      expect((await exported.run(['status'], { DATABASE_URL: url })).code).toBe(0);
      expect((await exported.run(['run', '--dry-run'], { DATABASE_URL: url })).code).toBe(0);
    } finally {
      await place.query(`drop role if exists ${role}`);
      await place.remove();
    }
  });
});

describe('an embedded database', () => {
  const ORG = '0'.repeat(24);

  const missingFolder = () => {
    const place = createEmbeddedFolder();
    place.remove();
    return place.folder;
  };

  it.each([
    [['status']],
    [['gaps']],
    [['explain', '--org', ORG, '--day', daysAgo(1)]],
    [['waive', '--org', ORG, '--day', daysAgo(1), '--stream', 'device_counts', '--reason', 'x']],
  ])('that does not exist is refused by %j, and nothing is made', async (args) => {
    const folder = missingFolder();
    const { message, hint } = await refusalOf(args, `embedded:${folder}`);
    expect(message).toBe(`There is no embedded database in ${folder}`);
    expect(hint).toBe('correct the folder in DATABASE_URL; `losant-usage run` begins a new database there');
    expect(existsSync(folder)).toBe(false);
  });

  it.each([[['run', '--dry-run']], [['migrate', '--dry-run']]])(
    'that does not exist is planned for by %j, and not made',
    async (args) => {
      const folder = missingFolder();
      expect((await exported.run(args, { DATABASE_URL: `embedded:${folder}` })).code).toBe(0);
      expect(existsSync(folder)).toBe(false);
    },
  );

  it.each(['/proc/losant-usage', '/proc/losant-usage/data', join('/dev/null', 'data')])(
    'where no folder can be made, %s, is refused at once',
    async (folder) => {
      const { message, hint } = await refusalOf(['run'], `embedded:${folder}`);
      expect(message).toContain(`The folder ${folder} cannot be written: `);
      expect(hint).toBe('give DATABASE_URL=embedded:DIR a folder that this user may write');
    },
  );
});
