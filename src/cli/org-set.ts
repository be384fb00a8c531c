import { LosantError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { mayHaveHappened } from '../losant/admin.ts';
import type { OrgPatch } from '../losant/org-patch.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import type { CommandContext } from './command.ts';
import { type FoundOrg, findOrg, lookAgain, type OrgAsked } from './org.ts';
import { completePatch, type PatchOptions, readWanted } from './org-changes.ts';
import { openAdmin } from './x-org-admin.ts';
import { compareFields, type FieldChange, fieldsOf, withPatch } from './x-org-fields.ts';

/**
 * Changes an organization: everything is checked first, what changes is shown,
 * and the answer must have it. Nothing to change: nothing is sent.
 */
export async function setOrg(
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
