/** Adjusting a closed month: each difference once, to the customer of its line, whichever instance billed it. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import type { CloseOutcome } from '../../src/billing/close.ts';
import { addDays, daysOfMonth } from '../../src/usage/day.ts';
import { totals } from '../usage/cells.ts';
import { DEVICES, INSTANCE, type OrgOptions, OTHER_INSTANCE, quantitiesOf, renewHistory, useBooks } from './books.ts';

const books = useBooks();
let months = 0;
/** Returns a month since 2025 that no other test has. */
const takeMonth = (): string => new Date(Date.UTC(2025, months++)).toISOString().slice(0, 7);

const orgIn = async (month: string, options: Partial<OrgOptions> = {}, isLate = false) => {
  const days = { from: `${month}-10`, to: `${month}-12` };
  const orgId = await books.addOrg({ ...days, ...options });
  await books.addCells({ orgId, ...days, isLate });
  return orgId;
};

const createdTo = async (orgId: string, day: string, from: number, to: number) =>
  await books.restate(orgId, day, { old: { devices_created: from }, numbers: { devices_created: to } });

const customersOf = (month: string) =>
  books.list(sql`select customer_id, org_id, orgs, billed_before, quantity, total from losant_usage.customer_statements
    where month = ${`${month}-01`}::date and metric = 'devices_created' order by customer_id, closed_at`);
const daysOf = (month: string) =>
  books.list(sql`select number is not null as is_billed, metric, to_char(usage_date, 'DD') as day, billed_quantity,
      quantity, difference, cause, revision, waiver_reason, run_id is not null as has_run
    from losant_usage.adjustment_days where month = ${`${month}-01`}::date order by number, metric, usage_date`);
const createdOf = async (month: string) => (await daysOf(month)).filter((row) => row.includes('devices_created'));
const adjustmentsOf = (month: string) =>
  books.list(sql`select org_id, metric, billed_quantity, quantity, difference, cause from losant_usage.adjustments
    where month = ${`${month}-01`}::date order by org_id, metric`);
/** Returns to how many statements each of an instance's statements of the month refers. */
const earlierOf = (instanceId: string, month: string) =>
  books.list(sql`select jsonb_array_length(manifest::jsonb -> 'statement' -> 'earlier') from losant_usage.statements
    where instance_id = ${instanceId} and month = ${`${month}-01`}::date order by number`);
const moveAway = (orgId: string) => books.setOrg(orgId, sql`instance_id = ${OTHER_INSTANCE}`);
const statesOf = (month: string) =>
  books.list(sql`select instance_id, state from losant_usage.months where month = ${`${month}-01`}::date order by 1`);
/** Returns an adjustment or closing as lines of organization, quantity and what was billed before. */
const quantitiesOfOrgs = ({ lines }: CloseOutcome) =>
  lines.map(({ orgId, quantity, billedBefore }) => `${orgId} ${quantity} ${billedBefore}`);
/** The lines that bill quantities of devices of an organization for the first time. */
const firstLines = (orgId: string, ...quantities: readonly string[]) =>
  quantities.map((quantity) => `${orgId} ${quantity} null`);

