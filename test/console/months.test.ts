/** Months that settle by themselves, and months that were loaded in part, ask for nobody's attention. */
import { expect, test } from 'vitest';
import { useOpened } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { ORGS, openWorld } from './world.ts';

const world = useOpened(openWorld, (opened) => opened.close());

/** October is blocked by one missing cell. */
const OCTOBER_CELL = `org_id = '${ORGS.gappy}' and usage_date = '2026-10-10' and stream = 'payload_totals'`;

test('a settling month is on the page of months, and not on Home', async () => {
  await world.ask(
    asProgram(`update losant_usage.coverage set standing = 'stored', is_stored = true, revision = 1, failed_reads = 0,
      reason = null, first_loaded_at = now() where ${OCTOBER_CELL}`),
  );
  expect(await world.text('/months')).toContain('October 2026 settling not final 1');
  const month = await world.text('/months/2026-10');
  expect(month).toContain('the last of these cells is due at 2026-11-28 13:00 UTC; then: losant-usage run');
  expect(await world.text('/months/2026-10?only=blocked')).toContain('0 rows');
  expect(await world.text('/')).not.toContain('October 2026');
});
