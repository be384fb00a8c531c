/**
 * `npm run test:calendar` moves the clock of every process, including Postgres, to times at which date bugs show and to
 * times that are drawn anew, and runs each test file at one of them, another one each time. Needs libfaketime.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync } from 'node:fs';

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

/** How many are drawn in addition, from the four years from here on. */
const DRAWN_TIMES = 3;
const FIRST_DRAWN_MS = Date.parse('2027-01-01T00:00:00Z');
const DRAWN_MINUTES = 4 * 365 * 24 * 60;

function drawTime(): string {
  const time = new Date(FIRST_DRAWN_MS + randomInt(DRAWN_MINUTES) * 60_000);
  return time.toISOString().replace('.000Z', 'Z');
}

/** Returns the times in an order of their own, which decides the test files of each. */
function drawTimes(): string[] {
  const times = [...FIXED_TIMES, ...Array.from({ length: DRAWN_TIMES }, drawTime)];
  const keyed = times.map((time) => ({ time, key: randomInt(2 ** 32) }));
  return keyed.sort((a, b) => a.key - b.key).map(({ time }) => time);
}

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

const { CALENDAR_TIMES } = process.env;
const times = CALENDAR_TIMES?.split(',') ?? drawTimes();
const args = process.argv.slice(2);
const more = args.length === 0 ? '' : ` -- ${args.join(' ')}`;
const printCommand = (purpose: string, some: readonly string[]) =>
  process.stdout.write(`${purpose}: CALENDAR_TIMES=${some.join(',')} npm run test:calendar${more}\n`);
printCommand('To repeat this', times);

for (const [index, time] of times.entries()) {
  const part = `${index + 1}/${times.length}`;
  process.stdout.write(`\n--- ${time}: part ${part} of the test files\n`);
  // The wall clock runs on from there; the monotonic clock is not moved.
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  const clock = { LD_PRELOAD: library, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1' };
  const env = { ...process.env, ...clock };
  const movedTime = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (movedTime.slice(0, 10) !== time.slice(0, 10))
    throw new Error(`The clock did not move: it is ${movedTime}`);
  const run = ['run', `--shard=${part}`, '--passWithNoTests', ...args];
  const { status } = spawnSync('vitest', run, { env, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status !== 0) {
    printCommand('\nTo run all of the files at this time', [time]);
    break;
  }
}
