import { describe, expect, it } from 'vitest';
import { days, startPlatform } from './platform.ts';

interface TruthOfDay {
  readonly day: string;
  readonly complete: boolean;
  readonly device_counts: Record<string, number>;
  readonly notebook_minutes: Record<string, number>;
  readonly payload_totals: Record<string, number>;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
  readonly omitted: Record<string, boolean>;
  readonly omitted_totals: readonly string[];
}

interface Truth {
  readonly totalCount?: number;
  readonly orgs: readonly { readonly orgId: string; readonly days: readonly TruthOfDay[] }[];
}

describe('the truth', () => {
  it('is what the API serves, for every organization and stream', async () => {
    await using platform = await startPlatform();
    const truth = (await platform.control('truth?from=2026-11-10&to=2026-11-12')) as Truth;
    expect(truth.totalCount).toBe(25);
    for (const { orgId, days: told } of truth.orgs) {
      const window = days('2026-11-10', '2026-11-12');
      const read = async (counter: string): Promise<Record<string, unknown>[]> => {
        const { counts } = await platform.counts(
          `/orgs/${orgId}/${counter}${counter.includes('?') ? '&' : '?'}${window}`,
        );
        return counts.map(({ date, ...values }) => ({ date: date.slice(0, 10), ...values }));
      };
      expect(await read('deviceCounts')).toEqual(
        told.map((day) => ({ date: day.day, ...day.device_counts })),
      );
      expect(await read('notebookMinuteCounts')).toEqual(
        told.map((day) => ({ date: day.day, ...day.notebook_minutes })),
      );
      const [billable, all, bytes] = await Promise.all([
        read('payloadCountsBreakdown'),
        read('payloadCountsBreakdown?includeNonBillable=true'),
        read('payloadCountsBreakdown?includeNonBillable=true&asBytes=true'),
      ]);
      expect(billable.map((bucket) => bucket['value'])).toEqual(
        told.map((day) => day.payload_totals['billable_count']),
      );
      expect(all.map((bucket) => bucket['value'])).toEqual(
        told.map((day) => day.payload_totals['all_count']),
      );
      expect(bytes.map((bucket) => bucket['value'])).toEqual(
        told.map((day) => day.payload_totals['all_bytes']),
      );
      for (const day of told) {
        const sources = await platform.sources(`/orgs/${orgId}/payloadCounts?${days(day.day)}`);
        const rows = Object.entries(sources).flatMap(([payload_type, counts]) =>
          Object.entries(counts).map(([source, count]) => ({ payload_type, source, count })),
        );
        expect(new Set(rows.map((row) => JSON.stringify(row)))).toEqual(
          new Set(day.payload_sources.map((row) => JSON.stringify(row))),
        );
      }
    }
  });

  it('comes by pages and without days to come', async () => {
    await using platform = await startPlatform();
    const page = (await platform.control('truth?from=2026-11-23&to=2026-12-31&perPage=10&page=2')) as Truth;
    expect(page.orgs).toHaveLength(5);
    expect(page.orgs[0]?.days.map(({ day, complete }) => [day, complete])).toEqual([
      ['2026-11-23', true],
      ['2026-11-24', false],
    ]);
  });

  it('follows a restatement, each of which gives other numbers', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const orgId = (await platform.orgWith('idle')).slice(6);
    const seen = new Set<string>();
    for (let times = 0; times < 6; times++) {
      const { orgs } = (await platform.control(
        `truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`,
      )) as Truth;
      const day = orgs[0]?.days[0];
      seen.add(JSON.stringify(day?.device_counts)).add(JSON.stringify(day?.notebook_minutes));
      seen.add(JSON.stringify(day?.payload_totals)).add(JSON.stringify(day?.payload_sources));
      await platform.control('restate', { orgId, day: '2026-11-10' });
    }
    expect(seen.size).toBe(24);
  });

  it('restates one counter without touching the others or other days', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const org = await platform.orgWith('large');
    const read = (counter: string, day: string) =>
      platform.get(`${org}/${counter}?_links=false&${days(day)}`);
    const before = await Promise.all([
      read('deviceCounts', '2026-11-10'),
      read('payloadCounts', '2026-11-10'),
    ]);
    const other = await read('deviceCounts', '2026-11-09');
    const answer = await platform.control('restate', {
      orgId: org.slice(6),
      day: '2026-11-10',
      counter: 'device_counts',
      times: 2,
    });
    expect(answer).toEqual({ devices: 2 });
    const after = await Promise.all([
      read('deviceCounts', '2026-11-10'),
      read('payloadCounts', '2026-11-10'),
    ]);
    expect(after[0].text).not.toBe(before[0].text);
    expect(after[1].text).toBe(before[1].text);
    expect((await read('deviceCounts', '2026-11-09')).text).toBe(other.text);
  });

  it('gives the same totals by other sources, and a day no usage and its usage again', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const orgId = (await platform.orgWith('large')).slice(6);
    const where = { orgId, day: '2026-11-10' };
    const read = async () => {
      const truth = `truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`;
      return ((await platform.control(truth)) as Truth).orgs[0]?.days[0];
    };
    const before = await read();
    await platform.control('restate', { ...where, sourcesOnly: true });
    const moved = await read();
    expect(moved?.payload_totals).toEqual(before?.payload_totals);
    expect(moved?.payload_sources).not.toEqual(before?.payload_sources);
    await platform.control('empty', where);
    expect(await read()).toMatchObject({
      device_counts: { created: 0, deleted: 0, total: 0 },
      payload_totals: { billable_count: 0, all_count: 0, all_bytes: 0 },
      payload_sources: [],
    });
    await platform.control('empty', { ...where, empty: false });
    expect(await read()).toEqual(moved);
  });

  it('tells which buckets are left out, and the instance still counts them', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const org = await platform.orgWith('large');
    const orgId = org.slice(6);
    const instance = await platform.get(`/deviceCounts?${days('2026-11-10')}`);
    await platform.control('omit', { orgId, day: '2026-11-10', action: 'deviceCounts' });
    expect((await platform.counts(`${org}/deviceCounts?${days('2026-11-10')}`)).counts).toEqual([]);
    const { orgs } = (await platform.control(`truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`)) as Truth;
    expect(orgs[0]?.days[0]?.omitted).toEqual({
      device_counts: true,
      notebook_minutes: false,
      payload_totals: false,
      payload_sources: false,
    });
    expect((await platform.get(`/deviceCounts?${days('2026-11-10')}`)).text).toBe(instance.text);
    await platform.control('omit', { orgId, day: '2026-11-10', omit: false });
    expect((await platform.counts(`${org}/deviceCounts?${days('2026-11-10')}`)).counts).toHaveLength(1);
  });

  it('tells that zero days are left out when they are', async () => {
    await using platform = await startPlatform({ orgs: 3, omitZeroDays: true });
    const orgId = (await platform.orgWith('idle')).slice(6);
    const { orgs } = (await platform.control(`truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`)) as Truth;
    expect(orgs[0]?.days[0]).toMatchObject({
      omitted: { device_counts: true, notebook_minutes: true, payload_totals: true, payload_sources: true },
      omitted_totals: ['billable_count', 'all_count', 'all_bytes'],
    });
  });
});

