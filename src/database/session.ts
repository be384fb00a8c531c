import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { CLOCK } from './expressions.ts';
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
  // Both are logged in before the first read.
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
  throw new DatabaseError('database_rejected', `A pooler at ${label} lends sessions for one transaction only`, {
    hint: 'connect directly, or through a pooler in session mode: timeouts and time zone are set once per session',
  });
}

async function readSession(db: Kysely<Schema>): Promise<number | null> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]?.pid ?? null;
}

/** The tables that the writer writes, by the privileges that it needs, some of them only on columns. */
const PRIVILEGES: Readonly<Record<string, string>> = {
  'select insert': 'revisions quarantine statements statement_lines',
  'select insert update':
    'instance organizations organization_history coverage usage_days runs instance_totals waivers',
  'select insert update delete': 'tracks lease',
};

interface DatabaseAccess {
  readonly serverVersion: string;
  readonly user: string;
  readonly mayCreate: boolean;
  readonly missing: readonly string[];
}

/**
 * Returns the connected user, whether it may create tables in the schema, and the privileges that the writer needs and
 * it lacks, e.g. `update on coverage`. Reads only the catalog, which any user may do. A table that does not exist yet
 * has no missing privileges.
 */
export async function readAccess(db: Kysely<Schema>) {
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
        from unnest(${Object.keys(PRIVILEGES)}::text[], ${Object.values(PRIVILEGES)}::text[]) as k (privileges, tables)
        join pg_class c on relname = any (string_to_array(k.tables, ' ')) and relkind = 'r'
        join pg_namespace n on n.oid = relnamespace and nspname = ${SCHEMA_NAME}
        cross join string_to_table(k.privileges, ' ') with ordinality as p (privilege, position)
        where not case p.privilege when 'delete' then has_table_privilege(c.oid, 'delete')
          else has_any_column_privilege(c.oid, p.privilege) end
        order by relname, p.position
      ) as missing`.execute(db);
  return rows[0] as DatabaseAccess;
}

export async function readNowMs({ db }: Pick<DatabaseHandle, 'db'>): Promise<number> {
  const { at } = await db.selectNoFrom(CLOCK.as('at')).executeTakeFirstOrThrow();
  return Date.parse(at);
}
