/** A month in the embedded database: the same numbers, statement and proof pack. */
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, onTestFinished, test } from 'vitest';
import { checkPacks, compareWithDatabase } from '../../src/billing/check-pack.ts';
import { closeMonth } from '../../src/billing/close.ts';
import { writePacks } from '../../src/billing/pack.ts';
import { readPacks } from '../../src/billing/read-packs.ts';
import { readStatements } from '../../src/billing/statements.ts';
import { createInstallation } from '../e2e/installation.ts';
import { type Row, readStored, readTruth } from '../e2e/usage.ts';
import { openAs } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { createTestFolder } from '../support/folders.ts';
import { SIGNAL } from './books.ts';

// Guarantee (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
test('a month is stored far from UTC, closed and verified with the embedded database', async () => {
  const installation = await createInstallation({ orgs: 1 }, 'embedded');
  const { store, platform, run } = installation;
  const folder = createTestFolder();
  const usual = process.env['TZ'];
  onTestFinished(async () => {
    process.env['TZ'] = usual;
    await installation.close();
  });
  const now = new Date();
  const lastDay = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)).toISOString().slice(0, 10);
  process.env['TZ'] = 'America/St_Johns';
  expect((await run(['backfill', '--from', lastDay, '--to', lastDay])).code).toBe(0);

  // Opened once for what follows, because it takes a second each time.
  await using handle = await openAs('closer', store.url);
  const { db } = handle;
  const query = async (statement: string) => (await sql.raw<Row>(statement).execute(db)).rows;
  expect(await readStored({ query })).toEqual(await readTruth(platform, lastDay, daysAgo(1)));

  const { instanceId } = platform;
  const month = lastDay.slice(0, 7);
  const request = { month, isAdjustment: false, isDryRun: false, signingKey: null, signal: SIGNAL };
  const closeWith = (acceptance: { reason: string; blockersHash: string } | null) =>
    closeMonth(handle, { instanceId, name: null }, { ...request, acceptance });
  // Only the last day of the month is loaded, so it is blocked on every day of the year.
  const { kind, blockersHash } = await closeWith(null);
  expect(kind).toBe('refused');
  expect(await closeWith({ reason: 'tried', blockersHash: blockersHash ?? '' })).toMatchObject({ kind: 'closed' });
  const out = join(folder, 'pack');
  await writePacks(handle, await readStatements(db, { month, instanceIds: [instanceId] }), { out, signal: SIGNAL });
  const verification = await readPacks(out, []);
  await checkPacks(verification, SIGNAL);
  await compareWithDatabase(db, verification, SIGNAL);
  expect([verification.packs.length, verification.problems]).toEqual([1, []]);
});
