/** An instance that was never read: every command reports it until it is read. One world, in turn. */
import { expect, it } from 'vitest';
import { HOUR_MS } from '../../src/usage/day.ts';
import { useInstallation } from '../e2e/installation.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, jsonOf, resultOf, runProgram } from '../support/program.ts';
import { matching } from '../support/texts.ts';

const installation = useInstallation({ orgs: 1 });
const unreachable = { LOSANT_API_URL: 'http://127.0.0.1:1', REQUEST_ATTEMPTS: '1' };
const run = (args: readonly string[], env?: Env) => installation.run(args, env);
const readStatus = async () => jsonOf<object>(await run(['status', '--json']));

const REASON = /instance\.get .*connection failed/;

it('is no gap of a database in which nothing has been loaded', async () => {
  const begin = { code: 0, stdout: 'Nothing has been loaded yet. Start with: losant-usage run\n' };
  expect(await run(['status'])).toMatchObject(begin);
  expect(await run(['gaps'])).toMatchObject({ code: 0, stdout: 'No gaps.\n' });
  expect((await run(['digest'])).stdout).toMatch(/^\d{4}-\d\d-\d\d: nothing has been read yet\n$/);
});

it('is reported with the error of its last run and exit code 3', async () => {
  expect((await run(['run'], unreachable)).code).toBe(1);
  expect(await readStatus()).toMatchObject({
    instance: { neverReadSince: matching(/^\d{4}-\d\d-\d\dT/), lastError: matching(REASON) },
    streams: [],
    attention: [{ kind: 'never_read', total: 1 }],
  });
  for (const command of ['status', 'gaps']) {
    const { code, stdout } = await run([command]);
    expect(code).toBe(3);
    expect(stdout).toMatch(REASON);
    expect(stdout).toContain('losant-usage check');
    expect(stdout).not.toContain('No gaps.');
  }
  const gap = { orgId: null, stream: null, day: null, standing: 'missing', reason: 'never_read' };
  expect(await resultOf(run(['gaps', '--json']))).toMatchObject([3, [{ ...gap, detail: matching(REASON) }]]);
  expect((await run(['digest'])).stdout).toMatch(/\nNever read: .*connection failed/);
});

it('can still be loaded from another API, and then is like any other', async () => {
  expect(jsonOf(await run(['run', '--dry-run', '--json']))).toMatchObject({ orgs: 1, cells: 4 });
  expect((await run(['run'])).code).toBe(0);
  expect(await readStatus()).toMatchObject({ instance: { neverReadSince: null, lastError: null } });
  const hint = matching(/^correct LOSANT_API_URL, or use another database if this is another Losant/);
  const rejected = await resultOf(run(['run', '--json'], unreachable));
  expect(rejected).toMatchObject([2, { error: { code: 'database_mismatch', hint } }]);
});

it('that was read before is reported with the error of its last run', async () => {
  const readText = async () => (await run(['status'])).stdout;
  expect((await run(['run'], { LOSANT_API_TOKEN: 'revoked' })).code).toBe(5);
  expect(await readText()).toMatch(/\n {2}the run of .* UTC failed: instance\.get .*HTTP 401/);
  const hostNow = () => Date.now() + HOUR_MS + 10_000;
  expect((await runProgram(['run'], installation.env, { hostNow })).code).toBe(1);
  expect(await readText()).toMatch(/UTC failed: This host's clock is 1 h ahead of that of the database/);
  expect((await run(['run'])).code).toBe(0);
  expect(await run(['run', '--day', daysAgo(20)])).toMatchObject({ code: 2 });
  expect(await readText()).not.toContain('UTC failed');
  const failedRuns = await installation.store.query(`select kind, is_full, substring(error from '^instance.get')
    as error from losant_usage.runs where status = 'failed' order by started_at`);
  // That without a connection, that without a token and that with another clock, but not that of another API, and not
  // that of another day.
  const failedRun = { kind: 'manual', is_full: true, error: 'instance.get' };
  expect(failedRuns).toEqual([failedRun, failedRun, { ...failedRun, error: null }]);
});

it('that is another than that of the database is rejected, and nothing is written', async () => {
  const before = await installation.store.query('select * from losant_usage.instance');
  const rejected = await resultOf(run(['run', '--json'], { LOSANT_INSTANCE_ID: 'f'.repeat(24) }));
  const message = matching(/^This database belongs to instance .*\. Use another database for another instance\.$/);
  expect(rejected).toMatchObject([2, { error: { code: 'settings', message } }]);
  expect(await installation.store.query('select * from losant_usage.instance')).toEqual(before);
});
