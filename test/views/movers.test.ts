/** Who went silent, and whose payloads moved against the same days of the month before. */
import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import { type DayRange, eachDay } from '../../src/usage/day.ts';
import { answer, row, values } from '../database/answers.ts';
import { useLedger } from '../database/ledger.ts';
import { trackedOrg } from './loads.ts';

const ledger = useLedger({ stoppedAt: '2026-03-31T12:00:00.000Z' });
let orgId: string;

beforeEach(async () => {
  orgId = await trackedOrg(ledger, ['payload_totals'], { from: '2026-01-01', to: '2049-12-30' });
});

const send = async (range: DayRange, payloads: number) =>
  await ledger.load(
    eachDay(range).map((day) =>
      answer(values(row(payloads, payloads, 9 * payloads)), { orgId, day, stream: 'payload_totals' }),
    ),
  );
const readMovers = () =>
  ledger.ask(sql`select period_start, period_end, days, quantity, previous_quantity, difference, change
      from losant_usage.usage_movers where org_id = ${orgId}`);
const readSilent = () =>
  ledger.ask(
    sql`select last_day, silent_days, payloads_before from losant_usage.silent_organizations where org_id = ${orgId}`,
  );

test('payloads are compared with the same days of a month before that is shorter', async () => {
  await send({ from: '2026-02-01', to: '2026-02-28' }, 100);
  await send({ from: '2026-03-01', to: '2026-03-30' }, 150);
  expect(await readMovers()).toEqual([
    {
      ...{ period_start: '2026-03-01', period_end: '2026-03-30', days: 28, quantity: 4_200 },
      ...{ previous_quantity: 2_800, difference: 1_400, change: '0.5000' },
    },
  ]);
});

test('a day that is stored in one of the months only is in neither sum', async () => {
  await send({ from: '2026-02-03', to: '2026-02-10' }, 100);
  await send({ from: '2026-03-01', to: '2026-03-05' }, 100);
  expect(await readMovers()).toMatchObject([{ days: 3, difference: 0, change: '0.0000' }]);
});

test('an organization without a day in both months, or that was deleted, is not compared', async () => {
  await send({ from: '2026-03-01', to: '2026-03-30' }, 100);
  expect(await readMovers()).toEqual([]);
  await send({ from: '2026-02-01', to: '2026-02-28' }, 0);
  expect(await readMovers()).toMatchObject([{ difference: 2_800, change: null }]);
  await ledger.ask(sql`update losant_usage.organizations set removed_at = now() where org_id = ${orgId}`);
  expect(await readMovers()).toEqual([]);
});

test('an organization is silent from its third stored day without payloads', async () => {
  await send({ from: '2026-03-01', to: '2026-03-27' }, 100);
  await send({ from: '2026-03-28', to: '2026-03-29' }, 0);
  expect(await readSilent()).toEqual([]);
  await send({ from: '2026-03-30', to: '2026-03-30' }, 0);
  expect(await readSilent()).toEqual([{ last_day: '2026-03-27', silent_days: 3, payloads_before: 2_700 }]);
});

test('a day that is not stored is no silence', async () => {
  await send({ from: '2026-03-01', to: '2026-03-25' }, 100);
  await send({ from: '2026-03-29', to: '2026-03-30' }, 0);
  expect(await readSilent()).toEqual([]);
});

test('an organization that never sent anything is not silent', async () => {
  await send({ from: '2026-03-01', to: '2026-03-30' }, 0);
  expect(await readSilent()).toEqual([]);
});
