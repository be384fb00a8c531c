import { expect, it } from 'vitest';
import { readDuePages } from '../../src/export/find.ts';
import { Refusals } from '../../src/export/refusals.ts';
import { DAY_MS } from '../../src/usage/day.ts';
import { POLICY } from '../usage/cells.ts';
import { openStage, type Stage } from './stage.ts';

/** 101 organizations with five days due, two of them older than a week: two pages of each age. */
async function openDue(): Promise<Stage> {
  const stage = await openStage({ orgs: 101 });
  await stage.platform.control('config', {
    faults: { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true },
  });
  const setting = { streams: ['device_counts'] };
  await stage.run({ kind: 'backfill', range: { from: '2026-11-15', to: '2026-11-19' } }, setting);
  return stage;
}

const WAKE_UP_MS = 900_000;

// Promise (Runs): A long backfill never delays yesterday.
it('reads the last week of all organizations first, then older days, and ends', async () => {
  expect(await readAll(await openDue(), {})).toEqual([
    'young 1-100',
    'young 101',
    'older 1-100',
    'older 101',
  ]);
});

it('begins with the last week again when a wake-up has passed, and goes on with older days where it was', async () => {
  const pages = await readAll(await openDue(), { 3: WAKE_UP_MS });
  expect(pages).toEqual(['young 1-100', 'young 101', 'older 1-100', 'young 1-100', 'young 101', 'older 101']);
});

it('discovers and fills again when a day has ended, before its next page', async () => {
  const pages = await readAll(await openDue(), { 1: DAY_MS });
  expect(pages).toEqual(['young 1-100', 'new day', 'young 1-100', 'young 101', 'older 1-100', 'older 101']);
});

/** Returns the pages, by the place of their organizations; the clock moves on after some of them. */
async function readAll(stage: Stage, steps: Readonly<Record<number, number>>): Promise<string[]> {
  const { db, instanceId } = stage.context();
  const ids = stage.orgIds.toSorted();
  const seen: string[] = [];
  let nowMs = stage.now();
  const seeking = {
    scope: { instanceId, orgIds: null, streams: null, range: null },
    nextPassMs: () => nowMs + WAKE_UP_MS,
    whenLoaded: async () => {},
    onNewDay: async () => void seen.push('new day'),
  };
  let pages = 0;
  for await (const cells of readDuePages({ db, now: () => nowMs, policy: POLICY }, seeking, new Refusals())) {
    const places = cells.map(({ orgId }) => ids.indexOf(orgId) + 1);
    const [first, last] = [Math.min(...places), Math.max(...places)];
    const isYoung = cells.every(({ day }) => day >= '2026-11-17');
    seen.push(`${isYoung ? 'young' : 'older'} ${first === last ? first : `${first}-${last}`}`);
    pages += 1;
    nowMs += steps[pages] ?? 0;
  }
  return seen;
}
