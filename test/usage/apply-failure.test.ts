/** What a read that failed, was quarantined or is not made any more does to a cell. */
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { Cell, CellOutcome } from '../../src/usage/cell.ts';
import { answer, at, closed, failed, PAST, quarantined, refused, row, stored } from '../database/answers.ts';

const NOON_21 = at('2026-11-21T12:00:00.000Z');
const NOON_22 = at('2026-11-22T12:00:00.000Z');
/** What is stored stays, and is not read again. */
const KEPT = { result: 'unchanged', facts: null, problem: null };

describe('a read that failed', () => {
  test.each([
    [failed, 'failed', 'server_error', '2026-11-22T12:00:00.000Z'],
    [refused, 'failed', 'refused', '2026-11-22T14:00:00.000Z'],
    [quarantined, 'quarantined', 'invalid_value', '2026-11-22T14:00:00.000Z'],
  ])('of an empty cell says why and when it is tried again: $code', (outcome, result, reason, next) => {
    expect(apply(null, [], answer(outcome, { sha256: null }))).toMatchObject({
      result,
      facts: null,
      problem: { code: reason },
      cell: {
        standing: 'missing',
        reason,
        isStored: false,
        isReported: false,
        revision: 0,
        verifiedAtMs: null,
        attemptedAtMs: NOON_22,
        attempts: 1,
        nextReadAtMs: at(next),
        sha256: null,
      },
    });
  });

  test.each<[Cell['standing'], Cell['standing']]>([
    ['stored', 'stored'],
    ['final', 'final'],
    ['in_doubt', 'in_doubt'],
    ['accepted', 'accepted'],
    ['unavailable', 'unavailable'],
    ['missing', 'missing'],
  ])('leaves a cell that was %s %s, with its numbers', (before, after) => {
    const { cell, facts } = apply(stored(before), [row(4, 1, 17)], answer(failed));
    expect(facts).toBeNull();
    expect(cell).toMatchObject({
      standing: after,
      isStored: stored(before).isStored,
      revision: stored(before).revision,
      verifiedAtMs: NOON_21,
      attempts: 1,
      sha256: 'b'.repeat(64),
    });
  });

  test.each<[string, Partial<Cell>, string]>([
    ['stored', {}, 'server_error'],
    ['in doubt', { standing: 'in_doubt', reason: 'left_out' }, 'left_out'],
    ['changed by hand', { standing: 'in_doubt', reason: 'changed_by_hand' }, 'changed_by_hand'],
    ['accepted as it stands', { standing: 'accepted', reason: 'waived', nextReadAtMs: NOON_22 }, 'waived'],
  ])('of a cell that is %s keeps its standing, and a reason that matters more', (_, changes, reason) => {
    const before = stored('stored', { message: 'why', ...changes });
    expect(apply(before, [row(4, 1, 17)], answer(failed))).toMatchObject({
      result: 'failed',
      cell: { standing: before.standing, attempts: 1, reason },
      problem: { code: 'server_error' },
    });
  });

  test.each([
    ['server_error', 1, '2026-11-22T12:00:00.000Z'],
    ['timeout', 1, '2026-11-22T12:00:00.000Z'],
    ['unreachable', 1, '2026-11-22T12:00:00.000Z'],
    ['forbidden', 1, '2026-11-22T14:00:00.000Z'],
    ['server_error', 2, '2026-11-22T16:00:00.000Z'],
    ['server_error', 5, '2026-11-23T12:00:00.000Z'],
    ['server_error', 50, '2026-11-23T12:00:00.000Z'],
  ])('by %s for the %d. time in a row is tried again at %s', (code, attempts, next) => {
    const before = stored('missing', { attempts: attempts - 1 });
    const outcome: CellOutcome = { kind: 'failed', code, message: 'it failed' };
    expect(apply(before, [], answer(outcome)).cell).toMatchObject({ attempts, nextReadAtMs: at(next) });
  });

  test('and that is older than another one changes nothing', () => {
    const before = stored('missing', { verifiedAtMs: null, attemptedAtMs: NOON_22, attempts: 1 });
    expect(apply(before, [], answer(failed))).toMatchObject({ result: 'failed', cell: null, facts: null });
  });

  test('leaves a day that waits for its cross-check waiting', () => {
    const before = stored('missing', { reason: 'unconfirmed', message: 'why' });
    expect(apply(before, [], answer(failed)).cell).toMatchObject({
      standing: 'missing',
      reason: 'unconfirmed',
      attempts: 1,
    });
  });

  test.each([
    ['unavailable', { reason: 'org_deleted' }],
    ['accepted', { reason: 'waived' }],
    ['accepted', { reason: 'waived', isStored: true, revision: 1 }],
  ] as const)('of a cell that is %s and not read any more leaves it so: %j', (standing, changes) => {
    expect(apply(stored(standing, changes), [], answer(failed)).cell).toMatchObject({
      ...changes,
      standing,
      nextReadAtMs: null,
    });
  });

  test.each([
    ['a window refused', refused, { standing: 'unavailable', attempts: 0, nextReadAtMs: null }],
    ['a server error', failed, { standing: 'unavailable', attempts: 1, nextReadAtMs: null }],
  ])('past the horizon, %s, leaves an empty cell unavailable', (_, outcome, cell) => {
    expect(apply(null, [], answer(outcome, { age: PAST })).cell).toMatchObject(cell);
  });

  test.each(['server_error', 'left_out', 'unconfirmed'])(
    'past the horizon leaves a cell unavailable that was missing (%s), as nothing asks for it again',
    (reason) => {
      const before = stored('missing', { verifiedAtMs: null, attemptedAtMs: null, reason, message: 'why' });
      expect(apply(before, [], answer(failed, { age: PAST })).cell).toMatchObject({
        standing: 'unavailable',
        nextReadAtMs: null,
      });
    },
  );

  test.each(['stored', 'in_doubt'] as const)('past the horizon leaves a cell that is %s so', (standing) => {
    const before = stored(standing, { nextReadAtMs: NOON_22 });
    expect(apply(before, [row(4, 1, 17)], answer(failed, { age: PAST }))).toEqual({
      ...KEPT,
      cell: stored(standing),
    });
  });
});

