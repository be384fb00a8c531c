/** Responses with a wrong date: from a cache between Losant and the program, or because a clock jumps. */
import { expect, test } from 'vitest';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { ALL_FINAL, createTimedInstallation, runCompletely, standingsOf } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

// Guarantee (Numbers): A cached response, recognized by Date or Age, is rejected and retried, and never removes a
// number.
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

test('a run ends if the clock of its host jumps, and everything loaded is true', async () => {
  const installation = await createTimedInstallation('2026-11-24T10:30:00Z', { orgs: 8 });
  const { platform, start, moveTo, query } = installation;
  await platform.control('config', { latencyMs: 100 });
  const program = start(['run', '--json'], { REQUEST_CONCURRENCY: '2', REQUEST_ATTEMPTS: '2' });
  const countCells = async () => {
    const [row] = await query('select count(*)::int as n from losant_usage.cells where is_stored');
    return Number(row?.['n']);
  };
  await until('there are cells', async () => (await countCells()) > 0);
  // The host and its database jump together, as on one machine; Losant does not.
  await platform.control('config', { clock: { offsetMs: -4 * 86_400_000 } });
  await moveTo('2026-11-28T10:30:00Z');
  const ended = await program.ended;
  expect(ended.code).toBe(1);
  expect(ended.stdout).toContain('clock_skew');
  expect(await query(`select 1 from losant_usage.cells where last_read_at > '2026-11-25'`)).toEqual([]);
  await moveTo('2026-11-24T10:40:00Z');
  await platform.control('config', { clock: { offsetMs: 0 }, latencyMs: 0 });
  await runCompletely(installation);
  expect(await readStored(installation)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-23'));
});
