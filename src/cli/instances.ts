import { type BilledInstance, readBilledInstances } from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { CommandContext } from './command.ts';

type WithConfig = Pick<CommandContext, 'config'>;

/** Returns those named, else those of the settings, else all of the database. */
export async function chooseBilledInstances(
  { config }: WithConfig,
  { db }: DatabaseHandle,
  wanted: readonly string[] | null,
): Promise<BilledInstance[]> {
  const known = await readBilledInstances(db);
  const configured = config.instances.map(({ instanceId }) => instanceId);
  const ids = wanted ?? (configured.length > 0 ? configured : null);
  requireKnown(ids ?? [], new Set(known.map(({ instanceId }) => instanceId)));
  if (known.length === 0) throw nothingOf('any instance', []);
  return ids === null ? known : known.filter(({ instanceId }) => ids.includes(instanceId));
}

/**
 * Returns the instances that a command judges: those named, else those of the settings. Where the settings describe
 * none, as a reader's do, all of the database. Throws SettingsError for a named one of which the database has nothing.
 */
export async function chooseJudged(
  { config }: WithConfig,
  { db }: DatabaseHandle,
  wanted: readonly string[] | null = null,
): Promise<readonly string[]> {
  const known = new Set((await readInstanceNames(db)).keys());
  requireKnown(wanted ?? [], known);
  const configured = config.instances.map(({ instanceId }) => instanceId);
  return wanted ?? (configured.length > 0 ? configured : [...known]);
}

function requireKnown(asked: readonly string[], known: ReadonlySet<string>): void {
  const unknown = asked.filter((id) => !known.has(id));
  if (unknown.length > 0) throw nothingOf(`instance ${unknown.join(', ')}`, [...known]);
}

function nothingOf(what: string, known: readonly string[]): SettingsError {
  return new SettingsError(`The database has nothing of ${what}`, {
    hint: known.length === 0 ? 'start with: losant-usage run' : `it has ${known.join(', ')}`,
  });
}

/** Returns those named, or all. Throws SettingsError for one that is not in the settings. */
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

/** Returns the instances of organizations by their ids, without those that were never seen. */
export async function readInstancesOf(
  db: DatabaseHandle['db'],
  orgIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await db
    .selectFrom('organizations')
    .select(['org_id', 'instance_id'])
    .where('org_id', 'in', orgIds)
    .execute();
  return new Map(rows.map(({ org_id, instance_id }) => [org_id, instance_id]));
}
