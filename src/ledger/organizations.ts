import { type Kysely, type NotNull, type RawBuilder, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { CHANGED_BY_HAND, compareText, ORG_DELETED } from '../usage/cell.ts';
import type { Organization } from '../usage/organization.ts';
import { OMISSIONS_NEEDED } from '../usage/policy.ts';
import { beginWriting } from './lease.ts';
import { untrackRemoved } from './tracking.ts';

/** The columns whose change makes a new version in the history, besides the creation date. */
const ATTRIBUTES = [
  'instance_id',
  'name',
  'tags',
  'referral_id',
  'plan_id',
  'customer_id',
  'limits',
  'is_read_only',
  'disabled_at',
  'current_period_start',
  'current_period_end',
];
const HISTORY = [...ATTRIBUTES, 'created_at'];

const listed = (columns: readonly string[], alias = '') =>
  sql.join(columns.map((column) => sql.ref(`${alias}${column}`)));
const attributes = listed(ATTRIBUTES);

/**
 * Stores organizations as seen at `seenAt`: a new one is added, a removed one returns, and a change of
 * attributes makes a new version in the history.
 */
export async function upsertOrganizations(
  db: Kysely<Schema>,
  {
    instanceId,
    organizations,
    seenAt,
  }: { instanceId: string; organizations: readonly Organization[]; seenAt: Instant },
): Promise<void> {
  if (organizations.length === 0) return;
  // One statement cannot touch a row twice, so the later entry of an organization listed twice counts.
  const distinct = new Map(organizations.map((org) => [org.orgId, org]));
  const rows = JSON.stringify([...distinct.values()].map((org) => toRow(org, instanceId)));
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    const orgIds = organizations.map(({ orgId }) => orgId);
    await reopenReturned(trx, orgIds, seenAt);
    // A day that is tracked or was read outweighs a creation date that moved later: the first day stays the
    // earlier one.
    await sql`
      insert into losant_usage.organizations as o (org_id, ${attributes}, created_at, created_on, first_seen_at, last_seen_at)
      select n.org_id, ${listed(ATTRIBUTES, 'n.')}, n.created_at, case when n.created_at <= ${seenAt}::timestamptz
          then (n.created_at at time zone 'UTC')::date end, ${seenAt}::timestamptz, ${seenAt}::timestamptz
      from jsonb_populate_recordset(null::losant_usage.organizations, ${rows}::text::jsonb) as n
      order by n.org_id
      on conflict (org_id) do update set
        (${attributes}) = row (${listed(ATTRIBUTES, 'excluded.')}),
        created_at = coalesce(excluded.created_at, o.created_at),
        created_on = case
          when excluded.created_on > coalesce(o.created_on, '-infinity') and exists (select from losant_usage.tracking t
            where t.org_id = o.org_id and least(t.tracked_from, t.read_from) < excluded.created_on)
            then coalesce(o.created_on, (select min(least(t.tracked_from, t.read_from)) from losant_usage.tracking t
              where t.org_id = o.org_id))
          when excluded.created_at <= o.first_seen_at then excluded.created_on
          else o.created_on end,
        last_seen_at = excluded.last_seen_at, removed_at = null, problem = null`.execute(trx);
    await recordVersions(trx, orgIds, seenAt);
  });
}

/**
 * Reopens the cells of organizations that were gone and have returned. Cells closed as unavailable are
 * missing again and read at once, like those whose numbers a person removed; stored cells are read from their next
 * checkpoint on, also those that a person accepted while their stream was collected, and zeros that are not sure yet.
 * `seenAt` is by the clock by which the run finds what is due.
 */
