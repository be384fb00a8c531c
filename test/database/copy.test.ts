/** An embedded database that is moved to a server, with all that is on record. */
import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closePeriod } from '../../src/billing/close.ts';
import { createDatabase } from '../../src/database/open.ts';
import type { Schema } from '../../src/database/schema.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { eachDay } from '../../src/usage/day.ts';
import {
  copyEmbeddedDatabase,
  createTestDatabase,
  queryOnce,
  type TestDatabase,
} from '../support/databases.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { answer, LAST, missing, row, values } from './answers.ts';
import { addTracking, INSTANCE, type Ledger, openLedger, RUN_2 } from './ledger.ts';

const JANUARY = { from: '2025-01-01', to: '2025-01-31' };
const TABLES = [
  ...['coverage', 'instances', 'organizations', 'payload_sources', 'revisions', 'statement_files'],
  ...['statement_lines', 'statements', 'tracking', 'usage_days', 'waivers'],
];

let server: TestDatabase;
let folder: string;
let remove: () => void;
/** What the embedded database had, row by row, by table. */
let before: Record<string, string[]>;

beforeAll(async () => {
  const embedded = await copyEmbeddedDatabase();
  folder = embedded.folder;
  remove = () => embedded.remove();
  server = await createTestDatabase({ template: false });
  const ledger = await openLedger('embedded', { ...embedded, name: '', drop: () => Promise.resolve() });
  await fill(ledger);
  before = await rowsOf(ledger.db);
  await ledger.close();
}, 180_000);

afterAll(async () => {
  await server.drop();
  remove();
});

/** A month with a restated number, a waiver, a change by hand and a statement. */
async function fill(ledger: Ledger): Promise<void> {
  const orgId = await ledger.newOrg();
  await ledger.ask(
    sql`update losant_usage.organizations set created_on = '2025-01-01' where org_id = ${orgId}`,
  );
  await addTracking(ledger.db, orgId, {
    streams: ['device_counts', 'payload_sources'],
    days: '{[2025-01-01,2025-01-31]}',
  });
  const days = eachDay(JANUARY).filter((day) => day !== '2025-01-31');
  const source = { key: ['timer', 'Größe "x", \\'], values: [9_007_199_254_740_991] };
  await ledger.load([
    ...days.map((day) => answer(values(row(4, 1, 17)), { orgId, day, age: LAST })),
    ...eachDay(JANUARY).map((day) =>
      answer(values(source), { orgId, day, stream: 'payload_sources', age: LAST }),
    ),
    answer(missing, { orgId, day: '2025-01-31', age: LAST }),
  ]);
  const sentAtMs = Date.parse('2026-11-23T12:00:00Z');
  await ledger.load(
    [answer(values(row(9, 1, 17)), { orgId, day: '2025-01-10', sentAtMs, age: LAST })],
    RUN_2,
  );
  const range = { from: '2025-01-31', to: '2025-01-31' };
  await waiveCells(ledger.db, { orgId, stream: 'device_counts', range, reason: 'agreed', asZero: false });
  const { signal } = new AbortController();
  const request = {
    month: '2025-01',
    reason: null,
    isAdjustment: false,
    isDryRun: false,
    signingKey: null,
    signal,
  };
  const handle = {
    db: ledger.db,
    kind: 'embedded' as const,
    describe: '',
    readOnly: null,
    runLong: () => Promise.reject(new Error('not used')),
    close: () => Promise.resolve(),
  };
  await closePeriod(handle, { instanceId: INSTANCE, name: null, source: 'calendar' }, request);
}

async function rowsOf(db: Kysely<Schema>): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const table of TABLES) {
    const { rows } = await sql<{ row: string }>`
      select to_jsonb(t)::text as row from ${sql.table(`losant_usage.${table}`)} t order by 1`.execute(db);
    found[table] = rows.map((each) => each.row);
  }
  return found;
}

const migrate = (...args: string[]) => runProgram(['migrate', ...args], { DATABASE_URL: server.url });

test('every row arrives as it was, with its times and names, and nothing counts as changed', async () => {
  const ended = await migrate('--from-embedded', folder, '--json');
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(jsonOf<{ copied: object[] }>(ended).copied).toContainEqual({ table: 'coverage', rows: 62 });
  const handle = await createDatabase({ url: server.url, applicationName: 'copy test', poolSize: 1 });
  try {
    expect(await rowsOf(handle.db)).toEqual(before);
  } finally {
    await handle.close();
  }
  for (const table of TABLES) expect([table, before[table]?.length]).not.toEqual([table, 0]);
});

test('the server goes on from there: the schema is whole, and changes by hand are on record', async () => {
  expect((await runProgram(['status'], { DATABASE_URL: server.url })).code).toBe(0);
  await queryOnce(
    server.url,
    `update losant_usage.usage_days set devices_total = 18 where usage_date = '2025-01-05'`,
  );
  expect(
    await queryOnce(server.url, 'select id, run_id from losant_usage.revisions order by id desc limit 1'),
  ).toEqual([{ id: `${(before['revisions']?.length ?? 0) + 1}`, run_id: null }]);
});

test('a database that has collected something takes no copy, nor does an embedded one', async () => {
  const again = await migrate('--from-embedded', folder, '--json');
  expect(again.code).toBe(2);
  expect(jsonOf<Refusal>(again).error.message).toMatch(/ has collected something already$/);
  const same = await runProgram(['migrate', '--from-embedded', folder, '--json'], {
    DATABASE_URL: `embedded:${folder}`,
  });
  expect(same.code).toBe(2);
  expect(jsonOf<Refusal>(same).error.message).toBe('DATABASE_URL is an embedded database itself');
});
