import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { openInstance, readClock } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import { markRemoved } from '../ledger/organizations.ts';
import { waiveCells } from '../ledger/waive.ts';
import { type OrgCell, readDevices, readOrgCells } from '../queries/gaps.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { dayAt, mergeDays, type UsageDay } from '../usage/day.ts';
import type { Ask } from '../usage/plan.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import { isGap } from '../usage/standing.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { waitWhileHeld } from './export-instances.ts';
import { waitOption } from './export-options.ts';
import { renderEnd } from './export-result.ts';
import { openSchema, requireWritable, useDatabase } from './open-database.ts';
import { type OptionValues, switchOption, textOption } from './options.ts';
import { changeError, changeOrg, type FoundOrg, findOrg, placeOptions } from './org.ts';
import { canAsk, openQuestions } from './questions.ts';

const deleteOptions = {
  ...placeOptions,
  nameAgain: textOption('NAME', 'its name, repeated exactly; asked for on a terminal'),
  incomplete: textOption(
    'REASON',
    'delete it although numbers are missing, which are waived with this reason',
  ),
  dryRun: switchOption('show what would end; export and delete nothing'),
  wait: waitOption,
};

type DeleteOptions = OptionValues<typeof deleteOptions>;

export const orgDelete = defineCommand({
  needs: ['losant', 'database', 'admin'],
  whenInterrupted:
    'what was loaded stays; losant-usage org show says whether the organization is still there',
  options: deleteOptions,
  examples: () => ({
    'org delete --org 575ec8687ae143cd83dc4a97 --dry-run': 'what would end',
    'org delete --org 575ec8687ae143cd83dc4a97 --name-again "Acme Metering"': 'for good',
  }),
  run: deleteOrg,
});

interface Work extends CommandContext {
  readonly handle: DatabaseHandle;
  readonly found: FoundOrg;
  readonly options: DeleteOptions;
  readonly giveUpAtMs: number;
  readonly now: () => number;
}

/**
 * `deleteOrg` deletes an organization in Losant, after everything that can still be read of it has been exported,
 * nothing is missing and its name has been repeated. Any failure before that leaves it as it is.
 */
async function deleteOrg(context: CommandContext, options: DeleteOptions): Promise<number> {
  const { nameAgain, dryRun, incomplete } = options;
  if (incomplete?.trim() === '') {
    throw new SettingsError('--incomplete is empty', { hint: 'say why the numbers may be missing' });
  }
  if (nameAgain === null && !dryRun && !canAsk(context)) throw mustRepeat();
  const found = await findOrg(context, options);
  if (nameAgain !== null) requireName(found, nameAgain);
  const giveUpAtMs = context.hostNow() + options.wait * 1_000;
  const open = () => openSchema(context, { ifMissing: 'refuse' });
  const handle = await waitWhileHeld(context, giveUpAtMs, open);
  return await useDatabase(handle, async () => {
    if (!dryRun) requireWritable(handle);
    const now = await readClock(context, handle);
    return await endOrg({ ...context, handle, found, options, giveUpAtMs, now });
  });
}

async function endOrg(work: Work): Promise<number> {
  const { output, signal, logger, handle, found, options, now } = work;
  const { dryRun, incomplete: reason } = options;
  const { organization, orgId } = found;
  const { instanceId } = found.instance;
  const name = styled('bold', organization.name);
  const outcomes = dryRun ? [] : await exportLastDays(work);
  const ending = await readEnding(handle, found);
  const shown = outcomes.filter(({ report }) => report.from !== null || report.status !== 'complete');
  const ends = shown.map((outcome) => ({ instanceId, outcome, nextTryAt: null }));
  output.print(
    ...ends.flatMap((end) => renderEnd(end, { verbose: false, nowMs: now() })),
    line`${name} (${orgId}) of instance ${instanceId}:`,
    ...renderEnding(ending, dayAt(now())),
  );
  const toDocument = (removedAt: string | null, waived: number) => ({
    ...{ instanceId, orgId, name: organization.name, isDeleted: removedAt !== null, removedAt },
    ...{ ...ending, waived, exports: outcomes.map(({ report }) => report) },
  });
  const refusal = dryRun || reason !== null ? null : whyNot(found, ending, outcomes.at(-1));
  if (dryRun || refusal !== null) {
    output.printJson(toDocument(null, 0));
    if (dryRun) output.print(NOTHING_DONE);
    output.remark(...(refusal?.lines ?? []));
    return refusal?.exitCode ?? EXIT.ok;
  }
  if (options.nameAgain === null) await askForName(work);
  signal.throwIfAborted();
  await removeOrg(work, found);
  const removedAt = new Date(now()).toISOString();
  const waived = await recordRemoval(work, removedAt, ending);
  logger.info({ org_id: orgId, instance_id: instanceId, reason, waived }, 'organization deleted');
  output.printJson(toDocument(removedAt, waived));
  output.print(line`Deleted: ${name}. Its numbers stay in the database.`);
  if (waived > 0) output.print(`${count(waived, 'missing number')} waived: ${reason ?? ''}`);
  return EXIT.ok;
}

