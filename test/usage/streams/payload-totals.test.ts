import { describe, expect, test } from 'vitest';
import { payloadTotals } from '../../../src/usage/streams/payload-totals.ts';
import { totals } from '../cells.ts';
import { daysOf, readFixture, unplaceable } from './bodies.ts';

const twoDays = { from: '2025-11-25', to: '2025-11-26' };
const oneDay = { from: '2025-11-25', to: '2025-11-25' };

const recorded = ['billable-count', 'all-count', 'all-bytes'].map((name) =>
  readFixture(`payload-totals-${name}`),
);

/** The three bodies of one day; undefined leaves the bucket out. */
function bodiesOf(...values: readonly unknown[]): unknown[] {
  return values.map((value) => ({
    counts: value === undefined ? [] : [{ date: '2025-11-25T00:00:00.000Z', value }],
  }));
}

test('asks for billable payloads, for all of them, and for their bytes', () => {
  expect(payloadTotals.requests).toEqual([
    { action: 'payloadCountsBreakdown', query: { resolution: '86400000' } },
    { action: 'payloadCountsBreakdown', query: { resolution: '86400000', includeNonBillable: 'true' } },
    {
      action: 'payloadCountsBreakdown',
      query: { resolution: '86400000', asBytes: 'true', includeNonBillable: 'true' },
    },
  ]);
});

test('the recorded bodies give one row of three numbers, bytes beyond 2^32 included', () => {
  const reading = payloadTotals.readBodies(recorded, twoDays);
  expect(daysOf(reading)).toEqual({
    '2025-11-25': {
      kind: 'named',
      numbers: totals(17, 21, 4_294_967_297),
      leftOut: [],
    },
  });
  expect(reading.unknownKeys).toBe(3);
});

describe('a day that some of the three bodies leave out', () => {
  test.each([
    ['billable', [undefined, 21, 900], totals(0, 21, 900), ['payload_billable_count']],
    [
      'all but bytes',
      [undefined, undefined, 900],
      totals(0, 0, 900),
      ['payload_billable_count', 'payload_all_count'],
    ],
    ['bytes', [17, 21, undefined], totals(17, 21, 0), ['payload_all_bytes']],
    ['none', [17, 21, 900], totals(17, 21, 900), []],
  ])('%s: reads 0 there and says so', (_, given, numbers, columns) => {
    expect(daysOf(payloadTotals.readBodies(bodiesOf(...given), oneDay))).toEqual({
      '2025-11-25': { kind: 'named', numbers, leftOut: columns.map((column) => ({ column, hour: null })) },
    });
  });

  test('all of them: is no reading at all', () => {
    expect(daysOf(payloadTotals.readBodies(bodiesOf(undefined, undefined, undefined), oneDay))).toEqual({});
  });

  test('is in doubt when a part that is there cannot be billed', () => {
    expect(daysOf(payloadTotals.readBodies(bodiesOf(undefined, 21, -900), oneDay))).toEqual({
      '2025-11-25': {
        kind: 'quarantined',
        code: 'invalid_value',
        message: expect.stringMatching(/^payload_all_bytes: value: /) as unknown,
      },
    });
  });
});

test('one body that cannot be placed makes the window unplaceable', () => {
  const [billable, all] = recorded;
  expect(unplaceable(payloadTotals, [billable, all, { type: 'NotFound' }], twoDays)).toMatch(/^counts: /);
});

test('buckets outside the window are counted over all three bodies', () => {
  const window = { start: '2025-11-25T00:00:00.000Z', end: '2025-11-27T23:59:59.999Z' };
  const bodies = [17, 21, 900].map((value) => ({
    ...window,
    counts: [{ date: '2025-11-27T00:00:00.000Z', value }],
  }));
  const reading = payloadTotals.readBodies(bodies, twoDays);
  expect(daysOf(reading)).toEqual({});
  expect(reading.outsideBuckets).toBe(3);
});