async function reopenReturned(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  seenAt: Instant,
): Promise<void> {
  const isBack = sql`exists (
    select from losant_usage.organizations o where o.org_id = c.org_id and o.removed_at is not null)`;
  const isUnavailable = sql`c.standing = 'unavailable' and c.reason = ${ORG_DELETED}`;
  const isClosedByHand = sql`c.standing = 'missing' and c.reason = ${CHANGED_BY_HAND} and c.next_read_at is null`;
  await sql`
    update losant_usage.coverage c set
      standing = case when c.is_stored then c.standing else 'missing' end,
      verified_at = case when c.is_stored then c.verified_at end,
      next_read_at = case when c.standing in ('stored', 'final', 'accepted') then k.next_read_at else ${seenAt}::timestamptz end
    from (
      select c.usage_date, c.stream, c.org_id, case when c.standing = 'stored'
          and not (c.is_reported or c.omissions >= ${OMISSIONS_NEEDED}::integer)
          and losant_usage.is_final_read(i.policy, c.usage_date, c.verified_at)
        then least(checkpoint.next, c.verified_at + interval '1 hour') else checkpoint.next end as next_read_at
      from losant_usage.coverage c
      join losant_usage.organizations o on o.org_id = c.org_id
      join losant_usage.instances i on i.instance_id = o.instance_id
      left join losant_usage.tracking t on t.org_id = c.org_id and t.stream = c.stream
      cross join lateral (
        select losant_usage.next_checkpoint(c.usage_date, c.verified_at, (
          select array_agg(hours::integer) from jsonb_array_elements_text(i.policy -> 'readAtHours') as hours)) as next
      ) as checkpoint
      where c.org_id = any (${orgIds}::text[]) and ${isBack}
        and (${isUnavailable} or ${isClosedByHand} or (c.is_stored and c.next_read_at is null
          and (c.standing <> 'accepted' or upper(t.tracked_days) > o.removed_on)))
      order by c.usage_date, c.stream, c.org_id for update of c
    ) as k
    where c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id`.execute(trx);
}

/**
 * `recordVersions` closes the current version of each organization that has changed and opens its new one.
 * Versions are looked up by key: a join would scan all of them while statistics do not know them yet.
 */
async function recordVersions(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  seenAt: Instant,
): Promise<void> {
  await sql`
    with changed as materialized (
      select o.org_id, v.valid_from from losant_usage.organizations o cross join lateral (
        select v.valid_from from losant_usage.organization_history v
        where v.org_id = o.org_id and v.valid_to is null and v.valid_from < ${seenAt}
          and (${listed(HISTORY, 'v.')}) is distinct from (${listed(HISTORY, 'o.')}) for update
      ) as v
      where o.org_id = any (${orgIds}::text[])
    )
    update losant_usage.organization_history h set valid_to = ${seenAt} from changed c
    where h.org_id = c.org_id and h.valid_from = c.valid_from`.execute(trx);
  await sql`
    insert into losant_usage.organization_history (org_id, valid_from, ${listed(HISTORY)})
    select o.org_id, ${seenAt}, ${listed(HISTORY, 'o.')}
    from losant_usage.organizations o left join lateral (
      select true as is_there from losant_usage.organization_history h
      where h.org_id = o.org_id and h.valid_to is null offset 0
    ) as h on true
    where o.org_id = any (${orgIds}::text[]) and h.is_there is null
    order by o.org_id
    on conflict do nothing`.execute(trx);
}

/**
 * `addUnreadable` records organizations that exist but whose attributes cannot be read; they are exported
 * nevertheless, also where one had been found deleted.
 */
export async function addUnreadable(
  db: Kysely<Schema>,
  {
    instanceId,
    unreadable,
    seenAt,
  }: {
    instanceId: string;
    unreadable: readonly { readonly orgId: string; readonly problem: string }[];
    seenAt: Instant;
  },
): Promise<void> {
  if (unreadable.length === 0) return;
  const seen = { instance_id: instanceId, first_seen_at: seenAt, last_seen_at: seenAt };
  // As above, an organization listed twice counts once.
  const distinct = new Map(unreadable.map((each) => [each.orgId, each]));
  const rows = [...distinct.values()].map(({ orgId, problem }) => {
    return { org_id: orgId, name: orgId, problem, ...seen };
  });
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    const orgIds = rows.map(({ org_id }) => org_id);
    await reopenReturned(trx, orgIds, seenAt);
    await trx
      .insertInto('organizations')
      .values(rows.toSorted((a, b) => compareText(a.org_id, b.org_id)))
      .onConflict((conflict) =>
        conflict.column('org_id').doUpdateSet((eb) => ({
          last_seen_at: eb.ref('excluded.last_seen_at'),
          removed_at: null,
          problem: eb.ref('excluded.problem'),
        })),
      )
      .execute();
  });
}

/** `readUnreadable` returns the organizations whose attributes could not be read when they were last listed. */
export async function readUnreadable(
  db: Kysely<Schema>,
  instanceId: string,
): Promise<{ orgId: string; problem: string }[]> {
  return await db
    .selectFrom('organizations')
    .select(['org_id as orgId', 'problem'])
    .where('instance_id', '=', instanceId)
    .where('problem', 'is not', null)
    .where('removed_at', 'is', null)
    .orderBy('org_id')
    .limit(100)
    .$narrowType<{ problem: NotNull }>()
    .execute();
}

/**
 * `readUnseenOrganizations` returns up to `limit` organizations that exist as far as is known but were not
 * seen since `since`.
 */
