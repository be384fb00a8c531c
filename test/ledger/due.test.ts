/** Which cells are due, and what sets the time of their next read. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import {
  applyPolicy,
  countDueCells,
  type DueFilter,
  type DueScope,
  hasGaps,
  readDueDays,
  readDuePage,
  retryFailedCells,
} from '../../src/ledger/due.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { devices, failed, omitted, POLICY, refused, report } from '../usage/cells.ts';
import { cellResponse, deviceResponse, deviceResponseAt, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];
const BOTH = ['device_counts', 'notebook_minutes'];
const ALL: DueScope = { orgIds: null, streams: null, range: null };
const NOTHING: DueFilter = { startMs: null, excludedStreams: [], excludedOrgIds: [] };

const setNext = (orgId: string, day: string, next: string | null) =>
  ledger.write(sql`update losant_usage.coverage set next_read_at = ${next}
    where org_id = ${orgId} and usage_date = ${day}`);
const days = (scope: Partial<DueScope> = {}, filter: Partial<DueFilter> = {}) =>
  readDueDays(ledger.writer(), { ...ALL, ...scope }, { ...NOTHING, ...filter });
const page = (day: string, scope: Partial<DueScope> = {}, filter: Partial<DueFilter> = {}, afterOrgId = '') =>
  readDuePage(ledger.writer(), { ...ALL, ...scope }, { ...NOTHING, ...filter }, { day, afterOrgId });
const show = (cells: Awaited<ReturnType<typeof page>>) =>
  cells.map(({ orgId, stream, day }) => `${orgId.slice(-2)} ${day.slice(5)} ${stream}`).sort();

describe('what is due', () => {
  test('is every cell whose next read has come, by day, newest first', async () => {
    const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, DEVICES);
    await setNext(orgId, '2026-11-20', '2026-11-24T00:00:00.000Z');
    await setNext(orgId, '2026-11-21', '2026-11-24T00:15:00.001Z');
    await setNext(orgId, '2026-11-22', '2026-11-24T00:15:00.000Z');
    await setNext(orgId, '2026-11-23', null);
    expect(await days()).toEqual(['2026-11-22', '2026-11-20']);
    expect(await page('2026-11-23')).toEqual([]);
  });

  test('comes by organization, with the days before that fit into the same request', async () => {
    const one = await ledger.expectDays({ from: '2026-10-20', to: '2026-11-23' }, DEVICES);
    const two = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-22' }, DEVICES);
    const cells = await page('2026-11-23');
    expect([cells.length, cells.map(({ day }) => day).toSorted()[0]]).toEqual([31, '2026-10-24']);
    expect(show(await page('2026-11-22', {}, {}, one))).toEqual([`${two.slice(-2)} 11-22 device_counts`]);
    expect(await page('2026-11-22', {}, {}, two)).toEqual([]);
  });

  test('is only in the scope, and not of streams or organizations that the run excludes', async () => {
    const range = { from: '2026-11-22', to: '2026-11-23' };
    const one = await ledger.expectDays(range, ['device_counts', 'payload_totals']);
    const two = await ledger.expectDays(range, DEVICES);
    const [a, b] = [one.slice(-2), two.slice(-2)];
    const first = { range: { from: '2026-11-22', to: '2026-11-22' } };
    for (const [scope, filter, expected] of [
      [{ orgIds: [two], ...first }, {}, [`${b} 11-22 device_counts`]],
      [{ streams: ['payload_totals'], ...first }, {}, [`${a} 11-22 payload_totals`]],
      [{ orgIds: [one], ...first }, { excludedStreams: ['payload_totals'] }, [`${a} 11-22 device_counts`]],
      [first, { excludedOrgIds: [one] }, [`${b} 11-22 device_counts`]],
    ] as const) {
      expect(await days(scope, filter)).toEqual(['2026-11-22']);
      expect(show(await page('2026-11-22', scope, filter))).toEqual(expected);
    }
    expect(await countDueCells(ledger.writer(), { ...ALL, ...first })).toBe(3);
  });

  test('is not past the horizon, and not what the run has attempted', async () => {
    const orgId = await ledger.expectDays({ from: '2026-08-25', to: '2026-08-26' }, DEVICES);
    await setNext(orgId, '2026-08-25', '2026-11-24T00:00:00.000Z');
    expect(await days()).toEqual(['2026-08-26']);
    const startMs = ledger.nowMs;
    await ledger.load([cellResponse(orgId, 'device_counts', '2026-08-26', failed)]);
    await setNext(orgId, '2026-08-26', '2026-11-24T00:00:00.000Z');
    expect(await days({}, { startMs })).toEqual([]);
    expect(await days({}, { startMs: startMs + 1 })).toEqual(['2026-08-26']);
  });
});

test('a manual run makes failed cells due at once, in its scope and inside the horizon', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, BOTH);
  const other = await ledger.expectDays({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await ledger.load([
    cellResponse(orgId, 'device_counts', '2026-11-22', refused),
    cellResponse(orgId, 'notebook_minutes', '2026-11-22', refused),
    deviceResponse(orgId, '2026-11-23'),
    cellResponse(other, 'device_counts', '2026-11-23', refused),
  ]);
  await ledger.setTime('2026-11-24T01:00:00.000Z');
  const scope = { ...ALL, orgIds: [orgId], streams: DEVICES };
  await retryFailedCells(ledger.writer(), scope);
  expect(await ledger.cells(orgId)).toEqual([
    '11-22 device_counts missing refused 11-24T01:00',
    '11-22 notebook_minutes missing refused 11-24T02:15',
    '11-23 device_counts stored  11-24T06:00',
    '11-23 notebook_minutes waiting never_read 11-24T00:00',
  ]);
  expect(await ledger.cells(other)).toEqual(['11-23 device_counts missing refused 11-24T02:15']);
});

describe('a changed policy reschedules the cells inside the horizon', () => {
  const apply = (policy: Policy) => applyPolicy(ledger.writer({ policy }));
  const nextOf = async (orgId: string) => (await ledger.cells(orgId)).map((cell) => cell.split(' ').at(-1));

  test.each<[string, Partial<Policy>, string[]]>([
    ['an equal policy changes nothing', {}, ['never', '11-28T00:00', '11-26T00:00', '11-24T00:00']],
    [
      'a new checkpoint ahead applies to final cells too',
      { readAtHours: [0, 120, 600] },
      ['12-14T00:00', '11-26T00:00', '11-26T00:00', '11-24T00:00'],
    ],
    [
      'final cells without a checkpoint ahead do not change',
      { readAtHours: [0, 6, 40], finalAfterHours: 40 },
      ['never', '11-28T00:00', '11-24T16:00', '11-24T00:00'],
    ],
  ])('%s', async (_, changes, expected) => {
    await ledger.prepare();
    const orgId = await ledger.expectDays({ from: '2026-11-18', to: '2026-11-23' }, DEVICES);
    await ledger.load([
      deviceResponseAt(orgId, '2026-11-18', '2026-11-26T00:15:00.000Z'),
      deviceResponseAt(orgId, '2026-11-20', '2026-11-24T00:15:00.000Z'),
      deviceResponseAt(orgId, '2026-11-22', '2026-11-23T06:15:00.000Z'),
    ]);
    await setNext(orgId, '2026-11-18', null);
    await setNext(orgId, '2026-11-22', '2026-11-26T00:00:00Z');
    await apply({ ...POLICY, ...changes });
    const next = await nextOf(orgId);
    expect([next[0], next[2], next[4], next[5]]).toEqual(expected);
  });

  test('a longer horizon makes failed cells due again, and a shorter one makes cells unavailable', async () => {
    await ledger.setTime('2026-08-23T00:15:00.000Z');
    await ledger.prepare({ streams: [] });
    const orgId = await ledger.expectDays({ from: '2026-08-20', to: '2026-08-21' }, DEVICES);
    await ledger.load([cellResponse(orgId, 'device_counts', '2026-08-21', failed)]);
    await ledger.setTime('2026-11-24T00:15:00.000Z');
    await ledger.prepare({ streams: [] });
    expect(await ledger.cells(orgId)).toEqual([
      '08-20 device_counts unavailable past_horizon never',
      '08-21 device_counts unavailable past_horizon never',
    ]);
    await ledger.prepare({ streams: [], policy: { ...POLICY, horizonDays: 400 } });
    const due = sql`select standing, next_read_at <= now() as due from losant_usage.coverage where org_id = ${orgId}`;
    expect(await ledger.listAsWriter(due)).toEqual(['unavailable true', 'unavailable true']);
    await ledger.load([deviceResponse(orgId, '2026-08-20')], { policy: { ...POLICY, horizonDays: 400 } });
    await ledger.prepare({ streams: [], policy: { ...POLICY, horizonDays: 60 } });
    expect(await ledger.cells(orgId)).toEqual([
      '08-20 device_counts final  never',
      '08-21 device_counts unavailable past_horizon never',
    ]);
  });
});

test('a scope has gaps if a cell in it is a gap, or is stored and its last read failed', async () => {
  await ledger.setTime('2026-11-24T12:00:00.000Z');
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-22' }, BOTH);
  const read = (stream: string, verdict: Verdict, seconds = 0) =>
    ledger.load([{ ...cellResponse(orgId, stream, '2026-11-22', verdict), sentAtMs: ledger.nowMs + seconds * 1_000 }]);
  const hasGapsIn = (scope: Partial<DueScope> = {}) => hasGaps(ledger.writer(), { ...ALL, ...scope });
  await read('device_counts', report(devices(4, 1, 17)));
  for (const [scope, expected] of [
    [{}, true],
    [{ streams: ['notebook_minutes'], orgIds: [orgId] }, true],
    [{ range: { from: '2026-11-22', to: '2026-11-23' } }, true],
    [{ streams: DEVICES }, false],
    [{ orgIds: ['f'.repeat(24)] }, false],
    [{ range: { from: '2026-11-23', to: '2026-11-23' } }, false],
  ] as const) {
    expect(await hasGapsIn(scope)).toBe(expected);
  }
  await read('notebook_minutes', omitted);
  expect(await hasGapsIn()).toBe(false);
  await read('device_counts', failed, 1);
  expect(await hasGapsIn()).toBe(true);
  await read('device_counts', report(devices(4, 1, 17)), 2);
  expect(await hasGapsIn()).toBe(false);
});
