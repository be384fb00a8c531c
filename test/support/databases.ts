import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { migrateToHead } from '../../src/database/migrate.ts';
import { createDatabase } from '../../src/database/open.ts';
import type { PostgresOptions } from '../../src/database/postgres.ts';
import { loginAs, type Role, removeLogin, toRoleName } from './roles.ts';
import { until } from './wait.ts';

/** A database with the schema at head, to clone. */
export const TEMPLATE = 'losant_usage_template';
/** A database in which only roles.sql has been run. */
export const EMPTY_TEMPLATE = `${TEMPLATE}_empty`;

export interface TestDatabase {
  /** Has no user: who uses it, also as DATABASE_URL, logs in as the role that a user would have. */
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** Creates a database on the test server: with the schema at head, without any tables, or as a copy of one by name. */
export async function createTestDatabase(options: { template?: boolean | string } = {}): Promise<TestDatabase> {
  const { template = true } = options;
  const defaultTemplate = template ? TEMPLATE : EMPTY_TEMPLATE;
  const name = createDatabaseName();
  await copyDatabase(name, typeof template === 'string' ? template : defaultTemplate);
  const url = urlOf(name);
  return { url, name, drop: () => dropDatabase(name) };
}

export function createDatabaseName(): string {
  return `losant_usage_test_${randomBytes(6).toString('hex')}`;
}

/** Returns the URL of a database of the test server, without a user. */
export function urlOf(name: string): string {
  return removeLogin(withDatabase(inject('postgresAdminUrl'), name));
}

/** Runs a statement as the administrator of the server, in their own database or in a named one. */
export async function asAdministrator(statement: string, name?: string): Promise<void> {
  const url = inject('postgresAdminUrl');
  await queryOnce(name === undefined ? url : withDatabase(url, name), statement);
}

/** Copies a database, with the migrator as its owner. Only the roles can connect. */
export async function copyDatabase(name: string, source: string): Promise<void> {
  // Postgres copies a database to which nobody is connected.
  await disconnect(urlOf(source));
  await asAdministrator(
    `create database ${name} template ${source} owner ${toRoleName('migrator')} strategy file_copy`,
  );
  const others = (['writer', 'reader'] as const).map(toRoleName).join(', ');
  await asAdministrator(`revoke all on database ${name} from public; grant connect on database ${name} to ${others}`);
}

export async function dropDatabase(name: string): Promise<void> {
  await disconnect(urlOf(name));
  await asAdministrator(`drop database if exists ${name} with (force)`);
}

export async function openAs(role: Role, url: string, options: Partial<PostgresOptions> = {}): Promise<DatabaseHandle> {
  const login = { url: loginAs(role, url), role: toRoleName(role) };
  return await createDatabase({ applicationName: 'test', poolSize: 2, ...options, ...login });
}

export interface EmbeddedFolder {
  readonly folder: string;
  /** The value for DATABASE_URL. */
  readonly url: string;
  remove(): void;
}

/** Creates an empty folder for the embedded database. */
export function createEmbeddedFolder(): EmbeddedFolder {
  const folder = makeFastFolder('losant-usage-embedded-');
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return { folder, url: `embedded:${folder}`, remove };
}

/** Creates an embedded database with the schema at head: a copy, because making one takes seconds of CPU time. */
export async function copyEmbeddedDatabase(): Promise<EmbeddedFolder> {
  const made = join(inject('embeddedTemplate'), 'made');
  if (!existsSync(made)) await makeEmbeddedTemplate(made);
  const copy = createEmbeddedFolder();
  cpSync(made, copy.folder, { recursive: true });
  return copy;
}

/**
 * Makes the template once for all test files, which run in several processes: the first one makes it, the others wait.
 */
async function makeEmbeddedTemplate(made: string): Promise<void> {
  const making = `${made}.new`;
  try {
    mkdirSync(making);
  } catch {
    return await until('the embedded database to copy is made', () => existsSync(made));
  }
  // A process that was killed while it created a folder leaves this, which must not prevent another attempt.
  mkdirSync(join(making, 'pgdata.new'));
  writeFileSync(join(making, 'pgdata.new', 'PG_VERSION'), '18\n');
  await createSchema(`embedded:${making}`);
  renameSync(making, made);
}

/** Brings an empty database to head, as the migrator. */
export async function createSchema(url: string): Promise<void> {
  const handle = await openAs('migrator', url);
  try {
    await migrateToHead(handle);
  } finally {
    await handle.close();
  }
}

/** The connections of this process by URL: to connect takes Postgres longer than most statements. */
const pools = new Map<string, pg.Pool>();

function poolOf(url: string): pg.Pool {
  const known = pools.get(url);
  if (known) return known;
  const pool = new pg.Pool({ connectionString: url, idleTimeoutMillis: 30_000, allowExitOnIdle: true });
  // The server may end while a connection is idle; the next statement opens another one.
  pool.on('error', () => undefined);
  pools.set(url, pool);
  return pool;
}

/** Ends the connections of all roles to a database, because settings of a database apply only to new ones. */
export async function disconnect(url: string): Promise<void> {
  const { host, pathname } = new URL(url);
  for (const [login, pool] of pools) {
    const other = new URL(login);
    if (other.host !== host || other.pathname !== pathname) continue;
    pools.delete(login);
    await pool.end();
  }
}

/**
 * Runs one statement outside the code under test, over a connection without a trace of earlier ones. Unless the URL has
 * a user, the reader runs it.
 */
export async function queryOnce(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = await poolOf(loginAs('reader', url)).connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(statement);
    return rows;
  } finally {
    await client.query('rollback; reset all').then(
      () => client.release(),
      () => client.release(true),
    );
  }
}

/** Runs a statement as the writer, such as to write what a run would, or to read what the reader may not. */
export async function asWriter(url: string, statement: string): Promise<Record<string, unknown>[]> {
  return await queryOnce(loginAs('writer', url), statement);
}

/** Runs a statement as the owner of the tables, for what no other role may do. */
export async function asOwner(url: string, statement: string): Promise<Record<string, unknown>[]> {
  return await queryOnce(loginAs('migrator', url), statement);
}

export function withDatabase(url: string, name: string): string {
  const target = new URL(url);
  target.pathname = `/${name}`;
  return target.href;
}

const MEMORY_DISK = '/dev/shm';
const ROOM_BYTES = 2 ** 31;

/** Creates a folder in memory where there is room: cloning a database takes 25 ms there, on a disk 50 to 400. */
export function makeFastFolder(prefix: string): string {
  const { bavail, bsize } = existsSync(MEMORY_DISK) ? statfsSync(MEMORY_DISK) : { bavail: 0, bsize: 0 };
  return mkdtempSync(join(bavail * bsize > ROOM_BYTES ? MEMORY_DISK : tmpdir(), prefix));
}
