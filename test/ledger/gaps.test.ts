/** What a command that named days answers for: gaps in its scope, and numbers whose newest read failed. */
import { beforeEach, expect, test } from 'vitest';
import { hasGaps } from '../../src/ledger/gaps.ts';
import { devices, failed, named, type refused, silence } from '../usage/cells.ts';
import { answer, INSTANCE, type Ledger, useLedger } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');
let ledger: Ledger;
let orgId: string;

beforeEach(async () => {
  ledger = given.ledger;
  await ledger.clear();
  orgId = await ledger.want({ from: '2026-11-22', to: '2026-11-22' }, ['device_counts', 'notebook_minutes']);
  await ledger.load([answer(orgId, 'device_counts', '2026-11-22', named(devices(4, 1, 17)))]);
});

const SCOPE = { orgIds: null, streams: null, range: null };
const has = (scope: Partial<Parameters<typeof hasGaps>[1]> = {}) =>
  hasGaps(ledger.db, { instanceId: INSTANCE, ...SCOPE, ...scope });
const read = (stream: string, verdict: typeof refused) =>
  ledger.load([{ ...answer(orgId, stream, '2026-11-22', verdict), sentAtMs: ledger.nowMs + 1_000 }]);

test('a number that was never read and is late is a gap, in its scope', async () => {
  expect(await has()).toBe(true);
  expect(await has({ streams: ['notebook_minutes'], orgIds: [orgId] })).toBe(true);
  expect(await has({ streams: ['device_counts'] })).toBe(false);
  expect(await has({ orgIds: ['f'.repeat(24)] })).toBe(false);
  expect(await has({ range: { from: '2026-11-23', to: '2026-11-23' } })).toBe(false);
  expect(await has({ range: { from: '2026-11-22', to: '2026-11-23' } })).toBe(true);
  expect(await has({ instanceId: '5c00000000000000000000ff' })).toBe(false);
});

test('a number that is stored and whose newest read failed is one, until it can be read', async () => {
  await read('notebook_minutes', silence);
  expect(await has()).toBe(false);
  await read('device_counts', failed);
  expect(await has()).toBe(true);
  const later = {
    ...answer(orgId, 'device_counts', '2026-11-22', named(devices(4, 1, 17))),
    sentAtMs: ledger.nowMs + 9_000,
  };
  await ledger.load([later]);
  expect(await has()).toBe(false);
});
