import type { DatabaseHandle } from '../database/connect/open.ts';
import { markRemoved } from '../database/write/organizations.ts';
import { waiveCells } from '../database/write/waive.ts';
import { LosantError, SettingsError } from '../errors.ts';
import { mayHaveHappened } from '../losant/admin.ts';
import type { CommandContext } from './command.ts';
import { type FoundOrg, lookAgain } from './org.ts';
import type { Ending } from './org-ending.ts';
import { openAdmin } from './x-org-admin.ts';

/**
 * Deletes the organization in Losant: asked once, and done when Losant does not
 * know it any more. Throws LosantError if it is still there, or nobody can say.
 */
export async function removeOrg(context: CommandContext, found: FoundOrg): Promise<void> {
  const { orgId, instance } = found;
  let lost: LosantError | null = null;
  try {
    await openAdmin(context, instance).deleteOrg({ instanceId: instance.instanceId, orgId });
  } catch (error) {
    if (!mayHaveHappened(error)) throw error;
    lost = error;
    context.output.remark(`${error.message}: reading back what is so`);
  }
  if ((await confirm(found, lost)) === null) return;
  const kind = lost?.kind ?? 'bad_body';
  const said = lost === null ? 'Losant said that it was deleted' : lost.message;
  throw failed(kind, `Not deleted: ${said}, but organization ${orgId} is still there`, {
    hint: 'losant-usage org show tells what is so; a request that was slow may still be carried out',
  });
}

async function confirm(found: FoundOrg, lost: LosantError | null) {
  try {
    return await lookAgain(found);
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    const said = lost === null ? 'said to be deleted' : 'perhaps deleted';
    throw failed(
      error.kind,
      `Organization ${found.orgId} was ${said}, which cannot be confirmed: ${error.message}`,
      {
        hint: 'losant-usage org show tells once Losant answers; if it is gone, the next run notices',
        cause: error,
      },
    );
  }
}

function failed(
  kind: LosantError['kind'],
  message: string,
  details: { readonly hint: string; readonly cause?: unknown },
): LosantError {
  return new LosantError(kind, message, {
    ...details,
    action: 'instanceOrg.delete',
    status: null,
    body: null,
  });
}

/**
 * Marks the organization as removed, and with a reason waives what is missing of
 * it. Returns how many numbers were waived.
 */
export async function recordRemoval(
  { output }: CommandContext,
  db: DatabaseHandle['db'],
  {
    orgId,
    removedAtMs,
    missing,
    reason,
  }: { orgId: string; removedAtMs: number; missing: Ending['missing']; reason: string | null },
): Promise<number> {
  try {
    let waived = 0;
    if (reason !== null) {
      for (const { stream, day } of missing) {
        waived += await waiveUnlessHeld(db, { orgId, stream, range: { from: day, to: day }, reason });
      }
    }
    await markRemoved(db, [orgId], new Date(removedAtMs).toISOString());
    return waived;
  } catch (error) {
    output.remark(
      `Organization ${orgId} was deleted in Losant, but the database does not know it yet: the next run finds out.`,
    );
    throw error;
  }
}

/** A number that another process has loaded meanwhile needs no waiver. */
async function waiveUnlessHeld(
  db: DatabaseHandle['db'],
  waiver: Parameters<typeof waiveCells>[1],
): Promise<number> {
  try {
    return (await waiveCells(db, waiver)).length;
  } catch (error) {
    if (error instanceof SettingsError) return 0;
    throw error;
  }
}
