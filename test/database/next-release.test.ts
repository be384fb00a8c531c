/** The first migration after a release adds a column to organizations with data, and to a view. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { migrateToHead, readPending, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import { cellResponse, useLedger } from '../ledger/ledger.ts';
import { openAs } from '../support/databases.ts';
import { devices, report } from '../usage/cells.ts';

const COST_CENTER = `
alter table losant_usage.organizations add column cost_center text;
comment on column losant_usage.organizations.cost_center is 'Cost center: the tag as last seen; null if it has none.';
set local losant_usage.program = 'migration';
update losant_usage.organizations o set cost_center = t.value
from losant_usage.organization_tags t where t.org_id = o.org_id and t.key = 'cost_center' and t.nth = 1;
create or replace view losant_usage.organization_tags as
select o.org_id, tag.key, tag.value,
  row_number() over (partition by o.org_id, tag.key order by tag.place)::integer as nth, o.cost_center
from losant_usage.organizations o
cross join lateral (
  select t.item ->> 'key' as key, t.item ->> 'value' as value, t.place
  from jsonb_array_elements(o.tags) with ordinality as t (item, place)
) as tag;
comment on column losant_usage.organization_tags.cost_center is 'Cost center of the organization.';
`;

const ledger = useLedger('2026-11-24T12:00:00.000Z');
let migrator: DatabaseHandle;
let folder: string;

beforeAll(async () => {
  migrator = await openAs('migrator', ledger.url);
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-next-'));
  cpSync('migrations', folder, { recursive: true });
  writeFileSync(join(folder, '0099_cost_center.sql'), COST_CENTER);
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-21' }, ['device_counts']);
  await ledger.asProgram(
    sql`update losant_usage.organizations set tags = '[{"key": "cost_center", "value": "4711"}]'`,
  );
  await ledger.load(
    ['2026-11-20', '2026-11-21'].map((day) =>
      cellResponse(orgId, 'device_counts', day, report(devices(4, 1, 17))),
    ),
  );
});

afterAll(async () => {
  await migrator.close();
  rmSync(folder, { recursive: true });
});

const daily = () => ledger.queryRows(sql`select * from losant_usage.daily_usage order by usage_date`);

test('the new version does not start before the migration, and tells what is pending', async () => {
  const started = requireSchema(ledger.handle, { createIfEmpty: true, autoMigrate: false }, folder);
  const message = expect.stringContaining('it lacks 0099_cost_center') as unknown;
  const refused = { kind: 'database_too_old', message, hint: 'run `losant-usage migrate`' };
  await expect(started).rejects.toMatchObject(refused);
  expect(await readPending(ledger.handle, folder)).toEqual(['0099_cost_center', 'always']);
});

test('upgrade: numbers stay, the column is filled, the schema is complete', async () => {
  const before = await daily();
  expect(before).toHaveLength(2);
  const options = { createIfEmpty: false, autoMigrate: true };
  expect(await requireSchema(migrator, options, folder)).toEqual(['0099_cost_center', 'always']);
  expect(await daily()).toEqual(before);
  expect(await ledger.list(sql`select cost_center from losant_usage.organizations`)).toEqual(['4711']);
  expect(await readSchemaState(ledger.handle, folder)).toMatchObject({ state: 'at_head' });
  expect(await migrateToHead(migrator, folder)).toEqual([]);
});
