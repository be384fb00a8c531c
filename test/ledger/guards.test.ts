/**
 * Only the program changes numbers, ledger and record: triggers reject everybody else, even the owner. The program
 * compares what the database stored with what it sent.
 */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { rejectForeignObjects } from '../../src/ledger/coverage.ts';
import { FIRST_DAY, LAST_DAY } from '../../src/usage/day.ts';
import { asProgram } from '../support/by-hand.ts';
import { asOwner } from '../support/databases.ts';
import { containing, matching } from '../support/texts.ts';
import { devices, report } from '../usage/cells.ts';
import { cellResponse, RUN_2, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');
const DAY = '2026-11-20';
let orgId: string;

beforeAll(async () => {
  orgId = await ledger.expectDays({ from: DAY, to: '2026-11-23' }, ['device_counts']);
  await ledger.load([cellResponse(orgId, 'device_counts', DAY, report(devices(4, 1, 17)))]);
});

const writeManually = (statement: string) => asOwner(ledger.url, statement);

/** A table, one of its columns, and the command or reason in the hint. */
test.each([
  ['streams', 'position', 'migrations'],
  ['metrics', 'position', 'migrations'],
  ['instances', 'name', 'losant-usage retire'],
  ['organizations', 'deleted_on', 'losant-usage org set'],
  ['organization_history', 'name', 'losant-usage run'],
  ['tracks', 'last_day', 'losant-usage backfill'],
  ['coverage', 'standing', 'losant-usage waive'],
  ['usage_days', 'devices_total', 'losant-usage backfill --force'],
  ['revisions', 'revision', 'losant-usage backfill --force'],
  ['waivers', 'reason', 'losant-usage waive'],
  ['quarantine', 'reason', 'append-only'],
  ['instance_totals', 'our_sum', 'losant-usage run'],
])('%s rejects every manual write', async (table, column, hint) => {
  const statements = {
    insert: `insert into losant_usage.${table} default values`,
    update: `update losant_usage.${table} set ${column} = ${column}`,
    delete: `delete from losant_usage.${table}`,
    truncate: `truncate losant_usage.${table} cascade`,
  };
  for (const [operation, statement] of Object.entries(statements)) {
    await expect(writeManually(statement)).rejects.toMatchObject({
      code: 'P0001',
      message: matching(new RegExp(`^losant_usage\\.\\w+: ${operation} is not allowed$`)),
      hint: containing(operation === 'truncate' ? '' : hint),
    });
  }
});

// Guarantee (Changes): The record of changes is append-only; numbers, ledger and record cannot be changed by hand.
test('the record is append-only even for the program, which writes in marked transactions', async () => {
  for (const table of ['revisions', 'quarantine']) {
    const deletion = writeManually(asProgram(`delete from losant_usage.${table}`));
    await expect(deletion).rejects.toThrow(`losant_usage.${table}: delete is not allowed`);
  }
  await ledger.asProgram(sql`update losant_usage.coverage set detail = detail`);
  const manualUpdate = writeManually('update losant_usage.coverage set detail = detail');
  await expect(manualUpdate).rejects.toThrow('update is not allowed');
});

test.each([
  ['stored in part', 'usage_days set devices_total = null where devices_total is not null'],
  ['negative', 'usage_days set devices_total = -1'],
  ['above 2^53 - 1', 'usage_days set devices_total = 9007199254740992'],
  ['hours of half a day', "usage_days set hours_all_count = array_fill(0, '{12}')"],
  ['stored and missing', "coverage set standing = 'missing', reason = 'x' where is_stored"],
  ['final and never read', "coverage set standing = 'final', finalized_at = null where is_stored"],
  ['waiting without a reason', 'coverage set reason = null where not is_stored'],
  ['four omissions', 'coverage set omissions = 4'],
])('the database rejects a row that is %s', async (_, change) => {
  const update = sql.raw(`update losant_usage.${change}`);
  await expect(ledger.asProgram(update)).rejects.toMatchObject({ code: '23514' });
});

test('the database stores the days that the program can expect, and no others', async () => {
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

describe('a run does not start if foreign objects are attached to its tables', () => {
  const expectError = (objects: string) =>
    expect(rejectForeignObjects(ledger.db)).rejects.toMatchObject({
      kind: 'database_mismatch',
      message: `Tables in schema losant_usage have objects that do not belong to it: ${objects}`,
    });

  test('a trigger', async () => {
    await ledger.withTrigger('coverage', 'return null;', () =>
      expectError('trigger foreign_object on losant_usage.coverage'),
    );
    await rejectForeignObjects(ledger.db);
  });

  test.each([
    [
      'rule foreign_object on losant_usage.revisions',
      'create rule foreign_object as on insert to losant_usage.revisions do instead nothing',
      'drop rule foreign_object on losant_usage.revisions',
    ],
    [
      'policy foreign_object on losant_usage.usage_days, row security on losant_usage.usage_days',
      `alter table losant_usage.usage_days enable row level security;
        alter table losant_usage.usage_days force row level security;
        create policy foreign_object on losant_usage.usage_days using (false)`,
      `drop policy foreign_object on losant_usage.usage_days;
        alter table losant_usage.usage_days no force row level security;
        alter table losant_usage.usage_days disable row level security`,
    ],
  ])('%s', async (objects, create, drop) => {
    await writeManually(create);
    await expectError(objects);
    await writeManually(drop);
    await rejectForeignObjects(ledger.db);
  });
});

describe('a write that a foreign object drops or changes ends the load', () => {
  /** Expects that loading other numbers of a stored cell fails and changes nothing. */
  async function expectRollback(loading: (work: () => Promise<unknown>) => Promise<unknown>, error: object) {
    const restatedOrg = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
    const batch = (total: number) => [cellResponse(restatedOrg, 'device_counts', DAY, report(devices(4, 1, total)))];
    await ledger.load(batch(17));
    const row = sql`select * from losant_usage.usage_days where org_id = ${restatedOrg}`;
    const numbers = () => ledger.queryAsWriter(row);
    const rowsBefore = [await numbers(), await ledger.cells(restatedOrg)];
    await loading(() => expect(ledger.load(batch(18), { runId: RUN_2 })).rejects.toMatchObject(error));
    expect([await numbers(), await ledger.cells(restatedOrg)]).toEqual(rowsBefore);
  }
  const MISMATCH = { name: 'DatabaseError', kind: 'database_mismatch' };

  test.each([
    ['coverage', 'return null;'],
    ['usage_days', 'return null;'],
    ['usage_days', 'new.devices_total := 1; return new;'],
    ['usage_days', 'new.devices_created := null; new.devices_deleted := null; new.devices_total := null; return new;'],
    ['coverage', "new.standing := 'in_doubt'; new.reason := 'x'; return new;"],
    ['coverage', 'new.next_read_at := null; return new;'],
    ['revisions', 'return null;'],
  ])('a trigger on %s: %s', async (table, body) => {
    const when = table === 'revisions' ? 'before insert' : 'before update';
    await expectRollback((work) => ledger.withTrigger(table, body, work, when), MISMATCH);
  });

  test.each([
    // Postgres cannot return rows through such a rule.
    ['usage_days', 'update', { code: '0A000' }],
    ['revisions', 'insert', MISMATCH],
  ])('a rule on %s that does nothing instead of an %s', async (table, event, error) => {
    await expectRollback(async (work) => {
      await writeManually(`create rule foreign_object as on ${event} to losant_usage.${table} do instead nothing`);
      await work();
      await writeManually(`drop rule foreign_object on losant_usage.${table}`);
    }, error);
  });
});
