/** Steps of the program and of people: commands run, are killed or suspended, and lose the database or the time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asWriter } from '../../support/databases.ts';
import { portOf, startWire, through } from '../../support/wire.ts';
import { isGap } from './checker.ts';
import type { Dice } from './dice.ts';
import { isClosed, readAdjustments, readDifferences } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { cellName, DAY_MS, HOUR_MS, STREAMS } from './truth.ts';
import {
  endedDays,
  finishCommand,
  LEASE_EXPIRED_MS,
  passTime,
  pickOrg,
  runCommand,
  startCommand,
  type World,
} from './world.ts';

const flags = (name: string, value: string | null) => (value === null ? [] : [name, value]);

/** Draws a backfill. Lets the lease of a dead process expire first, because a backfill would wait for it. */
async function pickBackfill(world: World, dice: Dice): Promise<string[]> {
  await passTime(world, LEASE_EXPIRED_MS);
  const days = endedDays(world, 26);
  const last = dice.chance(0.6) ? 0 : dice.below(12);
  const orgId = dice.chance(0.2) ? await pickOrg(world, dice) : null;
  const stream = dice.chance(0.2) ? dice.pick(STREAMS) : null;
  const range = ['--from', days[last + dice.below(14)] as string, '--to', days[last] as string];
  const force = dice.chance(0.35) ? ['--force'] : [];
  return ['backfill', ...range, ...force, ...flags('--org', orgId), ...flags('--stream', stream)];
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
  wire.onSent = (nth) => {
    if (nth !== statementNumber) return 'pass';
    const interrupt = () => started.running.kill('SIGTERM');
    return disturbance({ cut: () => wire.cut(), mend: () => wire.mend(), interrupt });
  };
  const started = startCommand(world, args, { databaseUrl: through(wire, world.database.url) });
  const { code } = await finishCommand(world, started);
  await waitForSessions(world);
  return `${args.join(' ')} at statement ${statementNumber}: ${code}`;
}

const SESSIONS = `from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage'`;

async function waitForSessions({ database }: World): Promise<void> {
  const isIdle = async () => (await asWriter(database.url, `select ${SESSIONS}`)).length === 0;
  for (let tries = 0; tries < 200 && !(await isIdle()); tries += 1) await sleep(10);
}

/** The largest piece in which a socket passes on what it receives. */
const PIECE_BYTES = 65_536;

/** Suspends a process in the middle of a run until its lease has expired and another one has run. */
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
  const first = startCommand(world, args, { databaseUrl: through(wire, world.database.url) });
  await Promise.race([freezePoint, first.running.ended]);
  hasEnded = true;
  await passTime(world, LEASE_EXPIRED_MS + dice.below(dice.chance(0.5) ? 60 : 30_000) * 1_000);
  // Postgres ends a session that idles in a transaction for a minute.
  const endIdleSessions = `select pg_terminate_backend(pid) ${SESSIONS} and state like 'idle in transaction%'`;
  await asWriter(world.database.url, endIdleSessions);
  const { code } = await runCommand(world, ['run']);
  if (code === 4) world.violations.push('a process that was suspended for more than a minute still blocks others');
  wire.thaw();
  const ended = await finishCommand(world, first);
  return `${args.join(' ')} at statement ${statementNumber}: ${ended.code}, meanwhile ${code}`;
}

