/** How a run counts what became of its cells. */
import { expect, test } from 'vitest';
import { Tally } from '../../src/export/report.ts';
import type { LoadResult } from '../../src/ledger/load.ts';
import { answer, at, missing } from '../database/answers.ts';

const INSTANCE = '5c0000000000000000000001';
const leftOut = answer(missing, { stream: 'payload_totals' });
const waiting: LoadResult = {
  cells: [
    {
      answer: leftOut,
      result: 'left_out',
      problem: { code: 'unconfirmed', message: 'its payload_sources are not stored yet' },
      isRestated: false,
      wasFinal: false,
    },
  ],
  crossChecked: [],
  rows: {},
};
const zeros = { day: leftOut.day, verifiedAtMs: leftOut.sentAtMs, isRestated: false, wasFinal: false };

test('a cell that was left out and got its zeros in the same run is loaded, and nothing is missing', () => {
  const tally = new Tally(INSTANCE);
  tally.addLoad(waiting);
  expect(tally.lateOmissions).toBe(1);
  tally.addLoad({ cells: [], crossChecked: [{ ...zeros, countedAs: 'left_out' }], rows: {} });
  expect(tally.cells).toMatchObject({ left_out: 0, loaded: 1 });
  expect(tally.planned).toBe(1);
  expect(tally.lateOmissions).toBe(0);
});

test('a cell of an earlier run that got its zeros is none of this run', () => {
  const tally = new Tally(INSTANCE);
  tally.addLoad({ cells: [], crossChecked: [{ ...zeros, countedAs: null }], rows: {} });
  expect(tally.planned).toBe(0);
});

test('zeros that were taken back from a final cell are restated', () => {
  const tally = new Tally(INSTANCE);
  const taken = { ...zeros, verifiedAtMs: at('2026-11-25T00:00:00.000Z'), countedAs: null };
  tally.addLoad({ cells: [], crossChecked: [{ ...taken, isRestated: true, wasFinal: true }], rows: {} });
  expect(tally.toCounts()).toMatchObject({ cells_restated: 1, cells_restated_final: 1 });
});
