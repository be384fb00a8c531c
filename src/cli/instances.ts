import { type BilledInstance, readBilledInstances } from '../billing/month.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { CommandContext } from './command.ts';

/** `chooseBilledInstances` returns those named, else those of the settings, else all of the database. */
export async function chooseBilledInstances(
  { config }: Pick<CommandContext, 'config'>,
  { db }: DatabaseHandle,
  wanted: readonly string[] | null,
): Promise<BilledInstance[]> {
  const known = await readBilledInstances(db);
  const configured = config.instances.map(({ instanceId }) => instanceId);
  const ids = wanted ?? (configured.length > 0 ? configured : null);
  requireKnownInstances(
    ids ?? [],
    known.map(({ instanceId }) => instanceId),
  );
  if (known.length === 0) throw nothingOf('any instance', []);
  return ids === null ? known : known.filter(({ instanceId }) => ids.includes(instanceId));
}

/** `requireKnownInstances` throws SettingsError for instances without any data in this database. */
export function requireKnownInstances(asked: readonly string[], known: readonly string[]): void {
  const unknown = asked.filter((id) => !known.includes(id));
  if (unknown.length > 0) throw nothingOf(`instance ${unknown.join(', ')}`, known);
}

function nothingOf(what: string, known: readonly string[]): SettingsError {
  return new SettingsError(`The database has nothing of ${what}`, {
    hint: known.length === 0 ? 'start with: losant-usage run' : `it has ${known.join(', ')}`,
  });
}

/** `chooseInstances` returns those named, or all. Throws SettingsError for one that is not configured. */
export function chooseInstances(
  instances: readonly InstanceConfig[],
  wanted: readonly string[] | null,
): readonly InstanceConfig[] {
  if (wanted === null) return instances;
  const unknown = wanted.filter((id) => !instances.some(({ instanceId }) => instanceId === id));
  if (unknown.length === 0) return instances.filter(({ instanceId }) => wanted.includes(instanceId));
  throw new SettingsError(`--instance ${unknown.join(', ')}: not an instance of the settings`, {
    hint: `configured are ${instances.map(({ instanceId }) => instanceId).join(', ')}`,
  });
}
