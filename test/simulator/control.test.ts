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

it('the control routes refuse what makes no sense', async () => {
  await using platform = await startPlatform({ orgs: 3 });
  await expect(platform.control('config', { latency: 5 })).rejects.toThrow('latency is unknown');
  await expect(platform.control('restate', { orgId: 'x', day: '2026-11-10' })).rejects.toThrow(
    'no organization x',
  );
  await expect(platform.control('truth?from=2026-02-30&to=2026-03-01')).rejects.toThrow('from must be a day');
  await expect(platform.control('nothing')).rejects.toThrow('no such control path');
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
