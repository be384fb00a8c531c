import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { StoredCell } from '../../src/usage/cell.ts';
import { answer, at, closed, failed, PAST, quarantined, refused, row, stored } from '../database/answers.ts';

const NOON_21 = at('2026-11-21T12:00:00.000Z');
const NOON_22 = at('2026-11-22T12:00:00.000Z');
/** A held cell keeps its numbers, and is not read again. */
const KEPT = { result: 'unchanged', facts: null, error: null };

describe('a read that failed', () => {
  test.each([
    [failed, 'failed'],
    [quarantined, 'quarantined'],
  ])('of an empty cell says so: $kind', (outcome, state) => {
    expect(apply(null, [], answer(outcome, { sha256: null }))).toMatchObject({
      result: state,
      facts: null,
      cell: {
        state,
        reported: false,
        revision: 0,
        verifiedAtMs: null,
        attemptedAtMs: NOON_22,
        attempts: 1,
        nextReadAtMs: at('2026-11-22T14:00:00.000Z'),
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
    const { cell, facts } = apply(stored(before), [row(4, 1, 17)], answer(failed));
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
    const { cell } = apply(stored('failed', { attempts: 4 }), [], answer(failed));
    expect(cell).toMatchObject({ attempts: 5, nextReadAtMs: at('2026-11-23T12:00:00.000Z') });
  });

  test.each(['changed_by_hand', 'bucket_missing'])('leaves a held number in doubt that was: %s', (code) => {
    const before = stored('loaded', { error: { code, message: 'it is in doubt' } });
    expect(apply(before, [row(4, 1, 17)], answer(failed))).toMatchObject({
      result: 'failed',
      cell: { state: 'loaded', attempts: 1, error: { code, message: 'it is in doubt' } },
      error: { code: 'server_error' },
    });
  });

  test('leaves the reason of a waiver in place', () => {
    const waived = stored('waived', { error: { code: 'waived', message: 'the customer agreed' } });
    const { cell, error } = apply(waived, [], answer(failed));
    expect(cell?.error).toEqual({ code: 'waived', message: 'the customer agreed' });
    expect(error).toEqual({ code: 'server_error', message: 'answered HTTP 500' });
  });

  test.each([
    ['a window refused', refused, { state: 'unavailable', attempts: 0, nextReadAtMs: null }],
    ['a server error', failed, { state: 'unavailable', attempts: 1 }],
  ])('past the horizon, %s, leaves an empty cell unavailable', (_, outcome, cell) => {
    expect(apply(null, [], answer(outcome, { age: PAST })).cell).toMatchObject(cell);
  });

  test.each(['failed', 'quarantined', 'absent'] as const)(
    'past the horizon leaves a %s cell unavailable, as nothing will ask for it again',
    (state) => {
      const before = stored(state, { revision: 0, verifiedAtMs: null, attemptedAtMs: null });
      expect(apply(before, [], answer(failed, { age: PAST })).cell).toMatchObject({
        state: 'unavailable',
        nextReadAtMs: null,
      });
    },
  );

  test('past the horizon leaves a held cell untouched', () => {
    expect(apply(stored('loaded'), [row(4, 1, 17)], answer(failed, { age: PAST }))).toEqual({
      ...KEPT,
      cell: stored('loaded'),
    });
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
    const before = state === null ? null : stored(state, { revision: 0, attempts: 2, nextReadAtMs: NOON_22 });
    expect(apply(before, [], answer(closed))).toMatchObject({
      result: 'unavailable',
      facts: null,
      cell: { state: after, attempts: 0, nextReadAtMs: null },
    });
  });

  test.each(['loaded', 'final'] as const)('stays as it is when it is %s', (state) => {
    const before = stored(state, { nextReadAtMs: NOON_22 });
    expect(apply(before, [row(4, 1, 17)], answer(closed))).toEqual({ ...KEPT, cell: stored(state) });
  });
});
