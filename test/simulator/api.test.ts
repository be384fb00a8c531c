import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { days, type Platform, startPlatform } from './platform.ts';

interface List {
  readonly items: readonly { readonly id: string; readonly name: string }[];
}

const WINDOW = days('2026-11-10');

let platform: Platform;
let large: string;

beforeAll(async () => {
  platform = await startPlatform();
  large = await platform.orgWith('large');
});
afterAll(() => platform[Symbol.asyncDispose]());

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
  it('gives every organization once over its pages, in the order of ids', async () => {
    await using platform = await startPlatform({ orgs: 23 });
    const seen: string[] = [];
    for (const page of [0, 1, 2, 3]) {
      const { body } = await platform.get(`/orgs?sortField=id&perPage=7&page=${page}`);
      seen.push(...(body as List).items.map(({ id }) => id.toLowerCase()));
    }
    expect(new Set(seen).size).toBe(23);
    expect(seen).toEqual([...seen].sort());
    const { body: last } = await platform.get('/orgs?sortField=id&perPage=7&page=4');
    expect(last).toMatchObject({ items: [], count: 0, totalCount: 23, perPage: 7, page: 4 });
    for (const query of ['perPage=0', 'sortField=size']) {
      expect((await platform.get(`/orgs?${query}`)).status).toBe(400);
    }
  });

  it('cuts a page larger than the largest, and says so', async () => {
    await using platform = await startPlatform({ pageSizeMax: 10 });
    const { body } = await platform.get('/orgs?perPage=5000');
    expect(body).toMatchObject({ count: 10, perPage: 10, totalCount: 25 });
  });
});

describe('an organization', () => {
  it('is changed by a patch, which the list then shows', async () => {
    const patch = { name: 'Renamed', tags: [{ key: 'k', value: 'v' }], limits: { device: 5 } };
    const patched = await platform.send('PATCH', large, { ...patch, disabledAt: true });
    const now = '2026-11-24T10:30:00.000Z';
    expect(patched).toMatchObject({ status: 200, body: { ...patch, disabledAt: now, lastUpdated: now } });
    const { items } = (await platform.get('/orgs')).body as List;
    expect(items.map(({ name }) => name)).toContain('Renamed');
  });

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
