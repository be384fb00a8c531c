import { type Kysely, sql, type Updateable } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instances, Schema } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';
import { LEFT_OUT_REASONS } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import type { ControlTotalUse, PeriodSource } from '../usage/period.ts';
import { horizonStart, OMISSIONS_NEEDED, type Policy } from '../usage/policy.ts';
import { beginWriting } from './lease.ts';

/** An instance as this database knows it. */
export type StoredInstance = NonNullable<Awaited<ReturnType<typeof readInstance>>>;

/** `readInstance` returns the instance, or null if this database has never collected for it. */
export async function readInstance(db: Kysely<Schema>, instanceId: string) {
  const row = await db
    .selectFrom('instances')
    .select((eb) => [
      // The first day of collection by stream.
      eb.ref('streams_from').$castTo<Readonly<Record<string, UsageDay>>>().as('streamsFrom'),
      'tracked_from as trackedFrom',
      'listed_at as listedAt',
      'listed_org_ids as listedOrgIds',
      'list_problem as listProblem',
      'settled_by as settledBy',
    ])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  return row ?? null;
}

/** `requireApiUrl` throws DatabaseError `database_mismatch` if the instance's numbers came from another API. */
export async function requireApiUrl(
  db: Kysely<Schema>,
  { instanceId, apiUrl }: { instanceId: string; apiUrl: string },
): Promise<void> {
  const row = await db
    .selectFrom('instances')
    .select('api_url')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  if (!row || row.api_url === apiUrl) return;
  throw new DatabaseError(
    'database_mismatch',
    `Instance ${instanceId} was collected from ${row.api_url}, not from ${apiUrl}`,
    {
      hint: 'use another database for another API, or, if the same API moved, update losant_usage.instances.api_url by hand',
    },
  );
}

export interface RegisteredInstance {
  readonly instanceId: string;
  readonly apiUrl: string;
  /** The name; null if Losant did not say, so that the known one stays. */
  readonly name: string | null;
  readonly streams: readonly string[];
  readonly yesterday: UsageDay;
}

/**
 * `registerInstance` registers the instance with its name and starts the streams that are new to it, both
 * from `yesterday`.
 */
export async function registerInstance(
  db: Kysely<Schema>,
  { instanceId, apiUrl, name, streams, yesterday }: RegisteredInstance,
): Promise<void> {
  const start = JSON.stringify(Object.fromEntries(streams.map((stream) => [stream, yesterday])));
  await db
    .insertInto('instances')
    .values({
      ...{ instance_id: instanceId, api_url: apiUrl, name, tracked_from: yesterday },
      streams_from: sql`${start}::text::jsonb`,
    })
    .onConflict((conflict) =>
      conflict
        .column('instance_id')
        .doUpdateSet({
          name: sql`coalesce(excluded.name, instances.name)`,
          streams_from: sql`excluded.streams_from || instances.streams_from`,
        })
        .where(
          sql<boolean>`excluded.name <> coalesce(instances.name, '') or not instances.streams_from ?& ${streams}::text[]`,
        ),
    )
    .execute();
}

/** `updateInstance` records what a run has found of an instance. */
export async function updateInstance(
  db: Kysely<Schema>,
  instanceId: string,
  changes: Pick<Updateable<Instances>, 'listed_at' | 'listed_org_ids' | 'list_problem' | 'settled_by'>,
): Promise<void> {
  await db.updateTable('instances').set(changes).where('instance_id', '=', instanceId).execute();
}

/** `recordBilling` records the settings by which the views bill the instance from now on. */
export async function recordBilling(
  db: Kysely<Schema>,
  instanceId: string,
  { billingPeriods, controlTotals }: { billingPeriods: PeriodSource; controlTotals: ControlTotalUse },
): Promise<void> {
  await db
    .updateTable('instances')
    .set({ billing_periods: billingPeriods, control_totals: controlTotals })
    .where('instance_id', '=', instanceId)
    .where((eb) =>
      eb.or([eb('billing_periods', '<>', billingPeriods), eb('control_totals', '<>', controlTotals)]),
    )
    .execute();
}

