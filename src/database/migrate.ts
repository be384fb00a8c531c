/**
 * Brings a database to this program's schema by kysely's Migrator. A migration is named by its file and the checksum of
 * its text, so that `losant_usage.migrations`, which the Migrator keeps, says exactly which text was applied.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { DatabaseError } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import type { Schema } from './schema.ts';
import { describeDatabaseError, isOperational, isUndefined } from './sqlstate.ts';

export interface SchemaState {
  /** `ahead`: it has migrations after the last one of this program. `other`: it was made by other migrations. */
  readonly state: 'empty' | 'at_head' | 'behind' | 'ahead' | 'other';
  readonly applied: readonly string[];
  /** The migrations that this program has in its place and the database does not. */
  readonly pending: readonly string[];
  /** The migrations that the database has in its place and this program does not. */
  readonly unknown: readonly string[];
}

export interface RequireOptions {
  readonly createIfEmpty: boolean;
  readonly autoMigrate: boolean;
  /** The state as it was just read; read here if not given. */
  readonly found?: SchemaState | undefined;
}

const TABLE = 'migrations';
const MIGRATOR = 'losant_usage_migrator';
/** The longest wait for another process that migrates. */
const LOCK_WAIT_MS = 600_000;

/**
 * Applies all pending migrations in one transaction and returns their names. If two processes do this at once, one
 * applies them and the other waits and returns none. Throws DatabaseError if the database is ahead or another one, or
 * refuses.
 */
export async function migrateToHead(handle: DatabaseHandle, folder?: string): Promise<string[]> {
  await readPending(handle, folder);
  const files = await readMigrationFiles(folder);
  try {
    return await handle.runLong(async (db) => {
      await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}`}, false)`.execute(db);
      const { error, results = [] } = await createMigrator(db.withoutPlugins(), files).migrateToLatest();
      if (error instanceof Error) throw error;
      return results
        .filter(({ status }) => status === 'Success')
        .map(({ migrationName }) => fileOf(migrationName));
    });
  } catch (error) {
    throw describeDatabaseError(error, { where: handle.describe, role: MIGRATOR }) ?? error;
  }
}

function createMigrator(db: Kysely<Schema>, files: readonly MigrationFile[]): Migrator {
  const migrations = files.map((file) => [file.id, toMigration(file)] as const);
  return new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(Object.fromEntries(migrations)) },
    migrationTableSchema: SCHEMA_NAME,
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
}

function toMigration({ id, text }: MigrationFile): Migration {
  return {
    up: async (db) => {
      try {
        // PGlite takes one statement at a time.
        await sql`do $migration$ begin execute ${sql.lit(text)}; end $migration$`.execute(db);
      } catch (error) {
        // Rights and connection are the operator's concern; any other error is about this file.
        if (!(error instanceof Error) || isOperational(error)) throw error;
        throw new Error(`Migration ${fileOf(id)}: ${error.message}`, { cause: error });
      }
    },
  };
}

/** Compares the database with the program's files, or those of a folder. Reads only. */
export async function readSchemaState(handle: DatabaseHandle, folder?: string): Promise<SchemaState> {
  const files = (await readMigrationFiles(folder)).map(({ id }) => id);
  const applied = await readApplied(handle);
  const pending = files.filter((each, place) => each !== applied[place]).map(fileOf);
  const unknown = applied.filter((each, place) => each !== files[place]).map(fileOf);
  const lists = { applied: applied.map(fileOf), pending, unknown };
  if (applied.length === 0) return { state: 'empty', ...lists };
  if (unknown.length > 0) return { state: pending.length > 0 ? 'other' : 'ahead', ...lists };
  return { state: pending.length > 0 ? 'behind' : 'at_head', ...lists };
}

/**
 * Returns once the schema is this program's, migrating if the options allow, with the names of the migrations applied.
 * Throws DatabaseError `database_too_old`, `database_too_new` or `database_mismatch`.
 */
export async function requireSchema(
  handle: DatabaseHandle,
  options: RequireOptions,
  folder?: string,
): Promise<string[]> {
  const { found = await readSchemaState(handle, folder) } = options;
  if (found.state === 'at_head') return [];
  const mayMigrate =
    (found.state === 'empty' && options.createIfEmpty) || (found.state === 'behind' && options.autoMigrate);
  if (mayMigrate) return await migrateToHead(handle, folder);
  throw refusal(handle, found);
}

/** Returns the names of the migrations that are to be applied. Throws DatabaseError as `migrateToHead` does. */
export async function readPending(handle: DatabaseHandle, folder?: string): Promise<readonly string[]> {
  const found = await readSchemaState(handle, folder);
  if (found.unknown.length > 0) throw refusal(handle, found);
  return found.pending;
}

/** Returns the refusal of a database that is not at head: what is wrong with it, and the next step. */
function refusal({ describe }: DatabaseHandle, { state, pending, unknown }: SchemaState): DatabaseError {
  const at = `The database at ${describe}`;
  if (state === 'other') {
    const message = `${at} was made by other migrations than this program has: ${unknown.join(', ')}`;
    return new DatabaseError('database_mismatch', message, {
      hint: 'install the release that made it, or make a new database and `backfill` what Losant still has',
    });
  }
  if (state === 'ahead') {
    const message = `${at} is newer than this program: it has ${unknown.join(', ')}`;
    return new DatabaseError('database_too_new', message, {
      hint: 'use the version of losant-usage that migrated it; `losant-usage migrate` only goes forward',
    });
  }
  const lacks = `is older than this program: it lacks ${pending.join(', ')}`;
  const message = `${at} ${state === 'behind' ? lacks : 'has no tables of losant-usage yet'}`;
  return new DatabaseError('database_too_old', message, { hint: 'run `losant-usage migrate`' });
}

/** Returns what was applied, each by its file and checksum, in order; nothing if there is no table yet. */
async function readApplied({ db }: DatabaseHandle): Promise<readonly string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from losant_usage.migrations`.execute(db);
    return rows.map(({ name }) => name).sort();
  } catch (error) {
    if (isUndefined(error)) return [];
    throw error;
  }
}

function fileOf(id: string): string {
  return id.split(' ')[0] as string;
}

interface MigrationFile {
  /**
   * The file's name without `.sql`, `NNNN_name`, and the checksum of the text with LF line ends, so that a checkout
   * that converts them agrees.
   */
  readonly id: string;
  readonly text: string;
}

/** The folder in the package's root, above `src` in a checkout and above `dist/src` where it is installed. */
const MIGRATIONS_FOLDER = join(dirname(findPackageJSON(import.meta.url) as string), 'migrations');

const FILE_NAME = /^(\d{4}_[a-z0-9_]+)\.sql$/;

/** Returns the migrations of a folder in order, and ignores other files. */
async function readMigrationFiles(folder = MIGRATIONS_FOLDER): Promise<MigrationFile[]> {
  const names = (await readdir(folder)).toSorted().flatMap((file) => FILE_NAME.exec(file)?.[1] ?? []);
  return await Promise.all(
    names.map(async (name) => {
      const text = (await readFile(join(folder, `${name}.sql`), 'utf8')).replaceAll('\r\n', '\n');
      return { id: `${name} ${createHash('sha256').update(text).digest('hex')}`, text };
    }),
  );
}
