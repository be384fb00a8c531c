import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';

/** Columns that name the hosts that export, in SQL; null for a role that may not see them, as the reader's. */
export interface HostColumns {
  /** Of a row of `instances` or `shard_leases`. */
  readonly lease: RawBuilder<string | null>;
  /** Of the row `r` of `runs`. */
  readonly run: RawBuilder<string | null>;
}

export async function readHostColumns(db: Kysely<Schema>): Promise<HostColumns> {
  const { rows } = await sql<{ isSeen: boolean }>`
    select has_column_privilege('losant_usage.instances', 'lease_host', 'select')
      and has_column_privilege('losant_usage.runs', 'host', 'select') as "isSeen"`.execute(db);
  if (rows[0]?.isSeen === true) return { lease: sql`lease_host`, run: sql`r.host` };
  return { lease: sql`null::text`, run: sql`null::text` };
}
