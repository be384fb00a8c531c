import { expect, test } from 'vitest';
import { notebookMinutes } from '../../../src/usage/streams/notebook-minutes.ts';
import { daysOf, readFixture } from './bodies.ts';

const twoDays = { from: '2025-11-25', to: '2025-11-26' };

test('the recorded body gives minutes and executions by how they ended, and only of the day it names', () => {
  const reading = notebookMinutes.readBodies([readFixture('notebook-minutes')], twoDays);
  expect(daysOf(reading)).toEqual({
    '2025-11-25': {
      kind: 'named',
      numbers: {
        notebook_minutes: 17,
        notebook_completed: 4,
        notebook_canceled: 0,
        notebook_errored: 1,
        notebook_timeout: 0,
      },
      leftOut: [],
    },
  });
  expect(reading.unknownKeys).toBe(0);
});

test('each of the five numbers is required', () => {
  const bucket = { date: '2025-11-25T00:00:00.000Z', minutes: 17, completed: 4, canceled: 0, errored: 1 };
  expect(daysOf(notebookMinutes.readBodies([{ counts: [bucket] }], twoDays))).toEqual({
    '2025-11-25': {
      kind: 'quarantined',
      code: 'invalid_value',
      message: expect.stringMatching(/^timeout: /) as unknown,
    },
  });
});

test('every bad number of a day is named', () => {
  const bucket = {
    date: '2025-11-25T00:00:00.000Z',
    minutes: 0.5,
    completed: 4,
    canceled: null,
    errored: 1,
    timeout: 0,
  };
  expect(daysOf(notebookMinutes.readBodies([{ counts: [bucket] }], twoDays))).toEqual({
    '2025-11-25': {
      kind: 'quarantined',
      code: 'invalid_value',
      message: expect.stringMatching(/^minutes: .*; canceled: /) as unknown,
    },
  });
});
