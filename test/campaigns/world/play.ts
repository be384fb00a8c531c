/** Plays the steps of a seed, runs the checker after each, and lets everything heal in the end. */
import type { ClockDatabase } from '../../support/clock-database.ts';
import { checkHealed, checkTables } from './checker.ts';
import { rollFrom } from './dice.ts';
import { type Ledger, readLedger } from './ledger.ts';
import { checkMonths } from './months.ts';
import { checkOutcomes } from './outcomes.ts';
import { PEOPLE_STEPS } from './people-steps.ts';
import { type Kind, PLATFORM_STEPS, reportEverything, runOther } from './platform-steps.ts';
import { PROCESS_STEPS } from './process-steps.ts';
import { DAY_MS, dayAt, HOUR_MS, STREAMS } from './truth.ts';
import {
  changeSettings,
  createWorld,
  findUnnoticedOrgs,
  NO_PROBLEM,
  POLICIES,
  passTime,
  readExistingOrgs,
  recordTruth,
  runCommand,
  setProblem,
  type World,
} from './world.ts';

const ALL_KINDS = { ...PLATFORM_STEPS, ...PROCESS_STEPS, ...PEOPLE_STEPS };
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

/** Plays the steps in a new world of the seed; then faults end, and everything must heal. */
export async function playSteps(seed: number, steps: readonly Step[], template: ClockDatabase): Promise<PlayResult> {
  await using world = await createWorld(seed, template);
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
  const { ledger } = world;
  const description = await play().catch((error: unknown) => {
    world.violations.push(`the step threw ${error instanceof Error ? error.stack : String(error)}`);
    return 'threw';
  });
  log.push(`${log.length + 1}. ${at} ${kind}: ${description}`);
  // A step of the platform alone does not change the tables.
  if (world.outcomes.length === 0 && kind in PLATFORM_STEPS) return world.violations;
  // A failover has replaced the database.
  return await check(world, kind === 'failover' ? world.ledger : ledger);
}

async function check(world: World, previous: Ledger): Promise<string[]> {
  const { database, book, outcomes, settings, platform } = world;
  await book.recordFaults();
  const ledger = await readLedger(database.url);
  world.ledger = ledger;
  const { horizonDays } = POLICIES[settings.policy];
  const expectedTracks = await readExpectedTracks(world);
  const { instanceId } = platform;
  return [
    ...world.violations,
    ...checkTables(ledger, previous, book),
    ...checkMonths(ledger),
    ...checkOutcomes(outcomes, { ledger, previous, expectedTracks, horizonDays, instanceId }),
  ];
}

/** Returns the tracks of existing, selected organizations that were in the list when it was last read. */
async function readExpectedTracks(world: World) {
  const { ledger, listedSince, settings, platform } = world;
  const orgs = (await readExistingOrgs(world)).filter(({ orgId, instanceId }) => {
    const readAtMs = ledger.instances.get(instanceId)?.listedAtMs ?? 0;
    const isSelected = instanceId !== platform.instanceId || (settings.orgIds?.includes(orgId) ?? true);
    return isSelected && (listedSince.get(orgId) ?? Number.POSITIVE_INFINITY) < readAtMs;
  });
  return orgs.flatMap(({ orgId, instanceId }) =>
    settings.streams.map((stream) => ({ instanceId, name: `${stream} ${orgId}` })),
  );
}

const PATIENT_ENV = { REQUEST_TIMEOUT_MS: '30000', REQUEST_ATTEMPTS: '5' };

/**
 * Ends all problems and reads everything again, often and late enough to become final. Waives what Losant no longer
 * reports. Then everything inside the horizon must be true, and no gap may remain.
 */
async function heal(world: World, log: string[]): Promise<string[]> {
  const lastDay = dayAt(world.nowMs - DAY_MS);
  const runLater = async (): Promise<number | null> => {
    await passTime(world, 2 * HOUR_MS);
    return (await runCommand(world, ['run'], { env: PATIENT_ENV })).code;
  };
  const runFinally = async (): Promise<string> => {
    const code = await runLater();
    if (code !== 0)
      world.violations.push(`the problems have ended, but a run exits with ${code}: ${world.outcomes.at(-1)?.stdout}`);
    return `${code}`;
  };
  const parts: Readonly<Record<string, () => Promise<string>>> = {
    'all problems end': () => endProblems(world),
    // Later, because a run reads no cell again that was read since it began.
    'the other instance runs': () => runOther(world),
    'everything is read again': () => readAgain(world, 96),
    // Counterparts no longer contradict cells by numbers from before their own read.
    'everything is read once more': () => readAgain(world, 1),
    'a run two hours later': async () => `${await runLater()}`,
    'another run': async () => `${await runLater()}`,
    'the other instance runs again': () => runOther(world),
    'the remainder is waived': () => waiveRemainder(world),
    'a run in the end': runFinally,
  };
  for (const [kind, play] of Object.entries(parts)) {
    const violations = await playStep(world, log, kind, play);
    if (violations.length > 0) return violations;
  }
  const existingOrgIds = new Set((await readExistingOrgs(world)).map(({ orgId }) => orgId));
  return checkHealed(world.ledger, { book: world.book, existingOrgIds, lastDay });
}

async function endProblems(world: World): Promise<string> {
  await setProblem(world, NO_PROBLEM);
  // A level of zero that is omitted stays missing.
  await world.platform.control('config', { omitZeroDays: false });
  changeSettings(world, { streams: STREAMS, orgIds: null, policy: 'usual' });
  // Several deletions at once are not confirmed.
  const existingOrgIds = new Set((await readExistingOrgs(world)).map(({ orgId }) => orgId));
  const [, ...others] = (await findUnnoticedOrgs(world)).filter((orgId) => !existingOrgIds.has(orgId));
  for (const orgId of others) await world.platform.control('orgs/restore', { orgId });
  await reportEverything(world);
  await recordTruth(world);
  await passTime(world, HOUR_MS);
  const { code } = await runCommand(world, ['run'], { env: PATIENT_ENV });
  return `${code}`;
}

async function readAgain(world: World, afterHours: number): Promise<string> {
  await passTime(world, afterHours * HOUR_MS);
  const days = [...world.ledger.cells.values()].map(({ day }) => day).sort();
  const range = { from: days[0] ?? dayAt(world.nowMs - DAY_MS), to: dayAt(world.nowMs - DAY_MS) };
  const args = ['backfill', '--from', range.from, '--to', range.to, '--force'];
  const codes: (number | null)[] = [];
  for (const platform of [world.platform, world.other]) {
    codes.push((await runCommand(world, args, { platform, env: PATIENT_ENV })).code);
  }
  return codes.join();
}

/** Waives what Losant will never report again: days on which a stream is now zero and omitted. */
async function waiveRemainder(world: World): Promise<string> {
  const remainder = [...world.ledger.cells.values()].filter((cell) => {
    const isEmpty = Object.values(world.book.current(cell)?.numbers ?? { none: 1 }).every((value) => value === 0);
    return cell.standing === 'in_doubt' && cell.reason === 'omitted' && isEmpty;
  });
  for (const { orgId, stream, day } of remainder) {
    const args = ['--org', orgId, '--stream', stream, '--day', day, '--reason', 'gone'];
    const { code, stdout } = await runCommand(world, ['waive', ...args]);
    if (code !== 0) world.violations.push(`waive ${stream} ${orgId} ${day} ended with ${code}: ${stdout}`);
  }
  return `${remainder.length} cells`;
}
