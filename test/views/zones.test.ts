/** The views answer the same, whatever the time zone of the session that asks. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { RUN_2, useLedger } from '../database/ledger.ts';
import { devices, hours, sources, trackedOrg } from './loads.ts';

const ledger = useLedger();

beforeAll(async () => {
  const orgId = await trackedOrg(ledger, ['device_counts', 'payload_sources', 'payload_hours'], {
    from: '2026-09-30',
    to: '2026-11-01',
  });
  await ledger.load([devices(orgId, '2026-09-30', 1, 0, 1), devices(orgId, '2026-10-01', 2, 0, 3)]);
  await ledger.load([devices(orgId, '2026-10-31', 4, 0, 7), devices(orgId, '2026-11-01', 8, 0, 15)]);
  await ledger.load([sources(orgId, '2026-10-31', 5), hours(orgId, '2026-10-31', (hour) => [hour, 24, 9])]);
  const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
  await ledger.load([{ ...devices(orgId, '2026-10-01', 2, 0, 4), ...later }], RUN_2);
});

const ZONES = ['UTC', 'Pacific/Kiritimati', 'America/Los_Angeles', 'Asia/Kolkata', 'Pacific/Niue'];
const QUESTIONS = [
  'select * from losant_usage.daily_usage',
  'select * from losant_usage.daily_usage_long',
  'select * from losant_usage.monthly_usage',
  'select * from losant_usage.coverage_gaps',
  'select * from losant_usage.freshness',
  'select usage_date, metric, old_quantity, new_quantity from losant_usage.restatements',
  'select * from losant_usage.usage_as_of(now())',
  "select usage_date, metric, change, new_quantity from losant_usage.changes_since(now() - interval '1 hour')",
  'select * from losant_usage.device_continuity',
  'select * from losant_usage.tracked',
  "select usage_date, hour at time zone 'UTC' as hour, payload_billable_count from losant_usage.hourly_usage",
];

async function answerIn(zone: string, question: string): Promise<string> {
  return await ledger.db.transaction().execute(async (trx) => {
    await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
    const asked = sql<{
      answer: string;
    }>`select jsonb_agg(to_jsonb(q) order by to_jsonb(q)::text)::text as answer
      from (${sql.raw(question)}) as q`;
    const { rows } = await asked.execute(trx);
    return rows[0]?.answer ?? '';
  });
}

test.each(QUESTIONS)('%s', async (question) => {
  const answers = await Promise.all(ZONES.map((zone) => answerIn(zone, question)));
  expect(answers[0]?.length).toBeGreaterThan(10);
  expect(new Set(answers).size).toBe(1);
});

test('a month holds its own days in every zone', async () => {
  for (const zone of ZONES) {
    const months = await ledger.db.transaction().execute(async (trx) => {
      await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
      const { rows } = await sql`select month::text, devices_created, devices_total, days_expected
        from losant_usage.monthly_usage order by month`.execute(trx);
      return rows.map((row) => ({ ...(row as object) }));
    });
    expect(months).toEqual([
      { month: '2026-09-01', devices_created: 1, devices_total: 1, days_expected: 1 },
      { month: '2026-10-01', devices_created: 6, devices_total: 7, days_expected: 31 },
      { month: '2026-11-01', devices_created: 8, devices_total: 15, days_expected: 1 },
    ]);
  }
});
