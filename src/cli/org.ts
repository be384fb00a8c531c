import { type ErrorDetails, EXIT, LosantError, type LosantErrorKind, SettingsError } from '../errors.ts';
import { createAdminClient, mayHaveHappened, type OrgPatch } from '../losant/admin.ts';
import { type LosantClient, type LosantClientOptions, openClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getOrg, type OrgResource } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { aboutSetting } from '../settings/settings.ts';
import { type Line, renderTable, styled } from '../terminal/text.ts';
import { showInstant, showNumber } from '../terminal/words.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseInstances } from './instances.ts';
import { id, type OptionValues, required, several } from './options.ts';

export const placeOptions = {
  org: required('ID', 'the organization', id('organization')),
  instance: several('ID', 'look for it in these instances only', id('instance')),
};

export type OrgAsked = OptionValues<typeof placeOptions>;

export interface FoundOrg extends OrgResource {
  readonly instance: InstanceConfig;
  readonly orgId: string;
  /** The client for reading from that instance; it sends nothing but GET. */
  readonly client: LosantClient;
}

/** Asks the instances one after the other for the organization. Throws SettingsError if none has it. */
export async function findOrg(context: CommandContext, { org, instance: ids }: OrgAsked): Promise<FoundOrg> {
  const { signal } = context;
  const chosen = chooseInstances(context.config.instances, ids);
  let failure: LosantError | null = null;
  for (const instance of chosen) {
    const client = openReading(context, instance);
    try {
      const { instanceId } = instance;
      const found = await getOrg(client, { instanceId, orgId: org, signal });
      return { ...found, instance, orgId: org, client };
    } catch (error) {
      if (!(error instanceof LosantError)) throw error;
      if (error.kind !== 'not_found') failure ??= error;
    }
  }
  // An instance that does not answer may have the organization.
  if (failure !== null) throw failure;
  const where = chosen.map(({ instanceId }) => instanceId).join(', ');
  throw new SettingsError(`--org ${org}: Losant knows no such organization of instance ${where}`, {
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

type OrgChange = 'instanceOrg.patch' | 'instanceOrg.delete';

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
    throw new SettingsError('LOSANT_ADMIN_TOKEN is not set', {
      hint: aboutSetting('LOSANT_ADMIN_TOKEN').remedy,
    });
  }
  const admin = createAdminClient({
    apiUrl: instance.apiUrl,
    domain: instance.domain,
    token: config.adminToken,
    now: hostNow,
    timeoutMs: config.request.timeoutMs,
    userAgent: `losant-usage-export/${version}`,
  });
  const action = patch === null ? 'instanceOrg.delete' : 'instanceOrg.patch';
  requireUnchanged(found, await lookAgain(found, context.signal), action);
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
    const done = patch === null ? 'deleted' : 'changed';
    const said = lost === null ? `said to be ${done}` : `perhaps ${done}`;
    const message = `Organization ${orgId} was ${said}, which cannot be confirmed: ${error.message}`;
    const hint = 'losant-usage org show says what is so once Losant answers';
    throw changeError(action, error.kind, message, { hint, cause: error });
  }
}

async function lookAgain(
  { client, instance, orgId }: FoundOrg,
  signal: AbortSignal,
): Promise<Resource | null> {
  try {
    return (await getOrg(client, { instanceId: instance.instanceId, orgId, signal })).resource;
  } catch (error) {
    if (error instanceof LosantError && error.kind === 'not_found') return null;
    throw error;
  }
}

function requireUnchanged({ orgId, resource }: FoundOrg, now: Resource | null, action: OrgChange): void {
  const changes = now === null ? [] : compareFields(fieldsAndDate(resource), fieldsAndDate(now));
  if (now !== null && changes.length === 0) return;
  const what = now === null ? 'deleted' : 'changed';
  const shown = changes.map((change) => `; ${describeChange(change)}`).join('');
  const message = `Nothing was sent: organization ${orgId} was ${what} by somebody else meanwhile${shown}`;
  throw changeError(action, now === null ? 'not_found' : 'refused', message, {
    hint: 'give the command again if that is still what you want: it starts from what is so now',
  });
}

function fieldsAndDate(resource: Resource): Fields {
  const { lastUpdated } = resource;
  const fields = fieldsOf(resource);
  return typeof lastUpdated === 'string' ? new Map([...fields, ['lastUpdated', lastUpdated]]) : fields;
}

/** Returns the error of a change that Losant did not make, or not as it was asked to. */
export function changeError(
  action: OrgChange,
  kind: LosantErrorKind,
  message: string,
  details: ErrorDetails,
): LosantError {
  return new LosantError(kind, message, { ...details, action, status: null, body: null });
}

