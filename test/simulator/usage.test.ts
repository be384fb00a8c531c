import { describe, expect, it } from 'vitest';
import { days, NOW, startPlatform, sum, sumSources } from './platform.ts';

const MAX = 9_007_199_254_740_991;

describe('the numbers', () => {
  it('are the same on every platform of the same seed', async () => {
    await using one = await startPlatform({ seed: 'blue', orgs: 12 });
    await using two = await startPlatform({ seed: 'blue', orgs: 40 });
    const org = await one.orgWith('large');
    for (const counter of [
      'deviceCounts',
      'notebookMinuteCounts',
      'payloadCounts',
      'payloadCountsBreakdown',
    ]) {
      const path = `${org}/${counter}?_links=false&${days('2026-10-01', '2026-10-31')}`;
      expect((await one.get(path)).text).toBe((await two.get(path)).text);
    }
  });

  it('are other numbers on another seed', async () => {
    await using one = await startPlatform({ seed: '1', orgs: 3 });
    await using two = await startPlatform({ seed: '2', orgs: 3 });
    const path = `/payloadCountsBreakdown?${days('2026-10-01')}`;
    const [first, second] = [await one.counts(path), await two.counts(path)];
    expect(first.counts[0]?.value).not.toBe(second.counts[0]?.value);
  });

  it('stay what they were in earlier versions', async () => {
    await using platform = await startPlatform();
    const path = `/orgs/56e47d0a3e216c8a65150038/deviceCounts?${days('2026-10-01', '2026-10-02')}`;
    expect((await platform.counts(path)).counts).toEqual([
      { date: '2026-10-01T00:00:00.000Z', created: 155, deleted: 118, total: 57884 },
      { date: '2026-10-02T00:00:00.000Z', created: 63, deleted: 28, total: 57919 },
    ]);
  });

  it('by type and source add up to the breakdown with non-billable payloads, in count and bytes', async () => {
    await using platform = await startPlatform();
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    for (const { orgId } of orgs) {
      for (const day of ['2026-11-10', '2026-11-14']) {
        const window = `/orgs/${orgId}/payloadCounts?${days(day)}`;
        const breakdown = `/orgs/${orgId}/payloadCountsBreakdown?${days(day)}&includeNonBillable=true`;
        const { counts } = await platform.counts(breakdown);
        expect(counts.map(({ value }) => value)).toEqual([sumSources(await platform.sources(window))]);
        const bytes = await platform.counts(`${breakdown}&asBytes=true`);
        const bySource = sumSources(await platform.sources(`${window}&asBytes=true`));
        expect(bytes.counts.map(({ value }) => value)).toEqual([bySource]);
      }
    }
  });

  it('of billable payloads never exceed those of all, by day or by hour', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    for (const resolution of [86_400_000, 3_600_000]) {
      const path = `${org}/payloadCountsBreakdown?${days('2026-11-01', '2026-11-20')}&resolution=${resolution}`;
      const billable = (await platform.counts(path)).counts;
      const all = (await platform.counts(`${path}&includeNonBillable=true`)).counts;
      expect(all).toHaveLength(resolution === 3_600_000 ? 480 : 20);
      expect(billable.filter(({ value = 0 }, i) => value > (all[i]?.value ?? -1))).toEqual([]);
    }
  });

  it('of the hours add up to the day', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('maximal');
    const path = `${org}/payloadCountsBreakdown?${days('2026-11-05')}&asBytes=true&includeNonBillable=true`;
    const day = (await platform.counts(path)).counts;
    const hours = (await platform.counts(`${path}&resolution=3600000`)).counts;
    expect(hours).toHaveLength(24);
    expect(hours[23]?.date).toBe('2026-11-05T23:00:00.000Z');
    expect(sum(hours.map(({ value = 0 }) => value))).toBe(day[0]?.value);
  });

  it('reach 2^53 - 1 bytes in a day, and are exact beyond it in sums', async () => {
    await using platform = await startPlatform({ orgs: 2 });
    const org = await platform.orgWith('maximal');
    const query = `${days('2026-11-01', '2026-11-10')}&asBytes=true&includeNonBillable=true`;
    const values = (await platform.counts(`${org}/payloadCountsBreakdown?${query}`)).counts.map(
      ({ value }) => value,
    );
    expect(values.filter((value) => value === MAX)).toHaveLength(2);
    const other = await platform.orgWith('large');
    const day = `${days('2026-11-04')}&asBytes=true&includeNonBillable=true`;
    const [largest, second] = await Promise.all(
      [org, other].map(
        async (of) => (await platform.counts(`${of}/payloadCountsBreakdown?${day}`)).counts[0]?.value,
      ),
    );
    expect(largest).toBe(MAX);
    const instance = (await platform.get(`/payloadCountsBreakdown?${day}`)).text;
    expect(instance).toContain(`"value":${BigInt(MAX) + BigInt(second ?? 0)}}`);
  });

  it('of bytes pass 2^31 for a large organization', async () => {
    await using platform = await startPlatform();
    const path = `${await platform.orgWith('large')}/payloadCountsBreakdown?asBytes=true&${days('2026-11-10')}`;
    expect((await platform.counts(path)).counts[0]?.value).toBeGreaterThan(2 ** 31);
  });

  it('of devices go on from the day before on nearly all days', async () => {
    await using platform = await startPlatform();
    const path = `${await platform.orgWith('large')}/deviceCounts?${days('2026-08-25', '2026-11-20')}`;
    const { counts } = await platform.counts(path);
    const breaks = counts.filter(({ created = 0, deleted = 0, total = 0 }, i) => {
      const before = counts[i - 1];
      return before !== undefined && total !== (before['total'] ?? 0) + created - deleted;
    });
    expect(counts).toHaveLength(88);
    expect(breaks.length).toBeLessThan(5);
  });

  it('are zero before an organization existed and for one that is never used', async () => {
    await using platform = await startPlatform();
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

  it('of the instance are the sum of the organizations it has now', async () => {
    await using platform = await startPlatform({ orgs: 6 });
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    const query = `deviceCounts?${days('2026-11-10')}`;
    const total = async (path: string) => (await platform.counts(path)).counts[0]?.['total'] ?? -1;
    const before = await total(`/${query}`);
    const each = await Promise.all(orgs.map(({ orgId }) => total(`/orgs/${orgId}/${query}`)));
    expect(before).toBe(sum(each));
    await platform.send('DELETE', `/orgs/${orgs[0]?.orgId}`, {});
    expect(await total(`/${query}`)).toBe(before - (each[0] ?? 0));
  });
});

