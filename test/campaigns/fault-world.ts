/** One seeded world: runs at several times while things go wrong, each checked, then a clean end. */
import { openSchema } from '../../src/cli/open-database.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import type { Ask } from '../../src/usage/plan.ts';
import { startPlatform } from '../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { checkAlways, DAY_MS, dayAt, HOUR_MS } from './checker.ts';
import { editByHand } from './hand-edits.ts';
import { type LedgerRows, readLedgerRows } from './ledger-rows.ts';
import {
  drawClock,
  drawFaults,
  drawListFaults,
  drawPlatformJump,
  rewritePast,
  stopOmitting,
} from './mischief.ts';
import { playProgram } from './program-round.ts';
import { checkPresent } from './run-checks.ts';
import { type Dice, rollFrom } from './seeds.ts';
import { openTruthBook } from './truth.ts';
import {
  type Campaign,
  contextOf,
  count,
  daysOf,
  type Errand,
  livingOf,
  moveTime,
  nowOf,
  POLICIES,
  say,
  type World,
  yesterdayOf,
} from './world.ts';
import { runAndCheck } from './world-run.ts';

/** In so many worlds one also runs the program itself: a process costs ten times as much. */
const PROGRAM_EVERY = 5;

export async function playWorld(seed: number, campaign: Campaign, template: ClockDatabase): Promise<void> {
  const dice = rollFrom(seed);
  const time = { behindMs: 0 };
  await using platform = await startPlatform({
    now: () => nowOf(time),
    seed: `faults ${seed}`,
    orgs: 3 + dice.below(6),
    pageSizeMax: dice.chance(0.6) ? 2 : 1_000,
    omitZeroDays: dice.chance(0.4),
    echoWindow: dice.chance(0.8),
    ...(dice.chance(0.25) ? { maxRangeDays: 1 + dice.below(4) } : {}),
    latencyMs: dice.chance(0.3) ? 1 + dice.below(8) : 0,
  });
  const database = await createClockDatabase(template);
  const policy = dice.chance(0.75) ? ('usual' as const) : ('short' as const);
  const handle = await openSchema(contextOf({ platform, database, policy, seed }), { createIfEmpty: false });
  const world: World = Object.assign(time, {
    ...{ seed, dice, platform, database, handle, campaign, policy, book: openTruthBook(platform.url) },
    ...{ firstDay: null, listedAt: null, listed: [], asked: [] },
  });
  try {
    await playRounds(world);
    if (seed % PROGRAM_EVERY === 0) {
      await moveTime(world, Date.now());
      say(world, 'the program', await playProgram(world));
      await countFaults(world);
    }
    await endClean(world);
  } finally {
    await handle.close();
    await database.drop();
  }
}

/** Rounds, and then half past noon of the day before: no round is near midnight, and for a day a seed repeats them. */
async function playRounds(world: World): Promise<void> {
  const { dice } = world;
  const rounds = 3 + dice.below(2);
  const steps = Array.from({ length: rounds }, () => dice.pick([1, 5, 7, 24, 30, 49, 75]) * HOUR_MS);
  let atMs = Date.parse(dayAt(Date.now())) - 11.5 * HOUR_MS - steps.reduce((sum, step) => sum + step, 0);
  for (const step of steps) {
    await moveTime(world, atMs);
    await playRound(world);
    atMs += step;
  }
  await moveTime(world, atMs);
}

async function playRound(world: World): Promise<void> {
  const { dice, platform, book } = world;
  const days = daysOf(world);
  const note = () => book.note(days.at(-1) as string, days[0] as string);
  await note();
  const orgIds = (await book.orgs()).map(({ orgId }) => orgId);
  if (dice.chance(0.6)) await rewritePast(dice, platform, { book, days, orgIds });
  if (dice.chance(0.15)) await platform.send('DELETE', `/orgs/${dice.pick(orgIds)}`, {});
  if (dice.chance(0.15)) {
    const creationDate = new Date(nowOf(world) - dice.below(3) * DAY_MS).toISOString();
    await platform.control('orgs', { creationDate });
    await note();
  }
  if (dice.chance(0.1)) world.policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
  if (dice.chance(0.3)) await changeByHand(world);
  const offsetMs = dice.chance(0.2) ? (dice.below(480) - 240) * 1_000 : 0;
  await platform.control('config', {
    faults: drawFaults(dice, orgIds),
    list: drawListFaults(dice, orgIds),
    clock: { offsetMs },
    clockJump: drawPlatformJump(dice),
  });
  const clock = drawClock(dice);
  const attempts = String(1 + dice.below(3));
  const context = contextOf(world, { REQUEST_TIMEOUT_MS: '600', REQUEST_ATTEMPTS: attempts });
  const errand = drawErrand(dice, days);
  const meanwhile = dice.chance(0.2)
    ? rewritePast(dice, platform, { book, days, orgIds })
    : Promise.resolve();
  await runAndCheck(world, context, errand, clock);
  await meanwhile;
  await platform.control('config', { clockJump: null, clock: { offsetMs } });
  // An organization that the list deleted meanwhile, or that came with a jump of the clock.
  await note();
  await countFaults(world);
}

