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
import { describeDatabaseError } from './sqlstate.ts';

export interface SchemaState {
  /**
   * `ahead`: it has migrations that this program does not know. `edited`: a file was changed after it was applied.
   * `foreign`: it was made by other migrations from the first one on.
   */
  readonly state: 'empty' | 'at_head' | 'behind' | 'ahead' | 'edited' | 'foreign';
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  readonly unknown: readonly string[];
  readonly edited: readonly string[];
}

export interface MigrateOptions {
  /** The folder of the `.sql` files; the program's own by default. */
  readonly folder?: string | undefined;
}

export interface RequireOptions extends MigrateOptions {
  readonly createIfEmpty: boolean;
  readonly autoMigrate: boolean;
  /** The state as it was just read; read here if not given. */
  readonly found?: SchemaState | undefined;
}

const TABLE = 'migrations';
/** The longest wait for another process that migrates. */
const LOCK_WAIT_MS = 600_000;

/**
 * Applies all pending migrations in one transaction and returns their names. If two processes do this at once, one
 * applies them and the other waits and returns none. Throws DatabaseError if the database is ahead or edited, or
 * refuses.
 */
export async function migrateToHead(handle: DatabaseHandle, options: MigrateOptions = {}): Promise<string[]> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  requireMigratable(handle, await readSchemaState(handle, options));
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
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

function createMigrator(db: Kysely<Schema>, files: readonly MigrationFile[]): Migrator {
  const migrations = files.map((file) => [`${file.name} ${file.sha256}`, toMigration(file)] as const);
  return new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(Object.fromEntries(migrations)) },
    migrationTableSchema: SCHEMA_NAME,
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
}

function toMigration({ name, statements }: MigrationFile): Migration {
  return {
    up: async (db) => {
      for (const [index, statement] of statements.entries()) {
        try {
          await sql.raw(statement).execute(db);
        } catch (error) {
          // Rights and connection are the operator's concern; any other error is about this file.
          if (!(error instanceof Error) || describeDatabaseError(error, '') !== null) throw error;
          throw new Error(`Migration ${name}, statement ${index + 1}: ${error.message}`, { cause: error });
        }
      }
    },
  };
}

