import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { isRefusedForData } from '../../src/database/sqlstate.ts';
import { type Batch, type LoadOptions, loadBatch } from '../../src/ledger/load.ts';
import { answer, at, FINAL, failed, missing, row, values } from './answers.ts';
import { coverageOf, devicesOf, RUN_1, RUN_2, RUN_3, revisionsOf, sourcesOf, useLedger } from './ledger.ts';

describe.each(['postgres', 'embedded'] as const)('loading into the %s database', (kind) => {
  const ledger = useLedger({ kind });

  const load = (answers: Batch['answers'], runId = RUN_1, lease: LoadOptions['lease'] = null) =>
    loadBatch(ledger.db, { answers, quarantined: [] }, { runId, lease });

  const devices = (orgId: string) => devicesOf(ledger.db, orgId);
  const sources = (orgId: string) => sourcesOf(ledger.db, orgId);
  const coverage = (orgId: string) => coverageOf(ledger.db, orgId);
  const revisions = (orgId: string) => revisionsOf(ledger.db, orgId);
  const untouched = (orgId: string) =>
    ledger.ask(sql`select xmin::text as xmin, ctid from losant_usage.usage_days where org_id = ${orgId}`);

  test('a first load writes row and ledger, and logs no revision', async () => {
    const orgId = await ledger.newOrg();
    const result = await load([answer(values(row(4, 1, 17)), { orgId, age: FINAL })]);
    expect(await devices(orgId)).toEqual([
      { usage_date: '2026-11-20', created: 4, deleted: 1, total: 17, revision: 1, run_id: RUN_1 },
    ]);
    expect(await coverage(orgId)).toEqual([
      {
        usage_date: '2026-11-20',
        stream: 'device_counts',
        standing: 'final',
        is_reported: true,
        revision: 1,
        verified_at: '2026-11-22T12:00:00.000Z',
        attempted_at: '2026-11-22T12:00:00.000Z',
        attempts: 0,
        next_read_at: '2026-11-28T00:00:00.000Z',
        reason: null,
        response_sha256: 'a'.repeat(64),
        run_id: RUN_1,
      },
    ]);
    expect(await revisions(orgId)).toEqual([]);
    expect(result.rows).toEqual({ device_counts: { inserted: 1, updated: 0, deleted: 0, unchanged: 0 } });
    expect(result.cells).toMatchObject([
      { result: 'loaded', problem: null, isRestated: false, wasFinal: false },
    ]);
  });

  test('an equal load writes no row: not even its transaction number changes', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(values(row(4, 1, 17)), { orgId })]);
    const before = await untouched(orgId);
    const later = { orgId, sentAtMs: at('2026-11-23T12:00:00.000Z') };
    const result = await load([answer(values(row(4, 1, 17)), later)], RUN_2);
    expect(await untouched(orgId)).toEqual(before);
    expect(result.rows).toEqual({ device_counts: { inserted: 0, updated: 0, deleted: 0, unchanged: 1 } });
    expect(result.cells).toMatchObject([{ result: 'unchanged', isRestated: false }]);
    expect(await coverage(orgId)).toMatchObject([
      { revision: 1, verified_at: '2026-11-23T12:00:00.000Z', run_id: RUN_2 },
    ]);
    expect(await revisions(orgId)).toEqual([]);
  });

  test('a restatement raises the revision and keeps the old numbers on record', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(values(row(4, 1, 17)), { orgId, age: FINAL })]);
    const later = { orgId, sentAtMs: at('2026-11-28T12:00:00.000Z'), age: FINAL };
    const result = await load([answer(values(row(5, 1, 18)), later)], RUN_2);
    expect(await devices(orgId)).toEqual([
      { usage_date: '2026-11-20', created: 5, deleted: 1, total: 18, revision: 2, run_id: RUN_2 },
    ]);
    expect(await revisions(orgId)).toEqual([
      {
        stream: 'device_counts',
        usage_date: '2026-11-20',
        revision: 2,
        key: {},
        old: { created: 4, deleted: 1, total: 17 },
        new: { created: 5, deleted: 1, total: 18 },
        run_id: RUN_2,
      },
    ]);
    expect(result.cells).toMatchObject([{ result: 'loaded', isRestated: true, wasFinal: true }]);
    expect(result.rows).toEqual({ device_counts: { inserted: 0, updated: 1, deleted: 0, unchanged: 0 } });
  });

  test('a set of rows is replaced as a whole, and equal rows keep their revision', async () => {
    const orgId = await ledger.newOrg();
    const fact = (type: string, source: string, count: number) => ({ key: [type, source], values: [count] });
    const first = [
      fact('timer', 'timer.flow', 1),
      fact('webhook', 'public.rest', 2),
      fact('mqttIn', 'gone', 3),
    ];
    await load([answer(values(...first), { orgId, stream: 'payload_sources' })]);
    const equalRow = sql`select xmin::text as xmin from losant_usage.payload_sources
      where org_id = ${orgId} and payload_type = 'timer'`;
    const before = await ledger.ask(equalRow);
    const second = [fact('webhook', 'public.rest', 5), fact('timer', 'timer.flow', 1), fact('new', 'a.b', 7)];
    const later = { orgId, stream: 'payload_sources', sentAtMs: at('2026-11-23T12:00:00.000Z') };
    const result = await load([answer(values(...second), later)], RUN_2);
    expect(await sources(orgId)).toEqual([
      { payload_type: 'new', source: 'a.b', count: 7, revision: 2 },
      { payload_type: 'timer', source: 'timer.flow', count: 1, revision: 1 },
      { payload_type: 'webhook', source: 'public.rest', count: 5, revision: 2 },
    ]);
    expect(await ledger.ask(equalRow)).toEqual(before);
    expect(await coverage(orgId)).toMatchObject([{ stream: 'payload_sources', revision: 2 }]);
    const changes = await revisions(orgId);
    expect(changes).toHaveLength(4);
    expect(changes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ revision: 2, key: {}, old: { count: 6 }, new: { count: 13 } }),
        expect.objectContaining({
          revision: 2,
          key: { payload_type: 'mqttIn', source: 'gone' },
          old: { count: 3 },
          new: null,
        }),
        expect.objectContaining({
          revision: 2,
          key: { payload_type: 'webhook', source: 'public.rest' },
          old: { count: 2 },
          new: { count: 5 },
        }),
        expect.objectContaining({
          revision: 2,
          key: { payload_type: 'new', source: 'a.b' },
          old: null,
          new: { count: 7 },
        }),
      ]),
    );
    expect(result.rows).toEqual({ payload_sources: { inserted: 1, updated: 1, deleted: 1, unchanged: 1 } });
  });

  test('a batch with one row the database refuses leaves nothing of any of its slices', async () => {
    const orgId = await ledger.newOrg();
    const error: unknown = await load([
      answer(values(row(4, 1, 17)), { orgId }),
      answer(values(row(1, 2, 3, 4, 5)), { orgId, stream: 'notebook_minutes' }),
      answer(values(row(-1, 0, 0)), { orgId, day: '2026-11-19' }),
    ]).catch((reason: unknown) => reason);
    expect(isRefusedForData(error)).toBe(true);
    expect(await coverage(orgId)).toEqual([]);
    expect(await devices(orgId)).toEqual([]);
    const minutes = sql`select 1 from losant_usage.notebook_minutes where org_id = ${orgId}`;
    expect(await ledger.ask(minutes)).toEqual([]);
  });

  test('an answer for an organization nobody knows is refused as a matter of data', async () => {
    const error: unknown = await load([answer(values(row(4, 1, 17)), { orgId: 'f'.repeat(24) })]).catch(
      (reason: unknown) => reason,
    );
    expect(isRefusedForData(error)).toBe(true);
  });

  test('the same batch twice is the same as once', async () => {
    const orgId = await ledger.newOrg();
    const batch = [
      answer(values(row(4, 1, 17)), { orgId }),
      answer(missing, { orgId, stream: 'notebook_minutes' }),
      answer(failed, { orgId, stream: 'payload_sources' }),
    ];
    await load(batch);
    const before = [await devices(orgId), await coverage(orgId)];
    await load(batch, RUN_2);
    expect([await devices(orgId), await coverage(orgId)]).toEqual(before);
    expect(await revisions(orgId)).toEqual([]);
  });

  test('a failed re-read shows beside the number and takes nothing away', async () => {
    const orgId = await ledger.newOrg();
    await load([answer(values(row(4, 1, 17)), { orgId, age: FINAL })]);
    const result = await load([answer(failed, { orgId, sentAtMs: at('2026-11-23T12:00:00.000Z') })], RUN_2);
    expect(result.cells).toMatchObject([{ result: 'failed', problem: { code: 'server_error' } }]);
    expect(await devices(orgId)).toMatchObject([{ created: 4, revision: 1 }]);
    expect(await coverage(orgId)).toMatchObject([
      {
        standing: 'final',
        verified_at: '2026-11-22T12:00:00.000Z',
        attempted_at: '2026-11-23T12:00:00.000Z',
        attempts: 1,
        next_read_at: '2026-11-23T12:00:00.000Z',
        reason: 'server_error',
      },
    ]);
  });

  test('when it was first stored and when it became final is kept', async () => {
    const orgId = await ledger.newOrg();
    const times = () =>
      ledger.ask(sql`select first_loaded_at is not null as first, finalized_at is not null as final,
          first_loaded_at = finalized_at as together from losant_usage.coverage where org_id = ${orgId}`);
    await load([answer(failed, { orgId })]);
    expect(await times()).toEqual([{ first: false, final: false, together: null }]);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-22T14:00:00.000Z') })]);
    expect(await times()).toEqual([{ first: true, final: false, together: null }]);
    const final = { orgId, sentAtMs: at('2026-11-24T14:00:00.000Z'), age: FINAL };
    await load([answer(values(row(4, 1, 17)), final)], RUN_3);
    expect(await times()).toEqual([{ first: true, final: true, together: false }]);
  });

  test('cells of all streams go into one batch, each counted for its table', async () => {
    const orgId = await ledger.newOrg();
    const result = await load([
      answer(values(row(4, 1, 17)), { orgId }),
      answer(values(row(5, 1, 21)), { orgId, day: '2026-11-21' }),
      answer(values(row(17, 4, 0, 1, 0)), { orgId, stream: 'notebook_minutes' }),
      answer(values({ key: ['a', 'b'], values: [1] }, { key: ['a', 'c'], values: [2] }), {
        orgId,
        stream: 'payload_sources',
      }),
    ]);
    expect(result.rows).toEqual({
      device_counts: { inserted: 2, updated: 0, deleted: 0, unchanged: 0 },
      notebook_minutes: { inserted: 1, updated: 0, deleted: 0, unchanged: 0 },
      payload_sources: { inserted: 2, updated: 0, deleted: 0, unchanged: 0 },
    });
    expect(await devices(orgId)).toMatchObject([{ total: 17 }, { total: 21 }]);
  });
});
