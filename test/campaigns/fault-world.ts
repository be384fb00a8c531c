/** One seeded world: runs at several times while things go wrong, each checked, then a clean end. */
import { randomUUID } from 'node:crypto';
import type { CommandContext } from '../../src/commands/command.ts';
import { openSchema } from '../../src/commands/open/database.ts';
import type { DatabaseHandle } from '../../src/database/connect/open.ts';
import { openInstance } from '../../src/export/open.ts';
import type { RunReport } from '../../src/export/report.ts';
import { runInstance } from '../../src/export/run.ts';
import { createLogger } from '../../src/logger.ts';
import { readConfig } from '../../src/settings/config.ts';
import type { Ask } from '../../src/usage/plan.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { SILENT } from '../support/output.ts';
import * as check from './checker.ts';
import { checkRemovals, checkReport, countFacts, readFirstDay, readListedAt } from './database-checks.ts';
import { compareGaps } from './gaps-view.ts';
import { type LedgerRows, readLedgerRows } from './ledger-rows.ts';
import { drawFaults, rewritePast, stopOmitting } from './mischief.ts';
import { playProgram } from './program-round.ts';
import { type Dice, rollFrom } from './seeds.ts';
import { openTruthBook, type TruthBook } from './truth.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Before that, a platform whose clock is behind would still count yesterday. */
const EARLY_MS = 10 * 60_000;
/** In so many worlds one also runs the program itself: a process costs ten times as much. */
const PROGRAM_EVERY = 5;
const { dayAt } = check;

/** What a campaign adds up over its worlds. */
export interface Campaign {
  readonly counts: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly wrong: string[];
}

export interface World {
  readonly seed: number;
  readonly dice: Dice;
  readonly platform: Platform;
  readonly database: TestDatabase;
  readonly handle: DatabaseHandle;
  readonly book: TruthBook;
  readonly campaign: Campaign;
  readonly policy: { readAtHours: readonly number[]; horizonDays: number };
  /** ms that the world's time is behind the real one. */
  behindMs: number;
  /** First usage day of the instance; null before the first run. */
  firstDay: string | null;
  /** When the program last listed all organizations, and which there were. */
  listedAt: string | null;
  listed: readonly { orgId: string; createdDay: string }[];
}

const POLICIES = {
  usual: { READ_AT_HOURS: '0,6,24,48,72,168,720', FINAL_AT_HOURS: '72', HORIZON_DAYS: '90' },
  short: { READ_AT_HOURS: '0,6,24,48', FINAL_AT_HOURS: '48', HORIZON_DAYS: '4' },
};

export async function playWorld(seed: number, campaign: Campaign): Promise<void> {
  const dice = rollFrom(seed);
  const behind = { ms: 0 };
  await using platform = await startPlatform({
    now: () => Date.now() - behind.ms,
    seed: `faults ${seed}`,
    orgs: 3 + dice.below(6),
    omitZeroDays: dice.chance(0.4),
    echoWindow: dice.chance(0.8),
    ...(dice.chance(0.25) ? { maxRangeDays: 1 + dice.below(4) } : {}),
    latencyMs: dice.chance(0.3) ? 1 + dice.below(8) : 0,
  });
  const database = await createTestDatabase();
  const policy = dice.chance(0.75) ? 'usual' : 'short';
  const env = { ...POLICIES[policy], ...envOf(platform, database) };
  const noisy = contextOf(
    { ...env, REQUEST_TIMEOUT_MS: '400', REQUEST_ATTEMPTS: String(1 + dice.below(3)) },
    dice,
  );
  const calm = contextOf({ ...env, REQUEST_TIMEOUT_MS: '30000' }, dice);
  const handle = await openSchema(noisy, { createIfEmpty: false });
  const { readAtHours, horizonDays } = noisy.config.policy;
  const world: World = {
    ...{ seed, dice, platform, database, handle, campaign, policy: { readAtHours, horizonDays } },
    book: openTruthBook(platform.url),
    ...{ behindMs: 0, firstDay: null, listedAt: null, listed: [] },
  };
  try {
    const rounds = 3 + dice.below(2);
    const steps = Array.from({ length: rounds }, () => dice.pick([1, 5, 7, 24, 30, 49, 75]) * HOUR_MS);
    let left = steps.reduce((sum, step) => sum + step, 0);
    for (const step of steps) {
      behind.ms = world.behindMs = awayFromMidnight(left);
      await playRound(world, noisy);
      left -= step;
    }
    behind.ms = world.behindMs = awayFromMidnight(0);
    if (seed % PROGRAM_EVERY === 0) {
      const wrong = await playProgram(world);
      campaign.wrong.push(...wrong.slice(0, 5).map((line) => `seed ${seed}, the program: ${line}`));
      await countFaults(world);
    }
    await endClean(world, calm);
  } finally {
    await handle.close();
    await database.drop();
  }
}

