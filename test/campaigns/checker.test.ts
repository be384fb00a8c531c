/** The checker itself: it is silent about good tables, and sees each thing that is spoiled in them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { checkAlways, checkComplete, checkPresent, checkPromises } from './checker.ts';
import { cloneDatabase } from './clone.ts';
import { readLedgerRows } from './ledger-rows.ts';
import { openStage, type Stage } from './stage.ts';
import { openTruthBook, type TruthBook } from './truth.ts';

const FROM = daysAgo(4);
const TO = daysAgo(1);

let stage: Stage;
let book: TruthBook;

beforeAll(async () => {
  stage = await openStage({ orgs: 3, seed: 'checker' });
  book = openTruthBook(stage.platform.url);
  const backfill = ['backfill', '--from', FROM, '--to', TO, '--force'];
  await stage.run(backfill);
  await book.note(FROM, TO);
  for (const { orgId } of await book.orgs()) await stage.platform.control('restate', { orgId, day: TO });
  await book.note(FROM, TO);
  await stage.run(backfill);
});

afterAll(() => stage[Symbol.asyncDispose]());

/** All that the checker says of a copy of the tables after the statements, made as the program would make them. */
async function verdictAfter(...statements: readonly string[]): Promise<string[]> {
  const copy: TestDatabase = await cloneDatabase(stage.database.name);
  const asProgram = [
    `set losant_usage.program = 'on'`,
    `set losant_usage.run_id = '00000000-0000-4000-8000-000000000001'`,
  ];
  await queryOnce(copy.url, [...asProgram, ...statements].join('; '));
  const ledger = await readLedgerRows(copy.url, TO);
  await copy.drop();
  const orgs = await book.orgs();
  const policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], horizonDays: 90 };
  return [
    ...checkAlways(ledger, book),
    ...checkPromises(ledger, { orgs, firstDay: FROM }),
    ...checkComplete(ledger, { startedAtMs: Date.now(), range: null, ...policy }),
    ...checkPresent(ledger, book, new Set(orgs.map(({ orgId }) => orgId)), FROM),
  ];
}

test('finds nothing wrong with what an export has left', async () => {
  expect(await stage.statuses()).toEqual(['complete', 'complete']);
  expect(await verdictAfter()).toEqual([]);
});

const oneOf = (table: string) => `ctid = (select min(ctid) from losant_usage.${table})`;
const cellOf = (stream: string) =>
  `(org_id, stream, usage_date) = (select org_id, stream, usage_date from losant_usage.coverage
     where stream = '${stream}' order by usage_date, org_id limit 1)`;

test.each([
  [
    'a number that is off by one',
    `update losant_usage.usage_days set devices_total = devices_total + 1 where ${oneOf('usage_days')}`,
  ],
  ['a source that is gone', `delete from losant_usage.payload_sources where ${oneOf('payload_sources')}`],
  ['a row that is gone', `delete from losant_usage.usage_days where ${oneOf('usage_days')}`],
  ['a covered cell that is gone', `delete from losant_usage.coverage where ${cellOf('payload_totals')}`],
  [
    'a held cell that is called failed',
    `update losant_usage.coverage set state = 'failed', error_code = 'timeout' where ${cellOf('device_counts')}`,
  ],
  [
    'a revision that was skipped',
    `update losant_usage.coverage set revision = revision + 1 where ${cellOf('device_counts')}`,
  ],
  [
    'a promise that begins too late',
    `update losant_usage.tracking
      set tracked_days = tracked_days - datemultirange(daterange(tracked_from, tracked_from + 1))`,
  ],
  ['a stream that is not promised', `delete from losant_usage.tracking where stream = 'payload_sources'`],
  [
    'a day that was not read again when it was due',
    `update losant_usage.coverage set verified_at = verified_at - interval '2 days' where usage_date = '${TO}'`,
  ],
])('sees %s', async (_, statement) => {
  expect(await verdictAfter(statement)).not.toEqual([]);
});

test('sees numbers of a version that is no longer true', async () => {
  const { orgs } = (await stage.platform.control('orgs')) as { orgs: { orgId: string }[] };
  const orgId = orgs[0]?.orgId ?? '';
  const [old] = book.versions(orgId, TO);
  const { created, deleted, total } = old?.device_counts ?? {};
  const back = `update losant_usage.usage_days
    set devices_created = ${created}, devices_deleted = ${deleted}, devices_total = ${total} where org_id = '${orgId}' and usage_date = '${TO}'`;
  expect(await verdictAfter(back)).not.toEqual([]);
});
