import { filterTracked } from '../database/write/tracking.ts';
import { LosantError, SettingsError } from '../errors.ts';
import type { InstanceContext } from '../export/context.ts';
import { getOrg } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import { isSelected } from '../usage/organization.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import type { ExportRequest } from './x-export-request.ts';

/** What is meant of one instance. */
export interface Scope {
  readonly instance: InstanceConfig;
  readonly streams: readonly string[];
  /** Null: all organizations that are configured. */
  readonly orgIds: readonly string[] | null;
}

/** The instances and streams that are meant. Throws SettingsError for an instance or stream that is not configured. */
export function chooseScopes(
  instances: readonly InstanceConfig[],
  { instance: instanceIds, stream: wanted }: Pick<ExportRequest, 'instance' | 'stream'>,
): Scope[] {
  const chosen = chooseInstances(instances, instanceIds).map((instance) => ({
    instance,
    streams: instance.streams.filter((stream) => wanted === null || wanted.includes(stream)),
    orgIds: null,
  }));
  const missing = wanted?.filter((stream) => !chosen.some(({ streams }) => streams.includes(stream))) ?? [];
  if (missing.length === 0) return chosen.filter(({ streams }) => streams.length > 0);
  const whose = chosen.map(({ instance }) => instance.instanceId).join(', ');
  const exported = streamNames.filter((name) =>
    chosen.some(({ instance }) => instance.streams.includes(name)),
  );
  throw new SettingsError(`--stream ${missing.join(', ')}: not exported from instance ${whose}`, {
    hint: `exported are ${exported.join(', ')}; there are ${streamNames.join(', ')} (setting STREAMS)`,
  });
}

/** Throws SettingsError for an instance that is not configured. */
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

/** An instance that is asked for organizations. */
export interface OrgSource {
  readonly scope: Scope;
  readonly context: InstanceContext;
  /** Whether its database has this program's tables. */
  readonly hasTables: boolean;
}

export interface FoundOrgs {
  /** Instances that have any of the organizations, each with its own. */
  readonly scopes: readonly Scope[];
  /** Instances that could not be asked, by id. */
  readonly failures: ReadonlyMap<string, unknown>;
}

/**
 * Finds which instance has which of the organizations: by the ledger, and by
 * asking Losant for those it does not know. Throws SettingsError for one that no
 * instance exports, unless an instance that might could not be asked.
 */
export async function findOrgs(
  sources: readonly OrgSource[],
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<FoundOrgs> {
  const found = new Map<Scope, Set<string>>();
  for (const { scope, context, hasTables } of sources) {
    const tracked = hasTables ? await filterTracked(context.db, context.instanceId, wanted) : [];
    found.set(scope, new Set(tracked));
  }
  const isFound = (orgId: string) => [...found.values()].some((orgIds) => orgIds.has(orgId));
  const failures = new Map<string, unknown>();
  for (const orgId of wanted.filter((each) => !isFound(each))) {
    for (const { scope, context } of sources) {
      try {
        if (await isExported(context, orgId, signal)) found.get(scope)?.add(orgId);
      } catch (error) {
        if (signal.aborted) throw error;
        failures.set(context.instanceId, error);
      }
    }
  }
  const unknown = wanted.filter((orgId) => !isFound(orgId));
  if (unknown.length > 0 && failures.size === 0) throw unknownOrgs(unknown, sources);
  const scopes = sources.map(({ scope }) => ({
    ...scope,
    orgIds: wanted.filter((orgId) => found.get(scope)?.has(orgId)),
  }));
  return { scopes: scopes.filter(({ orgIds }) => orgIds.length > 0), failures };
}

/** Whether Losant has the organization and the settings include it. Throws LosantError if Losant does not say. */
async function isExported(
  { client, instanceId, selection }: InstanceContext,
  orgId: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return isSelected(selection, await getOrg(client, { instanceId, orgId, signal }));
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return false;
    // It is there, though its attributes cannot be read: the run says so.
    if (error instanceof LosantError && error.kind === 'bad_body') return true;
    throw error;
  }
}

function unknownOrgs(orgIds: readonly string[], sources: readonly OrgSource[]): SettingsError {
  const whose = sources.map(({ context }) => context.instanceId);
  const from = whose.length === 1 ? `from instance ${whose[0]}` : `from any of ${whose.length} instances`;
  const what =
    orgIds.length === 1 ? 'not an organization that is exported' : 'not organizations that are exported';
  return new SettingsError(`--org ${orgIds.join(', ')}: ${what} ${from}`, {
    hint: 'check the id, and LOSANT_ORG_IDS, which says which organizations are exported',
  });
}