describe('the control routes', () => {
  it('counts requests by action and outcome, in total and by organization, until reset', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const org = await platform.orgWith('large');
    await platform.get(`${org}/deviceCounts?${days('2026-11-10')}`);
    await platform.get(`${org}/deviceCounts?start=x`);
    await platform.get('/orgs/0123456789abcdef01234567');
    await platform.get('/nothing');
    expect(await platform.control('stats')).toEqual({
      requests: 4,
      maxInFlight: 1,
      actions: {
        'instanceOrg.deviceCounts': { 200: 1, 400: 1 },
        'instanceOrg.get': { 404: 1 },
        unmapped: { 405: 1 },
      },
      faults: {},
    });
    expect(await platform.control(`stats?orgId=${org.slice(6)}`)).toMatchObject({
      requests: 2,
      actions: { 'instanceOrg.deviceCounts': { 200: 1, 400: 1 } },
    });
    await platform.control('stats/reset', {});
    expect(await platform.control('stats')).toMatchObject({ requests: 0, actions: {} });
  });

  it('lists the faults it served with the cell they hit', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const org = await platform.orgWith('large');
    await platform.control('config', { faults: { kinds: ['null_value'], rate: 1, maxPerRequest: 1 } });
    await platform.get(`${org}/payloadCountsBreakdown?${days('2026-11-10')}`);
    await platform.get(`${org}/payloadCountsBreakdown?${days('2026-11-10')}`);
    expect(await platform.control(`faults?orgId=${org.slice(6)}`)).toMatchObject({
      count: 1,
      faults: [
        {
          kind: 'null_value',
          action: 'instanceOrg.payloadCountsBreakdown',
          orgId: org.slice(6),
          nth: 0,
          day: '2026-11-10',
          field: 'value',
        },
      ],
    });
  });

  it('adds organizations, idle ones too, with the attributes given', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const added = (await platform.control('orgs', {
      creationDate: '2026-11-20T12:00:00.000Z',
      attributes: { name: 'New \u0000 \ud800', referralId: 'R' },
    })) as { orgId: string; createdDay: string };
    expect(added).toMatchObject({
      createdDay: '2026-11-20',
      deleted: false,
      attributes: { referralId: 'R' },
    });
    const answer = await platform.get(
      `/orgs/${added.orgId}/deviceCounts?${days('2026-11-19', '2026-11-20')}`,
    );
    const [before, first] = (answer.body as { counts: { total: number; created: number }[] }).counts;
    expect(before?.total).toBe(0);
    expect(first?.created).toBeGreaterThan(0);
    expect((await platform.get(`/orgs/${added.orgId}`)).text).toContain('"New \\u0000 \\ud800"');
    await expect(platform.control('orgs', { id: added.orgId })).rejects.toThrow('the id is taken');
  });

  it('refuses what makes no sense', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    await expect(platform.control('config', { latency: 5 })).rejects.toThrow('latency is unknown');
    await expect(platform.control('config', { faults: { kinds: ['flood'] } })).rejects.toThrow(
      'unknown kind in flood',
    );
    await expect(platform.control('restate', { orgId: 'x', day: '2026-11-10' })).rejects.toThrow(
      'no organization x',
    );
    await expect(platform.control('truth?from=2026-02-30&to=2026-03-01')).rejects.toThrow(
      'from must be a day',
    );
    await expect(platform.control('nothing')).rejects.toThrow('no such control path');
  });

  it('delays the API and not itself', async () => {
    await using platform = await startPlatform({ orgs: 3, latencyMs: 60_000 });
    await platform.control('config', { latencyMs: 1 });
    expect((await platform.get('')).status).toBe(200);
  });
});

it('answers 429 with Retry-After beyond the requests of a second', async () => {
  await using platform = await startPlatform();
  await platform.control('config', { requestsPerSecond: 2 });
  const answers = [await platform.get('/orgs'), await platform.get('/orgs'), await platform.get('/orgs')];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
  expect(answers[2]?.headers.get('retry-after')).toBe('1');
  expect(await platform.control('stats')).toMatchObject({
    actions: { 'instanceOrgs.get': { 200: 2, 429: 1 } },
  });
  await platform.control('config', { requestsPerSecond: null });
  expect((await platform.get('/orgs')).status).toBe(200);
});
