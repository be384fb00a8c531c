/** Tracks: one span of expected days, without holes, whatever ends, returns and is backfilled. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { markDeleted } from '../../src/ledger/organizations.ts';
import { addDays, eachDay, latestDay } from '../../src/usage/day.ts';
import { POLICY } from '../usage/cells.ts';
import { useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];

const prepareAt = async (instant: string, streams: readonly string[]) => {
  await ledger.setTime(instant);
  await ledger.prepare({ streams });
};

/** Returns the untracked days of an organization, by month. */
const untracked = (orgId: string) =>
  ledger.list(sql`select to_char(month, 'YYYY-MM'), array_to_string(streams, ' '),
      to_char(first_day, 'MM-DD') || '..' || to_char(last_day, 'MM-DD')
    from losant_usage.month_blockers where org_id = ${orgId} and cause = 'not_fully_tracked' order by 1`);

describe('a month is not fully tracked', () => {
  test('on the days before its track begins, until a backfill extends the track to them', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-10-20' });
    await ledger.prepare({ streams: DEVICES });
    expect(await untracked(orgId)).toEqual(['2026-11 device_counts 11-01..11-22']);
    await ledger.backfill('2026-11-10..2026-11-12');
    expect(await untracked(orgId)).toEqual(['2026-11 device_counts 11-01..11-09']);
    await ledger.backfill('2026-10-01..2026-10-31');
    expect(await untracked(orgId)).toEqual([]);
  });

  test('on the days after its track has ended, but not after the deletion of its organization', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-11-10' });
    await ledger.expectDays({ from: '2026-11-10', to: '2026-11-20' }, DEVICES, orgId);
    expect(await untracked(orgId)).toEqual(['2026-11 device_counts 11-21..11-23']);
    await markDeleted(ledger.writer(), { orgIds: [orgId], today: '2026-11-21' });
    expect(await untracked(orgId)).toEqual([]);
  });
});

test('what returns goes on: the days between are expected, and unavailable past the horizon', async () => {
  const orgId = await ledger.createOrg();
  await ledger.prepare({ streams: DEVICES });
  await prepareAt('2026-11-25T00:15:00.000Z', []);
  await prepareAt('2026-11-28T00:15:00.000Z', DEVICES);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-28 ']);
  expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-27 5']);
  await prepareAt('2026-11-28T00:15:00.000Z', []);
  await prepareAt('2027-06-01T00:15:00.000Z', DEVICES);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 06-01 ']);
  const standings = sql`select standing, min(usage_date), max(usage_date) from losant_usage.coverage
    where org_id = ${orgId} group by standing order by 2`;
  expect(await ledger.listAsWriter(standings)).toEqual([
    'unavailable 2026-11-23 2027-03-02',
    'waiting 2027-03-03 2027-05-31',
  ]);
});

/** What may happen on a day; a backfill is of days that many days ago. */
const event = fc.record({
  kind: fc.constantFrom('end', 'return', 'backfill', 'backfill'),
  later: fc.integer({ min: 0, max: 12 }),
  ago: fc.integer({ min: 1, max: 14 }),
  days: fc.integer({ min: 1, max: 6 }),
});

type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

test('random ends, returns and backfills leave one span without holes, and a cell for each of its days', async () => {
  const policy = { ...POLICY, horizonDays: 20 };
  const play = async (events: readonly Event[]) => {
    await ledger.clear();
    await ledger.setTime('2026-11-24T00:15:00.000Z');
    const orgId = await ledger.createOrg();
    await ledger.prepare({ streams: DEVICES, policy });
    let span = { from: '2026-11-23', to: '2026-11-23' };
    let isTracked = true;
    let today = '2026-11-24';
    for (const { kind, later, ago, days } of events) {
      today = addDays(today, later);
      const [yesterday, horizon] = [addDays(today, -1), addDays(today, -policy.horizonDays)];
      await ledger.setTime(`${today}T00:15:00.000Z`);
      if (isTracked || kind === 'return') span = { ...span, to: yesterday };
      if (kind === 'backfill') {
        const range = { from: latestDay(horizon, addDays(today, -ago - days)), to: addDays(today, -ago) };
        if (range.from <= range.to) {
          span = { from: range.from < span.from ? range.from : span.from, to: latestDay(span.to, range.to) };
        }
        await ledger.backfill(`${addDays(today, -ago - days)}..${range.to}`, {}, { policy });
      } else {
        isTracked = kind === 'return';
        await ledger.prepare({ streams: isTracked ? DEVICES : [], policy });
      }
      const cells = sql`select usage_date from losant_usage.coverage where org_id = ${orgId} order by 1`;
      expect(await ledger.listAsWriter(cells)).toEqual(eachDay(span));
    }
  };
  await fc.assert(fc.asyncProperty(fc.array(event, { minLength: 3, maxLength: 10 }), play), { numRuns: 8 });
});
