import { describe, expect, it } from 'vitest';
import type { FaultKind, FaultPlan } from '../../simulator/faults.ts';
import { type Counts, days, NOW, type Platform, startPlatform } from './platform.ts';

const TWO_DAYS = days('2026-11-10', '2026-11-11');

/** A platform all of whose requests meet the fault. */
function broken(kind: FaultKind, plan: Partial<FaultPlan> = {}, now = () => NOW): Promise<Platform> {
  return startPlatform({ orgs: 3, now, faults: { kinds: [kind], forever: true, ...plan } });
}

const deviceCounts = async (platform: Platform) =>
  `${await platform.orgWith('large')}/deviceCounts?${TWO_DAYS}`;

describe('a fault of the answer', () => {
  it.each<[FaultKind, number, string | null, string]>([
    ['rate_limit', 429, null, 'application/json; charset=utf-8'],
    ['rate_limit_seconds', 429, '7', 'application/json; charset=utf-8'],
    ['rate_limit_date', 429, 'Tue, 24 Nov 2026 10:30:07 GMT', 'application/json; charset=utf-8'],
    ['unavailable', 503, null, 'application/json; charset=utf-8'],
    ['unavailable_after', 503, '7', 'application/json; charset=utf-8'],
    ['html_error', 502, null, 'text/html; charset=utf-8'],
    ['html_ok', 200, null, 'text/html; charset=utf-8'],
  ])('%s answers %i', async (kind, status, retryAfter, type) => {
    await using platform = await broken(kind, { retryAfterSeconds: 7 });
    const answer = await platform.get(await deviceCounts(platform));
    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
    expect(answer.headers.get('content-type')).toBe(type);
    expect(answer.headers.get('x-simulated-fault')).toBe(kind);
  });

  it('redirect points to a path that is not mapped, or where the plan says', async () => {
    await using platform = await broken('redirect');
    const location = async () => (await platform.get('')).headers.get('location');
    expect(await location()).toBe(`${platform.url}/elsewhere`);
    const redirectTo = 'http://127.0.0.1:9/other';
    await platform.control('config', { faults: { kinds: ['redirect'], forever: true, redirectTo } });
    expect(await location()).toBe('http://127.0.0.1:9/other');
  });

  it('server_error answers 500, 502 or 504', async () => {
    await using platform = await broken('server_error');
    const seen = new Set<number>();
    for (let i = 0; i < 20; i++) seen.add((await platform.get('')).status);
    expect(seen).toEqual(new Set([500, 502, 504]));
  });

  it('is not JSON, empty or huge', async () => {
    await using garbled = await broken('not_json');
    await expect(garbled.get('')).rejects.toThrow(SyntaxError);
    await using empty = await broken('empty_body');
    await expect(empty.get('')).rejects.toThrow('Unexpected end of JSON input');
    await using huge = await broken('huge_body', { hugeBytes: 3_000_000 });
    expect((await huge.get('')).text.length).toBeGreaterThan(3_000_000);
    expect((await huge.get('')).headers.get('content-encoding')).toBe('gzip');
  });

  it('cuts the body or the connection', async () => {
    await using cut = await broken('cut_body');
    const auth = { headers: { authorization: `Bearer ${cut.token}` } };
    const response = await fetch(`${cut.url}/instances/${cut.instanceId}`, auth);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow('terminated');
    await using reset = await broken('reset');
    await expect(reset.get('')).rejects.toThrow('fetch failed');
    await using hang = await broken('hang', { slowMs: 50 });
    await expect(hang.get('')).rejects.toThrow('fetch failed');
  });

  it('slows the body down, and in the end it is good', async () => {
    await using platform = await broken('slow_body', { slowMs: 100 });
    expect((await platform.get('')).body).toMatchObject({ id: platform.instanceId });
  });
});

