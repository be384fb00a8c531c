/** Which cells are due, and what sets the time of their next read. */
import { RawNode, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import {
  applyPolicy,
  countDueCells,
  type DueCursor,
  type DueScope,
  hasGaps,
  readDuePage,
  retryFailedCells,
} from '../../src/ledger/due.ts';
import type { InstanceLedger, LedgerWriter } from '../../src/ledger/lease.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { devices, failed, minutes, omitted, POLICY, refused, report } from '../usage/cells.ts';
import { cellResponse, deviceResponse, deviceResponseAt, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];
const BOTH = ['device_counts', 'notebook_minutes'];
const ALL: DueScope = { orgIds: null, streams: null, range: null };

const setNext = (orgId: string, day: string, next: string | null) =>
  ledger.asProgram(sql`update losant_usage.coverage set next_read_at = ${next}
    where org_id = ${orgId} and usage_date = ${day}`);
const ANY_DAY = { from: null, to: null, daysBefore: 0 };
const START: DueCursor = { ...ANY_DAY, afterOrgId: '', sinceMs: null, startMs: null, refusedStreams: [] };
const page = (scope: Partial<DueScope> = {}, cursor: Partial<DueCursor> = {}, changes: Partial<InstanceLedger> = {}) =>
  readDuePage(ledger.writer(changes), { ...ALL, ...scope }, { ...START, ...cursor });
const show = (cells: Awaited<ReturnType<typeof page>>) =>
  cells.map(({ orgId, stream, day }) => `${orgId.slice(-2)} ${day.slice(5)} ${stream}`).sort();

type Db = LedgerWriter['db'];

/** Returns the plan of a statement that `work` executes, as if joins of all rows were better than lookups. */
async function explainAsJoin(text: string, work: (db: Db) => Promise<unknown>): Promise<string> {
  const nodes: RawNode[] = [];
  const withNode = (db: Db, transform: (node: RawNode) => RawNode) =>
    db.withPlugin({
      transformQuery: ({ node }) => (node.kind === 'RawNode' ? transform(node) : node),
      transformResult: async ({ result }) => result,
    });
  await work(
    withNode(ledger.db, (node) => {
      nodes.push(node);
      return node;
    }),
  );
  const node = nodes.find(({ sqlFragments }) => sqlFragments.join('').includes(text));
  const [first = '', ...others] = node?.sqlFragments ?? [];
  const explain = RawNode.create([`explain ${first}`, ...others], node?.parameters ?? []);
  return await ledger.db.transaction().execute(async (trx) => {
    await sql`set local enable_seqscan = off`.execute(trx);
    await sql`set local enable_nestloop = off`.execute(trx);
    const { rows } = await sql`select`.execute(withNode(trx, () => explain));
    return JSON.stringify(rows);
  });
}

test('new cells are looked up by key, even before the planner has statistics', async () => {
  await ledger.createOrg();
  const plan = await explainAsJoin('as expected', async (db) => await ledger.prepare({ db }));
  expect(plan).toContain('(org_id = t.org_id) AND (usage_date = (day.day)::date) AND (stream = t.stream)');
  expect(plan).toContain('(org_id = t_1.org_id) AND (usage_date = ((day_1.day)::date))');
});

describe('a page of due cells', () => {
  test('has exactly the cells whose next read has come', async () => {
    const orgId = await ledger.expectDays({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    await setNext(orgId, '2026-11-21', '2026-11-24T00:15:00.001Z');
    await setNext(orgId, '2026-11-22', '2026-11-24T00:15:00.000Z');
    await setNext(orgId, '2026-11-23', null);
    expect(show(await page())).toEqual([`${orgId.slice(-2)} 11-22 device_counts`]);
  });

  test('is read by organization, even before the planner has statistics', async () => {
    await ledger.expectDays({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    const plan = await explainAsJoin('', async (db) => await page({}, {}, { db }));
    expect(plan.match(/coverage_due/g)).toHaveLength(2);
    expect(plan.match(/Index Cond: \(\(org_id = o(?:_1)?\.org_id\)/g)).toHaveLength(2);
    expect(plan).not.toContain('coverage_pkey');
  });

  test('has only cells of the scope, of the days of the cursor, and of streams that are not rejected', async () => {
    const days = { from: '2026-11-22', to: '2026-11-23' };
    const one = await ledger.expectDays(days, ['device_counts', 'payload_totals']);
    const two = await ledger.expectDays(days, DEVICES);
    const [a, b] = [one.slice(-2), two.slice(-2)];
    const range = { from: '2026-11-22', to: '2026-11-22' };
    const totals = { streams: ['payload_totals'] };
    const rejectedTotals = { refusedStreams: ['payload_totals'] };
    for (const [scope, cursor, expected] of [
      [{ orgIds: [two] }, {}, [`${b} 11-22 device_counts`, `${b} 11-23 device_counts`]],
      [totals, { from: '2026-11-23' }, [`${a} 11-23 payload_totals`]],
      [{ orgIds: [one] }, { ...rejectedTotals, to: '2026-11-22' }, [`${a} 11-22 device_counts`]],
      [{ orgIds: [two], range }, {}, [`${b} 11-22 device_counts`]],
      [{ range }, { from: '2026-11-23' }, []],
    ] as const) {
      expect(show(await page(scope, cursor))).toEqual(expected);
    }
    expect(await page({}, {}, { instanceId: '5c00000000000000000000ff' })).toEqual([]);
    expect(await countDueCells(ledger.writer(), { ...ALL, range })).toBe(3);
  });

  test('has no cells past the horizon, even if their next read has come', async () => {
    const orgId = await ledger.expectDays({ from: '2026-08-25', to: '2026-08-26' }, DEVICES);
    await setNext(orgId, '2026-08-25', '2026-11-24T00:00:00.000Z');
    expect(show(await page())).toEqual([`${orgId.slice(-2)} 08-26 device_counts`]);
  });

  test('with sinceMs has only cells that were set due after that time and after their last read', async () => {
    const orgId = await ledger.expectDays({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    await ledger.load(['2026-11-22', '2026-11-23'].map((day) => cellResponse(orgId, 'device_counts', day, failed)));
    await ledger.setTime('2026-11-24T00:30:00.000Z');
    await setNext(orgId, '2026-11-22', '2026-11-24T00:15:00.000Z');
    await setNext(orgId, '2026-11-23', '2026-11-24T00:20:00.000Z');
    const since = { sinceMs: Date.parse('2026-11-24T00:10:00.000Z') };
    expect(show(await page({}, since))).toEqual([`${orgId.slice(-2)} 11-23 device_counts`]);
    expect(await page({}, { sinceMs: Date.parse('2026-11-24T00:20:00.000Z') })).toEqual([]);
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

  test('keeps retries, and the recheck of an omitted zero after an hour', async () => {
    await ledger.prepare();
    const orgId = await ledger.expectDays({ from: '2026-11-19', to: '2026-11-20' }, BOTH);
    await ledger.load([
      cellResponse(orgId, 'device_counts', '2026-11-20', refused),
      cellResponse(orgId, 'notebook_minutes', '2026-11-20', omitted),
      cellResponse(orgId, 'notebook_minutes', '2026-11-19', report(minutes(1, 1))),
    ]);
    await apply({ ...POLICY, readAtHours: [0, 72, 720] });
    expect((await ledger.cells(orgId)).slice(1)).toEqual([
      '11-19 notebook_minutes final  11-27T00:00',
      '11-20 device_counts missing refused 11-24T02:15',
      '11-20 notebook_minutes stored  11-24T01:15',
    ]);
  });

  test('keeps the least hours after which a read ever made cells final, of which packs speak', async () => {
    await ledger.prepare();
    for (const finalAfterHours of [72, 48, 96]) await apply({ ...POLICY, finalAfterHours });
    const { rows } = await sql`select policy from losant_usage.instances`.execute(ledger.db);
    expect(rows).toEqual([{ policy: { ...POLICY, finalAfterHours: 96, leastFinalAfterHours: 48 } }]);
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
  const hasGapsIn = (scope: Partial<DueScope> = {}, changes: Partial<InstanceLedger> = {}) =>
    hasGaps(ledger.writer(changes), { ...ALL, ...scope });
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
  expect(await hasGapsIn({}, { instanceId: '5c00000000000000000000ff' })).toBe(false);
  await read('notebook_minutes', omitted);
  expect(await hasGapsIn()).toBe(false);
  await read('device_counts', failed, 1);
  expect(await hasGapsIn()).toBe(true);
  await read('device_counts', report(devices(4, 1, 17)), 2);
  expect(await hasGapsIn()).toBe(false);
});
