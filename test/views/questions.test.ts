/** The SQL that the documents show works as it stands there, for who may only read too. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { sqlBelow, sqlBlocks } from '../support/sql-blocks.ts';

const DOCUMENTS = [
  ...['README.md', 'SECURITY.md'],
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const TABLES = readFileSync('docs/tables.md', 'utf8');
const OPERATIONS = readFileSync('docs/operations.md', 'utf8');

/** These change things, and have tests of their own. */
const CHANGING = ['Uninstall'];

const shown = DOCUMENTS.filter((document) => existsSync(document)).flatMap((document) =>
  sqlBlocks(readFileSync(document, 'utf8')).map((block) => ({ document, ...block })),
);

const ACME = '5d0000000000000000000001';
const GLOBEX = '5d0000000000000000000002';

/**
 * Two organizations: October is stored and final of Acme, but for a day that was waived; of Globex two days
 * in November are tracked and the second was never read. One number changed after it was final.
 */
const NUMBERS = `
  begin;
  select set_config('losant_usage.program', 'first', true);
  insert into losant_usage.instances (instance_id, api_url, tracked_from)
  values ('5c0000000000000000000001', 'https://api.example.com', '2026-10-01');
  insert into losant_usage.organizations
    (org_id, instance_id, name, referral_id, tags, limits, first_seen_at, last_seen_at)
  values
    ('${ACME}', '5c0000000000000000000001', 'Acme', 'C-17', '[{"key":"tier","value":"gold"}]', '{"payload":10}', now(), now()),
    ('${GLOBEX}', '5c0000000000000000000001', 'Globex', null, '[]', '{}', now(), now());
  insert into losant_usage.tracking (org_id, stream, tracked_days) values
    ('${ACME}', 'device_counts', '{[2026-10-01,2026-11-01)}'),
    ('${GLOBEX}', 'device_counts', '{[2026-11-01,2026-11-03)}');
  insert into losant_usage.coverage
    (usage_date, stream, org_id, standing, is_stored, is_reported, revision, verified_at, first_loaded_at, finalized_at, reason, message)
  select day, 'device_counts', '${ACME}', 'final'::losant_usage.standing, true, true, 1, day + interval '4 days', day + interval '4 days', day + interval '4 days', null, null
  from generate_series(date '2026-10-01', date '2026-10-30', interval '1 day') as day
  union all
  select '2026-10-31', 'device_counts', '${ACME}', 'accepted', false, false, 0, null, null, null, 'waived', 'agreed with Acme'
  union all
  select '2026-11-01', 'device_counts', '${GLOBEX}', 'final', true, true, 1, '2026-11-05', '2026-11-05', '2026-11-05', null, null;
  insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
  select day, '${ACME}', 1, 0, 10 from generate_series(date '2026-10-01', date '2026-10-30', interval '1 day') as day
  union all select '2026-10-31', '${ACME}', null, null, null
  union all select '2026-11-01', '${GLOBEX}', 4, 1, 17;
  commit;
  begin;
  select set_config('losant_usage.program', 'on', true);
  select set_config('losant_usage.run_id', '00000000-0000-4000-8000-000000000001', true);
  update losant_usage.coverage set revision = 2 where usage_date = '2026-10-02' and org_id = '${ACME}';
  update losant_usage.usage_days set devices_created = 3 where usage_date = '2026-10-02' and org_id = '${ACME}';
  commit;
`;

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await queryOnce(database.url, NUMBERS);
});

afterAll(() => database.drop());

/** The rows of the last statement that has any. */
async function answerOf(statements: string): Promise<Record<string, unknown>[]> {
  return await queryOnce(database.url, statements);
}

describe.each(shown.filter(({ title }) => !CHANGING.includes(title)))(
  '$document: $title',
  ({ statements }) => {
    test('is answered in a transaction that only reads', async () => {
      const refused = await queryOnce(database.url, `begin read only; ${statements}; rollback`).then(
        () => null,
        (error: unknown) => String(error),
      );
      expect(refused).toBeNull();
    });
  },
);

