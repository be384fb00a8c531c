/** The period to date beside the limits of an organization, and what it comes to. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { type DayRange, eachDay } from '../../src/usage/day.ts';
import { answer, row, values } from '../database/answers.ts';
import { useLedger } from '../database/ledger.ts';
import { devices, trackedOrg } from '../views/loads.ts';

const ledger = useLedger({ stoppedAt: '2026-11-21T12:00:00.000Z' });

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals'];

/** An organization that was created on 11 November: 10 days of it are over on the 21st, and 20 are possible. */
async function addOrg(limits: object, minutesOn: DayRange): Promise<string> {
  const orgId = await trackedOrg(ledger, STREAMS, { from: '2026-11-11', to: '2049-12-30' });
  await ledger.ask(sql`update losant_usage.organizations set limits = ${JSON.stringify(limits)}::text::jsonb,
    created_at = '2026-11-11T09:00:00Z', created_on = '2026-11-11' where org_id = ${orgId}`);
  await ledger.load([
    devices(orgId, '2026-11-11', 4, 1, 50),
    ...eachDay({ from: '2026-11-11', to: '2026-11-20' }).map((day) =>
      answer(values(row(1_000, 1_200, 9_000)), { orgId, day, stream: 'payload_totals' }),
    ),
    ...eachDay(minutesOn).map((day) =>
      answer(values(row(10, 1, 0, 0, 0)), { orgId, day, stream: 'notebook_minutes' }),
    ),
  ]);
  return orgId;
}

const limitsOf = (orgId: string) =>
  ledger.ask(sql`select limit_name, metric, days_stored, quantity, share, projected_quantity, projected_share, crosses_on
      from losant_usage.usage_vs_limits where org_id = ${orgId} order by limit_name`);

test('each metric goes on as on its own days, for the days on which the organization can exist', async () => {
  // Device counts stopped after a day, and notebooks were read on five of ten days: neither changes the payloads.
  const limits = { device: 40, notebookMinutesPerMonth: 60, payload: 15_000, member: 3 };
  const orgId = await addOrg(limits, { from: '2026-11-11', to: '2026-11-15' });
  expect(await limitsOf(orgId)).toEqual([
    {
      ...{ limit_name: 'device', metric: 'devices_total', days_stored: 1, quantity: 50, share: '1.2500' },
      // A level stays what it is; it was passed on its only day.
      ...{ projected_quantity: 50, projected_share: '1.2500', crosses_on: '2026-11-11' },
    },
    {
      ...{ limit_name: 'member', metric: null, days_stored: null, quantity: null, share: null },
      ...{ projected_quantity: null, projected_share: null, crosses_on: null },
    },
    {
      ...{ limit_name: 'notebookMinutesPerMonth', metric: 'notebook_minutes', days_stored: 5, quantity: 50 },
      ...{ share: '0.8333', projected_quantity: 200, projected_share: '3.3333', crosses_on: '2026-11-22' },
    },
    {
      ...{ limit_name: 'payload', metric: 'payload_billable_count', days_stored: 10, quantity: 10_000 },
      ...{ share: '0.6667', projected_quantity: 20_000, projected_share: '1.3333', crosses_on: '2026-11-26' },
    },
  ]);
});

test('a limit of nothing, and one that is not reached, are no division by zero and no day', async () => {
  const limits = { notebookMinutesPerMonth: 0, payload: 20_000 };
  const orgId = await addOrg(limits, { from: '2026-11-11', to: '2026-11-11' });
  expect(await limitsOf(orgId)).toEqual([
    {
      ...{ limit_name: 'notebookMinutesPerMonth', metric: 'notebook_minutes', days_stored: 1, quantity: 10 },
      ...{ share: null, projected_quantity: 200, projected_share: null, crosses_on: '2026-11-11' },
    },
    {
      ...{ limit_name: 'payload', metric: 'payload_billable_count', days_stored: 10, quantity: 10_000 },
      ...{ share: '0.5000', projected_quantity: 20_000, projected_share: '1.0000', crosses_on: null },
    },
  ]);
});

test('a limit that is passed already names the day on which the sum passed it', async () => {
  const orgId = await addOrg({ payload: 3_500 }, { from: '2026-11-11', to: '2026-11-11' });
  expect(await limitsOf(orgId)).toMatchObject([{ quantity: 10_000, crosses_on: '2026-11-14' }]);
});