describe('an adjustment', () => {
  // Guarantee (Billing): A difference after closing is billed once, to the customer of the line it corrects, whichever
  // instance billed it.
  test('bills a difference once', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    await books.close(month);
    expect(await books.adjust(month)).toMatchObject({ kind: 'unchanged', lines: [] });
    await createdTo(orgId, `${month}-11`, 4, 1);
    expect(await adjustmentsOf(month)).toEqual([`${orgId} devices_created 12 9 -3 restated`]);
    const adjusted = await books.adjust(month);
    const correction = { metric: 'devices_created', quantity: '-3', billedBefore: '12', total: '9' };
    expect(adjusted.lines).toMatchObject([correction]);
    expect(adjusted.statement).toMatchObject({ kind: 'adjustment', number: 2 });
    expect(await books.adjust(month)).toMatchObject({ kind: 'unchanged' });
    await createdTo(orgId, `${month}-11`, 1, 4);
    const back = 'devices_created 11 1 4 3 restated 3 - true';
    expect(await daysOf(month)).toEqual(['true devices_created 11 4 1 -3 restated 2 - true', `false ${back}`]);
    expect(quantitiesOf(await books.adjust(month))).toEqual({ devices_created: '3' });
    expect((await daysOf(month)).at(-1)).toEqual(`true ${back}`);
    await books.force(`update losant_usage.statements set closed_by = 'a' where kind = 'adjustment'`);
    const closedBy = sql`select closed_by from losant_usage.months where month = ${`${month}-01`}::date`;
    expect(await books.list(closedBy)).toEqual(['losant_usage_closer']);
  });

  test('has a line of 0 if only sources or only a maximum differ', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    await books.addCells({ orgId, from: `${month}-10`, to: `${month}-12`, stream: 'payload_sources' });
    expect(quantitiesOf(await books.close(month))).toMatchObject({ payload_source_count: '36' });
    await books.restate(orgId, `${month}-11`, {
      stream: 'payload_sources',
      old: { payload_sources: { timer: { 'timer.flow': 7 }, webhook: { hook: 5 } } },
      numbers: { payload_sources: { timer: { 'timer.flow': 8 }, webhook: { hook: 4 } } },
    });
    expect(quantitiesOf(await books.adjust(month))).toEqual({ payload_source_count: '0' });
    await books.restate(orgId, `${month}-10`, { old: { devices_total: 17 }, numbers: { devices_total: 20 } });
    expect(quantitiesOf(await books.adjust(month))).toEqual({ devices_total: '0' });
    expect((await books.verifyMonth(month)).problems).toEqual([]);
  });

  test('bills all usage of an organization that appeared since the closing', async () => {
    const month = takeMonth();
    await orgIn(month);
    await books.close(month);
    const late = await orgIn(month, {}, true);
    expect(await adjustmentsOf(month)).toContain(`${late} devices_total - 17 17 not_in_statement`);
    expect(quantitiesOfOrgs(await books.adjust(month))).toEqual(firstLines(late, '12', '3', '17'));
  });

  test('goes to the customer of the line it corrects, and a closing to the customer of the last day', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month, { customerId: 'C-old' });
    const changeCustomer = async (customerId: string, at: string) => {
      await books.setOrg(orgId, sql`customer_id = ${customerId}`);
      await books.asProgram(...renewHistory(orgId, customerId, at));
    };
    await changeCustomer('C-month', `${month}-20T00:00:00Z`);
    await changeCustomer('C-after', `${daysOfMonth(month).to}T23:59:59Z`);
    await changeCustomer('C-new', '2025-12-05T00:00:00Z');
    const { lines } = await books.close(month);
    expect(lines[0]).toMatchObject({ customerId: 'C-after', isCustomerChanged: true });
    await createdTo(orgId, `${month}-11`, 4, 40);
    const adjusted = await books.adjust(month);
    expect(adjusted.lines).toMatchObject([{ customerId: 'C-after', quantity: '36' }]);
    expect(await customersOf(month)).toEqual(['C-after - 1 - 12 12', 'C-after - 1 12 36 48']);
  });
});

test('the organizations of a customer are named once for all that have the same name, referral ID and plan', async () => {
  const month = takeMonth();
  const orgIds = [await orgIn(month, { customerId: 'C-1' }), await orgIn(month, { customerId: 'C-1' })];
  await books.asProgram(sql`update losant_usage.organization_history set referral_id = 'R-1', plan_id = 'basic'
    where org_id = any (${orgIds})`);
  await books.close(month);
  const names = sql`select org_name, referral_id, plan_id, orgs, quantity from losant_usage.customer_statements
    where month = ${`${month}-01`}::date and metric = 'devices_created'`;
  expect(await books.list(names)).toEqual(['Acme R-1 basic 2 24']);
});

