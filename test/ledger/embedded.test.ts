/** The ledger in the embedded database: each kind of statement once, as on a server. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { applyPolicy, readDuePage } from '../../src/ledger/due.ts';
import { addDays, applyTracks, fillInstance } from '../../src/ledger/fill.ts';
import { registerInstance } from '../../src/ledger/instances.ts';
import { takeLease } from '../../src/ledger/lease.ts';
import { loadBatch } from '../../src/ledger/load.ts';
import { upsertOrganizations } from '../../src/ledger/organizations.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import type { CellAnswer } from '../../src/usage/cell.ts';
import { dayAt, addDays as shift } from '../../src/usage/day.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { copyEmbeddedDatabase, type EmbeddedFolder } from '../support/databases.ts';
import { devices, hours, minutes, named, POLICY, sources, totals } from '../usage/cells.ts';
import { INSTANCE, RUN_1 } from './ledger.ts';

const ORG = '5d0000000000000000000001';
let folder: EmbeddedFolder;
let handle: DatabaseHandle;

beforeAll(async () => {
  folder = await copyEmbeddedDatabase();
  handle = await createDatabase({ url: folder.url, applicationName: 'embedded ledger', poolSize: 1 });
});

afterAll(async () => {
  await handle.close();
  folder.remove();
});

test('a run stores numbers of every stream, and what it does not read is waived', async () => {
  const { db } = handle;
  const nowMs = Date.now();
  const settings = { instanceId: INSTANCE, nowMs, policy: POLICY };
  const day = shift(dayAt(nowMs), -1);
  const before = shift(day, -1);
  await registerInstance(db, {
    instanceId: INSTANCE,
    apiUrl: 'https://api.example.com',
    name: 'Acme',
    controlTotals: 'block',
  });
  const lease = await takeLease(db, { instanceId: INSTANCE, runId: RUN_1, host: 'one' });
  const write = { runId: RUN_1, lease, now: () => nowMs };
  const org = {
    orgId: ORG,
    instanceId: INSTANCE,
    name: 'Acme',
    tags: [],
    referralId: null,
    planId: null,
    customerId: null,
    limits: {},
    currentPeriodStart: null,
    currentPeriodEnd: null,
    createdOn: null,
  };
  await upsertOrganizations(db, write, { ...settings, organizations: [org], unreadable: [] });
  await applyPolicy(db, write, settings);
  await applyTracks(db, write, { ...settings, streams: streamNames, selection: { kind: 'all' } });
  await fillInstance(db, write, settings);
  const scope = { instanceId: INSTANCE, orgIds: null, streams: null, range: { from: before, to: before } };
  await addDays(db, write, { scope, nowMs, policy: POLICY, makesRows: true, force: false });
  const page = {
    nowMs: nowMs + 60_000,
    policy: POLICY,
    afterOrgId: '',
    from: null,
    to: null,
    stopped: [],
    sinceMs: null,
  };
  expect(await readDuePage(db, { ...scope, range: null }, page)).toHaveLength(10);

  const numbers = [devices(1, 2, 3), minutes(4, 5), sources(21), totals(17, 21, 900), hours(17, 21, 900)];
  const batch = (add: number) =>
    numbers.map((each, index): CellAnswer => {
      const stream =
        ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals', 'payload_hours'][index] ??
        '';
      const verdict = named(stream === 'device_counts' ? devices(1 + add, 2, 3) : each);
      return { orgId: ORG, stream, day, sentAtMs: nowMs + add, sha256: 'a'.repeat(64), verdict };
    });
  const load = (add: number) =>
    loadBatch(
      db,
      { answers: batch(add), quarantined: [] },
      { ...write, instanceId: INSTANCE, policy: POLICY },
    );
  expect((await load(0)).rows).toEqual({ inserted: 5, updated: 0, deleted: 0, unchanged: 0 });
  expect((await load(1)).rows).toEqual({ inserted: 0, updated: 1, deleted: 0, unchanged: 4 });
  const { rows: restated } =
    await sql`select metric, old_quantity, new_quantity from losant_usage.restatements`.execute(db);
  expect(restated).toEqual([{ metric: 'devices_created', old_quantity: 1, new_quantity: 2 }]);
  const waived = await waiveCells(db, {
    orgId: ORG,
    streams: null,
    range: { from: before, to: day },
    reason: 'trying out',
    policy: POLICY,
  });
  expect(waived).toHaveLength(5);
  const { rows: months } =
    await sql`select sum(days_expected)::integer as days from losant_usage.monthly_usage`.execute(db);
  expect(months).toEqual([{ days: 2 }]);
});
