/**
 * Four simulated months of billing: organizations come and go, one changes its customer, one its instance, numbers are
 * restated before and after a month is closed, days are missing and are stored later or waived, and a difference from
 * a control total is accepted. Every line is compared with an independent reckoning, and every pack is checked.
 */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { daysOfMonth, eachDay } from '../../src/usage/day.ts';
import { INSTANCE, OTHER_INSTANCE, renewHistory, useBooks } from './books.ts';
import { byKey, METRICS, type ReckonedCell, Reckoning } from './reckoning.ts';

const books = useBooks();
const reckoning = new Reckoning();
/** With the change of a year and a leap day. */
const MONTHS = ['2023-12', '2024-01', '2024-02', '2024-03'];
const [FIRST_DAY, LAST_DAY] = ['2023-12-01', '2024-03-31'];

let seed = 20_251_231;
/** A whole number from 0 to below `limit`, the same in every run. */
function random(limit: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((seed / 2_147_483_648) * limit);
}

const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
/** No day has more billable payloads than payloads. */
const drawNumber = (metric: string) => random(1_000) + (metric === 'payload_all_count' ? 1_000 : 0);
const drawNumbers = (stream: string): Record<string, number> =>
  Object.fromEntries((METRICS[stream] ?? []).map((metric) => [metric, drawNumber(metric)]));

const columnsOf = (stream: string, numbers: Record<string, number>): Record<string, unknown> =>
  stream === 'payload_sources'
    ? { ...numbers, payload_sources: { timer: { flow: numbers['payload_source_count'] } } }
    : numbers;

async function addMonth(orgId: string, from: string, to: string): Promise<void> {
  const rows = eachDay({ from, to }).map((day) => ({ org_id: orgId, usage_date: day, numbers: {} }));
  for (const stream of Object.keys(METRICS)) {
    const usual = columnsOf(stream, drawNumbers(stream));
    await books.addCells({ orgId, from, to, stream, numbers: usual });
    for (const row of rows) {
      const numbers = drawNumbers(stream);
      reckoning.add({ orgId, day: row.usage_date, stream, numbers, isSettled: true });
      Object.assign(row, columnsOf(stream, numbers));
    }
  }
  await books.addCells({ orgId, from, to, stream: 'payload_hours' });
  const columns = [...Object.values(METRICS).flat(), 'payload_sources'].map(
    (name) => sql`${sql.ref(name)} = n.${sql.ref(name)}`,
  );
  await books.asProgram(sql`update losant_usage.usage_days d set ${sql.join(columns)}
    from jsonb_populate_recordset(null::losant_usage.usage_days, ${JSON.stringify(rows)}::jsonb) as n
    where d.org_id = n.org_id and d.usage_date = n.usage_date`);
}

async function restate(cell: ReckonedCell): Promise<void> {
  if (cell.numbers === null) return;
  const { orgId, day, stream } = cell;
  const [old, numbers] = [cell.numbers, drawNumbers(stream)];
  await books.restate(orgId, day, { stream, old: columnsOf(stream, old), numbers: columnsOf(stream, numbers) });
  cell.numbers = numbers;
  restated.add(cell);
}

/** Removes the numbers of a cell, as if they had never been loaded. */
async function lose(cell: ReckonedCell): Promise<void> {
  const none = Object.keys(columnsOf(cell.stream, cell.numbers ?? {})).map((name) => sql`${sql.ref(name)} = null`);
  await books.asProgram(
    sql`update losant_usage.usage_days set ${sql.join(none)}
    where org_id = ${cell.orgId} and usage_date = ${cell.day}`,
    sql`update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false,
      revision = 0, reason = 'never_read', finalized_at = null, first_loaded_at = null
    where org_id = ${cell.orgId} and usage_date = ${cell.day} and stream = ${cell.stream}`,
  );
  Object.assign(cell, { numbers: null, isSettled: false });
}

async function changeCustomer(orgId: string, customerId: string, at: string): Promise<void> {
  await books.asProgram(...renewHistory(orgId, customerId, at));
  reckoning.customers.get(orgId)?.push([at.slice(0, 10), customerId]);
}

const restated = new Set<ReckonedCell>();
let compared = 0;

/** Closes or adjusts a month, accepting its blockers, and compares every line. */
async function settle(instanceId: string, month: string, isAdjustment: boolean): Promise<void> {
  const expected = reckoning.bill(instanceId, month, isAdjustment);
  const outcome = await books.accept(month, { instanceId, isAdjustment });
  const lines = outcome.lines.map((each) => [each.orgId, each.metric, each.quantity, each.total, each.customerId]);
  expect(lines.toSorted(byKey)).toEqual(expected);
  expect(outcome.kind === 'closed').toBe(expected.length > 0);
  compared += lines.length;
}

/** Differences of flows, billed and not billed yet, that their days do not add up to. */
const UNEXPLAINED = sql`
  select d.statement_id, d.month, d.org_id, d.metric, d.difference, e.difference as explained
  from (
    select l.statement_id, l.month, l.org_id, l.metric, l.quantity as difference
    from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
    where l.kind = 'flow' and (s.kind = 'adjustment' or l.billed_before is not null) and l.quantity <> 0
    union all
    select null, month, org_id, metric, difference from losant_usage.adjustments where kind = 'flow' and difference <> 0
  ) as d
  left join (
    select statement_id, month, org_id, metric, sum(difference) as difference
    from losant_usage.adjustment_days group by statement_id, month, org_id, metric
  ) as e on e.statement_id is not distinct from d.statement_id and e.month = d.month and e.org_id = d.org_id
    and e.metric = d.metric
  where d.difference is distinct from e.difference`;

