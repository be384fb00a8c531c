/**
 * Numbers, ledger and record change through the program only: for anybody else, the owner too, a trigger refuses. What
 * the program writes is compared with what the database says it wrote.
 */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { requireOwnTables } from '../../src/ledger/guard.ts';
import { FIRST_DAY, LAST_DAY } from '../../src/usage/policy.ts';
import { asProgram } from '../support/by-hand.ts';
import { asOwner } from '../support/databases.ts';
import { devices, named } from '../usage/cells.ts';
import { answer, RUN_2, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');
const DAY = '2026-11-20';
let orgId: string;

beforeAll(async () => {
  orgId = await ledger.want({ from: DAY, to: '2026-11-23' }, ['device_counts']);
  await ledger.load([answer(orgId, 'device_counts', DAY, named(devices(4, 1, 17)))]);
});

const byHand = (statement: string) => asOwner(ledger.url, statement);

/** A table, a column that exists, and the command or reason that the refusal names. */
test.each([
  ['streams', 'position', 'migrations'],
  ['metrics', 'position', 'migrations'],
  ['instances', 'name', 'run --end ID'],
  ['organizations', 'removed_on', 'losant-usage org set'],
  ['organization_history', 'name', 'losant-usage run'],
  ['tracks', 'to_day', 'losant-usage backfill'],
  ['coverage', 'standing', 'losant-usage waive'],
  ['usage_days', 'devices_total', 'losant-usage backfill --force'],
  ['revisions', 'revision', 'losant-usage backfill --force'],
  ['waivers', 'reason', 'losant-usage waive'],
  ['quarantine', 'code', 'record'],
  ['instance_totals', 'our_sum', 'losant-usage run'],
])('%s refuses every write by hand', async (table, column, hint) => {
  const statements = {
    insert: `insert into losant_usage.${table} default values`,
    update: `update losant_usage.${table} set ${column} = ${column}`,
    delete: `delete from losant_usage.${table}`,
    truncate: `truncate losant_usage.${table} cascade`,
  };
  for (const [operation, statement] of Object.entries(statements)) {
    await expect(byHand(statement)).rejects.toMatchObject({
      code: 'P0001',
      message: expect.stringMatching(new RegExp(`^losant_usage\\.\\w+: ${operation} is refused$`)) as unknown,
      hint: expect.stringContaining(operation === 'truncate' ? '' : hint) as unknown,
    });
  }
});

// Promise (Changes): The record of changes is only added to, and numbers, ledger and record cannot be changed by
// hand.
test('what is on record is only added to, by the program too, which writes in its own transactions', async () => {
  for (const table of ['revisions', 'quarantine']) {
    const remove = byHand(asProgram(`delete from losant_usage.${table}`));
    await expect(remove).rejects.toThrow(`losant_usage.${table}: delete is refused`);
  }
  await ledger.asProgram(sql`update losant_usage.coverage set message = message`);
  await expect(byHand('update losant_usage.coverage set message = message')).rejects.toThrow('is refused');
});

test.each([
  ['not stored whole', 'usage_days set devices_total = null where devices_total is not null'],
  ['negative', 'usage_days set devices_total = -1'],
  ['above 2^53 - 1', 'usage_days set devices_total = 9007199254740992'],
  ['hours of half a day', "usage_days set hours_all_count = array_fill(0, '{12}')"],
  ['stored and missing', "coverage set standing = 'missing', reason = 'x' where is_stored"],
  ['final and never read', "coverage set standing = 'final', finalized_at = null where is_stored"],
  ['waiting without a reason', 'coverage set reason = null where not is_stored'],
  ['four silences', 'coverage set silences = 4'],
])('the database refuses a row that is %s', async (_, change) => {
  const update = sql.raw(`update losant_usage.${change}`);
  await expect(ledger.asProgram(update)).rejects.toMatchObject({ code: '23514' });
});

// Promise (Numbers): One constant bounds the days that can be stored, in the program and in the database.
test('the same days can be wanted by the program and be stored by the database', async () => {
  const insert = (day: string) =>
    ledger.asProgram(
      sql`insert into losant_usage.usage_days (usage_date, org_id) values (${day}, ${orgId})`,
      sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason)
        values (${day}, ${orgId}, 'payload_totals', 'never_read')`,
      sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
        values (${orgId}, ${day}, ${day}, ${day})`,
    );
  await insert(FIRST_DAY);
  await insert(LAST_DAY);
  for (const day of ['2014-12-31', '2050-01-01']) {
    await expect(insert(day)).rejects.toMatchObject({ code: '23514' });
  }
});

