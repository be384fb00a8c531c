/** What changes after a month was closed, and its proof pack. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { readStatements } from '../../src/billing/month.ts';
import { placePacks, writePacks } from '../../src/billing/pack-folder.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { answer, FINAL, values } from '../database/answers.ts';
import { findUndeclaredNulls } from '../support/declared-nulls.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { devices, trackedOrg } from '../views/loads.ts';
import { SIGNAL, useBooks, whyNot } from './books.ts';

/** A row of the view: who, what, then, now, the difference, and why. */
const row = (
  ...[org_id, metric, then_quantity, now_quantity, difference, cause]: readonly [
    ...ids: [string, string],
    ...numbers: [number, number, number | null],
    cause: string,
  ]
) => ({ org_id, metric, then_quantity, now_quantity, difference, cause });

const books = useBooks();

describe('what changes after the closing', () => {
  test('is an adjustment with its cause, settled once, and sums lead to the numbers of now', async () => {
    const [restated, byHand, late] = [
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }),
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }),
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }, { without: ['2026-05-12'] }),
    ];
    await books.closeMonth('2026-05', { reason: 'one day is late' });
    expect(await books.adjustmentsOf('2026-05')).toEqual([]);
    // What is missing blocks an adjustment as it did the closing.
    expect(whyNot(await books.closeMonth('2026-05', { isAdjustment: true }))).toEqual([
      '1 day missing (device_counts)',
    ]);

    await books.ledger.load([
      { ...devices(restated, '2026-05-11', 9, 1, 17), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
      devices(late, '2026-05-12', 4, 1, 20),
    ]);
    await books.ledger.ask(sql`update losant_usage.usage_days set devices_total = 5
      where org_id = ${byHand} and usage_date = '2026-05-12'`);
    expect(await books.adjustmentsOf('2026-05')).toEqual([
      row(restated, 'devices_created', 12, 17, 5, 'restated'),
      // What was typed in is in doubt: it is no difference that anybody can bill.
      row(byHand, 'devices_total', 17, 5, null, 'changed_by_hand'),
      row(late, 'devices_created', 8, 12, 4, 'loaded_later'),
      row(late, 'devices_deleted', 2, 3, 1, 'loaded_later'),
      row(late, 'devices_total', 17, 20, 3, 'loaded_later'),
    ]);
    const refused = await books.closeMonth('2026-05', { isAdjustment: true });
    expect([refused.kind, whyNot(refused)]).toEqual(['refused', ['1 day changed by hand (device_counts)']]);
    expect(
      await books.closeMonth('2026-05', { isAdjustment: true, reason: 'the hand is looked into' }),
    ).toMatchObject({
      kind: 'closed',
      statement: { kind: 'adjustment', number: 2, orgs: 2, reason: 'the hand is looked into' },
      bills: [{ orgId: restated }, { orgId: late, quantities: { devices_created: '4', devices_total: '3' } }],
    });
    expect(await books.adjustmentsOf('2026-05')).toEqual([
      row(byHand, 'devices_total', 17, 5, null, 'changed_by_hand'),
    ]);
    await waiveCells(books.ledger.db, {
      ...{ orgId: byHand, stream: 'device_counts', range: { from: '2026-05-12', to: '2026-05-12' } },
      ...{ reason: 'counted by hand', asZero: false },
    });
    const dryRun = await runProgram(['close', '--period', '2026-05', '--adjust', '--dry-run'], {
      DATABASE_URL: books.ledger.url,
    });
    expect(dryRun.stdout).toMatch(new RegExp(`${byHand} .* -12 .* 1 accepted, 1 typed in +not compared`));
    expect(dryRun.stdout).toContain(
      'did not name: 0; with accepted days: 1; with numbers typed in by hand: 1; ',
    );
    expect(await books.closeMonth('2026-05', { isAdjustment: true })).toMatchObject({
      kind: 'closed',
      statement: { kind: 'adjustment', number: 3, orgs: 1, reason: null },
      bills: [{ orgId: byHand, quantities: { devices_total: '-12' }, daysAccepted: 1, daysByHand: 1 }],
    });
    expect(await books.adjustmentsOf('2026-05')).toEqual([]);
    expect(await books.closeMonth('2026-05', { isAdjustment: true })).toEqual({ kind: 'unchanged' });
    expect(
      await books.ask(sql`select l.org_id, l.metric, sum(l.quantity)::bigint as sum
        from losant_usage.statement_lines l where l.period_start = '2026-05-01' and l.org_id = ${late}
        group by 1, 2 order by 2`),
    ).toEqual([
      { org_id: late, metric: 'devices_created', sum: 12 },
      { org_id: late, metric: 'devices_deleted', sum: 3 },
      { org_id: late, metric: 'devices_total', sum: 20 },
    ]);
    expect((await books.verifyMonth('2026-05')).problems).toEqual([]);
  });

  test('and is merely missing is no credit: it is refused, and with a reason left for later', async () => {
    const orgId = await books.orgOf({ from: '2026-06-10', to: '2026-06-20' });
    const other = await books.orgOf({ from: '2026-06-10', to: '2026-06-10' });
    expect((await books.closeMonth('2026-06')).kind).toBe('closed');
    await books.ledger.ask(sql`update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
      where org_id = ${orgId} and usage_date > '2026-06-10'`);
    const refused = await books.closeMonth('2026-06', { isAdjustment: true });
    expect([refused.kind, whyNot(refused)]).toEqual(['refused', ['10 days changed by hand (device_counts)']]);
    const reason = 'Acme is looked into';
    // The numbers differ, so nothing is said to be as it was.
    const blockers = [{ orgId, cause: 'changed_by_hand', days: 10 }];
    const unsettled = { kind: 'unsettled', figures: 2, orgs: 1, blockers };
    expect(await books.closeMonth('2026-06', { isAdjustment: true, reason })).toMatchObject(unsettled);
    expect(await books.closeMonth('2026-06', { isAdjustment: true, reason, isDryRun: true })).toMatchObject(
      unsettled,
    );
    const adjust = async (...args: readonly string[]) =>
      await runProgram(['close', '--period', '2026-06', '--adjust', ...args], {
        DATABASE_URL: books.ledger.url,
      });
    const shown = await adjust('--incomplete', reason);
    expect(shown.code).toBe(3);
    expect(shown.stdout).toMatch(
      /^Nothing of 2026-06 of instance \w+ can be billed yet: 2 figures of 1 organization differ from its newest statement, but not every number behind them is final or accepted\.\n/,
    );
    expect(shown.stdout).toMatch(/10 days changed by hand \(device_counts\) +losant-usage explain --org /);
    const document = await adjust('--incomplete', reason, '--json');
    expect([document.code, jsonOf(document)]).toMatchObject([
      3,
      { instances: [{ outcome: 'unsettled', figures: 2, orgs: 1, blockers: [{ orgId, days: 10 }] }] },
    ]);
    expect((await adjust()).stdout).toContain('cannot be adjusted: 1 organization is not billable.');
    await books.ledger.load([
      { ...devices(other, '2026-06-10', 5, 1, 17), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
    ]);
    expect(await books.closeMonth('2026-06', { isAdjustment: true, reason })).toMatchObject({
      kind: 'closed',
      bills: [{ orgId: other, quantities: { devices_created: '1' } }],
    });
    expect((await books.verifyMonth('2026-06')).problems).toEqual([]);
  });

  test('in payloads by source is billed by source, also where their sum is the same', async () => {
    const day = '2026-04-10';
    const [moved, more] = [
      await trackedOrg(books.ledger, ['payload_sources'], { from: day, to: day }),
      await trackedOrg(books.ledger, ['payload_sources'], { from: day, to: day }),
    ];
    for (const orgId of [moved, more]) {
      await sql`update losant_usage.organizations set created_at = ${`${day}T09:00Z`}, created_on = ${day}::date,
        removed_at = ${`${day}T20:00Z`} where org_id = ${orgId}`.execute(books.ledger.db);
    }
    const counts = (orgId: string, sentAt: string, ...each: readonly (readonly [string, number])[]) => ({
      ...answer(values(...each.map(([source, count]) => ({ key: ['timer', source], values: [count] }))), {
        ...{ orgId, day, stream: 'payload_sources', age: FINAL, sentAtMs: Date.parse(sentAt) },
      }),
    });
    const [noon, one] = ['2026-11-22T12:00:00Z', '2026-11-22T13:00:00Z'];
    await books.ledger.load([
      counts(moved, noon, ['a', 60], ['b', 40]),
      counts(more, noon, ['=a', 5], ['b', 6]),
    ]);
    const sourcesOf = async () =>
      await books.ask(sql`select s.kind, l.org_id, l.source, l.quantity, l.total
        from losant_usage.statement_sources l join losant_usage.statements s using (statement_id)
        where l.period_start = '2026-04-01' order by s.number, l.org_id, l.source`);
    expect((await books.closeMonth('2026-04')).kind).toBe('closed');
    const closing = [
      { kind: 'closing', org_id: moved, source: 'a', quantity: 60, total: 60 },
      { kind: 'closing', org_id: moved, source: 'b', quantity: 40, total: 40 },
      { kind: 'closing', org_id: more, source: '=a', quantity: 5, total: 5 },
      { kind: 'closing', org_id: more, source: 'b', quantity: 6, total: 6 },
    ];
    expect(await sourcesOf()).toEqual(closing);
    await books.ledger.load([
      counts(moved, one, ['a', 70], ['b', 30]),
      counts(more, one, ['=a', 5], ['c', 9]),
    ]);
    expect(await books.adjustmentsOf('2026-04')).toEqual([
      row(moved, 'payload_source_count', 100, 100, 0, 'restated'),
      row(more, 'payload_source_count', 11, 14, 3, 'restated'),
    ]);
    expect((await books.closeMonth('2026-04', { isAdjustment: true })).kind).toBe('closed');
    expect(await sourcesOf()).toEqual([
      ...closing,
      { kind: 'adjustment', org_id: moved, source: 'a', quantity: 10, total: 70 },
      { kind: 'adjustment', org_id: moved, source: 'b', quantity: -10, total: 30 },
      { kind: 'adjustment', org_id: more, source: 'b', quantity: -6, total: 0 },
      { kind: 'adjustment', org_id: more, source: 'c', quantity: 9, total: 9 },
    ]);
    expect(await books.closeMonth('2026-04', { isAdjustment: true })).toEqual({ kind: 'unchanged' });
    expect((await books.verifyMonth('2026-04')).problems).toEqual([]);
  });

  test('of a month that is not closed is none', async () => {
    await expect(books.closeMonth('2026-07', { isAdjustment: true })).rejects.toThrow(
      /is not closed, so there is nothing to adjust/,
    );
  });
});

