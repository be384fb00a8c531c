/** How a run counts what became of its cells. */
import { expect, test } from 'vitest';
import { Tally } from '../../src/export/report.ts';
import type { LoadResult } from '../../src/ledger/load.ts';
import { payloadTotals } from '../../src/usage/streams/payload-totals.ts';
import { answer, at, missing } from '../database/answers.ts';

const INSTANCE = '5c0000000000000000000001';
const leftOut = answer(missing, { stream: payloadTotals });
const absent: LoadResult = {
  cells: [
    {
      answer: leftOut,
      result: 'absent',
      error: { code: 'unwitnessed', message: 'its payload_sources are not held yet' },
      isRestated: false,
      wasFinal: false,
    },
  ],
  witnessed: [],
  rows: {},
};
const zeros = { day: leftOut.day, verifiedAtMs: leftOut.sentAtMs, isRestated: false, wasFinal: false };

test('a cell that was absent and got its zeros in the same run is loaded, and nothing is missing', () => {
  const tally = new Tally(INSTANCE);
  tally.addLoad(absent);
  expect(tally.absentLate).toBe(1);
  tally.addLoad({ cells: [], witnessed: [{ ...zeros, countedAs: 'absent' }], rows: {} });
  expect(tally.cells).toMatchObject({ absent: 0, loaded: 1 });
  expect(tally.planned).toBe(1);
  expect(tally.absentLate).toBe(0);
});

test('a cell of an earlier run that got its zeros is none of this run', () => {
  const tally = new Tally(INSTANCE);
  tally.addLoad({ cells: [], witnessed: [{ ...zeros, countedAs: null }], rows: {} });
  expect(tally.planned).toBe(0);
});

test('zeros that were taken back from a final cell are restated', () => {
  const tally = new Tally(INSTANCE);
  const taken = { ...zeros, verifiedAtMs: at('2026-11-25T00:00:00.000Z'), countedAs: null };
  tally.addLoad({ cells: [], witnessed: [{ ...taken, isRestated: true, wasFinal: true }], rows: {} });
  expect(tally.toCounts()).toMatchObject({ cells_restated: 1, cells_restated_final: 1 });
});