/** Compares the database with the program's files. Reads only. */
export async function readSchemaState(
  handle: DatabaseHandle,
  options: MigrateOptions = {},
): Promise<SchemaState> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  try {
    return compare(files, await readApplied(handle.db));
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/**
 * Returns once the schema is this program's, migrating if the options allow, with the names of the migrations applied.
 * Throws DatabaseError `database_too_old`, `database_too_new` or, for an edited migration, `database_mismatch`.
 */
export async function requireSchema(handle: DatabaseHandle, options: RequireOptions): Promise<string[]> {
  const { found = await readSchemaState(handle, options) } = options;
  if (found.state === 'at_head') return [];
  const mayMigrate =
    (found.state === 'empty' && options.createIfEmpty) || (found.state === 'behind' && options.autoMigrate);
  if (mayMigrate) return await migrateToHead(handle, options);
  throw refusal(handle, found);
}

/** Returns the names of the migrations that are to be applied. Throws DatabaseError as `migrateToHead` does. */
export async function readPending(
  handle: DatabaseHandle,
  options: MigrateOptions = {},
): Promise<readonly string[]> {
  const found = await readSchemaState(handle, options);
  requireMigratable(handle, found);
  return found.pending;
}

function requireMigratable(handle: DatabaseHandle, found: SchemaState): void {
  if (['ahead', 'edited', 'foreign'].includes(found.state)) throw refusal(handle, found);
}

const MIGRATE = 'run `losant-usage migrate`';

/** Returns the refusal of a database that is not at head: what is wrong with it, and the next step. */
function refusal({ describe }: DatabaseHandle, found: SchemaState): DatabaseError {
  const at = `The database at ${describe}`;
  const refuse = (
    kind: 'database_mismatch' | 'database_too_new' | 'database_too_old',
    message: string,
    hint: string,
  ) => new DatabaseError(kind, message, { hint });
  switch (found.state) {
    case 'foreign':
      return refuse(
        'database_mismatch',
        `${at} was made by another layout of losant-usage: its first migration is another one`,
        'make a new database, and collect what Losant still has with `losant-usage backfill`',
      );
    case 'edited':
      return refuse(
        'database_mismatch',
        `Migration ${found.edited.join(', ')} is not what was applied to the database at ${describe}`,
        'install the released files again: an applied migration is never changed',
      );
    case 'ahead':
      return refuse(
        'database_too_new',
        `${at} is newer than this program: it has ${found.unknown.join(', ')}`,
        'use the version of losant-usage that migrated it; `losant-usage migrate` only goes forward',
      );
    case 'behind':
      return refuse(
        'database_too_old',
        `${at} is older than this program: it lacks ${found.pending.join(', ')}`,
        MIGRATE,
      );
    default:
      return refuse('database_too_old', `${at} has no tables of losant-usage yet`, MIGRATE);
  }
}

function compare(files: readonly MigrationFile[], applied: ReadonlyMap<string, string>): SchemaState {
  const known = new Map(files.map((file) => [file.name, file.sha256]));
  const names = [...applied.keys()];
  const pending = [...known.keys()].filter((name) => !applied.has(name));
  const unknown = names.filter((name) => !known.has(name));
  const edited = names.filter((name) => known.has(name) && known.get(name) !== applied.get(name));
  const [first] = known.keys();
  const lists = { applied: names, pending, unknown, edited };
  if (names.length === 0) return { state: 'empty', ...lists };
  if (first === undefined || applied.get(first) !== known.get(first)) return { state: 'foreign', ...lists };
  if (edited.length > 0) return { state: 'edited', ...lists };
  if (unknown.length > 0) return { state: 'ahead', ...lists };
  return { state: pending.length > 0 ? 'behind' : 'at_head', ...lists };
}

/** Returns the checksums by file name, in order; empty if the table does not exist. */
async function readApplied(db: Kysely<Schema>): Promise<Map<string, string>> {
  // The catalog is read because `to_regclass` fails without rights on the schema, as it does without the schema.
  const table = await sql`
    select from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${SCHEMA_NAME} and c.relname = ${TABLE} and a.attname = 'name'`.execute(db);
  if (table.rows.length === 0) return new Map();
  const { rows } = await sql<{ name: string }>`
    select name from losant_usage.migrations order by name`.execute(db);
  return new Map(rows.map(({ name }) => [fileOf(name), name.split(' ')[1] ?? '']));
}

function fileOf(migrationName: string): string {
  return migrationName.split(' ')[0] as string;
}

interface MigrationFile {
  /** The file's name without `.sql`, `NNNN_name`. */
  readonly name: string;
  /** The checksum of the text with LF line ends, so that a checkout that converts them agrees. */
  readonly sha256: string;
  readonly statements: readonly string[];
}

/** The folder in the package's root, above `src` in a checkout and above `dist/src` where it is installed. */
const MIGRATIONS_FOLDER = join(dirname(findPackageJSON(import.meta.url) as string), 'migrations');

const FILE_NAME = /^(\d{4}_[a-z0-9_]+)\.sql$/;

/** Returns the program's migrations in order, and ignores other files. */
async function readMigrationFiles(folder: string): Promise<MigrationFile[]> {
  const names = (await readdir(folder)).toSorted().flatMap((file) => FILE_NAME.exec(file)?.[1] ?? []);
  return await Promise.all(
    names.map(async (name) => {
      const text = (await readFile(join(folder, `${name}.sql`), 'utf8')).replaceAll('\r\n', '\n');
      const sha256 = createHash('sha256').update(text).digest('hex');
      return { name, sha256, statements: splitStatements(text) };
    }),
  );
}

/** Matches a comment, a quoted text or name, a body in dollar quotes or of BEGIN ATOMIC, or the end of a statement. */
const TOKEN =
  /--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$[\s\S]*?\$\1\$|\bbegin atomic\b[\s\S]*?\nend(?=;)|;/gi;

/** Splits a text into statements, because PGlite takes one at a time in a transaction. */
function splitStatements(text: string): string[] {
  const ends = [...text.matchAll(TOKEN)].flatMap(({ 0: token, index }) => (token === ';' ? [index] : []));
  const starts = [0, ...ends.map((end) => end + 1)];
  return starts
    .map((start, index) => text.slice(start, ends[index] ?? text.length))
    .filter((part) => part.replaceAll(/--[^\n]*/g, '').trim() !== '');
}
