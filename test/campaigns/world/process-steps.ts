/** What becomes of the program and its database: it runs, is killed, is frozen, loses its server or its time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from '../../support/program.ts';
import { portOf, startWire, through } from '../../support/wire.ts';
import { DAY_MS, HOUR_MS } from './checker.ts';
import type { Dice } from './dice.ts';
import type { Scope } from './run-checks.ts';
import type { Kind } from './step.ts';
import {
  changeSettings,
  daysOf,
  failOver,
  finish,
  makeStandby,
  passTime,
  query,
  run,
  someOrg,
  start,
  startWorker,
  stopWorkers,
  type World,
  wake,
} from './world.ts';

interface Export {
  readonly args: readonly string[];
  readonly scope: Scope;
}

const RUN: Export = { args: ['run'], scope: { orgIds: null, streams: null, range: null } };

/** A backfill of some of the last days, or of one organization. */
async function someBackfill(world: World, dice: Dice): Promise<Export> {
  const days = daysOf(world, 26);
  const last = dice.chance(0.6) ? 0 : dice.below(12);
  const range = { from: days[last + dice.below(14)] as string, to: days[last] as string };
  const orgIds = dice.chance(0.2) ? [await someOrg(world, dice)] : null;
  const streams = dice.chance(0.2) ? [dice.pick(world.settings.streams)] : null;
  return {
    args: [
      ...['backfill', '--from', range.from, '--to', range.to, ...(dice.chance(0.35) ? ['--force'] : [])],
      ...(orgIds?.flatMap((id) => ['--org', id]) ?? []),
      ...(streams?.flatMap((stream) => ['--stream', stream]) ?? []),
    ],
    scope: { orgIds, streams: streams ?? world.settings.streams, range },
  };
}

async function someCommand(world: World, dice: Dice): Promise<Export> {
  if (dice.chance(0.5)) return RUN;
  if (dice.chance(0.5)) return await someBackfill(world, dice);
  const day = dice.pick(daysOf(world, 8));
  return { args: ['run', '--date', day], scope: scopeOfDay(world, day) };
}

/** What a person asks for is about the streams that are collected; a run about all that is tracked. */
const scopeOfDay = ({ settings }: World, day: string): Scope => {
  return { orgIds: null, streams: settings.streams, range: { from: day, to: day } };
};

/** After which the lease of a dead process has lapsed. */
const LEASE_OVER_MS = 61_000;

/** A command, or a wake-up of a worker. */
const someExport = async (world: World, dice: Dice): Promise<Export> =>
  dice.chance(0.2) ? { args: ['wake'], scope: RUN.scope } : await someCommand(world, dice);

const startExport = (world: World, [first = '', ...more]: readonly string[], databaseUrl: string): Running =>
  first === 'wake' ? startWorker(world, databaseUrl) : start(world, [first, ...more], { databaseUrl });

/** The statement of a run at which something happens to it: mostly one of the first, where most is decided. */
const someMoment = (dice: Dice) => 1 + Math.floor(4 ** (dice.next() * 3.4));

/** Runs an export by a way of its own to the database, and does something at one of its statements. */
async function disturb(
  world: World,
  dice: Dice,
  act: (way: Record<'cut' | 'mend' | 'interrupt', () => void>) => 'pass' | 'drop',
): Promise<string> {
  const { args, scope } = await someExport(world, dice);
  await using wire = await startWire(portOf(world.database.url));
  const moment = someMoment(dice);
  let isPlayed = false;
  wire.onSent = (nth) => {
    if (nth !== moment) return 'pass';
    isPlayed = true;
    return act({ cut: () => wire.cut(), mend: () => wire.mend(), interrupt: () => running.kill('SIGTERM') });
  };
  const running = startExport(world, args, through(wire, world.database.url));
  const { code } = await finish(world, running, { what: `${args.join(' ')}, disturbed`, scope });
  await untilGone(world);
  return `${args.join(' ')} at statement ${moment}${isPlayed ? '' : ', which it did not reach'}: ${code}`;
}

