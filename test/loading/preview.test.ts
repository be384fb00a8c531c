/** The preview of a run, which has what the run then reads. */
import { expect, it } from 'vitest';
import type { RunOptions } from '../../src/loading/context.ts';
import { previewRun } from '../../src/loading/preview.ts';
import { createStage } from './stage.ts';

const LATEST = { from: '2026-11-23', to: '2026-11-23' };
const OPTIONS = { orgIds: null, streams: null, force: false, signal: new AbortController().signal };

it('the preview of a backfill has its range, and the days between that the next runs read', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const early = { kind: 'backfill', range: { from: '2026-11-10', to: '2026-11-12' } } as const;
  const preview = await previewRun(stage.context(), { ...OPTIONS, ...early });
  expect(preview).toMatchObject({ ...early.range, cells: 4 * 3, requests: 1 + 1 + 3 + 3 });
  expect(preview.between).toMatchObject({ from: '2026-11-13', to: '2026-11-22', cells: 4 * 10, requests: 15 });
  expect((await stage.run(early)).report).toMatchObject({ ...early.range, cells: { planned: 4 * 3 } });
  // Wholly past the horizon.
  const past = { kind: 'backfill', range: { from: '2026-01-10', to: '2026-01-12' } } as const;
  expect(await previewRun(stage.context(), { ...OPTIONS, ...past })).toMatchObject({ cells: 0 });
});

it.for([
  { kind: 'manual', range: null },
  { kind: 'manual', range: LATEST },
  { kind: 'manual', range: null, streams: ['device_counts', 'payload_hours'] },
  { kind: 'backfill', range: { from: '2026-11-20', to: '2026-11-22' } },
  { kind: 'backfill', range: { from: '2026-01-10', to: '2026-01-12' } },
] as const)('the preview of a first run has what the run reads: %j', async (options) => {
  const stage = await createStage({ orgs: 1 });
  const { from, to, orgs, cells } = await previewRun(stage.context(), { ...OPTIONS, ...options });
  const { report } = await stage.run(options);
  expect([report.from, report.to, report.orgs, report.cells.planned]).toEqual([from, to, orgs, cells]);
});

it('the preview of a first run has configured organizations only', async () => {
  const stage = await createStage({ orgs: 3 });
  const context = stage.context({ selection: stage.orgIds.slice(1) });
  expect(await previewRun(context, { ...OPTIONS, kind: 'manual', range: null })).toMatchObject({ orgs: 2, cells: 8 });
});

it('the preview of a first run of a day that is not expected has no cells', async () => {
  const stage = await createStage({ orgs: 1 });
  const range = { from: '2026-11-10', to: '2026-11-10' };
  expect(await previewRun(stage.context(), { ...OPTIONS, kind: 'manual', range })).toMatchObject({ cells: 0 });
});

it('names what was never tracked', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const unknownId = 'a'.repeat(24);
  const options = { kind: 'backfill', range: LATEST, orgIds: [...stage.orgIds, unknownId] } as const;
  const { untracked } = await previewRun(stage.context(), { ...OPTIONS, ...options, streams: ['device_counts'] });
  expect(untracked).toEqual([{ orgId: unknownId, stream: 'device_counts' }]);
});

type LaterRun = Pick<RunOptions, 'kind'> & Partial<RunOptions> & { readonly orgs?: readonly number[] };

/** In this order, each has something to read. */
const LATER_RUNS: readonly LaterRun[] = [
  { kind: 'manual', orgs: [1, 2], streams: ['device_counts', 'payload_totals'] },
  { kind: 'manual', range: LATEST, streams: ['payload_sources'] },
  { kind: 'backfill', range: { from: '2026-11-20', to: '2026-11-21' }, orgs: [0, 2], streams: ['notebook_minutes'] },
  { kind: 'manual' },
  { kind: 'backfill', range: { from: '2026-11-22', to: '2026-11-24' }, force: true },
];

it('the preview of a later run has what the run reads', async () => {
  const stage = await createStage({ orgs: 3 });
  await stage.run();
  await stage.moveTo('2026-11-25T12:00:00.000Z');
  // Those of one organization have failed; those of the others are due.
  const faults = { kinds: ['too_large'], actions: ['deviceCounts'], forever: true };
  await stage.platform.control('config', { faults });
  await stage.run({ orgIds: stage.orgIds.slice(0, 1) });
  await stage.platform.control('config', { faults: null });
  for (const { orgs, ...changes } of LATER_RUNS) {
    const orgIds = orgs?.map((at) => stage.orgIds[at] as string) ?? null;
    const options = { ...OPTIONS, range: null, ...changes, orgIds };
    const { from, to, orgs: count, cells } = await previewRun(stage.context(), options);
    const { report } = await stage.run(options);
    const read = { from: report.from, to: report.to, orgs: report.orgs, cells: report.cells.planned };
    expect({ ...changes, read }).toEqual({ ...changes, read: { from, to, orgs: count, cells } });
    expect(cells).toBeGreaterThan(0);
  }
});
