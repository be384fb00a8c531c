/** Two simulated platforms, a database whose clock the world sets, and the program between them. */
import type { FaultPlan } from '../../../simulator/faults.ts';
import type { ListFaults } from '../../../simulator/list-faults.ts';
import { type Platform, startPlatform } from '../../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { asWriter } from '../../support/databases.ts';
import { type Ended, type Running, type Surroundings, startProgram } from '../../support/program.ts';
import { type Dice, rollFrom } from './dice.ts';
import { type Ledger, readLedger } from './ledger.ts';
import type { Outcome, Scope } from './outcomes.ts';
import { DAY_MS, dayAt, HOUR_MS, STREAMS, type StreamName, TruthBook, type TruthOrg } from './truth.ts';

export const POLICIES = {
  usual: { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAfterHours: 72, horizonDays: 90 },
  late: { readAtHours: [6, 72, 168], finalAfterHours: 72, horizonDays: 90 },
  short: { readAtHours: [0, 6, 24, 48], finalAfterHours: 48, horizonDays: 9 },
} as const;

/** The settings of commands that are started from now on. */
export interface Settings {
  readonly streams: readonly StreamName[];
  /** The IDs of organizations; null for all. */
  readonly orgIds: readonly string[] | null;
  readonly policy: keyof typeof POLICIES;
}

/** What is wrong with the platform now. */
export interface Problem {
  readonly faults: readonly FaultPlan[];
  readonly list: ListFaults | null;
  /** The scopes of the token. Null means all; an empty list means that it is revoked. */
  readonly scopes: readonly string[] | null;
  readonly dateOffsetMs: number;
}

export const NO_PROBLEM: Problem = { faults: [], list: null, scopes: null, dateOffsetMs: 0 };

export interface World extends AsyncDisposable {
  readonly platform: Platform;
  /** Another instance, to which organizations are transferred. */
  readonly other: Platform;
  readonly database: ClockDatabase;
  readonly book: TruthBook;
  nowMs: number;
  settings: Settings;
  problem: Problem;
  /** The tables after the last step. */
  ledger: Ledger;
  /** The commands that the current step has run so far. */
  outcomes: Outcome[];
  /** What the step itself found wrong. */
  violations: string[];
  /** The time from which an organization is in the list, by ID. */
  readonly listedSince: Map<string, number>;
  /** For jitter and delays. Separate from the dice of steps, because a busy machine draws more often. */
  readonly random: () => number;
}

/** The time between two steps: shorter than a lease, and longer than clocks may differ. */
const TICK_MS = 40_000;

export async function createWorld(seed: number, template: ClockDatabase): Promise<World> {
  const dice = rollFrom(seed * 7_919 + 1);
  const startMs = Date.UTC(2024, 1, 1) + dice.below(640) * DAY_MS + (1 + dice.below(20)) * HOUR_MS;
  const waits = rollFrom(seed);
  const time = { nowMs: startMs };
  const now = () => time.nowMs;
  const echoWindow = dice.chance(0.8);
  const platform = await startPlatform({
    now,
    seed: `world ${seed}`,
    orgs: 3 + dice.below(3),
    hostile: dice.chance(0.5),
    pageSizeMax: dice.chance(0.4) ? 2 : 1_000,
    omitZeroDays: dice.chance(0.4),
    echoWindow,
    ...(dice.chance(0.2) ? { maxRangeDays: 1 + dice.below(6) } : {}),
    // Nothing but the repeated range shows that one was cut short.
    longRange: echoWindow && dice.chance(0.5) ? 'cut' : 'refuse',
  });
  const other = await startPlatform({ now, seed: `other ${seed}`, orgs: 1 });
  const database = await createClockDatabase(template);
  await database.stopClock(startMs);
  const world: World = Object.assign(time, {
    platform,
    other,
    database,
    book: new TruthBook([platform, other]),
    settings: { streams: STREAMS, orgIds: null, policy: 'usual' as const },
    problem: NO_PROBLEM,
    ledger: await readLedger(database.url),
    outcomes: [],
    violations: [],
    listedSince: new Map<string, number>(),
    random: () => waits.next(),
    [Symbol.asyncDispose]: () => closeWorld(world),
  });
  await recordTruth(world);
  return world;
}

async function closeWorld(world: World): Promise<void> {
  await world.platform[Symbol.asyncDispose]();
  await world.other[Symbol.asyncDispose]();
  await world.database.drop();
}

/** Advances the time of platforms, database and program, which otherwise stands still. */
export async function passTime(world: World, ms: number = TICK_MS): Promise<void> {
  const dayBefore = dayAt(world.nowMs);
  world.nowMs += Math.round(ms / 1_000) * 1_000;
  await world.database.stopClock(world.nowMs);
  if (dayAt(world.nowMs) !== dayBefore) await recordTruth(world, dayBefore);
}

