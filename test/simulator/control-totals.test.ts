import { describe, expect, it } from 'vitest';
import { days, type Platform, startPlatform, sum } from './platform.ts';

interface Summary {
  readonly resourceId: string;
  readonly [field: string]: unknown;
}

const summariesOf = async (platform: Platform, query: string) =>
  (await platform.get(`/historicalSummaries?${query}`)).body as { items: Summary[]; totalCount: number };

const OCTOBER = Date.UTC(2026, 9, 15);
const numberOf = (of: Summary | undefined, field: string) => Number(of?.[field]);

describe('the monthly summaries', () => {
  it('are the sums of the days, for each organization', async () => {
    await using platform = await startPlatform({ orgs: 4, hostile: false });
    const { items, totalCount } = await summariesOf(platform, `month=${OCTOBER}`);
    expect(totalCount).toBe(4);
    const window = days('2026-10-01', '2026-10-31');
    for (const item of items) {
      const read = async (path: string) =>
        (await platform.counts(`/orgs/${item.resourceId}/${path}${path.includes('?') ? '&' : '?'}${window}`))
          .counts;
      const devices = await read('deviceCounts');
      const notebooks = await read('notebookMinuteCounts');
      const billable = sum((await read('payloadCountsBreakdown')).map(({ value = 0 }) => value));
      const all = sum(
        (await read('payloadCountsBreakdown?includeNonBillable=true')).map(({ value = 0 }) => value),
      );
      expect(item).toMatchObject({
        resourceType: 'organization',
        resourceProration: 1,
        currentPeriodStart: '2026-10-01T00:00:00.000Z',
        currentPeriodEnd: '2026-10-31T23:59:59.999Z',
        deviceCount: devices.at(-1)?.['total'],
        notebookMinutesCount: sum(notebooks.map(({ minutes = 0 }) => minutes)),
        payloadBillableCount: billable,
        payloadNonbillableCount: all - billable,
        payloadCountDetails: await platform.sources(`/orgs/${item.resourceId}/payloadCounts?${window}`),
      });
    }
  });

  it('come by pages, sorted by id, of this month up to now unless asked otherwise', async () => {
    await using platform = await startPlatform({ orgs: 7 });
    const first = await summariesOf(platform, 'sortField=resourceId&perPage=4');
    const second = await summariesOf(platform, 'sortField=resourceId&perPage=4&page=1');
    const ids = [...first.items, ...second.items].map(({ resourceId }) => resourceId.toLowerCase());
    expect(ids).toHaveLength(7);
    expect(ids).toEqual(ids.toSorted());
    expect(first.items[0]?.['currentPeriodStart']).toBe('2026-11-01T00:00:00.000Z');
    expect((await platform.get('/historicalSummaries?sortField=name')).status).toBe(400);
    expect((await platform.get('/historicalSummaries?month=soon')).status).toBe(400);
  });

  it('prorate an organization that was created in the month', async () => {
    await using platform = await startPlatform({ orgs: 0 });
    await platform.control('orgs', { creationDate: '2026-10-17T10:00:00.000Z' });
    const { items } = await summariesOf(platform, `month=${OCTOBER}`);
    expect(items[0]?.['resourceProration']).toBe(0.4839);
    expect((await summariesOf(platform, `month=${Date.UTC(2026, 8, 1)}`)).totalCount).toBe(0);
  });

  it('need a scope of their own', async () => {
    await using platform = await startPlatform({ orgs: 1 });
    await platform.control('tokens', { token: 'narrow', scopes: ['instance.historicalSummaries'] });
    const authorization = 'Bearer narrow';
    expect((await platform.get('/historicalSummaries', { authorization })).status).toBe(200);
    expect((await platform.get('', { authorization })).status).toBe(403);
  });
});

describe('control totals differ where a bias is set', () => {
  it('in the counters of the instance, on that day alone', async () => {
    await using platform = await startPlatform({ orgs: 3, hostile: false });
    const window = days('2026-11-10', '2026-11-11');
    const read = async () => ({
      devices: (await platform.counts(`/deviceCounts?${window}`)).counts.map((bucket) => bucket['total']),
      minutes: (await platform.counts(`/notebookMinuteCounts?${window}`)).counts.map(
        (bucket) => bucket['minutes'],
      ),
      payloads: (await platform.counts(`/payloadCountsBreakdown?${window}`)).counts.map(({ value }) => value),
      sources: (await platform.sources(`/payloadCounts?${days('2026-11-10')}`))['event']?.[
        'application.rest'
      ],
    });
    const before = await read();
    await platform.control('config', {
      bias: [
        { counter: 'device_counts', day: '2026-11-10', by: 5 },
        { counter: 'notebook_minutes', day: '2026-11-11', by: 6 },
        { counter: 'payload_totals', day: '2026-11-10', by: -7 },
        { counter: 'payload_sources', day: '2026-11-10', by: 8 },
      ],
    });
    const plus = (values: readonly (number | undefined)[], ...by: number[]) =>
      values.map((value, index) => (value ?? Number.NaN) + (by[index] ?? 0));
    expect(await read()).toEqual({
      devices: plus(before.devices, 5),
      minutes: plus(before.minutes, 0, 6),
      payloads: plus(before.payloads, -7),
      sources: (before.sources ?? 0) + 8,
    });
    const org = await platform.orgWith('large');
    const { counts } = await platform.counts(`${org}/deviceCounts?${days('2026-11-10')}`);
    await platform.control('config', { bias: null });
    expect((await platform.counts(`${org}/deviceCounts?${days('2026-11-10')}`)).counts).toEqual(counts);
    expect(await read()).toEqual(before);
  });

  it('in the monthly summary of one organization', async () => {
    await using platform = await startPlatform({ orgs: 3, hostile: false });
    const before = (await summariesOf(platform, `month=${OCTOBER}`)).items;
    const orgId = before[1]?.resourceId ?? '';
    await platform.control('config', {
      bias: [{ counter: 'payload_totals', month: '2026-10', orgId, by: 1000 }],
    });
    const after = (await summariesOf(platform, `month=${OCTOBER}`)).items;
    expect(after.map((item) => numberOf(item, 'payloadBillableCount'))).toEqual(
      before.map((item, index) => numberOf(item, 'payloadBillableCount') + (index === 1 ? 1000 : 0)),
    );
    await expect(
      platform.control('config', { bias: [{ counter: 'payload_totals', month: '10', by: 1 }] }),
    ).rejects.toThrow('month must be YYYY-MM');
  });
});
