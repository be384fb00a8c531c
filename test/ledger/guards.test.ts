/** Numbers and the ledger changed by hand, in SQL: on record and in doubt, or refused with the command that does it properly. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { answer, at, FINAL, missing, row, values } from './answers.ts';
import {
  addTracking,
  coverageOf,
  devicesOf,
  INSTANCE,
  RUN_1,
  RUN_2,
  revisionsOf,
  sourcesOf,
  useLedger,
} from './ledger.ts';

const ledger = useLedger();

const { load } = ledger;
const byHand = (statement: string) => sql.raw(statement).execute(ledger.db);
const source = (name: string, count: number) => ({ key: ['timer', name], values: [count] });

/** An organization with a final device count. */
async function loadedOrg(): Promise<string> {
  const orgId = await ledger.newOrg();
  await load([answer(values(row(4, 1, 17)), { orgId, age: FINAL })]);
  return orgId;
}

/** An organization with sources of a day. */
async function orgWithSources(...counts: readonly [string, number][]): Promise<string> {
  const orgId = await ledger.newOrg();
  const facts = counts.map(([name, count]) => source(name, count));
  await load([answer(values(...facts), { orgId, stream: 'payload_sources' })]);
  return orgId;
}

const sumsOf = (orgId: string) =>
  ledger.ask(sql`select usage_date, payload_source_count as sum from losant_usage.usage_days
      where org_id = ${orgId} order by usage_date`);
const isDue = async (orgId: string) => {
  const due = sql<{ due: boolean }>`select bool_and(next_read_at <= now()) as due
    from losant_usage.coverage where org_id = ${orgId}`;
  return (await due.execute(ledger.db)).rows[0]?.due;
};
const changed = { reason: 'changed_by_hand', run_id: null, verified_at: null, response_sha256: null };

