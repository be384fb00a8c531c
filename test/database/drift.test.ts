/** A schema that is not as it was migrated is noticed before a number changes off the record. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { migrateToHead, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import { createDatabase } from '../../src/database/open.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

let database: TestDatabase;
let handle: DatabaseHandle;

beforeEach(async () => {
  database = await createTestDatabase();
  handle = await createDatabase({ url: database.url, applicationName: 'drift test', poolSize: 1 });
});

afterEach(async () => {
  await handle.close();
  await database.drop();
});

const query = (statement: string) => queryOnce(database.url, statement);

const IS_BY_HAND = 'function losant_usage.is_by_hand()';
const replaceBody = `create or replace function losant_usage.is_by_hand() returns boolean
  language sql stable parallel safe as 'select false'`;

describe('neither a run nor migrate goes on', () => {
  test.each([
    [
      'a trigger was dropped',
      'drop trigger record_update on losant_usage.usage_days',
      'trigger record_update of usage_days',
    ],
    [
      'a trigger was disabled',
      'alter table losant_usage.payload_sources disable trigger record_delete',
      'trigger record_delete of payload_sources',
    ],
    [
      'a trigger was replaced',
      `create or replace trigger by_hand before insert or update or delete on losant_usage.tracking for each statement
        when (false) execute function losant_usage.refuse('no')`,
      'trigger by_hand of tracking',
    ],
    ['the body of a function was replaced', replaceBody, IS_BY_HAND],
    [
      'a function was dropped',
      'drop function losant_usage.usage_as_of(timestamptz)',
      'function losant_usage.usage_as_of(timestamp with time zone)',
    ],
    [
      'the function was dropped that compares',
      'drop function losant_usage.changed_definitions()',
      'function losant_usage.changed_definitions()',
    ],
    ['a view was dropped', 'drop view losant_usage.freshness', 'view freshness'],
    [
      'a view was replaced',
      `create or replace view losant_usage.organization_tags as
        select org_id, ''::text as key, ''::text as value, 1 as nth from losant_usage.organizations`,
      'view organization_tags',
    ],
    [
      'a constraint was dropped',
      'alter table losant_usage.coverage drop constraint coverage_is_stored',
      'constraint coverage_is_stored of coverage',
    ],
    [
      'a constraint was widened',
      `alter table losant_usage.usage_days drop constraint device_counts_whole,
        add constraint device_counts_whole check (devices_total >= 0)`,
      'constraint device_counts_whole of usage_days',
    ],
    ['an index was dropped', 'drop index losant_usage.coverage_due', 'index coverage_due'],
    [
      'a default was changed',
      `alter table losant_usage.waivers alter column waived_by set default 'nobody'`,
      'column waivers.waived_by',
    ],
    [
      'a column may be null',
      'alter table losant_usage.revisions alter column changed_by drop not null',
      'column revisions.changed_by',
    ],
    ['a standing was added', `alter type losant_usage.standing add value 'fine'`, 'type standing'],
    ['the record of it was emptied', 'delete from losant_usage.definitions', 'what table definitions says'],
  ])('where %s', async (_, damage, changed) => {
    await query(damage);
    const found = await readSchemaState(handle);
    expect(found).toMatchObject({ state: 'damaged', changed: [changed] });
    await expect(
      requireSchema(handle, { createIfEmpty: true, autoMigrate: true, found }),
    ).rejects.toMatchObject({
      kind: 'database_mismatch',
      message: expect.stringContaining(changed) as string,
    });
  });

  test('where something changed, migrate no more than a run', async () => {
    await query('drop view losant_usage.freshness');
    await expect(migrateToHead(handle)).rejects.toMatchObject({
      kind: 'database_mismatch',
      message: expect.stringContaining('view freshness') as string,
    });
  });
});

describe('a schema is as it was migrated', () => {
  test.each([
    ['when nothing happened to it', 'select 1'],
    ['with an index of the customer’s', 'create index mine on losant_usage.coverage (attempted_at)'],
    ['with a view of the customer’s', 'create view losant_usage.mine as select 1 as one'],
    ['with statistics and other storage', 'alter table losant_usage.coverage set (fillfactor = 70)'],
    ['when its tables were filled and analyzed', 'analyze'],
  ])('%s', async (_, statement) => {
    await query(statement);
    expect(await readSchemaState(handle)).toMatchObject({ state: 'at_head', changed: [] });
  });

  test('whatever the search path and the date style of the session', async () => {
    await query(`alter database ${database.name} set search_path = losant_usage, public`);
    await query(`alter database ${database.name} set timezone = 'Asia/Tokyo'`);
    const other = await createDatabase({ url: database.url, applicationName: 'drift test', poolSize: 1 });
    try {
      expect(await readSchemaState(other)).toMatchObject({ state: 'at_head', changed: [] });
    } finally {
      await other.close();
    }
  });

  test('on a server of another major version, which may describe it in other words, by what is there', async () => {
    await query('update losant_usage.definitions set server_major = 15');
    await query(replaceBody);
    expect(await readSchemaState(handle)).toMatchObject({ state: 'at_head' });
    await query('drop index losant_usage.coverage_due');
    expect(await readSchemaState(handle)).toMatchObject({
      state: 'damaged',
      changed: ['index coverage_due'],
    });
  });
});
