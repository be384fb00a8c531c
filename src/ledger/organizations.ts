import { type Kysely, type NotNull, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';
import { requeueCells } from './due.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/** The columns that come from Losant. */
const ATTRIBUTE_COLUMNS = [
  'name',
  'referral_id',
  'plan_id',
  'customer_id',
  'tags',
  'limits',
  'current_period_start',
  'current_period_end',
];
/** The columns whose change begins a new row of `organization_history`. */
const HISTORY_COLUMNS = [...ATTRIBUTE_COLUMNS, 'created_on'];

const listColumns = (columns: readonly string[], alias = '') =>
  sql.join(columns.map((column) => sql.ref(`${alias}${column}`)));

type IdentifiedOrg = Pick<Organization, 'orgId'>;

/**
 * Stores listed organizations and their history. A deleted organization that is listed again is restored, with all of
 * its cells due.
 */
export async function upsertOrganizations(
  ledger: LedgerWriter,
  organizations: readonly (Organization | UnreadableOrg)[],
): Promise<void> {
  // An upsert cannot touch a row twice, so the later entry of an organization that is listed twice counts.
  const entries = organizations.flatMap((org) => (org.orgId === null ? [] : [[org.orgId, org] as const]));
  const orgs = [...new Map(entries)].map(([orgId, org]) => ({ ...org, orgId }));
  if (orgs.length === 0) return;
  const { policy } = ledger;
  const nowMs = ledger.now();
  const seenAt = new Date(nowMs).toISOString();
  const orgIds = orgs.map(({ orgId }) => orgId);
  await inTransaction(ledger, async (trx) => {
    const { rows: returnedOrgs } = await sql<{ org_id: string; is_deleted: boolean }>`
      select org_id, deleted_on is not null as is_deleted from losant_usage.organizations
      where ${isAny('org_id', orgIds)} order by org_id for no key update`.execute(trx);
    const returnedIds = returnedOrgs.filter((org) => org.is_deleted).map(({ org_id }) => org_id);
    await upsertRows(trx, orgs, seenAt);
    await recordVersions(trx, orgIds, seenAt);
    await requeueCells(trx, returnedIds, { nowMs, policy });
  });
}

async function upsertRows(trx: Kysely<Schema>, orgs: readonly IdentifiedOrg[], seenAt: Instant): Promise<void> {
  const attributeUpdates = ATTRIBUTE_COLUMNS.map((column) => {
    const name = sql.ref(column);
    return sql`${name} = case when excluded.problem is null then excluded.${name} else o.${name} end`;
  });
  await sql`
    insert into losant_usage.organizations as o
      (org_id, ${listColumns(ATTRIBUTE_COLUMNS)}, created_on, problem, first_seen_at, last_seen_at)
    select n."orgId", coalesce(n.name, n."orgId"), n."referralId", n."planId", n."customerId",
      coalesce(n.tags, '[]'), coalesce(n.limits, '{}'), n."currentPeriodStart", n."currentPeriodEnd", n."createdOn",
      n.problem, ${seenAt}::timestamptz, ${seenAt}::timestamptz
    from jsonb_to_recordset(${JSON.stringify(orgs)}::text::jsonb) as n ("orgId" text, name text, "referralId" text,
      "planId" text, "customerId" text, tags jsonb, limits jsonb, "currentPeriodStart" timestamptz,
      "currentPeriodEnd" timestamptz, "createdOn" date, problem text)
    order by n."orgId"
    on conflict (org_id) do update set
      ${sql.join(attributeUpdates)}, created_on = least(o.created_on, excluded.created_on),
      problem = excluded.problem, last_seen_at = excluded.last_seen_at,
      deleted_on = null, unlisted_on = null, unlisted_days = 0`.execute(trx);
}

/**
 * Ends the current history row of each organization that has changed, and begins a new one. The rows are looked up by
 * key: a join would scan all of them as long as the table has no statistics.
 */
async function recordVersions(trx: Kysely<Schema>, orgIds: readonly string[], seenAt: Instant): Promise<void> {
  await sql`
    with changed as (
      select o.org_id, v.valid_from from losant_usage.organizations o cross join lateral (
        select v.valid_from from losant_usage.organization_history v
        where v.org_id = o.org_id and v.valid_to is null and v.valid_from < ${seenAt}
          and (${listColumns(HISTORY_COLUMNS, 'v.')}) is distinct from (${listColumns(HISTORY_COLUMNS, 'o.')})
        for update
      ) as v
      where o.org_id = any (${orgIds}::text[])
    )
    update losant_usage.organization_history h set valid_to = ${seenAt} from changed c
    where h.org_id = c.org_id and h.valid_from = c.valid_from`.execute(trx);
  await sql`
    insert into losant_usage.organization_history (org_id, valid_from, ${listColumns(HISTORY_COLUMNS)})
    select o.org_id, ${seenAt}, ${listColumns(HISTORY_COLUMNS, 'o.')}
    from losant_usage.organizations o
    where o.org_id = any (${orgIds}::text[]) and not exists (
      select from losant_usage.organization_history h where h.org_id = o.org_id and h.valid_to is null)
    order by o.org_id
    on conflict do nothing`.execute(trx);
}

/** Returns the organizations whose attributes were invalid when they were last listed, at most 100. */
export async function readUnreadableOrgs(db: Kysely<Schema>) {
  return await db
    .selectFrom('organizations')
    .select(['org_id as orgId', 'problem'])
    .where('problem', 'is not', null)
    .where('deleted_on', 'is', null)
    .orderBy('org_id')
    .limit(100)
    .$narrowType<{ problem: NotNull }>()
    .execute();
}

/** Returns the organizations that are not known to be deleted, or all; with a time, only those not listed since. */
export async function readOrgIds(
  db: Kysely<Schema>,
  { unseenSince, includesDeleted = false }: { unseenSince?: Instant; includesDeleted?: boolean } = {},
): Promise<string[]> {
  let orgs = db.selectFrom('organizations').select('org_id').orderBy('org_id');
  if (!includesDeleted) orgs = orgs.where('deleted_on', 'is', null);
  if (unseenSince !== undefined) orgs = orgs.where('last_seen_at', '<', unseenSince);
  return (await orgs.execute()).map(({ org_id }) => org_id);
}

interface Absence {
  readonly orgIds: readonly string[];
  readonly today: UsageDay;
}

/** Selects organizations as `k`, unless they were deleted in the meantime. */
const lockAbsentOrgs = ({ orgIds }: Absence) => sql`(
  select org_id from losant_usage.organizations
  where org_id = any (${orgIds}::text[]) and deleted_on is null
  order by org_id for update) as k`;

/** Counts a day on which a complete list lacked the organizations. Returns the number of such days by organization. */
export async function countUnlistedDay(ledger: LedgerWriter, absence: Absence): Promise<Map<string, number>> {
  const { today } = absence;
  const update = sql<{ orgId: string; days: number }>`
    update losant_usage.organizations o set unlisted_on = ${today}::date,
      unlisted_days = o.unlisted_days + (o.unlisted_on is distinct from ${today}::date)::integer
    from ${lockAbsentOrgs(absence)} where o.org_id = k.org_id
    returning o.org_id as "orgId", o.unlisted_days as days`;
  const { rows } = await inTransaction(ledger, (trx) => update.execute(trx));
  return new Map(rows.map(({ orgId, days }) => [orgId, days]));
}

/** Records the deletion of organizations. Their cells become unavailable when expected cells are next created. */
export async function markDeleted(ledger: LedgerWriter, absence: Absence): Promise<void> {
  const update = sql`update losant_usage.organizations o set deleted_on = ${absence.today}::date
    from ${lockAbsentOrgs(absence)} where o.org_id = k.org_id`;
  await inTransaction(ledger, (trx) => update.execute(trx));
}