test('a number that changed between the closings of two instances is adjusted', async () => {
  const month = takeMonth();
  const orgId = await orgIn(month);
  await orgIn(month, { instanceId: OTHER_INSTANCE });
  const waitAnHour = () => books.setTime(new Date(books.nowMs + 3_600_000).toISOString());
  await books.close(month);
  await waitAnHour();
  await createdTo(orgId, `${month}-11`, 4, 14);
  await createdTo(orgId, `${month}-11`, 14, 24);
  await waitAnHour();
  await books.close(month, { instanceId: OTHER_INSTANCE });
  expect(await adjustmentsOf(month)).toEqual([`${orgId} devices_created 12 32 20 restated`]);
  expect(await daysOf(month)).toEqual(['false devices_created 11 4 24 20 restated 3 - true']);
});

test('a line says that the customer changed in the month, also if the organization had none before', async () => {
  const month = takeMonth();
  const [changedId, laterId] = [await orgIn(month), await orgIn(month)];
  await books.asProgram(
    ...renewHistory(changedId, 'C-1', `${month}-20T00:00:00Z`),
    ...renewHistory(laterId, 'C-1', `${addDays(daysOfMonth(month).to, 1)}T00:00:00Z`),
  );
  const { lines } = await books.close(month);
  const lineOf = (id: string) => lines.find(({ orgId }) => orgId === id);
  expect(lineOf(changedId)).toMatchObject({ customerId: 'C-1', isCustomerChanged: true });
  expect(lineOf(laterId)).toMatchObject({ customerId: null, isCustomerChanged: false });
});

test('a line of payloads by source has no sources if there were no payloads, and is billed once', async () => {
  const month = takeMonth();
  const days = { from: `${month}-10`, to: `${month}-12` };
  const orgId = await books.addOrg(days);
  const numbers = { payload_source_count: 0, payload_sources: {} };
  await books.addCells({ orgId, ...days, stream: 'payload_sources', numbers });
  await books.close(month);
  const sources = sql`select quantity, sources from losant_usage.statement_lines where org_id = ${orgId}`;
  expect(await books.list(sources)).toEqual(['0 {}']);
  expect(await books.adjust(month)).toMatchObject({ kind: 'unchanged', lines: [] });
});