// Guarantee (Billing): Over simulated months, the statements of a month always add up to its current quantities.
test('four months are billed exactly, and every difference since is found', async () => {
  const begin = async (from: string, to: string | null, instanceId = INSTANCE): Promise<string> => {
    const customerId = `C-${reckoning.instances.size}`;
    const orgId = await books.addOrg({ from, to, customerId, instanceId });
    reckoning.instances.set(orgId, instanceId);
    reckoning.customers.set(orgId, [[from, customerId]]);
    return orgId;
  };
  const spans = new Map<string, { readonly from: string; readonly to: string }>();
  for (const [from, to, instanceId] of [
    [FIRST_DAY, null, INSTANCE],
    [FIRST_DAY, null, INSTANCE],
    [FIRST_DAY, '2024-01-17', INSTANCE],
    ['2024-01-09', null, INSTANCE],
    [FIRST_DAY, null, OTHER_INSTANCE],
  ] as const) {
    spans.set(await begin(from, to, instanceId), { from, to: to ?? LAST_DAY });
  }
  const [steady = '', moving = ''] = [...spans.keys()];
  await changeCustomer(steady, 'C-second', '2023-12-15T00:00:00Z');
  await changeCustomer(steady, 'C-third', '2024-02-02T00:00:00Z');
  const unsettled: ReckonedCell[] = [];
  for (const [index, month] of MONTHS.entries()) {
    const { from, to } = daysOfMonth(month);
    for (const [orgId, span] of spans) {
      const days = { from: from > span.from ? from : span.from, to: to < span.to ? to : span.to };
      if (days.from <= days.to) await addMonth(orgId, days.from, days.to);
    }
    const ofMonth = [...reckoning.cells.values()].filter(({ day }) => day.startsWith(month));
    for (let times = 0; times < 3; times += 1) await restate(pick(ofMonth));
    // A cell with revisions cannot look as if it had never been loaded.
    const unchanged = ofMonth.filter((cell) => !restated.has(cell));
    const [missing, waived, doubtful] = [pick(unchanged), pick(unchanged), pick(ofMonth)];
    await lose(missing);
    unsettled.push(missing);
    if (waived.numbers !== null) {
      await lose(waived);
      await books.waive(waived.orgId, waived.day, waived.stream);
      waived.isSettled = true;
      if (index % 2 === 1) unsettled.push(waived);
    }
    if (doubtful.numbers !== null) {
      await books.setStanding(doubtful.orgId, doubtful.day, 'in_doubt', doubtful.stream);
      doubtful.isSettled = false;
      unsettled.push(doubtful);
    }
    if (index === 3) {
      await books.asProgram(sql`insert into losant_usage.instance_totals
          (instance_id, usage_date, metric, quantity, last_read_at, our_sum, orgs_summed, orgs_unsettled, orgs_expected)
        values (${INSTANCE}, ${to}, 'devices_created', 1, now(), 2, 1, 0, 1)`);
      expect(await books.causesOf(month)).toContain('not_reconciled');
    }
    if (index === 2) {
      await books.setOrg(moving, sql`instance_id = ${OTHER_INSTANCE}`);
      reckoning.instances.set(moving, OTHER_INSTANCE);
    }
    for (const instanceId of [INSTANCE, OTHER_INSTANCE]) await settle(instanceId, month, false);
    for (const cell of unsettled.splice(0, index % 2 === 1 ? unsettled.length : 1)) {
      const numbers = cell.numbers ?? drawNumbers(cell.stream);
      await books.asProgram(sql`update losant_usage.waivers set lifted_at = now() where lifted_at is null
        and org_id = ${cell.orgId} and usage_date = ${cell.day} and stream = ${cell.stream}`);
      if (cell.numbers === null) await books.fill(cell.orgId, cell.day, cell.stream, columnsOf(cell.stream, numbers));
      else await books.setStanding(cell.orgId, cell.day, 'final', cell.stream);
      Object.assign(cell, { numbers, isSettled: true });
    }
    for (let times = 0; times < 4; times += 1) await restate(pick([...reckoning.cells.values()]));
    if (index % 2 === 1) {
      for (const earlier of MONTHS.slice(0, index + 1)) {
        for (const instanceId of [INSTANCE, OTHER_INSTANCE]) await settle(instanceId, earlier, true);
      }
    }
  }
  const sums = await books.list(sql`select org_id, to_char(month, 'YYYY-MM') as month, metric,
      coalesce(sum(quantity), 0) from losant_usage.statement_lines group by 1, 2, 3`);
  expect(sums.toSorted()).toEqual(reckoning.list());
  expect(await books.list(UNEXPLAINED)).toEqual([]);
  const customers = await books.list(sql`select customer_id, to_char(month, 'YYYY-MM') as month, metric,
      sum(quantity), max(total) filter (where is_last) from (
        select c.*, row_number() over (partition by month, customer_id, metric order by closed_at desc) = 1 as is_last
        from losant_usage.customer_statements c) as c group by 1, 2, 3`);
  expect(customers.toSorted()).toEqual(reckoning.listCustomers());
  for (const month of MONTHS) expect((await books.verifyMonth(month)).problems).toEqual([]);
  expect(compared).toBeGreaterThan(150);
});
