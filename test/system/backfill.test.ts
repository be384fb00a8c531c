import { afterAll, beforeAll, expect, it } from 'vitest';
import { createPlace, firstDifference, type Place, readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, jsonOf, type Running, runProgram, spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

const ORGS = 150;

/** A platform in a process of its own, as `losant-usage simulator` starts it. */
interface Simulated {
  readonly running: Running;
  readonly access: Env;
  readonly control: (path: string) => Promise<unknown>;
}

async function startSimulated(orgs: number): Promise<Simulated> {
  const running = spawnProgram(['simulator', '--json', '--orgs', String(orgs)], {});
  await until('it listens', () => running.stdout().includes('\n'));
  const { url, instanceId, token } = JSON.parse(running.stdout()) as Record<
    'url' | 'instanceId' | 'token',
    string
  >;
  return {
    running,
    access: { LOSANT_API_URL: url, LOSANT_INSTANCE_ID: instanceId, LOSANT_API_TOKEN: token },
    control: async (path) => (await fetch(`${url}/control/${path}`)).json(),
  };
}

let place: Place;
let simulated: Simulated;
beforeAll(async () => {
  place = await createPlace();
  simulated = await startSimulated(ORGS);
});
afterAll(async () => {
  simulated.running.kill('SIGTERM');
  await simulated.running.ended;
  await place.remove();
});

// Promise (Runs): A backfill sends no request more than its days need.
it('reads ninety days of a hundred and fifty organizations with no request more than they need', async () => {
  const { access, control } = simulated;
  const to = daysAgo(1);
  const from = daysAgo(90);
  const env = { ...access, DATABASE_URL: place.url, REQUESTS_PER_SECOND: '10000', REQUEST_CONCURRENCY: '32' };
  const ended = await runProgram(['backfill', '--json', '--from', from, '--to', to], env);
  const report = jsonOf(ended);
  expect(report.failures).toEqual([]);
  expect(ended.code).toBe(0);
  // The newest week and three windows of at most 31 days, five requests each, and a request a day for the sources; for
  // the control totals three windows; two pages of the list and Get instance.
  expect(report.requests).toBe(ORGS * (5 * 4 + 90) + (5 * 3 + 90) + 2 + 1);
  const { requests } = (await control('stats')) as { requests: number };
  expect(requests).toBe(report.requests);
  expect(report).toMatchObject({ kind: 'backfill', status: 'complete', from, to, orgs: ORGS });
  expect(report.cells).toMatchObject({ planned: ORGS * 360, loaded: ORGS * 360 });
  expect(report.rows).toMatchObject({ inserted: ORGS * 360 });
  expect(firstDifference(await readStored(place), await readTruth({ control }, from, to))).toBeNull();
});