export async function readUnseenOrganizations(
  db: Kysely<Schema>,
  { instanceId, since, limit }: { instanceId: string; since: Instant; limit: number },
): Promise<string[]> {
  const rows = await db
    .selectFrom('organizations')
    .select('org_id')
    .where('instance_id', '=', instanceId)
    .where('removed_at', 'is', null)
    .where('last_seen_at', '<', since)
    .orderBy('org_id')
    .limit(limit)
    .execute();
  return rows.map(({ org_id }) => org_id);
}

/** `countOrganizations` returns the number of organizations of the instance that exist as far as is known. */
export async function countOrganizations(db: Kysely<Schema>, instanceId: string): Promise<number> {
  const { count } = await db
    .selectFrom('organizations')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('instance_id', '=', instanceId)
    .where('removed_at', 'is', null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** `filterKnown` returns those of the ids that are stored as existing organizations of the instance. */
export async function filterKnown(
  db: Kysely<Schema>,
  instanceId: string,
  orgIds: readonly string[],
): Promise<Set<string>> {
  const rows = await db
    .selectFrom('organizations')
    .select('org_id')
    .where('instance_id', '=', instanceId)
    .where('removed_at', 'is', null)
    .where(isAny('org_id', orgIds))
    .execute();
  return new Set(rows.map(({ org_id }) => org_id));
}

/**
 * `markRemoved` marks organizations as deleted in Losant: nothing is tracked beyond that day, and open cells are
 * closed by whoever finds what is due at `removedAt`.
 */
export async function markRemoved(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  removedAt: Instant,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx);
    await trx
      .updateTable('organizations')
      .set({ removed_at: removedAt })
      .where(isAny('org_id', orgIds))
      .where('removed_at', 'is', null)
      .execute();
    // Rows are locked in key order, as every writer does.
    await trx
      .updateTable('coverage as c')
      .from((eb) =>
        eb
          .selectFrom('coverage')
          .select(['usage_date', 'stream', 'org_id'])
          .where(isAny('org_id', orgIds))
          .where('next_read_at', 'is not', null)
          .orderBy('usage_date')
          .orderBy('stream')
          .orderBy('org_id')
          .forUpdate()
          .as('k'),
      )
      .set({ next_read_at: removedAt })
      .whereRef('c.usage_date', '=', 'k.usage_date')
      .whereRef('c.stream', '=', 'k.stream')
      .whereRef('c.org_id', '=', 'k.org_id')
      .execute();
    await untrackRemoved(trx, orgIds);
  });
}

function toRow(org: Organization, instanceId: string) {
  return {
    org_id: org.orgId,
    instance_id: instanceId,
    name: org.name,
    tags: org.tags,
    referral_id: org.referralId,
    plan_id: org.planId,
    customer_id: org.customerId,
    limits: org.limits,
    is_read_only: org.isReadOnly,
    disabled_at: org.disabledAt,
    current_period_start: org.currentPeriodStart,
    current_period_end: org.currentPeriodEnd,
    created_at: org.createdAt,
  };
}

/**
 * `isAfter` returns the condition that an organization `o` of the instance comes after another one, in the order
 * of `instance_id, org_id`. The condition has no equality: without statistics Postgres expects an
 * equality to match so few rows that it would sort all that are left, for each page, on a first run.
 */
export function isAfter(instanceId: string, orgId: string): RawBuilder<boolean> {
  return sql`((o.instance_id, o.org_id) > (${instanceId}, ${orgId}) and o.instance_id <= ${instanceId})`;
}

/**
 * `readOrganizationPage` returns the next page of existing organizations after `afterOrgId`, in the order
 * of their ids, with the streams that are tracked without an end.
 */
export async function readOrganizationPage(
  db: Kysely<Schema>,
  instanceId: string,
  { afterOrgId, limit }: { afterOrgId: string; limit: number },
) {
  // The case is needed because Postgres, without statistics, expects hardly any time to be null.
  return await db
    .selectFrom('organizations as o')
    .select(['o.org_id as orgId', 'o.name'])
    .select(sql<Organization['tags']>`o.tags`.as('tags'))
    .select(
      sql<string[]>`array(
        select t.stream from losant_usage.tracking t where t.org_id = o.org_id and upper_inf(t.tracked_days)
      )`.as('openStreams'),
    )
    .where(isAfter(instanceId, afterOrgId))
    .where(sql<boolean>`case when o.removed_at is null then true else false end`)
    .orderBy('o.instance_id')
    .orderBy('o.org_id')
    .limit(limit)
    .execute();
}
