/** docs/tables.md has the comments of the schema: `npx vitest run test/project/tables --update` writes them. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

const PATH = 'docs/tables.md';
const TABLE = /<!-- comments: (?<names>[^>]+) -->\n(?:\n\|.*(?:\n\|.*)*\n)?/g;

/** Views, tables and functions of the contract with their comments; functions end in `()`. */
const COMMENTS = `
  select relname as name, relkind::text as kind, obj_description(oid, 'pg_class') as comment from pg_class
  where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v')
  union all
  select proname || '()', 'f', obj_description(oid, 'pg_proc') from pg_proc
  where pronamespace = 'losant_usage'::regnamespace`;

let database: TestDatabase;
let comments: ReadonlyMap<string, { readonly kind: string; readonly comment: string }>;

beforeAll(async () => {
  database = await createTestDatabase();
  const rows = await queryOnce(database.url, COMMENTS);
  comments = new Map(
    rows.map(({ name, kind, comment }) => [String(name), { kind: String(kind), comment: String(comment) }]),
  );
});
afterAll(() => database.drop());

const text = readFileSync(PATH, 'utf8');
const named = [...text.matchAll(TABLE)].flatMap(({ groups }) => (groups?.['names'] ?? '').split(', '));

test('docs/tables.md has the comments of what it names', async () => {
  const rendered = text.replaceAll(TABLE, (_, names: string) => {
    const rows = names
      .split(', ')
      .map((name) => `| \`${name}\` | ${comments.get(name)?.comment ?? 'unknown'} |`);
    return `<!-- comments: ${names} -->\n\n| name | what it is |\n| --- | --- |\n${rows.join('\n')}\n`;
  });
  expect(rendered).not.toContain('| unknown |');
  await expect(rendered).toMatchFileSnapshot(`../../${PATH}`);
});

test('docs/tables.md names every view once', () => {
  const views = [...comments].filter(([, { kind }]) => kind === 'v');
  expect(named.filter((name) => !name.endsWith('()')).toSorted()).toEqual(
    views.map(([name]) => name).toSorted(),
  );
});
