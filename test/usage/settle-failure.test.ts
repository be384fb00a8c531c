import { describe, expect, test } from 'vitest';
import { type StoredCell, settleCell } from '../../src/usage/settle.ts';
import { answer, at, failed, lost, PAST, quarantined, refused, row, stored } from '../database/answers.ts';

const NOON_21 = at('2026-11-21T12:00:00.000Z');
const NOON_22 = at('2026-11-22T12:00:00.000Z');
const UNTOUCHED = { result: 'unchanged', cell: null, facts: null, error: null };

describe('a read that failed', () => {
  test.each([
    [failed, 'failed'],
    [quarantined, 'quarantined'],
  ])('of an empty cell says so: $kind', (outcome, state) => {
    expect(settleCell(null, [], answer(outcome, { sha256: null }))).toMatchObject({
      result: state,
      facts: null,
      cell: {
        state,
        reported: false,
        revision: 0,
        verifiedAtMs: null,
        attemptedAtMs: NOON_22,
        attempts: 1,
        nextAttemptAtMs: at('2026-11-22T13:00:00.000Z'),
        sha256: null,
      },
    });
  });

  test.each<[StoredCell['state'], StoredCell['state']]>([
    ['loaded', 'loaded'],
    ['final', 'final'],
    ['waived', 'waived'],
    ['unavailable', 'unavailable'],
    ['absent', 'failed'],
    ['quarantined', 'failed'],
    ['failed', 'failed'],
  ])('leaves a cell that was %s %s', (before, after) => {
    const { cell, facts } = settleCell(stored(before), [row(4, 1, 17)], answer(failed));
    expect(facts).toBeNull();
    expect(cell).toMatchObject({
      state: after,
      revision: 1,
      verifiedAtMs: NOON_21,
      attempts: 1,
      sha256: 'b'.repeat(64),
    });
  });

  test('counts on, and waits as long as the count says', () => {
    const { cell } = settleCell(stored('failed', { attempts: 4 }), [], answer(failed));
    expect(cell).toMatchObject({ attempts: 5, nextAttemptAtMs: at('2026-11-22T17:00:00.000Z') });
  });

  test('leaves the reason of a waiver in place', () => {
    const waived = stored('waived', { error: { code: 'waived', message: 'the customer agreed' } });
    const { cell, error } = settleCell(waived, [], answer(failed));
    expect(cell?.error).toEqual({ code: 'waived', message: 'the customer agreed' });
    expect(error).toEqual({ code: 'server_error', message: 'answered HTTP 500' });
  });

  test.each([
    ['a window refused', refused, { state: 'unavailable', attempts: 0, nextAttemptAtMs: null }],
    ['a server error', failed, { state: 'unavailable', attempts: 1 }],
  ])('past the horizon, %s, leaves an empty cell unavailable', (_, outcome, cell) => {
    expect(settleCell(null, [], answer(outcome, { age: PAST })).cell).toMatchObject(cell);
  });

  test('past the horizon leaves a held cell untouched', () => {
    expect(settleCell(stored('loaded'), [row(4, 1, 17)], answer(failed, { age: PAST }))).toEqual(UNTOUCHED);
  });
});

describe('a cell that is no longer available', () => {
  test.each<[StoredCell['state'] | null, StoredCell['state']]>([
    [null, 'unavailable'],
    ['failed', 'unavailable'],
    ['quarantined', 'unavailable'],
    ['absent', 'unavailable'],
    ['waived', 'waived'],
  ])('from %s becomes %s, with no further try', (state, after) => {
    const before =
      state === null ? null : stored(state, { revision: 0, attempts: 2, nextAttemptAtMs: NOON_22 });
    expect(settleCell(before, [], answer(lost))).toMatchObject({
      result: 'unavailable',
      facts: null,
      cell: { state: after, attempts: 0, nextAttemptAtMs: null },
    });
  });

  test.each(['loaded', 'final'] as const)('stays as it is when it is %s', (state) => {
    expect(settleCell(stored(state), [row(4, 1, 17)], answer(lost))).toEqual(UNTOUCHED);
  });
});
