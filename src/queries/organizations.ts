/** Lists of instances and organizations. */
import type { Kysely } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';

/** Returns the name of each instance, or its id where no name is known, in the order of ids. */
export async function readInstanceNames(db: Kysely<Schema>): Promise<ReadonlyMap<string, string>> {
  const instances = await db
    .selectFrom('instances')
    .select(['instance_id', 'name'])
    .orderBy('instance_id')
    .execute();
  return new Map(instances.map(({ instance_id, name }) => [instance_id, name ?? instance_id]));
}

/** Returns the ids of `orgIds` that were never seen. */
export async function readUnknownOrgs(db: Kysely<Schema>, orgIds: readonly string[]): Promise<string[]> {
  const known = await db
    .selectFrom('organizations')
    .select('org_id')
    .where(isAny('org_id', orgIds))
    .execute();
  return orgIds.filter((orgId) => known.every(({ org_id }) => org_id !== orgId));
}
