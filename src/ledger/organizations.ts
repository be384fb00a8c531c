import { type Kysely, type NotNull, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { FIRST_DAY, latestDay, type UsageDay } from '../usage/day.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';
import { lastEndedDay } from '../usage/policy.ts';
import { requeueCells } from './due.ts';
import { lockCellsOf } from './expected.ts';
import { addTotals } from './instances.ts';
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
const HISTORY_COLUMNS = ['instance_id', ...ATTRIBUTE_COLUMNS, 'created_on'];

const listColumns = (columns: readonly string[], alias = '') =>
  sql.join(columns.map((column) => sql.ref(`${alias}${column}`)));

type IdentifiedOrg = Pick<Organization, 'orgId'>;
type ForeignOrg = IdentifiedOrg & { readonly ownerId: string };

/**
 * Stores listed organizations and their history. A deleted organization is restored, with all of its cells due. An
 * organization of another instance is transferred, with all of its days, if that instance's complete list lacks it, or
 * if it has not been listed there for a week. Returns those that still belong to another instance and are not stored.
 *
 * The cells of an organization that returns or moves are locked first. A load in flight has invalidated the sums of the
 * instance that it saw, so it must end before the move; and the upsert locks sums, which come after cells. So each of
 * these organizations has a transaction of its own.
 */
export async function upsertOrganizations(
  ledger: LedgerWriter,
  organizations: readonly (Organization | UnreadableOrg)[],
): Promise<ForeignOrg[]> {
  const { db, instanceId } = ledger;
  // An upsert cannot touch a row twice, so the later entry of an organization that is listed twice counts.
  const entries = organizations.flatMap((org) => (org.orgId === null ? [] : [[org.orgId, org] as const]));
  const orgs = [...new Map(entries)].map(([orgId, org]) => ({ ...org, orgId }));
  if (orgs.length === 0) return [];
  const changedOrgs = await db
    .selectFrom('organizations')
    .select('org_id as orgId')
    .where(isAny('org_id', orgIdsOf(orgs)))
    .where((eb) => eb.or([eb('instance_id', '<>', instanceId), eb('deleted_on', 'is not', null)]))
    .execute();
  const changedIds = new Set(orgIdsOf(changedOrgs));
  const isChanged = ({ orgId }: IdentifiedOrg) => changedIds.has(orgId);
  const pages = [orgs.filter((org) => !isChanged(org)), ...orgs.filter(isChanged).map((org) => [org])];
  const foreignOrgs: ForeignOrg[] = [];
  for (const page of pages) if (page.length > 0) foreignOrgs.push(...(await upsertPage(ledger, page)));
  return foreignOrgs;
}

async function upsertPage(ledger: LedgerWriter, orgs: readonly IdentifiedOrg[]): Promise<readonly ForeignOrg[]> {
  const { instanceId, policy } = ledger;
  const nowMs = ledger.now();
  const seenAt = new Date(nowMs).toISOString();
  return await inTransaction(ledger, async (trx) => {
    const lockedOrgs = await lockExistingOrgs(trx, { instanceId, orgIds: orgIdsOf(orgs), seenAt });
    const foreignOrgs = lockedOrgs.filter(({ canTransfer }) => !canTransfer);
    const foreignIds = new Set(orgIdsOf(foreignOrgs));
    const instanceOrgs = orgs.filter(({ orgId }) => !foreignIds.has(orgId));
    const changedOrgs = lockedOrgs.filter(({ canTransfer }) => canTransfer);
    if (changedOrgs.length > 0) await lockCellsOf(trx, orgIdsOf(changedOrgs), FIRST_DAY);
    await upsertRows(trx, instanceOrgs, { instanceId, seenAt });
    await recordVersions(trx, orgIdsOf(instanceOrgs), seenAt);
    const returnedOrgs = changedOrgs.filter(({ isDeleted }) => isDeleted);
    await requeueCells(trx, orgIdsOf(returnedOrgs), { nowMs, policy });
    const transferredOrgs = changedOrgs.filter(({ ownerId }) => ownerId !== instanceId);
    if (transferredOrgs.length > 0) {
      const formerOwnerIds = transferredOrgs.map(({ ownerId }) => ownerId);
      const lastDay = latestDay(lastEndedDay(nowMs), ...transferredOrgs.map(({ lastSeenOn }) => lastSeenOn));
      await markTransferred(trx, [...formerOwnerIds, instanceId], lastDay);
      await addTotals(trx, selectCells(orgIdsOf(transferredOrgs)));
    }
    return foreignOrgs;
  });
}

const orgIdsOf = (orgs: readonly IdentifiedOrg[]) => orgs.map(({ orgId }) => orgId);

const selectCells = (orgIds: readonly string[]) => sql`
  select c.usage_date, c.org_id, c.stream from losant_usage.coverage c where c.org_id = any (${orgIds}::text[])`;

/** Locks the organizations that exist, in key order. Returns those that are deleted or belong to another instance. */
async function lockExistingOrgs(
  trx: Kysely<Schema>,
  { instanceId, orgIds, seenAt }: { instanceId: string; orgIds: readonly string[]; seenAt: Instant },
) {
  const { rows } = await sql<ForeignOrg & { isDeleted: boolean; canTransfer: boolean; lastSeenOn: UsageDay }>`
    with o as (
      select * from losant_usage.organizations where org_id = any (${orgIds}::text[])
      order by org_id for no key update
    )
    select o.org_id as "orgId", o.instance_id as "ownerId", o.deleted_on is not null as "isDeleted",
      (o.last_seen_at at time zone 'UTC')::date as "lastSeenOn",
      o.deleted_on is not null or o.unlisted_on is not null
        or o.last_seen_at < ${seenAt}::timestamptz - interval '7 days' as "canTransfer"
    from o where o.instance_id <> ${instanceId} or o.deleted_on is not null
    order by o.org_id`.execute(trx);
  return rows;
}

/** If Losant moves a creation date later, `created_on` stays at the first stored day before it. */
async function upsertRows(
  trx: Kysely<Schema>,
  rows: readonly object[],
  { instanceId, seenAt }: { instanceId: string; seenAt: Instant },
): Promise<void> {
  const attributeUpdates = ATTRIBUTE_COLUMNS.map((column) => {
    const name = sql.ref(column);
    return sql`${name} = case when excluded.problem is null then excluded.${name} else o.${name} end`;
  });
  await sql`
    insert into losant_usage.organizations as o
      (org_id, instance_id, ${listColumns(ATTRIBUTE_COLUMNS)}, created_on, problem, first_seen_at, last_seen_at)
    select n."orgId", ${instanceId}, coalesce(n.name, n."orgId"), n."referralId", n."planId", n."customerId",
      coalesce(n.tags, '[]'), coalesce(n.limits, '{}'), n."currentPeriodStart", n."currentPeriodEnd", n."createdOn",
      n.problem, ${seenAt}::timestamptz, ${seenAt}::timestamptz
    from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as n ("orgId" text, name text, "referralId" text,
      "planId" text, "customerId" text, tags jsonb, limits jsonb, "currentPeriodStart" timestamptz,
      "currentPeriodEnd" timestamptz, "createdOn" date, problem text)
    order by n."orgId"
    on conflict (org_id) do update set
      instance_id = excluded.instance_id, ${sql.join(attributeUpdates)},
      created_on = case when excluded.created_on is null then o.created_on
        when excluded.created_on <= o.created_on then excluded.created_on
        else least(excluded.created_on, (
          select u.usage_date from losant_usage.usage_days u
          where u.org_id = o.org_id and u.usage_date < excluded.created_on and exists (
            select from losant_usage.coverage c
            where c.usage_date = u.usage_date and c.org_id = u.org_id and c.is_stored)
          order by u.usage_date limit 1)) end,
      problem = excluded.problem, last_seen_at = excluded.last_seen_at,
      deleted_on = null, unlisted_on = null, unlisted_days = 0`.execute(trx);
}

/** Totals of both instances up to `lastDay` are not comparable, and cells past the horizon may have arrived. */
async function markTransferred(trx: Kysely<Schema>, instanceIds: readonly string[], lastDay: UsageDay) {
  await sql`
    update losant_usage.instances i set horizon_day = null,
      org_transferred_on = greatest(i.org_transferred_on, ${lastDay}::date)
    from (
      select instance_id from losant_usage.instances where instance_id = any (${instanceIds}::text[])
      order by instance_id for no key update
    ) as k
    where i.instance_id = k.instance_id`.execute(trx);
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
export async function readUnreadableOrgs(db: Kysely<Schema>, instanceId: string) {
  return await db
    .selectFrom('organizations')
    .select(['org_id as orgId', 'problem'])
    .where('instance_id', '=', instanceId)
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
  instanceId: string,
  { unseenSince, includesDeleted = false }: { unseenSince?: Instant; includesDeleted?: boolean } = {},
): Promise<string[]> {
  let orgs = db.selectFrom('organizations').select('org_id').where('instance_id', '=', instanceId).orderBy('org_id');
  if (!includesDeleted) orgs = orgs.where('deleted_on', 'is', null);
  if (unseenSince !== undefined) orgs = orgs.where('last_seen_at', '<', unseenSince);
  return (await orgs.execute()).map(({ org_id }) => org_id);
}

interface Absence {
  readonly orgIds: readonly string[];
  readonly today: UsageDay;
}

/** Selects organizations as `k`, unless they were deleted or have moved to another instance in the meantime. */
const lockAbsentOrgs = ({ instanceId }: LedgerWriter, { orgIds }: Absence) => sql`(
  select org_id from losant_usage.organizations
  where org_id = any (${orgIds}::text[]) and instance_id = ${instanceId} and deleted_on is null
  order by org_id for update) as k`;

/** Counts a day on which a complete list lacked the organizations. Returns the number of such days by organization. */
export async function countUnlistedDay(ledger: LedgerWriter, absence: Absence): Promise<Map<string, number>> {
  const { today } = absence;
  const update = sql<{ orgId: string; days: number }>`
    update losant_usage.organizations o set unlisted_on = ${today}::date,
      unlisted_days = o.unlisted_days + (o.unlisted_on is distinct from ${today}::date)::integer
    from ${lockAbsentOrgs(ledger, absence)} where o.org_id = k.org_id
    returning o.org_id as "orgId", o.unlisted_days as days`;
  const { rows } = await inTransaction(ledger, (trx) => update.execute(trx));
  return new Map(rows.map(({ orgId, days }) => [orgId, days]));
}

/** Records the deletion of organizations. Their cells become unavailable when expected cells are next created. */
export async function markDeleted(ledger: LedgerWriter, absence: Absence): Promise<void> {
  const update = sql`update losant_usage.organizations o set deleted_on = ${absence.today}::date
    from ${lockAbsentOrgs(ledger, absence)} where o.org_id = k.org_id`;
  await inTransaction(ledger, (trx) => update.execute(trx));
}
