import { z } from 'zod';
import { LosantError, type LosantErrorKind, SettingsError } from '../errors.ts';
import { mayHaveChanged, type OrgPatch, orgPatch, sendChange } from '../losant/admin.ts';
import { createLosantClient, type LosantClient } from '../losant/client.ts';
import { getOrg, type OrgResource } from '../losant/endpoints.ts';
import { Gate } from '../losant/rate.ts';
import { formatTable } from '../terminal/text.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { flagOption, orgOption, requiredOption, text } from './options.ts';

type Resource = OrgResource['resource'];

export interface OrgLookup extends OrgResource {
  readonly orgId: string;
  /** Sends GET requests only. */
  readonly client: LosantClient;
}

export const orgShow = defineCommand({
  needs: ['losant'],
  options: { org: orgOption },
  async run(context, { org: orgId }) {
    const { resource, organization } = await findOrg(context, orgId);
    const rows = [...listFields(resource)];
    return { document: resource, lines: [organization.name, ...formatTable({ rows })] };
  },
});

export const orgSet = defineCommand({
  needs: ['losant', 'admin'],
  options: {
    org: orgOption,
    patch: requiredOption('JSON', 'the fields to change, as a JSON object', text),
    dryRun: flagOption('show what would change without sending it'),
  },
  async run(context, { org: orgId, patch: json, dryRun }) {
    const { output, signal } = context;
    const requestedPatch = parsePatch(json);
    const currentOrg = await findOrg(context, orgId);
    const patch = completePatch(requestedPatch, currentOrg.resource);
    const changes = compareOrgs(currentOrg.resource, applyPatch(currentOrg.resource, patch));
    const { name } = currentOrg.organization;
    const facts = { orgId, name, changes };
    if (changes.length === 0) {
      const lines = [`${name} (${orgId}): already up to date; nothing was sent.`];
      return { document: { ...facts, isChanged: false }, lines };
    }
    const show = (value: string | null) => value ?? 'not set';
    const rows = changes.map(({ field, old, new: next }) => [field, show(old), show(next)]);
    output.print(`${name} (${orgId})`, ...formatTable({ head: ['field', 'current', 'new'], rows }));
    if (dryRun) return { document: { ...facts, isChanged: false }, lines: ['Dry run: nothing was sent.'] };
    signal.throwIfAborted();
    await changeOrg(context, currentOrg, patch);
    const fields = changes.map(({ field }) => field);
    context.logger.info({ org_id: orgId, fields }, 'organization changed');
    const next =
      'The database picks this up the next time organizations are listed: with losant-usage run, or once per UTC day.';
    return { document: { ...facts, isChanged: true }, lines: ['Changed in Losant.', next] };
  },
});

/** Throws SettingsError if the instance does not have the organization. */
export async function findOrg(context: CommandContext, orgId: string): Promise<OrgLookup> {
  const client = createReadClient(context);
  const currentOrg = await readOrg({ client, orgId }, context.signal);
  if (currentOrg !== null) return { ...currentOrg, client, orgId };
  throw new SettingsError(`--org ${orgId}: not found in instance ${context.config.instanceId}`, {
    hint: 'check the ID; the organization may have been deleted, or the token may belong to another instance',
  });
}

/** Returns null if the instance does not have the organization. */
async function readOrg({ client, orgId }: Pick<OrgLookup, 'client' | 'orgId'>, signal: AbortSignal) {
  try {
    return await getOrg(client, orgId, signal);
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return null;
    throw error;
  }
}

export function createReadClient(
  { config, version, hostNow }: CommandContext,
  attempts = config.request.attempts,
): LosantClient {
  const { instanceId, apiUrl, domain, request } = config;
  const connection = { instanceId, apiUrl, domain, token: config.readToken(), version };
  return createLosantClient({ ...request, ...connection, attempts, gate: new Gate(config), now: hostNow });
}

/** The limit on reading a change back, which a signal does not interrupt. */
const READ_BACK_TIMEOUT_MS = 60_000;
const TOO_SLOW = `no response within ${READ_BACK_TIMEOUT_MS / 1_000} s`;

/**
 * Sends a patch (null: the deletion) once and reads the organization back. Throws SettingsError, before sending, if it
 * changed since it was read; LosantError if the change was rejected, had no effect, or cannot be confirmed.
 */
export async function changeOrg(context: CommandContext, lookup: OrgLookup, patch: OrgPatch | null): Promise<void> {
  const { orgId, resource } = lookup;
  const before = await readOrg(lookup, context.signal);
  const changes = before === null ? ['it was deleted'] : compareOrgs(resource, before.resource).map(describeChange);
  if (changes.length > 0) {
    const reason = `someone changed it in the meantime: ${changes.join('; ')}`;
    throw new SettingsError(`Organization ${orgId}: nothing was sent, because ${reason}`, {
      hint:
        before === null
          ? 'the next run marks it as deleted in the database'
          : 'run the command again if you still want the change; it starts from the current state',
    });
  }
  const { config, version, hostNow: now } = context;
  const { instanceId, apiUrl, domain } = config;
  // Commands that change something need the token, so it is set.
  const token = config.adminToken as string;
  const admin = { instanceId, apiUrl, domain, token, now, timeoutMs: config.request.timeoutMs, version };
  let lostResponse: LosantError | null = null;
  try {
    await sendChange(admin, orgId, patch);
  } catch (error) {
    if (!mayHaveChanged(error)) throw error;
    lostResponse = error;
    context.output.remark(`${error.message}; reading the organization back to check`);
  }
  const show = `losant-usage org show --org ${orgId}`;
  const toError = (kind: LosantErrorKind, message: string) => {
    const action = patch === null ? 'instanceOrg.delete' : 'instanceOrg.patch';
    const hint = `check with ${show}; a slow request may still take effect`;
    const details = { hint, cause: lostResponse, action, status: null, body: null };
    return new LosantError(kind, `${action} (org ${orgId}): ${message}`, details);
  };
  const limit = AbortSignal.timeout(READ_BACK_TIMEOUT_MS);
  const after = await readOrg(lookup, limit).catch((error: unknown) => {
    if (!(error instanceof LosantError) && error !== limit.reason) throw error;
    const { kind, message } = error instanceof LosantError ? error : { kind: 'timeout' as const, message: TOO_SLOW };
    throw toError(kind, `the change may have been made, but this could not be confirmed: ${message}`);
  });
  const { unapplied, unsent } = findDeviations(resource, patch, after?.resource ?? null);
  if (unapplied.length > 0)
    throw toError(lostResponse?.kind ?? 'bad_body', `the change is not in effect: ${unapplied.join('; ')}`);
  if (unsent.length === 0) return;
  context.output.remark(
    `Organization ${orgId}: fields that were not sent have changed too: ${unsent.join('; ')}`,
    `  Losant has replaced what the patch omits, or someone else has changed it; see ${show}`,
  );
}

