import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** The tests that act as the owner of the tables, each with the work that no other role may do. */
const REASONS: Readonly<Record<string, string>> = {
  'test/billing/close.test.ts': 'writes manually',
  'test/campaigns/losses.test.ts': 'adds a trigger that simulates a full disk',
  'test/commands/check.test.ts': 'breaks the schema, and creates it',
  'test/commands/export.test.ts': 'adds a policy that makes reads slow',
  'test/commands/looking.test.ts': 'deletes totals',
  'test/console/world.ts': 'inserts statements and waivers of people',
  'test/database/database.test.ts': 'creates tables',
  'test/database/migrate-killed.test.ts': 'holds a lock for which migrate waits',
  'test/database/migrate.test.ts': 'migrates',
  'test/e2e/refusals.test.ts': 'creates the schema by a run, and makes a database read-only and one of another program',
  'test/ledger/conflicts.test.ts': 'adds a sequence, and clears the record of runs between tests',
  'test/ledger/guards.test.ts': 'writes manually, and adds rules and policies',
  'test/ledger/ledger.ts': 'sets the clock, adds foreign triggers, and clears the tables between tests',
  'test/ledger/runs.test.ts': 'clears the record of runs between tests',
  'test/loading/lease.test.ts': 'locks a table',
  'test/loading/run.test.ts': 'adds checks and a rule that simulate failures',
  'test/schema/rights.test.ts': 'creates a function',
  'test/schema/schema.test.ts': 'reads the catalog of all objects',
  'test/system/console/questions.test.ts': 'reads the base tables',
  'test/views/functions.test.ts': 'counts rows for the planner',
  'test/views/history.test.ts': 'creates a table',
  'test/views/sessions.test.ts': 'adds a foreign schema',
  'test/worker/canary.test.ts': 'reads every column of every table',
  'test/worker/digest.test.ts': 'adds a check that simulates a failure',
  'test/worker/loop.test.ts': 'records a migration of a newer version',
  'test/worker/worker.test.ts': 'records migrations of other versions',
};

test('only these tests act as the owner of the tables', () => {
  const isOwner = (file: string) => /asOwner\(|(?:openAs|loginAs)\('migrator'/.test(readFileSync(file, 'utf8'));
  const isTest = (file: string) => !/^test\/(support\/|project\/owner)/.test(file);
  const files = globSync('test/**/*.ts').filter((file) => isTest(file) && isOwner(file));
  expect(files.toSorted()).toEqual(Object.keys(REASONS).toSorted());
});
