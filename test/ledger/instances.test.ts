import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import {
  readDatabaseClock,
  readInstance,
  registerInstance,
  requireApiUrl,
  updateInstance,
} from '../../src/ledger/instances.ts';
import { useLedger, WRITE } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');
const ID = '5c00000000000000000000ff';
const API = 'https://api.example.com';

beforeEach(async () => {
  await given.ledger.asProgram(sql`delete from losant_usage.instances where instance_id = ${ID}`);
});

const register = (changes: { name?: string | null; controlTotals?: 'block' | 'show' } = {}) =>
  registerInstance(given.ledger.db, {
    instanceId: ID,
    apiUrl: API,
    name: null,
    controlTotals: 'block',
    ...changes,
  });
const stored = () =>
  given.ledger.list(
    sql`select name, control_totals, api_url from losant_usage.instances where instance_id = ${ID}`,
  );

test('an instance is known once it was registered, and keeps a name that Losant does not say again', async () => {
  expect(await readInstance(given.ledger.db, ID)).toBeNull();
  await register({ name: 'Acme Cloud' });
  await register({ controlTotals: 'show' });
  expect(await stored()).toEqual([`Acme Cloud show ${API}`]);
  expect(await readInstance(given.ledger.db, ID)).toEqual({
    apiUrl: API,
    listedAt: null,
    listProblem: null,
    allFrom: null,
    totalsProblem: null,
  });
});

test('registering what is known writes nothing', async () => {
  await register({ name: 'Acme Cloud' });
  const version = sql`select xmin from losant_usage.instances where instance_id = ${ID}`;
  const before = await given.ledger.list(version);
  await register({ name: 'Acme Cloud' });
  expect(await given.ledger.list(version)).toEqual(before);
});

test('the numbers of an instance come from one API', async () => {
  const elsewhere = { instanceId: ID, apiUrl: 'https://elsewhere.example.com' };
  await requireApiUrl(given.ledger.db, elsewhere);
  await register();
  await requireApiUrl(given.ledger.db, { instanceId: ID, apiUrl: API });
  await expect(requireApiUrl(given.ledger.db, elsewhere)).rejects.toMatchObject({
    name: 'DatabaseError',
    kind: 'database_mismatch',
    message: `Instance ${ID} was collected from ${API}, not from https://elsewhere.example.com`,
  });
});

test('what a run finds of an instance is kept', async () => {
  await register();
  const changes = { listed_at: '2026-11-24T00:15:00.000Z', list_problem: 'page 2 failed' };
  await updateInstance(given.ledger.db, WRITE, { instanceId: ID, changes });
  expect(await readInstance(given.ledger.db, ID)).toMatchObject({
    listedAt: '2026-11-24T00:15:00.000Z',
    listProblem: 'page 2 failed',
  });
});

test('the clock is the database’s, in milliseconds', async () => {
  expect(await readDatabaseClock(given.ledger.db)).toBe(Date.parse('2026-11-24T12:00:00.000Z'));
});
