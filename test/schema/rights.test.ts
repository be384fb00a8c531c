/**
 * The privileges of each role. A role has those that its reads need, also once a month is closed, and any other role
 * has none. `npm run schema` regenerates rights.txt.
 */
import { describe, expect, test } from 'vitest';
import { useWorld } from '../console/world.ts';
import { asOwner, queryOnce } from '../support/databases.ts';
import { loginAs, ROLES, type Role } from '../support/roles.ts';

const READERS = ['reader', 'writer'] as const;

const world = useWorld();

const SCHEMAS = `('losant_usage'::regnamespace, 'losant_usage_internal'::regnamespace)`;

/** All objects, and the columns of tables with privileges on columns, each with the privileges that it can have. */
const OBJECTS = `
  select 'table' as kind, oid, null::smallint as attnum, relowner as owner, oid::regclass::text as name,
    array['select', 'insert', 'update', 'delete', 'truncate'] as privileges
  from pg_class where relnamespace in ${SCHEMAS} and relkind in ('r', 'v')
  union all
  select 'column', c.oid, a.attnum, c.relowner, c.oid::regclass || '.' || a.attname, array['select', 'insert', 'update']
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where relnamespace in ${SCHEMAS}
    and exists (select from pg_attribute g where g.attrelid = c.oid and g.attacl is not null)
  union all
  select 'function', oid, null, proowner, oid::regproc || '()', array['execute']
  from pg_proc where pronamespace in ${SCHEMAS}
  union all
  select 'schema', oid, null, nspowner, 'schema ' || nspname, array['usage', 'create']
  from pg_namespace where oid in ${SCHEMAS}`;

const RIGHTS = `
  select o.name, r.role, case when pg_has_role('losant_usage_' || r.role, o.owner, 'usage') then 'owner'
    else coalesce(string_agg(p.privilege, ', ' order by p.index), '-') end as rights
  from (${OBJECTS}) as o
  cross join (values ('${ROLES.join(`'), ('`)}')) as r (role)
  left join lateral unnest(o.privileges) with ordinality as p (privilege, index) on case o.kind
    when 'table' then has_table_privilege('losant_usage_' || r.role, o.oid, p.privilege)
    when 'column' then has_column_privilege('losant_usage_' || r.role, o.oid, o.attnum, p.privilege)
    when 'function' then has_function_privilege('losant_usage_' || r.role, o.oid, p.privilege)
    when 'schema' then has_schema_privilege('losant_usage_' || r.role, o.oid, p.privilege) end
  group by o.name, r.role, o.owner`;

type Rights = Readonly<Record<Role, string>>;

/** Returns the names of the objects with the rights of the roles on each. */
async function readRights(): Promise<readonly (readonly [name: string, Rights])[]> {
  const rows = await queryOnce(world.url, RIGHTS);
  const byName = Map.groupBy(rows, ({ name }) => String(name));
  const rights = [...byName].map(([name, byRole]) => {
    return [name, Object.fromEntries(byRole.map((row) => [row['role'], row['rights']])) as Rights] as const;
  });
  return rights.toSorted(([one], [other]) => (one < other ? -1 : 1));
}

test('each role has the privileges that rights.txt lists, and no others: npm run schema, then read the difference', async () => {
  const columns = [...READERS, 'migrator'] as const;
  const table = [['', ...columns]];
  for (const [name, rights] of await readRights()) table.push([name, ...columns.map((role) => rights[role])]);
  const widths = columns.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  const formatLine = (line: readonly string[]) => line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ');
  await expect(`${table.map(formatLine).join('\n')}\n`).toMatchFileSnapshot('rights.txt');
});

/** Grants to other roles than the three. The grantee 0 is PUBLIC. */
const OTHER_GRANTS = `
  select a.name, a.grantee::regrole::text as grantee, a.privilege_type as right from (
    select o.name, a.* from (${OBJECTS}) as o
    left join pg_class c on o.kind = 'table' and c.oid = o.oid
    left join pg_attribute t on o.kind = 'column' and t.attrelid = o.oid and t.attnum = o.attnum
    left join pg_proc p on o.kind = 'function' and p.oid = o.oid
    left join pg_namespace n on o.kind = 'schema' and n.oid = o.oid
    cross join lateral aclexplode(coalesce(c.relacl, t.attacl, p.proacl, n.nspacl, acldefault(
      (case o.kind when 'table' then 'r' when 'column' then 'c' when 'function' then 'f' else 'n' end)::"char",
      o.owner))) a
  ) as a where a.grantee::regrole::text not in ('losant_usage_${ROLES.join(`', 'losant_usage_`)}')`;

test('other roles may do nothing, and not execute a function that is created later', async () => {
  expect(await queryOnce(world.url, OTHER_GRANTS)).toEqual([]);
  await asOwner(world.url, 'create function losant_usage.later() returns integer language sql return 1');
  const call = queryOnce(world.url, 'select losant_usage.later()');
  await expect(call).rejects.toThrow('permission denied for function later');
  await asOwner(world.url, 'drop function losant_usage.later');
});

/** Functions of the contract, each with the arguments of a call. */
const CALLS: Readonly<Record<string, string>> = {
  changes_since: `'2026-11-01T00:00Z'`,
  local_daily_usage: `'Europe/Berlin'`,
  usage_as_of: `'2026-11-20T00:00Z'`,
};

describe.for(READERS)('the %s, while two months are closed', (role) => {
  // The others are members of the reader: that they may begin to read shows what they may read besides.
  const limit = role === 'reader' ? 'all' : '0';
  const read = async (source: string) =>
    await queryOnce(loginAs(role, world.url), `select * from ${source} limit ${limit}`).then(
      () => 'read',
      (error: unknown) => String(error),
    );

  test('reads every table and view that was granted to it in a schema that it may use, and no other', async () => {
    const allRights = await readRights();
    const schemas = new Map(allRights.map(([name, { [role]: rights }]) => [name.replace('schema ', ''), rights]));
    const isUsable = (name: string) => schemas.get(name.replace(/\..*/, '')) === 'usage';
    const relations = allRights.filter(([name]) => /^losant_usage\w*\.\w+$/.test(name));
    expect(relations.length).toBeGreaterThan(50);
    for (const [name, { [role]: rights }] of relations) {
      const expected = rights.includes('select') && isUsable(name) ? /^read$/ : /permission denied for/;
      expect([name, await read(name)]).toEqual([name, expect.stringMatching(expected)]);
    }
  });

  test('calls every function of the contract that was granted to it', async () => {
    const isCalled = ([name, rights]: readonly [string, Rights]) =>
      /^losant_usage\.\w+\(\)$/.test(name) && rights.reader === 'execute';
    const names = (await readRights()).filter(isCalled).map(([name]) => name.replace(/^\w+\.|\(\)$/g, ''));
    expect(names).toEqual(Object.keys(CALLS));
    for (const name of names) {
      expect([name, await read(`losant_usage.${name}(${CALLS[name]})`)]).toEqual([name, 'read']);
    }
  });
});
