/** Steps of the program and its database: processes run, are killed or suspended, and lose the server or the time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { portOf, startWire, through } from '../../support/wire.ts';
import { instanceOf, NEVER_MS, openReplica } from '../../worker/loop.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { DAY_MS, HOUR_MS } from './truth.ts';
import {
  endedDays,
  finishCommand,
  LEASE_EXPIRED_MS,
  POLICIES,
  passTime,
  pickOrg,
  query,
  runCommand,
  startCommand,
  type World,
} from './world.ts';

const flags = (name: string, values: readonly string[] | null) => values?.flatMap((value) => [name, value]) ?? [];

/** Draws a backfill. Lets the lease of a dead process expire first, because a backfill would wait for it. */
async function pickBackfill(world: World, dice: Dice): Promise<string[]> {
  await passTime(world, LEASE_EXPIRED_MS);
  const days = endedDays(world, 26);
  const last = dice.chance(0.6) ? 0 : dice.below(12);
  const orgIds = dice.chance(0.2) ? [await pickOrg(world, dice)] : null;
  const streams = dice.chance(0.2) ? [dice.pick(world.settings.streams)] : null;
  const range = ['--from', days[last + dice.below(14)] as string, '--to', days[last] as string];
  const force = dice.chance(0.35) ? ['--force'] : [];
  return ['backfill', ...range, ...force, ...flags('--org', orgIds), ...flags('--stream', streams)];
}

const pickDayRun = (world: World, dice: Dice) => ['run', '--day', dice.pick(endedDays(world, 8))];

async function pickRun(world: World, dice: Dice): Promise<string[]> {
  const roll = dice.next();
  if (roll < 0.6) return ['run'];
  return roll < 0.8 ? await pickBackfill(world, dice) : pickDayRun(world, dice);
}

/** Draws the statement at which a run is disturbed, mostly one of the first, where most is decided. */
const pickStatement = (dice: Dice) => 1 + Math.floor(4 ** (dice.next() * 3.4));

type WireControl = Record<'cut' | 'mend' | 'interrupt', () => void>;

/** Runs the program over a wire of its own to the database, and disturbs it at one of its statements. */
async function disturb(world: World, dice: Dice, disturbance: (way: WireControl) => 'pass' | 'drop'): Promise<string> {
  const args = await pickRun(world, dice);
  await using wire = await startWire(portOf(world.database.url));
  const statementNumber = pickStatement(dice);
  let isReached = false;
  wire.onSent = (nth) => {
    if (nth !== statementNumber) return 'pass';
    isReached = true;
    const interrupt = () => started.running.kill('SIGTERM');
    return disturbance({ cut: () => wire.cut(), mend: () => wire.mend(), interrupt });
  };
  const started = startCommand(world, args, { databaseUrl: through(wire, world.database.url) });
  const { code } = await finishCommand(world, started);
  await waitForSessions(world);
  return `${args.join(' ')} at statement ${statementNumber}${isReached ? '' : ', which it did not reach'}: ${code}`;
}

const SESSIONS = `from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage'`;

async function waitForSessions(world: World): Promise<void> {
  for (let tries = 0; tries < 200 && (await query(world, `select ${SESSIONS}`)).length > 0; tries += 1) await sleep(10);
}

/** The largest piece in which a socket passes on what it receives. */
const PIECE_BYTES = 65_536;

async function freeze(world: World, dice: Dice): Promise<string> {
  const args = await pickRun(world, dice);
  await using wire = await startWire(portOf(world.database.url));
  const statementNumber = pickStatement(dice);
  let [hasEnded, isWhole] = [false, true];
  const freezePoint = new Promise<void>((resolve) => {
    wire.onSent = (nth, { length }) => {
      // Postgres waits without a limit for the rest of a statement, which is sent in pieces.
      const beginsStatement = isWhole;
      isWhole = length < PIECE_BYTES;
      if (nth < statementNumber || !beginsStatement || hasEnded) return 'pass';
      hasEnded = true;
      resolve();
      return 'freeze';
    };
  });
  const startedAtMs = world.nowMs;
  const first = startCommand(world, args, { databaseUrl: through(wire, world.database.url) });
  await Promise.race([freezePoint, first.running.ended]);
  hasEnded = true;
  await passTime(world, LEASE_EXPIRED_MS + dice.below(dice.chance(0.5) ? 60 : 30_000) * 1_000);
  // Postgres ends a session that idles in a transaction for a minute.
  await query(world, `select pg_terminate_backend(pid) ${SESSIONS} and state like 'idle in transaction%'`);
  const { code } = await runCommand(world, ['run']);
  if (code === 4) world.violations.push('a process that was suspended for more than a minute still blocks others');
  wire.thaw();
  const ended = await finishCommand(world, first, startedAtMs);
  return `${args.join(' ')} at statement ${statementNumber}: ${ended.code}, meanwhile ${code}`;
}

/** A backfill waits for a run and may be killed while it does. Its days stay due and are read nevertheless. */
async function runWithBackfill(world: World, dice: Dice): Promise<string> {
  const args = await pickBackfill(world, dice);
  await world.platform.control('config', { latencyMs: 40 });
  const holder = runCommand(world, ['run']);
  await sleep(100);
  const waiting = startCommand(world, args);
  const isKilled = dice.chance(0.5);
  if (isKilled) setTimeout(() => waiting.running.kill('SIGTERM'), dice.below(600));
  const [second, first] = await Promise.all([finishCommand(world, waiting), holder]);
  await world.platform.control('config', { latencyMs: 0 });
  return `${args.join(' ')}${isKilled ? ', killed' : ''}: ${second.code}, the run ${first.code}`;
}

