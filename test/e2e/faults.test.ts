import { expect, it } from 'vitest';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { orgIdsOf, useInstallation } from './installation.ts';
import { readStored, readTruth, type Table } from './usage.ts';

const RESPONSES = ['unavailable', 'server_error', 'gateway_timeout', 'html_ok', 'html_error'];
const DELIVERIES = ['cut_body', 'slow_body', 'reset', 'hang', 'not_json', 'empty_body'];
const TENTH = [...RESPONSES, ...DELIVERIES];
/** Each pauses all requests for a second, so none of them is among the tenth. */
const WAITS = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'];
const DAY = daysAgo(1);

const installation = useInstallation({ orgs: 40 });

it('the database equals the platform although every tenth request fails, in every transient way', async () => {
  const { platform, store, run } = installation;
  const [slowOrg = '', ...otherOrgs] = await orgIdsOf(platform);
  const onceEach = [...TENTH, ...WAITS].map((kind, index) => ({
    kinds: [kind],
    orgIds: [otherOrgs[2 * index]],
    actions: ['notebookMinuteCounts'],
    maxPerRequest: 1,
  }));
  await platform.control('config', {
    faults: [
      // Four failures in a row: only the fifth and last attempt succeeds.
      { kinds: RESPONSES, orgIds: [slowOrg], actions: ['deviceCounts'], maxPerRequest: 4 },
      // A tenth of the requests does not have every kind on every day.
      ...onceEach,
      { kinds: TENTH, orgIds: otherOrgs, every: 10, slowMs: 60_000 },
    ],
  });
  const ended = await run(['run', '--day', DAY, '--json'], { REQUEST_TIMEOUT_MS: '3000', STREAMS: streamNames.join() });
  const report = jsonOf(ended);
  expect(report).toMatchObject({ status: 'complete', orgs: 40, failures: [] });
  expect(ended.code).toBe(0);
  expect(report.cells).toMatchObject({ planned: 200, loaded: 200, failed: 0, quarantined: 0 });
  const truth = await readTruth(platform, DAY, DAY, streamNames as readonly Table[]);
  expect(await readStored(store)).toEqual(truth);
  const stats = (await platform.control('stats')) as { faults: Record<string, number>; requests: number };
  expect(Object.keys(stats.faults).sort()).toEqual([...TENTH, ...WAITS].sort());
  expect(report.requests).toBe(stats.requests);
});
