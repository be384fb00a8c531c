import type { DatabaseHandle } from '../database/connect/open.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import type { CommandContext } from './command.ts';
import { openSchema } from './open.ts';

/** Opens the database for a command that creates nothing in it, and closes it whatever happens. */
export async function withDatabase<T>(
  context: CommandContext,
  work: (handle: DatabaseHandle) => Promise<T>,
): Promise<T> {
  const handle = await openSchema(context, { createIfEmpty: false });
  try {
    return await work(handle);
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  } finally {
    await handle.close();
  }
}
