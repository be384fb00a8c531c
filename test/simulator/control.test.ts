import { describe, expect, it } from 'vitest';
import { days, type Platform, startPlatform } from './platform.ts';

interface TruthOfDay {
  readonly day: string;
  readonly complete: boolean;
  readonly device_counts: object;
  readonly notebook_minutes: object;
  readonly payload_totals: Record<string, number>;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
}

interface Truth {
  readonly orgs: readonly { readonly orgId: string; readonly days: readonly TruthOfDay[] }[];
}

/** The truth of one day of one organization. */
async function truthOf(platform: Platform, orgId: string): Promise<TruthOfDay | undefined> {
  const truth = (await platform.control(`truth?orgId=${orgId}&from=2026-11-10&to=2026-11-10`)) as Truth;
  return truth.orgs[0]?.days[0];
}

describe('the truth', () => {
  it('is what the API serves, for every organization and stream', async () => {
    await using platform = await startPlatform();
    const truth = (await platform.control('truth?from=2026-11-10&to=2026-11-10')) as Truth;
    expect(truth.orgs).toHaveLength(25);
    for (const { orgId, days: told } of truth.orgs) {
      const read = async (counter: string, more = '') => {
        const path = `/orgs/${orgId}/${counter}?${days('2026-11-10')}${more}`;
        return (await platform.counts(path)).map(({ date: _, ...values }) => values);
      };
      const [day] = told;
      const { billable_count, all_count, all_bytes } = day?.payload_totals ?? {};
      expect(await read('deviceCounts')).toEqual([day?.device_counts]);
      expect(await read('notebookMinuteCounts')).toEqual([day?.notebook_minutes]);
      const all = '&includeNonBillable=true';
      expect(await read('payloadCountsBreakdown')).toEqual([{ value: billable_count }]);
      expect(await read('payloadCountsBreakdown', all)).toEqual([{ value: all_count }]);
      expect(await read('payloadCountsBreakdown', `${all}&asBytes=true`)).toEqual([{ value: all_bytes }]);
      const { body } = await platform.get(`/orgs/${orgId}/payloadCounts?${days('2026-11-10')}`);
      const sources = body as Record<string, Record<string, number>>;
      for (const { payload_type, source, count } of day?.payload_sources ?? []) {
        expect(sources[payload_type]?.[source]).toBe(count);
      }
    }
  });

  it('comes by pages and without days to come', async () => {
    await using platform = await startPlatform({ orgs: 5 });
    const page = (await platform.control('truth?from=2026-11-24&to=2026-12-31&perPage=3&page=1')) as Truth;
    const today = { days: [{ day: '2026-11-24', complete: false }] };
    expect(page.orgs).toMatchObject([today, today]);
  });

  it('follows a restatement, each of which gives other numbers', async () => {
    await using platform = await startPlatform({ orgs: 3 });
    const orgId = (await platform.orgWith('idle')).slice(6);
    const seen = new Set<string>();
    for (let times = 0; times < 6; times++) {
      const day = await truthOf(platform, orgId);
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
    const before = await truthOf(platform, orgId);
    await platform.control('restate', { ...where, sourcesOnly: true });
    const moved = await truthOf(platform, orgId);
    expect(moved?.payload_totals).toEqual(before?.payload_totals);
    expect(moved?.payload_sources).not.toEqual(before?.payload_sources);
    await platform.control('empty', where);
    expect(await truthOf(platform, orgId)).toMatchObject({
      device_counts: { created: 0, deleted: 0, total: 0 },
      payload_totals: { billable_count: 0, all_count: 0, all_bytes: 0 },
      payload_sources: [],
    });
    await platform.control('empty', { ...where, empty: false });
    expect(await truthOf(platform, orgId)).toEqual(moved);
  });
});

it('the control routes refuse what makes no sense', async () => {
  await using platform = await startPlatform({ orgs: 3 });
  const refused = async (path: string, body?: object) => {
    const error: unknown = await platform.control(path, body).catch((reason: unknown) => reason);
    return error instanceof Error ? error.message : 'accepted';
  };
  expect(await refused('config', { latency: 5 })).toContain('latency');
  expect(await refused('config', { list: { short: true } })).toContain('short');
  expect(await refused('config', { faults: { kinds: ['flood'] } })).toContain('faults');
  expect(await refused('restate', { orgId: 'x', day: '2026-11-10' })).toContain('no organization x');
  expect(await refused('truth?from=2026-02-30&to=2026-03-01')).toContain('from');
});
