import { expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';

const STREAMS = { STREAMS: 'device_counts,notebook_minutes,payload_totals,payload_sources,payload_hours' };
const [FIRST, LAST] = [daysAgo(40), daysAgo(1)];

const exported = useExport({ orgs: 8 });

type Kind = 'billable_counts' | 'all_counts' | 'all_bytes';
interface TruthDay {
  readonly day: string;
  readonly payload_hours: Readonly<Record<Kind, readonly number[]>>;
}

/** Returns every row of payload_hours that an export of the days must hold, as the platform has them now. */
async function readTruth(): Promise<string[]> {
  const { orgs } = (await exported.platform.control(`truth?from=${FIRST}&to=${LAST}&perPage=100`)) as {
    orgs: { orgId: string; createdDay: string; days: TruthDay[] }[];
  };
  const lines = orgs.flatMap(({ orgId, createdDay, days }) =>
    days
      .filter(({ day }) => day >= createdDay)
      .map(({ day, payload_hours: { billable_counts, all_counts, all_bytes } }) =>
        [orgId, day, ...[billable_counts, all_counts, all_bytes].map((counts) => counts.join(','))].join(' '),
      ),
  );
  return lines.sort();
}

async function readStored(): Promise<string[]> {
  const rows = await exported.place.query(`
    select concat_ws(' ', org_id, usage_date::text, array_to_string(hours_billable_count, ','),
      array_to_string(hours_all_count, ','), array_to_string(hours_all_bytes, ',')) as line
    from losant_usage.usage_days where hours_all_count is not null`);
  return rows.map(({ line }) => String(line)).sort();
}

const BACKFILL = ['backfill', '--json', '--from', FIRST, '--to', LAST];

it('hours of 40 days are exact after faults and restatements, and add up to the days', async () => {
  const { platform, place, run } = exported;
  const kinds = ['server_error', 'cut_body', 'not_json', 'duplicate_bucket', 'misplaced_bucket', 'negative'];
  await platform.control('config', { faults: { kinds, every: 12 } });
  await run(BACKFILL, { ...STREAMS, REQUEST_ATTEMPTS: '1' });
  await platform.control('config', { faults: null });
  const orgIds = await orgIdsOf(platform);
  for (const [index, orgId] of orgIds.slice(0, 6).entries()) {
    await platform.control('restate', { orgId, day: daysAgo(2 + index), counter: 'payload_hours' });
  }
  const ended = await run([...BACKFILL, '--force'], STREAMS);
  expect(jsonOf(ended).failures).toEqual([]);
  expect(ended.code).toBe(0);
  const stored = await readStored();
  expect(stored.length).toBeGreaterThan(200);
  expect(stored).toEqual(await readTruth());
  const differing = await place.query(`
    select from losant_usage.usage_days u
    where u.payload_all_count <> (select sum(n) from unnest(u.hours_all_count) as n)`);
  expect(differing).toEqual([]);
});
