/**
 * The functions of this schema that execute with the privileges of whoever reads or writes, as far as Postgres records
 * them: in views, in parsed bodies of SQL functions, and in checks, defaults, indexes and trigger conditions of tables.
 */
import { queryOnce } from '../support/databases.ts';

/** Each access to an object (`read`, `write` or `call`, and its name) with the accesses that it includes. */
export type Uses = ReadonlyMap<string, readonly string[]>;

/** The objects with a dependency, each with its access, without the functions of triggers: these need no privilege. */
const USERS = `
  select 'read' as access, ev_class::regclass::text as name, 'pg_rewrite'::regclass as classid, oid as objid,
    0::oid as excluded_id from pg_rewrite
  union all
  select 'call', oid::regproc::text, 'pg_proc'::regclass, oid, 0 from pg_proc
  where prosqlbody is not null and not prosecdef
  union all
  select 'write', conrelid::regclass::text, 'pg_constraint'::regclass, oid, 0 from pg_constraint where conrelid <> 0
  union all
  select 'write', adrelid::regclass::text, 'pg_attrdef'::regclass, oid, 0 from pg_attrdef
  union all
  select 'write', indrelid::regclass::text, 'pg_class'::regclass, indexrelid, 0 from pg_index
  union all
  select 'write', tgrelid::regclass::text, 'pg_trigger'::regclass, oid, tgfoid from pg_trigger`;

const USES = `
  select distinct u.access || ' ' || u.name as user,
    case d.refclassid
      when 'pg_proc'::regclass then 'call ' || d.refobjid::regproc
      else 'read ' || d.refobjid::regclass end as used
  from (${USERS}) as u join pg_depend d on d.classid = u.classid and d.objid = u.objid and d.refobjid <> u.excluded_id
  where u.name like 'losant_usage%'
    and (d.refclassid = 'pg_proc'::regclass or (d.refclassid = 'pg_class'::regclass and u.access <> 'write'))`;

export async function readUses(url: string): Promise<Uses> {
  const rows = await queryOnce(url, USES);
  const byUser = Map.groupBy(rows, ({ user }) => String(user));
  return new Map([...byUser].map(([user, uses]) => [user, uses.map(({ used }) => String(used))]));
}

/** Returns the functions of the schema that these accesses execute. */
export function findReachable(uses: Uses, accesses: readonly string[]): Set<string> {
  const reached = new Set<string>();
  const queue = [...accesses];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const use of uses.get(next) ?? []) {
      if (reached.has(use)) continue;
      reached.add(use);
      queue.push(use);
    }
  }
  return new Set([...reached].filter((each) => each.startsWith('call losant_usage')).map((each) => each.slice(5)));
}
