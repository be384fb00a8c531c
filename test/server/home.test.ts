import { expect, test } from 'vitest';
import type { PageSources } from '../../src/console/sources.ts';
import type { HeatCell } from '../../src/queries/coverage.ts';
import type { Health } from '../../src/queries/health.ts';
import type { RunRecord } from '../../src/queries/runs.ts';
import { sumStandings } from '../../src/usage/standing.ts';
import {
  HEALTH,
  INSTANCE_HEALTH,
  INSTANCE_STATUS,
  NOW_MS,
  RUN,
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
  // The organizations are still being counted.
  expect(response.headers.get('refresh')).toBe('3');
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
  expect(text).toContain('<h1>Yesterday: <span class="good">complete</span></h1>');
  expect(text).toContain('<span class="good">Everything is here up to yesterday, 2026-11-23.</span>');
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
  const lease = { runId: RUN.runId, host: 'pod-2', since: RUN.startedAt };
  const instances = [{ ...INSTANCE_HEALTH, lease }];
  expect(
    await home({
      ...withHealth({ ...HEALTH, instances }),
      status: () => ({ ...STATUS, instances: [standby] }),
    }),
  ).toContain('Standing by: exported by pod-2');
});

test('tells of a run by another process while it gives signs of life', async () => {
  const run: RunRecord = {
    ...{ ...RUN, host: 'pod-7', kind: 'backfill', status: 'running', from: null, to: null },
    ...{ startedAt: '2026-11-24T10:20:00.000Z', finishedAt: null },
    ...{ requests: 9_000, heartbeatAt: '2026-11-24T10:29:50.000Z' },
  };
  const told = 'A backfill run on pod-7 for 10 min: 9,000 requests (15/s)';
  expect(await home(withHealth({ ...HEALTH, runs: [run] }))).toContain(told);
  const dead = { ...run, heartbeatAt: '2026-11-24T10:28:50.000Z' };
  expect(await home(withHealth({ ...HEALTH, runs: [dead] }))).not.toContain(told);
});

test('links what is missing, and says in how many days the first of it becomes unavailable', async () => {
  const cells = sumStandings([{ missing: 3 }]);
  const missing = { ...STREAM, cells, gaps: 3, oldestGap: '2026-08-28', expiring: 1 };
  const text = await home(withHealth({ ...HEALTH, instances: [{ ...INSTANCE_HEALTH, streams: [missing] }] }));
  expect(text).toContain(
    '<a class="bad" href="/coverage?only=missing&amp;days=90">3 numbers are missing (device_counts)</a>',
  );
  expect(text).toContain('the oldest gap is of 2026-08-28 and can be read for 3 days more');
  expect(text).toContain('href="/coverage?only=gap&amp;days=90"');
});

test('nothing is red before the first run is over', async () => {
  const cells = sumStandings([{ missing: 700, waiting: 37 }]);
  const streams = [
    { ...STREAM, cells, gaps: 700, oldestGap: '2026-11-23', completeTo: null, orgsComplete: 0 },
  ];
  const instances = [{ ...INSTANCE_HEALTH, hasRun: false, lastCompleteRunAt: null, streams }];
  const first = { ...INSTANCE_STATUS, lastRun: null, state: 'working' } as const;
  const heatMap = () =>
    Promise.resolve({ value: [{ ...cell, counts: { missing: 4 } }], atMs: NOW_MS, tookMs: 1 });
  const text = await home({
    ...withHealth({ ...HEALTH, instances }),
    status: () => ({ ...STATUS, instances: [first] }),
    heatMap,
  });
  expect(text).toContain('<dt>Still to be read</dt><dd>737</dd>');
  expect(text).not.toContain('class="bad"');
  expect(text).not.toContain('heat-bad"');
});

test('lists the newest runs with their length and what went wrong', async () => {
  const run: RunRecord = {
    ...{ ...RUN, runId: 'x', planned: 28_320, kind: 'backfill', status: 'failed' },
    ...{ from: '2026-09-26', to: '2026-11-23', error: 'Losant is away' },
    ...{ startedAt: '2026-11-24T09:30:00.000Z', finishedAt: '2026-11-24T09:46:12.000Z' },
  };
  const text = (await home(withHealth({ ...HEALTH, runs: [run] }))).replaceAll(/<[^>]*>/g, '');
  expect(text).toMatch(/1 h agobackfillfailed16 min 12 s2026-09-26 to 2026-11-2328,320Losant is away/);
  const failures = [
    { code: 'server_error', message: 'HTTP 500', stream: null, cells: 8, orgs: 2, example: null },
  ];
  const partial: RunRecord = { ...run, status: 'partial', error: null, failed: 8, failures };
  const shown = await home(withHealth({ ...HEALTH, runs: [partial] }));
  expect(shown).toContain('<span class="bad">partial</span>');
  expect(shown).toContain('server_error: HTTP 500 (2 organizations)');
});

