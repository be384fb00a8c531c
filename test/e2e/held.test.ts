import { expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { useExport } from './export.ts';
import { createPlace, readStored, readTruth } from './usage.ts';

const exported = useExport({ orgs: 3 });

it('a second run on the same embedded database ends with exit code 4, or waits', async () => {
  const { platform, start, spawn, run } = exported;
  const place = await createPlace('embedded');
  const env = { DATABASE_URL: place.url };
  try {
    // Every request for usage is kept waiting: the run is in the middle until it is told to end.
    const kinds = ['hang'];
    const actions = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
    await platform.control('config', { faults: { kinds, actions, forever: true, slowMs: 600_000 } });
    await platform.control('stats/reset', {});
    const first = spawn(['run', '--json'], { ...env, REQUEST_TIMEOUT_MS: '600000' });
    await until('the run is in the middle', async () => {
      const { faults } = (await platform.control('stats')) as { faults: Record<string, number> };
      return (faults['hang'] ?? 0) > 0;
    });

    const second = await run(['run', '--json'], env);
    expect(second.code).toBe(4);
    const { error } = jsonOf<Refusal>(second);
    expect(error.code).toBe('folder_locked');
    expect(error.message).toContain('Another process is using the embedded database in ');

    const third = start(['run', '--json', '--wait', '60'], env);
    await until('it waits', () => third.stderr().includes('waiting'));
    await platform.control('config', { faults: null });
    first.kill('SIGTERM');
    expect((await first.ended).code).toBe(143);
    const waited = await third.ended;
    expect(waited.code).toBe(0);
    expect(jsonOf(waited).cells).toMatchObject({ planned: 12, loaded: 12 });
    expect(await readStored(place)).toEqual(await readTruth(platform, daysAgo(1), daysAgo(1)));
  } finally {
    await place.remove();
  }
});
