/**
 * `npm run test:calendar` moves the clock of every process, including Postgres, to times at which date bugs show, and
 * runs each test file at one of them. Needs libfaketime.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

/** Before and after cells become late (06:00), on the first three days of a month, of a year, and after a leap day. */
const TIMES = ['2027-01-01T00:30:00Z', '2028-03-02T05:30:00Z', '2030-05-03T00:30:00Z'];

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

for (const [index, time] of TIMES.entries()) {
  const part = `${index + 1}/${TIMES.length}`;
  process.stdout.write(`\n--- ${time}: part ${part} of the test files\n`);
  // The wall clock runs on from there; the monotonic clock is not moved.
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  const clock = { LD_PRELOAD: library, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1' };
  const env = { ...process.env, ...clock };
  const movedTime = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (movedTime.slice(0, 10) !== time.slice(0, 10))
    throw new Error(`The clock did not move: it is ${movedTime}`);
  const args = ['run', `--shard=${part}`, '--passWithNoTests', ...process.argv.slice(2)];
  const { status } = spawnSync('vitest', args, { env, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status !== 0) break;
}
