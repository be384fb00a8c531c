/** Plays the steps of a seed, runs the checker after each, and lets everything heal in the end. */
import type { ClockDatabase } from '../../support/clock-database.ts';
import { checkHealed, checkTables, isGap, isPastHorizon } from './checker.ts';
import { rollFrom } from './dice.ts';
import { type Ledger, type LedgerCell, readLedger } from './ledger.ts';
import { type Kind, PLATFORM_STEPS, reportEverything, restoreOrg } from './platform-steps.ts';
import { closeMonth, PROGRAM_STEPS } from './program-steps.ts';
import { cellName, DAY_MS, dayAt, HOUR_MS, STREAMS } from './truth.ts';
import {
  createWorld,
  findUnnoticedOrgs,
  NO_PROBLEM,
  type Outcome,
  passTime,
  readExistingOrgs,
  recordTruth,
  runCommand,
  setProblem,
  type World,
} from './world.ts';

const ALL_KINDS = { ...PLATFORM_STEPS, ...PROGRAM_STEPS };
type StepKind = keyof typeof ALL_KINDS;
const KINDS: Readonly<Record<StepKind, Kind>> = ALL_KINDS;

/** A step as plain data. It draws everything from dice of its own, so that it does the same without the others. */
export interface Step {
  /** Its position among the steps of its seed, from 1. */
  readonly number: number;
  readonly kind: StepKind;
  readonly dice: number;
}

/** Draws the steps of a seed. The first is a run: before it there is nothing that could go wrong. */
export function drawSteps(seed: number, count: number): Step[] {
  const dice = rollFrom(seed);
  const bag = Object.entries(KINDS).flatMap(([kind, { weight }]) => Array<StepKind>(weight).fill(kind as StepKind));
  const draw = (number: number): Step => ({ number, kind: dice.pick(bag), dice: dice.below(2 ** 31) });
  const first: Step = { number: 1, kind: 'run', dice: 1 };
  return [first, ...Array.from({ length: count - 1 }, (_, index) => draw(index + 2))];
}

/** The steps that were played, and the violations after the last of them. */
export interface PlayResult {
  readonly log: readonly string[];
  readonly violations: readonly string[];
}

export interface WorldPlan {
  readonly seed: number;
  readonly orgCount: number;
  readonly steps: readonly Step[];
}

/** Plays the steps in a new world of the seed; then faults end, and everything must heal. */
export async function playSteps({ seed, orgCount, steps }: WorldPlan, template: ClockDatabase): Promise<PlayResult> {
  await using world = await createWorld(seed, orgCount, template);
  const log: string[] = [];
  for (const { kind, dice } of steps) {
    const violations = await playStep(world, log, kind, () => KINDS[kind].play(world, rollFrom(dice)));
    if (violations.length > 0) return { log, violations };
  }
  return { log, violations: await heal(world, log) };
}

async function playStep(world: World, log: string[], kind: string, play: () => Promise<string>): Promise<string[]> {
  await passTime(world);
  world.outcomes = [];
  world.violations = [];
  const at = new Date(world.nowMs).toISOString().slice(0, 16);
  const { ledger: previous, database, book, policy } = world;
  const description = await play().catch((error: unknown) => {
    world.violations.push(`the step threw ${error instanceof Error ? error.stack : String(error)}`);
    return 'threw';
  });
  log.push(`${log.length + 1}. ${at} ${kind}: ${description}`);
  // Without a command the tables do not change.
  if (world.outcomes.length === 0) return world.violations;
  await book.recordFaults();
  const ledger = await readLedger(database.url);
  world.ledger = ledger;
  return [
    ...world.violations,
    ...checkTables({ ledger, previous, book, policy }),
    ...(await checkOutcomes(world, previous)),
  ];
}

