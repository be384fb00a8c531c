import { expect, test } from 'vitest';
import type { Health } from '../../src/queries/health.ts';
import {
  HEALTH,
  INSTANCE_HEALTH,
  INSTANCE_STATUS,
  STATUS,
  STREAM,
  startPages,
  TOKEN,
  viewOf,
} from './pages.ts';

const missing: Health = {
  ...HEALTH,
  instances: [
    { ...INSTANCE_HEALTH, streams: [{ ...STREAM, cells: { ...STREAM.cells, missing: 2 }, gaps: 2 }] },
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

test('without the database it still answers, and says so', async () => {
  const database = () => Promise.resolve(viewOf(missing, { isUp: false }));
  await using pages = await startPages({ sources: { database } });
  expect(await (await pages.get('/metrics')).text()).toContain('\nlosant_usage_database_up 0\n');
  expect(await (await pages.get('/')).text()).toContain('The database does not answer, or is being read.');
  expect(await (await pages.get('/status.json')).json()).toMatchObject({ worker: { databaseUp: false } });
});

test('a database that answers, but is slow to read, is up: the last reading stays, with its age', async () => {
  await using pages = await startPages({
    sources: { database: () => Promise.resolve(viewOf(missing, { ageMs: 600_000 })) },
  });
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 1\n');
  expect(text).toContain('\nlosant_usage_database_reading_age_seconds 600\n');
  expect(text).toMatch(/^losant_usage_cells\{.*standing="missing"\} 2$/m);
  expect(await (await pages.get('/')).text()).toContain('numbers as of 10 min ago');
  const status = (await (await pages.get('/status.json')).json()) as object;
  expect(status).toMatchObject({ at: HEALTH.at, worker: { databaseUp: true, readingAgeMs: 600_000 } });
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
