import { EXIT, LosantError, type LosantErrorKind, SettingsError } from '../errors.ts';
import { mayHaveHappened, type OrgPatch, orgPatch, sendChange } from '../losant/admin.ts';
import { createLosantClient, type LosantClient, type LosantClientOptions } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getOrg, type OrgResource } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
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
  for (const instance of instances) {
    const place = { instance, orgId, client: openReading(context, instance) };
    const found = await readOrg(place, context.signal);
    if (found !== null) return { ...found, ...place };
  }
  const where = instances.map(({ instanceId }) => instanceId).join(', ');
  throw new SettingsError(`--org ${orgId}: Losant knows no such organization of instance ${where}`, {
    hint: 'check the id; the organization may be deleted, or the token may belong to another instance',
  });
}

/** Returns null for an organization that Losant does not know. */
async function readOrg(
  { client, instance, orgId }: Omit<FoundOrg, keyof OrgResource>,
  signal: AbortSignal,
): Promise<OrgResource | null> {
  try {
    return await getOrg(client, { ...instance, orgId, signal });
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return null;
    throw error;
  }
}

export function openReading(
  { config, version, random, hostNow }: CommandContext,
  { apiUrl, domain, readToken, requestConcurrency: concurrency, requestsPerSecond }: InstanceConfig,
  more: Partial<LosantClientOptions> = {},
): LosantClient {
  const gate = new Gate({ concurrency, requestsPerSecond });
  const place = { apiUrl, domain, token: readToken(), version };
  return createLosantClient({ ...config.request, ...place, random, gate, now: hostNow, ...more });
}

/** The time for which the result of a change is asked for, even while the process is asked to end. */
const LOOK_AGAIN_MS = 60_000;

/** The changes that a request asks for: a patch, or null to delete. */
interface Change {
  readonly patch: OrgPatch | null;
  /** Returns what is not as it was asked to be, of the organization as it is then, null if it is gone. */
  readonly missed: (after: Resource | null) => string | null;
}

/**
 * Sends a change once and reads the organization back. Throws LosantError: before anything is sent if the organization
 * is no longer as it was found, if the change was refused, if it was not made, or if nobody can say.
 */
export async function changeOrg(
  context: CommandContext,
  found: FoundOrg,
  { patch, missed }: Change,
): Promise<void> {
  const { orgId, instance, resource } = found;
  const fail = (kind: LosantErrorKind, message: string, hint: string, cause?: unknown) => {
    const action = patch === null ? 'instanceOrg.delete' : 'instanceOrg.patch';
    const error = `${action} (org ${orgId}): ${message}`;
    return new LosantError(kind, error, { hint, cause, action, status: null, body: null });
  };
  const before = (await readOrg(found, context.signal))?.resource;
  const changes = before === undefined ? [] : compareOrgs(resource, before);
  if (before === undefined || changes.length > 0) {
    const what = before === undefined ? 'it was deleted' : changes.map(describeChange).join('; ');
    const hint = 'give the command again if that is still what you want: it starts from what is so now';
    const kind = before === undefined ? 'not_found' : 'refused';
    throw fail(kind, `nothing was sent, as somebody else changed it meanwhile: ${what}`, hint);
  }
  let lost: LosantError | null = null;
  try {
    await sendChange(adminOptions(context, instance), { instanceId: instance.instanceId, orgId }, patch);
  } catch (error) {
    if (!mayHaveHappened(error)) throw error;
    lost = error;
    context.output.remark(`${error.message}: reading the organization back`);
  }
  const hint = 'losant-usage org show says what is so; a slow request may still be carried out';
  const after = await readOrg(found, AbortSignal.timeout(LOOK_AGAIN_MS)).catch((error: unknown) => {
    if (!(error instanceof LosantError)) throw error;
    throw fail(error.kind, `it may be done, which cannot be confirmed: ${error.message}`, hint, error);
  });
  const problem = missed(after?.resource ?? null);
  if (problem !== null) throw fail(lost?.kind ?? 'bad_body', `not done: ${problem}`, hint);
}

function adminOptions({ config, version, hostNow }: CommandContext, { apiUrl, domain }: InstanceConfig) {
  const { adminToken, request } = config;
  // Commands that change something need it, so that the settings have it.
  const token = adminToken as string;
  return { apiUrl, domain, token, now: hostNow, timeoutMs: request.timeoutMs, version };
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
