/** `close` and `statement` as a clerk gives them, and the views that others bill from. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { DEVICES, INSTANCE, useBooks } from './books.ts';

const books = useBooks();
let acme: string;

beforeAll(async () => {
  acme = await books.addOrg({ from: '2026-08-10', customerId: 'cus_acme' });
  const days = { from: '2026-08-10', to: '2026-08-31' };
  await books.addCells({ orgId: acme, ...days });
  await books.addCells({ orgId: acme, from: '2026-09-01', to: '2026-09-29' });
  await books.addCells({ orgId: acme, from: '2026-09-30', standing: 'unavailable', numbers: null });
  await books.addCells({
    orgId: acme,
    from: '2026-10-01',
    to: '2026-10-31',
    numbers: { ...DEVICES, devices_total: 20 },
  });
});

const run = async (...args: readonly string[]): Promise<Ended> =>
  await runProgram([...args], { DATABASE_URL: books.database.url });
const close = async (...args: readonly string[]): Promise<Ended> =>
  await run('close', '--instance', INSTANCE, ...args);

interface Closed {
  readonly blockersHash: string | null;
  readonly blockers: readonly { readonly whatToDo: string }[];
  readonly controls: readonly object[];
}

const closeJson = async (...args: readonly string[]) => {
  const ended = await close('--json', ...args);
  return { code: ended.code, ...jsonOf<{ instances: readonly Closed[] }>(ended).instances[0] };
};

const listMonths = async (): Promise<readonly object[]> =>
  jsonOf<{ months: readonly object[] }>(await close('--json')).months;

describe('a month end', () => {
  test('begins with the list of months', async () => {
    expect(await listMonths()).toMatchObject([
      { period: '2026-11', state: 'open', isOver: false },
      { period: '2026-10', state: 'open', isOver: true, orgsBlocked: 0 },
      { period: '2026-09', state: 'blocked', causes: ['unavailable'], orgsBlocked: 1 },
      { period: '2026-08', state: 'open', causes: null, orgsDifferent: null, linesDifferent: null },
    ]);
    expect((await close()).stdout).toMatch(
      /2026-09 +blocked +unavailable: 1 organization +losant-usage close --period 2026-09 --dry-run/,
    );
  });

  test('says what was not compared at all, and never that nothing differs', async () => {
    const { stdout } = await close('--period', '2026-08', '--dry-run');
    expect(stdout).toMatch(/device_counts +Losant's own total +22 days could not be compared +no total/);
    const { controls } = await closeJson('--period', '2026-08', '--dry-run');
    expect(controls).toEqual([
      {
        stream: 'device_counts',
        compared_with: 'losant',
        outcome: 'not_compared',
        reason: 'no_total',
        days: 22,
      },
    ]);
  });

  test('refuses a blocked month with the commands that help, and with the one that accepts it', async () => {
    const refused = await closeJson('--period', '2026-09');
    expect(refused).toMatchObject({ code: 3, outcome: 'refused', blockers: [{ cause: 'unavailable' }] });
    const { stdout } = await close('--period', '2026-09');
    for (const command of refused.blockers?.[0]?.whatToDo.split('\n') ?? [])
      expect(stdout).toContain(command);
    expect(stdout).toContain(
      `losant-usage close --period 2026-09 --incomplete REASON --blockers ${refused.blockersHash}`,
    );
  });

  const AUGUST = ['--period', '2026-08'];
  const HASH = ['--blockers', '0123456789ab'];
  const AGREED = ['--incomplete', 'agreed'];
  test.for([
    [['--adjust'], '--period is missing'],
    [[...AUGUST, ...AGREED], '--incomplete and --blockers go together'],
    [[...AUGUST, ...HASH], '--incomplete and --blockers go together'],
    [[...AUGUST, '--incomplete', ' ', ...HASH], 'say why'],
    [[...AUGUST, ...AGREED, ...HASH], 'nothing blocks 2026-08 any more'],
    [['--period', '2026-11', ...AGREED, ...HASH], '2026-11 is not over'],
    [[...AUGUST, '--adjust'], 'is not closed, so there is nothing to adjust'],
  ] as const)('is no end: %j', async ([args, problem]) => {
    const ended = await close(...args);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });

  test('closes, adjusts, writes the packs and verifies them', async () => {
    expect(await closeJson('--period', '2026-08')).toMatchObject({
      code: 0,
      outcome: 'closed',
      lines: [
        { metric: 'devices_created', quantity: '88' },
        { metric: 'devices_deleted', quantity: '22' },
        { metric: 'devices_total', quantity: '17' },
      ],
    });
    expect((await close('--period', '2026-08', '--adjust')).stdout).toMatch(
      /^Nothing has changed since the newest statement: 2026-08 of/,
    );
    await books.restate(acme, '2026-08-31', { old: { devices_total: 17 }, numbers: { devices_total: 15 } });
    const different = { period: '2026-08', state: 'different', orgsDifferent: 1, linesDifferent: 1 };
    expect((await listMonths()).at(-1)).toMatchObject(different);
    const adjusted = await close('--period', '2026-08', '--adjust');
    const closed = { ...different, state: 'closed', orgsDifferent: 0, linesDifferent: 0 };
    expect((await listMonths()).at(-1)).toMatchObject(closed);
    expect(adjusted.code).toBe(0);
    expect(adjusted.stdout).toMatch(/devices_total +1 +-2 +devices/);
    const out = join(books.folder, 'august');
    const where = ['--period', '2026-08', '--instance', INSTANCE, '--out', out];
    expect(jsonOf(await run('statement', ...where, '--json'))).toMatchObject({
      statements: [{ folder: '.' }, { folder: 'adjustment-1' }],
    });
    const verified = await run('verify', out);
    expect(verified.code).toBe(0);
    expect(verified.stdout).toContain('The same, byte for byte, as in the database');
    expect(await readFile(join(out, 'lines.csv'), 'utf8')).toContain('cus_acme');
    expect((await run('statement', '--period', '2026-10', '--out', join(books.folder, 'x'))).code).toBe(2);
  });
});

describe('meter_events', () => {
  // Promise (Billing): What other systems are told of a closed month keeps its id, its time and its value.
  test('has a difference a line, whose id stays the same', async () => {
    const events = await books.ask(sql<{ event_id: string }>`
      select event_id, metric, difference, customer_id from losant_usage.meter_events
      where month = '2026-08-01' order by number, metric`);
    const id = (metric: string, number: number) => `${INSTANCE}:${acme}:${metric}:2026-08:${number}`;
    const event = { customer_id: 'cus_acme' };
    expect(events).toEqual([
      { ...event, event_id: id('devices_created', 1), metric: 'devices_created', difference: 88 },
      { ...event, event_id: id('devices_deleted', 1), metric: 'devices_deleted', difference: 22 },
      { ...event, event_id: id('devices_total', 1), metric: 'devices_total', difference: 17 },
      { ...event, event_id: id('devices_total', 2), metric: 'devices_total', difference: -2 },
    ]);
    expect(Math.max(...events.map(({ event_id }) => event_id.length))).toBeLessThanOrEqual(100);
  });

  test('is dated into its month while a meter takes that, and into the present later', async () => {
    await books.close('2026-10');
    const timeOf = async (month: string, number: number) => {
      const [row] = await books.ask(sql<{
        at: string;
      }>`select to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as at
        from losant_usage.meter_events where month = ${month}::date and number = ${number} limit 1`);
      return row?.at;
    };
    expect(await timeOf('2026-10-01', 3)).toBe('2026-10-31 23:59:59');
    expect(await timeOf('2026-08-01', 1)).toMatch(/^2026-11-22 12:/);
  });
});

describe('customer_statements', () => {
  test('adds up what a customer was billed, and keeps who has no customer apart', async () => {
    const nobody = await books.addOrg({ from: '2026-07-10', to: '2026-07-11', customerId: '' });
    const other = await books.addOrg({ from: '2026-07-10', to: '2026-07-11' });
    for (const orgId of [nobody, other])
      await books.addCells({ orgId, from: '2026-07-10', to: '2026-07-11' });
    await books.close('2026-07');
    const rows = await books.ask(sql`select customer_id, org_id, month, quantity::integer, orgs, statements
      from losant_usage.customer_statements where metric = 'devices_total' order by month, customer_id, org_id`);
    expect(rows).toEqual([
      { customer_id: null, org_id: nobody, month: '2026-07-01', quantity: 17, orgs: 1, statements: 1 },
      { customer_id: null, org_id: other, month: '2026-07-01', quantity: 17, orgs: 1, statements: 1 },
      { customer_id: 'cus_acme', org_id: null, month: '2026-08-01', quantity: 15, orgs: 1, statements: 2 },
      { customer_id: 'cus_acme', org_id: null, month: '2026-10-01', quantity: 20, orgs: 1, statements: 1 },
    ]);
  });
});
