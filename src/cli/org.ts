import { LosantError, SettingsError } from '../errors.ts';
import { createLosantClient, type LosantClient, type LosantClientOptions } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getOrgResource, type OrgResource } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { CommandContext } from './command.ts';
import { chooseInstances } from './instances.ts';
import { idOption, idsOption, type OptionValues, required } from './options.ts';

/** Which organization is meant, and where it may be. */
export const placeOptions = {
  org: required(idOption('organization', 'the organization')),
  instance: idsOption('instance', 'look for it in these instances only'),
};

export type OrgAsked = OptionValues<typeof placeOptions>;

export interface FoundOrg extends OrgResource {
  readonly instance: InstanceConfig;
  readonly orgId: string;
  /** Reads from that instance; sends nothing but GET. */
  readonly client: LosantClient;
}

/** What happened to a change is asked for until then, also while the process is asked to end. */
const LOOK_AGAIN_MS = 60_000;

/** Asks the instances one after the other for the organization. Throws SettingsError if none has it. */
export async function findOrg(context: CommandContext, { org, instance: ids }: OrgAsked): Promise<FoundOrg> {
  const { signal } = context;
  const chosen = chooseInstances(context.config.instances, ids);
  let failure: LosantError | null = null;
  for (const instance of chosen) {
    const client = openReading(context, instance);
    try {
      const { instanceId } = instance;
      const found = await getOrgResource(client, { instanceId, orgId: org, signal });
      return { ...found, instance, orgId: org, client };
    } catch (error) {
      if (!(error instanceof LosantError)) throw error;
      if (error.kind !== 'not_found') failure ??= error;
    }
  }
  // An instance that does not answer may have it.
  if (failure !== null) throw failure;
  const where = chosen.map(({ instanceId }) => instanceId).join(', ');
  throw new SettingsError(`--org ${org}: Losant knows no such organization of instance ${where}`, {
    hint: 'check the id; the organization may be deleted, or the token may belong to another instance',
  });
}

/** The organization as it is now; null if it is not there. Throws LosantError if Losant does not say. */
export async function lookAgain({ client, instance, orgId }: FoundOrg): Promise<OrgResource | null> {
  const signal = AbortSignal.timeout(LOOK_AGAIN_MS);
  try {
    return await getOrgResource(client, { instanceId: instance.instanceId, orgId, signal });
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return null;
    throw error;
  }
}

/** A client that reads from the instance and sends nothing but GET. */
export function openReading(
  { config, hostNow, random, version }: CommandContext,
  instance: InstanceConfig,
  more: Partial<LosantClientOptions> = {},
): LosantClient {
  const { apiUrl, domain, requestConcurrency: concurrency, requestsPerSecond } = instance;
  return createLosantClient({
    apiUrl,
    domain: domain ?? undefined,
    token: instance.readToken(),
    gate: new Gate({ concurrency, requestsPerSecond }),
    ...config.request,
    userAgent: `losant-usage-export/${version}`,
    random,
    now: hostNow,
    ...more,
  });
}
