/**
 * Brings a database to this program's schema. What was applied is on record in
 * `losant_usage.migrations` with the checksum of each file; only that table is
 * read to tell a database's state, so a reader may do it.
 */
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import { MIGRATIONS_FOLDER, type MigrationFile, readMigrationFiles } from './migration-files.ts';
import type { Schema } from './schema.ts';
import { describeDatabaseError } from './sqlstate.ts';

export interface SchemaState {
  /**
   * `ahead`: it has migrations this program does not know. `edited`: a file was
   * changed after it was applied, so what the database holds is not what it says.
   * `damaged`: at head, but something was dropped or disabled since.
   */
  readonly state: 'empty' | 'at_head' | 'behind' | 'ahead' | 'edited' | 'damaged';
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  readonly unknown: readonly string[];
  readonly edited: readonly string[];
  /** What the schema consisted of when it was migrated and has no more, in words. */
  readonly missing: readonly string[];
}

export interface MigrateOptions {
  /** Where the `.sql` files are; the program's own unless told. */
  readonly folder?: string | undefined;
}

export interface RequireOptions extends MigrateOptions {
  readonly createIfEmpty: boolean;
  readonly autoMigrate: boolean;
}

/** Any fixed number: it only has to differ from other programs' locks in the same database. */
const LOCK_KEY = 7_038_201_126;
const LOCK_WAIT_MS = 600_000;

/**
 * Applies all pending migrations, in one transaction, and returns their names. Of
 * two processes doing this at once, one applies and the other waits and returns
 * none. Throws DatabaseError if the database is ahead or edited, or refuses.
 */
export async function migrateToHead(handle: DatabaseHandle, options: MigrateOptions = {}): Promise<string[]> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  try {
    return await handle.runLong((db) =>
      db.transaction().execute(async (trx) => {
        await lock(trx);
        const found = compare(files, await readApplied(trx));
        const state = await withObjects(trx, found);
        if (['ahead', 'edited', 'damaged'].includes(state.state)) throw refusal(handle, state);
        for (const file of files) if (found.pending.includes(file.name)) await applyFile(trx, file);
        return [...found.pending];
      }),
    );
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/** Compares the database with the program's files. Reads only. */
export async function readSchemaState(
  handle: DatabaseHandle,
  options: MigrateOptions = {},
): Promise<SchemaState> {
  const files = await readMigrationFiles(options.folder ?? MIGRATIONS_FOLDER);
  try {
    return await withObjects(handle.db, compare(files, await readApplied(handle.db)));
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/**
 * Returns once the schema is this program's, migrating where the options allow,
 * with the names it applied. Throws DatabaseError `database_too_old`,
 * `database_too_new` or, for an edited migration, `database_mismatch`.
 */
export async function requireSchema(handle: DatabaseHandle, options: RequireOptions): Promise<string[]> {
  const found = await readSchemaState(handle, options);
  if (found.state === 'at_head') return [];
  const mayMigrate =
    (found.state === 'empty' && options.createIfEmpty) || (found.state === 'behind' && options.autoMigrate);
  if (mayMigrate) return await migrateToHead(handle, options);
  throw refusal(handle, found);
}

function refusal({ describe }: DatabaseHandle, found: SchemaState): DatabaseError {
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
    const shown = found.missing.slice(0, 5).join(', ');
    const more = found.missing.length > 5 ? ` and ${found.missing.length - 5} more` : '';
    return new DatabaseError('database_mismatch', `The database at ${describe} lacks ${shown}${more}`, {
      hint: 'somebody dropped or disabled it: restore it from a backup, or by the files in migrations/',
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
  const state = stateOf({ names, pending, unknown, edited });
  return { state, applied: names, pending, unknown, edited, missing: [] };
}

/** A schema at head, looked at for what was dropped since. */
async function withObjects(db: Kysely<Schema>, found: SchemaState): Promise<SchemaState> {
  if (found.state !== 'at_head') return found;
  const table = await sql`
    select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = ${SCHEMA_NAME} and relname = 'objects'`.execute(db);
  if (table.rows.length === 0) return found;
  const { rows } = await sql<{ object: string }>`
    select object from losant_usage.objects except select * from losant_usage.list_objects()
    order by object`.execute(db);
  const missing = rows.map(({ object }) => object);
  return missing.length === 0 ? found : { ...found, state: 'damaged', missing };
}

function stateOf(lists: Record<'names' | 'pending' | 'unknown' | 'edited', string[]>): SchemaState['state'] {
  if (lists.edited.length > 0) return 'edited';
  if (lists.unknown.length > 0) return 'ahead';
  if (lists.names.length === 0) return 'empty';
  return lists.pending.length > 0 ? 'behind' : 'at_head';
}

/** Name to checksum, in order; empty when the table is not there. */
async function readApplied(db: Kysely<Schema>): Promise<Map<string, string>> {
  // By the catalog: `to_regclass` fails without rights on the schema, as it does when there is none.
  const table = await sql`
    select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = ${SCHEMA_NAME} and relname = 'migrations'`.execute(db);
  if (table.rows.length === 0) return new Map();
  const { rows } = await sql<{ name: string; sha256: string }>`
    select name, sha256 from losant_usage.migrations order by name`.execute(db);
  return new Map(rows.map((row) => [row.name, row.sha256]));
}

/** A lock of the transaction: unlike a session's it works through any pooler, and can't be left behind. */
async function lock(trx: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ usual: string }>`select current_setting('lock_timeout') as usual`.execute(trx);
  await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}`}, true)`.execute(trx);
  await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(trx);
  // Altering a table in use queues up its writers behind it: not for as long as that.
  await sql`select set_config('lock_timeout', ${rows[0]?.usual}::text, true)`.execute(trx);
}

async function applyFile(db: Kysely<Schema>, { name, sha256, statements }: MigrationFile): Promise<void> {
  for (const [index, statement] of statements.entries()) {
    try {
      await sql.raw(statement).execute(db);
    } catch (error) {
      // Rights and connection are the operator's matter and told as such; anything else is this file's.
      if (!(error instanceof Error) || describeDatabaseError(error, '') !== null) throw error;
      throw new Error(`Migration ${name}, statement ${index + 1}: ${error.message}`, { cause: error });
    }
  }
  await sql`insert into losant_usage.migrations (name, sha256) values (${name}, ${sha256})`.execute(db);
}
