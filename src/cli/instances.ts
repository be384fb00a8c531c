import { type BilledInstance, readBilledInstances } from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { CommandContext } from './command.ts';

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
  if (unknown.length > 0 || chosen.length === 0) throw nothingOf(unknown, known);
  return chosen;
}

function nothingOf(unknown: readonly string[], known: readonly BilledInstance[]): SettingsError {
  const what = unknown.length === 0 ? 'any instance' : `instance ${unknown.join(', ')}`;
  return new SettingsError(`The database has nothing of ${what}`, {
    hint:
      known.length === 0
        ? 'start with: losant-usage run'
        : `it has ${known.map(({ instanceId }) => instanceId).join(', ')}`,
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
