import type { z } from 'zod';
import { EXIT, SettingsError } from '../errors.ts';
import { namesAt, type OrgPatch, orgPatch } from '../losant/admin.ts';
import { nearestName, quote, showSteps } from '../settings/problems.ts';
import { readFileFromDisk, readNamedFile } from '../settings/reader.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import type { Tag } from '../usage/organization.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { fail, type OptionValues, switchOption, textOption, valueOption } from './options.ts';
import {
  changeError,
  changeOrg,
  compareFields,
  describeChange,
  type FieldChange,
  type Fields,
  type FoundOrg,
  fieldsOf,
  findOrg,
  mapOf,
  type OrgAsked,
  placeOptions,
  type Resource,
  tagsOf,
} from './org.ts';

const readLimit = (text: string, previous: Readonly<Record<string, number>> | null) => {
  const [, name = '', number = ''] = /^([^=]+)=(\d{1,15})$/.exec(text) ?? [];
  if (name === '') fail('A limit is written NAME=N, N a whole number of 0 or more.');
  if (previous !== null && Object.hasOwn(previous, name)) fail(`Give ${name} once.`);
  return { ...previous, [name]: Number(number) };
};

const readTag = (text: string, previous: readonly Tag[] | null): readonly Tag[] => {
  const [, key = '', value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (value === '') fail('A tag is written KEY=VALUE.');
  return [...(previous ?? []), { key, value }];
};

const readSwitch = (text: string) =>
  text === 'on' || text === 'off' ? text === 'on' : fail('Use on or off.');

const SEVERAL = { isRepeated: true };
const SET_A_TAG = 'set a tag, in place of all with its key; the others stay';

const patchOptions = {
  name: textOption('TEXT', 'its name'),
  description: textOption('TEXT', 'its description'),
  referralId: textOption('TEXT', 'your own customer number'),
  limit: valueOption('NAME=N', 'set a limit; the others stay', readLimit, SEVERAL),
  tag: valueOption('KEY=VALUE', SET_A_TAG, readTag, SEVERAL),
  disable: switchOption('disable it from now on'),
  enable: switchOption('enable it again'),
  auditLog: valueOption('on|off', 'whether it keeps an audit log', readSwitch, { choices: ['on', 'off'] }),
  body: textOption('FILE', 'a file with a patch in JSON, for everything else'),
};

export type PatchOptions = OptionValues<typeof patchOptions>;

export const orgSet = defineCommand({
  needs: ['losant', 'admin'],
  options: {
    ...placeOptions,
    ...patchOptions,
    dryRun: switchOption('show what would change and send no change'),
  },
  whenInterrupted: 'losant-usage org show says whether the change was made',
  examples: () => ({
    'org set --org 575ec8687ae143cd83dc4a97 --limit device=500 --limit payload=1000000 --dry-run':
      'what two new limits would change',
    'org set --org 575ec8687ae143cd83dc4a97 --tag region=eu --disable': 'tag it, and disable it',
  }),
  run: setOrg,
});

/** `setOrg` sends nothing if nothing would change; the organization must have the changes when read back. */
async function setOrg(
  context: CommandContext,
  options: OrgAsked & PatchOptions & { readonly dryRun: boolean },
): Promise<number> {
  const { output, signal } = context;
  const wanted = readWanted(options, context.hostNow());
  const found = await findOrg(context, options);
  const patch = completePatch(wanted, found.resource);
  const expected = fieldsOf(withPatch(found.resource, patch));
  const changes = compareFields(fieldsOf(found.resource), expected);
  const isSent = changes.length > 0 && !options.dryRun;
  output.print(...renderChanges(found, changes));
  signal.throwIfAborted();
  const sent = isSent ? await sendPatch(context, found, { patch, changes, expected }) : null;
  const place = { instanceId: found.instance.instanceId, orgId: found.orgId };
  output.printJson({ ...place, isChanged: isSent, changes, organization: sent ?? found.resource });
  if (isSent) {
    output.print('Changed: Losant has it so now.', NEXT_LISTING);
    const fields = changes.map(({ field }) => field);
    context.logger.info({ org_id: found.orgId, fields }, 'organization changed');
  } else if (changes.length > 0) output.print('Nothing was sent (--dry-run).');
  return EXIT.ok;
}

const NEXT_LISTING = 'The database follows with the next listing of the organizations, once a UTC day.';

/** `sendPatch` returns the organization after the change. Throws LosantError unless it has what was to be changed. */
async function sendPatch(
  context: CommandContext,
  found: FoundOrg,
  { patch, changes, expected }: { patch: OrgPatch; changes: readonly FieldChange[]; expected: Fields },
): Promise<Resource> {
  const { after } = await changeOrg(context, found, patch);
  const differences = after === null ? changes : compareFields(expected, fieldsOf(after));
  const isAsked = ({ field }: FieldChange) => changes.some((change) => change.field === field);
  const missed = differences.filter(isAsked).map(describeChange);
  if (after === null || missed.length > 0) {
    const what = after === null ? 'the organization is gone' : missed.join('; ');
    const message = `instanceOrg.patch (org ${found.orgId}): not all is as asked: ${what}`;
    throw changeError('instanceOrg.patch', 'bad_body', message, {
      hint: 'losant-usage org show says what is so; a request that was slow may still be carried out',
    });
  }
  const others = differences.map((each) => `Changed meanwhile, not by this command: ${describeChange(each)}`);
  context.output.remark(...others);
  return after;
}

function renderChanges({ organization, orgId }: FoundOrg, changes: readonly FieldChange[]): Line[] {
  const head = line`${styled('bold', organization.name)} (${orgId})`;
  if (changes.length === 0) return [line`${head}: nothing to change, it is so already; nothing was sent.`];
  const rows = changes.map(({ field, old, new: next }) => [field, show(old), show(next)]);
  return [head, ...renderTable({ head: ['field', 'now', 'new'], rows })];
}

function show(value: string | null): Line {
  return value ?? styled('dim', 'not set');
}

/** A patch, and the tags to set among those that the organization has. */
export interface Wanted {
  readonly patch: OrgPatch;
  readonly tags: readonly Tag[];
  /** Whether to disable it from now on, unless it already is. */
  readonly disables: boolean;
}

/** `readWanted` throws one SettingsError with all problems. An organization is disabled from `nowMs` on. */
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
 * `completePatch` returns the patch for an organization that is now as in `resource`. Lists and maps are sent
 * complete, because the documentation does not say whether Losant keeps limits that a map leaves out.
 */
export function completePatch({ patch: wanted, tags, disables }: Wanted, resource: Resource): OrgPatch {
  const { disabledAt, ...rest } = wanted;
  const isSettled = disabledAt === undefined || (disables && typeof resource['disabledAt'] === 'string');
  const patch = isSettled ? rest : wanted;
  const isLimit = ([name, value]: readonly [string, unknown]) =>
    orgPatch.safeParse({ limits: { [name]: value } }).success;
  const kept = Object.entries(mapOf(resource['limits'])).filter(isLimit);
  const limits = patch.limits && { limits: { ...Object.fromEntries(kept), ...patch.limits } };
  const keys = new Set(tags.map(({ key }) => key));
  const own = tagsOf(resource);
  if (tags.length > 0 && Array.isArray(resource['tags']) && resource['tags'].length > own.length) {
    throw new SettingsError('--tag: the organization has tags that are no texts, and would lose them', {
      hint: 'give all tags that it is to have in a file: --body FILE',
    });
  }
  const merged = [...own.filter(({ key }) => !keys.has(key)), ...tags];
  return checkPatch({ ...patch, ...limits, ...(tags.length > 0 && { tags: merged }) });
}

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

/** `readBody` reads the file of a patch. Throws SettingsError if it does not contain a JSON object. */
function readBody(path: string): Record<string, unknown> {
  const hint = 'write a JSON object into it, such as {"limits":{"device":100}}';
  const read = readNamedFile(path, readFileFromDisk);
  if ('problem' in read) throw new SettingsError(`--body ${path} ${read.problem}`, { hint: read.remedy });
  const body = parse(read.text);
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return mapOf(body);
  throw new SettingsError(`--body ${path} names a file without a JSON object`, { hint });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `withPatch` returns an organization with a patch applied. Limits that the patch does not name stay. */
export function withPatch(resource: Resource, patch: OrgPatch): Resource {
  if (patch.limits === undefined) return { ...resource, ...patch };
  return { ...resource, ...patch, limits: { ...mapOf(resource['limits']), ...patch.limits } };
}
