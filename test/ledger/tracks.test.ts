/** Tracks are spans of days: what begins, ends, returns or is added leaves no hole that nobody knows. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { markDeleted } from '../../src/ledger/organizations.ts';
import { readTouchingTracks } from '../../src/ledger/tracks.ts';
import { addDays, eachDay, latestDay } from '../../src/usage/day.ts';
import { POLICY } from '../usage/cells.ts';
import { useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];
const TOTALS = ['payload_totals'];

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
  test('if a stream that ended in it returns after longer than the horizon', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-11-20' });
    await ledger.prepare({ streams: [...DEVICES, ...TOTALS] });
    await ledger.backfill('2026-11-20..2026-11-23');
    await prepareAt('2026-12-11T00:15:00.000Z', TOTALS);
    const december = '2026-12 device_counts 12-11..12-31';
    await prepareAt('2027-06-01T00:15:00.000Z', TOTALS);
    expect(await untracked(orgId)).toEqual([december]);
    await prepareAt('2027-06-02T00:15:00.000Z', [...DEVICES, ...TOTALS]);
    expect(await untracked(orgId)).toEqual([december, '2027-03 device_counts 03-01..03-03']);
  });

  test('if a backfill adds days beyond the end of a stream while another one continues', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-11-20' });
    await ledger.prepare({ streams: [...DEVICES, ...TOTALS] });
    await ledger.backfill('2026-11-20..2026-11-23');
    await prepareAt('2026-12-01T00:15:00.000Z', TOTALS);
    await prepareAt('2026-12-20T00:15:00.000Z', TOTALS);
    await ledger.backfill('2026-12-05..2026-12-15', { streams: DEVICES });
    expect(await untracked(orgId)).toEqual(['2026-12 device_counts 12-01..12-19']);
  });

  test('if its days are tracked before and after others, and not after a backfill of these', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-10-02' });
    await ledger.expectDays({ from: '2026-10-02', to: '2026-10-10' }, DEVICES, orgId);
    await ledger.expectDays({ from: '2026-10-20', to: '2026-10-25' }, DEVICES, orgId);
    await ledger.expectDays({ from: '2026-10-30', to: '2026-11-23' }, DEVICES, orgId);
    expect(await untracked(orgId)).toEqual(['2026-10 device_counts 10-11..10-29']);
    await ledger.backfill('2026-10-26..2026-10-29');
    expect(await untracked(orgId)).toEqual(['2026-10 device_counts 10-11..10-19']);
    await ledger.backfill('2026-10-11..2026-10-19');
    expect(await untracked(orgId)).toEqual([]);
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 10-02 11-24 11-23']);
  });

  test('on the days between two tracks, and not between others', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-10-02' });
    await ledger.expectDays({ from: '2026-10-02', to: '2026-10-10' }, DEVICES, orgId);
    await ledger.expectDays({ from: '2026-10-20', to: '2026-11-05' }, DEVICES, orgId);
    await ledger.expectDays({ from: '2026-11-10', to: '2026-11-23' }, DEVICES, orgId);
    const between = ['2026-10 device_counts 10-11..10-19', '2026-11 device_counts 11-06..11-09'];
    expect(await untracked(orgId)).toEqual(between);
  });

  test('on days after the deletion of its organization and before its creation, nothing is untracked', async () => {
    const orgId = await ledger.createOrg({ createdOn: '2026-11-10' });
    await ledger.expectDays({ from: '2026-11-10', to: '2026-11-20' }, DEVICES, orgId);
    expect(await untracked(orgId)).toEqual(['2026-11 device_counts 11-21..11-23']);
    await markDeleted(ledger.writer(), { orgIds: [orgId], today: '2026-11-21' });
    expect(await untracked(orgId)).toEqual([]);
  });
});

test('a track whose end is the day before the horizon continues, and one that ended earlier does not', async () => {
  const policy = { ...POLICY, horizonDays: 5 };
  const ids = [await ledger.createOrg(), await ledger.createOrg({ createdOn: '2026-11-26' })];
  await ledger.prepare({ streams: DEVICES, policy });
  await ledger.prepare({ streams: [], policy });
  await ledger.expectDays({ from: '2026-11-22', to: '2026-11-22' }, TOTALS, ids[0]);
  await ledger.expectDays({ from: '2026-11-22', to: '2026-11-22' }, TOTALS, ids[1]);
  await ledger.setTime('2026-11-29T00:15:00.000Z');
  await ledger.prepare({ streams: [...DEVICES, ...TOTALS], policy });
  expect(await ledger.tracks(ids[0] ?? '')).toEqual([
    'device_counts 11-23 11-29 ',
    'payload_totals 11-22 11-23 11-22',
    'payload_totals 11-24 11-29 ',
  ]);
  expect((await ledger.tracks(ids[1] ?? '')).at(-1)).toBe('payload_totals 11-26 11-29 ');
});

test('only the latest track of a stream continues', async () => {
  const orgId = await ledger.createOrg();
  await ledger.expectDays({ from: '2026-11-10', to: '2026-11-12' }, DEVICES, orgId);
  await ledger.expectDays({ from: '2026-11-20', to: '2026-11-21' }, DEVICES, orgId);
  await ledger.prepare({ streams: DEVICES });
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-10 11-13 11-12', 'device_counts 11-20 11-24 ']);
});

/** What may happen on a day; a backfill is of days that many days ago. */
const event = fc.record({
  kind: fc.constantFrom('end', 'return', 'backfill', 'backfill'),
  later: fc.integer({ min: 0, max: 12 }),
  ago: fc.integer({ min: 1, max: 14 }),
  days: fc.integer({ min: 1, max: 6 }),
});

