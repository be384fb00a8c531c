import { type ErrorDetails, EXIT, LosantError, type LosantErrorKind, SettingsError } from '../errors.ts';
import { createAdminClient, mayHaveHappened, type OrgPatch, orgPatch } from '../losant/admin.ts';
import { type LosantClient, type LosantClientOptions, openClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getOrg, type OrgResource } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { aboutSetting } from '../settings/settings.ts';
import { renderTable, styled } from '../terminal/text.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { id, type OptionValues, required } from './options.ts';

export const placeOptions = { org: required('ID', 'the organization', id('organization')) };

export type Resource = OrgResource['resource'];

export interface FoundOrg extends OrgResource {
  readonly instance: InstanceConfig;
  readonly orgId: string;
  /** The client for reading from that instance; it sends nothing but GET. */
  readonly client: LosantClient;
}

export const orgShow = defineCommand({
  needs: ['losant'],
  options: placeOptions,
  async run(context, asked) {
    const { output } = context;
    const { resource, organization, instance } = await findOrg(context, asked);
    output.printJson(resource);
    output.print(
      styled('bold', organization.name),
      ...renderTable({ rows: [['instance', instance.instanceId], ...fieldsOf(resource)] }),
    );
    return EXIT.ok;
  },
});

/** Asks the instances one after the other for the organization. Throws SettingsError if none has it. */
export async function findOrg(
  context: CommandContext,
  { org: orgId }: OptionValues<typeof placeOptions>,
): Promise<FoundOrg> {
  const { instances } = context.config;
  let failure: LosantError | null = null;
  for (const instance of instances) {
    const client = openReading(context, instance);
    const found = await getOrg(client, { ...instance, orgId, signal: context.signal }).catch(
      (error: unknown) => {
        if (!(error instanceof LosantError)) throw error;
        if (error.kind !== 'not_found') failure ??= error;
        return null;
      },
    );
    if (found !== null) return { ...found, instance, orgId, client };
  }
  // An instance that does not answer may have the organization.
  if (failure !== null) throw failure as LosantError;
  const where = instances.map(({ instanceId }) => instanceId).join(', ');
  throw new SettingsError(`--org ${orgId}: Losant knows no such organization of instance ${where}`, {
    hint: 'check the id; the organization may be deleted, or the token may belong to another instance',
  });
}

export function openReading(
  context: CommandContext,
  instance: InstanceConfig,
  more: Partial<LosantClientOptions> = {},
): LosantClient {
  const { requestConcurrency: concurrency, requestsPerSecond } = instance;
  const gate = new Gate({ concurrency, requestsPerSecond });
  return openClient(context, instance, { gate, now: context.hostNow, ...more });
}

/** The time for which the result of a change is asked for, even while the process is asked to end. */
const LOOK_AGAIN_MS = 60_000;

/**
 * Sends a patch, or null to delete, once and reads the organization back. Returns it as it is then, null
 * if it does not exist, and the error if the answer was lost. Throws LosantError, before anything is sent if the
 * organization is no longer as it was found, or if the change was refused or nobody can say what became of it.
 */
export async function changeOrg(
  context: CommandContext,
  found: FoundOrg,
  patch: OrgPatch | null,
): Promise<{ readonly after: Resource | null; readonly lost: LosantError | null }> {
  const { orgId, instance } = found;
  const { config, version, hostNow } = context;
  if (config.adminToken === null) {
    const { remedy } = aboutSetting('LOSANT_ADMIN_TOKEN');
    throw new SettingsError('LOSANT_ADMIN_TOKEN is not set', { hint: remedy });
  }
  const admin = createAdminClient({
    apiUrl: instance.apiUrl,
    domain: instance.domain,
    token: config.adminToken,
    now: hostNow,
    timeoutMs: config.request.timeoutMs,
    userAgent: `losant-usage-export/${version}`,
  });
  requireUnchanged(found, await lookAgain(found, context.signal), patch);
  let lost: LosantError | null = null;
  try {
    const place = { instanceId: instance.instanceId, orgId };
    await (patch === null ? admin.deleteOrg(place) : admin.patchOrg(place, patch));
  } catch (error) {
    if (!mayHaveHappened(error)) throw error;
    lost = error;
    context.output.remark(`${error.message}: reading the organization back`);
  }
  try {
    return { after: await lookAgain(found, AbortSignal.timeout(LOOK_AGAIN_MS)), lost };
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    const message = `Organization ${orgId} may have been changed, which cannot be confirmed: ${error.message}`;
    throw changeError(patch, error.kind, message, { hint: SHOW_SAYS, cause: error });
  }
}

export const SHOW_SAYS = 'losant-usage org show says what is so; a slow request may still be carried out';

async function lookAgain(
  { client, instance, orgId }: FoundOrg,
  signal: AbortSignal,
): Promise<Resource | null> {
  try {
    return (await getOrg(client, { ...instance, orgId, signal })).resource;
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return null;
    throw error;
  }
}

function requireUnchanged({ orgId, resource }: FoundOrg, now: Resource | null, patch: OrgPatch | null): void {
  const changes = now === null ? [] : compareOrgs(resource, now);
  if (now !== null && changes.length === 0) return;
  const what = now === null ? 'deleted' : 'changed';
  const shown = changes.map((change) => `; ${describeChange(change)}`).join('');
  const message = `Nothing was sent: organization ${orgId} was ${what} by somebody else meanwhile${shown}`;
  throw changeError(patch, now === null ? 'not_found' : 'refused', message, {
    hint: 'give the command again if that is still what you want: it starts from what is so now',
  });
}

/** Returns the error of a change that Losant did not make, or not as it was asked to. */
export function changeError(
  patch: OrgPatch | null,
  kind: LosantErrorKind,
  message: string,
  details: ErrorDetails,
): LosantError {
  const action = patch === null ? 'instanceOrg.delete' : 'instanceOrg.patch';
  return new LosantError(kind, message, { ...details, action, status: null, body: null });
}

/** A field in which an organization differs; null means that it is not set. */
export interface FieldChange {
  readonly field: string;
  readonly old: string | null;
  readonly new: string | null;
}

/** Returns the differences in what can be changed, and in the date of the last change. */
export function compareOrgs(before: Resource, after: Resource): FieldChange[] {
  const [old, now] = [fieldsOf(before), fieldsOf(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((field) => field === 'lastUpdated' || (field.split('.')[0] ?? '') in orgPatch.shape)
    .map((field) => ({ field, old: old.get(field) ?? null, new: now.get(field) ?? null }))
    .filter((each) => each.old !== each.new);
}

export function describeChange({ field, old, new: now }: FieldChange): string {
  return `${field} is ${now ?? 'not set'} and not ${old ?? 'unset'}`;
}

/** Returns the fields of an organization as texts, those of a map by themselves, as `limits.device`. */
function fieldsOf(resource: Resource): ReadonlyMap<string, string> {
  const entries = Object.entries(resource).flatMap(([name, value]) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, value] as const];
    return Object.entries(value).map(([key, each]) => [`${name}.${key}`, each as unknown] as const);
  });
  // An organization that is not disabled has `false`, or no such field.
  const isSet = (name: string, value: unknown) =>
    value !== null && value !== undefined && value !== '' && (name !== 'disabledAt' || value !== false);
  return new Map(
    entries.filter(([name, value]) => isSet(name, value)).map(([name, value]) => [name, textOf(value)]),
  );
}

/** Returns a value as text, lists in one order; a tag as `key=value`. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).toSorted().join(', ');
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return parts.map(([, each]) => textOf(each)).join('=');
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
