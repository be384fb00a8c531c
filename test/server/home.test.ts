import { expect, test } from 'vitest';
import { stateOf } from '../../src/console/heat-map.ts';
import type { PageSources } from '../../src/console/sources.ts';
import type { HeatCell } from '../../src/queries/coverage.ts';
import type { Health, RunLine } from '../../src/queries/health.ts';
import {
  HEALTH,
  INSTANCE,
  INSTANCE_HEALTH,
  INSTANCE_STATUS,
  NOW_MS,
  STATUS,
  STREAM,
  startPages,
  viewOf,
} from './pages.ts';

async function home(sources: Partial<PageSources> = {}): Promise<string> {
  await using pages = await startPages({ sources });
  return await (await pages.get('/')).text();
}

const withHealth = (health: Health) => ({ database: () => Promise.resolve(viewOf(health)) });

test('is loaded anew by the browser each minute, and has an icon that its policy allows', async () => {
  await using pages = await startPages();
  const response = await pages.get('/');
  expect(response.headers.get('refresh')).toBe('60');
  expect(response.headers.get('content-security-policy')).toContain("img-src 'self'");
  expect(await response.text()).toContain('<link rel="icon" href="/icon.svg" type="image/svg+xml">');
  const icon = await pages.get('/icon.svg');
  expect(icon.headers.get('content-type')).toBe('image/svg+xml');
  expect(await icon.text()).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
});

test('names instance, organizations and the next run', async () => {
  const text = await home();
  expect(text).toContain('1 instance · 4 organizations · next run 11:15 UTC (in 45 min)');
  expect(text).toContain('<h2>Northern plants</h2>');
  expect(text).toContain('<h1 class="good">Everything is here up to yesterday, 2026-11-23.</h1>');
});

test('says for how many organizations, and which share, nothing is missing: 100 % is all of them', async () => {
  const instances = [
    { ...INSTANCE_HEALTH, streams: [{ ...STREAM, orgsTracked: 10_000, orgsComplete: 9_999, gaps: 1 }] },
  ];
  expect(await home(withHealth({ ...HEALTH, instances }))).toContain('9,999 of 10,000 (99 %)');
  expect(await home()).toContain('4 of 4 (100 %)');
});

test('tells how far a run is, and who works where another process does', async () => {
  const plan = { startedAt: '2026-11-24T10:29:10.000Z', total: 3_900, done: 900, rate: 20 };
  const progress = {
    startedAt: '2026-11-24T10:29:00.000Z',
    planned: 5_000,
    done: 1_234,
    requests: 910,
    plan,
  };
  const working = { ...INSTANCE_STATUS, state: 'working', progress } as const;
  const status = () => ({ ...STATUS, instances: [working] });
  expect(await home({ status })).toContain(
    'Running: 900 of 3,900 requests done (18/s), about 2 min 45 s left',
  );
  const standby = { ...INSTANCE_STATUS, state: 'standby' } as const;
  const instances = [{ ...INSTANCE_HEALTH, leaseHost: 'pod-2' }];
  expect(
    await home({
      ...withHealth({ ...HEALTH, instances }),
      status: () => ({ ...STATUS, instances: [standby] }),
    }),
  ).toContain('Standing by: exported by pod-2');
});

test('tells of a run by another process while it gives signs of life', async () => {
  const run: RunLine = {
    ...{ runId: 'x', instanceId: INSTANCE, host: 'pod-7', cells: 0, kind: 'backfill', status: 'running' },
    ...{ from: null, to: null, error: null, startedAt: '2026-11-24T10:20:00.000Z', finishedAt: null },
    ...{ requests: 9_000, heartbeatAt: '2026-11-24T10:29:50.000Z' },
  };
  const told = 'A backfill run on pod-7 for 10 min: 9,000 requests (15/s)';
  expect(await home(withHealth({ ...HEALTH, runs: [run] }))).toContain(told);
  const dead = { ...run, heartbeatAt: '2026-11-24T10:28:50.000Z' };
  expect(await home(withHealth({ ...HEALTH, runs: [dead] }))).not.toContain(told);
});

test('links what is missing, and says in how many days the first of it becomes unavailable', async () => {
  const missing = { ...STREAM, gaps: 3, oldestGap: '2026-08-28', expiring: 1 };
  const text = await home(withHealth({ ...HEALTH, instances: [{ ...INSTANCE_HEALTH, streams: [missing] }] }));
  expect(text).toContain(
    `<a class="bad" href="/coverage?instance=${INSTANCE}&amp;only=gap&amp;days=90">3</a>`,
  );
  expect(text).toContain('<dd class="bad">in 3 days (1 within 7 days)</dd>');
  expect(text).toContain('href="/coverage?only=gap&amp;days=90"');
});