const NOTHING_DONE =
  'Nothing was exported or deleted (--dry-run). Before it is deleted, all of it that can be read is exported.';

/** `whyNot` returns null if nothing is missing and the last days of the organization were all read. */
function whyNot(
  { orgId }: FoundOrg,
  { missing }: Ending,
  last: RunOutcome | undefined,
): { lines: string[]; exitCode: number } | null {
  const failures = last?.report.failures.filter((failure) => failure.orgId === orgId) ?? [];
  if (missing.length === 0 && failures.length === 0) return null;
  const what =
    missing.length > 0
      ? `${count(missing.length, 'tracked number')} ${missing.length === 1 ? 'is' : 'are'} missing`
      : 'not all of its last days could be read again';
  return {
    lines: [
      `losant-usage: Not deleted: ${what}, and nobody could read it any more`,
      '  losant-usage gaps says why; repair it and start again, or give --incomplete REASON',
    ],
    exitCode: last?.refusal ? EXIT.refused : EXIT.incomplete,
  };
}

async function askForName(work: Work): Promise<void> {
  const { name } = work.found.organization;
  const questions = openQuestions(work, mustRepeat());
  try {
    await questions.ask({
      text: 'To delete it for good, type its name; Ctrl-C leaves it as it is',
      problemOf: (answer) => (answer === name.trim() ? null : 'That is not its name.'),
    });
  } finally {
    questions.close();
  }
}

function requireName({ organization, orgId }: FoundOrg, nameAgain: string): void {
  if (nameAgain === organization.name) return;
  throw new SettingsError(`--name-again ${nameAgain}: organization ${orgId} is called ${organization.name}`, {
    hint: 'nothing was deleted; repeat the name exactly, if it is the right organization',
  });
}

function mustRepeat(): SettingsError {
  const message = 'The name of the organization was not repeated, and this is no terminal to ask at';
  return new SettingsError(message, {
    hint: 'give it with --name-again "NAME"; losant-usage org show has it',
  });
}

/** `removeOrg` throws LosantError if the organization still exists, or if that cannot be found out. */
async function removeOrg(context: CommandContext, found: FoundOrg): Promise<void> {
  const { after, lost } = await changeOrg(context, found, null);
  if (after === null) return;
  const said = lost?.message ?? 'Losant said that it was deleted';
  const message = `Not deleted: ${said}, but organization ${found.orgId} is still there`;
  throw changeError('instanceOrg.delete', lost?.kind ?? 'bad_body', message, {
    hint: 'losant-usage org show says what is so; a request that was slow may still be carried out',
  });
}

/** `recordRemoval` returns the number of waivers; what another process has loaded meanwhile is not waived. */
async function recordRemoval(
  { output, handle: { db }, found: { orgId }, options: { incomplete: reason } }: Work,
  removedAt: string,
  ending: Ending,
): Promise<number> {
  try {
    let waived = 0;
    for (const { stream, day } of ending.missing) {
      if (reason === null) break;
      const range = { from: day, to: day };
      try {
        waived += (await waiveCells(db, { orgId, stream, range, reason, asZero: false })).length;
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
      }
    }
    await markRemoved(db, [orgId], removedAt);
    return waived;
  } catch (error) {
    output.remark(
      `Organization ${orgId} was deleted in Losant, but the database does not know it yet: the next run finds out.`,
    );
    throw error;
  }
}

/** The numbers that end with the organization, and its devices. */
type Ending = Awaited<ReturnType<typeof readEnding>>;

/** Whether the number is a gap, or would be one once it is late. */
function isMissing({ standing }: Pick<OrgCell, 'standing'>): boolean {
  return isGap(standing) || standing === 'waiting';
}

