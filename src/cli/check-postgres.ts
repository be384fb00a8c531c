import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import type { DatabaseHandle } from '../database/open.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { readClock } from '../export/context.ts';
import { type Access, readAccess } from '../queries/access.ts';
import { requireDatabaseUrl } from '../settings/config.ts';
import { type Encryption, encryptionOf, warnOfPlainText } from '../settings/database-url.ts';
import { CheckError, type CheckList, type Finding } from './check-list.ts';
import type { CommandContext } from './command.ts';
import { openDatabase } from './open-database.ts';

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
export async function checkDatabase(context: CommandContext, list: CheckList): Promise<CheckedDatabase> {
  const nothing = { handle: null, isAtHead: false, now: context.hostNow };
  const url = requireDatabaseUrl(context.config);
  const folder = url.startsWith('embedded:') ? resolve(url.slice('embedded:'.length)) : null;
  // Opening would create it.
  if (folder !== null && !existsSync(join(folder, 'pgdata'))) {
    list.note('database', { message: `${folder} has no embedded database yet: run creates it` });
    return nothing;
  }
  const opened = await list.run('database', async () => {
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
  if (!opened.ok) return nothing;
  const { handle, access } = opened.value;
  const schema = await list.run('schema', () => checkSchema(context, handle));
  const isEmpty = schema.ok && schema.value === 'empty';
  await list.run('rights', () => Promise.resolve(checkRights(handle, access, isEmpty)));
  const clock = await list.run('clock.database', async () => {
    const value = await readClock(context, handle);
    const aheadMs = value() - context.hostNow();
    return { message: `${showSkew(aheadMs)} this host's`, value };
  });
  const isAtHead = schema.ok && schema.value === 'at_head';
  return { handle, isAtHead, now: clock.ok ? clock.value : context.hostNow };
}

/** `showSkew` returns the difference between two clocks in words that precede the second one's name. */
export function showSkew(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  // The Date header of an answer has whole seconds.
  if (seconds <= 1) return 'within a second of';
  return `${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`;
}

/** `findMissingFolder` returns the folder of an embedded database that opening would create, or null. */
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
): Finding<null> {
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
  const message = isEmpty ? 'may create the tables' : 'may read and write every table that a run writes';
  return { message, value: null };
}
