/**
 * `npm run test:calendar` runs tests that could depend on the day, on days on which such mistakes show: with the clock
 * of every process moved, Postgres included. `npm run test:calendar -- test` does it with all tests. Needs libfaketime.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';

/**
 * First and last days of months and years, 28 and 29 February, and the hours in which Europe's clocks change. On the day
 * of the machine's clock, `npm test` runs the same tests.
 */
const TIMES = [
  '2027-01-01T00:05:00Z',
  '2027-12-31T23:30:00Z',
  '2028-02-28T23:30:00Z',
  '2028-02-29T00:05:00Z',
  '2030-03-31T01:00:00Z',
  '2037-10-25T01:00:00Z',
];

/** Months, yesterdays, horizons and programs, in the quickest files that have them. */
const FILES = [
  'test/billing/close.test.ts',
  'test/billing/losant-periods.test.ts',
  'test/dashboards/panels.test.ts',
  'test/database/due.test.ts',
  'test/database/tracking.test.ts',
  'test/e2e/retention.test.ts',
  'test/project/clock.test.ts',
  'test/server/month-page.test.ts',
  'test/server/organization.test.ts',
  'test/server/organizations.test.ts',
  'test/views/freshness.test.ts',
  'test/views/gaps.test.ts',
  'test/views/monthly.test.ts',
  'test/views/periods.test.ts',
  'test/views/questions.test.ts',
  'test/views/zones.test.ts',
];

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
if (library === undefined) throw new Error('libfaketime is not installed: apt-get install libfaketime');

const given = process.argv.slice(2);
const files = given.length > 0 ? given : FILES;
const missing = files.filter((file) => !existsSync(file));
if (missing.length > 0) throw new Error(`No such test: ${missing.join(', ')}`);

for (const time of TIMES) {
  process.stdout.write(`\n--- ${time}\n`);
  const env = moveClock(time, library);
  const seen = spawnSync('node', ['-p', 'new Date().toISOString()'], { env, encoding: 'utf8' }).stdout;
  if (seen.slice(0, 10) !== time.slice(0, 10)) throw new Error(`The clock was not moved: it is ${seen}`);
  const { status } = spawnSync('vitest', ['run', ...files], { env, stdio: 'inherit' });
  if (status !== 0) {
    process.exitCode = 1;
    break;
  }
}

/** The environment in which the clock of the day runs on from `time`; the steady clock stays as it is. */
function moveClock(time: string, preloaded: string): NodeJS.ProcessEnv {
  // A server that runs already has a clock of its own.
  const { TEST_DATABASE_URL: _, ...env } = process.env;
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1_000);
  const offset = seconds < 0 ? `${seconds}` : `+${seconds}`;
  return { ...env, LD_PRELOAD: preloaded, FAKETIME: offset, DONT_FAKE_MONOTONIC: '1' };
}
