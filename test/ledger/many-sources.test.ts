/** A day of very many sources: each read costs as much as there are rows, not as much as there are pairs of them. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';
import { answer, at, values } from './answers.ts';
import { RUN_1, useLedger } from './ledger.ts';

/** Where each row is compared with each other, this many take minutes: longer than a test, or a statement, may. */
const SOURCES = 30_000;
const ledger = useLedger();
let orgId: string;

beforeAll(async () => {
  orgId = await ledger.newOrg();
});

const sources = (name: string, count: number): Fact[] =>
  Array.from({ length: SOURCES }, (_, place) => ({ key: ['timer', `${name}.${place}`], values: [count] }));
const read = async (hour: number, facts: readonly Fact[]) => {
  const sentAtMs = at('2026-11-22T00:00:00.000Z') + hour * 3_600_000;
  const only = answer(values(...facts), { orgId, stream: 'payload_sources', sentAtMs });
  const { rows } = await loadBatch(
    ledger.db,
    { answers: [only], quarantined: [] },
    { runId: RUN_1, lease: null },
  );
  return rows['payload_sources'];
};

test('a day of 30,000 sources is read, read again, restated and replaced by others', async () => {
  const none = { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
  expect(await read(0, sources('a', 1))).toEqual({ ...none, inserted: SOURCES });
  expect(await read(1, sources('a', 1).reverse())).toEqual({ ...none, unchanged: SOURCES });
  expect(await read(2, sources('a', 2))).toEqual({ ...none, updated: SOURCES });
  expect(await read(3, sources('b', 3))).toEqual({ ...none, inserted: SOURCES, deleted: SOURCES });
  const sums = sql`select payload_source_count as sum from losant_usage.usage_days where org_id = ${orgId}`;
  expect(await ledger.ask(sums)).toEqual([{ sum: 90_000 }]);
  // Every source, and their sum.
  const record = sql`select revision, count(*)::integer as changes
    from losant_usage.revisions where org_id = ${orgId} group by revision order by revision`;
  expect(await ledger.ask(record)).toEqual([
    { revision: 2, changes: 30_001 },
    { revision: 3, changes: 60_001 },
  ]);
});
