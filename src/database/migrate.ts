/**
 * Brings a database to this program's schema. `losant_usage.migrations` records the migrations applied
 * with the checksum of each file, and `losant_usage.definitions` the definitions they made: both can
 * be compared without writing.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import type { Schema } from './schema.ts';
import { describeDatabaseError, isUndefined } from './sqlstate.ts';

export interface SchemaState {
  /**
   * `ahead`: it has migrations that this program does not know. `edited`: a file was changed after it
   * was applied, so the database differs from its text. `damaged`: at head, but something was dropped,
   * disabled or replaced since. `foreign`: it was made by other migrations from the first one on, e.g.
   * before the first release.
   */
  readonly state: 'empty' | 'at_head' | 'behind' | 'ahead' | 'edited' | 'damaged' | 'foreign';
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  readonly unknown: readonly string[];
  readonly edited: readonly string[];
  /** The names of what was dropped, disabled or replaced since it was migrated. */
  readonly changed: readonly string[];
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

/** Any fixed number that differs from other programs' locks in the same database. */
const LOCK_KEY = 7_038_201_126;
const LOCK_WAIT_MS = 600_000;

/**
 * `migrateToHead` applies all pending migrations in one transaction and returns their names. If two processes
 * do this at once, one applies them and the other waits and returns none. Throws DatabaseError if the
 * database is ahead or edited, or refuses.
 */
export async function migrateToHead(handle: DatabaseHandle, options: MigrateOptions = {}): Promise<string[]> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  try {
    return await handle.runLong((db) =>
      db.transaction().execute(async (trx) => {
        await lock(trx);
        const found = compare(files, await readApplied(trx));
        requireMigratable(handle, await withDefinitions(trx, found));
        for (const file of files) if (found.pending.includes(file.name)) await applyFile(trx, file);
        return [...found.pending];
      }),
    );
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/** `readSchemaState` compares the database with the program's files. Reads only. */
export async function readSchemaState(
  handle: DatabaseHandle,
  options: MigrateOptions = {},
): Promise<SchemaState> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  try {
    return await withDefinitions(handle.db, compare(files, await readApplied(handle.db)));
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/**
 * `requireSchema` returns once the schema is this program's, migrating if the options allow, with the names
 * of the migrations applied. Throws DatabaseError `database_too_old`, `database_too_new` or, for an edited
 * migration, `database_mismatch`.
 */
export async function requireSchema(handle: DatabaseHandle, options: RequireOptions): Promise<string[]> {
  const { found = await readSchemaState(handle, options) } = options;
  if (found.state === 'at_head') return [];
  const mayMigrate =
    (found.state === 'empty' && options.createIfEmpty) || (found.state === 'behind' && options.autoMigrate);
  if (mayMigrate) return await migrateToHead(handle, options);
  throw refusal(handle, found);
}

/**
 * `readPending` returns the names of the migrations that are to be applied. Throws DatabaseError as
 * `migrateToHead` does.
 */
export async function readPending(
  handle: DatabaseHandle,
  options: MigrateOptions = {},
): Promise<readonly string[]> {
  const found = await readSchemaState(handle, options);
  requireMigratable(handle, found);
  return found.pending;
}

function requireMigratable(handle: DatabaseHandle, found: SchemaState): void {
  if (['ahead', 'edited', 'damaged', 'foreign'].includes(found.state)) throw refusal(handle, found);
}

function refusal({ describe }: DatabaseHandle, found: SchemaState): DatabaseError {
  if (found.state === 'foreign') {
    const message = `The database at ${describe} was made by a version before the first release: its first migration is another one`;
    return new DatabaseError('database_mismatch', message, {
      hint: 'make a new database, point DATABASE_URL at it, and collect what Losant still has with `losant-usage backfill`',
    });
  }
  if (found.state === 'edited') {
    const message = `Migration ${found.edited.join(', ')} is not what was applied to the database at ${describe}`;
    return new DatabaseError('database_mismatch', message, {
      hint: 'install the released files again: an applied migration is never changed',
    });
  }
  if (found.state === 'ahead') {
    const message = `The database at ${describe} is newer than this program: it has ${found.unknown.join(', ')}`;
    return new DatabaseError('database_too_new', message, {
      hint: 'use the version of losant-usage that migrated it; `losant-usage migrate` only goes forward',
    });
  }
  if (found.state === 'damaged') {
    const shown = found.changed.slice(0, 5).join(', ');
    const more = found.changed.length > 5 ? ` and ${found.changed.length - 5} more` : '';
    const message = `The database at ${describe} is not as it was migrated: ${shown}${more}`;
    return new DatabaseError('database_mismatch', message, {
      hint: 'somebody dropped, disabled or replaced it: restore it from a backup, or from the files in migrations/',
    });
  }
  const message =
    found.state === 'empty'
      ? `The database at ${describe} has no tables of losant-usage yet`
      : `The database at ${describe} is older than this program: it lacks ${found.pending.join(', ')}`;
  return new DatabaseError('database_too_old', message, { hint: 'run `losant-usage migrate`' });
}

function compare(files: readonly MigrationFile[], applied: ReadonlyMap<string, string>): SchemaState {
  const known = new Map(files.map((file) => [file.name, file.sha256]));
  const names = [...applied.keys()];
  const pending = [...known.keys()].filter((name) => !applied.has(name));
  const unknown = names.filter((name) => !known.has(name));
  const edited = names.filter((name) => known.has(name) && known.get(name) !== applied.get(name));
  const [first] = known.keys();
  const lists = { applied: names, pending, unknown, edited, changed: [] };
  if (names.length > 0 && first !== undefined && !applied.has(first)) return { state: 'foreign', ...lists };
  if (edited.length > 0) return { state: 'edited', ...lists };
  if (unknown.length > 0) return { state: 'ahead', ...lists };
  if (names.length === 0) return { state: 'empty', ...lists };
  return { state: pending.length > 0 ? 'behind' : 'at_head', ...lists };
}

async function withDefinitions(db: Kysely<Schema>, found: SchemaState): Promise<SchemaState> {
  if (found.state !== 'at_head') return found;
  const changed = await readChanged(db);
  return changed.length === 0 ? found : { ...found, state: 'damaged', changed };
}

async function readChanged(db: Kysely<Schema>): Promise<string[]> {
  try {
    const { rows } = await sql<{ object: string }>`
      select object from losant_usage.changed_definitions() as object`.execute(db);
    return rows.map(({ object }) => object);
  } catch (error) {
    if (isUndefined(error)) return ['function losant_usage.changed_definitions()'];
    throw error;
  }
}

/** `readApplied` returns the checksums by name, in order; empty if the table does not exist. */
async function readApplied(db: Kysely<Schema>): Promise<Map<string, string>> {
  // The catalog is read because `to_regclass` fails without rights on the schema, as it does without the
  // schema.
  const table = await sql`
    select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = ${SCHEMA_NAME} and relname = 'migrations'`.execute(db);
  if (table.rows.length === 0) return new Map();
  const { rows } = await sql<{ name: string; sha256: string }>`
    select name, sha256 from losant_usage.migrations order by name`.execute(db);
  return new Map(rows.map((row) => [row.name, row.sha256]));
}

/** `lock` takes a lock of the transaction, which works through any pooler and cannot be left behind. */
async function lock(trx: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ usual: string }>`select current_setting('lock_timeout') as usual`.execute(trx);
  await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}`}, true)`.execute(trx);
  await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(trx);
  // Altering a table in use queues its writers behind it, so the wait for its lock is shorter.
  await sql`select set_config('lock_timeout', ${rows[0]?.usual}::text, true)`.execute(trx);
}

