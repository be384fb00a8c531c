import { type Kysely, sql } from 'kysely';
import { SCHEMA_NAME } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';

/** The privileges of the connected user that this program needs. */
export interface DatabaseAccess {
  /** The server's version, e.g. `18.4`. */
  readonly serverVersion: string;
  readonly user: string;
  /** Whether the user may create tables in the schema. */
  readonly mayCreate: boolean;
  /** Privileges on existing tables that a run needs and the user lacks, e.g. `update on coverage`. */
  readonly missing: readonly string[];
}

/** Tables in which a run inserts and updates rows. */
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
/** Tables to which a run only adds rows. */
const APPEND_ONLY_TABLES = ['revisions', 'quarantine'];
/** Tables from which a run deletes rows. */
const DELETED_FROM_TABLES = ['tracks', 'leases'];

/** Reads only the catalog, which any user may do. A table that does not exist yet has no missing privileges. */
export async function readAccess(db: Kysely<Schema>): Promise<DatabaseAccess> {
  const { rows } = await sql<DatabaseAccess>`
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
        select p.privilege || ' on ' || relname
        from pg_class join pg_namespace n on n.oid = relnamespace,
          unnest(array['select', 'insert', 'update', 'delete']) with ordinality as p (privilege, position)
        where nspname = ${SCHEMA_NAME} and relkind = 'r' and case p.privilege
            when 'delete' then relname = any (${DELETED_FROM_TABLES}::text[])
            when 'update' then relname = any (${UPSERTED_TABLES}::text[])
            else relname = any (${[...UPSERTED_TABLES, ...APPEND_ONLY_TABLES]}::text[]) end
          and not has_table_privilege(pg_class.oid, p.privilege)
        order by relname, p.position
      ) as missing`.execute(db);
  return rows[0] as DatabaseAccess;
}
