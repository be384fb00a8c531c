/** Months that settle by themselves, and months that were loaded in part, ask for nobody's attention. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { asProgram } from '../support/by-hand.ts';
import { INSTANCE, idOf, ORGS, OTHER, useWorld } from './world.ts';

const world = useWorld();

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
  expect(month).toMatch(/All \d+ columns Organization [A-Za-z ]+ Gappy/);
  expect(await world.text('/billing/2026-10?only=not_ready')).toMatch(/1 row .* Gappy/);
  expect(await world.text('/billing/2026-11')).not.toContain('losant-usage close');
  await refreshAttention({ db: world.handle.db, instanceId: INSTANCE, lease: null }, '2026-11-28');
  const { rows } = await sql`select text from losant_usage.attention_items where is_current`.execute(world.handle.db);
  expect(JSON.stringify(rows)).toContain('August 2026 (7 of 7 ready)');
  expect(JSON.stringify(rows)).not.toContain('October 2026');
});

const OFFICE_DOUBT = `update losant_usage.coverage
  set standing = 'in_doubt', reason = 'contradicted', finalized_at = null, doubted_at = now()
  where org_id = '${ORGS.office}' and usage_date = '2026-09-20' and stream = 'payload_totals'`;

test('an organization is in one row, although something keeps it back and it can be adjusted too', async () => {
  await world.ask(asProgram(OFFICE_DOUBT));
  expect(await world.text('/billing/2026-09?q=Office')).toMatch(/1 row .* Office 22,800 22,300 ≠ \+500 1 day in doubt/);
});

test('instances of which one has closed the month have a command each', async () => {
  const page = await world.serve({ instanceIds: [INSTANCE, OTHER] }).text('/billing/2026-09');
  const command = 'losant-usage close --month 2026-09';
  const commands = `${command} --instance ${OTHER} --dry-run ${command} --instance ${INSTANCE} --adjust --dry-run`;
  expect(page).toContain(commands);
  expect(await world.text('/billing/2026-09')).toContain(`${command} --adjust --dry-run`);
});

test('what blocks an entire instance is above its commands', async () => {
  const setProblem = (problem: string) =>
    world.ask(asProgram(`update losant_usage.instances set list_problem = ${problem} where instance_id = '${OTHER}'`));
  await setProblem(`'page 2 did not come'`);
  const page = await world.serve({ instanceIds: [OTHER] }).text('/billing/2026-09');
  await setProblem('null');
  const problem = 'Entire instance Other: list incomplete 2026-09-01..2026-09-30 page 2 did not come';
  expect(page).toContain(
    ` ${problem} losant-usage run to accept what remains, use the last command that this prints: `,
  );
});

test('a month has the reason for which its blockers were accepted', async () => {
  const page = await world.text('/billing/2026-09');
  expect(page).toMatch(/Created by Reason for accepting blockers 1 closing .* clerk agreed /);
});

test('the total of the differences omits organizations whose month is not closed, as their rows do', async () => {
  const { text } = world.serve({ instanceIds: [INSTANCE, OTHER] });
  await expect.poll(() => text('/billing/2026-09')).toMatch(/ Foreign 7,200 – – .* Total 101,400 93,700 \+500 /);
});

test('a month has the customers that its statements bill, also after an organization has another one', async () => {
  await world.ask(
    asProgram(`update losant_usage.organizations set customer_id = 'customer-new' where org_id = '${ORGS.office}';
      insert into losant_usage.organization_history (org_id, instance_id, name, tags, limits, customer_id, valid_from, valid_to)
      select org_id, instance_id, name, tags, limits, 'customer-old', '2026-08-01'::timestamptz, '2026-10-05'::timestamptz
      from losant_usage.organizations where org_id = '${ORGS.office}'
      union all select org_id, instance_id, name, tags, limits, 'customer-new', '2026-10-05', null
      from losant_usage.organizations where org_id = '${ORGS.office}'`),
  );
  const office = async (month: string) =>
    /Office .*/.exec(await world.text(`/billing/${month}?q=Office&columns=all`))?.[0];
  expect(await office('2026-09')).toContain(' customer-old ');
  expect(await office('2026-10')).toContain(' customer-new ');
});

/** Was created on the last day of September, and found only after that month was closed. */
const LATE = idOf(20);

const CHANGES = `${OFFICE_DOUBT};
  insert into losant_usage.organizations (org_id, instance_id, name, tags, limits, created_on, first_seen_at, last_seen_at)
  values ('${LATE}', '${INSTANCE}', 'Late', '[]', '{}', '2026-09-30', '2026-10-06', now());
  insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
  values ('${LATE}', 'payload_totals', '2026-09-30', '2026-10-01', '2026-09-30');
  insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes)
  values ('2026-09-30', '${LATE}', 7, 7, 700);
  insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision,
    first_loaded_at, last_read_at, finalized_at)
  values ('2026-09-30', '${LATE}', 'payload_totals', 'final', true, true, 1, '2026-10-06', '2026-10-06', '2026-10-06');
  update losant_usage.coverage set failed_reads = 0 where org_id = '${LATE}';
  update losant_usage.usage_days set devices_created = 2
  where usage_date = '2026-09-15' and org_id = '${ORGS.doubled}';
  insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id, changed_at)
  values ('${ORGS.doubled}', 'device_counts', '2026-09-15', 2, '{"devices_created": 1}', '{"devices_created": 2}', true,
    gen_random_uuid(), '2026-11-28T00:16Z')`;

test('what an adjustment bills now is to be adjusted: also what was never billed, and any metric', async () => {
  await world.ask(asProgram(CHANGES));
  const [, rows] = (await world.text('/billing/2026-09?only=to_adjust')).split(' 2 rows ');
  expect(rows).toMatch(/ Doubled .* Late 7 – \+7 /);
  expect(rows).not.toContain('Office');
  const { text } = world.serve({ instanceIds: [INSTANCE] });
  await expect.poll(() => text('/billing/2026-09')).toMatch(/ Total 94,207 93,700 \+507 /);
});