describe('a cell that is not read any more', () => {
  test.each<[string, Cell | null, Cell['standing'], string]>([
    ['never read', null, 'unavailable', 'org_deleted'],
    ['missing', stored('missing', { reason: 'server_error' }), 'unavailable', 'org_deleted'],
    ['accepted', stored('accepted', { reason: 'waived' }), 'accepted', 'waived'],
  ])('and was %s is %s from then on', (_, before, ...[standing, reason]) => {
    const open = before && { ...before, attempts: 2, nextReadAtMs: NOON_22 };
    expect(apply(open, [], answer(closed))).toMatchObject({
      result: 'unavailable',
      facts: null,
      cell: { standing, reason, attempts: 0, nextReadAtMs: null },
    });
  });

  test.each(['stored', 'final', 'in_doubt'] as const)('stays as it stands when it is %s', (standing) => {
    const before = stored(standing, { nextReadAtMs: NOON_22 });
    expect(apply(before, [row(4, 1, 17)], answer(closed))).toEqual({ ...KEPT, cell: stored(standing) });
  });

  test('and is not tracked is no matter of anybody', () => {
    const untracked: CellOutcome = { kind: 'closed', code: 'not_tracked', message: 'nobody tracks the day' };
    const before = stored('missing', { reason: 'server_error', nextReadAtMs: NOON_22 });
    expect(apply(null, [], answer(untracked))).toEqual({ ...KEPT, cell: null });
    expect(apply(before, [], answer(untracked))).toEqual({
      ...KEPT,
      cell: { ...before, nextReadAtMs: null },
    });
  });
});