/** After this time the lease of a dead process has expired. */
export const LEASE_EXPIRED_MS = 61_000;
/** More days than backfills reach back before the start of a world. */
const RECORDED_DAYS = 80;

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

/** Returns the organizations that exist, on either platform. */
export async function readExistingOrgs({ book }: World): Promise<TruthOrg[]> {
  return (await book.orgs()).filter(({ deleted }) => !deleted);
}

/** Returns the organizations that are no longer on the first platform, which the program has not noticed yet. */
export async function findUnnoticedOrgs({ book, ledger, platform }: World): Promise<string[]> {
  const known = ledger.tracks.filter((each) => !each.isDeleted && each.instanceId === platform.instanceId);
  const ids = new Set(known.map(({ orgId }) => orgId));
  const isGone = (org: TruthOrg) => org.deleted || org.instanceId !== platform.instanceId;
  return (await book.orgs()).filter((org) => isGone(org) && ids.has(org.orgId)).map(({ orgId }) => orgId);
}

/** Draws an existing organization of the first platform. */
export async function pickOrg(world: World, dice: Dice): Promise<string> {
  return dice.pick(await readPlatformOrgs(world)).orgId;
}

export async function readPlatformOrgs(world: World): Promise<TruthOrg[]> {
  return (await readExistingOrgs(world)).filter(({ instanceId }) => instanceId === world.platform.instanceId);
}

export async function setProblem(world: World, changes: Partial<Problem>): Promise<void> {
  const { platform } = world;
  world.problem = { ...world.problem, ...changes };
  const { faults, list, scopes, dateOffsetMs } = world.problem;
  await platform.control('config', { faults, list, dateOffsetMs });
  const token = { token: platform.token, scopes: scopes ?? ['all.Instance'] };
  await platform.control('tokens', { ...token, revoked: scopes?.length === 0 });
}

export function changeSettings(world: World, changes: Partial<Settings>): void {
  world.settings = { ...world.settings, ...changes };
}

export interface StartOptions extends Pick<Surroundings, 'hostNow'> {
  /** Another way to the database. */
  readonly databaseUrl?: string;
  readonly platform?: Platform;
  readonly env?: Readonly<Record<string, string>>;
}

interface StartedCommand {
  readonly args: readonly string[];
  readonly instanceId: string;
  readonly running: Running;
}

export function startCommand(world: World, args: readonly string[], options: StartOptions = {}): StartedCommand {
  const { settings, random } = world;
  const { url, token, instanceId } = options.platform ?? world.platform;
  const { readAtHours, finalAfterHours, horizonDays } = POLICIES[settings.policy];
  const isOther = options.platform === world.other;
  const env = {
    LOSANT_API_URL: url,
    LOSANT_API_TOKEN: token,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_ORG_IDS: isOther ? 'all' : (settings.orgIds?.join() ?? 'all'),
    DATABASE_URL: options.databaseUrl ?? world.database.url,
    STREAMS: settings.streams.join(),
    READ_AT_HOURS: readAtHours.join(),
    FINAL_AFTER_HOURS: `${finalAfterHours}`,
    HORIZON_DAYS: `${horizonDays}`,
    REQUESTS_PER_SECOND: '10000',
    REQUEST_TIMEOUT_MS: '500',
    REQUEST_ATTEMPTS: '2',
    LOG_LEVEL: 'silent',
    TZ: 'Pacific/Auckland',
    ...options.env,
  };
  const hostNow = options.hostNow ?? (() => world.nowMs);
  const running = startProgram([...args, '--json'], env, { hostNow, random: () => random() / 4 });
  return { args, instanceId, running };
}

/** Returns the scope of a run from its arguments; null for other commands. */
function readScope(args: readonly string[], instanceId: string): Scope | null {
  const valuesOf = (name: string) => {
    const values = args.filter((_, index) => args[index - 1] === name);
    return values.length === 0 ? null : values;
  };
  if (args[0] !== 'run' && args[0] !== 'backfill') return null;
  const [from, to] = [valuesOf('--from') ?? valuesOf('--day'), valuesOf('--to') ?? valuesOf('--day')];
  return {
    instanceId,
    orgIds: valuesOf('--org'),
    streams: valuesOf('--stream'),
    range: from?.[0] && to?.[0] ? { from: from[0], to: to[0] } : null,
    isBackfill: args[0] === 'backfill',
  };
}

/** Waits for the end of a command, and keeps its outcome for the checker. */
export async function finishCommand(
  world: World,
  { args, instanceId, running }: StartedCommand,
  startedAtMs = world.nowMs,
): Promise<Ended> {
  const ended = await running.ended;
  const scope = readScope(args, instanceId);
  world.outcomes.push({ command: args.join(' '), scope, startedAtMs, ...ended });
  return ended;
}

export async function runCommand(world: World, args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return await finishCommand(world, startCommand(world, args, options));
}

/** Runs a statement as the writer, who may end the sessions of its runs. */
export const query = ({ database }: World, statement: string) => asWriter(database.url, statement);