describe('a number that is changed by hand', () => {
  test('is in doubt, on record with nobody’s run and somebody’s name, and read again', async () => {
    const orgId = await loadedOrg();
    await byHand(`update losant_usage.usage_days set devices_total = 18 where org_id = '${orgId}'`);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 18, revision: 2, run_id: null }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'in_doubt', is_reported: false, revision: 2 },
    ]);
    expect(await isDue(orgId)).toBe(true);
    expect(await revisionsOf(ledger.db, orgId)).toEqual([
      {
        stream: 'device_counts',
        usage_date: '2026-11-20',
        revision: 2,
        key: {},
        old: { created: 4, deleted: 1, total: 17 },
        new: { created: 4, deleted: 1, total: 18 },
        run_id: null,
      },
    ]);
    const record = sql`select changed_by = session_user as by_me, was_final,
      changed_at > now() - interval '1 minute' as now from losant_usage.revisions where org_id = ${orgId}`;
    expect(await ledger.ask(record)).toEqual([{ by_me: true, was_final: true, now: true }]);
  });

  test('is restated by the next answer, in the same chain', async () => {
    const orgId = await loadedOrg();
    await byHand(`update losant_usage.usage_days set devices_total = 18 where org_id = '${orgId}'`);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-28T12:00:00.000Z') })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 3, run_id: RUN_2 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'final', is_reported: true, reason: null },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, old: { total: 17 }, new: { total: 18 }, run_id: null },
      { revision: 3, old: { total: 18 }, new: { total: 17 }, run_id: RUN_2 },
    ]);
  });

  test('after it was accepted is accepted no more', async () => {
    const orgId = await loadedOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-11-01,)}' });
    await load([answer(missing, { orgId, sentAtMs: at('2026-11-28T12:00:00.000Z') })]);
    const range = { from: '2026-11-20', to: '2026-11-20' };
    const waiver = { orgId, stream: 'device_counts', range, reason: 'the customer agreed', asZero: false };
    await waiveCells(ledger.db, waiver);
    await byHand(`update losant_usage.usage_days set devices_total = 18 where org_id = '${orgId}'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ ...changed, standing: 'in_doubt' }]);
    const waivers = sql`select lifted_at is not null as lifted from losant_usage.waivers where org_id = ${orgId}`;
    expect(await ledger.ask(waivers)).toEqual([{ lifted: true }]);
  });

  test('in a session that has loaded before is still one by hand', async () => {
    const orgId = await loadedOrg();
    await ledger.db.connection().execute(async (connection) => {
      const later = answer(values(row(5, 1, 18)), { orgId, sentAtMs: at('2026-11-23T12:00:00.000Z') });
      await loadBatch(connection, { answers: [later], quarantined: [] }, { runId: RUN_1, lease: null });
      await sql`update losant_usage.usage_days set devices_total = 99 where org_id = ${orgId}`.execute(
        connection,
      );
    });
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, run_id: RUN_1 },
      { revision: 3, new: { total: 99 }, run_id: null },
    ]);
  });

  test('to the number it has is no change', async () => {
    const orgId = await loadedOrg();
    await byHand(`update losant_usage.usage_days set devices_total = 17 where org_id = '${orgId}'`);
    expect(await revisionsOf(ledger.db, orgId)).toEqual([]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ standing: 'final', revision: 1 }]);
  });
});

describe('a number that is added by hand', () => {
  test('and that nobody asked for is in doubt, on record, and read', async () => {
    const orgId = await ledger.newOrg();
    await byHand(`insert into losant_usage.usage_days
      (usage_date, org_id, devices_created, devices_deleted, devices_total) values ('2026-11-20', '${orgId}', 1, 0, 5)`);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 5, revision: 1, run_id: null }]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 1, old: null, new: { created: 1, deleted: 0, total: 5 }, run_id: null },
    ]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'in_doubt', revision: 1 },
    ]);
    await load([answer(values(row(1, 0, 6)), { orgId })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 6, revision: 2, run_id: RUN_2 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ standing: 'stored', reason: null }]);
  });

  test('as a source of a day that was empty is in doubt with its sum, and taken back by the next answer', async () => {
    const orgId = await orgWithSources();
    await byHand(`insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
      values ('2026-11-20', '${orgId}', 'hand', 'made.up', 5)`);
    expect(await sumsOf(orgId)).toEqual([{ usage_date: '2026-11-20', sum: 5 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'in_doubt', revision: 2 },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { key: { payload_type: 'hand', source: 'made.up' }, old: null, new: { count: 5 }, run_id: null },
      { key: {}, old: { count: 0 }, new: { count: 5 }, run_id: null },
    ]);
    await load([answer(values(source('timer.flow', 2)), { orgId, stream: 'payload_sources' })], RUN_2);
    expect(await sourcesOf(ledger.db, orgId)).toEqual([
      { payload_type: 'timer', source: 'timer.flow', count: 2, revision: 3 },
    ]);
    expect(await sumsOf(orgId)).toEqual([{ usage_date: '2026-11-20', sum: 2 }]);
  });

  test('as a source of a day that was never read is in doubt', async () => {
    const orgId = await ledger.newOrg();
    await byHand(`insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
      values ('2026-11-20', '${orgId}', 'hand', 'made.up', 5)`);
    expect(await sumsOf(orgId)).toEqual([{ usage_date: '2026-11-20', sum: 5 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, stream: 'payload_sources', standing: 'in_doubt', revision: 1 },
    ]);
  });
});

describe('a number that is removed by hand', () => {
  test('is missing, on record, and filled by the next answer', async () => {
    const orgId = await loadedOrg();
    await byHand(`delete from losant_usage.usage_days where org_id = '${orgId}'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'missing', revision: 2 },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, old: { created: 4, deleted: 1, total: 17 }, new: null, run_id: null },
    ]);
    expect(await isDue(orgId)).toBe(true);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-22T11:00:00.000Z') })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 3 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'final', revision: 3, reason: null },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2 },
      { revision: 3, old: null, new: { created: 4, deleted: 1, total: 17 }, run_id: RUN_2 },
    ]);
  });

  test('and that Losant leaves out now is a zero that it never named', async () => {
    const orgId = await orgWithSources(['timer.flow', 7]);
    await byHand(`delete from losant_usage.payload_sources where org_id = '${orgId}'`);
    await load([answer(missing, { orgId, stream: 'payload_sources', age: FINAL })], RUN_2);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'stored', is_reported: false, revision: 3 },
    ]);
  });

  test('as one of several sources leaves the others in doubt', async () => {
    const orgId = await orgWithSources(['timer.flow', 1], ['timer.other', 2]);
    await byHand(
      `delete from losant_usage.payload_sources where org_id = '${orgId}' and source = 'timer.flow'`,
    );
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'in_doubt', revision: 2 },
    ]);
    const both = values(source('timer.flow', 1), source('timer.other', 2));
    await load([answer(both, { orgId, stream: 'payload_sources' })], RUN_2);
    expect(await sourcesOf(ledger.db, orgId)).toMatchObject([
      { source: 'timer.flow', count: 1, revision: 3 },
      { source: 'timer.other', count: 2, revision: 1 },
    ]);
  });

  test('with the whole row of the day takes its sources along: each stream is missing', async () => {
    const orgId = await orgWithSources(['timer.flow', 7]);
    await load([answer(values(row(4, 1, 17)), { orgId })]);
    await byHand(`delete from losant_usage.usage_days where org_id = '${orgId}'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, stream: 'device_counts', standing: 'missing', revision: 2 },
      { ...changed, stream: 'payload_sources', standing: 'missing', revision: 2 },
    ]);
    expect(await sourcesOf(ledger.db, orgId)).toEqual([]);
    // A day that the ledger has keeps its row.
    expect(await sumsOf(orgId)).toEqual([{ usage_date: '2026-11-20', sum: null }]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { stream: 'device_counts', old: { total: 17 }, new: null },
      { stream: 'payload_sources', key: {}, old: { count: 7 }, new: null },
      { stream: 'payload_sources', key: { source: 'timer.flow' }, old: { count: 7 }, new: null },
    ]);
  });

  test('as the row of a day without any source is missing as well', async () => {
    const orgId = await orgWithSources();
    await byHand(`delete from losant_usage.usage_days where org_id = '${orgId}'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'missing', revision: 2 },
    ]);
  });
});

