/** What is due: cells whose next read has come. A person, a return and another policy only set that time. */
import { type KyselyPlugin, RawNode, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { isOf } from '../../src/ledger/coverage.ts';
import {
  applyPolicy,
  countDue,
  type DuePlace,
  type DueScope,
  hasGaps,
  readDuePage,
  retryFailed,
} from '../../src/ledger/due.ts';
import type { InstanceLedger } from '../../src/ledger/lease.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { devices, failed, minutes, named, POLICY, refused, silence } from '../usage/cells.ts';
import { answer, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];
const BOTH = ['device_counts', 'notebook_minutes'];
const ALL: DueScope = { orgIds: null, streams: null, range: null };

const setNext = (orgId: string, day: string, next: string | null) =>
  ledger.asProgram(sql`update losant_usage.coverage set next_read_at = ${next}
    where org_id = ${orgId} and usage_date = ${day}`);
const page = async (
  scope: Partial<DueScope> = {},
  options: Partial<DuePlace> = {},
  changes: Partial<InstanceLedger> = {},
) => {
  const place = { afterOrgId: '', sinceMs: null, from: null, to: null, stopped: [], ...options };
  return await readDuePage(ledger.writer(changes), { ...ALL, ...scope }, place);
};
const show = (cells: Awaited<ReturnType<typeof page>>) =>
  cells.map(({ orgId, stream, day }) => `${orgId.slice(-2)} ${day.slice(5)} ${stream}`).sort();
const devicesOf = (orgId: string, day: string) =>
  answer(orgId, 'device_counts', day, named(devices(4, 1, 17)));

describe('a page', () => {
  test('has the cells whose time has come, and no others', async () => {
    const orgId = await ledger.want({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    await setNext(orgId, '2026-11-21', '2026-11-24T00:15:00.001Z');
    await setNext(orgId, '2026-11-22', '2026-11-24T00:15:00.000Z');
    await setNext(orgId, '2026-11-23', null);
    expect(show(await page())).toEqual([`${orgId.slice(-2)} 11-22 device_counts`]);
  });

  test('is found by organization, also before the planner knows how many rows there are', async () => {
    await ledger.want({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    const explains: KyselyPlugin = {
      transformQuery: ({ node }) => {
        if (node.kind !== 'RawNode') return node;
        const { sqlFragments, parameters } = node;
        return RawNode.create([`explain ${sqlFragments[0]}`, ...sqlFragments.slice(1)], parameters);
      },
      transformResult: async ({ result }) => result,
    };
    await ledger.db.transaction().execute(async (trx) => {
      await sql`set local enable_seqscan = off`.execute(trx);
      const plan = JSON.stringify(await page({}, {}, { db: trx.withPlugin(explains) }));
      expect(plan).toContain('coverage_due');
      expect(plan).not.toContain('coverage_pkey');
    });
  });

  test('has only what is in scope, of streams that go on, and of days that were asked for', async () => {
    const days = { from: '2026-11-22', to: '2026-11-23' };
    const one = await ledger.want(days, ['device_counts', 'payload_totals']);
    const two = await ledger.want(days, DEVICES);
    const [a, b] = [one.slice(-2), two.slice(-2)];
    const range = { from: '2026-11-22', to: '2026-11-22' };
    const [totals, stopped] = [{ streams: ['payload_totals'] }, { stopped: ['payload_totals'] }];
    for (const [scope, options, expected] of [
      [{ orgIds: [two] }, {}, [`${b} 11-22 device_counts`, `${b} 11-23 device_counts`]],
      [totals, { from: '2026-11-23' }, [`${a} 11-23 payload_totals`]],
      [{ orgIds: [one] }, { ...stopped, to: '2026-11-22' }, [`${a} 11-22 device_counts`]],
      [{ orgIds: [two], range }, {}, [`${b} 11-22 device_counts`]],
      [{ range }, { from: '2026-11-23' }, []],
    ] as const) {
      expect(show(await page(scope, options))).toEqual(expected);
    }
    expect(await page({}, {}, { instanceId: '5c00000000000000000000ff' })).toEqual([]);
    expect(await countDue(ledger.writer(), { ...ALL, range })).toBe(3);
  });

  test('has nothing past the horizon, even if it was set due', async () => {
    const orgId = await ledger.want({ from: '2026-08-25', to: '2026-08-26' }, DEVICES);
    await setNext(orgId, '2026-08-25', '2026-11-24T00:00:00.000Z');
    expect(show(await page())).toEqual([`${orgId.slice(-2)} 08-26 device_counts`]);
  });

  test('of what was set due since has what was set after that time and after it was asked for', async () => {
    const orgId = await ledger.want({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    await ledger.load([
      answer(orgId, 'device_counts', '2026-11-22', failed),
      answer(orgId, 'device_counts', '2026-11-23', failed),
    ]);
    await ledger.setTime('2026-11-24T00:30:00.000Z');
    await setNext(orgId, '2026-11-22', '2026-11-24T00:15:00.000Z');
    await setNext(orgId, '2026-11-23', '2026-11-24T00:20:00.000Z');
    const since = { sinceMs: Date.parse('2026-11-24T00:10:00.000Z') };
    expect(show(await page({}, since))).toEqual([`${orgId.slice(-2)} 11-23 device_counts`]);
    expect(await page({}, { sinceMs: Date.parse('2026-11-24T00:20:00.000Z') })).toEqual([]);
  });

  test('is of 100 organizations that have something due, in the order of their ids', async () => {
    await ledger.newOrgs(230);
    await ledger.prepare({ streams: DEVICES });
    await ledger.asProgram(
      sql`update losant_usage.coverage set next_read_at = '2026-12-01' where org_id like '%1'`,
    );
    const pages: string[][] = [[]];
    do {
      const cells = await page({}, { afterOrgId: pages.at(-1)?.at(-1) ?? '' });
      pages.push([...new Set(cells.map(({ orgId }) => orgId))]);
    } while (pages.at(-1)?.length);
    expect(pages.map(({ length }) => length)).toEqual([0, 100, 100, 7, 0]);
    expect(pages.flat()).toEqual([...new Set(pages.flat())].toSorted());
  });
});

test('a run by hand reads again at once what failed, in its scope and inside the horizon', async () => {
  const orgId = await ledger.want({ from: '2026-11-22', to: '2026-11-23' }, BOTH);
  const other = await ledger.want({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await ledger.load([
    answer(orgId, 'device_counts', '2026-11-22', refused),
    answer(orgId, 'notebook_minutes', '2026-11-22', refused),
    devicesOf(orgId, '2026-11-23'),
    answer(other, 'device_counts', '2026-11-23', refused),
  ]);
  await ledger.setTime('2026-11-24T01:00:00.000Z');
  const scope = { ...ALL, orgIds: [orgId], streams: DEVICES };
  await retryFailed(ledger.writer(), scope);
  expect(await ledger.cells(orgId)).toEqual([
    '11-22 device_counts missing refused 11-24T01:00',
    '11-22 notebook_minutes missing refused 11-24T02:15',
    '11-23 device_counts stored  11-24T06:00',
    '11-23 notebook_minutes waiting never_read 11-24T00:00',
  ]);
  expect(await ledger.cells(other)).toEqual(['11-23 device_counts missing refused 11-24T02:15']);
});

test('cells of organizations are found by way of their days', async () => {
  const isTheirs = isOf(['5d00000000000000000000a1', '5d00000000000000000000a2'], {
    from: '2026-08-26',
    to: '2026-11-23',
  });
  await ledger.db.transaction().execute(async (trx) => {
    await sql`set local enable_seqscan = off`.execute(trx);
    const { rows } = await sql`explain select from losant_usage.coverage c where ${isTheirs}`.execute(trx);
    const plan = JSON.stringify(rows);
    expect(plan).toContain('(usage_date = d.usage_date) AND (org_id = d.org_id)');
    expect(plan.match(/usage_date >= /g)).toHaveLength(1);
  });
});

describe('another policy sets the next reads inside the horizon anew', () => {
  const apply = (policy: Policy) => applyPolicy(ledger.writer({ policy }));
  const nextOf = async (orgId: string) => (await ledger.cells(orgId)).map((cell) => cell.split(' ').at(-1));

  test.each<[string, Partial<Policy>, string[]]>([
    ['the same one changes nothing', {}, ['closed', '11-28T00:00', '11-26T00:00', '11-24T00:00']],
    [
      'a new checkpoint ahead is for final cells too',
      { readAtHours: [0, 120, 600] },
      ['12-14T00:00', '11-26T00:00', '11-26T00:00', '11-24T00:00'],
    ],
    [
      'where none is ahead, final cells stay as they are',
      { readAtHours: [0, 6, 40], finalAtHours: 40 },
      ['closed', '11-28T00:00', '11-24T16:00', '11-24T00:00'],
    ],
  ])('%s', async (_, changes, expected) => {
    await ledger.prepare();
    const orgId = await ledger.want({ from: '2026-11-18', to: '2026-11-23' }, DEVICES);
    const sentAt = {
      '2026-11-18': '2026-11-26T00:15:00.000Z',
      '2026-11-20': '2026-11-24T00:15:00.000Z',
      '2026-11-22': '2026-11-23T06:15:00.000Z',
    };
    await ledger.load(
      Object.entries(sentAt).map(([day, at]) => ({ ...devicesOf(orgId, day), sentAtMs: Date.parse(at) })),
    );
    await setNext(orgId, '2026-11-18', null);
    await setNext(orgId, '2026-11-22', '2026-11-26T00:00:00Z');
    await apply({ ...POLICY, ...changes });
    const next = await nextOf(orgId);
    expect([next[0], next[2], next[4], next[5]]).toEqual(expected);
  });

  test('keeps retries, and the hour after which a zero that nobody named is asked for again', async () => {
    await ledger.prepare();
    const orgId = await ledger.want({ from: '2026-11-19', to: '2026-11-20' }, BOTH);
    await ledger.load([
      answer(orgId, 'device_counts', '2026-11-20', refused),
      answer(orgId, 'notebook_minutes', '2026-11-20', silence),
      answer(orgId, 'notebook_minutes', '2026-11-19', named(minutes(1, 1))),
    ]);
    await apply({ ...POLICY, readAtHours: [0, 72, 720] });
    expect((await ledger.cells(orgId)).slice(1)).toEqual([
      '11-19 notebook_minutes final  11-27T00:00',
      '11-20 device_counts missing refused 11-24T02:15',
      '11-20 notebook_minutes stored  11-24T01:15',
    ]);
  });

  test('opens what a higher horizon can read, and closes what a lower one cannot', async () => {
    await ledger.setTime('2026-08-23T00:15:00.000Z');
    await ledger.prepare({ streams: [] });
    const orgId = await ledger.want({ from: '2026-08-20', to: '2026-08-21' }, DEVICES);
    await ledger.load([answer(orgId, 'device_counts', '2026-08-21', failed)]);
    await ledger.setTime('2026-11-24T00:15:00.000Z');
    await ledger.prepare({ streams: [] });
    expect(await ledger.cells(orgId)).toEqual([
      '08-20 device_counts unavailable past_horizon closed',
      '08-21 device_counts unavailable past_horizon closed',
    ]);
    await ledger.prepare({ streams: [], policy: { ...POLICY, horizonDays: 400 } });
    const due = sql`select standing, next_read_at <= now() as due from losant_usage.coverage where org_id = ${orgId}`;
    expect(await ledger.list(due, ledger.db)).toEqual(['unavailable true', 'unavailable true']);
    await ledger.load([devicesOf(orgId, '2026-08-20')], { policy: { ...POLICY, horizonDays: 400 } });
    await ledger.prepare({ streams: [], policy: { ...POLICY, horizonDays: 60 } });
    expect(await ledger.cells(orgId)).toEqual([
      '08-20 device_counts final  closed',
      '08-21 device_counts unavailable past_horizon closed',
    ]);
  });
});

test('a command that named days answers for gaps in its scope, and for numbers whose newest read failed', async () => {
  await ledger.setTime('2026-11-24T12:00:00.000Z');
  const orgId = await ledger.want({ from: '2026-11-22', to: '2026-11-22' }, BOTH);
  const read = (stream: string, verdict: Verdict, seconds = 0) =>
    ledger.load([
      { ...answer(orgId, stream, '2026-11-22', verdict), sentAtMs: ledger.nowMs + seconds * 1_000 },
    ]);
  const has = (scope: Partial<DueScope> = {}, changes: Partial<InstanceLedger> = {}) =>
    hasGaps(ledger.writer(changes), { ...ALL, ...scope });
  await read('device_counts', named(devices(4, 1, 17)));
  for (const [scope, expected] of [
    [{}, true],
    [{ streams: ['notebook_minutes'], orgIds: [orgId] }, true],
    [{ range: { from: '2026-11-22', to: '2026-11-23' } }, true],
    [{ streams: DEVICES }, false],
    [{ orgIds: ['f'.repeat(24)] }, false],
    [{ range: { from: '2026-11-23', to: '2026-11-23' } }, false],
  ] as const) {
    expect(await has(scope)).toBe(expected);
  }
  expect(await has({}, { instanceId: '5c00000000000000000000ff' })).toBe(false);
  await read('notebook_minutes', silence);
  expect(await has()).toBe(false);
  await read('device_counts', failed, 1);
  expect(await has()).toBe(true);
  await read('device_counts', named(devices(4, 1, 17)), 2);
  expect(await has()).toBe(false);
});
