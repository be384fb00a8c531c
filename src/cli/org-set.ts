import { LosantError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { mayHaveHappened } from '../losant/admin.ts';
import type { OrgPatch } from '../losant/org-patch.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import type { Tag } from '../usage/organization.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { fail, type OptionSpec, pathOption, switchOption, textOption, valueOption } from './options.ts';
import { type FoundOrg, findOrg, lookAgain, type OrgAsked, placeOptions } from './org.ts';
import { openAdmin } from './org-admin.ts';
import {
  compareFields,
  completePatch,
  type FieldChange,
  fieldsOf,
  type PatchOptions,
  readWanted,
  withPatch,
} from './org-changes.ts';

/** Limits by name, each once. */
const limitOption: OptionSpec<Readonly<Record<string, number>> | null> = {
  ...valueOption('NAME=N', 'set a limit; the others stay', (text, previous) => {
    const [, name = '', number = ''] = /^([^=]+)=(\d{1,15})$/.exec(text) ?? [];
    if (name === '') fail('A limit is written NAME=N, N a whole number of 0 or more.');
    if (previous !== null && Object.hasOwn(previous, name)) fail(`Give ${name} once.`);
    return { ...previous, [name]: Number(number) };
  }),
  isRepeated: true,
};

const tagOption: OptionSpec<readonly Tag[] | null> = {
  ...valueOption(
    'KEY=VALUE',
    'set a tag, in place of all with its key; the others stay',
    (text, previous) => {
      const [, key = '', value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
      if (value === '') fail('A tag is written KEY=VALUE.');
      return [...(previous ?? []), { key, value }];
    },
  ),
  isRepeated: true,
};

const auditLogOption: OptionSpec<boolean | null> = {
  ...valueOption('on|off', 'whether it keeps an audit log', (text) => {
    if (text === 'on' || text === 'off') return text === 'on';
    return fail('Use on or off.');
  }),
  choices: ['on', 'off'],
};

export const orgSet = defineCommand({
  needs: 'admin',
  options: {
    ...placeOptions,
    name: textOption('TEXT', 'its name'),
    description: textOption('TEXT', 'its description'),
    referralId: textOption('TEXT', 'your own customer number'),
    limit: limitOption,
    tag: tagOption,
    disable: switchOption('disable it from now on'),
    enable: switchOption('enable it again'),
    auditLog: auditLogOption,
    body: pathOption('FILE', 'a file with a patch in JSON, for everything else'),
    dryRun: switchOption('show what would change and send no change'),
  },
  whenInterrupted: 'losant-usage org show tells whether the change was made',
  examples: () => [
    {
      args: 'org set --org 575ec8687ae143cd83dc4a97 --limit device=500 --limit payload=1000000 --dry-run',
      does: 'what two new limits would change',
    },
    {
      args: 'org set --org 575ec8687ae143cd83dc4a97 --tag region=eu --disable',
      does: 'tag it, and disable it',
    },
  ],
  run: setOrg,
});

/**
 * Changes an organization: everything is checked first, what changes is shown,
 * and the answer must have it. Nothing to change: nothing is sent.
 */
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
  if (!output.json) output.print(...renderChanges(found, changes));
  signal.throwIfAborted();
  const answer = isSent ? await sendPatch(context, found, patch) : null;
  const missed = answer === null ? [] : compareFields(expected, fieldsOf(answer));
  if (missed.length > 0) throw notTaken(found, missed);
  if (output.json) {
    const place = { instanceId: found.instance.instanceId, orgId: found.orgId };
    output.printJson({ ...place, isChanged: isSent, changes, organization: answer ?? found.resource });
  } else if (isSent) {
    output.print('Changed: Losant has it so now.', NEXT_LISTING);
    context.logger.info(
      { org_id: found.orgId, fields: changes.map(({ field }) => field) },
      'organization changed',
    );
  } else if (changes.length > 0) output.print('Nothing was sent (--dry-run).');
  return EXIT.ok;
}

const NEXT_LISTING = 'The database follows with the next listing of the organizations, once a UTC day.';

/** The organization after the change. Sent once: if the answer is lost, the organization is read back. */
async function sendPatch(
  context: CommandContext,
  found: FoundOrg,
  patch: OrgPatch,
): Promise<FoundOrg['resource']> {
  const { orgId, instance } = found;
  try {
    return (await openAdmin(context, instance).patchOrg({ instanceId: instance.instanceId, orgId }, patch))
      .resource;
  } catch (error) {
    if (!mayHaveHappened(error)) throw error;
    context.output.remark(`${error.message}: reading back what is so`);
    const now = await lookAgain(found).catch(() => null);
    if (now === null) throw error;
    return now.resource;
  }
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

/** Losant answered, or was read back, without the change. */
function notTaken({ orgId }: FoundOrg, missed: readonly FieldChange[]): LosantError {
  const shown = missed.map(
    (each) => `${each.field} is ${each.new ?? 'not set'} and not ${each.old ?? 'unset'}`,
  );
  return new LosantError(
    'bad_body',
    `instanceOrg.patch (org ${orgId}): not all is as asked: ${shown.join('; ')}`,
    {
      hint: 'losant-usage org show tells what is so; a request that was slow may still be carried out',
      action: 'instanceOrg.patch',
      status: null,
      body: null,
    },
  );
}