/** Returns what commands reported wrongly. */
async function checkOutcomes(world: World, previous: Ledger): Promise<string[]> {
  const { outcomes } = world;
  const [run, ...others] = outcomes.filter(({ args }) => args[0] === 'run' || args[0] === 'backfill');
  const yesterday = dayAt(world.nowMs - DAY_MS);
  const listedOrgs = (await readExistingOrgs(world)).filter(
    ({ orgId, createdDay }) =>
      createdDay <= yesterday && (world.listedSince.get(orgId) ?? Number.POSITIVE_INFINITY) < world.ledger.listedAtMs,
  );
  const lines = outcomes
    .filter(({ stdout, stderr }) => /^ {4}at /m.test(stderr) || stdout.includes('"unexpected"'))
    .map(({ stdout, stderr }) => `fails unexpectedly: ${stderr}${stdout}`);
  // Only a run that nothing has disturbed describes the tables.
  if (run === undefined || others.length > 0 || run.startedAtMs !== world.nowMs) return lines;
  const orgIds = new Set(listedOrgs.map(({ orgId }) => orgId));
  const runLines = run.code === 0 ? checkComplete(run, world, orgIds) : [];
  return [
    ...lines,
    ...[...runLines, ...checkReport(run, world.ledger, previous)].map((line) => `${run.args.join(' ')}: ${line}`),
  ];
}

/** After a run that says so, nothing that was due remains, and nothing that was read is missing, in doubt or failed. */
function checkComplete(
  { args, startedAtMs }: Outcome,
  { ledger, policy }: World,
  orgIds: ReadonlySet<string>,
): string[] {
  const [from, to] = [
    valueOf(args, '--from') ?? valueOf(args, '--day'),
    valueOf(args, '--to') ?? valueOf(args, '--day'),
  ];
  const [orgId, stream] = [valueOf(args, '--org'), valueOf(args, '--stream')];
  const isInScope = (cell: Pick<LedgerCell, 'orgId' | 'stream' | 'day'>) =>
    cell.orgId === (orgId ?? cell.orgId) &&
    cell.stream === (stream ?? cell.stream) &&
    (from === undefined || (from <= cell.day && cell.day <= (to ?? cell.day)));
  const isUnread = (cell: LedgerCell) => {
    const isFailing = cell.failedReads > 0 && !['waived', 'unavailable'].includes(cell.standing);
    if (from !== undefined) return isFailing || isGap(cell);
    const isDue = cell.nextReadAtMs !== null && cell.nextReadAtMs <= startedAtMs;
    const isAttempted = cell.lastAttemptAtMs === startedAtMs;
    return isAttempted ? isFailing || isGap(cell) : isDue && !isPastHorizon(cell.day, startedAtMs, policy);
  };
  const lines = [...ledger.cells.values()]
    .filter((cell) => isInScope(cell) && isUnread(cell))
    .map((cell) => `reports that nothing is missing, but ${cellName(cell)} is ${cell.standing} (${cell.reason})`);
  if (ledger.listProblem !== null && orgId === undefined) lines.push(`is complete, although ${ledger.listProblem}`);
  const yesterday = dayAt(startedAtMs - DAY_MS);
  for (const each of orgIds) {
    const untracked = STREAMS.filter((name) => !ledger.cells.has(`${name} ${each} ${yesterday}`));
    if (args.length === 1 && untracked.length > 0)
      lines.push(`is complete, but ${each} is not tracked: ${untracked.join()}`);
  }
  return lines;
}

const valueOf = (args: readonly string[], name: string) => args.find((_, index) => args[index - 1] === name);

/** The counts of a run add up, and agree with the tables. */
function checkReport({ code, stdout }: Outcome, ledger: Ledger, previous: Ledger): string[] {
  if (!stdout.includes('"cells"')) return code === 0 || code === 3 ? [`ends with ${code} and no report`] : [];
  const { status, cells, rows } = JSON.parse(stdout) as {
    readonly status: string;
    readonly cells: Readonly<Record<string, number>>;
    readonly rows: Readonly<Record<string, number>>;
  };
  const { planned = 0, ...parts } = cells;
  const lines: string[] = [];
  const sum = Object.values(parts).reduce((total, count) => total + count, 0);
  if (sum !== planned) lines.push(`${planned} planned, but the counts add up to ${sum}`);
  if ((status === 'complete') !== (code === 0) && code !== 5) lines.push(`exits with ${code}, and is ${status}`);
  const newCells = countStored(ledger) - countStored(previous);
  if (newCells !== rows['inserted'])
    lines.push(`${newCells} more cells are stored, but it reports ${rows['inserted']}`);
  return lines;
}

