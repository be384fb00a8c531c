/**
 * What goes wrong on demand. A kind of which another test asserts the trouble it makes is not repeated here:
 * wrong values in `e2e/bad-answers`, short lists in `e2e/short-list`, all that passes in `e2e/faults`.
 */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FaultKind, FaultPlan } from '../../simulator/faults.ts';
import { type Counts, days, type Platform, startPlatform, usePlatform } from './platform.ts';

const TWO_DAYS = days('2026-11-10', '2026-11-11');

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});
beforeEach(async () => {
  await platform.control('config', { faults: null, list: null });
});

/** Makes all requests meet the fault. */
const breakBy = (kind: FaultKind, plan: Partial<FaultPlan> = {}) =>
  platform.control('config', { faults: { kinds: [kind], forever: true, ...plan } });

const deviceCounts = () => platform.get(`${large}/deviceCounts?${TWO_DAYS}`);

describe('a fault of the answer', () => {
  it.each<[FaultKind, number, string | null]>([
    ['rate_limit', 429, null],
    ['rate_limit_seconds', 429, '7'],
    ['rate_limit_date', 429, 'Tue, 24 Nov 2026 10:30:07 GMT'],
    ['unavailable', 503, null],
    ['unavailable_after', 503, '7'],
    ['server_error_after', 500, '7'],
    ['html_error', 502, null],
    ['html_ok', 200, null],
    ['no_content', 204, null],
    ['partial_content', 206, null],
    ['not_modified', 304, null],
    ['unauthorized', 401, null],
    ['forbidden', 403, null],
    ['not_found', 404, null],
    ['too_large', 413, null],
    ['odd_message', 400, null],
  ])('%s answers %i', async (kind, status, retryAfter) => {
    await breakBy(kind, { retryAfterSeconds: 7 });
    const answer = await deviceCounts();
    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
    expect(answer.headers.get('x-simulated-fault')).toBe(kind);
    if (kind.startsWith('html')) expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    if (kind === 'partial_content') expect((answer.body as Counts).counts).toHaveLength(2);
    if (kind === 'odd_message') expect((answer.body as { message: string }).message).toContain('\u001b[2J');
  });

  it('redirect points to a path that is not mapped, or where the plan says', async () => {
    const location = async () => (await platform.get('')).headers.get('location');
    await breakBy('redirect');
    expect(await location()).toBe(`${platform.url}/elsewhere`);
    await breakBy('redirect', { redirectTo: 'http://127.0.0.1:9/other' });
    expect(await location()).toBe('http://127.0.0.1:9/other');
  });

  it('is not JSON, empty, huge, slow, cut, reset or never there', async () => {
    await breakBy('not_json');
    await expect(platform.get('')).rejects.toThrow(SyntaxError);
    await breakBy('empty_body');
    await expect(platform.get('')).rejects.toThrow('Unexpected end of JSON input');
    await breakBy('huge_body', { hugeBytes: 3_000_000 });
    const huge = await platform.get('');
    expect(huge.text.length).toBeGreaterThan(3_000_000);
    expect(huge.headers.get('content-encoding')).toBe('gzip');
    await breakBy('slow_body', { slowMs: 100 });
    expect((await platform.get('')).body).toMatchObject({ id: platform.instanceId });
    await breakBy('cut_body');
    await expect(platform.get('')).rejects.toThrow('terminated');
    for (const kind of ['reset', 'hang'] as const) {
      await breakBy(kind, { slowMs: 50 });
      await expect(platform.get('')).rejects.toThrow('fetch failed');
    }
  });
});

