/**
 * What Postgres executes of this schema's functions with the rights of whoever reads or writes, as far as it knows: functions
 * in views, in bodies in SQL, which are inlined, and in the checks, defaults, indexes and conditions of triggers of a table.
 */
import { queryOnce } from '../support/databases.ts';

/** Each way of touching an object (`read`, `write` or `call`, and its name) with those that it includes. */
export type Uses = ReadonlyMap<string, readonly string[]>;

/** The objects that have a dependency, by how they are touched; the function of a trigger is fired without a right to it. */
const USERS = `
  select 'read' as how, ev_class::regclass::text as name, 'pg_rewrite'::regclass as classid, oid as objid, 0::oid as but from pg_rewrite
  union all
  select 'call', oid::regproc::text, 'pg_proc'::regclass, oid, 0 from pg_proc where prosqlbody is not null and not prosecdef
  union all
  select 'write', conrelid::regclass::text, 'pg_constraint'::regclass, oid, 0 from pg_constraint where conrelid <> 0
  union all
  select 'write', adrelid::regclass::text, 'pg_attrdef'::regclass, oid, 0 from pg_attrdef
  union all
  select 'write', indrelid::regclass::text, 'pg_class'::regclass, indexrelid, 0 from pg_index
  union all
  select 'write', tgrelid::regclass::text, 'pg_trigger'::regclass, oid, tgfoid from pg_trigger`;

const USES = `
  select distinct u.how || ' ' || u.name as user,
    case d.refclassid when 'pg_proc'::regclass then 'call ' || d.refobjid::regproc else 'read ' || d.refobjid::regclass end as used
  from (${USERS}) as u join pg_depend d on d.classid = u.classid and d.objid = u.objid and d.refobjid <> u.but
  where u.name like 'losant_usage%' and (d.refclassid = 'pg_proc'::regclass or (d.refclassid = 'pg_class'::regclass and u.how <> 'write'))`;

export async function readUses(url: string): Promise<Uses> {
  const rows = await queryOnce(url, USES);
  const byUser = Map.groupBy(rows, ({ user }) => String(user));
  return new Map([...byUser].map(([user, own]) => [user, own.map(({ used }) => String(used))]));
}

/** Returns the functions of the schema that are executed by touching these objects. */
export function reach(uses: Uses, touched: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const queue = [...touched];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const used of uses.get(next) ?? []) {
      if (seen.has(used)) continue;
      seen.add(used);
      queue.push(used);
    }
  }
  return new Set(
    [...seen].filter((each) => each.startsWith('call losant_usage')).map((each) => each.slice(5)),
  );
}
