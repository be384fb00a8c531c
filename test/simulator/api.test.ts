import { beforeAll, describe, expect, it } from 'vitest';
import { days, startPlatform, usePlatform } from './platform.ts';

const WINDOW = days('2026-11-10');

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});

describe('the token', () => {
  it('opens what its scopes name and nothing else', async () => {
    const status = async (scopes: string[], path: string) => {
      await platform.control('tokens', { token: 'narrow', scopes });
      return (await platform.get(path, { authorization: 'Bearer narrow' })).status;
    };
    const devices = `${large}/deviceCounts?${WINDOW}`;
    expect(await status(['instanceOrg.deviceCounts'], devices)).toBe(200);
    expect(await status(['instanceOrg.*'], devices)).toBe(200);
    expect(await status(['all.Instance.read'], devices)).toBe(200);
    expect(await status(['all.User.bounded'], devices)).toBe(200);
    expect(await status(['instanceOrg.payloadCounts'], devices)).toBe(403);
    expect(await status(['instance.deviceCounts'], devices)).toBe(403);
    expect(await status(['instance.deviceCounts'], `/deviceCounts?${WINDOW}`)).toBe(200);
    expect(await status(['instanceOrgs.get'], '/orgs')).toBe(200);
    expect(await status(['instanceOrg.get'], '/orgs')).toBe(403);
    await platform.control('tokens', { token: 'narrow', scopes: ['all.Instance.read'] });
    const url = `${platform.url}/instances/${platform.instanceId}${large}`;
    const deleted = await fetch(url, { method: 'DELETE', headers: { authorization: 'Bearer narrow' } });
    expect(deleted.status).toBe(403);
  });

  it('that is missing, unknown or revoked is refused with 401', async () => {
    await platform.control('tokens', { token: 'good', scopes: ['all.Instance'] });
    const status = async (authorization: string) => (await platform.get('', { authorization })).status;
    await platform.control('tokens/revoke', { token: 'good' });
    expect(await status('Bearer good')).toBe(401);
    expect(await status('Bearer unknown')).toBe(401);
    expect((await platform.raw(`/instances/${platform.instanceId}`)).status).toBe(401);
  });
});

describe('what is not there', () => {
  it('is 404 for an unknown organization or another instance, 400 for what is no id, 405 for the rest', async () => {
    const auth = { authorization: `Bearer ${platform.token}` };
    const unknown = '0123456789abcdef01234567';
    const org = await platform.get(`/orgs/${unknown}/deviceCounts`);
    expect(org).toMatchObject({ status: 404, body: { message: 'Organization was not found' } });
    const instance = await platform.raw(`/instances/${unknown}`, auth);
    expect(instance).toMatchObject({ status: 404, body: { message: 'Instance was not found' } });
    expect((await platform.get('/orgs/none')).status).toBe(400);
    const counter = await platform.get(`/orgs/${unknown}/tokenCounts`);
    expect(counter).toMatchObject({ status: 405, body: { type: 'MethodNotAllowed' } });
    expect((await platform.send('PUT', `/orgs/${unknown}`, {})).status).toBe(405);
    expect((await platform.raw('/elsewhere', auth)).status).toBe(405);
  });
});

describe('a query the API does not understand', () => {
  it.each([
    ['deviceCounts?start=1793491200'],
    ['deviceCounts?start=1793491200000&end=1793404800000'],
    ['deviceCounts?start=1793491200000&start=1793491200000'],
    [`payloadCountsBreakdown?${WINDOW}&resolution=360000`],
    [`payloadCountsBreakdown?${WINDOW}&includeNonBillable=1`],
  ])('is refused with 400: %s', async (path) => {
    expect(await platform.get(`${large}/${path}`)).toMatchObject({
      status: 400,
      body: { type: 'Validation', validationErrors: [{ message: expect.any(String) as string }] },
    });
  });
});

describe('the organization list', () => {
  it('cuts a page larger than the largest, and says so', async () => {
    await using platform = await startPlatform({ pageSizeMax: 10 });
    const { body } = await platform.get('/orgs?perPage=5000');
    expect(body).toMatchObject({ count: 10, perPage: 10, totalCount: 25 });
  });
});

describe('an organization', () => {
  it('is gone for good once it is deleted, and with it what the instance counted of it', async () => {
    await using platform = await startPlatform({ orgs: 2 });
    const path = await platform.orgWith('large');
    const total = async (of: string) =>
      (await platform.counts(`${of}/deviceCounts?${WINDOW}`))[0]?.['total'] ?? 0;
    const others = (await total('')) - (await total(path));
    expect(await platform.send('DELETE', path, {})).toMatchObject({ status: 200, body: { success: true } });
    expect((await platform.get(path)).status).toBe(404);
    expect((await platform.get('/orgs')).body).toMatchObject({ totalCount: 1 });
    expect(await total('')).toBe(others);
    await platform.control('config', { bias: [{ counter: 'device_counts', day: '2026-11-10', by: 5 }] });
    expect(await total('')).toBe(others + 5);
  });

  it.each([
    [{ colour: 'red' }],
    [{ name: 'x'.repeat(256) }],
    [{ limits: { gold: 1 } }],
    [{ limits: { dataTTL: 3600 } }],
    [{ disabledAt: 'soon' }],
    [[]],
  ])('is not changed by a patch that breaks the schema: %j', async (patch) => {
    const before = (await platform.get(large)).text;
    const refused = await platform.send('PATCH', large, patch);
    expect(refused).toMatchObject({ status: 400, body: { type: 'Validation' } });
    expect((await platform.get(large)).text).toBe(before);
  });
});