/** Waits until the server has noticed that the sessions of commands are gone. */
async function untilGone(world: World): Promise<void> {
  const sessions = `select from pg_stat_activity where datname = current_database() and application_name in ('losant-usage', 'elsewhere')`;
  for (let tries = 0; tries < 200 && (await query(world, sessions)).length > 0; tries += 1) await sleep(10);
}

async function freeze(world: World, dice: Dice): Promise<string> {
  const { args, scope } = await someExport(world, dice);
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
  const what = `${args.join(' ')}, frozen`;
  const startedAtMs = world.nowMs;
  const first = startExport(world, args, through(wire, world.database.url));
  await Promise.race([frozen, first.ended]);
  isOver = true;
  await passTime(world, LEASE_OVER_MS + dice.below(dice.chance(0.5) ? 60 : 30_000) * 1_000);
  // What Postgres does after a minute with a session that does nothing in the midst of a transaction.
  await query(
    world,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
      and application_name in ('losant-usage', 'elsewhere') and state like 'idle in transaction%'`,
  );
  const { code } = await run(world, ['run']);
  if (code === 4)
    world.complaints.push('a process that was frozen for more than a minute still keeps others out');
  wire.thaw();
  const ended = await finish(world, first, { what, scope, startedAtMs });
  return `${what} at statement ${moment}: ${ended.code}, beside it ${code}`;
}

/** A host's clock that jumps while a command runs. */
function jumpingClock(world: World, dice: Dice): { hostNow: () => number; byMs: number } {
  const byMs = dice.pick([5_000, 45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
  let left = 5 + dice.below(300);
  return { byMs, hostNow: () => world.nowMs + (--left < 0 ? byMs : 0) };
}

export const PROCESS_STEPS = {
  wait: {
    weight: 5,
    play: async (world, dice) => {
      const hours = dice.pick([1, 2, 6, 12, 25, 49]);
      await passTime(world, hours * HOUR_MS);
      return `${hours} h`;
    },
  },
  wake: {
    weight: 10,
    play: async (world, dice) => {
      const hours = dice.pick([1, 1, 3, 8, 24]);
      await passTime(world, hours * HOUR_MS);
      return `after ${hours} h: ${await wake(world, 'a')}`;
    },
  },
  wake_again: { weight: 3, play: (world) => wake(world, 'a') },
  wake_two: {
    weight: 2,
    play: async (world, dice) => {
      await passTime(world, dice.pick([1, 7]) * HOUR_MS);
      return (await Promise.all([wake(world, 'a'), wake(world, 'b')])).join();
    },
  },
  restart: {
    weight: 2,
    play: async (world) => {
      await stopWorkers(world);
      return await wake(world, 'a');
    },
  },
  run: { weight: 6, play: async (world) => `${(await run(world, ['run'])).code}` },
  run_day: {
    weight: 2,
    play: async (world, dice) => {
      const day = dice.pick(daysOf(world, 8));
      return `${day}: ${(await run(world, ['run', '--date', day], scopeOfDay(world, day))).code}`;
    },
  },
  run_part: {
    weight: 2,
    play: async (world, dice) => {
      const orgIds = dice.chance(0.5) ? [await someOrg(world, dice)] : null;
      const streams = orgIds && dice.chance(0.5) ? null : [dice.pick(world.settings.streams)];
      const args = [
        ...(orgIds?.flatMap((id) => ['--org', id]) ?? []),
        ...(streams?.flatMap((id) => ['--stream', id]) ?? []),
      ];
      return `${args.join(' ')}: ${(await run(world, ['run', ...args], { orgIds, streams, range: null })).code}`;
    },
  },
  shards: {
    weight: 2,
    play: async (world, dice) => {
      const count = 2 + dice.below(2);
      const parts = Array.from({ length: count }, (_, index) =>
        start(world, ['run', '--shard', `${index}/${count}`]),
      );
      const ends = await Promise.all(parts.map(({ ended }) => ended));
      const codes = ends.map(({ code }) => code);
      // Together they are a run over everything.
      const code = codes.find((each) => each !== 0) ?? 0;
      const stderr = ends.map((each) => each.stderr).join('');
      world.outcomes.push({
        what: `${count} shards`,
        code,
        stdout: '',
        stderr,
        startedAtMs: world.nowMs,
        scope: RUN.scope,
      });
      return codes.join();
    },
  },
  backfill: {
    weight: 4,
    play: async (world, dice) => {
      const { args, scope } = await someBackfill(world, dice);
      return `${args.join(' ')}: ${(await run(world, args, scope)).code}`;
    },
  },
  backfill_beside: {
    weight: 2,
    play: async (world, dice) => {
      const { args, scope } = await someBackfill(world, dice);
      const [first, second] = await Promise.all([run(world, args, scope), run(world, ['run'])]);
      return `${args.join(' ')}: ${first.code}, the run ${second.code}`;
    },
  },
  two_runs: {
    weight: 2,
    play: async (world) => {
      await passTime(world, LEASE_OVER_MS);
      const codes = (await Promise.all([run(world, ['run']), run(world, ['run'])])).map(({ code }) => code);
      if (codes.every((code) => code === 4)) world.complaints.push('two runs kept each other out');
      return codes.join();
    },
  },
  kill: {
    weight: 5,
    play: (world, dice) =>
      disturb(world, dice, ({ cut, interrupt }) => {
        // It may do nothing more: the database is out of its reach before it hears of its end.
        setImmediate(() => {
          cut();
          interrupt();
        });
        return dice.chance(0.5) ? 'drop' : 'pass';
      }),
  },
  interrupt: {
    weight: 2,
    play: (world, dice) =>
      disturb(world, dice, ({ interrupt }) => {
        interrupt();
        return 'pass';
      }),
  },
  database_away: {
    weight: 2,
    play: (world, dice) =>
      disturb(world, dice, ({ cut, mend }) => {
        setImmediate(cut);
        setTimeout(mend, 250);
        return dice.chance(0.5) ? 'drop' : 'pass';
      }),
  },
  sessions_ended: {
    weight: 2,
    play: (world, dice) =>
      disturb(world, dice, () => {
        const end = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
          and application_name in ('losant-usage', 'elsewhere')`;
        void query(world, end).catch(() => undefined);
        return 'pass';
      }),
  },
  freeze: { weight: 4, play: freeze },
  standby: {
    weight: 3,
    play: async (world) => {
      await makeStandby(world);
      return 'copied';
    },
  },
  failover: {
    weight: 3,
    play: async (world) => ((await failOver(world)) ? 'to the copy' : 'no: there is no copy'),
  },
  pooler: {
    weight: 2,
    play: async (world) => {
      await changeSettings(world, { isPooled: !world.settings.isPooled });
      return world.settings.isPooled ? 'from now on' : 'no longer';
    },
  },
  host_clock: {
    weight: 3,
    play: async (world, dice) => {
      const { args, scope } = await someCommand(world, dice);
      const { hostNow, byMs } = jumpingClock(world, dice);
      const { code } = await run(world, args, scope, { hostNow });
      return `${args.join(' ')} by ${byMs} ms: ${code}`;
    },
  },
  platform_clock: {
    weight: 2,
    play: async (world, dice) => {
      const byMs = dice.pick([45_000, 360_000, 7 * HOUR_MS, 4 * DAY_MS]) * (dice.chance(0.5) ? 1 : -1);
      await world.platform.control('config', { clockJump: { afterRequests: dice.below(60), byMs } });
      const { code } = await run(world, ['run']);
      await world.platform.control('config', { clockJump: null, clock: { offsetMs: 0 } });
      return `by ${byMs} ms: ${code}`;
    },
  },
  migrate: {
    weight: 1,
    play: async (world) => `${(await run(world, ['migrate'], null)).code}`,
  },
  look: {
    weight: 2,
    play: async (world) => {
      const codes = [];
      for (const command of ['gaps', 'status', 'check']) codes.push((await run(world, [command], null)).code);
      return codes.join();
    },
  },
} as const satisfies Readonly<Record<string, Kind>>;
