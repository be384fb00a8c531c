import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, ExportError } from '../errors.ts';
import { readClock } from '../export/context.ts';
import { type Access, readAccess } from '../queries/access.ts';
import { requireDatabaseUrl } from '../settings/config.ts';
import { type Encryption, encryptionOf, warnOfPlainText } from '../settings/kinds.ts';
import type { CommandContext } from './command.ts';
import { openDatabase } from './open-database.ts';

/** The result of a check that went well. */
export interface Finding<T = unknown> {
  readonly message: string;
  /** Something to look at. */
  readonly hint?: string | null;
  /** The value for later checks. */
  readonly value?: T;
}

export interface Check<T = unknown> extends Finding<T> {
  /** The thing checked. For a question to Losant it is the action, which is also the name of its scope. */
  readonly name: string;
  /** The operator's next step; without an error, something to look at. */
  readonly hint: string | null;
  /** The reason why the check failed; null if it did not. */
  readonly error: unknown;
}

/** Something is wrong although no call failed. */
export class CheckError extends ExportError {
  override readonly name = 'CheckError';
  readonly kind: 'database_refused' | 'invalid';

  constructor(kind: CheckError['kind'], message: string, hint: string) {
    super(message, { hint });
    this.kind = kind;
  }
}

/** `runCheck` returns the finding or the failure of `work`. Throws only the signal's reason, when interrupted. */
export async function runCheck<T>(
  name: string,
  signal: AbortSignal,
  work: () => Promise<Finding<T>>,
): Promise<Check<T>> {
  try {
    return { hint: null, ...(await work()), name, error: null };
  } catch (error) {
    signal.throwIfAborted();
    const { message, hint } = describeError(error);
    return { name, message, hint, error };
  }
}

/** The context of the command, and where each check goes as soon as it is done. */
export interface CheckContext extends CommandContext {
  readonly add: (check: Check) => void;
  /** `check` runs a check and adds it. */
  readonly check: <T>(name: string, work: () => Promise<Finding<T>>) => Promise<Check<T>>;
}

export interface CheckedDatabase {
  /** The handle, which its user closes; null if the database cannot be opened or does not exist yet. */
  readonly handle: DatabaseHandle | null;
  readonly isAtHead: boolean;
  /** `now` returns the time by the database's clock, or by this host's if that cannot be read. */
  readonly now: () => number;
}

const ENCRYPTIONS: Readonly<Record<Encryption, string>> = {
  verified: 'encrypted, certificate verified',
  unverified: 'encrypted, certificate not verified',
  none: 'not encrypted',
  local: 'not encrypted, on this machine',
};

/** `checkDatabase` checks connection, version, schema, rights and clock. Reads only. */
export async function checkDatabase(context: CheckContext): Promise<CheckedDatabase> {
  const nothing = { handle: null, isAtHead: false, now: context.hostNow };
  const url = requireDatabaseUrl(context.config);
  const folder = url.startsWith('embedded:') ? resolve(url.slice('embedded:'.length)) : null;
  // Opening would create it.
  if (folder !== null && !existsSync(join(folder, 'pgdata'))) {
    const message = `${folder} has no embedded database yet: run creates it`;
    await context.check('database', () => Promise.resolve({ message }));
    return nothing;
  }
  const opened = await context.check('database', async () => {
    const handle = await openDatabase(context);
    try {
      const access = await readAccess(handle.db);
      const encryption = encryptionOf(url);
      const message = `${handle.describe}, Postgres ${access.serverVersion}, user ${access.user}, ${ENCRYPTIONS[encryption]}`;
      const hint = encryption === 'none' ? warnOfPlainText(url) : null;
      return { message, hint, value: { handle, access } };
    } catch (error) {
      await handle.close();
      throw describeDatabaseError(error, handle.describe) ?? error;
    }
  });
  if (opened.value === undefined) return nothing;
  const { handle, access } = opened.value;
  const schema = await context.check('schema', () => checkSchema(context, handle));
  await context.check('rights', () => Promise.resolve(checkRights(handle, access, schema.value === 'empty')));
  const clock = await context.check('clock.database', async () => {
    const value = await readClock(context, handle);
    const aheadMs = value() - context.hostNow();
    return { message: `${showSkew(aheadMs)} this host's`, value };
  });
  return { handle, isAtHead: schema.value === 'at_head', now: clock.value ?? context.hostNow };
}

/** `showSkew` returns the difference between two clocks in words that precede the second one's name. */
export function showSkew(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  // The Date header of an answer has whole seconds.
  if (seconds <= 1) return 'within a second of';
  return `${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`;
}

async function checkSchema(
  { config }: CommandContext,
  handle: DatabaseHandle,
): Promise<Finding<SchemaState['state']>> {
  const { state, applied, pending } = await readSchemaState(handle);
  if (state === 'empty') return { message: 'no tables yet: run creates them', value: state };
  if (state === 'behind' && config.autoMigrate) {
    const message = `${pending.join(', ')} not applied yet: the next run does it, as AUTO_MIGRATE is true`;
    return { message, value: state };
  }
  await requireSchema(handle, { createIfEmpty: false, autoMigrate: false });
  return { message: `at ${applied.at(-1)}, as this program`, value: state };
}

function checkRights(
  { describe }: DatabaseHandle,
  { user, isReadOnly, mayCreate, missing }: Access,
  isEmpty: boolean,
): Finding {
  const refuse = (what: string, hint: string) =>
    new CheckError('database_refused', `The user ${user} may not write to ${describe}: ${what}`, hint);
  if (isReadOnly) {
    const hint = 'point DATABASE_URL at the primary, with a user whose transactions may write';
    throw refuse('it only reads', hint);
  }
  if (isEmpty && !mayCreate) {
    const hint = 'run `losant-usage migrate` as the migrator, or grant create on the database';
    throw refuse('the tables do not exist yet, and this user may not create them', hint);
  }
  if (missing.length > 0) {
    const hint = `grant to ${user} what is missing, in schema losant_usage`;
    throw refuse(`it lacks ${missing.join(', ')}`, hint);
  }
  return { message: isEmpty ? 'may create the tables' : 'may read and write every table that a run writes' };
}
