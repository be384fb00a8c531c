/** Databases that cannot be opened, lost sessions, and the settings of a session. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { sql } from 'kysely';
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { requireDiskSpace } from '../../src/database/embedded.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { describeDatabaseError, isConnectionLost } from '../../src/database/sqlstate.ts';
import { useTestDatabase } from '../opened.ts';
import { asAdministrator, asWriter, copyEmbeddedDatabase, createEmbeddedFolder, openAs } from '../support/databases.ts';
import { toPassword } from '../support/roles.ts';
import { containing, matching } from '../support/texts.ts';
import { fakeTimers } from '../support/wait.ts';
import { portOf, startWire, through } from '../support/wire.ts';

const CANARY = 'canary-9f2c';

const password = toPassword('writer');
const database = useTestDatabase({ template: false });

function open(url: string, options = {}): Promise<DatabaseHandle> {
  return openAs('writer', url, { applicationName: 'connection test', ...options });
}

function urlFor(changes: Partial<Record<'username' | 'password' | 'host' | 'pathname', string>>): string {
  const url = new URL(database.url);
  return Object.assign(url, { username: 'losant_usage_writer', password, ...changes }).href;
}

/** Returns the error of a promise that must reject, and expects no password in it. */
async function catchError(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  for (const secret of [CANARY, password]) {
    expect(inspect(error, { showHidden: true, depth: Infinity })).not.toContain(secret);
    expect(error instanceof Error && error.stack).not.toContain(secret);
  }
  return error;
}

