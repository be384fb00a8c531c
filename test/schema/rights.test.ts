/**
 * Who may do what: the rights of each role, that it has them for everything that it reads, also once a month is closed, and
 * that everybody else has none. `npm run schema` writes rights.txt anew.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { INSTANCE, OTHER, openWorld, type World } from '../console/world.ts';
import { asOwner, queryOnce } from '../support/databases.ts';
import { loginAs, ROLES, type Role } from '../support/roles.ts';
import { reach, readUses } from './uses.ts';

const READERS = ['reader', 'writer', 'closer'] as const;
type Reader = (typeof READERS)[number];

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const SCHEMAS = `('losant_usage'::regnamespace, 'losant_usage_internal'::regnamespace)`;

/** All objects, and the columns of the tables of which not all were granted, each with what it can be granted for. */
const OBJECTS = `
  select 'table' as kind, oid, null::smallint as attnum, relowner as owner, oid::regclass::text as name,
    array['select', 'insert', 'update', 'delete', 'truncate'] as words
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
    else coalesce(string_agg(p.word, ', ' order by p.place), '-') end as rights
  from (${OBJECTS}) as o
  cross join (values ('${ROLES.join(`'), ('`)}')) as r (role)
  left join lateral unnest(o.words) with ordinality as p (word, place) on case o.kind
    when 'table' then has_table_privilege('losant_usage_' || r.role, o.oid, p.word)
    when 'column' then has_column_privilege('losant_usage_' || r.role, o.oid, o.attnum, p.word)
    when 'function' then has_function_privilege('losant_usage_' || r.role, o.oid, p.word)
    when 'schema' then has_schema_privilege('losant_usage_' || r.role, o.oid, p.word) end
  group by o.name, r.role, o.owner`;

type Rights = Readonly<Record<Role, string>>;

/** Returns the rights of the roles by the name of an object. */
async function readRights(): Promise<readonly (readonly [name: string, Rights])[]> {
  const rows = await queryOnce(world.url, RIGHTS);
  const byName = Map.groupBy(rows, ({ name }) => String(name));
  const rights = [...byName].map(([name, own]) => {
    return [name, Object.fromEntries(own.map((row) => [row['role'], row['rights']])) as Rights] as const;
  });
  return rights.toSorted(([one], [other]) => (one < other ? -1 : 1));
}

test('each role may do what is named, and nothing else', async () => {
  const columns = [...READERS, 'migrator'] as const;
  const table = [['', ...columns]];
  for (const [name, rights] of await readRights()) table.push([name, ...columns.map((role) => rights[role])]);
  const widths = columns.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  const show = (line: readonly string[]) =>
    line.map((cell, place) => cell.padEnd(widths[place] ?? 0)).join('  ');
  await expect(`${table.map(show).join('\n')}\n`).toMatchFileSnapshot('rights.txt');
});

/** Grants to anybody but the four roles; a grantee 0 is everybody. */
const STRANGE = `
  select a.name, a.grantee::regrole::text as grantee, a.privilege_type as right from (
    select o.name, a.* from (${OBJECTS}) as o
    left join pg_class c on o.kind = 'table' and c.oid = o.oid
    left join pg_attribute t on o.kind = 'column' and t.attrelid = o.oid and t.attnum = o.attnum
    left join pg_proc p on o.kind = 'function' and p.oid = o.oid
    left join pg_namespace n on o.kind = 'schema' and n.oid = o.oid
    cross join lateral aclexplode(coalesce(c.relacl, t.attacl, p.proacl, n.nspacl, acldefault(
      (case o.kind when 'table' then 'r' when 'column' then 'c' when 'function' then 'f' else 'n' end)::"char", o.owner))) a
  ) as a where a.grantee::regrole::text not in ('losant_usage_${ROLES.join(`', 'losant_usage_`)}')`;

test('everybody else may do nothing, also with a function that is made later', async () => {
  expect(await queryOnce(world.url, STRANGE)).toEqual([]);
  await asOwner(world.url, 'create function losant_usage.later() returns integer language sql return 1');
  const call = queryOnce(world.url, 'select losant_usage.later()');
  await expect(call).rejects.toThrow('permission denied for function later');
  await asOwner(world.url, 'drop function losant_usage.later');
});

/** Functions of the contract, and what they are asked. */
const CALLS: Readonly<Record<string, string>> = {
  changes_since: `'2026-11-01T00:00Z'`,
  local_daily_usage: `'Europe/Berlin'`,
  month_controls: `'${OTHER}', '2026-10-01'`,
  require_closable: `'${OTHER}', '2026-10-01', true, null, now()`,
  statement_draft: `'${INSTANCE}', '2026-10-01', false`,
  usage_as_of: `'2026-11-20T00:00Z'`,
  usage_beside: `'payload_all_count', '2026-11-01', '2026-11-07', 'before'`,
};

describe.for(READERS)('the %s, while two months are closed', (role) => {
  const read = async (what: string) =>
    await queryOnce(loginAs(role, world.url), `select * from ${what}`).then(
      () => 'read',
      (error: unknown) => String(error),
    );

  test('reads every table and view that it was granted, and no other', async () => {
    const relations = (await readRights()).filter(([name]) => /^losant_usage\w*\.\w+$/.test(name));
    expect(relations.length).toBeGreaterThan(50);
    for (const [name, { [role]: rights }] of relations) {
      const expected = rights.includes('select') ? /^read$/ : /permission denied for/;
      expect([name, await read(name)]).toEqual([name, expect.stringMatching(expected)]);
    }
  });

  test('calls every function of the contract that it was granted', async () => {
    const isCalled = ([name, rights]: readonly [string, Rights]) =>
      /^losant_usage\.\w+\(\)$/.test(name) && rights.reader === 'execute';
    const names = (await readRights()).filter(isCalled).map(([name]) => name.replace(/^\w+\.|\(\)$/g, ''));
    expect(names).toEqual(Object.keys(CALLS));
    for (const name of names) {
      expect([name, await read(`losant_usage.${name}(${CALLS[name]})`)]).toEqual([name, 'read']);
    }
  });
});

/**
 * What Postgres does not know to be called, and by whom it is: functions of the contract by people, others by the
 * program's statements or in a body that is text. The tests that do these things as the role show that none lacks.
 */
const CALLED: Readonly<Record<Reader, readonly string[]>> = {
  reader: Object.keys(CALLS).map((name) => `losant_usage.${name}`),
  // By triggers of tables that it writes; by a run at its end, and by a waiver.
  writer: ['losant_usage_internal.is_by_hand', 'losant_usage_internal.sum_days'],
  // By close.
  closer: ['losant_usage.open_statement', 'losant_usage.seal_statement'],
};

test('each role may execute what its reads and writes execute, and what is called', async () => {
  const uses = await readUses(world.url);
  const rights = await readRights();
  const granted = (role: Reader) => {
    const own = rights.filter(([, { [role]: words }]) => words === 'execute');
    return own.map(([name]) => name.replace('()', ''));
  };
  for (const role of READERS) {
    // The writer and the closer belong to the reader.
    const called = role === 'reader' ? CALLED.reader : [...CALLED.reader, ...CALLED[role]];
    const touched = rights.flatMap(([name, { [role]: words }]) => [
      ...(words.includes('select') ? [`read ${name}`] : []),
      ...(/insert|update/.test(words) ? [`write ${name}`] : []),
    ]);
    const executed = reach(uses, [...touched, ...called.map((name) => `call ${name}`)]);
    expect([role, granted(role)]).toEqual([role, [...new Set([...executed, ...called])].toSorted()]);
  }
});
