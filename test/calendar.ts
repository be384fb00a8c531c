/**
 * `npm run test:calendar` runs every test that reads the clock at times at which such mistakes show, with the clock of
 * every process moved, Postgres included: each test at one of the times, or with `-- all` at every one and at more. It
 * needs libfaketime.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Before and after a number is late (06:00), on the first three days of a month, a year, and after a leap day. */
const TIMES = ['2027-01-01T00:30:00Z', '2028-03-02T05:30:00Z', '2030-05-03T00:30:00Z'];

/** Last days of months and years, leap days, and the hours in which Europe's clocks change. */
const MORE_TIMES = [
  '2027-12-31T23:30:00Z',
  '2028-02-28T23:30:00Z',
  '2028-02-29T05:30:00Z',
  '2030-03-31T01:00:00Z',
  '2037-10-25T01:00:00Z',
];

/** What reads the clock: in TypeScript, and in SQL. */
const CLOCK = /\bDate\.now\b|\bnew Date\(\)|\bcurrent_date\b|\bnow\(\)/;

/** Returns whether the file, or a file of test/ that it imports, reads the clock. */
function readsClock(path: string): boolean {
  const seen = new Set([path]);
  for (const file of seen) {
    const text = readFileSync(file, 'utf8');
    if (CLOCK.test(text)) return true;
    for (const [, specifier = ''] of text.matchAll(/\bfrom '(\.[^']+\.ts)'/g)) {
      const imported = join(dirname(file), specifier);
      if (imported.startsWith('test/') && existsSync(imported)) seen.add(imported);
    }
  }
  return false;
}

/** Returns the environment in which the clock of the day runs on from `time`; the steady clock stays as it is. */
function moveClock(time: string, preloaded: string): NodeJS.ProcessEnv {
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  return { ...process.env, LD_PRELOAD: preloaded, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1' };
}

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

const ownRuns = ['test/system/**', 'test/soak/**'];
const files = globSync('test/**/*.test.ts', { exclude: ownRuns }).sort().filter(readsClock);
const playsAll = process.argv[2] === 'all';
const times = playsAll ? [...TIMES, ...MORE_TIMES] : TIMES;

for (const [turn, time] of times.entries()) {
  const played = playsAll ? files : files.filter((_, index) => index % times.length === turn);
  process.stdout.write(`\n--- ${time}: ${played.length} of ${files.length} files\n`);
  const env = moveClock(time, library);
  const seen = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (seen.slice(0, 10) !== time.slice(0, 10)) throw new Error(`The clock was not moved: it is ${seen}`);
  const { status } = spawnSync('vitest', ['run', ...played], { env, stdio: 'inherit' });
  if (status !== 0) {
    process.exitCode = 1;
    break;
  }
}
