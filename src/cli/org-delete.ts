import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { openInstance, readClock } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import { applyTracks, fillInstance } from '../ledger/fill.ts';
import { markRemoved } from '../ledger/organizations.ts';
import { type OpenCells, readOpenCells } from '../queries/gaps.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, latestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { isGap, isSettled, STANDINGS } from '../usage/standing.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { withDatabase } from './open-database.ts';
import { flag, type OptionValues, optional, text } from './options.ts';
import { changeOrg, type FoundOrg, findOrg, placeOptions, type Resource } from './org.ts';
import { renderEnd } from './run-result.ts';

const options = {
  ...placeOptions,
  nameAgain: optional('NAME', 'its name, repeated exactly', text),
  dryRun: flag('show what would end; export and delete nothing'),
};

export const orgDelete = defineCommand({
  needs: ['losant', 'database', 'admin'],
  options,
  run: deleteOrg,
});

interface Work extends CommandContext {
  readonly handle: DatabaseHandle;
  readonly found: FoundOrg;
  readonly asked: OptionValues<typeof options>;
  readonly now: () => number;
}

/**
 * Deletes an organization in Losant, after everything that can still be read of it has been exported, nothing is
 * missing and its name has been repeated. Any failure before that leaves it as it is.
 */
async function deleteOrg(context: CommandContext, asked: OptionValues<typeof options>): Promise<number> {
  const { nameAgain, dryRun } = asked;
  if (nameAgain === null && !dryRun) {
    throw new SettingsError('The name of the organization was not repeated', {
      hint: `losant-usage org delete --org ${asked.org} --dry-run shows what would end, and the command for it`,
    });
  }
  const found = await findOrg(context, asked);
  const { name } = found.organization;
  if (nameAgain !== null && nameAgain !== name) {
    throw new SettingsError(`--name-again ${nameAgain}: organization ${found.orgId} is called ${name}`, {
      hint: 'nothing was deleted; repeat the name exactly, if it is the right organization',
    });
  }
  const work = async (handle: DatabaseHandle) => {
    const now = await readClock(context, handle);
    return await endOrg({ ...context, handle, found, asked, now });
  };
  return await withDatabase(context, work, { writes: !dryRun });
}

async function endOrg(work: Work): Promise<number> {
  const { output, found, asked, now } = work;
  const { organization, orgId, instance } = found;
  const { instanceId } = instance;
  const outcome = asked.dryRun ? null : await exportLastDays(work);
  const ending = await readEnding(work);
  const name = styled('bold', organization.name);
  output.print(
    ...(outcome === null ? [] : renderEnd({ instanceId, outcome })),
    line`${name} (${orgId}) of instance ${instanceId}:`,
    ...renderEnding(ending, now()),
  );
  const isRead = outcome?.report.failures.every((failure) => failure.orgId !== orgId) ?? false;
  const removedOn = ending.missing === 0 && isRead ? await removeOrg(work) : null;
  const facts = { instanceId, orgId, name: organization.name, isDeleted: removedOn !== null, removedOn };
  output.printJson({ ...facts, ...ending, export: outcome?.report ?? null });
  if (outcome === null) {
    const quoted = organization.name.replaceAll("'", `'\\''`);
    output.print(
      'Nothing was exported or deleted (--dry-run). To export what can be read and then delete it:',
      `  losant-usage org delete --org ${orgId} --name-again '${quoted}'`,
    );
    return EXIT.ok;
  }
  if (removedOn === null) {
    const missing = `missing are ${count(ending.missing, 'number')}`;
    const what = ending.missing > 0 ? missing : 'not all of it could be read';
    output.remark(
      `losant-usage: Not deleted: ${what}, and nobody could read it any more`,
      '  losant-usage gaps says why; repair it, or accept it with losant-usage waive, and start again',
    );
    return outcome.refusal === null ? EXIT.incomplete : EXIT.refused;
  }
  output.print(line`Deleted: ${name}. Its numbers stay in the database.`);
  const range = rangeOf(ending.open);
  if (range !== null) {
    output.print(
      'What was not final can no longer become so. To accept it, for whoever bills:',
      `  losant-usage waive --org ${orgId} --day ${showDays(range)} --reason TEXT`,
    );
  }
  return EXIT.ok;
}