function createJumpingClock(world: World, dice: Dice): { hostNow: () => number; byMs: number } {
  const byMs = dice.pick([5_000, 45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
  let callsLeft = 5 + dice.below(300);
  return { byMs, hostNow: () => world.nowMs + (--callsLeft < 0 ? byMs : 0) };
}

/** A worker wakes up for both instances, of which the other one is slow. */
async function wakeWorker(world: World, dice: Dice): Promise<string> {
  await passTime(world, LEASE_EXPIRED_MS);
  const { platform, other, database, settings } = world;
  const { streams, orgIds, policy } = settings;
  await other.control('config', { latencyMs: dice.pick([50, 400]) });
  const replica = await openReplica({
    databaseUrl: database.url,
    instances: [
      { ...instanceOf(platform), streams, selection: orgIds },
      { ...instanceOf(other), streams },
    ],
    now: () => world.nowMs,
    retryIntervalMs: NEVER_MS,
    config: { policy: POLICIES[policy] },
  });
  await replica.runAll();
  await replica.close();
  await other.control('config', { latencyMs: 0 });
  for (const { instanceId, problem } of replica.loop.statuses) {
    if (problem?.code === 'unexpected') world.violations.push(`${instanceId}: ${problem.message}`);
  }
  return replica.loop.statuses.map(({ lastRun }) => lastRun?.result).join();
}

async function runLogged(world: World, args: readonly string[]): Promise<string> {
  return `${args.join(' ')}: ${(await runCommand(world, args)).code}`;
}

export const PROCESS_STEPS = {
  wait: step(5, async (world, dice) => {
    const hours = dice.pick([1, 2, 6, 12, 25, 49]);
    await passTime(world, hours * HOUR_MS);
    return `${hours} h`;
  }),
  run: step(20, async (world, dice) => {
    const hours = dice.pick([0, 1, 1, 3, 8, 24]);
    await passTime(world, hours * HOUR_MS);
    return `after ${hours} h: ${await runLogged(world, ['run'])}`;
  }),
  run_day: step(2, (world, dice) => runLogged(world, pickDayRun(world, dice))),
  run_part: step(2, async (world, dice) => {
    const orgIds = dice.chance(0.5) ? [await pickOrg(world, dice)] : null;
    const streams = orgIds && dice.chance(0.5) ? null : [dice.pick(world.settings.streams)];
    return await runLogged(world, ['run', ...flags('--org', orgIds), ...flags('--stream', streams)]);
  }),
  backfill: step(4, async (world, dice) => await runLogged(world, await pickBackfill(world, dice))),
  run_with_backfill: step(2, runWithBackfill),
  two_runs: step(2, async (world) => {
    await passTime(world, LEASE_EXPIRED_MS);
    const codes = (await Promise.all([runCommand(world, ['run']), runCommand(world, ['run'])])).map(({ code }) => code);
    if (codes.every((code) => code === 4)) world.violations.push('two runs blocked each other');
    return codes.join();
  }),
  worker: step(3, wakeWorker),
  kill: step(5, (world, dice) =>
    disturb(world, dice, ({ cut, interrupt }) => {
      // Cut first: a killed process must not write anything on its way out.
      setImmediate(() => {
        cut();
        interrupt();
      });
      return dice.chance(0.5) ? 'drop' : 'pass';
    }),
  ),
  interrupt: step(2, (world, dice) =>
    disturb(world, dice, ({ interrupt }) => {
      interrupt();
      return 'pass';
    }),
  ),
  database_away: step(2, (world, dice) =>
    disturb(world, dice, ({ cut, mend }) => {
      setImmediate(cut);
      setTimeout(mend, 250);
      return dice.chance(0.5) ? 'drop' : 'pass';
    }),
  ),
  sessions_ended: step(2, (world, dice) =>
    disturb(world, dice, () => {
      void query(world, `select pg_terminate_backend(pid) ${SESSIONS}`).catch(() => undefined);
      return 'pass';
    }),
  ),
  freeze: step(4, freeze),
  standby: step(3, async (world) => {
    await world.database.makeStandby();
    return 'copied';
  }),
  failover: step(3, async (world) => {
    if (!(await world.database.failOver())) return 'no: there is no copy';
    await world.database.stopClock(world.nowMs);
    world.ledger = await readLedger(world.database.url);
    return 'to the copy';
  }),
  host_clock: step(3, async (world, dice) => {
    const args = dice.chance(0.6) ? ['run'] : await pickBackfill(world, dice);
    const { hostNow, byMs } = createJumpingClock(world, dice);
    const { code } = await runCommand(world, args, { hostNow });
    return `${args.join(' ')} by ${byMs} ms: ${code}`;
  }),
  platform_clock: step(2, async (world, dice) => {
    const byMs = dice.pick([45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
    await world.platform.control('config', { clockJump: { afterRequests: dice.below(60), byMs } });
    const { code } = await runCommand(world, ['run']);
    await world.platform.control('config', { clockJump: null, clock: { offsetMs: 0 } });
    return `by ${byMs} ms: ${code}`;
  }),
  migrate: step(1, async (world) => `${(await runCommand(world, ['migrate'])).code}`),
  look: step(2, async (world) => {
    const codes: (number | null)[] = [];
    for (const command of ['gaps', 'status', 'check']) codes.push((await runCommand(world, [command])).code);
    return codes.join();
  }),
} as const satisfies Kinds;
