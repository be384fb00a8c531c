/** Commands that wait for each other or are interrupted, and leave nothing behind in their process. */
import { expect, test } from 'vitest';
import { orgIdsOf, useInstallation } from '../e2e/installation.ts';
import { startServer } from '../losant/server.ts';
import { holdLease } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, resultOf, runProgram } from '../support/program.ts';
import { containing, matching } from '../support/texts.ts';
import { until } from '../support/wait.ts';
import { portOf } from '../support/wire.ts';

const installation = useInstallation({ orgs: 2 });

const hold = () => asWriter(installation.store.url, holdLease());
const release = () => asWriter(installation.store.url, 'delete from losant_usage.lease');

test('a run exits 4 without waiting, unless --wait is set', async () => {
  expect((await installation.run(['run'])).code).toBe(0);
  await hold();
  expect(await installation.run(['run'])).toMatchObject({ code: 4 });
  const running = installation.start(['run', '--wait', '60']);
  await until('it waits', () => running.stderr().includes('; waiting (it still has 0 cells to read)'));
  await release();
  expect(await running.ended).toMatchObject({ code: 0 });
});

test('a manual run reports its result to the monitor, also when it fails; while another run is active, nothing', async () => {
  await using monitor = await startServer((_request, response) => void response.end());
  const env = { HEARTBEAT_URL: `${monitor.url}/ping` };
  const pingsOf = async (code: number, ending: Promise<Ended>) => {
    monitor.received.length = 0;
    expect((await ending).code).toBe(code);
    return monitor.received.map(({ path }) => path);
  };
  expect(await pingsOf(0, installation.run(['run'], env))).toEqual(['/ping']);
  expect(await pingsOf(0, installation.run(['run', '--day', daysAgo(1)], env))).toEqual([]);
  const unreachable = { LOSANT_API_URL: 'http://127.0.0.1:1', REQUEST_ATTEMPTS: '1' };
  await asWriter(installation.store.url, 'update losant_usage.instance set api_url = null');
  expect(await pingsOf(1, installation.run(['run'], { ...env, ...unreachable }))).toEqual(['/ping/fail']);
  await hold();
  expect(await pingsOf(4, installation.run(['run'], env))).toEqual([]);
  const waiting = installation.start(['run', '--wait', '60'], env);
  await until('it waits', () => waiting.stderr().includes('; waiting'));
  waiting.kill('SIGINT');
  expect(await pingsOf(130, waiting.ended)).toEqual(['/ping/fail']);
  await release();
});

test('a simulator whose port is in use ends with exit code 2', async () => {
  const port = portOf(installation.platform.url);
  const rejected = await resultOf(runProgram(['simulator', '--port', `${port}`, '--json'], {}));
  expect(rejected).toMatchObject([2, { error: { message: matching(/^--port \d+: listen EADDRINUSE/) } }]);
});

test('status names what failed in the last run and no gap tells: a missing scope, an organization that does not exist', async () => {
  const { platform, run } = installation;
  const [orgId] = await orgIdsOf(platform);
  const missing = 'f'.repeat(24);
  const usage = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts'].map((name) => `instanceOrg.${name}`);
  await platform.control('tokens', { token: 'narrow', scopes: ['instance.get', 'instanceOrgs.get', ...usage] });
  const env = { LOSANT_API_TOKEN: 'narrow', LOSANT_ORG_IDS: `${orgId},${missing}` };
  const ended = await run(['backfill', '--from', daysAgo(3), '--to', daysAgo(2)], env);
  expect(ended).toMatchObject({ code: 5, stdout: containing('add instanceOrg.payloadCountsBreakdown, or') });
  expect(ended.stdout).not.toContain('To see what is wrong');
  const { stdout } = await run(['status']);
  const rejected = `forbidden of payload_totals, such as \\w{24}: instanceOrg.payloadCountsBreakdown: responded with HTTP 403`;
  expect(stdout).toMatch(new RegExp(`\n {2}the run of .* UTC: ${rejected}`));
  expect(stdout).toMatch(new RegExp(`\n {2}the run of .* UTC: org_unknown, such as ${missing}: organization ID is`));
});
