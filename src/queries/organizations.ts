/** Lists of instances and organizations. */
import type { Kysely } from 'kysely';
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
