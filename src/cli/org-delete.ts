import { createInterface } from 'node:readline/promises';
import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, InterruptedError, SettingsError } from '../errors.ts';
import { openInstance, readClock } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import { applyTracks, fillInstance } from '../ledger/fill.ts';
import { markRemoved } from '../ledger/organizations.ts';
import { waiveCells } from '../ledger/waive.ts';
import { type OpenCells, readDevices, readOpenCells } from '../queries/gaps.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, latestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { isGap, isSettled, STANDINGS } from '../usage/standing.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { renderEnd } from './export-result.ts';
import { openSchema, requireWritable, useDatabase } from './open-database.ts';
import { flag, type OptionValues, optional, reason, text } from './options.ts';
import { changeError, changeOrg, type FoundOrg, findOrg, placeOptions } from './org.ts';
import { waitOption } from './run.ts';

const options = {
  ...placeOptions,
  nameAgain: optional('NAME', 'its name, repeated exactly', text, 'asked for on a terminal'),
  incomplete: optional(
    'REASON',
    'delete it although numbers are missing; all that is not final is waived with this reason',
    reason,
  ),
  dryRun: flag('show what would end; export and delete nothing'),
  wait: waitOption,
};

export const orgDelete = defineCommand({
  needs: ['losant', 'database', 'admin'],
  whenInterrupted:
    'what was loaded stays; losant-usage org show says whether the organization is still there',
  options,
  examples: () => ({
    'org delete --org 575ec8687ae143cd83dc4a97 --dry-run': 'what would end',
    'org delete --org 575ec8687ae143cd83dc4a97 --name-again "Acme Metering"': 'for good',
  }),
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
  if (nameAgain === null && !dryRun && !canAsk(context)) throw mustRepeat();
  const found = await findOrg(context, asked);
  const { organization, orgId } = found;
  if (nameAgain !== null && nameAgain !== organization.name) {
    const called = `organization ${orgId} is called ${organization.name}`;
    throw new SettingsError(`--name-again ${nameAgain}: ${called}`, {
      hint: 'nothing was deleted; repeat the name exactly, if it is the right organization',
    });
  }
  return await useDatabase(await openSchema(context, { ifMissing: 'refuse' }), async (handle) => {
    if (!dryRun) requireWritable(handle);
    const now = await readClock(context, handle);
    return await endOrg({ ...context, handle, found, asked, now });
  });
}

async function endOrg(work: Work): Promise<number> {
  const { output, signal, logger, handle, found, asked, now } = work;
  const { organization, orgId } = found;
  const { instanceId } = found.instance;
  const outcomes = asked.dryRun ? [] : await exportLastDays(work);
  const ending = await readEnding(handle, found, now());
  const shown = outcomes.filter(({ report }) => report.from !== null || report.status !== 'complete');
  const name = styled('bold', organization.name);
  output.print(
    ...shown.flatMap((outcome) => renderEnd({ instanceId, outcome }, false)),
    line`${name} (${orgId}) of instance ${instanceId}:`,
    ...renderEnding(ending, now()),
  );
  const toDocument = (removedOn: string | null, waived: number) => ({
    instanceId,
    orgId,
    name: organization.name,
    isDeleted: removedOn !== null,
    removedOn,
    ...ending,
    waived,
    exports: outcomes.map(({ report }) => report),
  });
  const refusal = asked.dryRun || asked.incomplete !== null ? null : whyNot(found, ending, outcomes.at(-1));
  if (asked.dryRun || refusal !== null) {
    output.printJson(toDocument(null, 0));
    if (asked.dryRun) output.print(NOTHING_DONE);
    output.remark(...(refusal?.lines ?? []));
    return refusal?.exitCode ?? EXIT.ok;
  }
  if (asked.nameAgain === null) await askForName(work);
  signal.throwIfAborted();
  await removeOrg(work, found);
  const today = dayAt(now());
  const waived = await recordRemoval(work, today, ending);
  logger.info(
    { org_id: orgId, instance_id: instanceId, reason: asked.incomplete, waived },
    'organization deleted',
  );
  output.printJson(toDocument(today, waived));
  output.print(line`Deleted: ${name}. Its numbers stay in the database.`);
  if (waived > 0) output.print(`${count(waived, 'number')} waived: ${asked.incomplete ?? ''}`);
  return EXIT.ok;
}

const NOTHING_DONE =
  'Nothing was exported or deleted (--dry-run). Before it is deleted, all of it that can be read is exported.';

/** Returns null if nothing is missing and the last days of the organization were all read. */
function whyNot(
  { orgId }: FoundOrg,
  { missing }: Ending,
  last: RunOutcome | undefined,
): { lines: string[]; exitCode: number } | null {
  const failures = last?.report.failures.filter((failure) => failure.orgId === orgId) ?? [];
  if (missing === 0 && failures.length === 0) return null;
  const numbers = `${count(missing, 'number')} ${missing === 1 ? 'is' : 'are'} missing`;
  const what = missing > 0 ? numbers : 'not all of its last days could be read again';
  return {
    lines: [
      `losant-usage: Not deleted: ${what}, and nobody could read it any more`,
      '  losant-usage gaps says why; repair it and start again, or give --incomplete REASON',
    ],
    exitCode: last?.refusal ? EXIT.refused : EXIT.incomplete,
  };
}

function canAsk({ stdin, stderr }: Pick<CommandContext, 'stdin' | 'stderr'>): boolean {
  return stderr.isTTY === true && stdin().isTTY === true;
}

/** Throws InterruptedError on Ctrl-C or at the end of input. */
async function askForName({ stdin, stderr, output, found }: Work): Promise<void> {
  const { name } = found.organization;
  const reader = createInterface({ input: stdin(), output: stderr, terminal: true });
  const stop = new AbortController();
  const end = () => stop.abort(new InterruptedError('SIGINT'));
  reader.once('SIGINT', end).once('close', end);
  const question = 'To delete it for good, type its name; Ctrl-C leaves it as it is: ';
  try {
    while ((await reader.question(question, { signal: stop.signal })).trim() !== name.trim()) {
      output.remark('  That is not its name.');
    }
  } catch (error) {
    throw stop.signal.aborted ? (stop.signal.reason as Error) : error;
  } finally {
    reader.off('close', end).close();
  }
}

function mustRepeat(): SettingsError {
  const message = 'The name of the organization was not repeated, and this is no terminal to ask at';
  return new SettingsError(message, {
    hint: 'give it with --name-again "NAME"; losant-usage org show has it',
  });
}

/** Throws LosantError if the organization still exists, or if that cannot be found out. */
async function removeOrg(context: CommandContext, found: FoundOrg): Promise<void> {
  const { after, lost } = await changeOrg(context, found, null);
  if (after === null) return;
  const said = lost?.message ?? 'Losant said that it was deleted';
  const message = `Not deleted: ${said}, but organization ${found.orgId} is still there`;
  throw changeError('instanceOrg.delete', lost?.kind ?? 'bad_body', message, {
    hint: 'losant-usage org show says what is so; a request that was slow may still be carried out',
  });
}

/** Ends its tracks and closes what is open, which is waived if a reason was given. Returns the number of waivers. */
async function recordRemoval(work: Work, today: string, { open }: Ending): Promise<number> {
  const { output, config, handle, found, asked, now } = work;
  const { orgId, instance } = found;
  const { db } = handle;
  const write = { runId: null, lease: null, now };
  const filling = { instanceId: instance.instanceId, nowMs: now(), policy: config.policy };
  try {
    await markRemoved(db, write, { orgIds: [orgId], today });
    await applyTracks(db, write, { ...filling, streams: instance.streams, selection: instance.orgs });
    await fillInstance(db, write, filling);
    const range = rangeOf(open);
    if (range === null) return 0;
    if (asked.incomplete === null) {
      const command = `losant-usage waive --org ${orgId} --day ${showDays(range)} --reason TEXT`;
      output.print(
        'What was not final can no longer become so. To accept it, for whoever bills:',
        `  ${command}`,
      );
      return 0;
    }
    const waiver = { orgId, streams: null, range, reason: asked.incomplete, policy: config.policy };
    return (await waiveCells(db, waiver)).length;
  } catch (error) {
    output.remark(
      `Organization ${orgId} was deleted in Losant, but the database does not know it yet: the next run finds out.`,
    );
    throw error;
  }
}

/** What ends with the organization. */
type Ending = Awaited<ReturnType<typeof readEnding>>;

/** Whether the cells are gaps, or would be once they are late. */
function isMissing({ standing }: Pick<OpenCells, 'standing'>): boolean {
  return isGap(standing) || standing === 'waiting';
}

function rangeOf(cells: readonly OpenCells[]): DayRange | null {
  const [from] = cells.map(({ first }) => first).toSorted();
  const to = cells
    .map(({ last }) => last)
    .toSorted()
    .at(-1);
  return from === undefined || to === undefined ? null : { from, to };
}

/** Exports what is due, and then once more all days of which something is missing or could still change. */
async function exportLastDays(work: Work): Promise<RunOutcome[]> {
  const { config, handle, found, now } = work;
  const outcomes = [await exportOrg(work, null)];
  const cells = await readOpenCells(handle.db, found.orgId);
  const range = rangeOf(cells.filter((cell) => isMissing(cell) || cell.standing === 'stored'));
  const yesterday = addDays(dayAt(now()), -1);
  if (range === null) return outcomes;
  const from = latestDay(range.from, horizonStart(now(), config.policy));
  return from > yesterday ? outcomes : [...outcomes, await exportOrg(work, { from, to: yesterday })];
}

async function exportOrg(work: Work, range: DayRange | null): Promise<RunOutcome> {
  const { found, handle, now, signal, asked } = work;
  const opened = openInstance(work, found.instance, { handle, now, gates: new Map() });
  return await runInstance(opened, {
    kind: range === null ? 'manual' : 'backfill',
    runId: work.newId(),
    orgIds: [found.orgId],
    streams: null,
    range,
    force: range !== null,
    signal,
    waitMs: (asked.wait ?? 0) * 1_000,
    onHeld: ({ message }) => work.output.remark(`${message}; waiting`),
  });
}

async function readEnding({ db }: DatabaseHandle, { orgId }: FoundOrg, nowMs: number) {
  const open = (await readOpenCells(db, orgId)).filter(({ standing }) => !isSettled(standing));
  const missing = open.filter(isMissing).reduce((sum, { days }) => sum + days, 0);
  const day = addDays(dayAt(nowMs), -1);
  /** Numbers that are missing, the cells that are not settled, and the devices at the end of yesterday. */
  return { missing, open, devices: await readDevices(db, { orgId, day }) };
}

function renderEnding({ open, devices }: Ending, nowMs: number): Line[] {
  const rows = open.map(({ stream, standing, reason: why, message, first, last, days }): Line[] => {
    const { label } = STANDINGS[standing];
    return [
      isMissing({ standing }) ? styled('red', label) : label,
      stream,
      showDays({ from: first, to: last }),
      count(days, 'day'),
      message ?? why ?? '',
    ];
  });
  return [
    ...(devices === null ? [] : [`  ${count(devices, 'device')} at the end of yesterday`]),
    ...(rows.length === 0 ? ['  Every wanted number of it is final or accepted.'] : renderTable({ rows })),
    line`  ${styled('yellow', 'Lost for good')}: the usage of today, ${dayAt(nowMs)}, which is never read.`,
  ];
}
