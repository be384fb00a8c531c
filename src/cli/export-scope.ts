import type { DatabaseHandle } from '../database/handle.ts';
import { LosantError, SettingsError } from '../errors.ts';
import { type Gates, type InstanceContext, openInstance } from '../export/context.ts';
import type { RunKind } from '../ledger/runs.ts';
import { filterTracked } from '../ledger/tracking.ts';
import { getOrg } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { isSelected } from '../usage/organization.ts';
import type { Ask } from '../usage/plan.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import type { CommandContext } from './command.ts';
import type { exportOptions } from './export-options.ts';
import { chooseInstances } from './instances.ts';
import type { OptionValues } from './options.ts';

export interface ExportRequest extends OptionValues<typeof exportOptions> {
  readonly kind: Exclude<RunKind, 'scheduled'>;
  /** The days asked for; undefined for everything that is due. */
  readonly ask?: Ask;
  /** The requests per second instead of the configured rate. */
  readonly rate?: number | null;
}

/** The part of one instance that is exported. */
export interface Scope {
  readonly instance: InstanceConfig;
  /** The streams; null for all that are tracked. */
  readonly streams: readonly string[] | null;
  /** The organizations; null for all that are configured. */
  readonly orgIds: readonly string[] | null;
}

/** `chooseScopes` throws SettingsError for an instance or a stream that is not configured. */
export function chooseScopes(
  instances: readonly InstanceConfig[],
  { instance: instanceIds, stream: wanted }: Pick<ExportRequest, 'instance' | 'stream'>,
): Scope[] {
  const asked = chooseInstances(instances, instanceIds);
  if (wanted === null) return asked.map((instance) => ({ instance, streams: null, orgIds: null }));
  const chosen = asked.map((instance) => {
    return { instance, streams: instance.streams.filter((each) => wanted.includes(each)), orgIds: null };
  });
  const missing = wanted.filter((stream) => !chosen.some(({ streams }) => streams.includes(stream)));
  if (missing.length === 0) return chosen.filter(({ streams }) => streams.length > 0);
  const whose = chosen.map(({ instance }) => instance.instanceId).join(', ');
  const all = chosen.flatMap(({ instance }) => instance.streams);
  const exported = streamNames.filter((name) => all.includes(name));
  throw new SettingsError(`--stream ${missing.join(', ')}: not exported from instance ${whose}`, {
    hint: `exported are ${exported.join(', ')}; there are ${streamNames.join(', ')} (setting STREAMS)`,
  });
}

/** The context of an export, the same for all its instances. */
export interface ExportWork extends CommandContext {
  readonly request: ExportRequest;
  readonly handle: DatabaseHandle;
  readonly now: () => number;
  readonly gates: Gates;
  /** Whether the database has this program's tables. */
  readonly hasTables: boolean;
}

/**
 * `findOrgs` finds the instance of each organization that is asked for: by the ledger, and by asking Losant for
 * those that it lacks. Returns the instances that have any, each with its own, and the failures of those that could
 * not be asked; all instances unchanged if no organization is named. Throws SettingsError for an organization that
 * no instance exports, unless an instance that might have it could not be asked.
 */
export async function findOrgs(
  work: ExportWork,
  chosen: readonly Scope[],
): Promise<{ scopes: readonly Scope[]; failures: ReadonlyMap<string, unknown> }> {
  const { signal, hasTables } = work;
  const wanted = work.request.org;
  const failures = new Map<string, unknown>();
  if (wanted === null) return { scopes: chosen, failures };
  const sources: { scope: Scope; opened: InstanceContext; orgIds: Set<string> }[] = [];
  for (const scope of chosen) {
    try {
      const opened = openInstance(work, scope.instance, work);
      const tracked = hasTables ? await filterTracked(opened.db, opened.instanceId, wanted) : [];
      sources.push({ scope, opened, orgIds: new Set(tracked) });
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      failures.set(scope.instance.instanceId, error);
    }
  }
  const isFound = (orgId: string) => sources.some(({ orgIds }) => orgIds.has(orgId));
  for (const orgId of wanted.filter((each) => !isFound(each))) {
    for (const { opened, orgIds } of sources) {
      try {
        if (await isExported(opened, orgId, signal)) orgIds.add(orgId);
      } catch (error) {
        if (signal.aborted) throw error;
        failures.set(opened.instanceId, error);
      }
    }
  }
  const unknown = wanted.filter((orgId) => !isFound(orgId));
  if (unknown.length > 0 && failures.size === 0) throw unknownOrgs(unknown, chosen);
  const scopes = sources
    .filter(({ opened, orgIds }) => orgIds.size > 0 && !failures.has(opened.instanceId))
    .map(({ scope, orgIds }) => ({ ...scope, orgIds: wanted.filter((orgId) => orgIds.has(orgId)) }));
  return { scopes, failures };
}

/** `isExported` returns whether Losant has the organization and the settings include it. */
async function isExported(
  { client, instanceId, selection }: InstanceContext,
  orgId: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { organization } = await getOrg(client, { instanceId, orgId, signal });
    return isSelected(selection, organization);
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return false;
    // The organization exists although its attributes cannot be read, which the run reports.
    if (error instanceof LosantError && error.kind === 'bad_body') return true;
    throw error;
  }
}

function unknownOrgs(orgIds: readonly string[], chosen: readonly Scope[]): SettingsError {
  const [only, ...others] = chosen.map(({ instance }) => instance.instanceId);
  const from = others.length === 0 ? `from instance ${only}` : `from any of ${chosen.length} instances`;
  const what = orgIds.length === 1 ? 'not an organization that is' : 'not organizations that are';
  return new SettingsError(`--org ${orgIds.join(', ')}: ${what} exported ${from}`, {
    hint: 'check the id, and LOSANT_ORG_IDS, which says which organizations are exported',
  });
}
