/** The schema as Postgres describes it, as a text to compare: what a migration does to it is seen in its diff. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../../src/database/schema.ts';

const ROLES = ['losant_usage_reader', 'losant_usage_writer', 'losant_usage_closer'];

/** Everything the schema has, with comments counted and rights by role. */
export async function describeSchema(db: Kysely<Schema>): Promise<string> {
  const parts = [...(await readDefinitions(db)), ...(await readStorage(db)), ...(await readComments(db))];
  return `${[...parts, ...(await readRights(db))].join('\n\n')}\n`;
}

/** A line for each column, index, constraint, trigger and type; views and functions as they are written. */
async function readDefinitions(db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ kind: string; name: string; definition: string }>`
    select split_part(object, ' ', 1) as kind, substr(object, strpos(object, ' ') + 1) as name, definition
    from losant_usage.list_definitions() order by object collate "C"`.execute(db);
  return [...Map.groupBy(rows, ({ kind }) => kind)].flatMap(([kind, objects]) => {
    if (kind === 'view')
      return objects.map(({ name, definition }) => `-- view ${name}\n${definition.trim()}`);
    if (kind === 'function') return objects.map(({ name, definition }) => definition.trim() || `-- ${name}`);
    return [`-- ${kind}\n${objects.map(({ name, definition }) => `${name}: ${definition}`).join('\n')}`];
  });
}

async function readStorage(db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ name: string; options: string }>`
    select relname as name, array_to_string(reloptions, ', ') as options from pg_class
    where relnamespace = 'losant_usage'::regnamespace and reloptions is not null
    order by relname collate "C"`.execute(db);
  return [`-- storage\n${rows.map(({ name, options }) => `${name}: ${options}`).join('\n')}`];
}

/** How many columns have a comment, of tables and views that have one themselves. */
async function readComments(db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ name: string; is_said: boolean; columns: number; said: number }>`
    select c.relname as name, obj_description(c.oid, 'pg_class') is not null as is_said,
      count(*)::integer as columns, count(col_description(c.oid, a.attnum))::integer as said
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
    group by c.oid, c.relname order by c.relname collate "C"`.execute(db);
  const lines = rows.map(
    ({ name, is_said, columns, said }) => `${name}: ${is_said ? '' : 'none, '}${said} of ${columns} columns`,
  );
  return [`-- comments\n${lines.join('\n')}`];
}

class Undo extends Error {}

/**
 * What each role may do, where the roles exist. They belong to the whole server, so they are made in a transaction
 * that is undone.
 */
async function readRights(db: Kysely<Schema>): Promise<string[]> {
  let rights: string[] = [];
  const read = db.transaction().execute(async (trx) => {
    for (const role of ROLES) {
      const { rows } = await sql`select from pg_roles where rolname = ${role}`.execute(trx);
      if (rows.length === 0) await sql`create role ${sql.ref(role)}`.execute(trx);
    }
    await sql`select losant_usage.grant_rights()`.execute(trx);
    rights = await Promise.all(['public', ...ROLES].map((role) => readRightsOf(trx, role)));
    throw new Undo();
  });
  await read.catch((error: unknown) => {
    if (!(error instanceof Undo)) throw error;
  });
  return rights;
}

async function readRightsOf(trx: Kysely<Schema>, role: string): Promise<string> {
  const { rows } = await sql<{ object: string; rights: string }>`
    select g.object, string_agg(g.privilege, ', ' order by g.privilege) as rights from (
      select 'schema' as object, r.privilege_type as privilege, r.grantee
      from pg_namespace n cross join lateral aclexplode(n.nspacl) as r where n.nspname = 'losant_usage'
      union all
      select c.relname, r.privilege_type, r.grantee
      from pg_class c cross join lateral aclexplode(c.relacl) as r
      where c.relnamespace = 'losant_usage'::regnamespace
      union all
      select c.relname || '.' || a.attname, r.privilege_type, r.grantee
      from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) as r
      where c.relnamespace = 'losant_usage'::regnamespace
      union all
      -- What the owner alone has was taken from everybody.
      select p.proname || '()', r.privilege_type, r.grantee
      from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as r
      where p.pronamespace = 'losant_usage'::regnamespace and p.prokind = 'f'
    ) as g
    left join pg_roles o on o.oid = g.grantee
    where coalesce(o.rolname, 'public') = ${role}
    group by g.object order by g.object collate "C"`.execute(trx);
  return `-- rights of ${role}\n${rows.map(({ object, rights }) => `${object}: ${rights}`).join('\n')}`;
}
