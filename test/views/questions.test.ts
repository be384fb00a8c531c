/** The examples of docs/tables.md work as they stand there. */
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ledger, openLedger, rowsOf } from '../database/ledger.ts';
import { devices, load, promisedOrg } from './loads.ts';

const text = readFileSync('docs/tables.md', 'utf8');
const questions = [...text.matchAll(/^([A-Z][^\n]*\?)\n\n```sql\n([^`]*)```/gm)].map(
  ([, question = '', query = '']) => ({ question, query }),
);

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger('postgres');
  const orgId = await promisedOrg(ledger, ['device_counts'], { from: '2026-10-01', to: '2026-10-02' });
  await load(ledger, [devices(orgId, '2026-10-01', 4, 1, 17)]);
});

afterAll(() => ledger.close());

test('there are ten questions, and no other SQL', () => {
  expect(questions).toHaveLength(10);
  expect(text.match(/```sql/g)).toHaveLength(10);
});

test.each(questions)('$question', async ({ query }) => {
  const answer = await sql.raw(query).execute(ledger.db);
  expect(Array.isArray(answer.rows)).toBe(true);
});

test('the question for gaps finds the day that is missing', async () => {
  const query = questions.find(({ question }) => question.startsWith('What exactly is missing'))?.query ?? '';
  expect(await rowsOf(ledger.db, sql.raw(query))).toMatchObject([
    { usage_date: '2026-10-02', org_name: 'Acme', stream: 'device_counts', state: 'never_read' },
  ]);
});

test('the question for the invoice finds what was not known when it was written', async () => {
  const query = questions.find(({ question }) => question.startsWith('What did we know'))?.query ?? '';
  expect(await rowsOf(ledger.db, sql.raw(query))).toMatchObject([
    { metric: 'devices_created', quantity_then: null, quantity_now: '4' },
    { metric: 'devices_deleted', quantity_then: null, quantity_now: '1' },
  ]);
});

test('the document names every view and every table', async () => {
  const names = await rowsOf(
    ledger.db,
    sql`select relname from pg_class
      where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v') order by relname`,
  );
  const unnamed = names
    .map((name) => Object.values(name)[0] as string)
    .filter((name) => !text.includes(`\`${name}\``));
  expect(unnamed).toEqual([]);
});
