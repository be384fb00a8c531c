/** What the constraints and triggers of the ledger reject. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { FIRST_DAY, LAST_DAY } from '../../src/usage/day.ts';
import { asOwner } from '../support/databases.ts';
import { deviceResponse, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');
const DAY = '2026-11-20';
let orgId: string;

beforeAll(async () => {
  orgId = await ledger.expectDays({ from: DAY, to: '2026-11-23' }, ['device_counts']);
  await ledger.load([deviceResponse(orgId, DAY)]);
});

test.each(['update losant_usage.revisions set revision = revision', 'delete from losant_usage.revisions'])(
  'even the owner cannot change the record of changes: %s',
  async (statement) => {
    await expect(asOwner(ledger.url, statement)).rejects.toThrow(/^losant_usage.revisions: \w+ is not allowed$/);
    await expect(sql.raw(statement).execute(ledger.db)).rejects.toMatchObject({ code: '42501' });
  },
);

test.each([
  ['stored in part', 'usage_days set devices_total = null where devices_total is not null'],
  ['negative', 'usage_days set devices_total = -1'],
  ['above 2^53 - 1', 'usage_days set devices_total = 9007199254740992'],
  ['hours of half a day', "usage_days set hours_all_count = array_fill(0, '{12}')"],
  ['stored and missing', "coverage set standing = 'missing', reason = 'x' where is_stored"],
  ['final and never read', "coverage set standing = 'final', finalized_at = null where is_stored"],
  ['waiting without a reason', 'coverage set reason = null where not is_stored'],
])('the database rejects a row that is %s', async (_, change) => {
  const update = sql.raw(`update losant_usage.${change}`);
  await expect(update.execute(ledger.db)).rejects.toMatchObject({ code: '23514' });
});

test('the database stores the days that the program can expect, and no others', async () => {
  const insert = async (day: string) => {
    await sql`insert into losant_usage.usage_days (usage_date, org_id) values (${day}, ${orgId})`.execute(ledger.db);
    await sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason)
      values (${day}, ${orgId}, 'payload_totals', 'never_read')`.execute(ledger.db);
  };
  await insert(FIRST_DAY);
  await insert(LAST_DAY);
  for (const day of ['2014-12-31', '2050-01-01']) {
    await expect(insert(day)).rejects.toMatchObject({ code: '23514' });
  }
});
