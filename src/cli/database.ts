/** The database as commands use it: opened with what must hold of it, and the instances that are chosen in it. */
import { type BilledInstance, readBilledInstances } from '../billing/statements.ts';
import type { DatabaseHandle, Role } from '../database/handle.ts';
import { readSchemaState, requireSchema } from '../database/migrate.ts';
import { createDatabase, type DatabaseOptions } from '../database/open.ts';
import { DatabaseError, SettingsError } from '../errors.ts';
import { readAccess } from '../queries/access.ts';
import type { CommandContext } from './command.ts';

/** The number of connections: loading, planning, the lease and the heartbeat each take one at times. */
const POOL_SIZE = 4;

/** Opens the database as it is, whatever its schema, until the end of the block. */
export async function openDatabase(
  { config, logger, role }: CommandContext,
  options: Pick<DatabaseOptions, 'ifMissing' | 'statementTimeoutMs'> = {},
): Promise<DatabaseHandle & AsyncDisposable> {
  const { readDatabaseUrl: readUrl } = config;
  const usual = { readUrl, role, applicationName: 'losant-usage', poolSize: POOL_SIZE, logger };
  const handle = await createDatabase({ url: readUrl(), ...usual, ...options });
  return { ...handle, [Symbol.asyncDispose]: () => handle.close() };
}

interface SchemaOptions extends Pick<DatabaseOptions, 'statementTimeoutMs'> {
  readonly writes?: boolean;
  /** Whether it writes, also into an empty database, in which it creates the schema, or migrates it if it may. */
  readonly creates?: boolean;
}

/** Opens the database with this program's schema, until the end of the block. */
export async function openSchema(
  context: CommandContext,
  { writes = false, creates = false, ...bounds }: SchemaOptions = {},
): Promise<DatabaseHandle & AsyncDisposable> {
  const handle = await openDatabase(context, { ifMissing: creates ? 'create' : 'refuse', ...bounds });
  try {
    if (writes || creates) requireWritable(handle, context.role);
    const autoMigrate = creates && context.config.autoMigrate;
    const found = await readSchemaState(handle);
    if (creates && found.state === 'empty') await requireCreatable(handle);
    const applied = await requireSchema(handle, { createIfEmpty: creates, autoMigrate, found });
    for (const migration of applied) context.logger.info({ migration }, 'migration applied');
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Throws if the user may not create the tables, which do not exist yet. */
export async function requireCreatable({ db, describe }: DatabaseHandle): Promise<void> {
  const { user, mayCreate } = await readAccess(db);
  if (mayCreate) return;
  const message = `The tables do not exist yet in ${describe}, and the user ${user} may not create them`;
  const hint = 'run `losant-usage migrate` as the migrator, or grant create on the database';
  throw new DatabaseError('database_refused', message, { hint });
}

/**
 * Throws if the database is read-only. This is checked first, because a refused statement
 * does not show whether it was a reader's role or a standby.
 */
export function requireWritable(
  { describe, readOnly }: Pick<DatabaseHandle, 'describe' | 'readOnly'>,
  role: Role,
): void {
  if (readOnly === null) return;
  const { reason, user } = readOnly;
  const message = {
    user: `Transactions of the user ${user} on ${describe} only read`,
    standby: `The server of ${describe} is a standby, which only reads`,
    server: `Transactions on ${describe} only read, whoever begins them`,
  }[reason];
  if (reason === 'user') {
    const hint =
      user === role ? 'set default_transaction_read_only = off for this user' : `connect as ${role}`;
    throw new DatabaseError('database_refused', message, { hint });
  }
  throw new DatabaseError('database_failed', message, {
    hint: 'point DATABASE_URL at the primary; or see why at the server, e.g. a full disk',
  });
}

/** Returns the instances that a command judges: those of the settings, else all of the database. */
export async function chooseJudged(
  { config }: CommandContext,
  { db }: DatabaseHandle,
): Promise<readonly string[]> {
  const configured = config.instances.map(({ instanceId }) => instanceId);
  if (configured.length > 0) return configured;
  const known = await db.selectFrom('instances').select('instance_id').orderBy('instance_id').execute();
  return known.map(({ instance_id: id }) => id);
}

/** Returns those named, else those that are judged. Throws SettingsError for one that the database does not have. */
export async function chooseBilledInstances(
  context: CommandContext,
  handle: DatabaseHandle,
  wanted: readonly string[] | null,
): Promise<BilledInstance[]> {
  const known = await readBilledInstances(handle.db);
  const ids = wanted ?? (await chooseJudged(context, handle));
  const chosen = known.filter(({ instanceId }) => ids.includes(instanceId));
  const unknown = ids.filter((id) => !chosen.some(({ instanceId }) => instanceId === id));
  if (unknown.length === 0 && chosen.length > 0) return chosen;
  const what = unknown.length === 0 ? 'any instance' : `instance ${unknown.join(', ')}`;
  const has = `it has ${known.map(({ instanceId }) => instanceId).join(', ')}`;
  throw new SettingsError(`The database has nothing of ${what}`, {
    hint: known.length === 0 ? 'start with: losant-usage run' : has,
  });
}
