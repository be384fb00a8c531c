/** What becomes of a cell that a person accepts, and which cells a person may accept. */
import { describe, expect, test } from 'vitest';
import { acceptByPerson, isAcceptable } from '../../src/usage/apply.ts';
import type { Cell } from '../../src/usage/cell.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';
import { at, row, stored } from '../database/answers.ts';

const NEXT = at('2026-11-23T00:00:00.000Z');
const asItStands = { message: 'the customer agreed', asZero: false, isEnded: false };

describe('a person may accept', () => {
  test.each<[string, Cell | null, boolean, boolean]>([
    ['a day that was never read', null, true, true],
    ['one that is missing', stored('missing', { nextReadAtMs: NEXT }), true, true],
    ['one that is unavailable', stored('unavailable'), true, true],
    ['one that is in doubt', stored('in_doubt', { nextReadAtMs: NEXT }), true, true],
    ['one that was accepted', stored('accepted', { isStored: true, nextReadAtMs: NEXT }), true, true],
    ['one that is stored and not read again', stored('stored', { nextReadAtMs: null }), true, true],
    [
      'one that is stored, only where its tracking has ended',
      stored('stored', { nextReadAtMs: NEXT }),
      false,
      true,
    ],
    ['none that is final', stored('final'), false, false],
  ])('%s', (_, cell, whileTracked, afterEnd) => {
    expect(isAcceptable(cell, { isEnded: false })).toBe(whileTracked);
    expect(isAcceptable(cell, { isEnded: true })).toBe(afterEnd);
  });
});

describe('a cell that is accepted', () => {
  const trouble = { attempts: 3, nextReadAtMs: NEXT, reason: 'server_error', message: 'answered HTTP 500' };
  const accepted = { standing: 'accepted', attempts: 0, reason: 'waived', message: 'the customer agreed' };

  test.each<[string, Cell | null, Partial<Cell>]>([
    [
      'without a number is not read again',
      stored('missing', trouble),
      { isStored: false, nextReadAtMs: null },
    ],
    ['and was never read is not read', null, { isStored: false, revision: 0, nextReadAtMs: null }],
    [
      'with a number keeps it and goes on being read',
      stored('in_doubt', trouble),
      { isStored: true, isReported: true, revision: 1, nextReadAtMs: NEXT },
    ],
  ])('%s', (_, before, after) => {
    expect(acceptByPerson(before, [], asItStands)).toMatchObject({ ...accepted, ...after });
  });

  test('of a stream whose tracking has ended is asked for no more', () => {
    expect(
      acceptByPerson(stored('stored', trouble), [row(4, 1, 17)], { ...asItStands, isEnded: true }),
    ).toMatchObject({
      ...accepted,
      isStored: true,
      nextReadAtMs: null,
    });
  });

  test.each<[string, Cell | null, Fact[], number]>([
    [
      'a number in doubt has its next revision',
      stored('in_doubt', { ...trouble, revision: 2 }),
      [row(0, 3)],
      3,
    ],
    ['a day without a number has its first', null, [], 1],
    ['a zero stays as it is', stored('in_doubt', { ...trouble, revision: 2 }), [row(0, 0)], 2],
  ])('as zero, which Losant has not named: %s', (_, before, numbers, revision) => {
    expect(acceptByPerson(before, numbers, { ...asItStands, asZero: true })).toMatchObject({
      ...accepted,
      isStored: true,
      isReported: false,
      revision,
    });
  });
});
