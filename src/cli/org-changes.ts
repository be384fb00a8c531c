import type { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { namesAt, type OrgPatch, orgPatch } from '../losant/org-patch.ts';
import { readFileFromDisk, readNamedFile } from '../settings/checks.ts';
import { nearestName, quote, showSteps } from '../settings/problems.ts';
import type { Tag } from '../usage/organization.ts';

/** What is to change, as the options say it. */
export interface PatchOptions {
  readonly name: string | null;
  readonly description: string | null;
  readonly referralId: string | null;
  readonly limit: Readonly<Record<string, number>> | null;
  readonly tag: readonly Tag[] | null;
  readonly disable: boolean;
  readonly enable: boolean;
  readonly auditLog: boolean | null;
  /** Path of a file with a patch in JSON. */
  readonly body: string | null;
}

/** A patch by itself, and the tags that are set among those the organization has. */
export interface Wanted {
  readonly patch: OrgPatch;
  readonly tags: readonly Tag[];
  /** Whether it is to be disabled from now on, unless it is already. */
  readonly disables: boolean;
}

/**
 * Reads what is to change and checks it against the schema of the API. Throws one
 * SettingsError with all that is wrong. `nowMs` is since when one is disabled.
 */
export function readWanted(options: PatchOptions, nowMs: number): Wanted {
  const { limit: limits, tag, disable, enable, auditLog: auditLogEnabled } = options;
  if (disable && enable) throw new SettingsError('--disable and --enable contradict each other', KEEP_ONE);
  const disabledAt = disable ? new Date(nowMs).toISOString() : enable ? false : null;
  const { name, description, referralId } = options;
  const given = { name, description, referralId, limits, disabledAt, auditLogEnabled };
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  const body = options.body === null ? {} : readBody(options.body);
  const twice = [...Object.keys(named), ...(tag ? ['tags'] : [])].filter((key) => Object.hasOwn(body, key));
  if (twice.length > 0) {
    throw new SettingsError(`${twice.join(', ')}: in ${options.body} and among the options`, KEEP_ONE);
  }
  const patch = checkPatch({ ...body, ...named });
  const tags = tag === null ? [] : (checkPatch({ tags: tag }).tags ?? []);
  if (Object.keys(patch).length > 0 || tags.length > 0) return { patch, tags, disables: disable };
  throw new SettingsError('Nothing to set was given', {
    hint: 'losant-usage org set --help lists what can be set; --body takes all of it from a file',
  });
}

const KEEP_ONE = { hint: 'keep one of them' };

/**
 * The patch to send to an organization that is now as `resource` says. Lists and
 * maps go whole: the documentation does not say whether Losant keeps what a map
 * of limits leaves out.
 */
export function completePatch({ patch: wanted, tags, disables }: Wanted, resource: Resource): OrgPatch {
  const { disabledAt, ...rest } = wanted;
  const isSettled = disabledAt === undefined || (disables && typeof resource['disabledAt'] === 'string');
  const patch = isSettled ? rest : wanted;
  const isLimit = ([name, value]: readonly [string, unknown]) =>
    orgPatch.safeParse({ limits: { [name]: value } }).success;
  const held = Object.entries(mapOf(resource['limits'])).filter(isLimit);
  const limits = patch.limits && { limits: { ...Object.fromEntries(held), ...patch.limits } };
  const keys = new Set(tags.map(({ key }) => key));
  if (tags.length > 0 && hasOddTags(resource)) {
    throw new SettingsError('--tag: the organization has tags that are no texts, and would lose them', {
      hint: 'give all tags that it is to have in a file: --body FILE',
    });
  }
  const merged = [...tagsOf(resource).filter(({ key }) => !keys.has(key)), ...tags];
  return checkPatch({ ...patch, ...limits, ...(tags.length > 0 && { tags: merged }) });
}

function hasOddTags(resource: Resource): boolean {
  const { tags } = resource;
  return Array.isArray(tags) && tags.length > tagsOf(resource).length;
}

/** Throws SettingsError with all that is wrong, a line each. */
function checkPatch(raw: unknown): OrgPatch {
  const { success, data, error } = orgPatch.safeParse(raw);
  if (success) return data;
  const problems = error.issues.flatMap((issue) => describeIssue(issue, raw));
  const title = problems.length === 1 ? '1 thing is wrong' : `${problems.length} things are wrong`;
  const lines = problems.map((problem) => `- ${problem}`);
  throw new SettingsError([`${title} with what is to be set:`, ...lines].join('\n'), {
    hint: 'Nothing was sent. https://docs.losant.com/rest-api/instance-org has the schema of the patch.',
  });
}

function describeIssue(issue: z.core.$ZodIssue, raw: unknown): string[] {
  const { path, message } = issue;
  const place = showSteps(path).slice(1);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const near = nearestName(key, namesAt(path));
      const where = place === '' ? '' : ` of ${place}`;
      return `${quote(key)} is not known${where}; ${near === null ? 'remove it' : `did you mean ${near}?`}`;
    });
  }
  const value = path.reduce<unknown>((at, step) => mapOf(at)[String(step)], raw);
  const isShown = typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string';
  return [`${place === '' ? 'the body' : place}${isShown ? `=${quote(String(value))}` : ''} ${message}`];
}

/** Throws SettingsError for a file that holds no JSON object. */
function readBody(path: string): Record<string, unknown> {
  const hint = 'write a JSON object into it, such as {"limits":{"device":100}}';
  const read = readNamedFile(path, readFileFromDisk);
  if ('problem' in read) throw new SettingsError(`--body ${path} ${read.problem}`, { hint: read.remedy });
  const body = parse(read.text);
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return mapOf(body);
  throw new SettingsError(`--body ${path} names a file that holds no JSON object`, { hint });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What an organization can be changed in, one text for each field, e.g. `limits.device`; `tags.KEY` has all values of a key. */
type Fields = ReadonlyMap<string, string>;

/** A field that is to change, or did; null: it is not set. */
export interface FieldChange {
  readonly field: string;
  readonly old: string | null;
  readonly new: string | null;
}

type Resource = Readonly<Record<string, unknown>>;

/** An organization with a patch done: of the maps of limits, those that the patch does not name stay. */
export function withPatch(resource: Resource, patch: OrgPatch): Resource {
  if (patch.limits === undefined) return { ...resource, ...patch };
  return { ...resource, ...patch, limits: { ...mapOf(resource['limits']), ...patch.limits } };
}

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

/** The fields in which two organizations differ, in their order. */
export function compareFields(before: Fields, after: Fields): FieldChange[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  const both = [...names].map((field) => ({
    field,
    old: before.get(field) ?? null,
    new: after.get(field) ?? null,
  }));
  return both.filter((each) => each.old !== each.new);
}

/** The tags of an organization as Losant answers it; one that is none is left out. */
function tagsOf(resource: Resource): { key: string; value: string }[] {
  const { tags } = resource;
  if (!Array.isArray(tags)) return [];
  return tags.flatMap((tag: unknown) => {
    const { key, value } = mapOf(tag);
    return typeof key === 'string' && typeof value === 'string' ? [{ key, value }] : [];
  });
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** A date in one spelling; empty for an organization that is not disabled. */
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