/** `exportLastDays` exports what is due, and then what is still missing or could change at a later checkpoint. */
async function exportLastDays(work: Work): Promise<RunOutcome[]> {
  const { config, handle, found, now } = work;
  const sinceMs = now();
  const outcomes = [await exportOrg(work, undefined)];
  const cells = await readOrgCells(handle.db, found.orgId);
  const horizon = horizonStart(now(), config.policy);
  const open = cells.filter((cell) => {
    const isOlder = cell.verifiedAt === null || Date.parse(cell.verifiedAt) < sinceMs;
    return cell.day >= horizon && (isMissing(cell) || (cell.isReadAgain && isOlder));
  });
  const [from] = open.map(({ day }) => day).toSorted();
  if (from === undefined) return outcomes;
  const range = { from, to: lastCompleteDay(now()) };
  return [...outcomes, await exportOrg(work, { range, reason: 'asked', force: true, pastHorizon: false })];
}

async function exportOrg(work: Work, ask: Ask | undefined): Promise<RunOutcome> {
  const { found, handle, now, signal } = work;
  const opened = openInstance(work, found.instance, { handle, now, gates: new Map() });
  const options = {
    kind: 'manual',
    ask,
    orgIds: [found.orgId],
    streams: found.instance.streams,
    signal,
  } as const;
  return await waitWhileHeld(work, work.giveUpAtMs, () =>
    runInstance(opened, { ...options, runId: work.newId() }),
  );
}

async function readEnding({ db }: DatabaseHandle, { orgId }: FoundOrg) {
  const cells = await readOrgCells(db, orgId);
  const byStream = Map.groupBy(cells, ({ stream }) => stream);
  const streams = [...byStream].map(([stream, own]) => {
    const stored = own.filter(({ isStored }) => isStored);
    return {
      stream,
      /** The newest day whose number is stored; null if there is none. */
      lastDay: stored.at(-1)?.day ?? null,
      stored: stored.length,
      /** The number of those that are not final and never will be. */
      notFinal: stored.filter(({ standing }) => standing === 'stored').length,
      missing: own.filter(isMissing).length,
      /** The number of cells accepted without a number, or no longer available. */
      knownMissing: own.filter(({ isStored, ...cell }) => !isStored && !isMissing(cell)).length,
    };
  });
  const missing = cells.filter(isMissing).map(({ stream, day, standing, reason, message }) => {
    return { stream, day, standing, reason, message };
  });
  const day = streams.find(({ stream }) => stream === 'device_counts')?.lastDay ?? null;
  const total = day === null ? null : await readDevices(db, { orgId, day });
  return { streams, missing, devices: day === null || total === null ? null : { day, total } };
}

/** The number of lines of missing numbers that are shown; `--json` has all. */
const MISSING_SHOWN = 20;

function renderEnding({ streams, missing, devices }: Ending, today: UsageDay): Line[] {
  const rows = streams.map((each): Line[] => [
    each.stream,
    ...[each.stored, each.notFinal, each.missing, each.knownMissing].map(showNumber),
    each.lastDay ?? 'none',
  ]);
  const head = ['stream', 'stored', 'not final', 'missing', 'accepted or unavailable', 'last day stored'];
  const notFinal = streams.reduce((sum, each) => sum + each.notFinal, 0);
  return [
    ...(devices === null ? [] : [`  ${count(devices.total, 'device')} at the end of ${devices.day}`]),
    ...(rows.length === 0
      ? ['  No day of it is tracked.']
      : renderTable({ head, rows, right: [1, 2, 3, 4] })),
    ...renderMissing(missing),
    ...(notFinal === 0
      ? []
      : [
          `  ${count(notFinal, 'number')} stored but not final, and never will be: waive them after the run that follows, or their months stay not billable.`,
        ]),
    line`  ${styled('yellow', 'Lost for good')}: the usage of today, ${today}, which is not over and will never be read.`,
  ];
}

function renderMissing(missing: Ending['missing']): Line[] {
  const byCause = Map.groupBy(missing, ({ stream, reason, message }) =>
    JSON.stringify([stream, reason, message]),
  );
  const rows = [...byCause.values()].flatMap((alike) => {
    const { stream, reason, message } = alike[0] as Ending['missing'][number];
    const ranges = mergeDays(alike.map(({ day }) => day));
    return ranges.map((range): Line[] => [showDays(range), stream, message ?? reason ?? '']);
  });
  if (rows.length === 0) return [];
  const head = styled('red', `  ${count(missing.length, 'number')} missing:`);
  return [head, ...renderTable({ rows, indent: 4, most: MISSING_SHOWN })];
}
