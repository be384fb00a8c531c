import { expect, test } from 'vitest';
import { localDayAt, notifyInstantOf, parseNotifyTime } from '../../src/settings/notify-time.ts';

test.each(['8:00', '24:00', '08:60', '08:00 Nowhere', '08:00 UTC UTC', '08:00UTC', ''])('%j is not a time', (text) => {
  expect(parseNotifyTime(text)).toBeNull();
});

test.each([
  ['08:00', '2026-11-28', '2026-11-28T08:00Z'],
  ['08:00 Europe/Berlin', '2026-11-28', '2026-11-28T07:00Z'],
  ['08:00 Europe/Berlin', '2026-07-28', '2026-07-28T06:00Z'],
  ['00:30 Pacific/Auckland', '2026-11-28', '2026-11-27T11:30Z'],
  ['23:30 America/Los_Angeles', '2026-11-28', '2026-11-29T07:30Z'],
  // Clocks go forward at 01:00 UTC, and back at 01:00 UTC.
  ['00:30 Europe/Berlin', '2026-03-29', '2026-03-28T23:30Z'],
  ['01:59 Europe/Berlin', '2026-03-29', '2026-03-29T00:59Z'],
  ['02:00 Europe/Berlin', '2026-03-29', '2026-03-29T01:00Z'],
  ['02:30 Europe/Berlin', '2026-03-29', '2026-03-29T01:00Z'],
  ['03:00 Europe/Berlin', '2026-03-29', '2026-03-29T01:00Z'],
  ['08:00 Europe/Berlin', '2026-03-29', '2026-03-29T06:00Z'],
  ['02:30 Europe/Berlin', '2026-10-25', '2026-10-25T00:30Z'],
  ['08:00 Europe/Berlin', '2026-10-25', '2026-10-25T07:00Z'],
  // The day begins at 01:00, half an hour is skipped, and a day does not exist.
  ['00:10 America/Santiago', '2026-09-06', '2026-09-06T04:00Z'],
  ['02:15 Australia/Lord_Howe', '2026-10-04', '2026-10-03T15:30Z'],
  ['08:00 Pacific/Apia', '2011-12-30', '2011-12-30T10:00Z'],
])('the instant of the local time %s on %s is %s', (text, day, instant) => {
  const time = parseNotifyTime(text);
  expect(time === null ? null : notifyInstantOf(day, time)).toBe(Date.parse(instant));
});

test.each([
  ['2026-11-28T22:59Z', '2026-11-28'],
  ['2026-11-28T23:00Z', '2026-11-29'],
])('%s belongs to %s in Berlin', (instant, day) => {
  expect(localDayAt(Date.parse(instant), { timeZone: 'Europe/Berlin' })).toBe(day);
});