test('says how to see the numbers that differ from the totals of Losant, and nothing where none does', async () => {
  const differences = { instance_day: 12, org_day: 0, org_month: 1 };
  const instances = [{ ...INSTANCE_HEALTH, differences }];
  expect(await home(withHealth({ ...HEALTH, instances }))).toContain(
    `<a class="bad" href="/totals">13 final numbers differ from Losant&#39;s own totals</a>`,
  );
  const none = [
    { ...INSTANCE_HEALTH, differences: { ...differences, instance_day: 0, org_month: 0 } },
    INSTANCE_HEALTH,
  ];
  expect(await home(withHealth({ ...HEALTH, instances: none }))).not.toContain('/totals');
});

test('each value of a table says its column, for screens too narrow for columns, and no date breaks', async () => {
  const text = await home();
  expect(text).toContain(
    '<td data-label="Complete to" class=""><span><time datetime="2026-11-23">2026-11-23</time></span></td>',
  );
  expect(text).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
  expect(text).toMatch(/time, \.whole \{ white-space: nowrap;/);
});

test('answers whether yesterday is complete although an older day has a gap', async () => {
  const older = { ...STREAM, cells: sumStandings([{ missing: 3 }]), gaps: 3, oldestGap: '2026-11-02' };
  const page = async (stream: typeof STREAM) =>
    await home(withHealth({ ...HEALTH, instances: [{ ...INSTANCE_HEALTH, streams: [stream] }] }));
  const read = await page(older);
  expect(read).toContain('<h1>Yesterday: <span class="good">complete</span></h1>');
  expect(read.replaceAll(/<[^>]*>/g, '')).toContain(
    '4 of 4 numbers of 2026-11-23 are stored. Read 2026-11-24 10:00 UTC (29 min ago); final once read after 2026-11-27 00:00 UTC (in 2 d 13 h).',
  );
  expect(read).toContain(
    'All days: <span class="bad">3 numbers are missing, the oldest of 2026-11-02.</span>',
  );
  const unread = await page({ ...older, yesterday: { ...STREAM.yesterday, waiting: 4 } });
  expect(unread).toContain('<h1>Yesterday: <span class="quiet">not read yet</span></h1>');
});

test('names the organizations that exist and those that were deleted apart', async () => {
  const instances = [{ ...INSTANCE_HEALTH, organizations: 301, deletedOrganizations: 1 }];
  expect(await home(withHealth({ ...HEALTH, instances }))).toContain('301 organizations and 1 deleted');
});

test('signals a number that was changed by hand, and leads to it', async () => {
  const instances = [{ ...INSTANCE_HEALTH, finalChanges30Days: 26, changesByHand30Days: 1 }];
  const text = await home(withHealth({ ...HEALTH, instances }));
  expect(text).toContain(
    '<a class="bad" href="/changes?which=all&amp;by=hand&amp;days=30">1 number was changed by hand in the last 30 days</a>',
  );
});

const cell: HeatCell = { stream: 'device_counts', day: '2026-11-23', tracked: 1_200, counts: {} };

test.for([
  [{}, 'heat-good', 'all 1,200 final'],
  [{ counts: { stored: 3 } }, 'heat-calm', '3 stored of 1,200'],
  [{ counts: { stored: 3, waiting: 2 } }, 'heat-open', '2 waiting, 3 stored of 1,200'],
  [{ counts: { stored: 3, unavailable: 2 } }, 'heat-known', '2 unavailable, 3 stored of 1,200'],
  [{ counts: { stored: 3, in_doubt: 1 } }, 'heat-bad', '1 in doubt, 3 stored of 1,200'],
  [{ tracked: 0 }, null, 'not tracked'],
] as const)('a day of a stream with %j is shown by its worst cell', async ([changes, shape, said]) => {
  const cells = [{ ...cell, ...changes }];
  const heatMap = () => Promise.resolve({ value: cells, atMs: NOW_MS, tookMs: 1 });
  const text = await home({ heatMap });
  expect(text).toContain(`<title>2026-11-23: ${said}</title>`);
  const shapes = new Set([...text.matchAll(/<rect class="(heat-(?!ground)\w+)"/g)].map(([, name]) => name));
  expect([...shapes]).toEqual(shape === null ? [] : [shape]);
  // The same as a table.
  const row = text.split('<td data-label="device_counts"')[1]?.split('</td>')[0] ?? '';
  expect(row.replaceAll(/<[^>]*>/g, '')).toContain(said);
});

test('a day in the map leads to the organizations that are the matter', async () => {
  const cells = [{ ...cell, counts: { missing: 1 } }];
  const heatMap = () => Promise.resolve({ value: cells, atMs: NOW_MS, tookMs: 1 });
  expect(await home({ heatMap })).toContain(
    '<a href="/coverage?stream=device_counts&amp;to=2026-11-23&amp;only=missing" tabindex="-1">',
  );
});