function awayFromMidnight(behindMs: number): number {
  const sinceMidnight = (Date.now() - behindMs) % DAY_MS;
  return sinceMidnight < EARLY_MS ? behindMs - (EARLY_MS - sinceMidnight) : behindMs;
}

function envOf({ url, token, instanceId }: Platform, { url: databaseUrl }: TestDatabase) {
  return {
    ...{ LOSANT_API_URL: url, LOSANT_API_TOKEN: token, LOSANT_INSTANCE_ID: instanceId },
    ...{ DATABASE_URL: databaseUrl, REQUESTS_PER_SECOND: '10000', LOG_LEVEL: 'silent' },
  };
}

function contextOf(env: Record<string, string>, dice: Dice): CommandContext {
  return {
    config: readConfig({ env, configFile: null, needs: ['losant', 'database'] }),
    logger: createLogger({ level: 'silent', pretty: false, destination: { write: () => undefined } }),
    output: SILENT,
    isSummaryEnough: true,
    env,
    signal: new AbortController().signal,
    hostNow: Date.now,
    random: () => dice.next() / 2,
    newId: randomUUID,
    host: 'campaign',
    version: '0.0.0',
  };
}

const nowOf = ({ behindMs }: World) => Date.now() - behindMs;
const yesterdayOf = (world: World) => dayAt(nowOf(world) - DAY_MS);

/** The last days that are over, newest first. */
function daysOf(world: World, count = 10): string[] {
  const last = Date.parse(yesterdayOf(world));
  return Array.from({ length: count }, (_, back) => dayAt(last - back * DAY_MS));
}

async function playRound(world: World, context: CommandContext): Promise<void> {
  const { dice, platform, book } = world;
  const days = daysOf(world);
  await book.note(days.at(-1) as string, days[0] as string);
  const orgIds = (await book.orgs()).map(({ orgId }) => orgId);
  if (dice.chance(0.6)) await rewritePast(dice, platform, { book, days, orgIds });
  if (dice.chance(0.15)) await platform.send('DELETE', `/orgs/${dice.pick(orgIds)}`, {});
  if (dice.chance(0.15)) {
    await platform.control('orgs', {
      creationDate: new Date(nowOf(world) - dice.below(3) * DAY_MS).toISOString(),
    });
    await book.note(days.at(-1) as string, days[0] as string);
  }
  const offsetMs = dice.chance(0.2) ? (dice.below(480) - 240) * 1_000 : 0;
  await platform.control('config', { faults: drawFaults(dice, orgIds), clock: { offsetMs } });
  const meanwhile = dice.chance(0.2)
    ? rewritePast(dice, platform, { book, days, orgIds })
    : Promise.resolve();
  await runAndCheck(world, context, drawAsk(dice, days));
  await meanwhile;
  await countFaults(world);
}

function drawAsk(dice: Dice, days: readonly string[]): { kind: 'manual' | 'backfill'; ask?: Ask } {
  if (dice.chance(0.55)) return { kind: 'manual' };
  const [newer, older] = [dice.below(4), 4 + dice.below(6)].map((back) => days[back] as string);
  if (dice.chance(0.3)) {
    const range = { from: newer as string, to: newer as string };
    return { kind: 'manual', ask: { range, reason: 'asked', force: true, pastHorizon: false } };
  }
  const range = { from: older as string, to: dice.chance(0.5) ? (days[0] as string) : (newer as string) };
  return {
    kind: 'backfill',
    ask: { range, reason: 'backfill', force: dice.chance(0.3), pastHorizon: false },
  };
}

