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

/** What the program is told; a change is known to what is started after it. */
export interface Settings {
  readonly streams: readonly StreamName[];
  /** The ids of organizations; null for all. */
  readonly orgIds: readonly string[] | null;
  readonly policy: keyof typeof POLICIES;
}

/** What is wrong with the platform at present. */
export interface Problem {
  readonly faults: readonly FaultPlan[];
  readonly list: ListFaults | null;
  /** The scopes of the token; null for all, an empty list for a token that is revoked. */
  readonly scopes: readonly string[] | null;
  readonly dateOffsetMs: number;
}

export const NO_TROUBLE: Problem = { faults: [], list: null, scopes: null, dateOffsetMs: 0 };

export interface World extends AsyncDisposable {
  readonly platform: Platform;
  /** Another instance, to which organizations move. */
  readonly other: Platform;
  readonly database: ClockDatabase;
  readonly book: TruthBook;
  nowMs: number;
  settings: Settings;
  problem: Problem;
  /** The tables after the last step. */
  ledger: Ledger;
  /** What the current step has played so far. */
  outcomes: Outcome[];
  /** What a step itself found wrong. */
  complaints: string[];
  /** The times from which organizations are in the list, by id. */
  readonly listedSince: Map<string, number>;
  /** The answers to waits and jitter, which depend on how busy the machine is. */
  readonly random: () => number;
}

/** Between two steps: less than a lease lasts, and more than clocks may differ. */
const TICK_MS = 40_000;

export async function openWorld(seed: number, template: ClockDatabase): Promise<World> {
  const dice = rollFrom(seed * 7_919 + 1);
  const startMs = Date.UTC(2024, 1, 1) + dice.below(640) * DAY_MS + (1 + dice.below(20)) * HOUR_MS;
  const waits = rollFrom(seed);
  const time = { nowMs: startMs };
  const now = () => time.nowMs;
  const platform = await startPlatform({
    now,
    seed: `world ${seed}`,
    orgs: 3 + dice.below(3),
    hostile: dice.chance(0.5),
    pageSizeMax: dice.chance(0.4) ? 2 : 1_000,
    omitZeroDays: dice.chance(0.4),
    echoWindow: dice.chance(0.8),
    ...(dice.chance(0.2) ? { maxRangeDays: 1 + dice.below(6) } : {}),
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
    problem: NO_TROUBLE,
    ledger: await readLedger(database.url),
    outcomes: [],
    complaints: [],
    listedSince: new Map<string, number>(),
    random: () => waits.next(),
    [Symbol.asyncDispose]: () => closeWorld(world),
  });
  await noteAll(world);
  return world;
}

async function closeWorld(world: World): Promise<void> {
  await world.platform[Symbol.asyncDispose]();
  await world.other[Symbol.asyncDispose]();
  await world.database.drop();
}

/** Moves the time of the platforms, the database, and the program with it. Within a step it stands still otherwise. */
export async function passTime(world: World, ms: number = TICK_MS): Promise<void> {
  const before = dayAt(world.nowMs);
  world.nowMs += Math.round(ms / 1_000) * 1_000;
  await world.database.stopClock(world.nowMs);
  if (dayAt(world.nowMs) !== before) await noteAll(world, before);
}

/** After which the lease of a dead process has lapsed. */
export const LEASE_OVER_MS = 61_000;
/** The days before a world's beginning that a backfill may ask for, and some more. */
const DAYS_BACK = 80;

/** Writes down the numbers of days that are over, from `from` on or of all that may be asked for. */
export async function noteAll(world: World, from = dayAt(world.nowMs - DAYS_BACK * DAY_MS)): Promise<void> {
  const { book, nowMs, listedSince } = world;
  for (const { orgId } of await livingOf(world)) listedSince.set(orgId, listedSince.get(orgId) ?? nowMs);
  await book.note(nowMs, { from, to: dayAt(nowMs - DAY_MS) });
}

/** Returns the last days that are over, newest first. */
export function daysOf({ nowMs }: Pick<World, 'nowMs'>, count: number): string[] {
  return Array.from({ length: count }, (_, back) => dayAt(nowMs - (back + 1) * DAY_MS));
}

/** Returns the organizations that exist, on either platform. */
export async function livingOf({ book }: World): Promise<TruthOrg[]> {
  return (await book.orgs()).filter(({ deleted }) => !deleted);
}

/** Returns the organizations of the first platform that are gone, and that the program does not know to be gone yet. */
export async function unnoticedOf({ book, ledger, platform }: World): Promise<string[]> {
  const known = ledger.tracks.filter((each) => !each.removed && each.instanceId === platform.instanceId);
  const ids = new Set(known.map(({ orgId }) => orgId));
  const gone = (org: TruthOrg) => org.deleted || org.instanceId !== platform.instanceId;
  return (await book.orgs()).filter((org) => gone(org) && ids.has(org.orgId)).map(({ orgId }) => orgId);
}

/** Returns one of the organizations that exist on the first platform. */
export async function someOrg(world: World, dice: Dice): Promise<string> {
  return dice.pick(await ownOf(world)).orgId;
}

export async function ownOf(world: World): Promise<TruthOrg[]> {
  return (await livingOf(world)).filter(({ instanceId }) => instanceId === world.platform.instanceId);
}

export async function setTrouble(world: World, changes: Partial<Problem>): Promise<void> {
  const { platform } = world;
  world.problem = { ...world.problem, ...changes };
  const { faults, list, scopes, dateOffsetMs } = world.problem;
  await platform.control('config', { faults, list, dateOffsetMs });
  const token = { token: platform.token, scopes: scopes ?? ['all.Instance'] };
  await platform.control('tokens', { ...token, revoked: scopes?.length === 0 });
}

/** Changes what the program is told from now on. */
export function changeSettings(world: World, changes: Partial<Settings>): void {
  world.settings = { ...world.settings, ...changes };
}

export interface StartOptions extends Pick<Surroundings, 'hostNow'> {
  /** The database by another way than the usual one. */
  readonly databaseUrl?: string;
  readonly platform?: Platform;
  readonly more?: Readonly<Record<string, string>>;
}

/** A command that has been started. */
interface Started {
  readonly args: readonly string[];
  readonly instanceId: string;
  readonly running: Running;
}

/** Starts a command in this process. */
export function start(world: World, args: readonly string[], options: StartOptions = {}): Started {
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
    ...options.more,
  };
  const hostNow = options.hostNow ?? (() => world.nowMs);
  const running = startProgram([...args, '--json'], env, { hostNow, random: () => random() / 4 });
  return { args, instanceId, running };
}

/** Returns what an export was about, by its arguments; null for other commands. */
function scopeOf(args: readonly string[], instanceId: string): Scope | null {
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

/** Waits for the end of a command and notes it for the checker. */
export async function finish(
  world: World,
  { args, instanceId, running }: Started,
  startedAtMs = world.nowMs,
): Promise<Ended> {
  const ended = await running.ended;
  const scope = scopeOf(args, instanceId);
  world.outcomes.push({ what: args.join(' '), scope, startedAtMs, ...ended });
  return ended;
}

/** Runs a command to its end. */
export async function run(world: World, args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return await finish(world, start(world, args, options));
}

/** As the writer, who may end the sessions of its runs. */
export const query = ({ database }: World, statement: string) => asWriter(database.url, statement);
