/** A month in the embedded database. */
import { sql } from 'kysely';
import { expect, onTestFinished, test } from 'vitest';
import { readStatements, readStatementTotals } from '../../src/billing/statements.ts';
import { copyEmbeddedDatabase, openAs } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';

const ORG = '5d0000000000000000000001';

test('a month is closed and adjusted in the embedded database', async () => {
  const embedded = await copyEmbeddedDatabase();
  onTestFinished(() => embedded.remove());
  const write = async (...statements: readonly string[]) => {
    await using handle = await openAs('writer', embedded.url);
    for (const each of statements) await sql.raw(each).execute(handle.db);
  };
  await write(
    "insert into losant_usage.instance (instance_id) values ('5c0000000000000000000001')",
    `insert into losant_usage.organizations (org_id, name, created_on, first_seen_at, last_seen_at)
      values ('${ORG}', 'Acme', '2025-03-31', now(), now())`,
    `insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values ('${ORG}', 'device_counts', '2025-03-31', '2025-04-01', '2025-03-31')`,
    `insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision,
        last_read_at, first_loaded_at, finalized_at)
      values ('2025-03-31', '${ORG}', 'device_counts', 'final', true, true, 1, now(), '2025-04-01', now())`,
    `insert into losant_usage.usage_days (usage_date, org_id, standing, is_stored, devices_created, devices_deleted,
        devices_total)
      values ('2025-03-31', '${ORG}', 'final', true, 4, 1, 17)`,
  );
  const close = (...options: readonly string[]) =>
    runProgram(['close', '--month', '2025-03', ...options], { DATABASE_URL: embedded.url });
  expect(jsonOf(await close('--json'))).toMatchObject({ statement: { number: 1, orgs: 1 } });
  await write(
    'update losant_usage.usage_days set devices_total = 20',
    `insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
      values ('${ORG}', 'device_counts', '2025-03-31', 2, '{"devices_total": 17}', '{"devices_total": 20}', true,
        gen_random_uuid())`,
  );
  expect((await close('--adjust')).code).toBe(0);
  await using handle = await openAs('reader', embedded.url);
  const [closing, adjustment] = await readStatements(handle.db, '2025-03');
  expect(await readStatementTotals(handle.db, closing?.statementId ?? '')).toHaveLength(3);
  expect(await readStatementTotals(handle.db, adjustment?.statementId ?? '')).toMatchObject([
    { metric: 'devices_total', quantity: '3' },
  ]);
});