async function applyFile(db: Kysely<Schema>, { name, sha256, statements }: MigrationFile): Promise<void> {
  for (const [index, statement] of statements.entries()) {
    try {
      await sql.raw(statement).execute(db);
    } catch (error) {
      // Rights and connection are the operator's concern and reported as such; any other error is about this
      // file.
      if (!(error instanceof Error) || describeDatabaseError(error, '') !== null) throw error;
      throw new Error(`Migration ${name}, statement ${index + 1}: ${error.message}`, { cause: error });
    }
  }
  await sql`insert into losant_usage.migrations (name, sha256) values (${name}, ${sha256})`.execute(db);
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

/** `readMigrationFiles` returns the program's migrations in order, and ignores other files. */
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

/** Matches a comment, a quoted text or name, a dollar-quoted body, or the end of a statement. */
const TOKEN = /--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$[\s\S]*?\$\1\$|;/g;

/** `splitStatements` splits a text into statements, because PGlite takes one at a time in a transaction. */
function splitStatements(text: string): string[] {
  const ends = [...text.matchAll(TOKEN)].flatMap(({ 0: token, index }) => (token === ';' ? [index] : []));
  const starts = [0, ...ends.map((end) => end + 1)];
  return starts
    .map((start, index) => text.slice(start, ends[index] ?? text.length))
    .filter((part) => part.replaceAll(/--[^\n]*/g, '').trim() !== '');
}
