/**
 * `npm run test:calendar` moves the clock of every process, including Postgres, to some of the times at which date bugs
 * show and to times that are drawn anew, and runs each test file at one of them, another one each time. Needs
 * libfaketime.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { text } from 'node:stream/consumers';

/**
 * Before and after cells become late (06:00), on the first and the last days of a month and of a year, and on a leap
 * day. Each is another weekday, and they have every remainder by 5: the simulator's numbers depend on both.
 */
const FIXED_TIMES = [
  '2027-01-01T00:30:00Z',
  '2028-02-29T12:00:00Z',
  '2028-03-02T05:30:00Z',
  '2028-04-03T06:30:00Z',
  '2028-05-03T00:30:00Z',
  '2028-09-30T23:00:00Z',
  '2029-07-01T18:00:00Z',
];

/** How many of them are used in a run, and how many are drawn in addition, from the four years from here on. */
const FIXED_IN_RUN = 3;
const DRAWN_TIMES = 3;
const FIRST_DRAWN_MS = Date.parse('2027-01-01T00:00:00Z');
const DRAWN_MINUTES = 4 * 365 * 24 * 60;

/** How many times are tested at once: to start a server and to wait for the last file of one leaves a core idle. */
const LANES = 2;

function drawTime(): string {
  const time = new Date(FIRST_DRAWN_MS + randomInt(DRAWN_MINUTES) * 60_000);
  return time.toISOString().replace('.000Z', 'Z');
}

/** Returns the times in an order of their own, which decides the test files of each. */
function drawTimes(): string[] {
  const fixed = shuffle(FIXED_TIMES).slice(0, FIXED_IN_RUN);
  return shuffle([...fixed, ...Array.from({ length: DRAWN_TIMES }, drawTime)]);
}

function shuffle(times: readonly string[]): string[] {
  const keyed = times.map((time) => ({ time, key: randomInt(2 ** 32) }));
  return keyed.sort((a, b) => a.key - b.key).map(({ time }) => time);
}

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

const { CALENDAR_TIMES } = process.env;
const times = CALENDAR_TIMES?.split(',') ?? drawTimes();
const args = process.argv.slice(2);
const more = args.length === 0 ? '' : ` -- ${args.join(' ')}`;
const formatCommand = (purpose: string, some: readonly string[]) =>
  `${purpose}: CALENDAR_TIMES=${some.join(',')} npm run test:calendar${more}\n`;

/** The server notices clients that are gone by a timer, and a timer that ends while a process waits finds the real time. */
const NOT_MOVED = '--exclude=test/database/migrate-killed.test.ts';

/** Returns the variables that move the clock of a process to a time, from where it runs on. */
function moveClock(library: string, time: string): NodeJS.ProcessEnv {
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  // The monotonic clock is not moved.
  // Processes that share memory for the time hang if one of them is ended while it holds the lock.
  const clock = { LD_PRELOAD: library, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1', FAKETIME_DISABLE_SHM: '1' };
  const env = { ...process.env, ...clock };
  const movedTime = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (movedTime.slice(0, 10) !== time.slice(0, 10)) throw new Error(`The clock did not move: it is ${movedTime}`);
  return env;
}

/** Runs the test files of a time, prints their output when they end, and returns whether they passed. */
async function testAt(time: string, index: number): Promise<boolean> {
  const part = `${index + 1}/${times.length}`;
  const run = ['run', `--shard=${part}`, '--passWithNoTests', NOT_MOVED, ...args];
  const vitest = spawn('vitest', run, { env: moveClock(library ?? '', time), stdio: ['ignore', 'pipe', 'pipe'] });
  const ends = [text(vitest.stdout), text(vitest.stderr), once(vitest, 'close')] as const;
  const [stdout, stderr, [status]] = await Promise.all(ends);
  process.stdout.write(`\n--- ${time}: part ${part} of the test files\n${stdout}${stderr}`);
  if (status !== 0) process.stdout.write(formatCommand('\nTo run all of the files at this time', [time]));
  return status === 0;
}

process.stdout.write(formatCommand('To repeat this', times));
let next = 0;
await Promise.all(
  Array.from({ length: LANES }, async () => {
    for (let index = next++; index < times.length && !process.exitCode; index = next++) {
      if (!(await testAt(times[index] ?? '', index))) process.exitCode = 1;
    }
  }),
);
