import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';

/**
 * Whether an organization `o` of the instance comes after another one, in the order of
 * `instance_id, org_id`. Said without equality: an equality that no statistics speak of is expected
 * to hold for so few rows that Postgres sorts all that are left, for each page, on a first run.
 */
export function isAfter(instanceId: string, orgId: string): RawBuilder<boolean> {
  return sql`((o.instance_id, o.org_id) > (${instanceId}, ${orgId}) and o.instance_id <= ${instanceId})`;
}

/** The next page of existing organizations after `afterOrgId`, in the order of their ids. */
export async function readOrganizationPage(
  db: Kysely<Schema>,
  instanceId: string,
  { afterOrgId, limit }: { afterOrgId: string; limit: number },
): Promise<{ orgId: string; name: string; tags: readonly { key: string; value: string }[] }[]> {
  // In a case, as Postgres expects a time that no statistics speak of hardly ever to be null.
  const { rows } = await sql<{
    org_id: string;
    name: string;
    tags: readonly { key: string; value: string }[];
  }>`
    select o.org_id, o.name, o.tags from losant_usage.organizations o
    where ${isAfter(instanceId, afterOrgId)} and case when o.removed_at is null then true else false end
    order by o.instance_id, o.org_id limit ${limit}`.execute(db);
  return rows.map(({ org_id, name, tags }) => ({ orgId: org_id, name, tags }));
}
