import { z } from 'zod';
import { EXIT, SettingsError } from '../errors.ts';
import { type OrgPatch, orgPatch } from '../losant/admin.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { flag, type OptionValues, required, text } from './options.ts';
import {
  changeOrg,
  compareOrgs,
  describeChange,
  type FieldChange,
  type FoundOrg,
  findOrg,
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
  run: setOrg,
});

/** Sends nothing if nothing would change; the organization must have the changes when it is read back. */
async function setOrg(context: CommandContext, asked: OptionValues<typeof options>): Promise<number> {
  const { output, signal } = context;
  const wanted = readPatch(asked.json);
  const found = await findOrg(context, asked);
  const patch = completePatch(wanted, found.resource);
  const expected = withPatch(found.resource, patch);
  const changes = compareOrgs(found.resource, expected);
  output.print(...renderChanges(found, changes));
  if (changes.length === 0) return EXIT.ok;
  if (asked.dryRun) {
    output.print('Nothing was sent (--dry-run).');
    return EXIT.ok;
  }
  signal.throwIfAborted();
  const fields = changes.map(({ field }) => field);
  const missed = (after: Resource | null) => {
    if (after === null) return 'the organization is gone';
    const differences = compareOrgs(expected, after).filter(({ field }) => fields.includes(field));
    return differences.length === 0 ? null : differences.map(describeChange).join('; ');
  };
  await changeOrg(context, found, { patch, missed });
  output.print(
    'Changed: Losant has it so now.',
    'The database follows with the next listing of the organizations: a run by hand, or once a UTC day.',
  );
  context.logger.info({ org_id: found.orgId, fields }, 'organization changed');
  return EXIT.ok;
}

function renderChanges({ organization, orgId }: FoundOrg, changes: readonly FieldChange[]): Line[] {
  const head = line`${styled('bold', organization.name)} (${orgId})`;
  if (changes.length === 0) return [line`${head}: nothing to change, it is so already; nothing was sent.`];
  const show = (value: string | null): Line => value ?? styled('dim', 'not set');
  const rows = changes.map(({ field, old, new: next }) => [field, show(old), show(next)]);
  return [head, ...renderTable({ head: ['field', 'now', 'new'], rows })];
}

/** Reads a patch, dates in the spelling of Losant. Throws one SettingsError with all problems. */
export function readPatch(json: string): OrgPatch {
  const { success, data, error } = orgPatch.safeParse(parseJson(json));
  if (success) {
    if (Object.keys(data).length === 0) {
      throw new SettingsError('--json changes nothing', { hint: 'name the fields to change' });
    }
    const { disabledAt } = data;
    return typeof disabledAt === 'string'
      ? { ...data, disabledAt: new Date(disabledAt).toISOString() }
      : data;
  }
  const problems = error.issues.map((issue) => {
    const place = z.core.toDotPath(issue.path) || 'the patch';
    return issue.code === 'unrecognized_keys'
      ? `- ${place} has no field ${issue.keys.join(', ')}`
      : `- ${place} ${issue.message}`;
  });
  throw new SettingsError(['--json is not a patch that Losant takes:', ...problems].join('\n'), {
    hint: 'Nothing was sent. https://docs.losant.com/rest-api/instance-org has the schema of the patch.',
  });
}

/** Returns null for what is no JSON, as no patch is null either. */
function parseJson(json: string): unknown {
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
export function completePatch(patch: OrgPatch, { limits = {} }: Resource): OrgPatch {
  if (patch.limits === undefined) return patch;
  const isLimit = ([name, value]: readonly [string, unknown]) =>
    orgPatch.safeParse({ limits: { [name]: value } }).success;
  const kept = Object.fromEntries(Object.entries(limits ?? {}).filter(isLimit));
  return { ...patch, limits: { ...kept, ...patch.limits } };
}

/** Returns an organization with a patch applied. Limits that the patch does not name stay. */
function withPatch(resource: Resource, patch: OrgPatch): Resource {
  const limits = { ...(resource['limits'] as object | undefined), ...patch.limits };
  return { ...resource, ...patch, limits };
}
