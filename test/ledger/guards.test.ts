/** Numbers, ledger and record change through the program only: for anybody else, the owner too, a trigger refuses. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { requireOwnTables } from '../../src/ledger/guard.ts';
import { FIRST_DAY, LAST_DAY } from '../../src/usage/policy.ts';
import { queryOnce } from '../support/databases.ts';
import { devices, named } from '../usage/cells.ts';
import { answer, useLedger } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');
let orgId: string;

beforeAll(async () => {
  orgId = await given.ledger.want({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts']);
  await given.ledger.load([answer(orgId, 'device_counts', '2026-11-20', named(devices(4, 1, 17)))]);
});

const byHand = (statement: string) => queryOnce(given.ledger.url, statement);

/** A table, a column that exists, and the command or reason that the refusal names. */
const GUARDED = [
  ['streams', 'position', 'migrations'],
  ['metrics', 'position', 'migrations'],
  ['instances', 'name', 'run --end ID'],
  ['organizations', 'removed_on', 'losant-usage org set'],
  ['organization_history', 'name', 'stays on record'],
  ['tracks', 'to_day', 'losant-usage backfill'],
  ['coverage', 'standing', 'losant-usage waive'],
  ['usage_days', 'devices_total', 'losant-usage backfill --force'],
  ['revisions', 'revision', 'record'],
  ['waivers', 'reason', 'losant-usage waive'],
  ['quarantine', 'code', 'record'],
  ['instance_totals', 'our_sum', 'losant-usage run'],
] as const;

describe.each(GUARDED)('%s', (table, column, hint) => {
  test.each([
    ['insert', `insert into losant_usage.${table} default values`],
    ['update', `update losant_usage.${table} set ${column} = ${column}`],
    ['delete', `delete from losant_usage.${table}`],
    ['truncate', `truncate losant_usage.${table} cascade`],
  ])('refuses an %s by hand', async (operation, statement) => {
    await expect(byHand(statement)).rejects.toMatchObject({
      code: 'P0001',
      message: expect.stringMatching(new RegExp(`^losant_usage\\.\\w+: ${operation} is refused$`)) as unknown,
      hint: expect.stringContaining(operation === 'truncate' ? '' : hint) as unknown,
    });
  });
});

// Promise (Changes): The record of changes is only added to, and numbers, ledger and record cannot be changed by
// hand.
test('what is on record is only added to, by the program too', async () => {
  for (const table of ['revisions', 'quarantine']) {
    await expect(given.ledger.asProgram(sql.raw(`delete from losant_usage.${table}`))).rejects.toThrow(
      `losant_usage.${table}: delete is refused`,
    );
  }
});

test('the program says that it writes in its own transaction only', async () => {
  await given.ledger.asProgram(sql`update losant_usage.coverage set message = message`);
  await expect(byHand('update losant_usage.coverage set message = message')).rejects.toThrow('is refused');
});

test.each([
  [
    'not stored whole',
    'update losant_usage.usage_days set devices_total = null where devices_total is not null',
  ],
  ['negative', 'update losant_usage.usage_days set devices_total = -1'],
  ['above 2^53 - 1', 'update losant_usage.usage_days set devices_total = 9007199254740992'],
  ['hours of half a day', "update losant_usage.usage_days set hours_all_count = array_fill(0, '{12}')"],
  [
    'stored and missing',
    "update losant_usage.coverage set standing = 'missing', reason = 'x' where is_stored",
  ],
  [
    'final and never read',
    "update losant_usage.coverage set standing = 'final', finalized_at = null where is_stored",
  ],
  ['waiting without a reason', 'update losant_usage.coverage set reason = null where not is_stored'],
  ['four silences', 'update losant_usage.coverage set silences = 4'],
])('the database refuses a row that is %s', async (_, statement) => {
  await expect(given.ledger.asProgram(sql.raw(statement))).rejects.toMatchObject({ code: '23514' });
});

// Promise (Numbers): One constant bounds the days that can be stored, in the program and in the database.
test('the same days can be wanted by the program and be stored by the database', async () => {
  const insert = (day: string) =>
    given.ledger.asProgram(
      sql`insert into losant_usage.usage_days (usage_date, org_id) values (${day}, ${orgId})`,
      sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason)
        values (${day}, ${orgId}, 'payload_totals', 'never_read')`,
      sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day) values (${orgId}, ${day}, ${day}, ${day})`,
    );
  await insert(FIRST_DAY);
  await insert(LAST_DAY);
  for (const day of ['2014-12-31', '2050-01-01']) {
    await expect(insert(day)).rejects.toMatchObject({ code: '23514' });
  }
});

describe('a run does not start on tables that carry what is not theirs', () => {
  test.each([
    [
      'a trigger',
      `create function public.meddle() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger meddle before insert on losant_usage.coverage for each row execute function public.meddle()`,
      'drop trigger meddle on losant_usage.coverage; drop function public.meddle()',
      'trigger meddle on losant_usage.coverage',
    ],
    [
      'a rule',
      'create rule meddle as on insert to losant_usage.revisions do instead nothing',
      'drop rule meddle on losant_usage.revisions',
      'rule meddle on losant_usage.revisions',
    ],
    [
      'forced row security with a policy',
      `alter table losant_usage.usage_days enable row level security;
        alter table losant_usage.usage_days force row level security;
        create policy meddle on losant_usage.usage_days using (false)`,
      `drop policy meddle on losant_usage.usage_days;
        alter table losant_usage.usage_days no force row level security;
        alter table losant_usage.usage_days disable row level security`,
      'policy meddle on losant_usage.usage_days, row security on losant_usage.usage_days',
    ],
  ])('%s', async (_, meddle, cleanUp, named_) => {
    await requireOwnTables(given.ledger.db);
    await byHand(meddle);
    await expect(requireOwnTables(given.ledger.db)).rejects.toMatchObject({
      kind: 'database_mismatch',
      message: `The tables of losant_usage carry what is not theirs: ${named_}`,
    });
    await byHand(cleanUp);
    await requireOwnTables(given.ledger.db);
  });
});
