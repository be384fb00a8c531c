import { sql } from 'kysely';
import { addDays, eachDay } from '../../src/usage/day.ts';
import type { Ledger } from './ledger.ts';

export interface PayloadOrg {
  readonly name: string;
  readonly createdOn?: string;
  readonly limits?: object;
  /** Payloads by day; null for a day that is missing. By default 10 since the first of the month before. */
  readonly payloads?: (day: string) => number | null;
}

/** Sets the payloads of days, of every kind. */
const setPayloads = (orgId: string, days: readonly { day: string; quantity: number | null }[]) =>
  sql`update losant_usage.usage_days d set payload_billable_count = n.quantity, payload_all_count = n.quantity,
      payload_all_bytes = n.quantity
    from json_to_recordset(${JSON.stringify(days)}::text::json) as n (day date, quantity bigint)
    where d.org_id = ${orgId} and d.usage_date = n.day`;

/** Makes the cells of days that have payloads final. */
const FINISH_CELLS = sql`
  update losant_usage.coverage c set standing = 'final', is_stored = true, is_reported = true, revision = 1,
    first_loaded_at = now(), finalized_at = now(), last_read_at = now(), next_read_at = null, reason = null
  from losant_usage.usage_days d where d.payload_billable_count is not null
    and c.org_id = d.org_id and c.usage_date = d.usage_date`;

/** Adds an organization with final payloads through yesterday, and returns its ID. */
export async function addPayloadOrg(ledger: Ledger, today: string, org: PayloadOrg): Promise<string> {
  const { name, createdOn, limits = {}, payloads = () => 10 } = org;
  const orgId = await ledger.createOrg({ createdOn: createdOn ?? '2025-01-01' });
  const from = createdOn ?? `${addDays(today, -31).slice(0, 7)}-01`;
  const days = { from, to: addDays(today, -1) };
  await ledger.expectDays(days, ['payload_totals'], orgId);
  const numbers = eachDay(days).map((day) => ({ day, quantity: payloads(day) }));
  await ledger.write(
    sql`update losant_usage.tracks set last_day = null where org_id = ${orgId}`,
    sql`update losant_usage.organizations set name = ${name}, limits = ${JSON.stringify(limits)}::text::jsonb
      where org_id = ${orgId}`,
    setPayloads(orgId, numbers),
    sql`${FINISH_CELLS} and d.org_id = ${orgId}`,
  );
  return orgId;
}