describe('sources that are moved by hand', () => {
  test('to another name are on record as one that went and one that came, with an equal sum', async () => {
    const orgId = await orgWithSources(['timer.flow', 7]);
    await byHand(`update losant_usage.payload_sources set source = 'renamed' where org_id = '${orgId}'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, standing: 'in_doubt', revision: 2 },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, key: { source: 'renamed' }, old: null, new: { count: 7 } },
      { revision: 2, key: { source: 'timer.flow' }, old: { count: 7 }, new: null },
    ]);
    expect(await sumsOf(orgId)).toEqual([{ usage_date: '2026-11-20', sum: 7 }]);
  });

  test.each<[string, [string, number][], object, number | null]>([
    ['its only source is missing, and no zero', [['timer.flow', 5]], { standing: 'missing' }, null],
    [
      'one of two keeps the other, in doubt',
      [
        ['timer.flow', 5],
        ['timer.other', 5],
      ],
      { standing: 'in_doubt' },
      5,
    ],
  ])('to another day: the day that loses %s', async (_, counts, emptied, sum) => {
    const orgId = await orgWithSources(['timer.late', 5]);
    const facts = counts.map(([name, count]) => source(name, count));
    await load([answer(values(...facts), { orgId, day: '2026-11-19', stream: 'payload_sources' })]);
    await byHand(`update losant_usage.payload_sources set usage_date = '2026-11-20'
      where org_id = '${orgId}' and source = 'timer.flow'`);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { ...changed, usage_date: '2026-11-19', revision: 2, ...emptied },
      { ...changed, usage_date: '2026-11-20', revision: 2, standing: 'in_doubt' },
    ]);
    expect(await sumsOf(orgId)).toEqual([
      { usage_date: '2026-11-19', sum },
      { usage_date: '2026-11-20', sum: 10 },
    ]);
    const moved = (await revisionsOf(ledger.db, orgId)).filter(
      (each) => 'key' in each && JSON.stringify(each.key) !== '{}',
    );
    expect(moved).toMatchObject([
      { usage_date: '2026-11-19', old: { count: 5 }, new: null, run_id: null },
      { usage_date: '2026-11-20', old: null, new: { count: 5 }, run_id: null },
    ]);
  });
});

test('a source that is moved by hand has the version of the cell it is in now', async () => {
  const orgId = await orgWithSources(['timer.stays', 5]);
  const load19 = (count: number, sentAt: string) =>
    load([
      answer(values(source('timer.flow', count)), {
        orgId,
        day: '2026-11-19',
        stream: 'payload_sources',
        sentAtMs: at(sentAt),
      }),
    ]);
  await load19(1, '2026-11-23T12:00:00.000Z');
  await load19(2, '2026-11-24T12:00:00.000Z');
  await load19(3, '2026-11-25T12:00:00.000Z');
  expect(await sourcesOf(ledger.db, orgId)).toMatchObject([{ revision: 3 }, { revision: 1 }]);
  await byHand(`update losant_usage.payload_sources set usage_date = '2026-11-20'
    where org_id = '${orgId}' and source = 'timer.flow'`);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ revision: 4 }, { revision: 2 }]);
  expect(await sourcesOf(ledger.db, orgId)).toMatchObject([
    { source: 'timer.flow', count: 3, revision: 2 },
    { source: 'timer.stays', count: 5, revision: 1 },
  ]);
});

describe('refused by hand, with what does it properly', () => {
  const AT_DAY = `where org_id = 'ORG' and usage_date = '2026-11-20'`;
  const ROW = `'2026-11-20', 'device_counts', 'ORG'`;
  test.each([
    [`update losant_usage.coverage set standing = 'final' ${AT_DAY}`, 'backfill --force'],
    [`delete from losant_usage.coverage ${AT_DAY}`, 'losant-usage prune'],
    [`insert into losant_usage.pruned_months values ('${INSTANCE}', '2025-01-01')`, 'losant-usage prune'],
    [
      `insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, reason)
        values (${ROW}, 'unavailable', false, 'x')`,
      'losant-usage waive',
    ],
    [`update losant_usage.tracking set tracked_days = '{}' where org_id = 'ORG'`, 'losant-usage backfill'],
    [`delete from losant_usage.tracking where org_id = 'ORG'`, 'LOSANT_ORG_IDS'],
    [
      `insert into losant_usage.tracking (org_id, stream) values ('ORG', 'payload_totals')`,
      'losant-usage backfill',
    ],
    [
      `insert into losant_usage.waivers (usage_date, stream, org_id, reason) values (${ROW}, 'x')`,
      'losant-usage waive',
    ],
    [`update losant_usage.waivers set waived_by = 'nobody' where org_id = 'ORG'`, 'losant-usage waive'],
    [`delete from losant_usage.waivers where org_id = 'ORG'`, 'losant-usage waive'],
    [`update losant_usage.revisions set old = null where org_id = 'ORG'`, 'only added to'],
    [`delete from losant_usage.revisions where org_id = 'ORG'`, 'only added to'],
    [
      `insert into losant_usage.revisions (usage_date, stream, org_id, revision, key, changed_by, changed_at, was_final)
        values (${ROW}, 2, '{}', 'x', now(), false)`,
      'by itself',
    ],
    [`update losant_usage.statements set closed_by = 'nobody'`, 'losant-usage'],
    [`delete from losant_usage.statement_lines`, 'losant-usage'],
    [
      `update losant_usage.usage_days set usage_date = '2026-11-19' where org_id = 'ORG'`,
      'change the numbers of both days',
    ],
    [
      `update losant_usage.usage_days set payload_source_count = 8 where org_id = 'ORG'`,
      'change the rows of that table',
    ],
  ])('%s', async (statement, hint) => {
    const orgId = await loadedOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-11-01,)}' });
    await load([answer(values(source('timer.flow', 7)), { orgId, stream: 'payload_sources' })]);
    const error: unknown = await byHand(statement.replaceAll('ORG', orgId)).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'P0001', hint: expect.stringContaining(hint) });
  });

  test('truncating any table', async () => {
    const tables = await ledger.ask(
      sql`select tablename from pg_tables where schemaname = 'losant_usage' order by tablename`,
    );
    const names = tables.map((each) => Object.values(each)[0] as string);
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      const error: unknown = await byHand(`truncate losant_usage.${name} cascade`).catch(
        (reason: unknown) => reason,
      );
      expect([name, error]).toMatchObject([name, { code: 'P0001', hint: expect.stringMatching(/\w+ \w+/) }]);
    }
  });
});
