/** Writes are compared with what the database says it wrote. */
import { sql } from 'kysely';
import { afterEach, describe, expect, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { devices, named } from '../usage/cells.ts';
import { answer, RUN_2, useLedger } from './ledger.ts';

const DAY = '2026-11-20';
const given = useLedger('2026-11-22T12:00:00.000Z');
const cleanUps: string[] = [];

afterEach(async () => {
  for (const statement of cleanUps.splice(0)) await queryOnce(given.ledger.url, statement);
});

const devicesOf = (orgId: string, ...numbers: [number, number, number]) =>
  answer(orgId, 'device_counts', DAY, named(devices(...numbers)));
const numbersOf = (orgId: string) =>
  given.ledger.ask(sql`select * from losant_usage.usage_days where org_id = ${orgId}`);

describe('a write that somebody else swallows or changes ends the load', () => {
  const trigger = (table: string, body: string, when = 'before update') => `
    create function public.meddle() returns trigger language plpgsql as $$ begin ${body} end $$;
    create trigger meddle ${when} on losant_usage.${table} for each row execute function public.meddle()`;
  const remove = (table: string) =>
    `drop trigger meddle on losant_usage.${table}; drop function public.meddle()`;
  const MISMATCH: object = { name: 'DatabaseError', kind: 'database_mismatch' };
  // Postgres itself refuses to return rows through such a rule.
  const REFUSED = { code: '0A000' };
  const rule = (table: string, event: string) =>
    `create rule meddle as on ${event} to losant_usage.${table} do instead nothing`;

  test.each<[string, string, string, object?]>([
    ['a row of the ledger is swallowed', trigger('coverage', 'return null;'), remove('coverage')],
    ['numbers are swallowed', trigger('usage_days', 'return null;'), remove('usage_days')],
    [
      'a number is changed',
      trigger('usage_days', 'new.devices_total := 1; return new;'),
      remove('usage_days'),
    ],
    [
      'a number is set to null',
      trigger(
        'usage_days',
        'new.devices_created := null; new.devices_deleted := null; new.devices_total := null; return new;',
      ),
      remove('usage_days'),
    ],
    [
      'the standing is changed',
      trigger('coverage', "new.standing := 'in_doubt'; new.reason := 'x'; return new;"),
      remove('coverage'),
    ],
    [
      'the next read is taken away',
      trigger('coverage', 'new.next_read_at := null; return new;'),
      remove('coverage'),
    ],
    ['a revision is swallowed', trigger('revisions', 'return null;', 'before insert'), remove('revisions')],
    [
      'a rule does nothing instead',
      rule('usage_days', 'update'),
      'drop rule meddle on losant_usage.usage_days',
      REFUSED,
    ],
    ['a rule forgets revisions', rule('revisions', 'insert'), 'drop rule meddle on losant_usage.revisions'],
  ])('%s', async (_, meddle, cleanUp, expected = MISMATCH) => {
    const orgId = await given.ledger.want({ from: DAY, to: DAY }, ['device_counts']);
    await given.ledger.load([devicesOf(orgId, 4, 1, 17)]);
    const [before, cells] = [await numbersOf(orgId), await given.ledger.cells(orgId)];
    cleanUps.push(cleanUp);
    await queryOnce(given.ledger.url, meddle);
    const loading = given.ledger.load([devicesOf(orgId, 5, 1, 18)], { runId: RUN_2 });
    await expect(loading).rejects.toMatchObject(expected);
    expect(await numbersOf(orgId)).toEqual(before);
    expect(await given.ledger.cells(orgId)).toEqual(cells);
  });
});