type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

/** The expected days by a second reckoning, one day at a time. */
class ExpectedDays {
  readonly #days = new Set(['2026-11-23']);
  isTracked = true;

  get sorted(): string[] {
    return [...this.#days].toSorted();
  }

  add(from: string, to: string): void {
    if (from <= to) for (const day of eachDay({ from, to })) this.#days.add(day);
  }

  /** While the stream is tracked, and on the day of its return, days follow the last one, from the horizon on. */
  continue(horizon: string, yesterday: string): void {
    this.add(latestDay(horizon, addDays(this.sorted.at(-1) ?? '', 1)), yesterday);
  }

  backfill(from: string, to: string): void {
    const next = this.sorted.find((day) => day > to && !this.#days.has(addDays(day, -1)));
    if (from <= to) this.add(from, next === undefined ? to : addDays(next, -1));
  }
}

// Guarantee (Missing numbers): Whatever ends, returns and is backfilled, in any order: tracks never touch, and exactly
// the expected days have cells.
test('random ends, returns and backfills leave tracks apart, and a cell for each expected day', async () => {
  const policy = { ...POLICY, horizonDays: 20 };
  const play = async (events: readonly Event[]) => {
    await ledger.clear();
    await ledger.setTime('2026-11-24T00:15:00.000Z');
    const orgId = await ledger.createOrg();
    await ledger.prepare({ streams: DEVICES, policy });
    const expected = new ExpectedDays();
    let today = '2026-11-24';
    for (const { kind, later, ago, days } of events) {
      today = addDays(today, later);
      const [yesterday, horizon] = [addDays(today, -1), addDays(today, -policy.horizonDays)];
      await ledger.setTime(`${today}T00:15:00.000Z`);
      if (expected.isTracked || kind === 'return') expected.continue(horizon, yesterday);
      if (kind === 'backfill') {
        const range = { from: addDays(today, -ago - days), to: addDays(today, -ago) };
        expected.backfill(latestDay(horizon, range.from), range.to);
        await ledger.backfill(`${range.from}..${range.to}`, {}, { policy });
      } else {
        expected.isTracked = kind === 'return';
        await ledger.prepare({ streams: expected.isTracked ? DEVICES : [], policy });
      }
      expect(await readTouchingTracks(ledger.db)).toEqual([]);
      const cells = sql`select usage_date from losant_usage.coverage where org_id = ${orgId} order by 1`;
      expect(await ledger.listAsWriter(cells)).toEqual(expected.sorted);
    }
  };
  await fc.assert(fc.asyncProperty(fc.array(event, { minLength: 3, maxLength: 10 }), play), { numRuns: 8 });
});