describe('a window', () => {
  it('has one bucket for each day it touches, both ends inclusive', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    const counts = async (start: number, end: number) =>
      (await platform.counts(`${org}/deviceCounts?start=${start}&end=${end}`)).counts.map(({ date }) => date);
    const midnight = Date.UTC(2026, 10, 10);
    expect(await counts(midnight, midnight + 86_399_999)).toEqual(['2026-11-10T00:00:00.000Z']);
    expect(await counts(midnight, midnight + 86_400_000)).toEqual([
      '2026-11-10T00:00:00.000Z',
      '2026-11-11T00:00:00.000Z',
    ]);
    expect(await counts(midnight + 5 * 3_600_000, midnight + 29 * 3_600_000 - 1)).toHaveLength(2);
  });

  it('counts only the hours of payloads that it touches', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    const value = async (from: number, hours: number) => {
      const window = `start=${from}&end=${from + hours * 3_600_000 - 1}`;
      return sumSources(await platform.sources(`${org}/payloadCounts?${window}`));
    };
    const midnight = Date.UTC(2026, 10, 10);
    const morning = await value(midnight, 12);
    const evening = await value(midnight + 12 * 3_600_000, 12);
    expect(morning).toBeGreaterThan(0);
    expect(morning + evening).toBe(await value(midnight, 24));
  });

  it('ends with today, which is there in part, and has no bucket for days to come', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    const path = `${org}/payloadCountsBreakdown?${days('2026-11-23', '2026-11-30')}`;
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
  });

  it('without a start ends and begins now', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    for (const query of ['', '?start=0', '?start=0&end=0']) {
      const { start, end, counts } = await platform.counts(`${org}/deviceCounts${query}`);
      expect({ start, end, buckets: counts.length }).toEqual({
        start: '2026-11-24T10:30:00.000Z',
        end: '2026-11-24T10:30:00.000Z',
        buckets: 1,
      });
    }
    const { start } = await platform.counts(`${org}/deviceCounts?start=-86400000`);
    expect(start).toBe('2026-11-23T10:30:00.000Z');
  });

  it('beyond the kept detail is empty, zeros or refused, as configured', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    const path = `${org}/payloadCountsBreakdown?${days('2026-08-22', '2026-08-24')}`;
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

  it('leaves zero days out and the window unnamed when configured so', async () => {
    await using platform = await startPlatform({ omitZeroDays: true, echoWindow: false });
    const idle = await platform.get(
      `${await platform.orgWith('idle')}/deviceCounts?_links=false&${days('2026-11-10')}`,
    );
    expect(idle.body).toEqual({ counts: [], _type: 'deviceCounts', _etag: expect.any(String) as string });
  });
});

describe('answers by hour', () => {
  const HOURS = 'resolution=3600000&includeNonBillable=true';
  const DAYS = 'resolution=86400000&includeNonBillable=true';

  it('leave hours without payloads out when configured so, whatever becomes of days of zeros', async () => {
    await using platform = await startPlatform({ omitZeroHours: true });
    const idle = `${await platform.orgWith('idle')}/payloadCountsBreakdown?${days('2026-11-10')}`;
    expect((await platform.counts(`${idle}&${HOURS}`)).counts).toEqual([]);
    expect((await platform.counts(`${idle}&${DAYS}`)).counts).toHaveLength(1);
  });

  it('have an hour that is wrong or left out on demand, which the day does not show and the truth does', async () => {
    await using platform = await startPlatform();
    const org = await platform.orgWith('large');
    const [orgId, day] = [org.slice(6), '2026-11-10'];
    const path = `${org}/payloadCountsBreakdown?${days(day)}`;
    const before = await platform.counts(`${path}&${HOURS}`);
    const total = (await platform.get(`${path}&${DAYS}`)).text;
    await platform.control('hour', { orgId, day, hour: 7, by: 3 });
    await platform.control('hour', { orgId, day, hour: 9, omit: true });
    const { counts } = await platform.counts(`${path}&${HOURS}`);
    expect(counts).toHaveLength(23);
    expect(counts[7]?.value).toBe((before.counts[7]?.value ?? 0) + 3);
    expect((await platform.get(`${path}&${DAYS}`)).text).toBe(total);
    const { orgs } = (await platform.control(`truth?orgId=${orgId}&from=${day}&to=${day}`)) as {
      orgs: { days: { payload_hours: { all_counts: number[]; omitted: number[] } }[] }[];
    };
    const truth = orgs[0]?.days[0]?.payload_hours;
    expect(truth?.all_counts[7]).toBe(counts[7]?.value);
    expect(truth).toMatchObject({ omitted: [9] });
    await platform.control('hour', { orgId, day, hour: 7, by: 0 });
    await platform.control('hour', { orgId, day, hour: 9 });
    expect((await platform.counts(`${path}&${HOURS}`)).counts).toEqual(before.counts);
  });
});