/** Reads what is due, and once more all days of which something is missing or could still change. */
async function exportLastDays(work: Work): Promise<RunOutcome> {
  const { config, handle, found, now, signal } = work;
  const yesterday = addDays(dayAt(now()), -1);
  const open = await readOpenCells(handle.db, found.orgId);
  const unsettled = open.filter((cell) => isMissing(cell) || cell.standing === 'stored');
  const first = rangeOf(unsettled)?.from ?? yesterday;
  const opened = openInstance(work, found.instance, { handle, now, gates: new Map() });
  return await runInstance(opened, {
    kind: 'backfill',
    runId: work.newId(),
    orgIds: [found.orgId],
    streams: null,
    range: { from: latestDay(first, horizonStart(now(), config.policy)), to: yesterday },
    force: true,
    signal,
    waitMs: 0,
  });
}

/** What ends with the organization: the cells that are not settled, and how many of their numbers are missing. */
type Ending = Awaited<ReturnType<typeof readEnding>>;

async function readEnding({ handle: { db }, found: { orgId } }: Work) {
  const open = (await readOpenCells(db, orgId)).filter(({ standing }) => !isSettled(standing));
  const missing = open.filter(isMissing).reduce((sum, { days }) => sum + days, 0);
  return { missing, open };
}

/** Whether the cells are gaps, or would be once they are late. */
function isMissing({ standing }: Pick<OpenCells, 'standing'>): boolean {
  return isGap(standing) || standing === 'waiting';
}

function renderEnding({ open }: Ending, nowMs: number): Line[] {
  const rows = open.map(({ stream, standing, reason: why, message, first, last, days }): Line[] => {
    const { label } = STANDINGS[standing];
    const state = isMissing({ standing }) ? styled('red', label) : label;
    return [state, stream, showDays({ from: first, to: last }), count(days, 'day'), message ?? why ?? ''];
  });
  return [
    ...(rows.length === 0 ? ['  Every wanted number of it is final or accepted.'] : renderTable({ rows })),
    line`  ${styled('yellow', 'Lost for good')}: the usage of today, ${dayAt(nowMs)}, which is never read.`,
  ];
}

/** Deletes it in Losant, ends its tracks and closes what is open. Returns the day on which it was removed. */
async function removeOrg(work: Work): Promise<string> {
  const { output, config, logger, signal, handle, found, now } = work;
  const { orgId, instance } = found;
  const { instanceId, streams, orgs: selection } = instance;
  signal.throwIfAborted();
  const missed = (after: Resource | null) => (after === null ? null : 'the organization is still there');
  await changeOrg(work, found, { patch: null, missed });
  const today = dayAt(now());
  const write = { lease: null, now };
  const filling = { instanceId, nowMs: now(), policy: config.policy };
  try {
    await markRemoved(handle.db, write, { orgIds: [orgId], today });
    await applyTracks(handle.db, write, { ...filling, streams, selection });
    await fillInstance(handle.db, write, filling);
  } catch (error) {
    output.remark(`Organization ${orgId} was deleted in Losant; that the next run finds out by itself.`);
    throw error;
  }
  logger.info({ org_id: orgId, instance_id: instanceId }, 'organization deleted');
  return today;
}

function rangeOf(cells: readonly OpenCells[]): DayRange | null {
  const [from] = cells.map(({ first }) => first).toSorted();
  const to = cells
    .map(({ last }) => last)
    .toSorted()
    .at(-1);
  return from === undefined || to === undefined ? null : { from, to };
}
