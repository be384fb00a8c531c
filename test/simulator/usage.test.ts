import { beforeAll, describe, expect, it } from 'vitest';
import { days, usePlatform } from './platform.ts';

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});

describe('the numbers', () => {
  it('stay what they were in earlier versions', async () => {
    const path = `/orgs/56e47d0a3e216c8a65150038/deviceCounts?${days('2026-10-01', '2026-10-02')}`;
    expect(await platform.counts(path)).toEqual([
      { date: '2026-10-01T00:00:00.000Z', created: 155, deleted: 118, total: 57884 },
      { date: '2026-10-02T00:00:00.000Z', created: 63, deleted: 28, total: 57919 },
    ]);
  });

  it('of hours add up to those of days', async () => {
    const valuesOf = async (more: string) => {
      const path = `${large}/payloadCountsBreakdown?${days('2026-11-01', '2026-11-20')}${more}`;
      return (await platform.counts(path)).map(({ value = 0 }) => value);
    };
    const billable = await valuesOf('');
    const hours = await valuesOf('&resolution=3600000');
    const sums = billable.map((_, day) =>
      hours.slice(24 * day, 24 * day + 24).reduce((sum, value) => sum + value),
    );
    expect(sums).toEqual(billable);
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
