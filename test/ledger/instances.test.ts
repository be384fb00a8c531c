import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import {
  readDatabaseClock,
  readInstance,
  registerInstance,
  requireApiUrl,
  updateInstance,
} from '../../src/ledger/instances.ts';
import { useLedger } from './ledger.ts';

const ledger = useLedger();
const ID = '5c00000000000000000000ff';
const API = 'https://api.example.com';

beforeEach(async () => {
  await ledger.ask(sql`delete from losant_usage.instances where instance_id = ${ID}`);
});

const register = (streams: readonly string[], yesterday: string) =>
  registerInstance(ledger.db, { instanceId: ID, apiUrl: API, name: null, streams, yesterday });

test('an instance nobody collected for is not known', async () => {
  expect(await readInstance(ledger.db, ID)).toBeNull();
});

test('an instance and its streams are tracked from the day before the first run', async () => {
  await register(['device_counts', 'payload_sources'], '2026-11-23');
  expect(await readInstance(ledger.db, ID)).toEqual({
    trackedFrom: '2026-11-23',
    streamsFrom: { device_counts: '2026-11-23', payload_sources: '2026-11-23' },
    listedAt: null,
    listedOrgIds: null,
    listProblem: null,
    settledBy: null,
  });
});

test('a stream enabled later starts later, the others keep their start', async () => {
  await register(['device_counts'], '2026-11-23');
  await register(['device_counts', 'payload_sources'], '2026-12-31');
  expect(await readInstance(ledger.db, ID)).toMatchObject({
    trackedFrom: '2026-11-23',
    streamsFrom: { device_counts: '2026-11-23', payload_sources: '2026-12-31' },
  });
});

test('a stream that was left out keeps its start for when it is back', async () => {
  await register(['device_counts', 'payload_sources'], '2026-11-23');
  await register(['device_counts'], '2026-12-31');
  expect(await readInstance(ledger.db, ID)).toMatchObject({ streamsFrom: { payload_sources: '2026-11-23' } });
});

test('registering what is known writes nothing', async () => {
  await register(['device_counts'], '2026-11-23');
  const version = sql`select xmin::text from losant_usage.instances where instance_id = ${ID}`;
  const before = await ledger.ask(version);
  await register(['device_counts'], '2026-11-24');
  expect(await ledger.ask(version)).toEqual(before);
});

test('the numbers of an instance come from one API', async () => {
  await requireApiUrl(ledger.db, { instanceId: ID, apiUrl: 'https://elsewhere.example.com' });
  await register(['device_counts'], '2026-11-23');
  await requireApiUrl(ledger.db, { instanceId: ID, apiUrl: API });
  await expect(
    requireApiUrl(ledger.db, { instanceId: ID, apiUrl: 'https://elsewhere.example.com' }),
  ).rejects.toMatchObject({
    name: 'DatabaseError',
    kind: 'database_mismatch',
    message:
      'Instance 5c00000000000000000000ff was collected from https://api.example.com, not from https://elsewhere.example.com',
  });
});

test.each([
  ['a complete listing', null],
  ['a look-up of single organizations', ['5c0000000000000000000001']],
])('%s is noted', async (_, orgIds) => {
  await register(['device_counts'], '2026-11-23');
  const listed = { listed_at: '2026-11-24T00:15:00.000Z', listed_org_ids: orgIds, list_problem: null };
  await updateInstance(ledger.db, ID, listed);
  expect(await readInstance(ledger.db, ID)).toMatchObject({
    listedAt: '2026-11-24T00:15:00.000Z',
    listedOrgIds: orgIds,
  });
});

test('the clock is the database’s, in milliseconds', async () => {
  const ms = await readDatabaseClock(ledger.db);
  const { rows } = await sql<{ off: number }>`
    select abs(extract(epoch from clock_timestamp()) * 1000 - ${ms}::bigint)::integer as off`.execute(
    ledger.db,
  );
  expect(rows[0]?.off).toBeLessThan(60_000);
});
