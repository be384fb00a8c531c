/** A day that Losant restates to no payloads: its totals report zero, and its sources can only be omitted. */
import { expect, it } from 'vitest';
import type { RunOptions } from '../../src/loading/context.ts';
import { HOUR_MS } from '../../src/usage/day.ts';
import { NOW } from '../simulator/platform.ts';
import { createStage, type Stage } from './stage.ts';

const DAY = '2026-11-20';
const RANGE = { from: DAY, to: DAY };

async function readCells({ query }: Stage): Promise<string[]> {
  const rows = await query(`select concat_ws(' ', c.stream, c.standing, c.reason, 'r' || c.revision,
      case c.stream when 'payload_sources' then d.payload_source_count else d.payload_all_count end) as line
    from losant_usage.cells c join losant_usage.daily_usage d using (usage_date, org_id)
    where c.usage_date = '${DAY}' and c.stream like 'payload%' order by c.stream`);
  return rows.map(({ line }) => String(line));
}

it('a day that was restated to no payloads is zero after three omissions, an hour apart', async () => {
  const stage = await createStage({ orgs: 1 });
  const run = (options: Partial<RunOptions> = {}) =>
    stage.run(options, { streams: ['payload_sources', 'payload_totals'] });
  const [orgId = ''] = stage.orgIds;
  await run({ kind: 'backfill', range: RANGE });
  const [stored] = await stage.query(
    `select payload_source_count as count from losant_usage.daily_usage where usage_date = '${DAY}'`,
  );
  const sourceCount = Number(stored?.['count']);
  expect(sourceCount).toBeGreaterThan(0);
  await stage.platform.control('empty', { orgId, day: DAY, counter: 'payload_totals' });
  const restatedTotals = 'payload_totals final r2 0';
  const doubtfulSources = `payload_sources in_doubt omitted r1 ${sourceCount}`;
  const { report } = await run({ kind: 'manual', range: RANGE });
  expect(report).toMatchObject({ status: 'partial', failures: [{ code: 'omitted' }] });
  expect(await readCells(stage)).toEqual([doubtfulSources, restatedTotals]);
  await stage.moveTo(NOW + HOUR_MS);
  const second = (await run()).report;
  expect(second).toMatchObject({ status: 'partial', cells: { planned: 1, failed: 1 } });
  expect(await readCells(stage)).toEqual([doubtfulSources, restatedTotals]);
  await stage.moveTo(NOW + 2 * HOUR_MS);
  const third = (await run()).report;
  expect(third).toMatchObject({ status: 'complete', cells: { planned: 1, loaded: 1 }, failures: [] });
  expect(await readCells(stage)).toEqual(['payload_sources final r2 0', restatedTotals]);
  const revisions = await stage.query(`select was_final, old ->> 'payload_source_count' as old,
      new ->> 'payload_source_count' as new
    from losant_usage.revisions where org_id = '${orgId}' and stream = 'payload_sources'`);
  expect(revisions).toEqual([{ was_final: true, old: `${sourceCount}`, new: '0' }]);
});