describe('a run does not start on tables that carry what is not theirs', () => {
  const expectRefusal = (what: string) =>
    expect(requireOwnTables(ledger.db)).rejects.toMatchObject({
      kind: 'database_mismatch',
      message: `The tables of losant_usage carry what is not theirs: ${what}`,
    });

  test('a trigger', async () => {
    await ledger.meddle('coverage', 'return null;', () =>
      expectRefusal('trigger meddle on losant_usage.coverage'),
    );
    await requireOwnTables(ledger.db);
  });

  test.each([
    [
      'rule meddle on losant_usage.revisions',
      'create rule meddle as on insert to losant_usage.revisions do instead nothing',
      'drop rule meddle on losant_usage.revisions',
    ],
    [
      'policy meddle on losant_usage.usage_days, row security on losant_usage.usage_days',
      `alter table losant_usage.usage_days enable row level security;
        alter table losant_usage.usage_days force row level security;
        create policy meddle on losant_usage.usage_days using (false)`,
      `drop policy meddle on losant_usage.usage_days;
        alter table losant_usage.usage_days no force row level security;
        alter table losant_usage.usage_days disable row level security`,
    ],
  ])('%s', async (what, meddle, cleanUp) => {
    await byHand(meddle);
    await expectRefusal(what);
    await byHand(cleanUp);
    await requireOwnTables(ledger.db);
  });
});

describe('a write that somebody else swallows or changes ends the load', () => {
  /** Expects that other numbers of a stored cell are refused, and change nothing. */
  async function expectRefused(loading: (work: () => Promise<unknown>) => Promise<unknown>, error: object) {
    const own = await ledger.want({ from: DAY, to: DAY }, ['device_counts']);
    const batch = (total: number) => [answer(own, 'device_counts', DAY, named(devices(4, 1, total)))];
    await ledger.load(batch(17));
    const row = sql`select * from losant_usage.usage_days where org_id = ${own}`;
    const numbers = () => ledger.ask(row, ledger.db);
    const before = [await numbers(), await ledger.cells(own)];
    await loading(() => expect(ledger.load(batch(18), { runId: RUN_2 })).rejects.toMatchObject(error));
    expect([await numbers(), await ledger.cells(own)]).toEqual(before);
  }
  const MISMATCH = { name: 'DatabaseError', kind: 'database_mismatch' };

  test.each([
    ['coverage', 'return null;'],
    ['usage_days', 'return null;'],
    ['usage_days', 'new.devices_total := 1; return new;'],
    [
      'usage_days',
      'new.devices_created := null; new.devices_deleted := null; new.devices_total := null; return new;',
    ],
    ['coverage', "new.standing := 'in_doubt'; new.reason := 'x'; return new;"],
    ['coverage', 'new.next_read_at := null; return new;'],
    ['revisions', 'return null;'],
  ])('a trigger on %s: %s', async (table, body) => {
    const when = table === 'revisions' ? 'before insert' : 'before update';
    await expectRefused((work) => ledger.meddle(table, body, work, when), MISMATCH);
  });

  test.each([
    // Postgres itself refuses to return rows through such a rule.
    ['usage_days', 'update', { code: '0A000' }],
    ['revisions', 'insert', MISMATCH],
  ])('a rule on %s that does nothing instead of an %s', async (table, event, error) => {
    await expectRefused(async (work) => {
      await byHand(`create rule meddle as on ${event} to losant_usage.${table} do instead nothing`);
      await work();
      await byHand(`drop rule meddle on losant_usage.${table}`);
    }, error);
  });
});
