import { expect, test } from 'vitest';
import type { Health, StreamHealth } from '../../src/database/read/health.ts';
import { SlowReadingError, shareReading } from '../../src/server/readings.ts';
import { HEALTH, INSTANCE, STATUS, startPages, TOKEN } from './pages.ts';

const stream: StreamHealth = {
  stream: 'device_counts',
  cells: { loaded: 5, final: 2, absent: 0, quarantined: 0, failed: 1, unavailable: 0, waived: 3, missing: 1 },
  gaps: 2,
  oldestGap: '2026-11-20',
  expiring: 1,
  completeTo: '2026-11-19',
};
const gappy: Health = {
  ...HEALTH,
  instances: [
    {
      instanceId: INSTANCE,
      organizations: 4,
      lastCompleteRunAt: '2026-11-24T10:00:00.000Z',
      leaseHost: null,
      quarantined: 6,
      streams: [stream],
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
  await using pages = await startPages({ sources: { health: () => Promise.resolve(gappy) } });
  const lines = (await (await pages.get('/metrics')).text()).split('\n');
  const id = `instance_id="${INSTANCE}"`;
  expect(lines).toContain('losant_usage_database_up 1');
  expect(lines).toContain(`losant_usage_gaps{${id},stream="device_counts"} 2`);
  expect(lines).toContain(`losant_usage_cells{${id},stream="device_counts",state="waived"} 3`);
  expect(lines).toContain(`losant_usage_gaps_expiring{${id}} 1`);
  expect(lines).toContain(`losant_usage_quarantined{${id}} 6`);
  // From 2026-11-21T00:00Z to 2026-11-24T10:30Z.
  expect(lines).toContain(`losant_usage_oldest_gap_age_seconds{${id}} 297000`);
  expect(lines).toContain(`losant_usage_last_complete_pass_timestamp_seconds{${id}} 1795514400`);
  expect(lines).toContain('losant_usage_build_info{version="0.1.0"} 1');
});

test('without the database it shows no old gauges, but still answers', async () => {
  let isUp = true;
  const health = () => (isUp ? Promise.resolve(gappy) : Promise.reject(new Error('gone')));
  await using pages = await startPages({ sources: { health } });
  await (await pages.get('/metrics')).text();
  isUp = false;
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 0\n');
  expect(text).not.toMatch(/^losant_usage_(gaps|cells)\{/m);
  expect(text).toContain(
    `losant_usage_last_complete_pass_timestamp_seconds{instance_id="${INSTANCE}"} 1795514400`,
  );
  expect(await (await pages.get('/')).text()).toContain('The database does not answer.');
  expect(await (await pages.get('/status.json')).json()).toMatchObject({ databaseUp: false, ledger: null });
});

test('shows texts of others as text', async () => {
  const trouble = { code: 'x', message: '<script>alert(1)</script>', hint: '"><img src=x>' };
  const instance = {
    instanceId: INSTANCE,
    state: 'idle',
    lastPass: null,
    lastCompletePassAt: null,
    trouble,
  } as const;
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

test('a read is shared by all who ask meanwhile and for a while after', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  const shared = shareReading(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  expect(await Promise.all([shared(), shared(), shared()])).toEqual([1, 1, 1]);
  nowMs = 999;
  expect(await shared()).toBe(1);
  nowMs = 1_000;
  expect(await shared()).toBe(2);
});

test('a read that hangs is given up by those who ask, and is not begun again beside itself', async () => {
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = () => {
    reads += 1;
    return promise;
  };
  const shared = shareReading(read, { keepMs: 1_000, timeoutMs: 20, now: () => 0 });
  await expect(shared()).rejects.toBeInstanceOf(SlowReadingError);
  await expect(shared()).rejects.toBeInstanceOf(SlowReadingError);
  resolve('late');
  expect(await shared()).toBe('late');
  expect(reads).toBe(1);
});

test('a read that fails is tried again by the next who asks', async () => {
  const answers = [Promise.reject(new Error('gone')), Promise.resolve('back')];
  for (const answer of answers) answer.catch(() => {});
  const shared = shareReading(() => answers.shift() as Promise<string>, {
    keepMs: 1_000,
    timeoutMs: 1_000,
    now: () => 0,
  });
  await expect(shared()).rejects.toThrow('gone');
  expect(await shared()).toBe('back');
});
