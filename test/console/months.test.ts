/** Months that settle by themselves, and months that were loaded in part, ask for nobody's attention. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { useOpened } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { INSTANCE, ORGS, openWorld } from './world.ts';

const world = useOpened(openWorld, (opened) => opened.close());

/** October is blocked by one missing cell. */
const OCTOBER_CELL = `org_id = '${ORGS.gappy}' and usage_date = '2026-10-10' and stream = 'payload_totals'`;

test('a settling month is on the page of months, and not on Home', async () => {
  await world.ask(
    asProgram(`update losant_usage.coverage set standing = 'stored', is_stored = true, revision = 1, failed_reads = 0,
      reason = null, first_loaded_at = now() where ${OCTOBER_CELL}`),
  );
  expect(await world.text('/billing')).toContain('October 2026 settling 6 of 7 ready; Gappy: 10 Oct not final');
  const month = await world.text('/billing/2026-10');
  expect(month).toContain('the last of these cells is due at 2026-11-28 13:00 UTC; then: losant-usage run');
  expect(await world.text('/billing/2026-10?only=not_ready')).toContain('0 rows');
  await refreshAttention({ db: world.handle.db, instanceId: INSTANCE, lease: null }, '2026-11-28');
  const { rows } = await sql`select text from losant_usage.attention_items where is_current`.execute(world.handle.db);
  expect(JSON.stringify(rows)).toContain('August 2026 (7 of 7 ready)');
  expect(JSON.stringify(rows)).not.toContain('October 2026');
});

test('an organization is in one row, although something keeps it back and it can be adjusted too', async () => {
  await world.ask(
    asProgram(`update losant_usage.coverage set standing = 'in_doubt', reason = 'contradicted', finalized_at = null,
      doubted_at = now() where org_id = '${ORGS.office}' and usage_date = '2026-09-20' and stream = 'payload_totals'`),
  );
  expect(await world.text('/billing/2026-09?q=Office')).toMatch(/1 row .* Office 22,800 22,300 ≠ \+500 1 day in doubt/);
});