test('nothing is red before the first run is over', async () => {
  const streams = [{ ...STREAM, gaps: 737, oldestGap: '2026-11-23', completeTo: null, orgsComplete: 0 }];
  const instances = [{ ...INSTANCE_HEALTH, hasRun: false, lastCompleteRunAt: null, streams }];
  const first = { ...INSTANCE_STATUS, lastRun: null, state: 'working' } as const;
  const heatMap = () => Promise.resolve({ value: [{ ...cell, gaps: 4 }], atMs: NOW_MS, tookMs: 1 });
  const text = await home({
    ...withHealth({ ...HEALTH, instances }),
    status: () => ({ ...STATUS, instances: [first] }),
    heatMap,
  });
  expect(text).toContain('<dt>Still to be read</dt><dd>737</dd>');
  expect(text).not.toContain('class="bad"');
  expect(text).not.toContain('heat-gap"');
});

test('lists the newest runs with their length and what went wrong', async () => {
  const run: RunLine = {
    ...{ runId: 'x', instanceId: INSTANCE, host: 'h', cells: 28_320, kind: 'backfill', status: 'failed' },
    ...{ from: '2026-09-26', to: '2026-11-23', error: 'Losant is away' },
    ...{ startedAt: '2026-11-24T09:30:00.000Z', finishedAt: '2026-11-24T09:46:12.000Z' },
    ...{ requests: 5_000, heartbeatAt: '2026-11-24T09:46:12.000Z' },
  };
  const text = (await home(withHealth({ ...HEALTH, runs: [run] }))).replaceAll(/<[^>]*>/g, '');
  expect(text).toMatch(/1 h agobackfillfailed16 min 12 s2026-09-26 to 2026-11-2328,320Losant is away/);
  const partial = { ...run, status: 'partial', error: null } as const;
  const linked = await home(withHealth({ ...HEALTH, runs: [partial] }));
  expect(linked).toContain('<a href="/runs/x">see what failed</a>');
});

test('says how to see the numbers that differ from the totals of Losant, and nothing where none does', async () => {
  const differences = { instance_day: 12, org_day: 0, org_month: 1 };
  const instances = [{ ...INSTANCE_HEALTH, differences }];
  expect(await home(withHealth({ ...HEALTH, instances }))).toContain(
    "<p>13 final numbers differ from Losant's own totals: <code>losant-usage reconcile</code> lists each with both figures.</p>",
  );
  const none = [
    { ...INSTANCE_HEALTH, differences: { ...differences, instance_day: 0, org_month: 0 } },
    INSTANCE_HEALTH,
  ];
  expect(await home(withHealth({ ...HEALTH, instances: none }))).not.toContain('losant-usage reconcile');
});

test('each value of a table says its column, for screens too narrow for columns, and no date breaks', async () => {
  const text = await home();
  expect(text).toContain(
    '<td data-label="Complete to" class=""><span><time datetime="2026-11-23">2026-11-23</time></span></td>',
  );
  expect(text).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
  expect(text).toMatch(/time, \.whole \{ white-space: nowrap;/);
});

const cell: HeatCell = {
  stream: 'device_counts',
  day: '2026-11-23',
  tracked: 1_200,
  gaps: 0,
  knownMissing: 0,
  open: 0,
};

test.for([
  [{}, 'final', 'all 1,200 final'],
  [{ open: 3 }, 'open', '3 not final of 1,200'],
  [{ open: 3, knownMissing: 2 }, 'known', '2 known to be missing, 3 not final of 1,200'],
  [{ open: 3, knownMissing: 2, gaps: 1 }, 'gap', '1 missing, 2 known to be missing, 3 not final of 1,200'],
  [{ tracked: 0 }, 'untracked', 'not tracked'],
] as const)('a day of a stream with %j is %s', async ([changes, state, said]) => {
  const cells = [{ ...cell, ...changes }];
  expect(stateOf(cells[0] as HeatCell)).toBe(state);
  const heatMap = () => Promise.resolve({ value: cells, atMs: NOW_MS, tookMs: 1 });
  const text = await home({ heatMap });
  expect(text).toContain(`<title>2026-11-23: ${said}</title>`);
  // The same as a table.
  expect(text).toContain(`<td data-label="device_counts" class=""><span>${said}</span></td>`);
});
