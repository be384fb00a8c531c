/** Plays the steps of a seed, lets the checker look after each, and lets everything heal at last. */
import type { ClockDatabase } from '../../support/clock-database.ts';
import { checkHealed, checkTables } from './checker.ts';
import { rollFrom } from './dice.ts';
import { type Ledger, readLedger } from './ledger.ts';
import { checkOutcomes } from './outcomes.ts';
import { PEOPLE_STEPS } from './people-steps.ts';
import { confirm, type Kind, PLATFORM_STEPS, runOther } from './platform-steps.ts';
import { PROCESS_STEPS } from './process-steps.ts';
import { DAY_MS, dayAt, HOUR_MS, STREAMS } from './truth.ts';
import {
  changeSettings,
  livingOf,
  NO_TROUBLE,
  noteAll,
  openWorld,
  POLICIES,
  passTime,
  run,
  setTrouble,
  unnoticedOf,
  type World,
} from './world.ts';

const ALL_KINDS = { ...PLATFORM_STEPS, ...PROCESS_STEPS, ...PEOPLE_STEPS };
export type StepKind = keyof typeof ALL_KINDS;
const KINDS: Readonly<Record<StepKind, Kind>> = ALL_KINDS;

/** A step as plain data: what it does is drawn from its own dice, so that it does the same without the others. */
export interface Step {
  /** Its place among the steps of its seed. */
  readonly number: number;
  readonly kind: StepKind;
  readonly dice: number;
}

/** Returns the steps of a seed, of which the first is a run: before it there is nothing to go wrong. */
export function stepsOf(seed: number, count: number): Step[] {
  const dice = rollFrom(seed);
  const bag = Object.entries(KINDS).flatMap(([kind, { weight }]) =>
    Array<StepKind>(weight).fill(kind as StepKind),
  );
  const draw = (number: number): Step => ({ number, kind: dice.pick(bag), dice: dice.below(2 ** 31) });
  const first: Step = { number: 1, kind: 'run', dice: 1 };
  return [first, ...Array.from({ length: count - 1 }, (_, index) => draw(index + 2))];
}

/** What was played, and the checker's sentences about the first step after which something was wrong. */
export interface Played {
  readonly log: readonly string[];
  readonly wrong: readonly string[];
}

/** Plays the steps in a new world of the seed; then faults end, and everything must heal. */
export async function playSteps(
  seed: number,
  steps: readonly Step[],
  template: ClockDatabase,
): Promise<Played> {
  await using world = await openWorld(seed, template);
  const log: string[] = [];
  for (const { kind, dice } of steps) {
    const wrong = await playStep(world, log, kind, () => KINDS[kind].play(world, rollFrom(dice)));
    if (wrong.length > 0) return { log, wrong };
  }
  return { log, wrong: await heal(world, log) };
}

async function playStep(
  world: World,
  log: string[],
  kind: string,
  play: () => Promise<string>,
): Promise<string[]> {
  await passTime(world);
  world.outcomes = [];
  world.complaints = [];
  const at = new Date(world.nowMs).toISOString().slice(0, 16);
  const { ledger } = world;
  const description = await play().catch((error: unknown) => {
    world.complaints.push(`the step threw ${error instanceof Error ? error.stack : String(error)}`);
    return 'threw';
  });
  log.push(`${log.length + 1}. ${at} ${kind}: ${description}`);
  // Nothing has reached the tables.
  if (world.outcomes.length === 0 && kind in PLATFORM_STEPS) return world.complaints;
  // A failover has put another database in its place.
  return await check(world, kind === 'failover' ? world.ledger : ledger);
}

async function check(world: World, before: Ledger): Promise<string[]> {
  const { database, book, outcomes, settings, platform } = world;
  await book.noteFaults();
  const ledger = await readLedger(database.url);
  world.ledger = ledger;
  const { horizonDays } = POLICIES[settings.policy];
  const wanted = await wantedOf(world);
  const { instanceId } = platform;
  return [
    ...world.complaints,
    ...checkTables(ledger, before, book),
    ...checkOutcomes(outcomes, { ledger, before, wanted, horizonDays, instanceId }),
  ];
}

