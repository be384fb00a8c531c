import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, requireSchema, type SchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { readClock } from '../export/context.ts';
import { type Access, readAccess } from '../queries/access.ts';
import { requireDatabaseUrl } from '../settings/config.ts';
import { type Encryption, encryptionOf, warnOfPlainText } from '../settings/database-url.ts';
import { CheckError, type Checks, type Finding } from './check-finding.ts';
import type { CommandContext } from './command.ts';
import { openDatabase } from './open-database.ts';

export interface CheckedDatabase {
  /** The handle, which its user closes; null if the database cannot be opened or does not exist yet. */
  readonly handle: DatabaseHandle | null;
  readonly isAtHead: boolean;
  /** Returns the time by the database's clock, or by this host's if that cannot be read. */
  readonly now: () => number;
}

const ENCRYPTIONS: Readonly<Record<Encryption, string>> = {
  verified: 'encrypted, certificate verified',
  unverified: 'encrypted, certificate not verified',
  none: 'not encrypted',
  local: 'not encrypted, on this machine',
};

/** Checks connection, version, schema, rights and clock. Reads only. */
export async function checkDatabase(context: CommandContext, checks: Checks): Promise<CheckedDatabase> {
  const nothing = { handle: null, isAtHead: false, now: context.hostNow };
  const url = requireDatabaseUrl(context.config);
  const folder = url.startsWith('embedded:') ? resolve(url.slice('embedded:'.length)) : null;
  // Opening would create it.
  if (folder !== null && !existsSync(join(folder, 'pgdata'))) {
    checks.add({ name: 'database', message: `${folder} has no embedded database yet: run creates it` });
    return nothing;
  }
  const { value: opened } = await checks.run('database', () => openAndDescribe(context, url));
  if (opened === undefined) return nothing;
  const { handle, access } = opened;
  const schema = await checks.run('schema', () => checkSchema(context, handle));
  await checks.run('rights', () => checkRights(handle, access, schema.value === 'empty'));
  const clock = await checks.run('clock.database', async () => {
    const value = await readClock(context, handle);
    return { message: `${showSkew(value() - context.hostNow())} this host's`, value };
  });
  return { handle, isAtHead: schema.value === 'at_head', now: clock.value ?? context.hostNow };
}

async function openAndDescribe(context: CommandContext, url: string) {
  const handle = await openDatabase(context);
  try {
    const access = await readAccess(handle.db);
    const encryption = encryptionOf(url);
    const server = `${handle.describe}, Postgres ${access.serverVersion}, user ${access.user}`;
    const hint = encryption === 'none' ? warnOfPlainText(url) : null;
    return { message: `${server}, ${ENCRYPTIONS[encryption]}`, hint, value: { handle, access } };
  } catch (error) {
    await handle.close();
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

/** Returns the difference between two clocks in words that precede the second one's name. */
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
    throw refuse(
      'it only reads',
      'point DATABASE_URL at the primary, with a user whose transactions may write',
    );
  }
  if (isEmpty && !mayCreate) {
    const hint = 'run `losant-usage migrate` as the migrator, or grant create on the database';
    throw refuse('the tables do not exist yet, and this user may not create them', hint);
  }
  if (missing.length > 0) {
    throw refuse(
      `it lacks ${missing.join(', ')}`,
      `grant to ${user} what is missing, in schema losant_usage`,
    );
  }
  return { message: isEmpty ? 'may create the tables' : 'may read and write every table that a run writes' };
}
