/** Payloads by source that somebody moves to another day in SQL: both days are on record and read again. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import { answer, values } from './answers.ts';
import { coverageOf, type Ledger, openLedger, RUN_1, revisionsOf, rowsOf } from './ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger('postgres');
});

afterAll(() => ledger.close());

test.each([
  ['of its only source is a gap, not zero', ['timer.flow'], { state: 'failed', sum: null }],
  [
    'of one source of two keeps the other',
    ['timer.flow', 'timer.other'],
    { state: 'loaded', sum: 5, error_code: 'changed_by_hand' },
  ],
])('a day that was relieved %s', async (_, names, { sum, ...emptied }) => {
  const orgId = await ledger.newOrg();
  const day = (usageDay: string, sources: readonly string[]) =>
    answer(values(...sources.map((source) => ({ key: ['timer', source], values: [5] }))), {
      orgId,
      day: usageDay,
      stream: payloadSources,
    });
  const answers = [day('2026-11-19', names), day('2026-11-20', ['timer.late'])];
  await loadBatch(ledger.db, { answers, quarantined: [] }, { runId: RUN_1, lease: null });
  await sql`update losant_usage.payload_sources set usage_date = '2026-11-20'
    where org_id = ${orgId} and source = 'timer.flow'`.execute(ledger.db);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([
    { usage_date: '2026-11-19', revision: 2, run_id: null, ...emptied },
    { usage_date: '2026-11-20', revision: 2, run_id: null, state: 'loaded', error_code: 'changed_by_hand' },
  ]);
  const sums = sql`select usage_date, payload_source_count as sum from losant_usage.usage_days
    where org_id = ${orgId} order by usage_date`;
  expect(await rowsOf(ledger.db, sums)).toEqual([
    { usage_date: '2026-11-19', sum },
    { usage_date: '2026-11-20', sum: 10 },
  ]);
  expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
    { usage_date: '2026-11-19', old: { count: 5 }, new: null, run_id: null },
    { usage_date: '2026-11-20', old: null, new: { count: 5 }, run_id: null },
  ]);
});
