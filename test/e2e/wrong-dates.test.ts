/** Responses with a wrong date, from a cache between Losant and the program. */
import { expect, test } from 'vitest';
import { jsonOf } from '../support/program.ts';
import { ALL_FINAL, createTimedInstallation, runCompletely, standingsOf } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

test('a cached response fails only its cells, removes no number, and is retried at the next wake-up', async () => {
  const installation = await createTimedInstallation('2026-11-24T10:30:00Z');
  const { platform, moveTo, query } = installation;
  const [orgId = ''] = installation.orgIds;
  await runCompletely(installation);
  const linesBefore = await readStored(installation);
  const faults = { kinds: ['cached'], forever: true, orgIds: [orgId], actions: ['deviceCounts'] };
  await platform.control('config', { faults });
  // A read at this time makes the 23rd final.
  await moveTo('2026-11-27T10:30:00Z');
  const ended = await installation.run(['run', '--json'], { REQUEST_ATTEMPTS: '2' });
  expect(ended.code).toBe(3);
  const days = { from: '2026-11-23', to: '2026-11-26' };
  expect(jsonOf(ended).failures).toMatchObject([{ orgId, stream: 'device_counts', ...days, code: 'wrong_date' }]);
  const isCached = (line: string) => line.startsWith(`device_counts ${orgId}`);
  expect((await readStored(installation)).filter(isCached)).toEqual(linesBefore.filter(isCached));
  expect(await standingsOf(installation, orgId, '2026-11-23')).toEqual({ ...ALL_FINAL, device_counts: 'stored' });
  const isDue = 'select distinct next_read_at <= now() as is_due from losant_usage.cells where failed_reads > 0';
  expect(await query(isDue)).toEqual([{ is_due: true }]);
  await platform.control('config', { faults: null });
  await runCompletely(installation);
  expect(await readStored(installation)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
  expect(await standingsOf(installation, orgId, '2026-11-23')).toEqual(ALL_FINAL);
});