describe('the days that explain an adjustment', () => {
  test('are those that were not stored or not settled before, and those that were waived', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    await books.addCells({ orgId, from: `${month}-13`, standing: 'missing', numbers: null });
    for (const day of ['10', '11']) await books.setStanding(orgId, `${month}-${day}`, 'in_doubt');
    await books.accept(month);
    // Its blockers are not asked about until a number differs.
    expect((await books.adjust(month)).kind).toBe('unchanged');
    const added = { devices_created: 9, devices_deleted: 0, devices_total: 20 };
    await books.fill(orgId, `${month}-13`, 'device_counts', added);
    await books.setStanding(orgId, `${month}-10`, 'final');
    const settled = 'devices_created 10 - 4 4 settled - - false';
    const waived = 'devices_created 11 - 4 4 waived - agreed false';
    const loaded = 'devices_created 13 - 9 9 first_loaded - - false';
    expect(await createdOf(month)).toEqual([`false ${settled}`, `false ${loaded}`]);
    expect((await books.adjust(month)).kind).toBe('unsettled');
    await books.waive(orgId, `${month}-11`);
    expect(await adjustmentsOf(month)).toContain(`${orgId} devices_created 4 21 17 settled_later`);
    expect(await createdOf(month)).toEqual([settled, waived, loaded].map((row) => `false ${row}`));
    const withoutTime = sql`select cause from losant_usage.adjustment_days where changed_at is null`;
    expect(await books.list(withoutTime)).toEqual([]);
    expect(quantitiesOf(await books.adjust(month))).toMatchObject({ devices_created: '17' });
    const billed = [settled, waived, loaded].map((row) => `true ${row}`);
    expect(await createdOf(month)).toEqual(billed);
    await books.addCells({ orgId, from: `${month}-14`, isLate: true });
    expect(await createdOf(month)).toEqual([...billed, 'false devices_created 14 - 4 4 first_loaded - - false']);
  });

  test('were billed although another day, stream or organization of the statement was not settled', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    const otherId = await orgIn(month);
    const day = `${month}-10`;
    await books.addCells({ orgId, from: day, stream: 'payload_totals' });
    await books.setStanding(orgId, day, 'in_doubt');
    await books.accept(month);
    await createdTo(orgId, `${month}-11`, 4, 14);
    await createdTo(otherId, day, 4, 14);
    const restated = { old: { payload_all_count: 9 }, numbers: { payload_all_count: 19 } };
    await books.restate(orgId, day, { stream: 'payload_totals', ...restated });
    expect(await daysOf(month)).toEqual([
      'false devices_created 10 4 14 10 restated 2 - true',
      'false devices_created 11 4 14 10 restated 2 - true',
      'false payload_all_count 10 9 19 10 restated 2 - true',
    ]);
  });

  test('have no new number as long as a day is not settled again', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    await books.close(month);
    await books.setStanding(orgId, `${month}-11`, 'in_doubt');
    expect(await books.accept(month, { isAdjustment: true })).toMatchObject({ kind: 'unsettled' });
    expect(await adjustmentsOf(month)).toContain(`${orgId} devices_created 12 8 - not_settled`);
    await createdTo(orgId, `${month}-11`, 4, 6);
    expect(await createdOf(month)).toEqual(['false devices_created 11 4 - - not_settled 2 - true']);
  });

  test('name a waiver only if it was in force', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    const days = [`${month}-10`, `${month}-11`];
    for (const day of days) await books.setStanding(orgId, day, 'in_doubt');
    await books.accept(month);
    await books.waive(orgId, `${month}-10`);
    await books.asProgram(sql`update losant_usage.waivers set lifted_at = now() where org_id = ${orgId}`);
    for (const day of days) await books.setStanding(orgId, day, 'final');
    const settled = ['10', '11'].map((day) => `devices_created ${day} - 4 4 settled - - false`);
    expect(await createdOf(month)).toEqual(settled.map((row) => `false ${row}`));
    await books.adjust(month);
    await books.setStanding(orgId, `${month}-11`, 'in_doubt');
    expect(await books.causesOf(month)).toEqual(['in_doubt']);
    await books.waive(orgId, `${month}-11`);
    expect(await createdOf(month)).toEqual(settled.map((row) => `true ${row}`));
  });

  test('are of another cause than those of a stream that was not restated', async () => {
    const month = takeMonth();
    const orgId = await orgIn(month);
    const day = `${month}-11`;
    await books.addCells({ orgId, from: day, stream: 'payload_totals' });
    await books.setStanding(orgId, day, 'in_doubt', 'payload_totals');
    await books.accept(month);
    await createdTo(orgId, day, 4, 5);
    await books.setStanding(orgId, day, 'final', 'payload_totals');
    expect(await adjustmentsOf(month)).toEqual([
      `${orgId} devices_created 12 13 1 restated`,
      `${orgId} payload_all_bytes - 1200 1200 settled_later`,
      `${orgId} payload_all_count - 12 12 settled_later`,
      `${orgId} payload_billable_count - 10 10 settled_later`,
    ]);
    const difference = sql`select difference::integer from losant_usage_internal.month_summaries
      where month = ${`${month}-01`}::date`;
    expect(await books.queryAsWriter(difference)).toEqual([{ difference: 10 }]);
  });
});

