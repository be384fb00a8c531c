/** Our sums of a day. Triggers of the database invalidate them; see migrations/0005_totals.sql. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/**
 * Computes our sums of a day, in a transaction of its own: it waits for the loads that have invalidated them, so it
 * must not hold rows that these wait for.
 */
export async function computeOurSums(
  ledger: Pick<LedgerWriter, 'db' | 'lease' | 'instanceId'>,
  day: UsageDay,
): Promise<void> {
  const { db, lease, instanceId } = ledger;
  await inTransaction({ db, lease }, (trx) =>
    sql`select losant_usage_internal.compute_our_sums(${instanceId}, ${day})`.execute(trx),
  );
}

/**
 * Adds the totals of the metrics of cells that were created, or have come from another instance, and invalidates those
 * that another transaction has added in the meantime.
 */
export async function addTotals(trx: Kysely<Schema>, cells: RawBuilder<unknown>): Promise<void> {
  await sql`
    insert into losant_usage.instance_totals as t (instance_id, usage_date, metric)
    select distinct o.instance_id, c.usage_date, m.metric
    from (${cells}) as c
    join losant_usage.organizations o on o.org_id = c.org_id
    join losant_usage.metrics m on m.stream = c.stream
    order by o.instance_id, c.usage_date, m.metric
    on conflict (instance_id, usage_date, metric) do update set our_sum = null where t.our_sum is not null`.execute(
    trx,
  );
}
