import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';

/**
 * Throws DatabaseError `database_mismatch` if a trigger, a rule, a policy or row security that is not part of the
 * schema is attached to one of its tables: it could drop or change what a run writes without an error.
 */
export async function rejectForeignObjects(db: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ object: string }>`
    with tables as (
      select c.oid, c.oid::regclass::text as name, c.relforcerowsecurity or row_security_active(c.oid) as has_security
      from pg_class c where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'p')
    )
    select format('trigger %s on %s', t.tgname, o.name) as object
    from tables o join pg_trigger t on t.tgrelid = o.oid join pg_proc p on p.oid = t.tgfoid
    where not t.tgisinternal
      and p.pronamespace not in ('losant_usage'::regnamespace, 'losant_usage_internal'::regnamespace)
    union all
    select format('rule %s on %s', r.rulename, o.name) from tables o join pg_rewrite r on r.ev_class = o.oid
    union all
    select format('policy %s on %s', p.polname, o.name) from tables o join pg_policy p on p.polrelid = o.oid
    union all
    select format('row security on %s', o.name) from tables o where o.has_security
    order by 1`.execute(db);
  if (rows.length === 0) return;
  const objects = rows.map(({ object }) => object).join(', ');
  throw new DatabaseError(
    'database_mismatch',
    `Tables in schema losant_usage have objects that do not belong to it: ${objects}`,
    {
      hint: 'remove them, because they may drop or change data; your own views on top of the schema are fine',
    },
  );
}
