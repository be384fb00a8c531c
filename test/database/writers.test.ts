/** Many writers and one set of cells: whatever they load, in whatever order and however often, the latest truth stands. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import type { CellAnswer } from '../../src/usage/cell.ts';
import { answer, at, failed, row, values } from './answers.ts';
import { RUN_1, useLedger } from './ledger.ts';

const ledger = useLedger();

const DAYS = ['2026-11-18', '2026-11-19', '2026-11-20'];

/** What a read at some second finds: the platform has restated the days as often as seconds have passed. */
function readAt(second: number, orgId: string, fails: boolean): CellAnswer[] {
  const sentAtMs = at('2026-11-22T12:00:00.000Z') + second * 1_000;
  return DAYS.flatMap((day) => {
    if (fails) return [answer(failed, { orgId, day, sentAtMs })];
    const sources = [
      { key: ['timer', 'steady'], values: [7] },
      { key: ['timer', `of second ${second}`], values: [second] },
    ];
    return [
      answer(values(row(second, 0, 100 - second)), { orgId, day, sentAtMs }),
      answer(values(...sources), { orgId, day, sentAtMs, stream: 'payload_sources' }),
    ];
  });
}

/** Reads in the order they are loaded; a writer loads its own one after the other, beside the others. */
const plan = fc.record({
  writers: fc.array(
    fc.array(fc.record({ second: fc.integer({ min: 1, max: 9 }), fails: fc.boolean() }), {
      minLength: 1,
      maxLength: 4,
    }),
    { minLength: 2, maxLength: 4 },
  ),
  /** Read by somebody last of all, in time though not in order. */
  latest: fc.constant(10),
  latestBy: fc.nat({ max: 1 }),
});

test('several writers with reads, re-reads and failures end in the latest truth with a whole chain of revisions', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ writers, latest, latestBy }) => {
      const orgId = await ledger.newOrg();
      const loads = writers.map((reads, index) =>
        index === latestBy ? [{ second: latest, fails: false }, ...reads] : reads,
      );
      await Promise.all(
        loads.map(async (reads, index) => {
          for (const { second, fails } of reads) {
            const answers = readAt(second, orgId, fails);
            const batch = { answers: index % 2 === 0 ? answers : answers.toReversed(), quarantined: [] };
            await loadBatch(ledger.db, batch, { runId: RUN_1, lease: null });
          }
        }),
      );
      const devices = sql`select usage_date, created, deleted, total from losant_usage.device_counts
        where org_id = ${orgId} order by usage_date`;
      expect(await ledger.ask(devices)).toEqual(
        DAYS.map((usage_date) => ({ usage_date, created: 10, deleted: 0, total: 90 })),
      );
      const sources = sql`select source, count, count(*)::integer as days from losant_usage.payload_sources
        where org_id = ${orgId} group by source, count order by source`;
      expect(await ledger.ask(sources)).toEqual([
        { source: 'of second 10', count: 10, days: 3 },
        { source: 'steady', count: 7, days: 3 },
      ]);
      const broken = sql`select c.usage_date, c.stream, c.revision, array_agg(distinct r.revision) as on_record
        from losant_usage.coverage c left join losant_usage.revisions r using (org_id, stream, usage_date)
        where c.org_id = ${orgId} group by c.usage_date, c.stream, c.revision
        having c.revision <> 1 + count(distinct r.revision) or c.revision <> coalesce(max(r.revision), 1)`;
      expect(await ledger.ask(broken)).toEqual([]);
    }),
    { numRuns: 60 },
  );
}, 60_000);
