/** What becomes of the program and its database: it runs, is killed, is frozen, loses its server or its time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { portOf, startWire, through } from '../../support/wire.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { DAY_MS, HOUR_MS } from './truth.ts';
import { daysOf, finish, LEASE_OVER_MS, passTime, query, run, someOrg, start, type World } from './world.ts';

const flags = (name: string, values: readonly string[] | null) =>
  values?.flatMap((value) => [name, value]) ?? [];

/** Returns a backfill; the lease of a dead process, for which it would wait, has lapsed by then. */
async function someBackfill(world: World, dice: Dice): Promise<string[]> {
  await passTime(world, LEASE_OVER_MS);
  const days = daysOf(world, 26);
  const last = dice.chance(0.6) ? 0 : dice.below(12);
  const orgIds = dice.chance(0.2) ? [await someOrg(world, dice)] : null;
  const streams = dice.chance(0.2) ? [dice.pick(world.settings.streams)] : null;
  const range = ['--from', days[last + dice.below(14)] as string, '--to', days[last] as string];
  const force = dice.chance(0.35) ? ['--force'] : [];
  return ['backfill', ...range, ...force, ...flags('--org', orgIds), ...flags('--stream', streams)];
}

const someDate = (world: World, dice: Dice) => ['run', '--day', dice.pick(daysOf(world, 8))];

async function someExport(world: World, dice: Dice): Promise<string[]> {
  const roll = dice.next();
  if (roll < 0.6) return ['run'];
  return roll < 0.8 ? await someBackfill(world, dice) : someDate(world, dice);
}

/** The statement of a run at which something happens to it: mostly one of the first, where most is decided. */
const someMoment = (dice: Dice) => 1 + Math.floor(4 ** (dice.next() * 3.4));

type Way = Record<'cut' | 'mend' | 'interrupt', () => void>;

/** Runs an export by a way of its own to the database, and does something at one of its statements. */
async function disturb(world: World, dice: Dice, act: (way: Way) => 'pass' | 'drop'): Promise<string> {
  const args = await someExport(world, dice);
  await using wire = await startWire(portOf(world.database.url));
  const moment = someMoment(dice);
  let isPlayed = false;
  wire.onSent = (nth) => {
    if (nth !== moment) return 'pass';
    isPlayed = true;
    return act({
      cut: () => wire.cut(),
      mend: () => wire.mend(),
      interrupt: () => started.running.kill('SIGTERM'),
    });
  };
  const started = start(world, args, { databaseUrl: through(wire, world.database.url) });
  const { code } = await finish(world, started);
  await untilGone(world);
  return `${args.join(' ')} at statement ${moment}${isPlayed ? '' : ', which it did not reach'}: ${code}`;
}

const SESSIONS = `from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage'`;

/** Waits until the server has noticed that the sessions of commands are gone. */
async function untilGone(world: World): Promise<void> {
  for (let tries = 0; tries < 200 && (await query(world, `select ${SESSIONS}`)).length > 0; tries += 1)
    await sleep(10);
}

async function freeze(world: World, dice: Dice): Promise<string> {
  const args = await someExport(world, dice);
  await using wire = await startWire(portOf(world.database.url));
  const moment = someMoment(dice);
  let isOver = false;
  const frozen = new Promise<void>((resolve) => {
    wire.onSent = (nth) => {
      if (nth !== moment || isOver) return 'pass';
      resolve();
      return 'freeze';
    };
  });
  const startedAtMs = world.nowMs;
  const first = start(world, args, { databaseUrl: through(wire, world.database.url) });
  await Promise.race([frozen, first.running.ended]);
  isOver = true;
  await passTime(world, LEASE_OVER_MS + dice.below(dice.chance(0.5) ? 60 : 30_000) * 1_000);
  // What Postgres does after a minute with a session that does nothing in the midst of a transaction.
  await query(world, `select pg_terminate_backend(pid) ${SESSIONS} and state like 'idle in transaction%'`);
  const { code } = await run(world, ['run']);
  if (code === 4)
    world.complaints.push('a process that was frozen for more than a minute still keeps others out');
  wire.thaw();
  const ended = await finish(world, first, startedAtMs);
  return `${args.join(' ')} at statement ${moment}: ${ended.code}, beside it ${code}`;
}

/** A backfill that waits for a run, and may be killed meanwhile: its days stay due, and are read all the same. */
async function backfillBeside(world: World, dice: Dice): Promise<string> {
  const args = await someBackfill(world, dice);
  await world.platform.control('config', { latencyMs: 40 });
  const holder = run(world, ['run']);
  await sleep(100);
  const waiting = start(world, args);
  const isKilled = dice.chance(0.5);
  if (isKilled) setTimeout(() => waiting.running.kill('SIGTERM'), dice.below(600));
  const [second, first] = await Promise.all([finish(world, waiting), holder]);
  await world.platform.control('config', { latencyMs: 0 });
  return `${args.join(' ')}${isKilled ? ', killed' : ''}: ${second.code}, the run ${first.code}`;
}

/** A host's clock that jumps while a command runs. */
function jumpingClock(world: World, dice: Dice): { hostNow: () => number; byMs: number } {
  const byMs = dice.pick([5_000, 45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
  let left = 5 + dice.below(300);
  return { byMs, hostNow: () => world.nowMs + (--left < 0 ? byMs : 0) };
}

async function runLogged(world: World, args: readonly string[]): Promise<string> {
  return `${args.join(' ')}: ${(await run(world, args)).code}`;
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
  run_day: step(2, (world, dice) => runLogged(world, someDate(world, dice))),
  run_part: step(2, async (world, dice) => {
    const orgIds = dice.chance(0.5) ? [await someOrg(world, dice)] : null;
    const streams = orgIds && dice.chance(0.5) ? null : [dice.pick(world.settings.streams)];
    return await runLogged(world, ['run', ...flags('--org', orgIds), ...flags('--stream', streams)]);
  }),
  backfill: step(4, async (world, dice) => await runLogged(world, await someBackfill(world, dice))),
  backfill_beside: step(2, backfillBeside),
  two_runs: step(2, async (world) => {
    await passTime(world, LEASE_OVER_MS);
    const codes = (await Promise.all([run(world, ['run']), run(world, ['run'])])).map(({ code }) => code);
    if (codes.every((code) => code === 4)) world.complaints.push('two runs kept each other out');
    return codes.join();
  }),
  kill: step(5, (world, dice) =>
    disturb(world, dice, ({ cut, interrupt }) => {
      // It may do nothing more: the database is out of its reach before it hears of its end.
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
    const args = dice.chance(0.6) ? ['run'] : await someBackfill(world, dice);
    const { hostNow, byMs } = jumpingClock(world, dice);
    const { code } = await run(world, args, { hostNow });
    return `${args.join(' ')} by ${byMs} ms: ${code}`;
  }),
  platform_clock: step(2, async (world, dice) => {
    const byMs = dice.pick([45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
    await world.platform.control('config', { clockJump: { afterRequests: dice.below(60), byMs } });
    const { code } = await run(world, ['run']);
    await world.platform.control('config', { clockJump: null, clock: { offsetMs: 0 } });
    return `by ${byMs} ms: ${code}`;
  }),
  migrate: step(1, async (world) => `${(await run(world, ['migrate'])).code}`),
  look: step(2, async (world) => {
    const codes: (number | null)[] = [];
    for (const command of ['gaps', 'status', 'check']) codes.push((await run(world, [command])).code);
    return codes.join();
  }),
} as const satisfies Kinds;
