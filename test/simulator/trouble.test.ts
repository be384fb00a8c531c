import { describe, expect, it } from 'vitest';
import type { FaultKind } from '../../simulator/faults.ts';
import { type Counts, days, NOW, type Platform, startPlatform } from './platform.ts';

interface List {
  readonly items: readonly ({ readonly id?: string; readonly name?: string } | null)[];
  readonly totalCount: number;
  readonly page: number;
}

/** 25 organizations in pages of ten. */
const listOf = async (platform: Platform, page: number) =>
  (await platform.get(`/orgs?sortField=id&perPage=10&page=${page}`)).body as List;

const idsOf = ({ items }: List) => items.map((item) => item?.id?.toLowerCase());

const idsInOrder = async (platform: Platform) =>
  ((await platform.control('orgs')) as { orgs: { orgId: string }[] }).orgs.map(({ orgId }) => orgId);

describe('the list of organizations goes wrong on demand', () => {
  it('by pages without items, which change nothing about the number told', async () => {
    await using platform = await startPlatform();
    await platform.control('config', { list: { emptyPages: [1] } });
    const pages = await Promise.all([0, 1, 2].map((page) => listOf(platform, page)));
    expect(pages.map(({ items, totalCount }) => [items.length, totalCount])).toEqual([
      [10, 25],
      [0, 25],
      [5, 25],
    ]);
  });

  it('by pages that are all the first, or in no order', async () => {
    await using platform = await startPlatform();
    const ids = await idsInOrder(platform);
    await platform.control('config', { list: { ignorePage: true } });
    const second = await listOf(platform, 1);
    expect(second.page).toBe(1);
    expect(idsOf(second)).toEqual(ids.slice(0, 10));
    await platform.control('config', { list: { ignoreSort: true } });
    const pages = await Promise.all([0, 1, 2].map((page) => listOf(platform, page)));
    const shuffled = pages.flatMap(idsOf);
    expect(shuffled).not.toEqual(ids);
    expect(shuffled.map(String).toSorted()).toEqual(ids);
  });

  it('by another number than the true one', async () => {
    await using platform = await startPlatform();
    await platform.control('config', { list: { totalCount: 0 } });
    expect(await listOf(platform, 0)).toMatchObject({ count: 10, totalCount: 0 });
  });

  it('by a deletion between two pages, once', async () => {
    await using platform = await startPlatform();
    const ids = await idsInOrder(platform);
    await platform.control('config', { list: { deleteAfter: { page: 0, orgId: ids[3] } } });
    expect(idsOf(await listOf(platform, 0))).toEqual(ids.slice(0, 10));
    const second = await listOf(platform, 1);
    expect(second.totalCount).toBe(24);
    expect(idsOf(second)).toEqual(ids.slice(11, 21));
    expect((await listOf(platform, 0)).totalCount).toBe(24);
    expect(await platform.control('config')).toMatchObject({ list: {} });
  });

  it('by items that are null, lack an id or a name, or are there twice', async () => {
    await using platform = await startPlatform();
    const [first = '', second = '', third = '', fourth = ''] = await idsInOrder(platform);
    const items = {
      [first]: 'null',
      [second]: 'no_id',
      [third.toUpperCase()]: 'no_name',
      [fourth]: 'twice',
    };
    await platform.control('config', { list: { items } });
    const list = await listOf(platform, 0);
    expect(list.items[0]).toBeNull();
    expect(list.items[1]).not.toHaveProperty('id');
    expect(list.items[2]).not.toHaveProperty('name');
    expect(idsOf(list).slice(2, 5)).toEqual([third, fourth, fourth]);
    expect(list.totalCount).toBe(25);
    await platform.control('config', { list: null });
    expect((await listOf(platform, 0)).items[0]).not.toBeNull();
  });

  it('refuses what it does not know', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    await expect(platform.control('config', { list: { short: true } })).rejects.toThrow('short is unknown');
    await expect(
      platform.control('config', { list: { items: { ['a'.repeat(24)]: 'green' } } }),
    ).rejects.toThrow('must be one of: null, no_id, no_name, twice');
  });
});

it('any JSON can be set for an attribute, valid or not', async () => {
  await using platform = await startPlatform({ orgs: 3, hostile: false });
  const [orgId = ''] = await idsInOrder(platform);
  const attributes = {
    tags: [{ key: 'n', value: 5 }],
    creationDate: '2031-01-01T00:00:00.000Z',
    currentPeriodEnd: '9999-12-31T23:59:59.999Z',
  };
  await platform.control('attributes', { orgId, attributes });
  expect((await platform.get(`/orgs/${orgId}`)).body).toMatchObject(attributes);
});

it('a day can be left out of one kind of payload totals alone', async () => {
  await using platform = await startPlatform();
  const org = await platform.orgWith('large');
  const orgId = org.slice('/orgs/'.length);
  const path = `${org}/payloadCountsBreakdown?${days('2026-11-10')}`;
  const variants = async () =>
    Promise.all(
      ['', '&includeNonBillable=true', '&includeNonBillable=true&asBytes=true'].map(
        async (query) => (await platform.counts(path + query)).counts.length,
      ),
    );
  await platform.control('omit', { orgId, day: '2026-11-10', variant: 'all_count' });
  expect(await variants()).toEqual([1, 0, 1]);
  const truth = await platform.control(`truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`);
  expect(truth).toMatchObject({
    orgs: [{ days: [{ omitted: { payload_totals: false }, omitted_totals: ['all_count'] }] }],
  });
  await platform.control('omit', { orgId, day: '2026-11-10', action: 'payload_totals' });
  expect(await variants()).toEqual([0, 0, 0]);
  await platform.control('omit', { orgId, day: '2026-11-10', omit: false });
  expect(await variants()).toEqual([1, 1, 1]);
  await expect(platform.control('omit', { orgId, day: '2026-11-10', variant: 'some' })).rejects.toThrow(
    'variant must be one of',
  );
});