describe('an organization that is transferred to another instance', () => {
  test('is billed once, and later changes are adjusted by the instance that has it', async () => {
    const month = takeMonth();
    const moving = await orgIn(month, { customerId: 'C-1' });
    const other = await orgIn(month, { instanceId: OTHER_INSTANCE, customerId: 'C-1' });
    await books.close(month);
    expect(await statesOf(month)).toEqual([`${INSTANCE} closed`, `${OTHER_INSTANCE} ready`]);
    await moveAway(moving);
    const second = await books.close(month, { instanceId: OTHER_INSTANCE });
    expect(new Set(second.lines.map(({ orgId }) => orgId))).toEqual(new Set([other]));
    expect(await earlierOf(OTHER_INSTANCE, month)).toEqual(['0']);
    for (const instanceId of [INSTANCE, OTHER_INSTANCE])
      expect((await books.adjust(month, { instanceId })).kind).toBe('unchanged');
    await createdTo(moving, `${month}-11`, 4, 14);
    expect(await books.adjust(month)).toMatchObject({ kind: 'unchanged' });
    const adjusted = await books.adjust(month, { instanceId: OTHER_INSTANCE });
    expect(adjusted.lines).toMatchObject([{ orgId: moving, quantity: '10', billedBefore: '12' }]);
    expect(await earlierOf(OTHER_INSTANCE, month)).toEqual(['0', '2']);
    expect(await customersOf(month)).toEqual(['C-1 - 1 - 12 12', 'C-1 - 1 12 12 24', 'C-1 - 1 24 10 34']);
    expect(await daysOf(month)).toEqual(['true devices_created 11 4 14 10 restated 2 - true']);
  });

  test('is billed by the instance that has it if no instance has billed it', async () => {
    const month = takeMonth();
    const moving = await orgIn(month);
    await orgIn(month, { instanceId: OTHER_INSTANCE });
    await books.close(month, { instanceId: OTHER_INSTANCE });
    await moveAway(moving);
    const adjusted = await books.adjust(month, { instanceId: OTHER_INSTANCE });
    expect(quantitiesOfOrgs(adjusted)).toEqual(firstLines(moving, '12', '3', '17'));
    const added = ['10', '11', '12'].map((day) => `true devices_created ${day} - 4 4 first_loaded - - false`);
    expect(await createdOf(month)).toEqual(added);
  });

  test('leaves no month to close without a difference', async () => {
    const month = takeMonth();
    const moving = await orgIn(month);
    const day = `${month}-11`;
    await books.setStanding(moving, day, 'in_doubt');
    await books.accept(month);
    await moveAway(moving);
    const closed = `${INSTANCE} closed`;
    expect(await statesOf(month)).toEqual([closed]);
    await books.setStanding(moving, day, 'final');
    expect(await statesOf(month)).toEqual([closed, `${OTHER_INSTANCE} ready`]);
    await createdTo(moving, day, 4, 0);
    await books.restate(moving, day, { old: { devices_deleted: 1 }, numbers: { devices_deleted: 0 } });
    // The day counts with 0, as it was billed.
    expect(await statesOf(month)).toEqual([closed]);
  });

  test('is in no month to close because of a waived day that the former instance has billed', async () => {
    const month = takeMonth();
    const moving = await orgIn(month);
    await books.waive(moving, `${month}-11`);
    await books.close(month);
    await moveAway(moving);
    expect(await statesOf(month)).toEqual([`${INSTANCE} closed`]);
  });

  test('is billed by the closing of another instance what the first one had no number for, and only that', async () => {
    const month = takeMonth();
    const day = `${month}-10`;
    const moving = await books.addOrg({ from: day, to: day });
    await books.addCells({ orgId: moving, from: day, standing: 'missing', numbers: null });
    await books.addCells({ orgId: moving, from: day, stream: 'payload_totals' });
    const other = await orgIn(month, { instanceId: OTHER_INSTANCE });
    await books.accept(month);
    await moveAway(moving);
    await books.fill(moving, day, 'device_counts', DEVICES);
    const closed = await books.close(month, { instanceId: OTHER_INSTANCE });
    const expected = [...firstLines(moving, '4', '1', '17'), ...firstLines(other, '12', '3', '17')];
    expect(quantitiesOfOrgs(closed)).toEqual(expected);
    expect((await books.verifyMonth(month)).problems).toEqual([]);
  });
});

test('quantities of a statement may exceed 2^53', async () => {
  const month = takeMonth();
  const days = { from: `${month}-10`, to: `${month}-12` };
  const numbers = totals(10, 12, Number.MAX_SAFE_INTEGER);
  await books.addCells({ orgId: await books.addOrg(days), ...days, stream: 'payload_totals', numbers });
  expect(quantitiesOf(await books.close(month))).toMatchObject({ payload_all_bytes: '27021597764222973' });
  expect((await books.verifyMonth(month)).problems).toEqual([]);
});