/** Returns the tracks of organizations that were in the list when it was last read, exist, and are chosen. */
async function wantedOf(world: World) {
  const { ledger, listedSince, settings, platform } = world;
  const orgs = (await livingOf(world)).filter(({ orgId, instanceId }) => {
    const readAtMs = ledger.instances.get(instanceId)?.listedAtMs ?? 0;
    const isChosen = instanceId !== platform.instanceId || (settings.orgIds?.includes(orgId) ?? true);
    return isChosen && (listedSince.get(orgId) ?? Number.POSITIVE_INFINITY) < readAtMs;
  });
  return orgs.flatMap(({ orgId, instanceId }) =>
    settings.streams.map((stream) => ({ instanceId, name: `${stream} ${orgId}` })),
  );
}

const PATIENT = { REQUEST_TIMEOUT_MS: '30000', REQUEST_ATTEMPTS: '5' };

/**
 * Ends all troubles and reads everything again, as often and as late as it takes to become final. What cannot be read
 * any more is accepted. Then everything inside the horizon is right, and no gap is left.
 */
async function heal(world: World, log: string[]): Promise<string[]> {
  const lastDay = dayAt(world.nowMs - DAY_MS);
  const runLater = async (): Promise<number | null> => {
    await passTime(world, 2 * HOUR_MS);
    return (await run(world, ['run'], { more: PATIENT })).code;
  };
  const runLast = async (): Promise<string> => {
    const code = await runLater();
    if (code !== 0)
      world.complaints.push(`nothing is wrong any more: exit ${code} ${world.outcomes.at(-1)?.stdout}`);
    return `${code}`;
  };
  const parts: Readonly<Record<string, () => Promise<string>>> = {
    'all problem ends': () => endTrouble(world),
    'everything is read again': () => readAgain(world, 96),
    // What a counterpart had before its own read spoke against a cell is gone.
    'and once more': () => readAgain(world, 1),
    'a run two hours later': async () => `${await runLater()}`,
    'another one': async () => `${await runLater()}`,
    'the other instance runs': () => runOther(world),
    'what is left is accepted': () => acceptRest(world),
    'a run in the end': runLast,
  };
  for (const [kind, play] of Object.entries(parts)) {
    const wrong = await playStep(world, log, kind, play);
    if (wrong.length > 0) return wrong;
  }
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  return checkHealed(world.ledger, { book: world.book, living, lastDay });
}

async function endTrouble(world: World): Promise<string> {
  await setTrouble(world, NO_TROUBLE);
  // A level of zero that is left out is required for ever.
  await world.platform.control('config', { omitZeroDays: false });
  changeSettings(world, { streams: STREAMS, orgIds: null, policy: 'usual' });
  // Of several that were deleted at once none is believed to be.
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  const [, ...others] = (await unnoticedOf(world)).filter((orgId) => !living.has(orgId));
  for (const orgId of others) await world.platform.control('orgs/restore', { orgId });
  await confirm(world);
  await noteAll(world);
  await passTime(world, HOUR_MS);
  const { code } = await run(world, ['run'], { more: PATIENT });
  return `${code}, of the other instance ${await runOther(world)}`;
}

async function readAgain(world: World, afterHours: number): Promise<string> {
  await passTime(world, afterHours * HOUR_MS);
  const days = [...world.ledger.cells.values()].map(({ day }) => day).sort();
  const range = { from: days[0] ?? dayAt(world.nowMs - DAY_MS), to: dayAt(world.nowMs - DAY_MS) };
  const args = ['backfill', '--from', range.from, '--to', range.to, '--force'];
  const codes: (number | null)[] = [];
  for (const platform of [world.platform, world.other]) {
    codes.push((await run(world, args, { platform, more: PATIENT })).code);
  }
  return codes.join();
}

/** Accepts what will not be named again: days of a stream that Losant has nothing of any more. */
async function acceptRest(world: World): Promise<string> {
  const rest = [...world.ledger.cells.values()].filter((cell) => {
    const isEmpty = Object.values(world.book.now(cell)?.numbers ?? { none: 1 }).every((value) => value === 0);
    return cell.standing === 'in_doubt' && cell.reason === 'omitted' && isEmpty;
  });
  for (const { orgId, stream, day } of rest) {
    const args = ['--org', orgId, '--stream', stream, '--day', day, '--reason', 'gone'];
    const { code, stdout } = await run(world, ['waive', ...args]);
    if (code !== 0) world.complaints.push(`waive ${stream} ${orgId} ${day} ended with ${code}: ${stdout}`);
  }
  return `${rest.length} numbers`;
}
