import { expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const ANSWERS = ['unavailable', 'server_error', 'html_ok', 'html_error'];
const DELIVERIES = ['cut_body', 'slow_body', 'reset', 'hang', 'not_json', 'empty_body'];
const TENTH = [...ANSWERS, ...DELIVERIES];
/** Each stops all requests for a second, so they come once and not in a tenth of the requests. */
const WAITS = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'];

const exported = useExport({ orgs: 200 });

// Promise (Numbers): What is stored is what Losant answered, to the last digit, also when every tenth request goes
// wrong.
it('holds exactly what is true although every tenth request goes wrong, in any way that passes', async () => {
  const { platform, place } = exported;
  const [stubborn = '', ...others] = await orgIdsOf(platform);
  await platform.control('config', {
    faults: [
      // Four failures in a row: the fifth and last attempt is answered.
      { kinds: ANSWERS, orgIds: [stubborn], actions: ['deviceCounts'], maxPerRequest: 4 },
      ...WAITS.map((kind, index) => ({
        kinds: [kind],
        orgIds: [others[40 * index]],
        actions: ['notebookMinuteCounts'],
        maxPerRequest: 1,
      })),
      { kinds: TENTH, every: 10, slowMs: 60_000 },
    ],
  });
  const ended = await exported.run(['run', '--json'], { REQUEST_TIMEOUT_MS: '3000' });
  const report = jsonOf(ended);
  expect(report.failures).toEqual([]);
  expect(ended.code).toBe(0);
  expect(report).toMatchObject({ status: 'complete', orgs: 200 });
  expect(report.cells).toMatchObject({ planned: 800, loaded: 800, failed: 0, quarantined: 0 });
  const day = daysAgo(1);
  expect(await readStored(place)).toEqual(await readTruth(platform, day, day));

  const { faults, requests } = (await platform.control('stats')) as {
    faults: Record<string, number>;
    requests: number;
  };
  expect(Object.keys(faults).sort()).toEqual([...TENTH, ...WAITS].sort());
  const served = Object.values(faults).reduce((sum, count) => sum + count, 0);
  expect(served).toBeGreaterThan(80);
  // Six requests for each organization, Get instance, two pages of the list, the instance's totals, and those repeated.
  expect(report.requests).toBe(requests);
  expect(requests).toBeLessThanOrEqual(200 * 6 + 3 + 6 + served);
});

it('names the cells whose answer is a redirect or far too large, and has them with the next run', async () => {
  const { platform, place } = exported;
  const few = (await orgIdsOf(platform)).slice(0, 5);
  const [redirected = '', flooded = ''] = few;
  await platform.control('config', {
    faults: [
      { kinds: ['redirect'], orgIds: [redirected], actions: ['deviceCounts'] },
      { kinds: ['huge_body'], orgIds: [flooded], actions: ['payloadCounts'], hugeBytes: 40 * 2 ** 20 },
    ],
  });
  const day = daysAgo(1);
  const run = () =>
    exported.run(['run', '--json', '--date', day, ...few.flatMap((orgId) => ['--org', orgId])]);
  const partial = await run();
  expect(partial.code).toBe(3);
  const report = jsonOf(partial);
  expect(report.cells).toMatchObject({ planned: 20, unchanged: 18, failed: 1, quarantined: 1 });
  expect(report.failures.toSorted((a, b) => (a.code < b.code ? -1 : 1))).toMatchObject([
    { orgId: flooded, stream: 'payload_sources', from: day, to: day, code: 'unplaceable_body' },
    { orgId: redirected, stream: 'device_counts', from: day, to: day, code: 'unreachable' },
  ]);

  await platform.control('config', { faults: null });
  const healed = await run();
  expect(healed.code).toBe(0);
  expect(jsonOf(healed).cells).toMatchObject({ planned: 20, unchanged: 20 });
  expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
});
