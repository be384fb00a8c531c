/**
 * Migrates a database with kysely's Migrator. A migration is named by its file and the checksum of its text, so the
 * Migrator's table `losant_usage.migrations` records exactly which text was applied.
 */
import { hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { DatabaseError, type DatabaseErrorKind } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import type { Schema } from './schema.ts';
import { describeDatabaseError, isDenied, isOperationalError, isUndefined, retryTransaction } from './sqlstate.ts';

export interface SchemaState {
  /** `ahead`: it has migrations after this program's last one. `other`: it was created by different migrations. */
  readonly state: 'empty' | 'at_head' | 'behind' | 'ahead' | 'other';
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  /** The migrations that the database has and this program does not. */
  readonly unknown: readonly string[];
}

const TABLE = 'migrations';
const MIGRATOR = 'losant_usage_migrator';
/** The longest wait for a lock that another session holds. */
const LOCK_WAIT_MS = 600_000;

/**
 * Applies all pending migrations in one transaction and returns their names. Of two processes that do this at once, one
 * applies them, and the other waits and returns none. Throws DatabaseError if the database is `ahead` or `other`, or
 * rejects a migration.
 */
export async function migrateToHead(handle: DatabaseHandle, folder?: string): Promise<string[]> {
  await readPending(handle, folder);
  const files = await readMigrationFiles(folder);
  try {
    return await handle.runLong(async (db) => {
      await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}`}, false)`.execute(db);
      return await retryTransaction(() => applyFiles(db.withoutPlugins(), files));
    });
  } catch (error) {
    throw describeDatabaseError(error, { where: handle.label, role: MIGRATOR }) ?? error;
  }
}

async function applyFiles(db: Kysely<Schema>, files: readonly MigrationFile[]): Promise<string[]> {
  const toMigration = (file: MigrationFile): Migration => ({ up: (trx: Kysely<Schema>) => executeFile(trx, file) });
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => Object.fromEntries(files.map((file) => [file.id, toMigration(file)])) },
    migrationTableSchema: SCHEMA_NAME,
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error instanceof Error) throw error;
  return results.filter(({ status }) => status === 'Success').map(({ migrationName }) => toFileName(migrationName));
}

async function executeFile(db: Kysely<Schema>, { id, text }: MigrationFile): Promise<void> {
  try {
    // PGlite executes one statement at a time.
    await sql`do $migration$ begin execute ${sql.lit(text)}; end $migration$`.execute(db);
  } catch (error) {
    // Errors of rights, connection and conflicts are not this file's; any other is a bug in it.
    if (!(error instanceof Error) || isOperationalError(error)) throw error;
    throw new Error(`Migration ${toFileName(id)}: ${error.message}`, { cause: error });
  }
}

/** Compares the database with the migrations of the program, or of a folder. Reads only. */
export async function readSchemaState(handle: DatabaseHandle, folder?: string): Promise<SchemaState> {
  const files = (await readMigrationFiles(folder)).map(({ id }) => id);
  const applied = await readApplied(handle);
  const pending = files.filter((each, index) => each !== applied[index]).map(toFileName);
  const unknown = applied.filter((each, index) => each !== files[index]).map(toFileName);
  const lists = { applied: applied.map(toFileName), pending, unknown };
  if (applied.length === 0) return { state: 'empty', ...lists };
  if (unknown.length > 0) return { state: pending.length > 0 ? 'other' : 'ahead', ...lists };
  return { state: pending.length > 0 ? 'behind' : 'at_head', ...lists };
}

/**
 * Throws DatabaseError `database_too_old`, `database_too_new` or `database_mismatch` unless the database has this
 * program's schema. A state that was read before saves reading it again.
 */
export async function requireSchema(handle: DatabaseHandle, knownState?: SchemaState): Promise<void> {
  const schemaState = knownState ?? (await readSchemaState(handle));
  if (schemaState.state !== 'at_head') throw toSchemaError(handle, schemaState);
}

