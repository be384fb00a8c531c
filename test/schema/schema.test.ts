/**
 * The schema that the migrations create: its types in the program, and its comments. `npm run schema` regenerates
 * src/database/schema.ts, rights.txt and the tables of docs/tables.md.
 */
import { globSync, readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { useDisposable, useTestDatabase } from '../opened.ts';
import { openAs } from '../support/databases.ts';
import { generateTypes } from './types.ts';

const database = useTestDatabase();
const handle = useDisposable(() => openAs('migrator', database.url));

test('src/database/schema.ts has the types of the schema: npm run schema', async () => {
  await expect(await generateTypes(handle.db)).toMatchFileSnapshot('../../src/database/schema.ts');
});

test('every table, view, column and function of the contract has a comment', async () => {
  const undocumented = sql<{ name: string }>`
    select c.relname as name from pg_class c
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
    and obj_description(c.oid, 'pg_class') is null
    union all
    select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
    and col_description(c.oid, a.attnum) is null
    union all
    select p.proname from pg_proc p where p.pronamespace = 'losant_usage'::regnamespace
    and obj_description(p.oid, 'pg_proc') is null`;
  // These two tables belong to kysely's Migrator.
  const isOfMigrator = ({ name }: { name: string }) => /^migrations(_lock)?(\.|$)/.test(name);
  const { rows } = await undocumented.execute(handle.db);
  expect(rows.filter((row) => !isOfMigrator(row))).toEqual([]);
});

test('every line of the dictionary of comments is about a column', async () => {
  const lines = readFileSync('migrations/always.sql', 'utf8').matchAll(/^ {4}\('([\w.]+)', '/gm);
  const names = Array.from(lines, ([, name]) => name);
  const { rows } = await sql<{ column: string }>`
    select c.relname || '.' || a.attname as column from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'losant_usage'::regnamespace and a.attnum > 0`.execute(handle.db);
  const columns = new Set(rows.flatMap(({ column }) => [column, column.split('.')[1]]));
  expect(names.length).toBeGreaterThan(100);
  expect(names.filter((name) => !columns.has(name))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
});

test('no comment of a migration is replaced by one of the dictionary', async () => {
  const sources = globSync('migrations/0*.sql').map((path) => readFileSync(path, 'utf8'));
  const matches = sources.flatMap((source) =>
    Array.from(source.matchAll(/^comment on column losant_usage\.([\w.]+) is '(.*)';$/gm)),
  );
  const { rows } = await sql<{ column: string; comment: string }>`
    select c.relname || '.' || a.attname as column, col_description(c.oid, a.attnum) as comment
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'losant_usage'::regnamespace and a.attnum > 0`.execute(handle.db);
  const comments = new Map(rows.map(({ column, comment }) => [column, comment]));
  expect(matches.length).toBeGreaterThan(100);
  expect(matches.filter(([, column = '', text]) => comments.get(column) !== text?.replaceAll("''", "'"))).toEqual([]);
});

test('comments say which days a number of a month is of, and that earlier attributes are not those last seen', async () => {
  const { rows } = await sql<{ line: string }>`select concat(c.relname, ': ', col_description(c.oid, a.attnum)) as line
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where (c.relname, a.attname) in (
      ('daily_usage', 'notebook_minutes'), ('monthly_usage', 'devices_total'), ('monthly_usage', 'notebook_minutes'),
      ('organization_history', 'plan_id'))
      and c.relnamespace = 'losant_usage'::regnamespace order by c.relname, a.attname`.execute(handle.db);
  const level =
    'Devices near the end of the day (devices, level) on the last day on which it is stored; null if it is on';
  expect(rows.map(({ line }) => line)).toEqual([
    'daily_usage: Notebook execution time (minutes, flow); null if not stored.',
    `monthly_usage: ${level} none.`,
    'monthly_usage: Notebook execution time (minutes, flow) over the stored days; null if none is stored.',
    'organization_history: Billing plan ID of the organization in this version; null if it has none.',
  ]);
});

const PATH = 'docs/tables.md';
const TABLE = /<!-- comments: (?<names>[^>]+) -->\n(?:\n\|.*(?:\n\|.*)*\n)?/g;

/** Views, tables and functions of the contract with their comments; functions end in `()`. */
const COMMENTS = sql<Record<'name' | 'kind' | 'comment', string>>`
  select relname as name, relkind::text as kind, obj_description(oid, 'pg_class') as comment from pg_class
  where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v')
  union all
  select proname || '()', 'f', obj_description(oid, 'pg_proc') from pg_proc
  where pronamespace = 'losant_usage'::regnamespace`;

const text = readFileSync(PATH, 'utf8');
const listedNames = [...text.matchAll(TABLE)].flatMap(({ groups }) => (groups?.['names'] ?? '').split(', '));

const COLUMN_TABLE = /<!-- columns: (?<names>[^>]+) -->\n(?:\n\|.*(?:\n\|.*)*\n)?/;

/** Returns the table of the tables of the contract with their columns, with its marker. */
async function renderColumnTable(): Promise<string> {
  const names = COLUMN_TABLE.exec(text)?.groups?.['names'] ?? '';
  const { rows } = await sql<Record<'name' | 'comment' | 'columns', string>>`
    select c.relname as name, obj_description(c.oid, 'pg_class') as comment,
      string_agg('\`' || a.attname || '\`', ', ' order by a.attnum) as columns
    from unnest(${names.split(', ')}::text[]) with ordinality as n (name, position)
    join pg_class c on c.relnamespace = 'losant_usage'::regnamespace and c.relname = n.name
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    group by c.oid, c.relname, n.position order by n.position`.execute(handle.db);
  const lines = rows.map(({ name, comment, columns }) => `| \`${name}\` | ${comment} | ${columns} |`);
  expect(lines.length).toBeGreaterThan(6);
  const head = `<!-- columns: ${names} -->\n\n| name | what it is | columns |\n| --- | --- | --- |`;
  return [head, ...lines, ''].join('\n');
}

test('docs/tables.md lists every view once, and tables with their columns: npm run schema, below markers', async () => {
  const { rows } = await COMMENTS.execute(handle.db);
  const comments = new Map(rows.map(({ name, comment }) => [name, comment]));
  const columnTable = await renderColumnTable();
  const rendered = text
    .replaceAll(TABLE, (_, names: string) => {
      const rows = names.split(', ').map((name) => `| \`${name}\` | ${comments.get(name) ?? 'unknown'} |`);
      return `<!-- comments: ${names} -->\n\n| name | what it is |\n| --- | --- |\n${rows.join('\n')}\n`;
    })
    .replace(COLUMN_TABLE, () => columnTable);
  expect(rendered).not.toContain('| unknown |');
  // One snapshot: two of one file would overwrite each other.
  await expect(rendered).toMatchFileSnapshot(`../../${PATH}`);
  const views = rows.filter(({ kind }) => kind === 'v').map(({ name }) => name);
  expect(listedNames.filter((name) => !name.endsWith('()')).toSorted()).toEqual(views.toSorted());
});

test('docs/tables.md lists every metric', async () => {
  const metrics = await handle.db.selectFrom('metrics').select('metric').execute();
  expect(metrics.filter(({ metric }) => !text.includes(`\`${metric}\``))).toEqual([]);
});
