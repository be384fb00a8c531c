import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../schema.ts';

/** An organization's attributes as last seen. */
export interface OrganizationRecord {
  readonly orgId: string;
  readonly name: string;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  readonly limits: Readonly<Record<string, number>>;
  readonly isReadOnly: boolean;
  readonly disabledAt: Instant | null;
  readonly currentPeriodStart: Instant | null;
  readonly currentPeriodEnd: Instant | null;
  readonly createdAt: Instant | null;
}

/** Error code of cells that were given up because their organization is gone. */
export const ORG_REMOVED = 'org_removed';

/** Columns whose change makes a new version in the history. */
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

const attributes = sql.join(ATTRIBUTES.map((column) => sql.ref(column)));
const attributesOf = (alias: string) => sql.join(ATTRIBUTES.map((column) => sql.ref(`${alias}.${column}`)));

/**
 * Stores organizations as seen at `seenAt`: a new one is added, a removed one is
 * back, and a change of attributes makes a new version in the history.
 */
export async function upsertOrganizations(
  db: Kysely<Schema>,
  {
    instanceId,
    organizations,
    seenAt,
  }: { instanceId: string; organizations: readonly OrganizationRecord[]; seenAt: Instant },
): Promise<void> {
  if (organizations.length === 0) return;
  // One statement cannot touch a row twice: of an organization that is listed twice, the later counts.
  const distinct = new Map(organizations.map((org) => [org.orgId, org]));
  const rows = JSON.stringify([...distinct.values()].map((org) => toRow(org, instanceId, seenAt)));
  await db.transaction().execute(async (trx) => {
    await reopenReturned(
      trx,
      organizations.map(({ orgId }) => orgId),
    );
    await sql`
      insert into losant_usage.organizations
      select * from jsonb_populate_recordset(null::losant_usage.organizations, ${rows}::text::jsonb)
      order by org_id
      on conflict (org_id) do update set
        (${attributes}) = row (${attributesOf('excluded')}),
        created_at = coalesce(excluded.created_at, organizations.created_at),
        last_seen_at = excluded.last_seen_at, removed_at = null`.execute(trx);
    await recordVersions(
      trx,
      organizations.map(({ orgId }) => orgId),
      seenAt,
    );
  });
}

/** Cells that were given up because their organization was gone can be asked for again when it is back. */
async function reopenReturned(trx: Kysely<Schema>, orgIds: readonly string[]): Promise<void> {
  await sql`
    update losant_usage.coverage c set state = 'failed', verified_at = null
    from losant_usage.organizations o
    where o.org_id = any (${orgIds}::text[]) and o.removed_at is not null and c.org_id = o.org_id
      and c.state = 'unavailable' and c.error_code = ${ORG_REMOVED}`.execute(trx);
}

/** Closes the current version of each organization that has changed, and opens its new one. */
async function recordVersions(
  trx: Kysely<Schema>,
  orgIds: readonly string[],
  seenAt: Instant,
): Promise<void> {
  await sql`
    update losant_usage.organization_history h set valid_to = ${seenAt}
    from losant_usage.organizations o
    where o.org_id = any (${orgIds}::text[]) and h.org_id = o.org_id and h.valid_to is null
      and (${attributesOf('h')}) is distinct from (${attributesOf('o')})`.execute(trx);
  await sql`
    insert into losant_usage.organization_history (org_id, valid_from, ${attributes})
    select o.org_id, ${seenAt}, ${attributesOf('o')}
    from losant_usage.organizations o
    where o.org_id = any (${orgIds}::text[]) and not exists (
      select from losant_usage.organization_history h where h.org_id = o.org_id and h.valid_to is null)
    order by o.org_id
    on conflict do nothing`.execute(trx);
}

/** Notes organizations that exist but whose attributes cannot be read: they are exported all the same. */
export async function addUnreadable(
  db: Kysely<Schema>,
  { instanceId, orgIds, seenAt }: { instanceId: string; orgIds: readonly string[]; seenAt: Instant },
): Promise<void> {
  await sql`
    insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
    select org_id, ${instanceId}, org_id, ${seenAt}::timestamptz, ${seenAt}::timestamptz
    from unnest(${orgIds}::text[]) as u (org_id) order by org_id
    on conflict (org_id) do update set last_seen_at = excluded.last_seen_at`.execute(db);
}

/** Organizations that exist as far as is known but were not seen since `since`, up to `limit` of them. */
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

/** How many organizations of the instance exist as far as is known. */
export async function countOrganizations(db: Kysely<Schema>, instanceId: string): Promise<number> {
  const { count } = await db
    .selectFrom('organizations')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('instance_id', '=', instanceId)
    .where('removed_at', 'is', null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** The next page of existing organizations after `afterOrgId`, in the order of their ids. */
export async function readOrganizationPage(
  db: Kysely<Schema>,
  instanceId: string,
  { afterOrgId, limit }: { afterOrgId: string; limit: number },
): Promise<{ orgId: string; name: string; tags: readonly { key: string; value: string }[] }[]> {
  const rows = await db
    .selectFrom('organizations')
    .select(['org_id', 'name', 'tags'])
    .where('instance_id', '=', instanceId)
    .where('removed_at', 'is', null)
    .where('org_id', '>', afterOrgId)
    .orderBy('org_id')
    .limit(limit)
    .execute();
  return rows.map(({ org_id, name, tags }) => ({ orgId: org_id, name, tags }));
}

/** Which of the ids are stored as existing organizations of the instance. */
export async function filterKnown(
  db: Kysely<Schema>,
  instanceId: string,
  orgIds: readonly string[],
): Promise<Set<string>> {
  const { rows } = await sql<{ org_id: string }>`
    select org_id from losant_usage.organizations
    where instance_id = ${instanceId} and removed_at is null and org_id = any (${orgIds}::text[])`.execute(
    db,
  );
  return new Set(rows.map(({ org_id }) => org_id));
}

/** Marks organizations as deleted in Losant. Their history stays. */
export async function markRemoved(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  removedAt: Instant,
): Promise<void> {
  await db
    .updateTable('organizations')
    .set({ removed_at: removedAt })
    .where('org_id', 'in', orgIds)
    .where('removed_at', 'is', null)
    .execute();
}

function toRow(org: OrganizationRecord, instanceId: string, seenAt: Instant) {
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
    first_seen_at: seenAt,
    last_seen_at: seenAt,
  };
}
