/** Other checkpoints than before: what the ledger says of the next read, and of what is final. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { applyPolicy } from '../../src/ledger/instances.ts';
import { loadBatch } from '../../src/ledger/load.ts';
import type { CellOutcome } from '../../src/usage/cell.ts';
import { ageOfRead, type Policy } from '../../src/usage/policy.ts';
import { policy as usual } from '../usage/tracks.ts';
import { answer, at, failed, missing, row, values } from './answers.ts';
import { addTracking, coverageOf, INSTANCE, RUN_1, useLedger } from './ledger.ts';

const NOW = at('2026-11-24T09:30:00.000Z');
const DAY = '2026-11-10';
const ledger = useLedger();
let orgId: string;

beforeEach(async () => {
  orgId = await ledger.newOrg();
  await ledger.ask(sql`update losant_usage.instances set policy = null`);
  await apply(usual);
});

const apply = (policy: Policy) => applyPolicy(ledger.db, INSTANCE, { policy, nowMs: NOW });
const read = async (outcome: CellOutcome, sentAt: string, { day = DAY, policy = usual } = {}) => {
  const sentAtMs = at(sentAt);
  const only = answer(outcome, { orgId, day, sentAtMs, age: ageOfRead(day, sentAtMs, policy) });
  await loadBatch(ledger.db, { answers: [only], quarantined: [] }, { runId: RUN_1, lease: null });
};
const cells = async () =>
  (await coverageOf(ledger.db, orgId)).map((cell) => {
    const { standing, next_read_at } = cell as Record<string, unknown>;
    return { standing, next_read_at };
  });
const number = values(row(4, 1, 17));

test('a number that nothing confirms and whose last read failed is read again once there is another checkpoint', async () => {
  const early: Policy = { readAtHours: [0, 6, 24], finalAtHours: 24, horizonDays: 90 };
  await apply(early);
  await addTracking(ledger.db, orgId, {
    streams: ['payload_totals', 'payload_sources'],
    days: '{[2026-11-01,)}',
  });
  const load = async (stream: string, outcome: CellOutcome, sentAt: string) => {
    const sentAtMs = at(sentAt);
    const only = answer(outcome, { orgId, stream, day: DAY, sentAtMs, age: ageOfRead(DAY, sentAtMs, early) });
    await loadBatch(ledger.db, { answers: [only], quarantined: [] }, { runId: RUN_1, lease: null });
  };
  await load('payload_totals', missing, '2026-11-12T01:15:00.000Z');
  await load('payload_totals', failed, '2026-11-12T02:15:00.000Z');
  expect(await cells()).toEqual([{ standing: 'unavailable', next_read_at: null }]);
  await apply(usual);
  expect(await cells()).toEqual([{ standing: 'missing', next_read_at: '2026-11-13T00:00:00.000Z' }]);
});

test('days past a nearer horizon are read again once it is farther, be they given up or removed by hand', async () => {
  const near: Policy = { ...usual, horizonDays: 9 };
  await apply(near);
  await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-11-08,)}' });
  const [givenUp, removed, longAgo] = ['2026-11-10', '2026-11-09', '2026-11-07'];
  await read(number, '2026-11-10T01:00:00.000Z', { day: removed });
  await ledger.ask(sql`update losant_usage.usage_days
    set devices_created = null, devices_deleted = null, devices_total = null
    where org_id = ${orgId} and usage_date = ${removed}`);
  const pastHorizon = { kind: 'closed', code: 'past_horizon', message: 'it is past the horizon' } as const;
  for (const day of [givenUp, removed, longAgo])
    await read(pastHorizon, '2026-11-24T09:00:00.000Z', { day, policy: near });
  expect(await cells()).toEqual([
    { standing: 'unavailable', next_read_at: null },
    { standing: 'missing', next_read_at: null },
    { standing: 'unavailable', next_read_at: null },
  ]);
  await apply(usual);
  expect(await cells()).toEqual([
    // Not tracked: nobody asks for it.
    { standing: 'unavailable', next_read_at: null },
    { standing: 'missing', next_read_at: expect.any(String) as string },
    { standing: 'missing', next_read_at: expect.any(String) as string },
  ]);
});

test('a number in doubt is read again, whatever the checkpoints: at the time it had, or at once', async () => {
  await read(number, '2026-11-20T01:00:00.000Z');
  await ledger.ask(sql`update losant_usage.usage_days set devices_total = 18 where org_id = ${orgId}`);
  const isDue = sql`select standing, next_read_at <= now() as due from losant_usage.coverage where org_id = ${orgId}`;
  const due = [{ standing: 'in_doubt', due: true }];
  expect(await ledger.ask(isDue)).toEqual(due);
  await apply({ readAtHours: [0, 6], finalAtHours: 6, horizonDays: 9 });
  expect(await ledger.ask(isDue)).toEqual(due);
  const pastHorizon = { kind: 'closed', code: 'past_horizon', message: 'it is past the horizon' } as const;
  await read(pastHorizon, '2026-11-24T09:00:00.000Z');
  expect(await cells()).toEqual([{ standing: 'in_doubt', next_read_at: null }]);
  await apply({ readAtHours: [0, 6], finalAtHours: 6, horizonDays: 90 });
  expect(await ledger.ask(isDue)).toEqual(due);
});

describe('with earlier checkpoints than before', () => {
  const early: Policy = { readAtHours: [0, 6, 24], finalAtHours: 24, horizonDays: 90 };

  test('a number that was read after the last of them is final, and not read again', async () => {
    await read(number, '2026-11-12T06:00:00.000Z');
    expect(await cells()).toEqual([{ standing: 'stored', next_read_at: '2026-11-13T00:00:00.000Z' }]);
    await apply(early);
    expect(await cells()).toEqual([{ standing: 'final', next_read_at: null }]);
    const final = sql`select finalized_at > now() - interval '1 minute' as now from losant_usage.coverage
      where org_id = ${orgId}`;
    expect(await ledger.ask(final)).toEqual([{ now: true }]);
  });

  test('a number that was read before the last of them is read at it', async () => {
    await read(number, '2026-11-11T00:15:00.000Z');
    await apply(early);
    expect(await cells()).toEqual([{ standing: 'stored', next_read_at: '2026-11-11T06:00:00.000Z' }]);
  });

  test('a number that is left out after the last of them is unavailable, and no gap for ever', async () => {
    await read(missing, '2026-11-12T06:00:00.000Z');
    await apply(early);
    expect(await cells()).toEqual([{ standing: 'unavailable', next_read_at: null }]);
    await apply(usual);
    expect(await cells()).toEqual([{ standing: 'missing', next_read_at: '2026-11-13T00:00:00.000Z' }]);
  });

  test('a failed read keeps its retry', async () => {
    await read(number, '2026-11-12T06:00:00.000Z');
    await read(failed, '2026-11-13T00:15:00.000Z');
    await apply(early);
    expect(await cells()).toEqual([{ standing: 'final', next_read_at: '2026-11-13T00:15:00.000Z' }]);
  });
});

describe('with a later checkpoint than before', () => {
  const late: Policy = { readAtHours: [0, 1_000], finalAtHours: 900, horizonDays: 90 };

  test('a number that was read for the last time is read again, and stays final', async () => {
    await read(number, '2026-12-11T00:00:00.000Z');
    expect(await cells()).toEqual([{ standing: 'final', next_read_at: null }]);
    await apply(late);
    expect(await cells()).toEqual([{ standing: 'final', next_read_at: '2026-12-22T16:00:00.000Z' }]);
  });

  test('nothing is decided again past the horizon, and of organizations that are gone', async () => {
    const closed = [{ standing: 'final', next_read_at: null }];
    await read(number, '2026-10-24T00:00:00.000Z', { day: '2026-08-25' });
    await apply(late);
    expect(await cells()).toEqual(closed);
    orgId = await ledger.newOrg();
    await read(number, '2026-12-11T00:00:00.000Z');
    await ledger.ask(sql`update losant_usage.organizations set removed_at = now() where org_id = ${orgId}`);
    await apply({ ...late, finalAtHours: 901 });
    expect(await cells()).toEqual(closed);
  });
});

test('the same policy writes nothing, and the first is only noted', async () => {
  await read(number, '2026-11-12T06:00:00.000Z');
  const version = sql`select xmin::text from losant_usage.coverage where org_id = ${orgId}`;
  const before = await ledger.ask(version);
  await apply({ ...usual, readAtHours: [...usual.readAtHours] });
  await ledger.ask(sql`update losant_usage.instances set policy = null`);
  await apply({ ...usual, finalAtHours: 24 });
  expect(await ledger.ask(version)).toEqual(before);
});

const policies = fc.record({
  readAtHours: fc
    .uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 5 })
    .map((hours) => hours.toSorted((a, b) => a - b)),
  finalAtHours: fc.integer({ min: 0, max: 400 }),
  horizonDays: fc.constant(90),
});

test('whatever the policies, a cell ends as if it had been read by the new one', async () => {
  const age = fc.integer({ min: 0, max: 500 });
  await fc.assert(
    fc.asyncProperty(policies, policies, age, fc.boolean(), async (before, after, hours, isNamed) => {
      const sentAt = new Date(at('2026-11-11T00:00:00.000Z') + hours * 3_600_000 + 60_000).toISOString();
      const outcome = isNamed ? number : missing;
      await ledger.ask(sql`update losant_usage.instances set policy = null`);
      await apply(before);
      orgId = await ledger.newOrg();
      await read(outcome, sentAt, { policy: before });
      const [old] = (await cells()) as { standing: string }[];
      await apply(after);
      const [changed] = await cells();
      orgId = await ledger.newOrg();
      await read(outcome, sentAt, { policy: after });
      const [fresh] = await cells();
      // What was final once stays it.
      expect(changed).toEqual(old?.standing === 'final' ? { ...fresh, standing: 'final' } : fresh);
    }),
    { numRuns: 100 },
  );
});
