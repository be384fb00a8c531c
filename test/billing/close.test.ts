/** Closing a month: what is refused, and what a statement holds. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { closePeriod } from '../../src/billing/close.ts';
import { readStatements } from '../../src/billing/month.ts';
import { createDatabase } from '../../src/database/open.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import type { CellOutcome } from '../../src/usage/cell.ts';
import { answer, closed, FINAL, missing, row, values } from '../database/answers.ts';
import { addTracking, INSTANCE } from '../database/ledger.ts';
import { queryOnce } from '../support/databases.ts';
import { devices } from '../views/loads.ts';
import { SIGNAL, useBooks, whyNot } from './books.ts';

const books = useBooks();

const linesOf = (orgId: string) =>
  books.ask(sql`select s.kind, l.metric, l.quantity, l.total, l.total_max, l.days_expected, l.days_stored, l.is_billable
    from losant_usage.statement_lines l join losant_usage.statements s using (statement_id)
    where l.org_id = ${orgId} order by s.number, l.metric`);

describe('a month', () => {
  test('that is billable is closed once, with its numbers, and stays as it is', async () => {
    const orgId = await books.orgOf({ from: '2026-03-10', to: '2026-03-12' });
    expect(await books.closeMonth('2026-03')).toMatchObject({
      kind: 'closed',
      statement: { kind: 'closing', orgs: 1, number: 1, reason: null },
      totals: [
        { metric: 'devices_created', unit: 'devices', quantity: '12' },
        { metric: 'devices_deleted', unit: 'devices', quantity: '3' },
        { metric: 'devices_total', unit: 'devices', quantity: '17' },
      ],
    });
    const line = { kind: 'closing', total_max: null, days_expected: 3, days_stored: 3, is_billable: true };
    expect(await linesOf(orgId)).toEqual([
      { ...line, metric: 'devices_created', quantity: 12, total: 12 },
      { ...line, metric: 'devices_deleted', quantity: 3, total: 3 },
      { ...line, metric: 'devices_total', quantity: 17, total: 17, total_max: 17 },
    ]);
    await expect(books.closeMonth('2026-03')).rejects.toThrow(
      /^2026-03 of instance 5c0000000000000000000001 is closed already/,
    );
    for (const change of [
      'update losant_usage.statements set orgs = 2',
      'delete from losant_usage.statement_lines',
      'truncate losant_usage.statement_files',
      `insert into losant_usage.statement_files select statement_id, 'more.csv', 0, '' from losant_usage.statements`,
      `insert into losant_usage.statement_lines select (jsonb_populate_record(l, '{"metric": "notebook_minutes"}')).*
        from losant_usage.statement_lines l limit 1`,
    ]) {
      await expect(sql.raw(change).execute(books.ledger.db)).rejects.toThrow(
        /is refused|nothing can be added/,
      );
    }
  });

  test('with a gap is refused, naming who and why, and closed with a reason on record', async () => {
    const orgId = await books.orgOf({ from: '2026-04-10', to: '2026-04-13' }, { without: ['2026-04-11'] });
    const refused = await books.closeMonth('2026-04');
    expect(refused).toMatchObject({ kind: 'refused', blockers: [{ orgId, orgName: 'Acme' }] });
    expect(whyNot(refused)).toEqual(['1 day missing (device_counts)']);
    expect(await readStatements(books.ledger.db, { month: '2026-04' })).toEqual([]);
    const done = await books.closeMonth('2026-04', { reason: 'agreed with Acme' });
    expect(done).toMatchObject({
      kind: 'closed',
      statement: { reason: 'agreed with Acme' },
      blockers: [{ orgId }],
    });
    expect((await books.verifyMonth('2026-04')).problems).toEqual([]);
  });

  test('with a waived day is closed, and the waiver is in its pack', async () => {
    const orgId = await books.orgOf({ from: '2026-02-10', to: '2026-02-12' }, { without: ['2026-02-11'] });
    await books.ledger.load([answer(closed, { orgId, day: '2026-02-11', age: FINAL })]);
    await waiveCells(books.ledger.db, {
      orgId,
      stream: 'device_counts',
      range: { from: '2026-02-11', to: '2026-02-11' },
      reason: '=agreed, "in writing"',
      asZero: false,
    });
    expect(await books.closeMonth('2026-02')).toMatchObject({ kind: 'closed', blockers: [] });
    const { out, problems } = await books.verifyMonth('2026-02');
    expect(problems).toEqual([]);
    expect(await readFile(join(out, 'waivers.csv'), 'utf8')).toMatch(
      new RegExp(
        `^org_id,.*\\r\\n${orgId},2026-02-11,device_counts,\\d+,"'=agreed, ""in writing""",postgres,\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z,\\r\\n$`,
      ),
    );
  });

  test('bills a later zero that was accepted as zero, with the number it replaced on record', async () => {
    const orgId = await books.orgOf({ from: '2026-07-10', to: '2026-07-11' });
    await addTracking(books.ledger.db, orgId, {
      streams: ['notebook_minutes'],
      days: '{[2026-07-10,2026-07-11]}',
    });
    const minutes = (day: string, outcome: CellOutcome, sentAt: string) =>
      answer(outcome, { orgId, day, stream: 'notebook_minutes', age: FINAL, sentAtMs: Date.parse(sentAt) });
    await books.ledger.load([
      minutes('2026-07-10', values(row(5, 2, 0, 0, 0)), '2026-11-22T12:00:00Z'),
      minutes('2026-07-11', values(row(7, 3, 0, 0, 0)), '2026-11-22T12:00:00Z'),
    ]);
    await books.ledger.load([minutes('2026-07-10', missing, '2026-11-22T14:00:00Z')]);
    expect(whyNot(await books.closeMonth('2026-07'))).toEqual(['1 day in doubt (notebook_minutes)']);
    await waiveCells(books.ledger.db, {
      ...{ orgId, stream: 'notebook_minutes', range: { from: '2026-07-10', to: '2026-07-10' } },
      ...{ reason: 'Losant took it back', asZero: true },
    });
    expect(await books.closeMonth('2026-07')).toMatchObject({ kind: 'closed', blockers: [] });
    expect(
      await books.ask(sql`select metric, quantity, days_stored, days_final, days_accepted
        from losant_usage.statement_lines where org_id = ${orgId} and metric = 'notebook_minutes'`),
    ).toEqual([{ metric: 'notebook_minutes', quantity: 7, days_stored: 2, days_final: 1, days_accepted: 1 }]);
    expect(
      await books.ask(sql`select old ->> 'minutes' as old, new ->> 'minutes' as new from losant_usage.revisions
        where org_id = ${orgId}`),
    ).toEqual([{ old: '5', new: '0' }]);
    const { out, problems } = await books.verifyMonth('2026-07');
    expect(problems).toEqual([]);
    expect(await readFile(join(out, 'waivers.csv'), 'utf8')).toMatch(
      new RegExp(`\r\n${orgId},2026-07-10,notebook_minutes,\\d+,Losant took it back,postgres,`),
    );
  });

  test('with numbers that are accepted because they will not become final is closed', async () => {
    const days = { from: '2026-05-10', to: '2026-05-11' };
    const orgId = await books.orgOf(days);
    await addTracking(books.ledger.db, orgId, {
      streams: ['notebook_minutes'],
      days: '{[2026-05-10,2026-05-11]}',
    });
    await books.ledger.load(
      ['2026-05-10', '2026-05-11'].map((day) =>
        answer(values(row(5, 2, 0, 0, 0)), { orgId, day, stream: 'notebook_minutes' }),
      ),
    );
    expect(whyNot(await books.closeMonth('2026-05'))).toEqual(['2 days not final yet (notebook_minutes)']);
    await waiveCells(books.ledger.db, {
      ...{ orgId, stream: 'notebook_minutes', range: days, reason: 'the scope is refused', asZero: false },
    });
    // With their numbers, and not as absent.
    expect(await books.closeMonth('2026-05')).toMatchObject({
      ...{ kind: 'closed', blockers: [] },
      bills: [{ orgId, quantities: { notebook_minutes: '10' }, daysAccepted: 2 }],
    });
  });

  test('in which an organization existed, but no day of it is tracked, is refused', async () => {
    await books.orgOf({ from: '2025-12-05', to: '2025-12-06' });
    const orgId = await books.orgOf({ from: '2026-01-05', to: '2026-01-06' });
    await books.ledger.ask(sql`update losant_usage.organizations set created_at = '2025-12-20T09:00Z', created_on = '2025-12-20'
      where org_id = ${orgId}`);
    for (const month of ['2025-12', '2026-01']) {
      expect(await books.closeMonth(month)).toMatchObject({
        kind: 'refused',
        blockers: [
          {
            orgId,
            cause: 'not_fully_tracked',
            days: null,
            whatToDo: expect.stringMatching(
              `^losant-usage backfill --org ${orgId} --from ${month}-01 --to ${month}-31$`,
            ) as string,
          },
        ],
      });
    }
  });

  test('is closed without an organization that left the configuration before it', async () => {
    await books.orgOf({ from: '2025-11-05', to: '2025-11-06' });
    const orgId = await books.orgOf({ from: '2025-10-30', to: '2025-10-31' });
    await books.ledger.ask(
      sql`update losant_usage.organizations set removed_at = null where org_id = ${orgId}`,
    );
    expect(await books.closeMonth('2025-11')).toMatchObject({ kind: 'closed', statement: { orgs: 1 } });
  });

  test.each([
    ['of two moments', 'read committed', 'now()', 'select 1', 'a statement is of one moment'],
    [
      'of another time',
      'repeatable read',
      `now() - interval '1 day'`,
      'select 1',
      'a statement is of one moment',
    ],
    [
      'without its proof pack',
      'repeatable read',
      'now()',
      'select 1',
      'a statement without its proof pack is refused',
    ],
    [
      'with the manifest of another',
      'repeatable read',
      'now()',
      `select losant_usage.seal_statement(statement_id, 'manifest.json', '{"statement": {}}') from losant_usage.statements
        where manifest is null`,
      'the manifest is not that of the statement',
    ],
  ])('is not closed %s', async (...[, isolation, moment, work, problem]) => {
    const orgId = await books.orgOf({ from: '2025-10-05', to: '2025-10-06' });
    const begun = `begin isolation level ${isolation};
      select losant_usage.open_statement('${INSTANCE}', '2025-10-01', false, null, ${moment});`;
    await expect(queryOnce(books.ledger.url, `${begun} ${work}; commit`)).rejects.toThrow(problem);
    expect(await linesOf(orgId)).toEqual([]);
  });

  test('is not closed at all when its closing is interrupted', async () => {
    const orgId = await books.orgOf({ from: '2025-08-05', to: '2025-08-06' });
    const instance = { instanceId: INSTANCE, name: null, source: 'calendar' } as const;
    const request = {
      month: '2025-08',
      reason: null,
      isAdjustment: false,
      isDryRun: false,
      signingKey: null,
    };
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(closePeriod(books.handle, instance, { ...request, signal })).rejects.toThrow('interrupted');
    expect(await linesOf(orgId)).toEqual([]);
    expect(await books.closeMonth('2025-08')).toMatchObject({ kind: 'closed' });
  });

  test('is closed on one connection while a load waits for its turn, and the load is not in it', async () => {
    const orgId = await books.orgOf({ from: '2025-09-05', to: '2025-09-06' });
    const single = await createDatabase({
      url: books.ledger.url,
      applicationName: 'one connection',
      poolSize: 1,
    });
    const request = {
      month: '2025-09',
      reason: null,
      isAdjustment: false,
      isDryRun: false,
      signingKey: null,
      signal: SIGNAL,
    };
    const instance = { instanceId: INSTANCE, name: null, source: 'calendar' } as const;
    const [outcome] = await Promise.all([
      closePeriod(single, instance, request),
      books.ledger.load([
        { ...devices(orgId, '2025-09-06', 9, 1, 17), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
      ]),
    ]);
    await single.close();
    expect(outcome.kind).toBe('closed');
    expect((await books.verifyMonth('2025-09')).problems).toEqual([]);
    const [line] = (await linesOf(orgId)) as { total: number }[];
    const differing = await books.adjustmentsOf('2025-09');
    expect(differing.length).toBe(line?.total === 13 ? 0 : 1);
  });

  test('that is not over, or of which nothing is tracked, is not closed', async () => {
    await expect(books.closeMonth('2049-12')).rejects.toThrow(
      '2049-12 is not over: its last day is 2049-12-31 (UTC)',
    );
    await expect(books.closeMonth('2024-02')).rejects.toThrow(/^2024-02 of instance .* has no tracked day/);
  });

  test('is shown by a dry run, which keeps nothing', async () => {
    await books.orgOf({ from: '2026-06-10', to: '2026-06-10' });
    expect(await books.closeMonth('2026-06', { isDryRun: true })).toMatchObject({
      kind: 'closed',
      statement: null,
      bills: [
        { quantities: { devices_created: '4', devices_deleted: '1', devices_total: '17' }, daysFinal: 1 },
      ],
      totals: [
        { metric: 'devices_created', quantity: '4', orgs: 1 },
        {},
        { metric: 'devices_total', quantity: '17' },
      ],
    });
    expect(
      await books.ask(sql`select 1 from losant_usage.statement_lines where period_start = '2026-06-01'`),
    ).toEqual([]);
  });
});