/** What people do to the tables between two runs, and what holds at once: a gap or a change on record. */
async function changeByHand(world: World): Promise<void> {
  const { database, dice, campaign, book } = world;
  for (let times = 1 + dice.below(3); times > 0; times -= 1) {
    if (dice.chance(0.3)) await acceptSome(world);
    const { what, refused, rows, isAllowed } = await editByHand(database.url, dice);
    campaign.edits[what] = (campaign.edits[what] ?? 0) + 1;
    if (refused !== null) count(world, 'edits refused');
    const about = `${what} at ${new Date(nowOf(world)).toISOString()}`;
    if (!isAllowed && refused === null && rows !== 0) say(world, about, ['was not refused']);
    say(world, about, checkAlways(await readLedgerRows(database.url), book));
  }
}

/** A person accepts a number that is missing or in doubt, and then it is no gap. */
async function acceptSome(world: World): Promise<void> {
  const { database, dice, book, handle } = world;
  const about = `accepted at ${new Date(nowOf(world)).toISOString()}`;
  const { cells } = await readLedgerRows(database.url);
  const open = cells.filter(
    ({ isTracked, standing }) => isTracked && !['final', 'stored', 'accepted'].includes(standing ?? ''),
  );
  if (open.length === 0) return;
  const { orgId, stream, day } = dice.pick(open);
  const range = { from: day, to: day };
  // A level that is left out is no zero, and is refused as one.
  const asZero = dice.chance(0.3) && stream !== 'device_counts';
  await waiveCells(handle.db, { orgId, stream, range, reason: 'agreed', asZero });
  count(world, 'accepted');
  const after = await readLedgerRows(database.url);
  const cell = after.cells.find((each) => each.orgId === orgId && each.stream === stream && each.day === day);
  if (cell?.standing !== 'accepted') say(world, about, [`${stream} ${orgId} ${day} is ${cell?.standing}`]);
  say(world, about, checkAlways(after, book));
}

function drawErrand(dice: Dice, days: readonly string[]): Errand {
  if (dice.chance(0.55)) return { kind: 'manual' };
  const [newer, older] = [dice.below(4), 4 + dice.below(6)].map((back) => days[back] as string);
  if (dice.chance(0.3)) {
    const range = { from: newer as string, to: newer as string };
    return { kind: 'manual', ask: { range, reason: 'asked', force: true, pastHorizon: false } };
  }
  const range = { from: older as string, to: dice.chance(0.5) ? (days[0] as string) : (newer as string) };
  const ask: Ask = { range, reason: 'backfill', force: dice.chance(0.3), pastHorizon: false };
  return { kind: 'backfill', ask };
}

/** Without faults everything is read again; then all is true, and nothing more changes. */
async function endClean(world: World): Promise<void> {
  const { platform, book, database } = world;
  const days = daysOf(world, 30);
  const orgIds = (await book.orgs()).map(({ orgId }) => orgId);
  await platform.control('config', { faults: null, list: null, clockJump: null, clock: { offsetMs: 0 } });
  const note = () => book.note(days.at(-1) as string, days[0] as string);
  await note();
  await stopOmitting(platform, { book, days, orgIds });
  await note();
  const context = contextOf(world, { REQUEST_TIMEOUT_MS: '30000' });
  await runAndCheck(world, context, { kind: 'manual' });
  const yesterday = yesterdayOf(world);
  const { cells } = await readLedgerRows(database.url);
  const first = cells
    .filter(({ isTracked }) => isTracked)
    .map(({ day }) => day)
    .sort()[0];
  const range = { from: first ?? yesterday, to: yesterday };
  const ask: Ask = { range, reason: 'backfill', force: true, pastHorizon: false };
  await runAndCheck(world, context, { kind: 'backfill', ask });
  const ledger = await readLedgerRows(database.url);
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  const oldest = dayAt(nowOf(world) - POLICIES[world.policy].horizonDays * DAY_MS);
  say(world, 'at the end', checkPresent(ledger, book, living, oldest));
  const before = new Set(linesOf(ledger));
  await runAndCheck(world, context, { kind: 'backfill', ask });
  const more = linesOf(await readLedgerRows(database.url)).filter((line) => !before.has(line));
  say(
    world,
    'at the end',
    more.map((line) => `read the same again, and then ${line}`),
  );
}

/** Everything but times, and how often a cell that is not stored was tried. */
function linesOf({ cells, revisions }: LedgerRows): string[] {
  return [
    ...cells.map(({ verifiedAtMs: _, attempts: __, ...cell }) => JSON.stringify(cell)),
    ...revisions.map((revision) => JSON.stringify(revision)),
  ];
}

async function countFaults({ platform, campaign }: World): Promise<void> {
  const { faults } = (await platform.control('stats')) as { faults: Record<string, number> };
  for (const [kind, times] of Object.entries(faults))
    campaign.faults[kind] = (campaign.faults[kind] ?? 0) + times;
  await platform.control('stats/reset', {});
}
