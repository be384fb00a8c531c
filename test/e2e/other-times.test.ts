/** Answers of another time: of a cache between Losant and the program, or because a clock jumps. */
import { expect, test } from 'vitest';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { ALL_FINAL, openPlayed, runJson, runWhole, standingsOf } from './export.ts';
import { readStored, readTruth } from './usage.ts';

// Promise (Numbers): An answer that a cache kept, by its own Date or Age, is refused and asked for again, and takes
// no number away.
test('an answer that a cache kept for good is a failure of its cells alone, takes no number away, and is tried at the next wake-up', async () => {
  const played = await openPlayed('2026-11-24T10:30:00Z');
  const { platform, moveTo, query } = played;
  const [orgId = ''] = played.orgIds;
  await runWhole(played);
  const before = await readStored(played);
  await platform.control('config', {
    faults: { kinds: ['cached'], forever: true, orgIds: [orgId], actions: ['deviceCounts'] },
  });
  // By now every stored day of the 23rd would be final.
  await moveTo('2026-11-27T10:30:00Z');
  const ended = await runJson(played, [], { REQUEST_ATTEMPTS: '2' });
  expect(ended.code).toBe(3);
  expect(jsonOf(ended).failures).toMatchObject([
    { orgId, stream: 'device_counts', from: '2026-11-23', to: '2026-11-26', code: 'wrong_date' },
  ]);
  const own = (lines: readonly string[]) => lines.filter((line) => line.startsWith(`device_counts ${orgId}`));
  expect(own(await readStored(played))).toEqual(own(before));
  expect(await standingsOf(played, orgId, '2026-11-23')).toEqual({ ...ALL_FINAL, device_counts: 'stored' });
  const isDue = 'select distinct next_read_at <= now() as is_due from losant_usage.cells where attempts > 0';
  expect(await query(isDue)).toEqual([{ is_due: true }]);
  await platform.control('config', { faults: null });
  await runWhole(played);
  expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
  expect(await standingsOf(played, orgId, '2026-11-23')).toEqual(ALL_FINAL);
});

test('a host whose clock jumps during a run ends it, and what is loaded is true', async () => {
  const played = await openPlayed('2026-11-24T10:30:00Z', { orgs: 20 });
  const { platform, start, moveTo, query } = played;
  await platform.control('config', { latencyMs: 40 });
  const program = start(['run', '--json'], { REQUEST_CONCURRENCY: '2', REQUEST_ATTEMPTS: '2' });
  const loaded = async () => {
    const [row] = await query('select count(*)::int as n from losant_usage.cells where is_stored');
    return Number(row?.['n']);
  };
  await until('some numbers are loaded', async () => (await loaded()) > 0);
  // The host and its database jump together, as on one machine; Losant does not.
  await platform.control('config', { clock: { offsetMs: -4 * 86_400_000 } });
  await moveTo('2026-11-28T10:30:00Z');
  const ended = await program.ended;
  expect(ended.code).toBe(1);
  expect(ended.stdout).toContain('clock_skew');
  expect(await query(`select 1 from losant_usage.cells where verified_at > '2026-11-25'`)).toEqual([]);
  await moveTo('2026-11-24T10:40:00Z');
  await platform.control('config', { clock: { offsetMs: 0 }, latencyMs: 0 });
  await runWhole(played);
  expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-23'));
});
