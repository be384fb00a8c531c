import { expect, it } from 'vitest';
import { readDuePages } from '../../src/export/pipeline.ts';
import { Refusals } from '../../src/export/refusals.ts';
import { DAY_MS, dayAt } from '../../src/usage/day.ts';
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

it('ends its pass when a day has ended, before its next page, and begins anew', async () => {
  const pages = await readAll(await openDue(), { 1: DAY_MS });
  expect(pages).toEqual(['young 1-100', 'new day', 'young 1-100', 'young 101', 'older 1-100', 'older 101']);
});

/** Returns the pages of all passes, by the place of their organizations; the clock moves on after some of them. */
async function readAll(stage: Stage, steps: Readonly<Record<number, number>>): Promise<string[]> {
  const { db, instanceId } = stage.context();
  const ids = stage.orgIds.toSorted();
  const seen: string[] = [];
  let nowMs = stage.now();
  const scope = { instanceId, orgIds: null, streams: null, range: null };
  const begin = { scope, endMs: 0, sinceMs: null, olderAfter: '', isAtEnd: false, hasFound: false };
  const pass = { ...begin, refusals: new Refusals() };
  for (let [pages, today] = [0, dayAt(nowMs)]; !pass.isAtEnd; ) {
    pass.endMs = nowMs + WAKE_UP_MS;
    for await (const cells of readDuePages({ db, now: () => nowMs, policy: POLICY }, pass)) {
      const places = cells.map(({ orgId }) => ids.indexOf(orgId) + 1);
      const [first, last] = [Math.min(...places), Math.max(...places)];
      const isYoung = cells.every(({ day }) => day >= '2026-11-17');
      seen.push(`${isYoung ? 'young' : 'older'} ${first === last ? first : `${first}-${last}`}`);
      pages += 1;
      nowMs += steps[pages] ?? 0;
    }
    if (dayAt(nowMs) !== today) seen.push('new day');
    today = dayAt(nowMs);
  }
  return seen;
}