/** Returns the error of opening the database through a listener, which also gets a connection to the server. */
async function catchErrorBehind(url: string, listener: (client: Socket, upstream: Socket) => unknown) {
  const server = createServer((client) => {
    const upstream = connect(portOf(database.url), '127.0.0.1');
    client.once('close', () => upstream.destroy());
    listener(client, upstream);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  try {
    return await catchError(open(through({ port }, url), { connectTimeoutMs: 1_000 }));
  } finally {
    server.close();
  }
}

describe('a database that cannot be opened', () => {
  const UNREACHABLE = /^Cannot reach the database at 127\.0\.0\.1:1\/\w+: connect ECONNREFUSED 127\.0\.0\.1:1$/;
  const NO_ADDRESS = /^Cannot reach the database at database\.invalid:5432.*(ENOTFOUND|EAI_AGAIN)/;
  const WRONG =
    /^The database at 127\.0\.0\.1:\d+\/\w+ rejected the request: password authentication failed for user "losant_usage_writer"$/;

  test.each([
    ['nothing listens there', { host: '127.0.0.1:1' }, 'database_unreachable', UNREACHABLE],
    ['its host has no address', { host: 'database.invalid:5432' }, 'database_unreachable', NO_ADDRESS],
    ['the password is wrong', { password: CANARY }, 'database_rejected', WRONG],
    ['the password is missing', { password: '' }, 'database_rejected', /rejected the request: it asks for a password$/],
    ['there is no such name', { pathname: '/nowhere' }, 'database_rejected', /"nowhere" does not exist/],
  ])('reports that %s', async (_, changes, kind, message) => {
    const error = await catchError(open(urlFor(changes)));
    expect(error).toMatchObject({ kind, message: matching(message) });
  });

  test('reports only the host if neither its URL nor the system names a user', async () => {
    const { user } = pg.defaults;
    onTestFinished(() => void Object.assign(pg.defaults, { user }));
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const name of ['PGUSER', 'PGDATABASE']) vi.stubEnv(name, undefined);
    Object.assign(pg.defaults, { user: undefined });
    const message = matching(/^Cannot reach the database at 127\.0\.0\.1:1: connect/);
    expect(await catchError(open('postgres://127.0.0.1:1'))).toMatchObject({ message });
  });

  test('is not opened without an authority that its URL requires', async () => {
    const error = await catchError(open(`${database.url}?uselibpqcompat=true&sslmode=verify-ca`));
    expect(error).toMatchObject({ kind: 'settings', hint: containing('needs sslrootcert') });
  });

  test('names the limits that may be raised if no connection is free', async () => {
    const limit = (sessions: number) => asAdministrator(`alter database ${database.name} connection limit ${sessions}`);
    onTestFinished(() => limit(-1));
    await limit(0);
    const message = containing('too many connections for database');
    const hint = matching(/raise max_connections or the limit of the role or database$/);
    const error = await catchError(open(database.url));
    expect(error).toMatchObject({ kind: 'database_unreachable', message, hint });
  });

  test('leaves no session that waits for a password', async () => {
    let sessions = 0;
    await catchErrorBehind(urlFor({ password: '' }), (client, upstream) => {
      sessions += 1;
      client.once('close', () => (sessions -= 1));
      client.pipe(upstream).pipe(client);
    });
    await expect.poll(() => sessions).toBe(0);
  });

  test.each<[string, string, (client: Socket) => unknown]>([
    ['never responds', '', (client) => setTimeout(() => client.destroy(), 2_000)],
    // As without memory.
    ['can start no session for TLS', '?sslmode=no-verify', (client) => client.once('data', () => client.end('E'))],
  ])('is unreachable if it %s', async (_, parameters, listener) => {
    const error = await catchErrorBehind(`${database.url}${parameters}`, listener);
    expect(error).toMatchObject({ kind: 'database_unreachable' });
  });

  test('is unreachable if the name server does not respond', () => {
    const error = Object.assign(new Error('getaddrinfo EAI_FAIL db.example.com'), { code: 'EAI_FAIL' });
    const context = { where: 'there', role: 'losant_usage_writer' } as const;
    expect(describeDatabaseError(error, context)).toMatchObject({ kind: 'database_unreachable' });
  });

  test('fails with the reason of the server in any language', async () => {
    const fields = Buffer.from('S致命错误\0C55000\0M数据库当前不接受连接\0\0');
    const head = Buffer.from([0x45, 0, 0, 0, fields.length + 4]);
    const error = await catchErrorBehind(database.url, (client) => {
      client.once('data', () => client.end(Buffer.concat([head, fields])));
    });
    expect(error).toMatchObject({ kind: 'database_failed', message: matching(/ failed: 数据库当前不接受连接$/) });
  });

  test.each([
    ['options with an unknown name', '?options=-c%20nonsense%3D1', /unrecognized configuration parameter "nonsense"$/],
    ['options with an invalid value', '?options=-c%20work_mem%3Dx', /invalid value for parameter "work_mem": "x"$/],
  ])('fails with the reason of the server: %s', async (_, parameters, message) => {
    const error = await catchError(open(`${database.url}${parameters}`));
    expect(error).toMatchObject({ kind: 'database_failed', message: matching(message) });
  });

  test('is too old below Postgres 15', async () => {
    // Changes the version that the server reports: the only text of six bytes in a result row.
    const length = '\0\0\0\x06';
    const version = new RegExp(`${length}\\d{6}`, 'g');
    const error = await catchErrorBehind(database.url, (client, upstream) => {
      client.pipe(upstream);
      upstream.on('data', (bytes) => {
        const text = bytes.toString('latin1').replaceAll(version, `${length}140013`);
        client.write(Buffer.from(text, 'latin1'));
      });
    });
    const hint = 'use a server of Postgres 15 or newer';
    expect(error).toMatchObject({ kind: 'database_too_old', message: containing('runs Postgres 14'), hint });
  });

  test.each([
    'postgres://user:canary-9f2c@host:99999/name',
    'postgres://host/name?sslmode=verify-full&sslrootcert=/nowhere/ca.pem',
  ])('is a settings error with the URL %j', async (url) => {
    const message = containing('DATABASE_URL');
    expect(await catchError(open(url))).toMatchObject({ name: 'SettingsError', message });
  });
});

describe('an open database', () => {
  test('never shows its password', async () => {
    await using handle = await open(urlFor({}));
    expect(inspect(handle, { showHidden: true, depth: Infinity })).not.toContain(password);
  });

  test('survives the loss of a connection during a transaction', async () => {
    await using handle = await open(database.url);
    const lost = handle.db.transaction().execute(async (trx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(trx);
      await asWriter(database.url, `select pg_terminate_backend(${rows[0]?.pid}, 5000)`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await sql`select 1`.execute(trx);
    });
    const error = await catchError(lost);
    expect(isConnectionLost(error)).toBe(true);
    const context = { where: 'there', role: 'losant_usage_writer' } as const;
    expect(describeDatabaseError(error, context)).toMatchObject({
      kind: 'database_unreachable',
      message: 'Cannot reach the database at there: terminating connection due to administrator command',
    });
    expect((await sql`select 1 as one`.execute(handle.db)).rows).toEqual([{ one: 1 }]);
  });

  test('survives the loss of an idle connection and logs it', async () => {
    const lines: string[] = [];
    const logger = { info: (_: object, text: string) => lines.push(text) };
    await using handle = await open(database.url, { logger });
    const sessions = `from pg_stat_activity where application_name = 'connection test' and state = 'idle'
      and datname = current_database()`;
    await expect.poll(() => asWriter(database.url, `select ${sessions}`)).not.toEqual([]);
    await asWriter(database.url, `select pg_terminate_backend(pid, 5000) ${sessions}`);
    await expect.poll(() => lines).toEqual([expect.stringContaining('idle database connection lost')]);
    expect((await sql`select 1 as one`.execute(handle.db)).rows).toEqual([{ one: 1 }]);
  });

  // With a full disk, Postgres opens no new session: FATAL XX000, could not write init file.
  test.each([
    ['58030', /disk space left$/],
    ['XX000', /disk space left$/],
    // A temporary file exceeds temp_file_limit.
    ['53400', /raise that limit$/],
    // A standby cancels a query that is in the way of what it replays.
    ['40001', /try again$/],
  ])('describes SQLSTATE %s as a failure of the server', async (sqlstate, hint) => {
    await using handle = await open(database.url);
    const failure = sql`do ${sql.lit(`begin raise 'could not write init file' using errcode = '${sqlstate}'; end`)}`;
    const error = await catchError(failure.execute(handle.db));
    const context = { where: 'there', role: 'losant_usage_writer' } as const;
    expect(describeDatabaseError(error, context)).toMatchObject({
      kind: 'database_failed',
      message: 'The database at there failed: could not write init file',
      // Without a word on the next run, which does not repeat a waiver or an export.
      hint: expect.stringMatching(hint),
    });
  });

  test('gives up on a server that has been silent for 15 s longer than a statement may take', async () => {
    await using wire = await startWire(portOf(database.url));
    await using handle = await open(through(wire, database.url), { statementTimeoutMs: 1_000 });
    const { sent } = wire;
    wire.onSent = () => 'drop';
    fakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const failure = catchError(sql`select 1`.execute(handle.db));
    while (wire.sent === sent) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(16_000);
    expect(isConnectionLost(await failure)).toBe(true);
    vi.useRealTimers();
  });

  test('lets callers wait for a free connection longer than the connect timeout', async () => {
    await using handle = await open(database.url, { poolSize: 1, connectTimeoutMs: 500 });
    const waits = Array.from({ length: 3 }, () => sql`select pg_sleep(0.3)`.execute(handle.db));
    expect(await Promise.all(waits)).toHaveLength(3);
  });
});

/** Settings that a database may have as defaults, with those of a session of the program. */
const SETTINGS = [
  ['array_nulls', 'off', 'on'],
  ['standard_conforming_strings', 'off', 'on'],
  ['timezone', 'Pacific/Auckland', 'UTC'],
  ['statement_timeout', '5s', '1min'],
  ['lock_timeout', '5s', '30s'],
  ['idle_in_transaction_session_timeout', '5s', '1min'],
  ['idle_session_timeout', '5s', '0'],
  ['default_transaction_isolation', 'serializable', 'read committed'],
  ['extra_float_digits', '-15', '1'],
  ['synchronous_commit', 'off', 'on'],
] as const;

test('a session does not rely on defaults, and sets each timeout of the server but those of the network', async () => {
  const setDefault = (name: string, value: string) =>
    asAdministrator(`alter database ${database.name} set ${name} = '${value}'`);
  onTestFinished(() => asAdministrator(`alter database ${database.name} reset all`));
  const read = async (...names: readonly string[]) => {
    await using handle = await open(database.url);
    const query = sql<{ line: string }>`select concat_ws(' ', name, current_setting(name)) as line
      from unnest(${names}::text[]) as name`;
    return (await query.execute(handle.db)).rows.map(({ line }) => line);
  };
  for (const [name, value] of SETTINGS) await setDefault(name, value);
  const settings = await read(...SETTINGS.map(([name]) => name));
  expect(settings).toEqual(SETTINGS.map(([name, , setting]) => `${name} ${setting}`));
  for (const value of ['local', 'remote_apply']) {
    await setDefault('synchronous_commit', value);
    expect(await read('synchronous_commit')).toEqual([`synchronous_commit ${value}`]);
  }
  await using handle = await open(database.url);
  const { rows } = await sql`select name from pg_settings
    where name like '%timeout' and context = 'user' and source <> 'session' order by name`.execute(handle.db);
  expect(rows).toEqual([{ name: 'tcp_user_timeout' }, { name: 'wal_sender_timeout' }]);
});

describe('an embedded folder', () => {
  test('belongs to one process until it dies, however it dies, and keeps what was committed', async () => {
    const embedded = await copyEmbeddedDatabase();
    onTestFinished(() => embedded.remove());
    const alias = join(embedded.folder, 'alias');
    symlinkSync(embedded.folder, alias);
    const file = fileURLToPath(new URL('./hold-folder.ts', import.meta.url));
    const holder = spawn(process.execPath, [file, embedded.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    // A holder that outlives a failed test would keep vitest from ending.
    onTestFinished(() => void holder.kill('SIGKILL'));
    await once(holder.stdout, 'data');
    for (const folder of [embedded.folder, alias]) {
      const message = `Another process is using the embedded database in ${folder}`;
      const busy = { name: 'BusyError', kind: 'folder_locked', message };
      expect(await catchError(open(`embedded:${folder}`))).toMatchObject(busy);
    }
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    await using handle = await open(embedded.url);
    expect((await sql`select value from committed`.execute(handle.db)).rows).toEqual([{ value: 42 }]);
    expect(await catchError(open(embedded.url))).toMatchObject({ kind: 'folder_locked' });
  });

  test('written by another version of Postgres cannot be opened, and does not stay locked', async () => {
    const embedded = createEmbeddedFolder();
    onTestFinished(() => embedded.remove());
    mkdirSync(join(embedded.folder, 'pgdata'));
    writeFileSync(join(embedded.folder, 'pgdata', 'PG_VERSION'), '14\n');
    const error = await catchError(open(embedded.url));
    expect(error).toMatchObject({ kind: 'database_unreachable' });
    expect(String(error)).toContain(`in ${embedded.folder}, written by Postgres 14, cannot be opened`);
    expect(await catchError(open(embedded.url))).toMatchObject({ kind: 'database_unreachable' });
  });

  test('on a full disk is rejected before anything is written', () => {
    const free = (bytes: number) => ({ bavail: bytes, bsize: 1 });
    expect(() => requireDiskSpace('/data', free(64_000_000))).not.toThrow();
    expect(() => requireDiskSpace('/data', free(63_999_999))).toThrow(
      expect.objectContaining({
        kind: 'database_failed',
        message: 'The disk of the embedded database in /data is full: 63 MB free, 64 MB needed',
        hint: 'free disk space; the stored data is intact',
      }),
    );
  });
});