/** Runs once, and holds what it says and leaves against the truth. Returns null if it could not begin. */
async function runAndCheck(
  world: World,
  context: CommandContext,
  { kind, ask }: { kind: 'manual' | 'backfill'; ask?: Ask },
): Promise<RunReport | null> {
  const { handle, database, book, campaign, seed } = world;
  const { counts } = campaign;
  const say = (lines: readonly string[]) => {
    const what = `seed ${seed}, ${kind}${ask ? ` ${ask.range.from}..${ask.range.to}` : ''} at ${new Date(startedAtMs).toISOString()}`;
    for (const line of lines.slice(0, 5)) campaign.wrong.push(`${what}: ${line}`);
  };
  const startedAtMs = nowOf(world);
  const listed = (await book.orgs()).filter(({ deleted }) => !deleted);
  const factsBefore = await countFacts(database.url);
  const instance = context.config.instances[0];
  if (!instance) throw new Error('there is no instance');
  const now = () => nowOf(world);
  const opened = openInstance(context, instance, { handle, now, gates: new Map() });
  const { streams } = instance;
  const { signal } = context;
  const outcome = await runInstance(opened, {
    kind,
    ask,
    orgIds: null,
    runId: randomUUID(),
    streams,
    signal,
  }).catch((error: unknown) => error as Error);
  counts['runs'] = (counts['runs'] ?? 0) + 1;
  if (world.firstDay === null) world.firstDay = await readFirstDay(database.url);
  const listedAt = await readListedAt(database.url);
  if (listedAt !== world.listedAt) Object.assign(world, { listedAt, listed });
  const ledger = await readLedgerRows(database.url, dayAt(startedAtMs - DAY_MS));
  say(check.checkAlways(ledger, book));
  say(await checkRemovals(database.url, book));
  if (outcome instanceof Error) {
    counts['could not begin'] = (counts['could not begin'] ?? 0) + 1;
    if (outcome.constructor === Error || outcome instanceof TypeError) say([`threw ${outcome.stack}`]);
    return null;
  }
  const { report, refusal } = outcome;
  const isComplete = report.status === 'complete' && refusal === null;
  counts[report.status] = (counts[report.status] ?? 0) + 1;
  counts['cells'] = (counts['cells'] ?? 0) + report.cells.planned;
  say(await checkReport(report, database.url, factsBefore));
  const living = new Set((await book.orgs()).filter(({ deleted }) => !deleted).map(({ orgId }) => orgId));
  const orgs = world.listed.filter(({ orgId }) => living.has(orgId));
  say(check.checkPromises(ledger, { orgs, firstDay: world.firstDay ?? '' }));
  if (isComplete) {
    say(check.checkComplete(ledger, { startedAtMs, range: ask?.range ?? null, ...world.policy }));
  }
  return report;
}

/** Without faults everything is read again: then all is true, and nothing more changes. */
async function endClean(world: World, context: CommandContext): Promise<void> {
  const { platform, book, database, seed, campaign } = world;
  const days = daysOf(world, 30);
  const orgs = await book.orgs();
  await platform.control('config', { faults: null, clock: { offsetMs: 0 } });
  await stopOmitting(
    platform,
    orgs.map(({ orgId }) => orgId),
    days,
  );
  await book.note(days.at(-1) as string, days[0] as string);
  await runAndCheck(world, context, { kind: 'manual' });
  const yesterday = yesterdayOf(world);
  const promised = await readLedgerRows(database.url, yesterday);
  const from = promised.cells
    .filter(({ isPromised }) => isPromised)
    .map(({ day }) => day)
    .sort()[0];
  const range = { from: from ?? yesterday, to: yesterday };
  const ask: Ask = { range, reason: 'backfill', force: true, pastHorizon: false };
  await runAndCheck(world, context, { kind: 'backfill', ask });
  const ledger = await readLedgerRows(database.url, yesterday);
  const living = new Set(orgs.filter(({ deleted }) => !deleted).map(({ orgId }) => orgId));
  const oldest = dayAt(nowOf(world) - world.policy.horizonDays * DAY_MS);
  const wrong = [
    ...check.checkPresent(ledger, book, living, oldest),
    ...(await compareGaps(database.url, check.findGaps(ledger, nowOf(world)))),
  ];
  const before = new Set(linesOf(ledger));
  await runAndCheck(world, context, { kind: 'backfill', ask });
  const after = linesOf(await readLedgerRows(database.url, yesterday));
  wrong.push(
    ...after.filter((line) => !before.has(line)).map((line) => `read the same again, and then ${line}`),
  );
  campaign.wrong.push(...wrong.slice(0, 5).map((line) => `seed ${seed}, at the end: ${line}`));
}

/** Everything but times, and how often a cell that is not held was tried. */
function linesOf({ cells, revisions }: LedgerRows): string[] {
  return [
    ...cells.map(({ verifiedAtMs: _, attempts: __, ...cell }) => JSON.stringify(cell)),
    ...revisions.map((revision) => JSON.stringify(revision)),
  ];
}

async function countFaults({ platform, campaign }: World): Promise<void> {
  const { faults } = (await platform.control('stats')) as { faults: Record<string, number> };
  for (const [kind, count] of Object.entries(faults))
    campaign.faults[kind] = (campaign.faults[kind] ?? 0) + count;
  await platform.control('stats/reset', {});
}
