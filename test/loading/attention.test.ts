import { expect, it } from 'vitest';
import { asOwner } from '../support/databases.ts';
import { createStage, type Stage } from './stage.ts';

const USAGE = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];

const readAge = async ({ query }: Stage) =>
  (await query('select attention_at from losant_usage.instances'))[0]?.['attention_at'];

it('a run that stored something refreshes what needs attention, and one that did not leaves it', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.platform.control('config', { faults: { kinds: ['too_large'], actions: USAGE, forever: true } });
  await stage.run();
  expect(await readAge(stage)).toBeNull();
  await stage.platform.control('config', { faults: null });
  await stage.run({ kind: 'manual' });
  const firstAge = await readAge(stage);
  expect(firstAge).toEqual(expect.anything());
  await stage.moveTo(stage.now() + 60_000);
  await stage.run();
  expect(await readAge(stage)).toEqual(firstAge);
  // A run that only confirmed numbers has stored nothing.
  const { report } = await stage.run({ kind: 'manual', range: { from: '2026-11-23', to: '2026-11-23' } });
  expect(report.cells).toMatchObject({ loaded: 0, unchanged: 8 });
  expect(await readAge(stage)).toEqual(firstAge);
});

it('a refresh that fails does not fail the run, and the next one refreshes', async () => {
  const stage = await createStage({ orgs: 1 });
  const table = 'alter table losant_usage.instances';
  await asOwner(stage.store.url, `${table} add constraint blocked check (attention_at is null)`);
  expect((await stage.run()).report).toMatchObject({ status: 'complete' });
  expect(await readAge(stage)).toBeNull();
  await asOwner(stage.store.url, `${table} drop constraint blocked`);
  await stage.platform.control('restate', { orgId: stage.orgIds[0] ?? '', day: '2026-11-23' });
  await stage.run({ kind: 'manual', range: { from: '2026-11-23', to: '2026-11-23' } });
  expect(await readAge(stage)).toEqual(expect.anything());
});
