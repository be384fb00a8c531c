/** A stream that a later migration adds has its ledger, its gaps and its record, and none of their SQL was touched. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { addTracking, revisionsOf, useLedger } from '../database/ledger.ts';

const MIGRATION = `
  alter table losant_usage.usage_days
    add column files_stored bigint check (files_stored between 0 and 9007199254740991),
    add column files_written bigint check (files_written between 0 and 9007199254740991);
  insert into losant_usage.streams (stream, missing_means, key_columns, position, description)
  values ('file_counts', 'missing', '{}', 6, 'Files. Source: Losant fileCounts.');
  insert into losant_usage.metrics (metric, stream, source_column, unit, kind, position, description) values
    ('files_stored', 'file_counts', 'stored', 'files', 'level', 13, 'Files at about the end of the day'),
    ('files_written', 'file_counts', 'written', 'files', 'flow', 14, 'Files written')`;

const ledger = useLedger();
let orgId: string;

const { ask } = ledger;

beforeAll(async () => {
  orgId = await ledger.newOrg();
  for (const statement of MIGRATION.split(/;\n/)) await sql.raw(statement).execute(ledger.db);
  await addTracking(ledger.db, orgId, { streams: ['file_counts'], days: '{[2026-10-01,2026-10-04)}' });
  await ledger.ask(sql`insert into losant_usage.usage_days (usage_date, org_id, files_stored, files_written)
    values ('2026-10-01', ${orgId}, 10, 3), ('2026-10-02', ${orgId}, 12, 2)`);
});

describe('a stream more', () => {
  test('has its cells, its gaps and its freshness', async () => {
    expect(
      await ask(sql`select usage_date, standing, reason from losant_usage.cells
        where org_id = ${orgId} and stream = 'file_counts' order by usage_date`),
    ).toEqual([
      { usage_date: '2026-10-01', standing: 'in_doubt', reason: 'changed_by_hand' },
      { usage_date: '2026-10-02', standing: 'in_doubt', reason: 'changed_by_hand' },
      { usage_date: '2026-10-03', standing: 'missing', reason: 'never_read' },
    ]);
    expect(
      await ask(
        sql`select stream, gaps, orgs_tracked from losant_usage.freshness where stream = 'file_counts'`,
      ),
    ).toEqual([{ stream: 'file_counts', gaps: 3, orgs_tracked: 0 }]);
  });

  test('goes on record when it changes', async () => {
    await ledger.ask(sql`update losant_usage.usage_days set files_written = 7
      where org_id = ${orgId} and usage_date = '2026-10-02'`);
    expect((await revisionsOf(ledger.db, orgId)).at(-1)).toMatchObject({
      stream: 'file_counts',
      usage_date: '2026-10-02',
      revision: 2,
      old: { stored: 12, written: 2 },
      new: { stored: 12, written: 7 },
    });
    expect(
      await ask(sql`select metric, old_quantity, new_quantity from losant_usage.restatements
        where org_id = ${orgId} and revision = 2`),
    ).toEqual([{ metric: 'files_written', old_quantity: 2, new_quantity: 7 }]);
  });
});
