/** A simulated platform, a database whose clock the world sets, and the program between them. */
import type { FaultPlan } from '../../../simulator/faults.ts';
import type { ListFaults } from '../../../simulator/list-faults.ts';
import { type Platform, startPlatform } from '../../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { type Ended, type Running, type Surroundings, startProgram } from '../../support/program.ts';
import { type Dice, rollFrom } from './dice.ts';
import { type Ledger, readLedger } from './ledger.ts';
import { DAY_MS, dayAt, HOUR_MS, TruthBook, type TruthOrg } from './truth.ts';

/** In the second, days pass the horizon while a world lasts. */
const POLICIES = [
  { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAfterHours: 72, horizonDays: 90 },
  { readAtHours: [0, 6, 24, 48], finalAfterHours: 48, horizonDays: 9 },
] as const;

/** What is wrong with the platform now. */
export interface Problem {
  readonly faults: readonly FaultPlan[];
  readonly list: ListFaults | null;
  /** The scopes of the token. Null means all; an empty list means that it is revoked. */
  readonly scopes: readonly string[] | null;
  readonly dateOffsetMs: number;
}

export const NO_PROBLEM: Problem = { faults: [], list: null, scopes: null, dateOffsetMs: 0 };

/** The end of a command that a step has run. */
export interface Outcome extends Ended {
  readonly args: readonly string[];
  readonly startedAtMs: number;
}

export interface World extends AsyncDisposable {
  readonly platform: Platform;
  readonly database: ClockDatabase;
  readonly book: TruthBook;
  readonly policy: (typeof POLICIES)[number];
  /** The number of organizations that the world began with. */
  readonly orgCount: number;
  /** The most attempts of a request. */
  readonly attempts: number;
  nowMs: number;
  problem: Problem;
  /** The tables after the last step. */
  ledger: Ledger;
  /** The commands that the current step has run so far. */
  outcomes: Outcome[];
  /** What the step itself found wrong. */
  violations: string[];
  /** The time from which an organization is in the list, by ID. */
  readonly listedSince: Map<string, number>;
  /** What steps have omitted from responses. */
  readonly omissions: Map<string, { readonly orgId: string; readonly day: string }>;
}

/** The time between two steps: shorter than a lease, and longer than clocks may differ. */
const TICK_MS = 40_000;

/** Begins a world in the last week of a month, so that a month ends in most worlds. */
export async function createWorld(seed: number, orgCount: number, template: ClockDatabase): Promise<World> {
  const dice = rollFrom(seed * 7_919 + 1);
  const monthEndMs = Date.UTC(2024, 2 + dice.below(21), 1);
  const startMs = monthEndMs - (1 + dice.below(6)) * DAY_MS + (1 + dice.below(20)) * HOUR_MS;
  const time = { nowMs: startMs };
  const echoWindow = dice.chance(0.8);
  const platform = await startPlatform({
    now: () => time.nowMs,
    seed: `world ${seed}`,
    orgs: orgCount,
    hostile: dice.chance(0.5),
    pageSizeMax: dice.chance(0.4) ? Math.ceil(orgCount / 3) : 1_000,
    omitZeroDays: dice.chance(0.4),
    echoWindow,
    ...(dice.chance(0.2) ? { maxRangeDays: 1 + dice.below(6) } : {}),
    // Nothing but the repeated range shows that one was cut short.
    longRange: echoWindow && dice.chance(0.5) ? 'cut' : 'refuse',
  });
  const database = await createClockDatabase(template);
  await database.stopClock(startMs);
  const world: World = Object.assign(time, {
    platform,
    database,
    book: new TruthBook(platform),
    policy: dice.chance(0.7) ? POLICIES[0] : POLICIES[1],
    orgCount,
    attempts: 1 + dice.below(2),
    problem: NO_PROBLEM,
    ledger: await readLedger(database.url),
    outcomes: [],
    violations: [],
    listedSince: new Map<string, number>(),
    omissions: new Map<string, { orgId: string; day: string }>(),
    [Symbol.asyncDispose]: () => closeWorld(world),
  });
  await recordTruth(world);
  return world;
}

async function closeWorld(world: World): Promise<void> {
  await world.platform[Symbol.asyncDispose]();
  await world.database.drop();
}

