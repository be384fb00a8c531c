import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { migrateToHead } from '../../src/database/migrate.ts';
import { createDatabase } from '../../src/database/open.ts';
import { until } from './wait.ts';

/** A database with the schema at head, to clone. */
export const TEMPLATE = 'losant_usage_template';

export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** Creates a database on the test server: with the schema at head, without any tables, or as a copy of one by name. */
export async function createTestDatabase(
  options: { template?: boolean | string } = {},
): Promise<TestDatabase> {
  const { template = true } = options;
  const adminUrl = inject('postgresAdminUrl');
  const name = `losant_usage_test_${randomBytes(6).toString('hex')}`;
  const usual = template ? TEMPLATE : 'template1';
  const source = typeof template === 'string' ? template : usual;
  // Postgres copies a database to which nobody is connected.
  await disconnect(withDatabase(adminUrl, source));
  await queryOnce(adminUrl, `create database ${name} template ${source} strategy file_copy`);
  const url = withDatabase(adminUrl, name);
  return {
    url,
    name,
    drop: async () => {
      await disconnect(url);
      await queryOnce(adminUrl, `drop database if exists ${name} with (force)`);
    },
  };
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

/** Brings an empty database to head. */
export async function createSchema(url: string): Promise<void> {
  const handle = await createDatabase({ url, applicationName: 'test template', poolSize: 1 });
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
  const pool = new pg.Pool({ connectionString: url, idleTimeoutMillis: 2_000, allowExitOnIdle: true });
  // The server may end while a connection is idle; the next statement opens another one.
  pool.on('error', () => undefined);
  pools.set(url, pool);
  return pool;
}

/** Ends the connections to a database, so that the next statement finds what was set for it since. */
export async function disconnect(url: string): Promise<void> {
  const pool = pools.get(url);
  pools.delete(url);
  await pool?.end();
}

/** Runs one statement outside the code under test, over a connection on which no other one has left anything. */
export async function queryOnce(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = await poolOf(url).connect();
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

/** Returns the URL of another database with the same server and user. */
export function withDatabase(url: string, name: string): string {
  const target = new URL(url);
  target.pathname = `/${name}`;
  return target.href;
}

const MEMORY_DISK = '/dev/shm';
const ROOM_BYTES = 2 ** 31;

/** Creates a folder in memory where there is room: cloning a database takes 25 ms there, on a disk 50 to 400. */
export function makeFastFolder(prefix: string): string {
  const isRoomy = existsSync(MEMORY_DISK) && room(MEMORY_DISK) > ROOM_BYTES;
  return mkdtempSync(join(isRoomy ? MEMORY_DISK : tmpdir(), prefix));
}

function room(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
