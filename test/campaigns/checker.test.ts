/** The checker itself: it is silent about good tables, and sees each thing that is spoiled in them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { checkAlways } from './checker.ts';
import { readLedgerRows } from './ledger-rows.ts';
import { checkComplete, checkDoubts, checkPartial, checkPresent, checkTracked } from './run-checks.ts';
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
  await stage.run(['run']);
  await stage.run(backfill);
  await book.note(FROM, TO);
  for (const { orgId } of await book.orgs()) await stage.platform.control('restate', { orgId, day: TO });
  await book.note(FROM, TO);
  await stage.run(backfill);
});

afterAll(() => stage[Symbol.asyncDispose]());

/** All that the checker says of a copy of the tables after the statements, made by a person. */
async function verdictAfter(...statements: readonly string[]): Promise<string[]> {
  const copy = await createTestDatabase({ template: stage.database.name });
  await queryOnce(copy.url, statements.join('; '));
  const ledger = await readLedgerRows(copy.url);
  await copy.drop();
  const orgs = await book.orgs();
  const policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], horizonDays: 90 };
  return [
    ...checkAlways(ledger, book),
    ...checkTracked(ledger, { orgs, firstDay: FROM }),
    ...checkComplete(ledger, { startedAtMs: Date.now(), range: null, ...policy }),
    ...checkPresent(ledger, book, new Set(orgs.map(({ orgId }) => orgId)), FROM),
  ];
}

/** The same as if the program had made the statements, or something that evades its triggers. */
const spoiled = (...statements: readonly string[]) =>
  verdictAfter(
    `set losant_usage.program = 'on'`,
    `set losant_usage.run_id = '00000000-0000-4000-8000-000000000001'`,
    ...statements,
  );
const unnoticed = (...statements: readonly string[]) =>
  verdictAfter(`set session_replication_role = 'replica'`, ...statements);

test('finds nothing wrong with what an export has left', async () => {
  expect(await stage.statuses()).toEqual(['complete', 'complete', 'complete']);
  expect(await spoiled('select')).toEqual([]);
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
  [
    'a revision that was skipped',
    `update losant_usage.coverage set revision = revision + 1 where ${cellOf('device_counts')}`,
  ],
  [
    'a track that begins too late',
    `update losant_usage.tracking
      set tracked_days = tracked_days - datemultirange(daterange(tracked_from, tracked_from + 1))`,
  ],
  [
    'a track with a hole',
    `update losant_usage.tracking
      set tracked_days = tracked_days - datemultirange(daterange('${daysAgo(2)}', '${daysAgo(1)}'))`,
  ],
  ['a stream that is not tracked', `delete from losant_usage.tracking where stream = 'payload_sources'`],
  [
    'a day that was not read again when it was due',
    `update losant_usage.coverage set verified_at = verified_at - interval '2 days' where usage_date = '${TO}'`,
  ],
])('sees %s', async (_, statement) => {
  expect(await spoiled(statement)).not.toEqual([]);
});