/** Advances the time of platform, database and program, which otherwise stands still. */
export async function passTime(world: World, ms: number = TICK_MS): Promise<void> {
  const dayBefore = dayAt(world.nowMs);
  world.nowMs += Math.round(ms / 1_000) * 1_000;
  await world.database.stopClock(world.nowMs);
  if (dayAt(world.nowMs) !== dayBefore) await recordTruth(world, dayBefore);
}

/** After this time the lease of a dead process has expired. */
export const LEASE_EXPIRED_MS = 61_000;
/** More days than backfills and edits reach back. */
const RECORDED_DAYS = 32;

/** Records the numbers of days that have ended, by default of all that backfills can read. */
export async function recordTruth(world: World, from = dayAt(world.nowMs - RECORDED_DAYS * DAY_MS)): Promise<void> {
  const { book, nowMs, listedSince } = world;
  for (const { orgId } of await readExistingOrgs(world)) listedSince.set(orgId, listedSince.get(orgId) ?? nowMs);
  await book.record(nowMs, { from, to: dayAt(nowMs - DAY_MS) });
}

/** Returns the last days that have ended, newest first. */
export function endedDays({ nowMs }: Pick<World, 'nowMs'>, count: number): string[] {
  return Array.from({ length: count }, (_, back) => dayAt(nowMs - (back + 1) * DAY_MS));
}

export async function readExistingOrgs({ book }: World): Promise<TruthOrg[]> {
  return (await book.orgs()).filter(({ deleted }) => !deleted);
}

/** Returns the deleted organizations whose deletion the program has not noticed yet. */
export async function findUnnoticedOrgs({ book, ledger }: World): Promise<string[]> {
  const knownIds = new Set(ledger.orgs.filter(({ isDeleted }) => !isDeleted).map(({ orgId }) => orgId));
  return (await book.orgs()).filter(({ deleted, orgId }) => deleted && knownIds.has(orgId)).map(({ orgId }) => orgId);
}

export async function pickOrg(world: World, dice: Dice): Promise<string> {
  return dice.pick(await readExistingOrgs(world)).orgId;
}

export async function setProblem(world: World, changes: Partial<Problem>): Promise<void> {
  const { platform } = world;
  world.problem = { ...world.problem, ...changes };
  const { faults, list, scopes, dateOffsetMs } = world.problem;
  await platform.control('config', { faults, list, dateOffsetMs });
  const token = { token: platform.token, scopes: scopes ?? ['all.Instance'] };
  await platform.control('tokens', { ...token, revoked: scopes?.length === 0 });
}

export interface StartOptions extends Pick<Surroundings, 'hostNow'> {
  /** Another way to the database. */
  readonly databaseUrl?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface StartedCommand extends Pick<Outcome, 'args' | 'startedAtMs'> {
  readonly running: Running;
}

export function startCommand(world: World, args: readonly string[], options: StartOptions = {}): StartedCommand {
  const { url, token, instanceId } = world.platform;
  const { readAtHours, finalAfterHours, horizonDays } = world.policy;
  const env = {
    LOSANT_API_URL: url,
    LOSANT_API_TOKEN: token,
    LOSANT_INSTANCE_ID: instanceId,
    DATABASE_URL: options.databaseUrl ?? world.database.url,
    READ_AT_HOURS: readAtHours.join(),
    FINAL_AFTER_HOURS: `${finalAfterHours}`,
    HORIZON_DAYS: `${horizonDays}`,
    REQUESTS_PER_SECOND: '10000',
    REQUEST_CONCURRENCY: '32',
    REQUEST_TIMEOUT_MS: '500',
    REQUEST_ATTEMPTS: `${world.attempts}`,
    LOG_LEVEL: 'silent',
    TZ: 'Pacific/Auckland',
    ...options.env,
  };
  const hostNow = options.hostNow ?? (() => world.nowMs);
  return { args, startedAtMs: world.nowMs, running: startProgram([...args, '--json'], env, { hostNow }) };
}

/** Waits for the end of a command, and keeps its outcome for the checker. */
export async function finishCommand(world: World, { running, ...command }: StartedCommand): Promise<Ended> {
  const ended = await running.ended;
  world.outcomes.push({ ...command, ...ended });
  return ended;
}

export async function runCommand(world: World, args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return await finishCommand(world, startCommand(world, args, options));
}
