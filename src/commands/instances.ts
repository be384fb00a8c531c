import type { DatabaseHandle } from '../database/connect/handle.ts';
import { type BilledInstance, readBilledInstances } from '../database/read/statements.ts';
import { SettingsError } from '../errors.ts';
import type { CommandContext } from './command.ts';

/**
 * The instances that are meant: those that are named, else those of the settings, else all this
 * database collects for. Throws SettingsError for one that it does not.
 */
export async function chooseBilledInstances(
  { config }: Pick<CommandContext, 'config'>,
  { db, describe }: DatabaseHandle,
  wanted: readonly string[] | null,
): Promise<BilledInstance[]> {
  const known = await readBilledInstances(db);
  const configured = config.instances.map(({ instanceId }) => instanceId);
  const ids = wanted ?? (configured.length > 0 ? configured : null);
  const unknown = ids?.filter((id) => !known.some(({ instanceId }) => instanceId === id)) ?? [];
  const shown = known.map(({ instanceId }) => instanceId).join(', ');
  if (unknown.length > 0 || known.length === 0) {
    const what = unknown.length > 0 ? `Instance ${unknown.join(', ')}` : 'Any instance';
    throw new SettingsError(`${what} is not known to the database ${describe}`, {
      hint: shown === '' ? 'start with: losant-usage run' : `it collects for ${shown}`,
    });
  }
  return ids === null ? known : known.filter(({ instanceId }) => ids.includes(instanceId));
}
