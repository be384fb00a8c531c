/** Answers that were set aside, with their bodies as they came. */
import { gunzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import type { QuarantinedBody } from '../../src/ledger/quarantine.ts';
import { POLICY } from '../usage/cells.ts';
import { INSTANCE, RUN_1, useLedger, WRITE } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');

const keep = (...quarantined: readonly QuarantinedBody[]) =>
  loadBatch(
    given.ledger.db,
    { answers: [], quarantined },
    { ...WRITE, instanceId: INSTANCE, policy: POLICY },
  );
const body = (orgId: string, changes: Partial<QuarantinedBody> = {}): QuarantinedBody => ({
  orgId,
  stream: 'device_counts',
  from: '2026-11-20',
  to: '2026-11-20',
  code: 'invalid_value',
  problem: 'created: is negative (-1)',
  bodies: ['{"counts":[]}'],
  ...changes,
});
const kept = (orgId: string) =>
  given.ledger.list(sql`select to_char(from_date, 'MM-DD') as first, to_char(to_date, 'MM-DD') as last, code, problem,
      body_truncated, run_id from losant_usage.quarantine where org_id = ${orgId} order by id`);
const bodyOf = async (orgId: string) => {
  const { rows } = await sql<{ body_gzip: Buffer }>`select body_gzip from losant_usage.quarantine
    where org_id = ${orgId}`.execute(given.ledger.db);
  return gunzipSync(rows[0]?.body_gzip ?? Buffer.alloc(0)).toString('utf8');
};

test('keeps the bodies as they came, one after the other, compressed', async () => {
  const orgId = await given.ledger.newOrg();
  await keep(body(orgId, { bodies: ['{"counts":[{"ü\\u0000":1}]}', '<html>\r\n</html>', 'null'] }));
  expect(await bodyOf(orgId)).toBe('{"counts":[{"ü\\u0000":1}]}\n<html>\r\n</html>\nnull');
  expect(await kept(orgId)).toEqual([`11-20 11-20 invalid_value created: is negative (-1) false ${RUN_1}`]);
});

test('cuts a long body at 256 KiB and says so', async () => {
  const orgId = await given.ledger.newOrg();
  await keep(body(orgId, { bodies: ['x'.repeat(300_000)] }));
  expect(await bodyOf(orgId)).toBe('x'.repeat(262_144));
  expect((await kept(orgId))[0]).toContain(' true ');
});

test('keeps a body once while it stays the same, and each that is other', async () => {
  const orgId = await given.ledger.newOrg();
  const other = body(orgId, { bodies: ['{"counts":[1]}'] });
  for (const each of [
    body(orgId),
    body(orgId),
    other,
    body(orgId),
    body(orgId, { code: 'unplaceable_body' }),
  ]) {
    await keep(each);
  }
  expect(await kept(orgId)).toHaveLength(4);
  await keep(body(orgId, { to: '2026-11-21' }), body(orgId, { stream: 'payload_totals' }));
  expect(await kept(orgId)).toHaveLength(6);
});