describe('a fault of a value', () => {
  it.each<[FaultKind, (value: unknown) => boolean]>([
    ['negative', (value) => typeof value === 'number' && value < 0],
    ['fractional', (value) => typeof value === 'number' && !Number.isInteger(value)],
    ['text_number', (value) => typeof value === 'string' && /^\d+$/.test(value)],
    ['null_value', (value) => value === null],
    ['boolean_value', (value) => value === true],
    ['missing_value', (value) => value === undefined],
    ['above_safe', (value) => value === 2 ** 53],
  ])('%s spoils one field of one bucket, and the header says which', async (kind, isSpoiled) => {
    await using platform = await broken(kind);
    const path = await deviceCounts(platform);
    const answer = await platform.get(path);
    const [, day, field] =
      new RegExp(`^${kind}; day=(2026-11-1[01]); field=(created|deleted|total)$`).exec(
        answer.headers.get('x-simulated-fault') ?? '',
      ) ?? [];
    const bucket = (answer.body as Counts).counts.find(({ date }) => date === `${day}T00:00:00.000Z`);
    expect(isSpoiled(bucket?.[field ?? ''])).toBe(true);
    await platform.control('config', { faults: null });
    const good = await platform.counts(path);
    const spoiled = JSON.stringify((answer.body as Counts).counts);
    expect(spoiled).not.toBe(JSON.stringify(good.counts));
  });

  it('writes a number above 2^53 digit for digit', async () => {
    await using platform = await broken('above_safe');
    expect((await platform.get(await deviceCounts(platform))).text).toContain(':9007199254740993');
  });

  it.each<[FaultKind, string[]]>([
    ['missing_bucket', ['2026-11-11T00:00:00.000Z']],
    [
      'duplicate_bucket',
      ['2026-11-10T00:00:00.000Z', '2026-11-10T00:00:00.000Z', '2026-11-11T00:00:00.000Z'],
    ],
    ['misplaced_bucket', ['2026-11-10T05:00:00.000Z', '2026-11-11T00:00:00.000Z']],
    ['outside_bucket', ['2026-11-09T00:00:00.000Z', '2026-11-10T00:00:00.000Z', '2026-11-11T00:00:00.000Z']],
  ])('%s', async (kind, dates) => {
    await using platform = await broken(kind);
    const path = await deviceCounts(platform);
    const seen: string[][] = [];
    for (let i = 0; i < 8; i++) seen.push((await platform.counts(path)).counts.map(({ date }) => date));
    expect(seen).toContainEqual(dates);
  });

  it('wrong_window, no_counts and unknown_keys', async () => {
    await using shifted = await broken('wrong_window');
    expect(await shifted.counts(await deviceCounts(shifted))).toMatchObject({
      start: '2026-11-09T00:00:00.000Z',
      end: '2026-11-10T23:59:59.999Z',
    });
    await using without = await broken('no_counts');
    expect(await without.counts(await deviceCounts(without))).not.toHaveProperty('counts');
    await using more = await broken('unknown_keys');
    expect(await more.counts(await deviceCounts(more))).toMatchObject({ granularity: 'day' });
  });

  it('spoils a source of payloadCounts and passes over what cannot be spoiled', async () => {
    await using platform = await broken('negative');
    const day = `payloadCounts?${days('2026-11-10')}`;
    const answer = await platform.get(`${await platform.orgWith('large')}/${day}`);
    expect(answer.headers.get('x-simulated-fault')).toMatch(/^negative; day=2026-11-10; field=\w+\/[\w.-]+$/);
    expect(answer.text).toMatch(/:-\d+/);
    const empty = await platform.get(`${await platform.orgWith('idle')}/${day}`);
    expect(empty.headers.get('x-simulated-fault')).toBeNull();
    expect((await platform.get('')).headers.get('x-simulated-fault')).toBeNull();
  });
});

describe('a plan of faults', () => {
  /** Which of the requests meet a fault when asked in this order. */
  const struck = async (platform: Platform, paths: readonly string[]) => {
    const faulty: string[] = [];
    for (const path of paths) if ((await platform.get(path)).status === 503) faulty.push(path);
    return faulty.sort();
  };
  const paths = Array.from({ length: 40 }, (_, i) => `/deviceCounts?start=-${i}000`);

  it('strikes the same requests in whatever order they come', async () => {
    const plan: FaultPlan = { kinds: ['unavailable'], rate: 0.4 };
    await using one = await startPlatform({ orgs: 3, faults: plan });
    await using two = await startPlatform({ orgs: 3, faults: [plan] });
    const faulty = await struck(one, paths);
    expect(faulty.length).toBeGreaterThan(5);
    expect(faulty.length).toBeLessThan(30);
    expect(await struck(two, [...paths].reverse())).toEqual(faulty);
  });

  it('lets the same request through after its bound, unless it is forever', async () => {
    await using platform = await startPlatform({
      orgs: 3,
      faults: { kinds: ['unavailable'], rate: 1, maxPerRequest: 2 },
    });
    const statuses = async () => {
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) seen.push((await platform.get('/orgs?_links=false')).status);
      return seen;
    };
    expect(await statuses()).toEqual([503, 503, 200, 503, 503, 200]);
    await platform.control('config', { faults: { kinds: ['unavailable'], forever: true } });
    expect(await statuses()).toEqual([503, 503, 503, 503, 503, 503]);
    await platform.control('config', { faults: [] });
    expect(await statuses()).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it('strikes every n-th time the same is asked', async () => {
    await using platform = await startPlatform({ orgs: 3, faults: { kinds: ['unavailable'], every: 3 } });
    const seen: number[] = [];
    for (let i = 0; i < 9; i++) seen.push((await platform.get('/orgs')).status);
    expect(seen.filter((status) => status === 503)).toHaveLength(3);
  });

  it('keeps to its organizations and actions, and never hides a refused token', async () => {
    await using platform = await startPlatform();
    const [large, idle] = [await platform.orgWith('large'), await platform.orgWith('idle')];
    const orgIds = [large.slice(6).toUpperCase()];
    await platform.control('config', {
      faults: { kinds: ['unavailable'], orgIds, actions: ['deviceCounts'] },
    });
    const status = async (path: string, headers = {}) =>
      (await platform.get(`${path}?${TWO_DAYS}`, headers)).status;
    expect(await status(`${large}/deviceCounts`)).toBe(503);
    expect(await status(`${large}/payloadCounts`)).toBe(200);
    expect(await status(`${idle}/deviceCounts`)).toBe(200);
    expect(await status(`${large}/deviceCounts`, { authorization: 'Bearer wrong' })).toBe(401);
  });
});
