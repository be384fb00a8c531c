import { expect, test } from 'vitest';
import type { Health } from '../../src/queries/health.ts';
import {
  HEALTH,
  INSTANCE,
  INSTANCE_HEALTH,
  INSTANCE_STATUS,
  STATUS,
  STREAM,
  startPages,
  TOKEN,
  viewOf,
} from './pages.ts';

const gappy: Health = {
  ...HEALTH,
  instances: [
    {
      ...INSTANCE_HEALTH,
      finalChanges: 3,
      streams: [
        {
          ...STREAM,
          cells: { ...STREAM.cells, accepted: 3, missing: 2 },
          yesterday: { ...STREAM.yesterday, missing: 1 },
          gaps: 2,
          oldestGap: '2026-11-20',
          expiring: 1,
          completeTo: '2026-11-19',
          orgsComplete: 3,
          quarantined: 6,
        },
      ],
    },
  ],
};

test('every answer forbids scripts, framing, sniffing and caching', async () => {
  await using pages = await startPages();
  for (const path of ['/', '/metrics', '/healthz', '/nowhere']) {
    const { headers } = await pages.get(path);
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-powered-by')).toBeNull();
  }
});

test('a page that fails says nothing of why, the log does', async () => {
  await using pages = await startPages({
    sources: {
      status: () => {
        throw new TypeError('secret detail');
      },
    },
  });
  const response = await pages.get('/status.json');
  expect([response.status, await response.text()]).toEqual([500, 'This page failed; the log says why\n']);
  expect(pages.logged.join('')).toContain('secret detail');
});

test('is not ready for as long as something is in the way, and says what', async () => {
  await using pages = await startPages({
    sources: { readiness: () => Promise.resolve(['the database does not answer']) },
  });
  const response = await pages.get('/readyz');
  expect([response.status, await response.text()]).toEqual([
    503,
    'not ready: the database does not answer\n',
  ]);
  expect((await pages.get('/healthz')).status).toBe(200);
});

test('shows the ledger as gauges', async () => {
  await using pages = await startPages({ sources: { database: () => Promise.resolve(viewOf(gappy)) } });
  const lines = (await (await pages.get('/metrics')).text()).split('\n');
  const id = `instance_id="${INSTANCE}"`;
  expect(lines).toContain('losant_usage_database_up 1');
  expect(lines).toContain(`losant_usage_cells{${id},stream="device_counts",standing="missing"} 2`);
  expect(lines).toContain(`losant_usage_cells{${id},stream="device_counts",standing="accepted"} 3`);
  expect(lines).toContain(`losant_usage_yesterday_open_cells{${id},stream="device_counts"} 1`);
  expect(lines).toContain(`losant_usage_organization_list_incomplete{${id}} 0`);
  expect(lines).toContain(`losant_usage_gaps_expiring{${id}} 1`);
  expect(lines).toContain(`losant_usage_quarantined{${id}} 6`);
  // From 2026-11-21T00:00Z to 2026-11-24T10:30Z.
  expect(lines).toContain(`losant_usage_oldest_gap_age_seconds{${id}} 297000`);
  expect(lines).toContain(`losant_usage_last_complete_run_timestamp_seconds{${id}} 1795514400`);
  // 2026-11-19T00:00Z.
  expect(lines).toContain(
    `losant_usage_complete_to_timestamp_seconds{${id},stream="device_counts"} 1795046400`,
  );
  expect(lines).toContain(`losant_usage_organizations_tracked{${id},stream="device_counts"} 4`);
  expect(lines).toContain(`losant_usage_organizations_complete{${id},stream="device_counts"} 3`);
  expect(lines).toContain(`losant_usage_final_changes_total{${id}} 3`);
  expect(lines).toContain('losant_usage_build_info{version="1.2.3"} 1');
});

test('a stream whose first tracked day is missing has no day up to which it is complete', async () => {
  const none = { ...INSTANCE_HEALTH, streams: [{ ...STREAM, gaps: 1, completeTo: null }] };
  const database = () => Promise.resolve(viewOf({ ...HEALTH, instances: [none] }));
  await using pages = await startPages({ sources: { database } });
  const text = await (await pages.get('/metrics')).text();
  expect(text).toMatch(/^# TYPE losant_usage_complete_to_timestamp_seconds gauge$/m);
  expect(text).not.toMatch(/^losant_usage_complete_to_timestamp_seconds\{/m);
});

test('without the database it shows no old gauges, but still answers', async () => {
  let isUp = true;
  await using pages = await startPages({
    sources: { database: () => Promise.resolve(viewOf(gappy, { isUp })) },
  });
  await (await pages.get('/metrics')).text();
  isUp = false;
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 0\n');
  expect(text).not.toMatch(/^losant_usage_cells\{/m);
  expect(text).toContain(
    `losant_usage_last_complete_run_timestamp_seconds{instance_id="${INSTANCE}"} 1795514400`,
  );
  expect(text).toContain(`losant_usage_final_changes_total{instance_id="${INSTANCE}"} 3`);
  expect(await (await pages.get('/')).text()).toContain('The database does not answer, or is being read.');
  expect(await (await pages.get('/status.json')).json()).toMatchObject({ worker: { databaseUp: false } });
});

test('a database that answers, but is slow to read, is up: the last reading stays, with its age', async () => {
  await using pages = await startPages({
    sources: { database: () => Promise.resolve(viewOf(gappy, { ageMs: 600_000 })) },
  });
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 1\n');
  expect(text).toContain('\nlosant_usage_database_reading_age_seconds 600\n');
  expect(text).toContain('\nlosant_usage_database_reading_seconds 0.25\n');
  expect(text).toMatch(/^losant_usage_cells\{.*standing="missing"\} 2$/m);
  expect(await (await pages.get('/')).text()).toContain('numbers as of 10 min ago');
  const status = (await (await pages.get('/status.json')).json()) as object;
  expect(status).toMatchObject({ at: HEALTH.at, worker: { databaseUp: true, readingAgeMs: 600_000 } });
});

test('a count of changes that an older reading brings takes nothing back', async () => {
  let health: Health = gappy;
  await using pages = await startPages({ sources: { database: () => Promise.resolve(viewOf(health)) } });
  await (await pages.get('/metrics')).text();
  health = { ...HEALTH, instances: [{ ...INSTANCE_HEALTH, finalChanges: 2 }] };
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain(`losant_usage_final_changes_total{instance_id="${INSTANCE}"} 3`);
});

test('shows texts of others as text', async () => {
  const trouble = {
    code: 'x',
    message: '<script>alert(1)</script>',
    hint: '"><img src=x>',
  };
  const instance = { ...INSTANCE_STATUS, lastRun: null, trouble };
  await using pages = await startPages({ sources: { status: () => ({ ...STATUS, instances: [instance] }) } });
  const text = await (await pages.get('/')).text();
  expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  expect(text).not.toContain('<img');
});

test('asks for the token by challenge, and takes it', async () => {
  await using pages = await startPages({ token: TOKEN });
  const response = await pages.get('/metrics');
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toContain('Basic realm="losant-usage"');
  expect((await pages.get('/metrics', { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
});
