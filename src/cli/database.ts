/** The database of a command: opened with the required schema and rights. */
import { once } from 'node:events';
import type { DatabaseHandle, Role } from '../database/handle.ts';
import { migrateToHead, readPending, readSchemaState, requireSchema, SCHEMA_PROBLEMS } from '../database/migrate.ts';
import { createDatabase, type DatabaseOptions } from '../database/open.ts';
import { readAccess } from '../database/session.ts';
import { toRoleHint } from '../database/sqlstate.ts';
import { DatabaseError } from '../errors.ts';
import { count } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { flagOption } from './options.ts';

/** Loading, planning, the lease and its heartbeat can each need a connection at the same time. */
const POOL_SIZE = 4;

/** Opens the database whatever its schema; the end of the block closes it. */
export async function openDatabase(
  { config, logger, role }: CommandContext,
  options: Partial<DatabaseOptions> = {},
): Promise<DatabaseHandle> {
  const { readDatabaseUrl: readUrl } = config;
  const defaults = { readUrl, role, applicationName: 'losant-usage', poolSize: POOL_SIZE, logger };
  return await createDatabase({ url: readUrl(), ...defaults, ...options });
}

/** What a command does with the database, and what follows if there is no embedded one. */
const IF_MISSING = { reads: 'fail', writes: 'fail', creates: 'create', plans: 'stand_in' } as const;

/**
 * Opens the database with this program's schema; the end of the block closes it. A command that `creates` also writes:
 * it creates the schema in an empty database, or migrates it if AUTO_MIGRATE is set. One that `plans` only reads, and
 * accepts an empty or missing database. One that writes needs all privileges, or fails before it does anything.
 */
export async function openSchema(
  context: CommandContext,
  access: keyof typeof IF_MISSING = 'reads',
  bounds: Pick<DatabaseOptions, 'statementTimeoutMs'> = {},
): Promise<DatabaseHandle> {
  const { config, logger, role } = context;
  const isCreating = access === 'creates';
  const isWriting = isCreating || access === 'writes';
  await using closing = new AsyncDisposableStack();
  const handle = closing.use(await openDatabase(context, { ifMissing: IF_MISSING[access], ...bounds }));
  if (isWriting) requireWritable(handle, role);
  const schemaState = await readSchemaState(handle);
  const { state } = schemaState;
  if (isCreating && (state === 'empty' || (state === 'behind' && config.autoMigrate))) {
    await requireMigratable(handle, state);
    const applied = await migrateToHead(handle);
    for (const migration of applied) logger.info({ migration }, 'migration applied');
  } else if (access !== 'plans' || state !== 'empty') {
    await requireSchema(handle, schemaState);
  }
  if (isWriting) await requirePrivileges(handle, role);
  closing.move();
  return handle;
}

/** Throws DatabaseError if the user may not create the tables, which do not exist yet, or migrate those that do. */
export async function requireMigratable({ db, label }: DatabaseHandle, state: 'empty' | 'behind'): Promise<void> {
  const { user, mayCreate } = await readAccess(db);
  if (mayCreate) return;
  const [problem, deniedAction] =
    state === 'empty' ? ['has no tables yet', 'create them'] : [SCHEMA_PROBLEMS.behind, 'migrate it'];
  const message = `${label} ${problem}, and user ${user} is not allowed to ${deniedAction}`;
  const hint = 'run `losant-usage migrate` as losant_usage_migrator, a role of deploy/postgres/roles.sql';
  throw new DatabaseError('database_rejected', message, { hint });
}

/** Returns the user with the server's version. Throws DatabaseError if the user lacks a privilege on a table. */
export async function requirePrivileges({ db }: DatabaseHandle, role: Role): Promise<string> {
  const { serverVersion, user, missing } = await readAccess(db);
  const subject = `User ${user} (Postgres ${serverVersion})`;
  if (missing.length === 0) return subject;
  throw new DatabaseError('database_rejected', `${subject} lacks these privileges: ${missing.join(', ')}`, {
    hint: toRoleHint(role),
  });
}

/** Checked up front, because the error of a statement does not tell a reader's role from a standby. */
export function requireWritable({ label, readOnly }: Pick<DatabaseHandle, 'label' | 'readOnly'>, role: Role): void {
  if (readOnly === null) return;
  const { reason, user } = readOnly;
  const message = {
    user: `User ${user} is read-only on ${label}`,
    standby: `${label} is a standby and accepts no writes`,
    server: `${label} is read-only for every user`,
  }[reason];
  if (reason === 'user') {
    const hint = user === role ? 'set default_transaction_read_only = off for this user' : `connect as ${role}`;
    throw new DatabaseError('database_rejected', message, { hint });
  }
  throw new DatabaseError('database_failed', message, {
    hint: 'point DATABASE_URL at the primary, or find out why the server is read-only (for example, a full disk)',
  });
}

export const migrate = defineCommand({
  needs: ['database'],
  role: 'losant_usage_migrator',
  options: { dryRun: flagOption('list pending migrations without applying them') },
  async run(context, { dryRun }) {
    await using handle = await openDatabase(context, { ifMissing: dryRun ? 'stand_in' : 'create' });
    if (!dryRun) requireWritable(handle, context.role);
    const { signal } = context;
    signal.throwIfAborted();
    // A migration may wait minutes for a lock. The end of the process ends its session, and so undoes the transaction.
    const interruption = once(signal, 'abort').then((): never => {
      throw signal.reason;
    });
    const names = dryRun ? await readPending(handle) : await Promise.race([migrateToHead(handle), interruption]);
    const document = dryRun ? { pending: names } : { applied: names };
    if (names.length === 0) return { document, lines: [`The database at ${handle.label} is up to date.`] };
    const head = `${count(names.length, 'migration')} ${dryRun ? 'pending for' : 'applied to'} ${handle.label}:`;
    return { document, lines: [head, ...names.map((name) => `  ${name}`)] };
  },
});
