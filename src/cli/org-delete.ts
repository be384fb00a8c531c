import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { openInstance, readClock } from '../export/context.ts';
import type { RunOutcome } from '../export/report.ts';
import { runInstance } from '../export/run.ts';
import { applyTracks, fillInstance } from '../ledger/fill.ts';
import { markRemoved } from '../ledger/organizations.ts';
import { type OpenCells, readOpenCells } from '../queries/gaps.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { addDays, dayAt, earliestDay, latestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { isGap, isSettled, STANDINGS } from '../usage/standing.ts';
import { type CommandContext, defineCommand, type Ending } from './command.ts';
import { openSchema } from './database.ts';
import { flag, optional, org, text } from './options.ts';
import { changeOrg, type FoundOrg, findOrg } from './org.ts';
import { renderRun } from './run.ts';

interface Work extends CommandContext {
  readonly handle: DatabaseHandle;
  readonly found: FoundOrg;
  readonly now: () => number;
}

/**
 * Deletes an organization in Losant, after everything that can still be read of it has been exported, nothing is
 * missing and its name has been repeated. Any failure before that leaves it as it is.
 */
export const orgDelete = defineCommand({
  needs: ['losant', 'database', 'admin'],
  role: 'losant_usage_writer',
  options: {
    org,
    nameAgain: optional('NAME', 'its name, repeated exactly', text),
    dryRun: flag('show what would end; export and delete nothing'),
  },
  async run(context, { org: orgId, nameAgain, dryRun }) {
    if (nameAgain === null && !dryRun) {
      throw new SettingsError('The name of the organization was not repeated', {
        hint: `losant-usage org delete --org ${orgId} --dry-run shows what would end, and the command for it`,
      });
    }
    const found = await findOrg(context, orgId);
    const { name } = found.organization;
    if (nameAgain !== null && nameAgain !== name) {
      throw new SettingsError(`--name-again ${nameAgain}: organization ${orgId} is called ${name}`, {
        hint: 'nothing was deleted; repeat the name exactly, if it is the right organization',
      });
    }
    await using handle = await openSchema(context, { writes: !dryRun });
    const now = await readClock(context, handle);
    return await endOrg({ ...context, handle, found, now }, dryRun);
  },
});

async function endOrg(work: Work, isDryRun: boolean): Promise<Ending> {
  const { output, handle, now } = work;
  const { organization, orgId, instance } = work.found;
  const { instanceId } = instance;
  const { name } = organization;
  const outcome = isDryRun ? null : await exportLastDays(work);
  const open = (await readOpenCells(handle.db, orgId)).filter(({ standing }) => !isSettled(standing));
  const missing = open.filter(isMissing).reduce((sum, { days }) => sum + days, 0);
  output.print(
    ...(outcome === null ? [] : renderRun(instanceId, outcome)),
    `${name} (${orgId}) of instance ${instanceId}:`,
    ...renderTable({ rows: open.map(renderOpen) }),
    `  Lost for good: the usage of today, ${dayAt(now())}, which is never read.`,
  );
  const isRead = outcome?.report.failures.every((failure) => failure.orgId !== orgId) ?? false;
  const removedOn = isRead && missing === 0 ? await removeOrg(work) : null;
  const facts = { instanceId, orgId, name, isDeleted: removedOn !== null, removedOn, missing, open };
  const document = { ...facts, export: outcome?.report ?? null };
  if (outcome === null) {
    const next =
      'Nothing was exported or deleted (--dry-run). To export what can be read and then delete it:';
    const nameAgain = `'${name.replaceAll("'", `'\\''`)}'`;
    const command = `  losant-usage org delete --org ${orgId} --name-again ${nameAgain}`;
    return { document, lines: [next, command] };
  }
  if (removedOn === null) {
    const what = missing > 0 ? `missing are ${count(missing, 'number')}` : 'not all of it could be read';
    output.remark(
      `losant-usage: Not deleted: ${what}, and nobody could read it any more`,
      '  losant-usage gaps says why; repair it, or accept it with losant-usage waive, and start again',
    );
    return { document, exitCode: outcome.refusal === null ? EXIT.incomplete : EXIT.refused };
  }
  return { document, lines: [`Deleted: ${name}. Its numbers stay in the database.`] };
}

/** Reads what is due, and once more all days of which something is missing or could still change. */
async function exportLastDays(work: Work): Promise<RunOutcome> {
  const { config, handle, found, now, signal } = work;
  const yesterday = addDays(dayAt(now()), -1);
  const open = await readOpenCells(handle.db, found.orgId);
  const unsettled = open.filter((cells) => isMissing(cells) || cells.standing === 'stored');
  const from = earliestDay(yesterday, ...unsettled.map(({ first }) => first));
  return await runInstance(openInstance({ ...work, gates: new Map() }, found.instance), {
    kind: 'backfill',
    runId: work.newId(),
    orgIds: [found.orgId],
    streams: null,
    range: { from: latestDay(from, horizonStart(now(), config.policy)), to: yesterday },
    force: true,
    signal,
    waitMs: 0,
  });
}

/** Whether the cells are gaps, or would be once they are late. */
function isMissing({ standing }: OpenCells): boolean {
  return isGap(standing) || standing === 'waiting';
}

function renderOpen(cells: OpenCells): string[] {
  const { stream, standing, reason, message, first, last, days } = cells;
  const { label } = STANDINGS[standing];
  return [label, stream, showDays({ from: first, to: last }), count(days, 'day'), message ?? reason ?? ''];
}

/** Deletes it in Losant, ends its tracks and closes what is open. Returns the day on which it was removed. */
async function removeOrg(work: Work): Promise<string> {
  const { output, config, logger, signal, handle, found, now } = work;
  const { orgId, instance } = found;
  const { instanceId, streams, orgs: selection } = instance;
  signal.throwIfAborted();
  await changeOrg(work, found, null);
  const today = dayAt(now());
  const ledger = { db: handle.db, instanceId, policy: config.policy, now, lease: null };
  try {
    await markRemoved(ledger, { orgIds: [orgId], today });
    await applyTracks(ledger, { streams, selection });
    await fillInstance(ledger);
  } catch (error) {
    output.remark(`Organization ${orgId} was deleted in Losant; that the next run finds out by itself.`);
    throw error;
  }
  logger.info({ org_id: orgId, instance_id: instanceId }, 'organization deleted');
  return today;
}