it('every body has its type and etag, and links unless they are switched off', async () => {
  const path = `${await platform.orgWith('idle')}/payloadCountsBreakdown?${WINDOW}`;
  const { _links, _type, ...rest } = (await platform.get(path)).body as Record<string, unknown>;
  expect({ _type, _links }).toMatchObject({ _type: 'payloadCountsBreakdown', _links: { self: {} } });
  expect(rest).toMatchObject({ start: '2026-11-10T00:00:00.000Z', end: '2026-11-10T23:59:59.999Z' });
  expect((await platform.get(`${path}&_actions=false&_links=false&_embedded=false`)).body).toEqual({
    _type,
    ...rest,
  });
});

it('every answer has a Date, which may be wrong, and 429 beyond a rate has a Retry-After', async () => {
  await using platform = await startPlatform();
  await platform.control('config', { requestsPerSecond: 2, dateOffsetMs: -3_600_000 });
  const answers = [await platform.get('/orgs'), await platform.get('/orgs'), await platform.get('/orgs')];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
  expect(answers.map(({ headers }) => headers.get('retry-after'))).toEqual([null, null, '1']);
  expect(answers[2]?.headers.get('date')).toBe('Tue, 24 Nov 2026 09:30:00 GMT');
  const { actions } = (await platform.control('stats')) as { actions: object };
  expect(actions).toEqual({ 'instanceOrgs.get': { 200: 2, 429: 1 } });
});

describe('the numbers', () => {
  it('stay what they were in earlier versions', async () => {
    const path = `/orgs/56e47d0a3e216c8a65150038/deviceCounts?${days('2026-10-01', '2026-10-02')}`;
    expect(await platform.counts(path)).toEqual([
      { date: '2026-10-01T00:00:00.000Z', created: 155, deleted: 118, total: 57884 },
      { date: '2026-10-02T00:00:00.000Z', created: 63, deleted: 28, total: 57919 },
    ]);
  });

  it('are zero before an organization existed and for one that is never used', async () => {
    await platform.control('orgs', { id: 'a'.repeat(24), creationDate: '2026-09-10T10:00:00.000Z' });
    expect(await platform.counts(`/orgs/${'a'.repeat(24)}/deviceCounts?${days('2026-09-02')}`)).toEqual([
      { date: '2026-09-02T00:00:00.000Z', created: 0, deleted: 0, total: 0 },
    ]);
    const idle = await platform.orgWith('idle');
    expect(await platform.counts(`${idle}/notebookMinuteCounts?${days('2026-11-10')}`)).toEqual([
      { date: '2026-11-10T00:00:00.000Z', minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 },
    ]);
    const sources = await platform.get(`${idle}/payloadCounts?_links=false&${days('2026-11-10')}`);
    expect(sources.body).toEqual({ _type: 'payloadStats', _etag: expect.any(String) as string });
  });
});

describe('a window', () => {
  it('has one bucket for each day it touches, both ends inclusive', async () => {
    const midnight = Date.UTC(2026, 10, 10);
    const count = async (start: number, end: number) =>
      (await platform.counts(`${large}/deviceCounts?start=${start}&end=${end}`)).length;
    expect(await count(midnight, midnight + 86_399_999)).toBe(1);
    expect(await count(midnight, midnight + 86_400_000)).toBe(2);
    expect(await count(midnight + 5 * 3_600_000, midnight + 29 * 3_600_000 - 1)).toBe(2);
  });

  it('ends with today, which is there in part, and has no bucket for days to come', async () => {
    const read = async (hoursLater: number) => {
      await platform.control('config', { clock: { offsetMs: hoursLater * 3_600_000 } });
      const path = `${large}/payloadCountsBreakdown?${days('2026-11-23', '2026-11-30')}`;
      return await platform.counts(path);
    };
    const [early, late, next] = [await read(0), await read(6), await read(24)];
    await platform.control('config', { clock: { offsetMs: 0 } });
    expect(early.map(({ date }) => date)).toEqual(['2026-11-23T00:00:00.000Z', '2026-11-24T00:00:00.000Z']);
    expect(late[0]).toEqual(early[0]);
    expect(late[1]?.value).toBeGreaterThan(early[1]?.value ?? Infinity);
    expect(next[1]?.value).toBeGreaterThan(late[1]?.value ?? Infinity);
    expect(next).toHaveLength(3);
  });

  it('beyond the kept detail is empty, zeros or refused, as configured', async () => {
    const path = `${large}/payloadCountsBreakdown?${days('2026-08-22', '2026-08-24')}`;
    const dates = (await platform.counts(path)).map(({ date }) => date);
    expect(dates).toEqual(['2026-08-23T00:00:00.000Z', '2026-08-24T00:00:00.000Z']);
    await platform.control('config', { retention: 'zeros' });
    expect((await platform.counts(path))[0]).toEqual({ date: '2026-08-22T00:00:00.000Z', value: 0 });
    await platform.control('config', { retention: 'refuse' });
    expect((await platform.get(path)).status).toBe(400);
    await platform.control('config', { retention: 'empty', maxRangeDays: 2 });
    expect((await platform.get(path)).status).toBe(400);
  });
});

it('the control routes refuse what makes no sense', async () => {
  await using platform = await startPlatform({ orgs: 3 });
  const refused = async (path: string, body?: object) => {
    const error: unknown = await platform.control(path, body).catch((reason: unknown) => reason);
    return error instanceof Error ? error.message : 'accepted';
  };
  expect(await refused('config', { latency: 5 })).toContain('latency');
  expect(await refused('config', { list: { short: true } })).toContain('short');
  expect(await refused('config', { faults: { kinds: ['flood'] } })).toContain('faults');
  expect(await refused('restate', { orgId: 'x', day: '2026-11-10' })).toContain('no organization x');
  expect(await refused('truth?from=2026-02-30&to=2026-03-01')).toContain('from');
});
