/**
 * `npm run test:calendar` runs every test with the clock of every process moved to a time at which mistakes about days
 * show, Postgres included: each file at one of the times. It needs libfaketime.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

/** Before and after a number is late (06:00), on the first three days of a month, a year, and after a leap day. */
const TIMES = ['2027-01-01T00:30:00Z', '2028-03-02T05:30:00Z', '2030-05-03T00:30:00Z'];

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

for (const [index, time] of TIMES.entries()) {
  const part = `${index + 1}/${TIMES.length}`;
  process.stdout.write(`\n--- ${time}: part ${part} of the test files\n`);
  // The clock of the day runs on from there; the steady clock stays as it is.
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  const clock = { LD_PRELOAD: library, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1' };
  const env = { ...process.env, ...clock };
  const seen = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (seen.slice(0, 10) !== time.slice(0, 10)) throw new Error(`The clock was not moved: it is ${seen}`);
  const args = ['run', `--shard=${part}`, '--passWithNoTests', ...process.argv.slice(2)];
  const { status } = spawnSync('vitest', args, { env, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status !== 0) break;
}