describe('a proof pack', () => {
  test('is the same bytes at any time, whatever changed since, and a changed byte is named', async () => {
    const orgId = await books.orgOf({ from: '2026-08-10', to: '2026-08-11' });
    await books.closeMonth('2026-08');
    const first = await books.verifyMonth('2026-08');
    await books.ledger.load([
      { ...devices(orgId, '2026-08-11', 9, 1, 30), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
    ]);
    const second = await books.verifyMonth('2026-08');
    expect(first.problems).toEqual([]);
    expect(second.problems).toEqual([]);
    const files = await readdir(first.out);
    expect(files.toSorted()).toEqual([
      'blockers.csv',
      'coverage.csv',
      'days.csv',
      'lines.csv',
      'manifest.json',
      'revisions.csv',
      'sources.csv',
      'waivers.csv',
    ]);
    for (const file of files) {
      expect(await readFile(join(second.out, file))).toEqual(await readFile(join(first.out, file)));
    }
    expect(await readFile(join(first.out, 'days.csv'), 'utf8')).toBe(
      'org_id,period_start,usage_date,streams_expected,streams_stored,is_reported,standing,devices_created,devices_deleted,devices_total,notebook_minutes,notebook_completed,notebook_canceled,notebook_errored,notebook_timeout,payload_billable_count,payload_all_count,payload_all_bytes,payload_source_count\r\n' +
        `${orgId},2026-08-01,2026-08-10,1,1,true,final,4,1,17,,,,,,,,,\r\n` +
        `${orgId},2026-08-01,2026-08-11,1,1,true,final,4,1,17,,,,,,,,,\r\n`,
    );
    const days = join(first.out, 'days.csv');
    await writeFile(days, (await readFile(days, 'utf8')).replace(',17,', ',18,'));
    await rm(join(first.out, 'waivers.csv'));
    expect(await books.checkFolder(first.out)).toEqual([
      { file: 'days.csv', problem: 'was changed: its SHA-256 is another' },
      { file: 'waivers.csv', problem: 'is missing' },
    ]);
  });

  test('is not written over what is there, nor where there is no folder', async () => {
    const places = placePacks(await readStatements(books.ledger.db, { month: '2026-08' }));
    const write = (out: string) => writePacks(books.handle, places, { out, signal: SIGNAL });
    await expect(write(books.folder)).rejects.toThrow(/the folder is not empty/);
    await expect(write(join(books.folder, 'none', 'pack'))).rejects.toThrow(/there is no folder/);
    const empty = join(books.folder, 'empty');
    await mkdir(empty);
    await write(empty);
    expect(await readdir(empty)).toContain('manifest.json');
    await expect(write('/dev/null/pack')).rejects.toThrow(/a part of its path is a file, not a folder/);
    expect((await readdir(books.folder)).filter((name) => name.includes('partial'))).toEqual([]);
  });
});

test('no column of a view has a null of which its comment does not speak', async () => {
  expect(await findUndeclaredNulls(books.ledger.url)).toEqual([]);
});