/** Returns changes that did not take effect, and changes that were not sent. `after` is null if it is gone. */
function findDeviations(before: Resource, patch: OrgPatch | null, after: Resource | null) {
  if (patch === null) return { unapplied: after === null ? [] : ['the organization still exists'], unsent: [] };
  if (after === null) return { unapplied: ['the organization no longer exists'], unsent: [] };
  const expected = applyPatch(before, patch);
  const sentFields = new Set(compareOrgs(before, expected).map(({ field }) => field));
  const changes = compareOrgs(expected, after).filter(({ field }) => field !== 'lastUpdated');
  const describeAll = (isSent: boolean) =>
    changes.filter(({ field }) => sentFields.has(field) === isSent).map(describeChange);
  return { unapplied: describeAll(true), unsent: describeAll(false) };
}

/** Returns the differences in the fields that can be changed and in `lastUpdated`; null if a field is not set. */
function compareOrgs(before: Resource, after: Resource) {
  const [old, now] = [listFields(before), listFields(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((field) => field === 'lastUpdated' || (field.split('.')[0] ?? '') in orgPatch.shape)
    .map((field) => ({ field, old: old.get(field) ?? null, new: now.get(field) ?? null }))
    .filter((each) => each.old !== each.new);
}

function describeChange({ field, old, new: now }: ReturnType<typeof compareOrgs>[number]): string {
  return `${field} is ${now ?? 'not set'} instead of ${old ?? 'not set'}`;
}

/** Returns the fields of an organization as texts, one entry per key of a map, such as `limits.device`. */
function listFields(resource: Resource): ReadonlyMap<string, string> {
  const entries = Object.entries(resource).flatMap(([name, value]) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, value] as const];
    return Object.entries(value).map(([key, each]) => [`${name}.${key}`, each as unknown] as const);
  });
  // An organization that is not disabled has `disabledAt: false`, or no such field.
  const isSet = (name: string, value: unknown) =>
    value !== null && value !== undefined && value !== '' && (name !== 'disabledAt' || value !== false);
  return new Map(
    entries.filter(([name, value]) => isSet(name, value)).map(([name, value]) => [name, formatValue(value)]),
  );
}

/** Formats a value, lists in a fixed order, a tag as `key=value`. */
function formatValue(value: unknown): string {
  if (Array.isArray(value)) return value.map(formatValue).toSorted().join(', ');
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return parts.map(([, each]) => formatValue(each)).join('=');
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Turns invalid JSON into null, which the schema of a patch rejects with its own message. */
const jsonPatch = z.preprocess((json) => {
  try {
    return JSON.parse(String(json)) as unknown;
  } catch {
    return null;
  }
}, orgPatch);

/** Parses a patch, with dates as Losant writes them. Throws one SettingsError with all problems. */
export function parsePatch(json: string): OrgPatch {
  const { success, data, error } = jsonPatch.safeParse(json);
  if (success) {
    const { disabledAt } = data;
    return typeof disabledAt === 'string' ? { ...data, disabledAt: new Date(disabledAt).toISOString() } : data;
  }
  const problems = error.issues.map((issue) => {
    const path = z.core.toDotPath(issue.path) || 'the patch';
    return issue.code === 'unrecognized_keys'
      ? `- ${path} has no field ${issue.keys.join(', ')}`
      : `- ${path} ${issue.message}`;
  });
  throw new SettingsError(['--patch is not valid:', ...problems].join('\n'), {
    hint: 'Nothing was sent. The schema is at https://docs.losant.com/rest-api/instance-org.',
  });
}

/** Returns the patch with all limits of the organization: whether limits that a patch omits stay is not documented. */
export function completePatch(patch: OrgPatch, { limits = {} }: Resource): OrgPatch {
  if (patch.limits === undefined) return patch;
  const isLimit = ([name, value]: readonly [string, unknown]) =>
    orgPatch.safeParse({ limits: { [name]: value } }).success;
  const limitFields = Object.fromEntries(Object.entries(limits ?? {}).filter(isLimit));
  return { ...patch, limits: { ...limitFields, ...patch.limits } };
}

/** Returns an organization with a patch applied. Limits that the patch omits stay. */
function applyPatch(resource: Resource, patch: OrgPatch): Resource {
  const limits = { ...(resource['limits'] as object | undefined), ...patch.limits };
  return { ...resource, ...patch, limits };
}