describe('the time', () => {
  const dateOf = async (platform: Platform) => (await platform.get('')).headers.get('date');

  it('of the Date header may be wrong, or not there', async () => {
    await using platform = await startPlatform({ orgs: 1 });
    await platform.control('config', { dateOffsetMs: -3_600_000 });
    expect(await dateOf(platform)).toBe('Tue, 24 Nov 2026 09:30:00 GMT');
    await platform.control('config', { sendsDate: false });
    expect(await dateOf(platform)).toBeNull();
  });

  it('jumps after some more requests, once', async () => {
    await using platform = await startPlatform({ orgs: 1 });
    await platform.control('config', { clockJump: { afterRequests: 2, byMs: 345_600_000 } });
    const dates = [];
    for (let count = 0; count < 4; count += 1) dates.push(await dateOf(platform));
    expect(dates.map((date) => date?.slice(5, 11))).toEqual(['24 Nov', '24 Nov', '28 Nov', '28 Nov']);
    await platform.control('config', { clock: { at: NOW, frozen: true } });
    await platform.control('config', { clockJump: { afterRequests: 0, byMs: -86_400_000 } });
    expect((await dateOf(platform))?.slice(5, 11)).toBe('23 Nov');
  });
});

describe('an answer that is neither good nor an error', () => {
  const broken = (kind: FaultKind) =>
    startPlatform({ orgs: 3, faults: { kinds: [kind], forever: true, retryAfterSeconds: 7 } });

  it.each<[FaultKind, number, string | null]>([
    ['no_content', 204, null],
    ['not_modified', 304, null],
    ['server_error_after', 500, '7'],
    ['unauthorized', 401, null],
    ['forbidden', 403, null],
    ['not_found', 404, null],
    ['too_large', 413, null],
  ])('%s answers %i', async (kind, status, retryAfter) => {
    await using platform = await broken(kind);
    const answer = await platform.get(`/deviceCounts?${days('2026-11-10')}`);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
  });

  it('partial_content answers 206 with what looks like the whole body', async () => {
    await using platform = await broken('partial_content');
    const answer = await platform.get(`/deviceCounts?${days('2026-11-10')}`);
    expect(answer.status).toBe(206);
    expect((answer.body as Counts).counts).toHaveLength(1);
  });

  it('odd_message has control characters in its message', async () => {
    await using platform = await broken('odd_message');
    const { status, body } = await platform.get('/orgs');
    expect(status).toBe(400);
    expect((body as { message: string }).message).toContain('\0');
    expect((body as { message: string }).message).toContain('\u001b[2J');
  });
});

describe('a number that JSON.parse makes another one of', () => {
  it.each<[FaultKind, RegExp]>([
    ['rounded', /"(created|deleted|total)":\d+\.00000000000000000001[,}]/],
    ['near_zero', /"(created|deleted|total)":1e-400[,}]/],
    ['repeated_key', /"(created|deleted|total)":(\d+)[^}]*"\1":\2}/],
  ])('%s is in the text', async (kind, pattern) => {
    await using platform = await startPlatform({ orgs: 3, faults: { kinds: [kind], forever: true } });
    const org = await platform.orgWith('large');
    const answer = await platform.get(`${org}/deviceCounts?${days('2026-11-10')}`);
    expect(answer.text).toMatch(pattern);
    const counts = Object.values((answer.body as Counts).counts[0] ?? {}).slice(1);
    expect(counts.every((value) => Number.isSafeInteger(value))).toBe(true);
  });

  it.each<[FaultKind, RegExp]>([
    ['rounded', /:\d+\.00000000000000000001[,}]/],
    ['repeated_key', /"([\w.-]+)":(\d+)[^}]*"\1":\2}/],
  ])('%s is in a body of sources', async (kind, pattern) => {
    await using platform = await startPlatform({ orgs: 3, faults: { kinds: [kind], forever: true } });
    const org = await platform.orgWith('large');
    const { text } = await platform.get(`${org}/payloadCounts?_links=false&${days('2026-11-10')}`);
    expect(text).toMatch(pattern);
  });
});

describe('the organizations', () => {
  const attributesOf = async (platform: Platform) =>
    ((await platform.control('orgs')) as { orgs: { attributes: { name: string; id: string } }[] }).orgs.map(
      ({ attributes }) => attributes,
    );

  it('have names, ids and sizes that one could meet, and no name twice', async () => {
    await using platform = await startPlatform({ orgs: 300, hostile: false });
    const attributes = await attributesOf(platform);
    const names = attributes.map(({ name }) => name);
    expect(new Set(names).size).toBe(300);
    expect(names.filter((name) => !/^[\p{L}’ ]+( \d)?$/u.test(name))).toEqual([]);
    expect(attributes.filter(({ id }) => /[A-F]/.test(id))).toEqual([]);
    const day = days('2026-11-10');
    for (const { id } of attributes.slice(0, 40)) {
      const path = `/orgs/${id}/payloadCountsBreakdown?${day}&includeNonBillable=true`;
      const [count] = (await platform.counts(path)).counts;
      const [bytes] = (await platform.counts(`${path}&asBytes=true`)).counts;
      if (!count?.value) continue;
      expect((bytes?.value ?? 0) / count.value).toBeGreaterThan(100);
      expect((bytes?.value ?? 0) / count.value).toBeLessThan(6_000);
    }
  });

  it('have hostile ones among them on demand', async () => {
    await using platform = await startPlatform();
    const names = (await attributesOf(platform)).map(({ name }) => name);
    expect(names).toContain('<script>alert("x")</script> & Co.');
  });
});
