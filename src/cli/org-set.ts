import type { z } from 'zod';
import { EXIT, SettingsError } from '../errors.ts';
import { namesAt, type OrgPatch, orgPatch } from '../losant/admin.ts';
import { showSteps } from '../settings/problems.ts';
import { nearestName, quote } from '../terminal/spelling.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { flag, type OptionValues, required, text } from './options.ts';
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
  placeOptions,
  type Resource,
} from './org.ts';

const options = {
  ...placeOptions,
  json: required('PATCH', 'the fields to change, as a JSON object', text),
  dryRun: flag('show what would change and send no change'),
};

export const orgSet = defineCommand({
  needs: ['losant', 'admin'],
  // The option of this name takes the patch.
  json: false,
  options,
  whenInterrupted: 'losant-usage org show says whether the change was made',
  examples: () => ({
    [`org set --org 575ec8687ae143cd83dc4a97 --json '{"limits":{"device":500}}' --dry-run`]:
      'what a new limit would change; the other limits stay',
    [`org set --org 575ec8687ae143cd83dc4a97 --json '{"tags":[{"key":"region","value":"eu"}]}'`]:
      'all its tags, in place of those it has',
  }),
  run: setOrg,
});

/** Sends nothing if nothing would change; the organization must have the changes when it is read back. */
async function setOrg(context: CommandContext, asked: OptionValues<typeof options>): Promise<number> {
  const { output, signal } = context;
  const wanted = readPatch(asked.json);
  const found = await findOrg(context, asked);
  const patch = completePatch(wanted, found.resource);
  const expected = fieldsOf(withPatch(found.resource, patch));
  const changes = compareFields(fieldsOf(found.resource), expected);
  output.print(...renderChanges(found, changes));
  if (changes.length === 0) return EXIT.ok;
  if (asked.dryRun) {
    output.print('Nothing was sent (--dry-run).');
    return EXIT.ok;
  }
  signal.throwIfAborted();
  await sendPatch(context, found, { patch, changes, expected });
  output.print('Changed: Losant has it so now.', NEXT_LISTING);
  const fields = changes.map(({ field }) => field);
  context.logger.info({ org_id: found.orgId, fields }, 'organization changed');
  return EXIT.ok;
}

const NEXT_LISTING =
  'The database follows with the next listing of the organizations: a run by hand, or once a UTC day.';

/** Throws LosantError unless the organization has what was to be changed. */
async function sendPatch(
  context: CommandContext,
  found: FoundOrg,
  { patch, changes, expected }: { patch: OrgPatch; changes: readonly FieldChange[]; expected: Fields },
): Promise<void> {
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
  context.output.remark(
    ...differences.map((each) => `Changed meanwhile, not by this command: ${describeChange(each)}`),
  );
}

function renderChanges({ organization, orgId }: FoundOrg, changes: readonly FieldChange[]): Line[] {
  const head = line`${styled('bold', organization.name)} (${orgId})`;
  if (changes.length === 0) return [line`${head}: nothing to change, it is so already; nothing was sent.`];
  const show = (value: string | null): Line => value ?? styled('dim', 'not set');
  const rows = changes.map(({ field, old, new: next }) => [field, show(old), show(next)]);
  return [head, ...renderTable({ head: ['field', 'now', 'new'], rows })];
}

/** Throws one SettingsError with all problems. */
export function readPatch(json: string): OrgPatch {
  const raw = parse(json);
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new SettingsError('--json is not a JSON object', {
      hint: `write the fields as JSON, in quotes of the shell: --json '{"limits":{"device":100}}'`,
    });
  }
  const { success, data, error } = orgPatch.safeParse(raw);
  if (success && Object.keys(data).length > 0) return data;
  if (success) throw new SettingsError('--json changes nothing', { hint: 'name the fields to change' });
  const problems = error.issues.flatMap((issue) => describeIssue(issue, raw));
  const title = problems.length === 1 ? '1 thing is wrong' : `${problems.length} things are wrong`;
  const lines = problems.map((problem) => `- ${problem}`);
  throw new SettingsError([`${title} with what is to be set:`, ...lines].join('\n'), {
    hint: 'Nothing was sent. https://docs.losant.com/rest-api/instance-org has the schema of the patch.',
  });
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/**
 * Returns the patch with all limits of the organization, because the documentation does not say whether Losant keeps
 * those that a map leaves out.
 */
export function completePatch(patch: OrgPatch, resource: Resource): OrgPatch {
  if (patch.limits === undefined) return patch;
  const isLimit = ([name, value]: readonly [string, unknown]) =>
    orgPatch.safeParse({ limits: { [name]: value } }).success;
  const kept = Object.fromEntries(Object.entries(mapOf(resource['limits'])).filter(isLimit));
  return orgPatch.parse({ ...patch, limits: { ...kept, ...patch.limits } });
}

/** Returns an organization with a patch applied. Limits that the patch does not name stay. */
export function withPatch(resource: Resource, patch: OrgPatch): Resource {
  if (patch.limits === undefined) return { ...resource, ...patch };
  return { ...resource, ...patch, limits: { ...mapOf(resource['limits']), ...patch.limits } };
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
  return [`${place === '' ? 'the patch' : place}${isShown ? `=${quote(String(value))}` : ''} ${message}`];
}
