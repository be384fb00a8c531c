import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import type { Schema } from './schema.ts';

/** A session of one's own responds in milliseconds. */
const OWN_SESSION_MS = 2_000;

/**
 * Throws DatabaseError if a pooler lends sessions for one transaction at a time: then what the program sets for its
 * session is lost. Such a pooler lends a connection the session that was returned last, or the next one in turn. So
 * either the session of a connection changes by itself, or another connection gets it, or waits because it is taken.
 */
export async function requireOwnSession({ db, leaseDb, kind, label }: DatabaseHandle): Promise<void> {
  if (kind === 'embedded') return;
  // Both are logged in before the first reading.
  await readSession(leaseDb);
  const sessions = await db.connection().execute(async (connection) => {
    const before = [await readSession(connection), await readSession(connection)];
    const other = await leaseDb.transaction().execute(async (trx) => {
      const session = await readSession(trx);
      const reading = readSession(connection);
      const after = await Promise.race([reading, sleep(OWN_SESSION_MS, null, { ref: false })]);
      return { session, reading, after };
    });
    await other.reading;
    return { own: new Set([...before, other.after]), other: other.session };
  });
  if (sessions.own.size === 1 && !sessions.own.has(sessions.other)) return;
  throw new DatabaseError('database_refused', `A pooler at ${label} lends sessions for one transaction only`, {
    hint: 'connect directly, or through a pooler in session mode: timeouts and time zone are set once per session',
  });
}

async function readSession(db: Kysely<Schema>): Promise<number | null> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]?.pid ?? null;
}

/** The privileges of the connected user that this program needs. */
export interface DatabaseAccess {
  /** The server's version, e.g. `18.4`. */
  readonly serverVersion: string;
  readonly user: string;
  readonly mayCreate: boolean;
  /** Privileges on existing tables that a run or a waiver needs and the user lacks, e.g. `update on coverage`. */
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
  'attention_items',
  'digests',
];
/** Tables to which a run only adds rows. */
const APPEND_ONLY_TABLES = ['revisions', 'quarantine'];
/** Tables from which a run deletes rows. */
const DELETED_FROM_TABLES = ['tracks', 'leases', 'attention_items'];
/** The columns of waivers that the program inserts and updates; the database sets the others. */
const INSERTED_WAIVER_COLUMNS = ['org_id', 'stream', 'usage_date', 'reason', 'waived_by_run'];
const UPDATED_WAIVER_COLUMNS = ['lifted_at', 'lifted_by_run'];

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
      ) || array(
        select p.privilege || ' (' || attname || ') on ' || relname
        from pg_class join pg_namespace n on n.oid = relnamespace join pg_attribute on attrelid = pg_class.oid,
          unnest(array['insert', 'update']) as p (privilege)
        where nspname = ${SCHEMA_NAME} and relname = 'waivers' and case p.privilege
            when 'insert' then attname = any (${INSERTED_WAIVER_COLUMNS}::text[])
            else attname = any (${UPDATED_WAIVER_COLUMNS}::text[]) end
          and not has_column_privilege(attrelid, attnum, p.privilege)
        order by p.privilege, attnum
      ) as missing`.execute(db);
  return rows[0] as DatabaseAccess;
}
