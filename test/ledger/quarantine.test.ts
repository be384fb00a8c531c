import { gunzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import type { QuarantinedBody } from '../../src/ledger/quarantine.ts';
import type { CellAnswer } from '../../src/usage/cell.ts';
import { answer, at, failed, quarantined, row, values } from './answers.ts';
import { coverageOf, RUN_1, RUN_2, useLedger } from './ledger.ts';

describe('quarantine', () => {
  const ledger = useLedger();

  const load = (answers: readonly CellAnswer[], bodies: readonly QuarantinedBody[] = [], runId = RUN_1) =>
    loadBatch(ledger.db, { answers, quarantined: bodies }, { runId, lease: null });
  const kept = (orgId: string) =>
    ledger.ask(sql`select from_date, to_date, code, problem, body_truncated, times, run_id, resolved_at is not null as resolved
        from losant_usage.quarantine where org_id = ${orgId} order by from_date`);
  const bodyOf = async (orgId: string) => {
    const { rows } = await sql<{ body_gzip: Buffer }>`select body_gzip from losant_usage.quarantine
      where org_id = ${orgId}`.execute(ledger.db);
    return gunzipSync(rows[0]?.body_gzip ?? Buffer.alloc(0)).toString('utf8');
  };
  const body = (orgId: string, changes: Partial<QuarantinedBody> = {}): QuarantinedBody => ({
    orgId,
    stream: 'device_counts',
    from: '2026-11-20',
    to: '2026-11-20',
    code: 'invalid_value',
    problem: 'created: not an integer',
    bodies: ['{"counts":[]}'],
    ...changes,
  });
  const hour = (count: number) => at('2026-11-22T12:00:00.000Z') + count * 3_600_000;

  test('keeps the bodies as they came, one after the other, compressed', async () => {
    const orgId = await ledger.newOrg();
    const bodies = ['{"counts":[{"ü\\u0000":1}]}', '<html>\r\n</html>', 'null'];
    await load([answer(quarantined, { orgId })], [body(orgId, { bodies })]);
    expect(await bodyOf(orgId)).toBe('{"counts":[{"ü\\u0000":1}]}\n<html>\r\n</html>\nnull');
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'missing', attempts: 1, verified_at: null, reason: 'invalid_value' },
    ]);
    expect(await kept(orgId)).toEqual([
      {
        from_date: '2026-11-20',
        to_date: '2026-11-20',
        code: 'invalid_value',
        problem: 'created: not an integer',
        body_truncated: false,
        times: 1,
        run_id: RUN_1,
        resolved: false,
      },
    ]);
  });

  test('cuts a long body at 256 KiB and says so', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(quarantined, { orgId })], [body(orgId, { bodies: ['x'.repeat(300_000)] })]);
    expect(await bodyOf(orgId)).toBe('x'.repeat(262_144));
    expect(await kept(orgId)).toMatchObject([{ body_truncated: true }]);
  });

  test('counts how often a window was bad, and shows the latest', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(quarantined, { orgId })], [body(orgId)]);
    const again = body(orgId, { problem: 'deleted: not an integer', bodies: ['{"counts":[1]}'] });
    await load([answer(quarantined, { orgId, sentAtMs: hour(1) })], [again], RUN_2);
    expect(await kept(orgId)).toMatchObject([
      { times: 2, problem: 'deleted: not an integer', run_id: RUN_2 },
    ]);
    expect(await bodyOf(orgId)).toBe('{"counts":[1]}');
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ attempts: 2 }]);
  });

  test('is resolved by a good answer, also after a failure in between, and opened again by the next bad one', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(quarantined, { orgId })], [body(orgId)]);
    await load([answer(failed, { orgId, sentAtMs: hour(1) })]);
    expect(await kept(orgId)).toMatchObject([{ resolved: false }]);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: hour(2) })]);
    expect(await kept(orgId)).toMatchObject([{ times: 1, resolved: true }]);
    await load([answer(quarantined, { orgId, sentAtMs: hour(3) })], [body(orgId)]);
    expect(await kept(orgId)).toMatchObject([{ times: 2, resolved: false }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'stored', revision: 1, attempts: 1 },
    ]);
  });

  test('of a window is resolved once every day of it that was to be read has a good answer', async () => {
    const orgId = await ledger.newOrg();
    const days = ['2026-11-18', '2026-11-20'];
    const window = { from: '2026-11-18', to: '2026-11-20', asked: days };
    const readDay = async (day: string, outcome: CellAnswer['outcome'], sentAtMs: number) =>
      await load([answer(outcome, { orgId, day, sentAtMs })]);
    await load(
      days.map((day) => answer(quarantined, { orgId, day })),
      [body(orgId, window)],
    );
    await readDay('2026-11-18', values(row(4, 1, 17)), hour(1));
    expect(await kept(orgId)).toMatchObject([{ resolved: false }]);
    await readDay('2026-11-20', values(row(4, 1, 17)), hour(2));
    expect(await kept(orgId)).toMatchObject([{ resolved: true }]);
  });

  test('of a window stays open for its other days when fewer of them are bad again', async () => {
    const orgId = await ledger.newOrg();
    const window = { from: '2026-11-18', to: '2026-11-20' };
    const readBad = async (days: readonly string[], sentAtMs: number) => {
      const answers = days.map((day) => answer(quarantined, { orgId, day, sentAtMs }));
      await load(answers, [body(orgId, { ...window, asked: days })]);
    };
    await readBad(['2026-11-18', '2026-11-19', '2026-11-20'], hour(0));
    await readBad(['2026-11-18', '2026-11-20'], hour(1));
    for (const day of ['2026-11-18', '2026-11-20'])
      await load([answer(values(row(4, 1, 17)), { orgId, day, sentAtMs: hour(2) })]);
    expect(await kept(orgId)).toMatchObject([{ times: 2, resolved: false }]);
    await load([answer(values(row(4, 1, 17)), { orgId, day: '2026-11-19', sentAtMs: hour(2) })]);
    expect(await kept(orgId)).toMatchObject([{ times: 2, resolved: true }]);
    await readBad(['2026-11-20'], hour(3));
    await load([answer(values(row(4, 1, 17)), { orgId, day: '2026-11-20', sentAtMs: hour(4) })]);
    expect(await kept(orgId)).toMatchObject([{ times: 3, resolved: true }]);
  });

  test('stands when an older good answer arrives after the bad one', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(quarantined, { orgId, sentAtMs: hour(1) })], [body(orgId)]);
    await load([answer(values(row(4, 1, 17)), { orgId })]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'stored', reason: 'invalid_value' },
    ]);
    expect(await kept(orgId)).toMatchObject([{ resolved: false }]);
  });

  test('leaves the other days of a window to load', async () => {
    const orgId = await ledger.newOrg();
    await load(
      [
        answer(quarantined, { orgId, day: '2026-11-19' }),
        answer(values(row(4, 1, 17)), { orgId, day: '2026-11-20' }),
      ],
      [body(orgId, { from: '2026-11-19', to: '2026-11-19' })],
    );
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'missing' },
      { standing: 'stored' },
    ]);
    expect(await kept(orgId)).toMatchObject([{ from_date: '2026-11-19', resolved: false }]);
  });
});
