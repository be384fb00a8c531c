/** One run within this process, and what it says and leaves compared with the truth. */
import { randomUUID } from 'node:crypto';
import type { CommandContext } from '../../src/cli/command.ts';
import { openInstance } from '../../src/export/context.ts';
import { type RunOutcome, runInstance } from '../../src/export/run.ts';
import { checkAlways, DAY_MS, dayAt } from './checker.ts';
import { checkRemovals, checkReport, countFacts, readFirstDay, readListing } from './database-checks.ts';
import { type LedgerRows, readLedgerRows } from './ledger-rows.ts';
import type { JumpingClock } from './mischief.ts';
import { checkComplete, checkDoubts, checkPartial, checkTracked } from './run-checks.ts';
import { count, type Errand, livingOf, nowOf, POLICIES, say, type World } from './world.ts';

const STEADY: JumpingClock = { offMs: () => 0, onRequest: () => undefined, hasJumped: false };

export async function runAndCheck(
  world: World,
  context: CommandContext,
  { kind, ask }: Errand,
  clock: JumpingClock = STEADY,
): Promise<void> {
  const { database, book } = world;
  const startedAtMs = nowOf(world);
  const range = ask?.range ?? null;
  const about = `${kind}${range ? ` ${range.from}..${range.to}` : ''} at ${new Date(startedAtMs).toISOString()}`;
  const living = await livingOf(world);
  const factsBefore = await countFacts(database.url);
  const before = await readLedgerRows(database.url);
  const outcome = await runOnce(world, context, { kind, ...(ask && { ask }) }, clock);
  count(world, 'runs');
  world.firstDay ??= await readFirstDay(database.url);
  const listing = await readListing(database.url);
  if (listing.at !== world.listedAt) Object.assign(world, { listedAt: listing.at, listed: living });
  const ledger = await readLedgerRows(database.url);
  say(world, about, checkAlways(ledger, book));
  say(world, about, checkDoubts(before, ledger));
  say(world, about, await checkRemovals(database.url, book));
  if (outcome instanceof Error) {
    count(world, `${clock.hasJumped ? 'ended by a clock' : 'could not begin'}: ${outcome.name}`);
    if (outcome.constructor === Error || outcome instanceof TypeError)
      say(world, about, [`threw ${outcome.stack}`]);
    return;
  }
  const { report, refusal, tally } = outcome;
  const { readAtHours, horizonDays } = POLICIES[world.policy];
  if (ask?.reason === 'backfill' && refusal === null && !clock.hasJumped) {
    const horizon = dayAt(startedAtMs - horizonDays * DAY_MS);
    const from = ask.range.from > horizon ? ask.range.from : horizon;
    // Every day from there to what is tracked anyway becomes tracked as well.
    world.asked.push({ from, to: latestOf(ask.range.to, world.firstDay), listed: world.listed });
  }
  count(world, report.status);
  count(world, 'cells', report.cells.planned);
  if (clock.hasJumped) count(world, 'survived a clock');
  say(world, about, await checkReport(report, database.url, factsBefore));
  await checkScope(world, ledger, about);
  const isComplete = report.status === 'complete' && refusal === null;
  if (isComplete && listing.problem !== null) say(world, about, [`complete, and yet ${listing.problem}`]);
  const told = report.failures.length + tally.unreadable + (range === null ? 0 : report.cells.left_out);
  say(
    world,
    about,
    isComplete
      ? checkComplete(ledger, { startedAtMs, range, readAtHours, horizonDays })
      : checkPartial(ledger, { told, range }),
  );
}

async function runOnce(
  world: World,
  context: CommandContext,
  { kind, ask }: Errand,
  clock: JumpingClock,
): Promise<RunOutcome | Error> {
  const instance = context.config.instances[0];
  if (!instance) throw new Error('there is no instance');
  const now = () => nowOf(world) + clock.offMs();
  const { handle } = world;
  const opened = openInstance(context, instance, {
    handle,
    now,
    gates: new Map(),
    onAttempt: () => clock.onRequest(),
  });
  const { streams } = instance;
  const { signal } = context;
  return await runInstance(opened, { kind, ask, orgIds: null, runId: randomUUID(), streams, signal }).catch(
    (error: unknown) => error as Error,
  );
}

function latestOf(day: string, other: string | null): string {
  return other !== null && other > day ? other : day;
}

/** Every organization that was listed and lives is tracked, on every day that anybody asked for. */
async function checkScope(world: World, ledger: LedgerRows, about: string): Promise<void> {
  const { firstDay } = world;
  if (firstDay === null) return;
  const living = new Set((await livingOf(world)).map(({ orgId }) => orgId));
  const alive = (orgs: World['listed']) => orgs.filter(({ orgId }) => living.has(orgId));
  say(world, about, checkTracked(ledger, { orgs: alive(world.listed), firstDay }));
  for (const { listed, ...range } of world.asked) {
    say(world, about, checkTracked(ledger, { orgs: alive(listed), firstDay, asked: [range] }));
  }
}