const countStored = ({ cells }: Ledger) => [...cells.values()].filter(({ isStored }) => isStored).length;

const PATIENT_ENV = { REQUEST_TIMEOUT_MS: '30000', REQUEST_ATTEMPTS: '5' };

/**
 * Ends all problems and reads everything again, late enough to become final. Waives what Losant no longer reports. Then
 * everything inside the horizon must be true, and no gap may remain.
 */
async function heal(world: World, log: string[]): Promise<string[]> {
  const lastDay = dayAt(world.nowMs - DAY_MS);
  const parts: Readonly<Record<string, () => Promise<string>>> = {
    'all problems end': () => endProblems(world),
    'everything is read again': () => readAgain(world),
    'a run two hours later': async () => `${await runLater(world)}`,
    'the remainder becomes zero': () => waiveRemainder(world),
    'a run in the end': async () => {
      const code = await runLater(world);
      if (code !== 0) world.violations.push(`the problems have ended, but a run exits with ${code}`);
      return `${code}: ${code === 0 ? '' : world.outcomes.at(-1)?.stdout}`;
    },
    'a month is closed': () => closeMonth(world),
  };
  for (const [kind, play] of Object.entries(parts)) {
    const violations = await playStep(world, log, kind, play);
    if (violations.length > 0) return violations;
  }
  const existingOrgIds = new Set((await readExistingOrgs(world)).map(({ orgId }) => orgId));
  return checkHealed(world.ledger, { ...world, existingOrgIds, lastDay });
}

async function runLater(world: World): Promise<number | null> {
  await passTime(world, 2 * HOUR_MS);
  return (await runCommand(world, ['run'], { env: PATIENT_ENV })).code;
}

async function endProblems(world: World): Promise<string> {
  await setProblem(world, NO_PROBLEM);
  // A level of zero that is omitted stays missing.
  await world.platform.control('config', { omitZeroDays: false });
  // Several deletions at once are not confirmed.
  const [, ...others] = await findUnnoticedOrgs(world);
  for (const orgId of others) await restoreOrg(world, orgId);
  await reportEverything(world);
  await recordTruth(world, firstDayOf(world));
  await passTime(world, HOUR_MS);
  return `${(await runCommand(world, ['run'], { env: PATIENT_ENV })).code}`;
}

function firstDayOf({ ledger, nowMs }: World): string {
  return [dayAt(nowMs - DAY_MS), ...[...ledger.cells.values()].map(({ day }) => day)].sort()[0] as string;
}

async function readAgain(world: World): Promise<string> {
  await passTime(world, 96 * HOUR_MS);
  const args = ['backfill', '--from', firstDayOf(world), '--to', dayAt(world.nowMs - DAY_MS), '--force'];
  return `${(await runCommand(world, args, { env: PATIENT_ENV })).code}`;
}

/** Replaces what Losant will never report again: days on which a flow is now zero and omitted. */
async function waiveRemainder(world: World): Promise<string> {
  const remainder = [...world.ledger.cells.values()].filter((cell) => {
    const isEmpty = Object.values(world.book.current(cell)?.numbers ?? { none: 1 }).every((value) => value === 0);
    return cell.standing === 'in_doubt' && cell.reason === 'omitted' && isEmpty;
  });
  for (const { orgId, stream, day } of remainder) {
    const args = ['--org', orgId, '--stream', stream, '--day', day, '--reason', 'gone', '--zero'];
    const { code, stdout } = await runCommand(world, ['waive', ...args]);
    if (code !== 0) world.violations.push(`waive ${stream} ${orgId} ${day} ended with ${code}: ${stdout}`);
  }
  return `${remainder.length} cells`;
}