function createJumpingClock(world: World, dice: Dice): { hostNow: () => number; byMs: number } {
  const byMs = dice.pick([5_000, 45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
  let callsLeft = 5 + dice.below(300);
  return { byMs, hostNow: () => world.nowMs + (--callsLeft < 0 ? byMs : 0) };
}

/** Waives a gap, or a cell that can no longer be read; or replaces a number that Losant has left out by zeros. */
async function waive(world: World, dice: Dice): Promise<string> {
  const cells = [...world.ledger.cells.values()].filter((cell) => isGap(cell) || cell.standing === 'unavailable');
  if (cells.length === 0) return 'no: there is nothing to waive';
  const cell = dice.pick(cells);
  const { orgId, stream, day, standing, reason } = cell;
  const isOmittedFlow = stream !== 'device_counts' && standing === 'in_doubt' && reason === 'omitted';
  const zero = isOmittedFlow && dice.chance(0.5) ? ['--zero'] : [];
  const args = ['--org', orgId, '--stream', stream, '--day', day, '--reason', 'agreed'];
  const { code, stdout } = await runCommand(world, ['waive', ...args, ...zero]);
  if (code !== 0) world.violations.push(`${cellName(cell)} was ${standing}, and waive ended with ${code}: ${stdout}`);
  return `${cellName(cell)} ${zero.join()}`;
}

/** Closes the month that ended last, with its blockers, or adjusts it. Then its statements bill what is stored. */
export async function closeMonth(world: World): Promise<string> {
  const { database, nowMs } = world;
  const now = new Date(nowMs);
  const firstDay = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)).toISOString().slice(0, 10);
  const month = firstDay.slice(0, 7);
  const differences = await readDifferences(database.url, firstDay);
  const isAdjusted = await isClosed(database.url, firstDay);
  if (!isAdjusted && differences.length === 0) return `no: nothing of ${month} is stored`;
  if (isAdjusted) {
    const shown = (await readAdjustments(database.url, firstDay)).sort().join('\n');
    const expected = differences.map(({ subject }) => subject).sort();
    if (shown !== expected.join('\n'))
      world.violations.push(`adjustments has\n${shown}\nbut must have\n${expected.join('\n')}`);
  }
  const args = ['close', '--month', month];
  let { code, stdout } = await runCommand(world, isAdjusted ? [...args, '--adjust'] : args);
  const isBlocked = !isAdjusted && code === 3;
  if (isBlocked) ({ code, stdout } = await runCommand(world, [...args, '--accept-blockers', '--reason', 'agreed']));
  if (code !== 0) world.violations.push(`${month} could not be closed: ${code} ${stdout}`);
  for (const each of await readDifferences(database.url, firstDay))
    world.violations.push(`${month}: ${each.subject} is billed as ${each.billed}, but ${each.stored} is stored`);
  return `${month}${isAdjusted ? `, adjusted ${differences.length}` : ''}${isBlocked ? ', with blockers' : ''}: ${code}`;
}

async function runLogged(world: World, args: readonly string[]): Promise<string> {
  return `${args.join(' ')}: ${(await runCommand(world, args)).code}`;
}

export const PROGRAM_STEPS = {
  wait: step(5, async (world, dice) => {
    // Some days pass the horizon, where it is short.
    const hours = dice.pick([1, 2, 6, 12, 25, 49, world.policy.horizonDays < 10 ? 264 : 1]);
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
    const orgId = dice.chance(0.5) ? await pickOrg(world, dice) : null;
    const stream = orgId === null || dice.chance(0.5) ? dice.pick(STREAMS) : null;
    return await runLogged(world, ['run', ...flags('--org', orgId), ...flags('--stream', stream)]);
  }),
  backfill: step(4, async (world, dice) => await runLogged(world, await pickBackfill(world, dice))),
  two_runs: step(2, async (world) => {
    await passTime(world, LEASE_EXPIRED_MS);
    const codes = (await Promise.all([runCommand(world, ['run']), runCommand(world, ['run'])])).map(({ code }) => code);
    if (codes.every((code) => code === 4)) world.violations.push('two runs blocked each other');
    return codes.join();
  }),
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
  freeze: step(4, freeze),
  host_clock: step(3, async (world, dice) => {
    const args = dice.chance(0.6) ? ['run'] : await pickBackfill(world, dice);
    const { hostNow, byMs } = createJumpingClock(world, dice);
    const { code } = await runCommand(world, args, { hostNow });
    return `${args.join(' ')} by ${byMs} ms: ${code}`;
  }),
  waive: step(5, waive),
  close: step(4, closeMonth),
} as const satisfies Kinds;