test('the documents ask at least ten questions of the tables', () => {
  expect(sqlBlocks(TABLES).length).toBeGreaterThanOrEqual(10);
});

/** The SQL below the question of docs/tables.md that begins so. */
function question(beginning: string): string {
  return sqlBlocks(TABLES).find(({ title }) => title.startsWith(beginning))?.statements ?? '';
}

test('the question for gaps finds the day that is missing', async () => {
  expect(await answerOf(question('What exactly is missing'))).toEqual([
    expect.objectContaining({ org_name: 'Globex', stream: 'device_counts', reason: 'never_read' }),
  ]);
});

test('the question for the invoice finds what changed since it was written', async () => {
  expect(await answerOf(question('What did we know'))).toEqual([
    expect.objectContaining({
      org_name: 'Acme',
      metric: 'devices_created',
      quantity_then: '30',
      quantity_now: '32',
    }),
  ]);
});

test('what the README shows of a month has the flag that an invoice asks for', async () => {
  const statements = sqlBelow(readFileSync('README.md', 'utf8'), 'Read the numbers');
  const lastMonth = `date_trunc('month', current_date - interval '1 month')`;
  const month = statements.split(';\n\n')[1]?.replace(lastMonth, `date '2026-10-01'`) ?? '';
  expect(await answerOf(month)).toEqual([
    expect.objectContaining({
      org_name: 'Acme',
      referral_id: 'C-17',
      standing: 'accepted',
      is_billable: true,
    }),
  ]);
});

test('a month that is not billable says why', async () => {
  const statements = sqlBelow(OPERATIONS, 'A month is not billable').replaceAll('2026-10-01', '2026-11-01');
  const missing = 'losant-usage backfill --org 5d0000000000000000000002 --from 2026-11-02 --to 2026-11-02';
  const blockers = await answerOf(statements);
  expect(blockers).toContainEqual(
    expect.objectContaining({ org_name: 'Globex', cause: 'missing', days: 1, what_to_do: missing }),
  );
  expect(blockers).toContainEqual(
    expect.objectContaining({ org_name: 'Globex', cause: 'not_fully_tracked' }),
  );
});

test('the body of an answer in quarantine is read with the command that is shown', async () => {
  const body = '{"counts":[{"value":-1}]}';
  await queryOnce(
    database.url,
    `insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
    values ('575ec8687ae143cd83dc4a97', '5c0000000000000000000001', 'Initech', now(), now());
    insert into losant_usage.quarantine
      (org_id, stream, from_date, to_date, code, problem, body_gzip, first_seen_at, last_seen_at)
    values ('575ec8687ae143cd83dc4a97', 'payload_totals', '2026-11-20', '2026-11-20', 'invalid_value', 'negative',
      '\\x${gzipSync(body).toString('hex')}', now(), now())`,
  );
  const query = /psql .* -c "(?<sql>select encode\(body_gzip, 'base64'\)[^"]*)" \| base64 -d \| gunzip/;
  const rows = await answerOf(query.exec(OPERATIONS)?.groups?.['sql'] ?? '');
  const [encoded] = Object.values(rows[0] ?? {});
  const text = await new Response(
    new Blob([Buffer.from(String(encoded), 'base64')]).stream().pipeThrough(new DecompressionStream('gzip')),
  ).text();
  expect(text).toBe(body);
});

test('docs/tables.md names every view and every table', async () => {
  const names = await answerOf(`select relname::text from pg_class
    where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v')
      and obj_description(oid, 'pg_class') !~* 'building block' order by relname`);
  expect(
    names.map(({ relname }) => String(relname)).filter((name) => !TABLES.includes(`\`${name}\``)),
  ).toEqual([]);
});

test('the program is removed as it is shown, with everything that it made', async () => {
  const statements = sqlBelow(OPERATIONS, 'Uninstall').split('\n')[0] ?? '';
  await queryOnce(database.url, statements);
  expect(await answerOf(`select nspname from pg_namespace where nspname like 'losant%'`)).toEqual([]);
});
