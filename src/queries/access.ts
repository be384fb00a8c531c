import { type Kysely, sql } from 'kysely';
import { SCHEMA_NAME } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';

/** The connected user's rights, as far as this program needs them. */
export interface Access {
  /** The server's version, e.g. `18.4`. */
  readonly serverVersion: string;
  readonly user: string;
  /** Whether the user may create the schema's tables. */
  readonly mayCreate: boolean;
  /** Rights on existing tables that a run needs and the user lacks, e.g. `update on coverage`. */
  readonly missing: readonly string[];
}

/** Tables in which a run inserts and updates. */
const UPSERTED_TABLES = [
  'instances',
  'organizations',
  'organization_history',
  'tracks',
  'coverage',
  'usage_days',
  'runs',
  'instance_totals',
  'leases',
];
/** Tables to which a run only adds. */
const APPEND_ONLY_TABLES = ['revisions', 'quarantine'];

/**
 * Reads only the catalog, so that any user may ask. A table that does not exist lacks no
 * right.
 */
export async function readAccess(db: Kysely<Schema>): Promise<Access> {
  const { rows } = await sql<Access>`
    select current_setting('server_version') as "serverVersion",
      current_user::text as "user",
      coalesce(
        (select has_schema_privilege(oid, 'create') and has_schema_privilege(oid, 'usage')
         from pg_namespace where nspname = ${SCHEMA_NAME}),
        has_database_privilege(current_database(), 'create')
      ) as "mayCreate",
      array(
        select 'usage on schema ' || nspname from pg_namespace
        where nspname = ${SCHEMA_NAME} and not has_schema_privilege(oid, 'usage')
      ) || array(
        select needed.right || ' on ' || relname
        from pg_class join pg_namespace n on n.oid = relnamespace,
          unnest(array['select', 'insert', 'update']) with ordinality as needed ("right", place)
        where nspname = ${SCHEMA_NAME} and relkind = 'r'
          and (relname = any (${UPSERTED_TABLES}::text[]) or (relname = any (${APPEND_ONLY_TABLES}::text[]) and needed.right <> 'update'))
          and not has_table_privilege(pg_class.oid, needed.right)
        order by relname, place
      ) as missing`.execute(db);
  return rows[0] as Access;
}
