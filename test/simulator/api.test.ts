import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { days, type Platform, startPlatform } from './platform.ts';

interface List {
  readonly items: readonly { readonly id: string; readonly name: string }[];
  readonly count: number;
  readonly totalCount: number;
  readonly perPage: number;
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
  });

  it('that may only read opens no change', async () => {
    await platform.control('tokens', { token: 'reader', scopes: ['all.Instance.read'] });
    const url = `${platform.url}/instances/${platform.instanceId}${large}`;
    const answer = await fetch(url, { method: 'DELETE', headers: { authorization: 'Bearer reader' } });
    expect(answer.status).toBe(403);
  });

  it('that is missing, unknown, revoked or expired is refused with 401', async () => {
    await platform.control('tokens', { token: 'good', scopes: ['all.Instance'] });
    await platform.control('tokens', {
      token: 'old',
      scopes: ['all.Instance'],
      expiresAt: '2026-11-24T10:30:00Z',
    });
    const status = async (authorization: string) => (await platform.get('/orgs', { authorization })).status;
    expect(await status('Bearer good')).toBe(200);
    await platform.control('tokens/revoke', { token: 'good' });
    expect(await status('Bearer good')).toBe(401);
    expect(await status('Bearer old')).toBe(401);
    expect(await status('Bearer unknown')).toBe(401);
    expect((await platform.raw(`/instances/${platform.instanceId}`)).status).toBe(401);
  });
});

describe('what is not there', () => {
  it('is 404 for an unknown organization or another instance, 400 for what is no id, 405 for the rest', async () => {
    const auth = { authorization: `Bearer ${platform.token}` };
    expect(await platform.get('/orgs/0123456789abcdef01234567/deviceCounts')).toMatchObject({
      status: 404,
      body: { type: 'NotFound', message: 'Organization was not found' },
    });
    expect(await platform.raw('/instances/0123456789abcdef01234567', auth)).toMatchObject({
      status: 404,
      body: { type: 'NotFound', message: 'Instance was not found' },
    });
    expect((await platform.get('/orgs/none')).status).toBe(400);
    expect(await platform.get('/orgs/0123456789abcdef01234567/tokenCounts')).toMatchObject({
      status: 405,
      body: { type: 'MethodNotAllowed' },
    });
    expect((await platform.send('PUT', '/orgs/0123456789abcdef01234567', {})).status).toBe(405);
    expect((await platform.raw('/elsewhere', auth)).status).toBe(405);
  });
});