export const orgShow = defineCommand({
  needs: ['losant'],
  options: placeOptions,
  examples: () => ({
    'org show --org 575ec8687ae143cd83dc4a97': 'name, state, period, limits and tags',
    'org show --org 575ec8687ae143cd83dc4a97 --json': "Losant's complete answer",
  }),
  async run(context, asked) {
    const { output } = context;
    const found = await findOrg(context, asked);
    output.printJson(found.resource);
    output.print(...renderOrg(found));
    return EXIT.ok;
  },
});

function renderOrg({ organization, resource, instance, orgId }: FoundOrg): Line[] {
  const fields = fieldsOf(resource);
  const { currentPeriodStart: start, currentPeriodEnd: end } = organization;
  const text = (field: string) => fields.get(field) ?? null;
  const disabledAt = text('disabledAt');
  const disabled = disabledAt === null ? [] : [`disabled since ${showInstant(disabledAt)}`];
  const states = [...disabled, ...(text('isReadOnly') === 'true' ? ['read-only'] : [])];
  const audit = text('auditLogEnabled');
  const updated = resource['lastUpdated'];
  const facts: readonly (readonly [string, string | null])[] = [
    ['id', orgId],
    ['instance', instance.instanceId],
    ['description', text('description')],
    ['referral id', text('referralId')],
    ['plan', organization.planId],
    ['customer', organization.customerId],
    ['state', states.length === 0 ? 'active' : states.join(', ')],
    ['audit log', audit === null ? null : audit === 'true' ? 'on' : 'off'],
    ['two-factor', text('mfaMode')],
    ['period', start && end ? `${showInstant(start)} until ${showInstant(end)}` : null],
    ['created', organization.createdOn],
    ['last changed', typeof updated === 'string' ? showInstant(updated) : null],
  ];
  const limits = Object.entries(organization.limits).map(([name, limit]) => [name, showNumber(limit)]);
  const tags = organization.tags.map(({ key, value }) => [key, value]);
  return [
    styled('bold', organization.name),
    ...renderTable({ rows: facts.flatMap(([what, fact]) => (fact === null ? [] : [[what, fact]])) }),
    ...(limits.length === 0 ? [] : ['Limits:', ...renderTable({ rows: limits, right: [1] })]),
    ...(tags.length === 0 ? [] : ['Tags:', ...renderTable({ rows: tags })]),
  ];
}

/** The changeable fields of an organization as texts, e.g. `limits.device`, or `tags.KEY` with all values. */
export type Fields = ReadonlyMap<string, string>;

export type Resource = Readonly<Record<string, unknown>>;

export function fieldsOf(resource: Resource): Fields {
  const fields = new Map<string, string>();
  const add = (field: string, value: unknown) => {
    const text = textOf(value);
    if (text !== '') fields.set(field, text);
  };
  for (const name of ['name', 'description', 'referralId', 'iconColor', 'mfaMode']) add(name, resource[name]);
  for (const name of ['auditLogEnabled', 'isReadOnly']) add(name, resource[name]);
  add('disabledAt', instantOf(resource['disabledAt']));
  add('whitelistedEmailDomains', resource['whitelistedEmailDomains']);
  for (const map of ['banner', 'limits']) {
    for (const [name, value] of Object.entries(mapOf(resource[map]))) add(`${map}.${name}`, value);
  }
  for (const [key, tags] of Map.groupBy(tagsOf(resource), (tag) => tag.key)) {
    add(
      `tags.${key}`,
      tags.map(({ value }) => value),
    );
  }
  return fields;
}

/** A field in which an organization differs; null means that it is not set. */
export interface FieldChange {
  readonly field: string;
  readonly old: string | null;
  readonly new: string | null;
}

export function compareFields(before: Fields, after: Fields): FieldChange[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  const both = [...names].map((field) => ({
    field,
    old: before.get(field) ?? null,
    new: after.get(field) ?? null,
  }));
  return both.filter((each) => each.old !== each.new);
}

export function describeChange({ field, old, new: now }: FieldChange): string {
  return `${field} is ${now ?? 'not set'} and not ${old ?? 'unset'}`;
}

/** Returns the tags of an organization as Losant answers it, without entries that are no tags. */
export function tagsOf(resource: Resource): { key: string; value: string }[] {
  const { tags } = resource;
  if (!Array.isArray(tags)) return [];
  return tags.flatMap((tag: unknown) => {
    const { key, value } = mapOf(tag);
    return typeof key === 'string' && typeof value === 'string' ? [{ key, value }] : [];
  });
}

export function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** Returns a date in one spelling; empty for an organization that is not disabled. */
function instantOf(value: unknown): unknown {
  if (value === false) return '';
  const ms = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(ms) ? value : new Date(ms).toISOString();
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join(', ');
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