describe('sees between the tables', () => {
  test.each([
    [
      'a row of numbers that is gone from under the ledger',
      `delete from losant_usage.usage_days where ${oneOf('usage_days')}`,
      /a row of the ledger has no row of numbers/,
    ],
    [
      'a cell that is stored by the ledger, and has no numbers',
      `update losant_usage.usage_days set payload_source_count = null where ${oneOf('usage_days')}`,
      /the ledger has numbers stored that are not there/,
    ],
    [
      'a cell that is not stored by the ledger, and has numbers',
      `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'left_out' where ${cellOf('payload_sources')}`,
      /numbers are there, and the ledger does not have them stored/,
    ],
    [
      'a sum that is not that of the sources',
      `update losant_usage.usage_days set payload_source_count = payload_source_count + 1 where ${oneOf('usage_days')}`,
      /the sum of the sources is another/,
    ],
    [
      'zeros beside a source count',
      `update losant_usage.usage_days set payload_billable_count = 0, payload_all_count = 0, payload_all_bytes = 0;
       update losant_usage.coverage set is_reported = false where stream = 'payload_totals'`,
      /zeros that nobody reported stand against a source count/,
    ],
    [
      'days that are taken for read and are not',
      `delete from losant_usage.coverage where ${cellOf('notebook_minutes')}`,
      /the days that were read are others/,
    ],
    [
      'a gap that nothing reads again',
      `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'timeout', next_read_at = null
       where ${cellOf('notebook_minutes')}`,
      /a cell is read again never/,
    ],
    [
      'an invalid answer that was not kept',
      `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'invalid_value' where ${cellOf('device_counts')}`,
      /an invalid answer is not kept/,
    ],
    [
      'an answer from the future',
      `update losant_usage.coverage set verified_at = now() + interval '4 days' where ${cellOf('device_counts')}`,
      /verified in the future/,
    ],
    [
      'a day that is final too early',
      `update losant_usage.coverage set standing = 'final', finalized_at = now() where usage_date = '${TO}'`,
      /is final too early/,
    ],
    [
      'a zero that is final though one answer left it out',
      `update losant_usage.coverage set standing = 'final', finalized_at = now(), is_reported = false, omissions = 1
       where ${cellOf('notebook_minutes')}`,
      /is a final zero that 1 answers left out/,
    ],
    [
      'a number in doubt that nothing reads again',
      `update losant_usage.coverage set standing = 'in_doubt', reason = 'left_out', next_read_at = null
       where ${cellOf('notebook_minutes')}`,
      /a number that is not sure is read again never/,
    ],
    [
      'a change by hand that nothing says',
      `update losant_usage.coverage set run_id = null where ${cellOf('notebook_minutes')}`,
      /is (stored|final) after a change by hand/,
    ],
    [
      'a change that is off the record',
      `update losant_usage.usage_days set devices_total = devices_total + 1 where usage_date = '${TO}'`,
      /the last change on record is .*, not what is stored/,
    ],
    [
      'a record with a hole',
      `insert into losant_usage.revisions (stream, org_id, usage_date, revision, key, old, new, changed_by, changed_at,
         was_final)
       select stream, org_id, usage_date, 3, key, '{"created": 1}', new, changed_by, changed_at, false
       from losant_usage.revisions where stream = 'device_counts';
       update losant_usage.coverage set revision = 3 where stream = 'device_counts' and revision = 2`,
      /a change is missing/,
    ],
  ])('%s', async (_, statement, line) => {
    expect((await unnoticed(statement)).join('\n')).toMatch(line);
  });

  test('a view of gaps that is blind', async () => {
    const blind = `create or replace function losant_usage.is_waiting(
        standing losant_usage.standing, reason text, usage_date date) returns boolean
      language sql stable as 'select true'`;
    const cell = `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'timeout',
        next_read_at = now()
      where ${cellOf('notebook_minutes')}`;
    expect((await unnoticed(blind, cell)).join('\n')).toMatch(/the view lacks the gap notebook_minutes/);
  });
});

test('sees numbers of a version that is no longer true', async () => {
  const { orgs } = (await stage.platform.control('orgs')) as { orgs: { orgId: string }[] };
  const orgId = orgs[0]?.orgId ?? '';
  const [old] = book.versions(orgId, TO);
  const { created, deleted, total } = old?.device_counts ?? {};
  const back = `update losant_usage.usage_days
    set devices_created = ${created}, devices_deleted = ${deleted}, devices_total = ${total} where org_id = '${orgId}' and usage_date = '${TO}'`;
  expect(await spoiled(back)).not.toEqual([]);
});

test('sees a run that says that something is missing, and not what', async () => {
  const ledger = await readLedgerRows(stage.database.url);
  expect(checkPartial(ledger, { told: 0, range: null })).not.toEqual([]);
  expect(checkPartial(ledger, { told: 1, range: null })).toEqual([]);
});

test('sees a doubt that went away though nobody read the number', async () => {
  const copy = await createTestDatabase({ template: stage.database.name });
  const set = (standing: string, reason: string) =>
    queryOnce(
      copy.url,
      `set session_replication_role = 'replica'; update losant_usage.coverage
       set standing = '${standing}', reason = ${reason} where ${cellOf('notebook_minutes')}`,
    );
  await set('in_doubt', `'left_out'`);
  const before = await readLedgerRows(copy.url);
  expect(checkDoubts(before, before)).toEqual([]);
  await set('stored', 'null');
  expect(checkDoubts(before, await readLedgerRows(copy.url))).toMatchObject([
    expect.stringContaining('was in_doubt, and is stored though nobody read it'),
  ]);
  await copy.drop();
});