/** Returns the names of the pending migrations. Throws DatabaseError if the database is `ahead` or `other`. */
export async function readPending(handle: DatabaseHandle, folder?: string): Promise<readonly string[]> {
  const schemaState = await readSchemaState(handle, folder);
  if (schemaState.unknown.length > 0) throw toSchemaError(handle, schemaState);
  return schemaState.pending;
}

/** What is wrong with a database, by the state of its schema. */
export const SCHEMA_PROBLEMS = {
  empty: 'has no losant-usage tables yet',
  behind: 'is older than this program',
  ahead: 'is newer than this program',
  other: "was created by different migrations than this program's",
};

function toSchemaError(handle: DatabaseHandle, { state, pending, unknown }: SchemaState): DatabaseError {
  const toError = (kind: DatabaseErrorKind, problem: string, hint: string) =>
    new DatabaseError(kind, `The database at ${handle.label} ${problem}`, { hint });
  if (state === 'other') {
    const problem = `${SCHEMA_PROBLEMS.other}: ${unknown.join(', ')}`;
    const hint =
      'install the release that created it, or create a new database and `backfill` what Losant still retains';
    return toError('database_mismatch', problem, hint);
  }
  if (state === 'ahead') {
    const hint = 'use the version of losant-usage that migrated it; `losant-usage migrate` only goes forward';
    return toError('database_too_new', `${SCHEMA_PROBLEMS.ahead}: it has ${unknown.join(', ')}`, hint);
  }
  const problem = `${SCHEMA_PROBLEMS.behind}; not applied yet: ${pending.join(', ')}`;
  const hint = `run \`losant-usage migrate\`${handle.kind === 'embedded' ? '' : ` as ${MIGRATOR}`}`;
  return toError('database_too_old', state === 'behind' ? problem : SCHEMA_PROBLEMS.empty, hint);
}

/** Returns the IDs of the applied migrations in order; none if there is no table yet. */
async function readApplied({ db }: DatabaseHandle): Promise<readonly string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from losant_usage.migrations`.execute(db);
    return rows.map(({ name }) => name).sort();
  } catch (error) {
    // Until the first migration succeeds, nobody but its owner can read kysely's table.
    if (isUndefined(error) || (isDenied(error) && !(await hasTables(db)))) return [];
    throw error;
  }
}

/** Whether the first migration was applied. */
async function hasTables(db: Kysely<Schema>): Promise<boolean> {
  const { rows } = await sql`select where to_regclass('losant_usage.streams') is not null`.execute(db);
  return rows.length > 0;
}

function toFileName(id: string): string {
  return id.split(' ')[0] as string;
}

/** In the package's root: above `src` in a checkout, above `dist` where the package is installed. */
const MIGRATIONS_FOLDER = join(dirname(findPackageJSON(import.meta.url) as string), 'migrations');

const FILE_NAME = /^(\d{4}_[a-z0-9_]+)\.sql$/;

type MigrationFile = Awaited<ReturnType<typeof readFiles>>[number];

let ownFiles: readonly MigrationFile[] | null = null;

/** Returns the files of a folder, or the program's own, read once: the package may be replaced under the process. */
async function readMigrationFiles(folder?: string): Promise<readonly MigrationFile[]> {
  if (folder !== undefined) return await readFiles(folder);
  ownFiles ??= await readFiles(MIGRATIONS_FOLDER);
  return ownFiles;
}

/**
 * Returns the files of a folder, in order; ignores those with other names. The ID of a file is its name without `.sql`
 * and the checksum of its text, with LF line ends in case a checkout converts them.
 */
async function readFiles(folder: string) {
  const names = (await readdir(folder)).toSorted().flatMap((file) => FILE_NAME.exec(file)?.[1] ?? []);
  const readMigration = async (name: string) => {
    const text = (await readFile(join(folder, `${name}.sql`), 'utf8')).replaceAll('\r\n', '\n');
    return { id: `${name} ${hash('sha256', text)}`, text };
  };
  return await Promise.all(names.map(readMigration));
}
