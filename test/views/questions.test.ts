/** The SQL that the documents show works as it stands there, for who may only read too. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { useLedger } from '../ledger/ledger.ts';
import { queryOnce } from '../support/databases.ts';
import { makeWorld, NOW } from './world.ts';

const DOCUMENTS = ['README.md', 'SECURITY.md', ...namesIn('docs', '.md')].filter((path) => existsSync(path));

/** These change things, and have tests of their own. */
const CHANGING = ['Uninstall'];

const shown = DOCUMENTS.flatMap((document) =>
  sqlBlocks(readFileSync(document, 'utf8')).map((block) => ({ document, ...block })),
).filter(({ title }) => !CHANGING.includes(title));
const questions = namesIn('docs/sql', '.sql').map((path) => ({
  path,
  statements: readFileSync(path, 'utf8'),
}));

const given = useLedger(NOW);

/** Returns the SQL that a Markdown text shows, in order, each with the heading or question above it. */
function sqlBlocks(text: string): { readonly title: string; readonly statements: string }[] {
  const parts = text.matchAll(
    /^(?:#+ (?<heading>.+)|(?<question>[A-Z][^\n]*\?)|```sql\n(?<sql>[^`]*)```)$/gm,
  );
  const blocks: { title: string; statements: string }[] = [];
  let title = '';
  for (const { groups = {} } of parts) {
    title = groups['heading'] ?? groups['question'] ?? title;
    const statements = groups['sql'];
    if (statements !== undefined) blocks.push({ title, statements });
  }
  return blocks;
}

/** Returns the SQL below one heading or question; throws if there is none. */
function sqlBelow(text: string, title: string): string {
  const found = sqlBlocks(text).find((block) => block.title === title);
  if (!found) throw new Error(`no SQL below "${title}"`);
  return found.statements;
}

beforeAll(async () => {
  await makeWorld(given.ledger, 3);
});

function namesIn(folder: string, ending: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

/** Returns why the statements cannot be answered in a transaction that only reads; null if they can. */
function refusal(statements: string): Promise<string | null> {
  return queryOnce(given.ledger.url, `begin read only; ${statements}; rollback`).then(
    () => null,
    (error: unknown) => String(error),
  );
}

describe.each(shown)('$document: $title', ({ statements }) => {
  test('is answered in a transaction that only reads', async () => {
    expect(await refusal(statements)).toBeNull();
  });
});

test.each(questions)('$path is answered in a transaction that only reads', async ({ statements }) => {
  expect(await refusal(statements)).toBeNull();
});

test('the documents ask at least ten questions of the tables', () => {
  expect(questions.length + sqlBlocks(readFileSync('docs/tables.md', 'utf8')).length).toBeGreaterThanOrEqual(
    10,
  );
});

test('the program is removed as it is shown, with everything that it made', async () => {
  const document = DOCUMENTS.find((path) => readFileSync(path, 'utf8').includes('## Uninstall')) ?? '';
  const statements = sqlBelow(readFileSync(document, 'utf8'), 'Uninstall').split('\n')[0] ?? '';
  await queryOnce(given.ledger.url, statements);
  expect(await given.ledger.ask(sql`select nspname from pg_namespace where nspname like 'losant%'`)).toEqual(
    [],
  );
});