describe('a query the API does not understand', () => {
  it.each([
    ['deviceCounts?start=yesterday'],
    ['deviceCounts?start=2026-11-10T00:00:00.000Z'],
    ['deviceCounts?start=1793491200'],
    ['deviceCounts?start=1793491200000.5'],
    ['deviceCounts?start=1793491200000&end=1793404800000'],
    ['deviceCounts?start=1793491200000&start=1793491200000'],
    [`payloadCountsBreakdown?${WINDOW}&resolution=360000`],
    [`payloadCountsBreakdown?${WINDOW}&includeNonBillable=1`],
    [`payloadCounts?${WINDOW}&asBytes=yes`],
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
    const last = (await platform.get('/orgs?sortField=id&perPage=7&page=4')).body as List;
    expect(last).toMatchObject({ items: [], count: 0, totalCount: 23, perPage: 7, page: 4 });
  });

  it('cuts a page larger than the largest, and says so', async () => {
    await using platform = await startPlatform({ pageSizeMax: 10 });
    expect((await platform.get('/orgs?perPage=5000')).body).toMatchObject({
      count: 10,
      perPage: 10,
      totalCount: 25,
    });
    expect((await platform.get('/orgs?perPage=0')).status).toBe(400);
    expect((await platform.get('/orgs?sortField=size')).status).toBe(400);
  });

  describe('with two fleets', () => {
    beforeAll(async () => {
      const add = (id: string, creationDate: string, attributes: object) =>
        platform.control('orgs', { id, creationDate, attributes });
      await add('a'.repeat(24), '2031-01-01T00:00:00.000Z', {
        ...{ name: 'Fleet "one"', referralId: 'R-1', disabledAt: false },
        tags: [
          { key: 'tier', value: 'free' },
          { key: 'tier', value: 'gold' },
        ],
      });
      await add('b'.repeat(24), '2031-01-02T00:00:00.000Z', {
        ...{ name: 'fleet two', referralId: 'R-2', disabledAt: '2026-02-01T00:00:00.000Z' },
        tags: [{ key: 'tier', value: 'silver' }],
      });
    });

    it.each([
      [{ name: 'Fleet "one"' }, ['a']],
      [{ name: { $contains: 'FLEET', $ci: true } }, ['a', 'b']],
      [{ name: { $startsWith: 'fleet' } }, ['b']],
      [{ id: { $in: ['aaaaaaaaaaaaaaaaaaaaaaaa'] } }, ['a']],
      [{ id: 'BBBBBBBBBBBBBBBBBBBBBBBB' }, ['b']],
      [{ referralId: null }, []],
      [{ referralId: { $ne: 'R-1' }, name: { $contains: 'leet' } }, ['b']],
      [{ disabledAt: { $gt: '2026-01-01T00:00:00.000Z' }, name: { $contains: 'leet' } }, ['b']],
      [{ creationDate: { $gte: Date.UTC(2031, 0, 2) } }, ['b']],
      [{ tags: { $tagKey: 'tier', $tagValue: 'gold' } }, ['a']],
      [{ tags: { tier: { $in: ['gold', 'silver'] } } }, ['a', 'b']],
      [{ tags: { $ne: { $tagKey: 'tier' } }, name: { $contains: 'leet' } }, []],
      [{ $or: [{ referralId: 'R-1' }, { referralId: 'R-2' }] }, ['a', 'b']],
      [{ $and: [{ referralId: 'R-1' }, { referralId: 'R-2' }] }, []],
      [{ $nor: [{ referralId: 'R-1' }], name: { $contains: 'leet' } }, ['b']],
    ])('finds by query %j', async (query, found) => {
      const { body } = await platform.get(
        `/orgs?sortField=id&query=${encodeURIComponent(JSON.stringify(query))}`,
      );
      const ids = (body as List).items.map(({ id }) => id.slice(0, 1));
      expect(ids.filter((id) => id === 'a' || id === 'b')).toEqual(found);
    });
  });

  it('finds by a glob on the name, and refuses what no schema has', async () => {
    const { body } = await platform.get('/orgs?filterField=name&filter=*ROCKETS*');
    expect((body as List).items.map(({ name }) => name)).toEqual(['Rockets 🚀🛰️ and families 👨‍👩‍👧‍👦']);
    expect((await platform.get('/orgs?filterField=tags&filter=a')).status).toBe(400);
    for (const query of [
      '{',
      '[]',
      '{"color":1}',
      '{"name":{"$regex":"a"}}',
      '{"id":"x"}',
      '{"planId":"p"}',
    ]) {
      expect((await platform.get(`/orgs?query=${encodeURIComponent(query)}`)).status).toBe(400);
    }
  });
});

describe('an organization', () => {
  it('is changed by a patch, which the list then shows', async () => {
    const patch = {
      name: 'Renamed',
      disabledAt: true,
      tags: [{ key: 'k', value: 'v' }],
      limits: { device: 5 },
    };
    const patched = await platform.send('PATCH', large, patch);
    expect(patched).toMatchObject({
      status: 200,
      body: { ...patch, disabledAt: '2026-11-24T10:30:00.000Z', lastUpdated: '2026-11-24T10:30:00.000Z' },
    });
    const names = ((await platform.get('/orgs')).body as List).items.map(({ name }) => name);
    expect(names).toContain('Renamed');
  });

  it.each([
    [{ colour: 'red' }],
    [{ name: '' }],
    [{ name: 'x'.repeat(256) }],
    [{ tags: [{ key: 'a b', value: 'v' }] }],
    [{ limits: { device: -1 } }],
    [{ limits: { gold: 1 } }],
    [{ disabledAt: 'soon' }],
    [[]],
  ])('is not changed by a patch that breaks the schema: %j', async (patch) => {
    const before = (await platform.get(large)).text;
    expect(await platform.send('PATCH', large, patch)).toMatchObject({
      status: 400,
      body: { type: 'Validation' },
    });
    expect((await platform.get(large)).text).toBe(before);
  });
});

describe('the envelope', () => {
  it('keeps type and etag, and drops links on demand', async () => {
    const path = `${await platform.orgWith('idle')}/payloadCountsBreakdown?${WINDOW}`;
    const full = (await platform.get(path)).body as Record<string, unknown>;
    expect(Object.keys(full)).toEqual(['start', 'end', 'counts', '_type', '_etag', '_links']);
    const bare = (await platform.get(`${path}&_actions=false&_links=false&_embedded=false`)).body;
    expect(bare).toEqual({
      start: '2026-11-10T00:00:00.000Z',
      end: '2026-11-10T23:59:59.999Z',
      counts: [{ date: '2026-11-10T00:00:00.000Z', value: 0 }],
      _type: 'payloadCountsBreakdown',
      _etag: full['_etag'],
    });
  });
});
