import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { createExpectedCells, syncTracks } from '../ledger/expected.ts';
import { markDeleted } from '../ledger/organizations.ts';
import { readClock } from '../loading/context.ts';
import type { RunOutcome } from '../loading/report.ts';
import { runOnce } from '../loading/run.ts';
import { Gate } from '../losant/rate.ts';
import { type NonFinalCells, readNonFinalCells } from '../queries/gaps.ts';
import { formatTable, quoteForShell } from '../terminal/text.ts';
import { count, showCode, showDays, showName } from '../terminal/words.ts';
import { addDays, dayAt, earliestDay, latestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { isGap, isSettled } from '../usage/standing.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { flagOption, optionalOption, orgOption, text } from './options.ts';
import { changeOrg, findOrg, type OrgLookup } from './org.ts';
import { renderRun } from './render-run.ts';

interface DeleteContext extends CommandContext {
  readonly handle: DatabaseHandle;
  readonly lookup: OrgLookup;
  readonly now: () => number;
  /** The run that loads the last days and marks the others unavailable. */
  readonly runId: string;
}

/** Loads all that can still be read of an organization, then deletes it; deletes nothing if something is missing. */
export const orgDelete = defineCommand({
  needs: ['losant', 'database', 'admin'],
  role: 'losant_usage_writer',
  options: {
    org: orgOption,
    confirm: optionalOption('NAME', "the organization's exact name, to confirm", text),
    dryRun: flagOption('show what would be lost; load and delete nothing'),
  },
  async run(context, { org: orgId, confirm, dryRun }) {
    if (confirm === null && !dryRun) {
      throw new SettingsError('Deleting an organization requires --confirm NAME', {
        hint: `losant-usage org delete --org ${orgId} --dry-run shows what would be lost, and the command to run`,
      });
    }
    const lookup = await findOrg(context, orgId);
    const { name } = lookup.organization;
    if (confirm !== null && confirm !== name) {
      throw new SettingsError(`--confirm ${confirm} does not match: organization ${orgId} is named ${name}`, {
        hint: 'nothing was deleted; if this is the right organization, give its exact name',
      });
    }
    await using handle = await openSchema(context, dryRun ? 'reads' : 'writes');
    const now = await readClock(context, handle);
    const runId = context.newId();
    return await loadAndDelete({ ...context, handle, lookup, now, runId }, dryRun);
  },
});

async function loadAndDelete(context: DeleteContext, isDryRun: boolean): Promise<CommandResult> {
  const { output, handle, now } = context;
  const { organization, orgId } = context.lookup;
  const { name } = organization;
  const outcome = isDryRun ? null : await loadLastDays(context);
  const unsettledCells = (await readNonFinalCells(handle.db, orgId)).filter(({ standing }) => !isSettled(standing));
  const missing = unsettledCells.filter(isMissing).reduce((sum, { days }) => sum + days, 0);
  output.print(
    ...(outcome === null ? [] : renderRun(outcome)),
    `${name} (${orgId}):`,
    ...formatTable({ rows: unsettledCells.map(renderCells) }),
    `  Lost for good: today's usage (${dayAt(now())}), which is never read.`,
  );
  const isRead = outcome?.report.failures.every((failure) => failure.orgId !== orgId) ?? false;
  const deletedOn = isRead && missing === 0 ? await deleteOrg(context) : null;
  const facts = { orgId, name, isDeleted: deletedOn !== null, deletedOn };
  const document = { ...facts, missing, unsettledCells, run: outcome?.report ?? null };
  if (outcome === null) {
    const next = 'Dry run: nothing was loaded or deleted. To load the remaining days and delete the organization:';
    // With "=", because a name may begin with "-".
    const command = `  losant-usage org delete --org ${orgId} --confirm=${quoteForShell(name)}`;
    return { document, lines: [next, command] };
  }
  if (deletedOn === null) {
    const [cause, reasons] =
      missing > 0
        ? [`${count(missing, 'cell is', 'cells are')} missing`, 'see losant-usage gaps for the reasons']
        : ['some days could not be read', 'the failures of the run say why'];
    output.remark(
      `losant-usage: not deleted: ${cause}, and after the deletion nobody could read them`,
      `  ${reasons}; fix them or waive the cells, then run this again`,
    );
    return { document, exitCode: outcome.rejection === null ? EXIT.incomplete : EXIT.rejected };
  }
  return {
    document,
    lines: [`Deleted ${showName(name, orgId)}. Its usage stays in the database.`, ...(await describeLastDays(context))],
  };
}

/** Returns how to bill the days that did not become final; [] if there are none. */
async function describeLastDays({ handle, lookup: { orgId } }: DeleteContext): Promise<string[]> {
  const cells = (await readNonFinalCells(handle.db, orgId)).filter(({ standing }) => standing === 'unavailable');
  if (cells.length === 0) return [];
  const [from, to] = [earliestDay(...cells.map(({ first }) => first)), latestDay(...cells.map(({ last }) => last))];
  return [
    'Some of its days did not become final, and block their months. To bill them as they stand:',
    `  losant-usage waive --org ${orgId} --day ${from}..${to} --reason TEXT`,
  ];
}

/** Loads what is due, then once more every day that is missing or could still change. */
async function loadLastDays(context: DeleteContext): Promise<RunOutcome> {
  const { config, handle, lookup, now, signal } = context;
  const yesterday = addDays(dayAt(now()), -1);
  const nonFinalCells = await readNonFinalCells(handle.db, lookup.orgId);
  const pendingCells = nonFinalCells.filter((cells) => isMissing(cells) || cells.standing === 'stored');
  const from = earliestDay(yesterday, ...pendingCells.map(({ first }) => first));
  return await runOnce(
    { ...context, readNow: () => Promise.resolve(now), gate: new Gate(config) },
    {
      kind: 'backfill',
      runId: context.runId,
      orgIds: [lookup.orgId],
      streams: null,
      range: { from: latestDay(from, horizonStart(now(), config.policy)), to: yesterday },
      force: true,
      signal,
    },
  );
}

/** Returns whether the cells are gaps, or become gaps once they are late. */
function isMissing({ standing }: NonFinalCells): boolean {
  return isGap(standing) || standing === 'waiting';
}

function renderCells(cells: NonFinalCells): string[] {
  const { stream, standing, reason, detail, first, last, days } = cells;
  const range = showDays({ from: first, to: last });
  return [showCode(standing), stream, range, count(days, 'day'), detail ?? reason ?? ''];
}

/** Deletes the organization in Losant, ends its tracks and creates their last cells. Returns the day of deletion. */
async function deleteOrg(context: DeleteContext): Promise<string> {
  const { output, config, logger, signal, handle, lookup, now, runId } = context;
  const { orgId } = lookup;
  const { streams, selection, policy } = config;
  signal.throwIfAborted();
  await changeOrg(context, lookup, null);
  const today = dayAt(now());
  const ledger = { db: handle.db, policy, now, lease: null, runId };
  try {
    await markDeleted(ledger, { orgIds: [orgId], today });
    await syncTracks(ledger, { streams, selection });
    await createExpectedCells(ledger);
  } catch (error) {
    output.remark(
      `Organization ${orgId} was deleted in Losant, but the database was not updated; the next run does that.`,
    );
    throw error;
  }
  logger.info({ org_id: orgId }, 'organization deleted');
  return today;
}
