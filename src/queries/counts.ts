/** What `status` and the pages count alike of an instance. */
import { type RawBuilder, sql } from 'kysely';

/**
 * How many final numbers of the instance that `instanceId` names Losant has restated, in the `days` before `at` or
 * since ever (null). What a person changed by hand is not counted.
 */
export function countRestatedFinal(
  instanceId: RawBuilder<unknown>,
  { at, days }: { readonly at: RawBuilder<unknown>; readonly days: number | null },
): RawBuilder<unknown> {
  return sql`(
    select count(*) from losant_usage.revisions r join losant_usage.organizations o on o.org_id = r.org_id
    where o.instance_id = ${instanceId} and r.was_final and r.run_id is not null
      and (${days}::integer is null or r.changed_at > ${at} - ${days} * interval '1 day'))`;
}

/** How many answers are in quarantine, of the instance that `instanceId` names, that no good answer has replaced. */
export function countQuarantined(instanceId: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select count(*) from losant_usage.quarantine q join losant_usage.organizations o on o.org_id = q.org_id
    where o.instance_id = ${instanceId} and q.resolved_at is null)`;
}