/**
 * `applyPolicy` sets the time of the next read anew for the cells inside the horizon if the policy has changed since
 * it was computed, by the same rules: the first checkpoint after the accepted read. A cell read late
 * enough becomes final. One that was left out and has no more checkpoint becomes unavailable, and
 * missing again if it gets another checkpoint.
 */
export async function applyPolicy(
  db: Kysely<Schema>,
  instanceId: string,
  { policy, nowMs }: { policy: Policy; nowMs: number },
): Promise<void> {
  const text = JSON.stringify(policy);
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ isFirst: boolean }>`
      update losant_usage.instances i set policy = ${text}::text::jsonb
      from (select instance_id, policy from losant_usage.instances where instance_id = ${instanceId} for update) as old
      where i.instance_id = old.instance_id and old.policy is distinct from ${text}::text::jsonb
      returning old.policy is null as "isFirst"`.execute(trx);
    if (rows[0] === undefined || rows[0].isFirst) return;
    await beginWriting(trx);
    // Rows are locked in key order, as every writer does.
    await sql`
      update losant_usage.coverage c set next_read_at = k.next_read_at, standing = k.standing,
        finalized_at = case when k.standing = 'final' then coalesce(c.finalized_at, clock_timestamp()) else c.finalized_at end
      from (
        select c.usage_date, c.stream, c.org_id, n.standing,
          case when c.attempts > 0 then coalesce(c.next_read_at, n.next_read_at) else n.next_read_at end as next_read_at
        from losant_usage.coverage c
        join losant_usage.organizations o on o.org_id = c.org_id
        cross join lateral (
          select losant_usage.next_checkpoint(c.usage_date, c.verified_at, ${policy.readAtHours}::integer[]) as next_read_at,
            c.verified_at >= ((c.usage_date + 1)::timestamp + ${policy.finalAtHours}::integer * interval '1 hour')
              at time zone 'UTC' as is_late,
            c.is_reported or c.omissions >= ${OMISSIONS_NEEDED}::integer as is_sure,
            c.reason = any (${LEFT_OUT_REASONS}::text[]) as is_left_out
        ) as age
        cross join lateral (
          select case when not (c.is_stored or age.is_left_out) then clock_timestamp()
              -- Only an answer ends a doubt, whatever checkpoints there are.
              when c.standing = 'in_doubt' then coalesce(c.next_read_at, clock_timestamp())
              when c.standing in ('stored', 'final') and (age.is_late or c.standing = 'final') and not age.is_sure
              then least(age.next_read_at, c.verified_at + interval '1 hour') else age.next_read_at end as next_read_at,
            case when c.standing = 'stored' and age.is_late and age.is_sure then 'final'
              when c.is_stored then c.standing
              when age.is_left_out and age.next_read_at is null then 'unavailable' else 'missing' end::losant_usage.standing as standing
        ) as n
        where o.instance_id = ${instanceId} and o.removed_at is null
          and c.usage_date >= ${horizonStart(nowMs, policy)}::date
          and (c.standing in ('stored', 'final', 'in_doubt')
            or (c.standing in ('missing', 'unavailable') and (age.is_left_out or (c.next_read_at is null
              -- What lay past a nearer horizon can be asked for again.
              and exists (select from losant_usage.tracking t where t.org_id = c.org_id and t.stream = c.stream
                and c.usage_date <@ t.tracked_days)))))
          and (c.next_read_at, c.standing) is distinct from (n.next_read_at, n.standing)
        order by c.usage_date, c.stream, c.org_id
        for update of c
      ) as k
      where c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id`.execute(trx);
  });
}

/** `readDatabaseClock` returns the database's clock, in ms since 1970. */
export async function readDatabaseClock(db: Kysely<Schema>): Promise<number> {
  const { at } = await db.selectNoFrom(CLOCK.as('at')).executeTakeFirstOrThrow();
  return Date.parse(at);
}
