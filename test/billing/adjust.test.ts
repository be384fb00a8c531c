/** What changes after a month was closed, and its proof pack. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readStatements } from '../../src/billing/statements.ts';
import { placePacks, writePacks } from '../../src/billing/write-pack.ts';
import { devices, load } from '../views/loads.ts';
import { type Books, openBooks, SIGNAL } from './books.ts';

let books: Books;

beforeAll(async () => {
  books = await openBooks();
});

afterAll(() => books.close());

describe('what changes after the closing', () => {
  test('is an adjustment with its cause, settled once, and sums lead to the numbers of now', async () => {
    const [restated, byHand, late] = [
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }),
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }),
      await books.orgOf({ from: '2026-05-10', to: '2026-05-12' }, { without: ['2026-05-12'] }),
    ];
    await books.closeMonth('2026-05', { reason: 'one day is late' });
    expect(await books.adjustmentsOf('2026-05')).toEqual([]);
    expect(await books.closeMonth('2026-05', { isAdjustment: true })).toEqual({ kind: 'unchanged' });

    await load(books.ledger, [
      { ...devices(restated, '2026-05-11', 9, 1, 17), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
      devices(late, '2026-05-12', 4, 1, 20),
    ]);
    await sql`update losant_usage.usage_days set devices_total = 5
      where org_id = ${byHand} and usage_date = '2026-05-12'`.execute(books.ledger.db);
    expect(await books.adjustmentsOf('2026-05')).toEqual([
      {
        org_id: restated,
        metric: 'devices_created',
        then_quantity: 12,
        now_quantity: 17,
        difference: 5,
        cause: 'restated',
      },
      {
        org_id: byHand,
        metric: 'devices_total',
        then_quantity: 17,
        now_quantity: 5,
        difference: -12,
        cause: 'changed_by_hand',
      },
      {
        org_id: late,
        metric: 'devices_created',
        then_quantity: 8,
        now_quantity: 12,
        difference: 4,
        cause: 'loaded_later',
      },
      {
        org_id: late,
        metric: 'devices_deleted',
        then_quantity: 2,
        now_quantity: 3,
        difference: 1,
        cause: 'loaded_later',
      },
      {
        org_id: late,
        metric: 'devices_total',
        then_quantity: 17,
        now_quantity: 20,
        difference: 3,
        cause: 'loaded_later',
      },
    ]);

    expect(await books.closeMonth('2026-05', { isAdjustment: true })).toMatchObject({
      kind: 'closed',
      lines: 5,
      statement: { kind: 'adjustment', number: 2, orgs: 3 },
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
    await load(books.ledger, [
      { ...devices(orgId, '2026-08-11', 9, 1, 30), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
    ]);
    const second = await books.verifyMonth('2026-08');
    expect(first.problems).toEqual([]);
    expect(second.problems).toEqual([]);
    const files = await readdir(first.out);
    expect(files.toSorted()).toEqual([
      'coverage.csv',
      'days.csv',
      'lines.csv',
      'manifest.json',
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
    expect(await books.checkFolder(first.out, [''])).toEqual([
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
