import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';

/** Resolves if the database answers at all. Touches no table. */
export async function pingDatabase(db: Kysely<Schema>): Promise<void> {
  await sql`select`.execute(db);
}