describe('a fault of a value', () => {
  it.each<[FaultKind, RegExp]>([
    ['above_safe', /:9007199254740993/],
    ['rounded', /"(created|deleted|total)":\d+\.00000000000000000001[,}]/],
    ['near_zero', /"(created|deleted|total)":1e-400[,}]/],
    ['repeated_key', /"(created|deleted|total)":(\d+)[^}]*"\1":\2}/],
    ['unknown_keys', /"granularity":"day"/],
  ])('%s is in the text', async (kind, pattern) => {
    await breakBy(kind);
    expect((await deviceCounts()).text).toMatch(pattern);
  });

  it.each<[FaultKind, string[]]>([
    ['missing_bucket', ['2026-11-11T00:00:00.000Z']],
    ['outside_bucket', ['2026-11-09T00:00:00.000Z', '2026-11-10T00:00:00.000Z', '2026-11-11T00:00:00.000Z']],
  ])('%s', async (kind, dates) => {
    await breakBy(kind);
    const seen: string[][] = [];
    for (let i = 0; i < 8; i++)
      seen.push(((await deviceCounts()).body as Counts).counts.map(({ date }) => date));
    expect(seen).toContainEqual(dates);
  });

  it('wrong_window names the window of another day', async () => {
    await breakBy('wrong_window');
    expect((await deviceCounts()).body).toMatchObject({
      start: '2026-11-09T00:00:00.000Z',
      end: '2026-11-10T23:59:59.999Z',
    });
  });

  it.each<[FaultKind, RegExp]>([
    ['negative', /:-\d+/],
    ['rounded', /:\d+\.00000000000000000001[,}]/],
    ['repeated_key', /"([\w.-]+)":(\d+)[^}]*"\1":\2}/],
  ])('%s spoils a source of payloadCounts, and passes over what cannot be spoiled', async (kind, pattern) => {
    await breakBy(kind);
    const day = `payloadCounts?_links=false&${days('2026-11-10')}`;
    const answer = await platform.get(`${large}/${day}`);
    expect(answer.headers.get('x-simulated-fault')).toMatch(/; day=2026-11-10; field=\w+\/[\w.-]+$/);
    expect(answer.text).toMatch(pattern);
    const empty = await platform.get(`${await platform.orgWith('idle')}/${day}`);
    expect(empty.headers.get('x-simulated-fault')).toBeNull();
  });
});

describe('a plan of faults', () => {
  /** The requests that meet a fault when asked in this order. */
  const struck = async (of: Platform, paths: readonly string[]) => {
    const faulty: string[] = [];
    for (const path of paths) if ((await of.get(path)).status === 503) faulty.push(path);
    return faulty.sort();
  };

  it('strikes the same requests in whatever order they come', async () => {
    const paths = Array.from({ length: 40 }, (_, i) => `/deviceCounts?start=-${i}000`);
    const plan: FaultPlan = { kinds: ['unavailable'], rate: 0.4 };
    await using one = await startPlatform({ orgs: 3, faults: plan });
    await using two = await startPlatform({ orgs: 3, faults: [plan] });
    const faulty = await struck(one, paths);
    expect(faulty.length).toBeGreaterThan(5);
    expect(faulty.length).toBeLessThan(30);
    expect(await struck(two, [...paths].reverse())).toEqual(faulty);
  });

  it('lets the same request through after its bound, unless it is forever', async () => {
    const statuses = async () => {
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) seen.push((await platform.get('/orgs?_links=false')).status);
      return seen;
    };
    await platform.control('config', { faults: { kinds: ['unavailable'], rate: 1, maxPerRequest: 2 } });
    expect(await statuses()).toEqual([503, 503, 200, 503, 503, 200]);
    await breakBy('unavailable');
    expect(await statuses()).toEqual([503, 503, 503, 503, 503, 503]);
    await platform.control('config', { faults: [] });
    expect(await statuses()).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it('keeps to its organizations and actions, and never hides a refused token', async () => {
    const idle = await platform.orgWith('idle');
    await breakBy('unavailable', { orgIds: [large.slice(6).toUpperCase()], actions: ['deviceCounts'] });
    const status = async (path: string, headers = {}) =>
      (await platform.get(`${path}?${TWO_DAYS}`, headers)).status;
    expect(await status(`${large}/deviceCounts`)).toBe(503);
    expect(await status(`${large}/payloadCounts`)).toBe(200);
    expect(await status(`${idle}/deviceCounts`)).toBe(200);
    expect(await status(`${large}/deviceCounts`, { authorization: 'Bearer wrong' })).toBe(401);
  });

  it('refuses what it does not know', async () => {
    await expect(platform.control('config', { list: { short: true } })).rejects.toThrow('short is unknown');
    await expect(platform.control('config', { faults: { kinds: ['flood'] } })).rejects.toThrow(
      'unknown kind in flood',
    );
  });
});

it('the list of organizations comes in no order on demand', async () => {
  const idsOf = async (page: number) => {
    const { body } = await platform.get(`/orgs?sortField=id&perPage=10&page=${page}`);
    return (body as { items: { id: string }[] }).items.map(({ id }) => id.toLowerCase());
  };
  const all = async () => (await Promise.all([0, 1, 2].map(idsOf))).flat();
  const ids = await all();
  await platform.control('config', { list: { ignoreSort: true } });
  const shuffled = await all();
  expect(shuffled).not.toEqual(ids);
  expect(shuffled.toSorted()).toEqual(ids);
});

it('the Date header may be wrong, or not there', async () => {
  const dateOf = async () => (await platform.get('')).headers.get('date');
  await platform.control('config', { dateOffsetMs: -3_600_000 });
  expect(await dateOf()).toBe('Tue, 24 Nov 2026 09:30:00 GMT');
  await platform.control('config', { sendsDate: false });
  expect(await dateOf()).toBeNull();
});
