import { beforeAll, describe, expect, it } from 'vitest';
import { days, NOW, type Platform, startPlatform, usePlatform } from './platform.ts';

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});

describe('the numbers', () => {
  it('stay what they were in earlier versions', async () => {
    const path = `/orgs/56e47d0a3e216c8a65150038/deviceCounts?${days('2026-10-01', '2026-10-02')}`;
    expect((await platform.counts(path)).counts).toEqual([
      { date: '2026-10-01T00:00:00.000Z', created: 155, deleted: 118, total: 57884 },
      { date: '2026-10-02T00:00:00.000Z', created: 63, deleted: 28, total: 57919 },
    ]);
  });

  it('of billable payloads never exceed those of all, by day or by hour', async () => {
    for (const resolution of [86_400_000, 3_600_000]) {
      const path = `${large}/payloadCountsBreakdown?${days('2026-11-01', '2026-11-20')}&resolution=${resolution}`;
      const billable = (await platform.counts(path)).counts;
      const all = (await platform.counts(`${path}&includeNonBillable=true`)).counts;
      expect(all).toHaveLength(resolution === 3_600_000 ? 480 : 20);
      expect(billable.filter(({ value = 0 }, i) => value > (all[i]?.value ?? -1))).toEqual([]);
    }
  });

  it('are zero before an organization existed and for one that is never used', async () => {
    const made = (await platform.control('orgs', { creationDate: '2026-09-10T10:00:00.000Z' })) as {
      orgId: string;
    };
    const recent = await platform.counts(
      `/orgs/${made.orgId}/deviceCounts?${days('2026-09-01', '2026-09-02')}`,
    );
    expect(recent.counts).toEqual([
      { date: '2026-09-01T00:00:00.000Z', created: 0, deleted: 0, total: 0 },
      { date: '2026-09-02T00:00:00.000Z', created: 0, deleted: 0, total: 0 },
    ]);
    const idle = await platform.orgWith('idle');
    expect((await platform.counts(`${idle}/notebookMinuteCounts?${days('2026-11-10')}`)).counts).toEqual([
      { date: '2026-11-10T00:00:00.000Z', minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 },
    ]);
    expect(await platform.sources(`${idle}/payloadCounts?${days('2026-11-10')}`)).toEqual({});
  });
});

describe('a window', () => {
  it('has one bucket for each day it touches, both ends inclusive', async () => {
    const counts = async (start: number, end: number) =>
      (await platform.counts(`${large}/deviceCounts?start=${start}&end=${end}`)).counts.map(
        ({ date }) => date,
      );
    const midnight = Date.UTC(2026, 10, 10);
    expect(await counts(midnight, midnight + 86_399_999)).toEqual(['2026-11-10T00:00:00.000Z']);
    expect(await counts(midnight, midnight + 86_400_000)).toEqual([
      '2026-11-10T00:00:00.000Z',
      '2026-11-11T00:00:00.000Z',
    ]);
    expect(await counts(midnight + 5 * 3_600_000, midnight + 29 * 3_600_000 - 1)).toHaveLength(2);
  });

  it('ends with today, which is there in part, and has no bucket for days to come', async () => {
    const path = `${large}/payloadCountsBreakdown?${days('2026-11-23', '2026-11-30')}`;
    const early = (await platform.counts(path)).counts;
    expect(early.map(({ date }) => date)).toEqual(['2026-11-23T00:00:00.000Z', '2026-11-24T00:00:00.000Z']);
    await platform.control('config', { clock: { at: NOW + 6 * 3_600_000, frozen: true } });
    const late = (await platform.counts(path)).counts;
    expect(late[0]).toEqual(early[0]);
    expect(late[1]?.value).toBeGreaterThan(early[1]?.value ?? Infinity);
    await platform.control('config', { clock: { at: NOW + 86_400_000, frozen: true } });
    const next = (await platform.counts(path)).counts;
    expect(next[1]?.value).toBeGreaterThan(late[1]?.value ?? Infinity);
    expect(next).toHaveLength(3);
    await platform.control('config', { clock: { at: NOW, frozen: true } });
  });

  it('beyond the kept detail is empty, zeros or refused, as configured', async () => {
    const path = `${large}/payloadCountsBreakdown?${days('2026-08-22', '2026-08-24')}`;
    expect((await platform.counts(path)).counts.map(({ date }) => date)).toEqual([
      '2026-08-23T00:00:00.000Z',
      '2026-08-24T00:00:00.000Z',
    ]);
    await platform.control('config', { retention: 'zeros' });
    expect((await platform.counts(path)).counts[0]).toEqual({ date: '2026-08-22T00:00:00.000Z', value: 0 });
    await platform.control('config', { retention: 'refuse' });
    expect((await platform.get(path)).status).toBe(400);
    await platform.control('config', { retention: 'empty', maxRangeDays: 2 });
    expect((await platform.get(path)).status).toBe(400);
  });
});

describe('the monthly summaries', () => {
  const summariesOf = async (of: Platform, query: string) =>
    (await of.get(`/historicalSummaries?${query}`)).body as {
      items: { resourceId: string; currentPeriodStart: string; resourceProration: number }[];
      totalCount: number;
    };

  it('come by pages, sorted by id, of this month up to now unless asked otherwise', async () => {
    await using seven = await startPlatform({ orgs: 7 });
    const first = await summariesOf(seven, 'sortField=resourceId&perPage=4');
    const second = await summariesOf(seven, 'sortField=resourceId&perPage=4&page=1');
    const ids = [...first.items, ...second.items].map(({ resourceId }) => resourceId.toLowerCase());
    expect(ids).toHaveLength(7);
    expect(ids).toEqual(ids.toSorted());
    expect(first.items[0]?.currentPeriodStart).toBe('2026-11-01T00:00:00.000Z');
    expect((await seven.get('/historicalSummaries?sortField=name')).status).toBe(400);
    expect((await seven.get('/historicalSummaries?month=soon')).status).toBe(400);
  });

  it('prorate an organization that was created in the month', async () => {
    await using none = await startPlatform({ orgs: 0 });
    await none.control('orgs', { creationDate: '2026-10-17T10:00:00.000Z' });
    const { items } = await summariesOf(none, `month=${Date.UTC(2026, 9, 15)}`);
    expect(items[0]?.resourceProration).toBe(0.4839);
    expect((await summariesOf(none, `month=${Date.UTC(2026, 8, 1)}`)).totalCount).toBe(0);
  });
});
