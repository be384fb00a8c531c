/** Zeros that nobody named, beside what counts the same payloads elsewhere. */
import { describe, expect, test } from 'vitest';
import {
  age,
  applyTo,
  cell,
  counterpart,
  HOUR_MS,
  NUMBERS,
  named,
  show,
  silence,
  sources,
  totals,
  unread,
} from './cells.ts';

const zeroOf = (stream: string) => NUMBERS[stream]?.zero ?? {};
const someOf = (stream: string) => NUMBERS[stream]?.some ?? {};
const SILENT = { isReported: false, silences: 1 };

/** A stream, and another one that counts its payloads. */
const PAIRS = [
  ['payload_sources', 'payload_totals'],
  ['payload_sources', 'payload_hours'],
  ['payload_totals', 'payload_sources'],
  ['payload_totals', 'payload_hours'],
  ['payload_hours', 'payload_sources'],
  ['payload_hours', 'payload_totals'],
] as const;

describe.each(PAIRS)('%s left out beside %s', (stream, other) => {
  const given = { stream, verdict: silence, hours: 100 };

  // Promise (Numbers): Zeros that Losant did not name do not stand against another stream that counts payloads on the
  // same day.
  test('above zero are contradicted: not stored, or in doubt', () => {
    const counterparts = [counterpart(other, someOf(other))];
    const first = applyTo({ ...given, before: unread, numbers: null, counterparts });
    expect(show(first)).toBe('left_out: waiting contradicted, r0, 168 h');
    const message = `Losant left out numbers of the day, but its ${other} are not zero`;
    expect(first.problem).toEqual({ code: 'contradicted', message });
    for (const before of [cell('stored', SILENT), cell('final', SILENT)]) {
      const later = applyTo({ ...given, before, numbers: zeroOf(stream), counterparts });
      expect(show(later)).toBe('failed: in_doubt contradicted, r1, s1, a1, 102 h');
    }
  });

  test('named zero are confirmed at once', () => {
    const counterparts = [counterpart(other, zeroOf(other))];
    const applied = applyTo({ ...given, before: unread, numbers: null, counterparts });
    expect(show(applied)).toBe('loaded: final, r1, s3, 168 h, zeros');
  });

  test('accepted by a person stay as they are', () => {
    const counterparts = [counterpart(other, someOf(other))];
    const before = cell('accepted', { isStored: false });
    expect(applyTo({ ...given, before, numbers: null, counterparts }).cell.standing).toBe('accepted');
  });
});

test.each([
  // Two endpoints agree.
  ['payload_totals', 'payload_sources', 'final', 3],
  ['payload_hours', 'payload_sources', 'final', 3],
  ['payload_sources', 'payload_totals', 'final', 3],
  ['payload_sources', 'payload_hours', 'final', 3],
  // The same endpoint twice is one witness.
  ['payload_totals', 'payload_hours', 'stored', 1],
  ['payload_hours', 'payload_totals', 'stored', 1],
])('%s left out beside %s left out are %s', (stream, other, standing, silences) => {
  const counterparts = [counterpart(other, zeroOf(other), SILENT)];
  const applied = applyTo({
    stream,
    verdict: silence,
    hours: 100,
    before: unread,
    numbers: null,
    counterparts,
  });
  expect(applied.cell).toMatchObject({ standing, silences, isReported: false });
});

describe('totals and hours wait for sources', () => {
  const given = { verdict: silence, before: unread, numbers: null };

  test.each([
    ['payload_totals', 0, 1],
    ['payload_totals', 0.1, 1],
    ['payload_totals', 23.5, 24],
    ['payload_totals', 24, 48],
    ['payload_hours', 30, 48],
    ['payload_hours', 73, 97],
    ['payload_hours', 1_000, 1_024],
  ])('%s, read at %d hours, are not stored and asked for again at about %d', (stream, at, next) => {
    const awaited = counterpart('payload_sources', null, { reason: 'never_read' });
    const applied = applyTo({ ...given, stream, hours: at, counterparts: [awaited] });
    expect(applied).toMatchObject({ result: 'left_out', numbers: null });
    expect(applied.cell).toMatchObject({ standing: 'waiting', reason: 'unconfirmed', attempts: 0 });
    expect(Math.abs((applied.cell.nextReadAtMs ?? 0) - age(next))).toBeLessThan(HOUR_MS / 4);
  });

  test.each([
    ['never_read', ''],
    ['server_error', ' (server_error)'],
    ['invalid_value', ' (invalid_value)'],
  ])('and say why those fail: %s', (reason, why) => {
    const awaited = counterpart('payload_sources', null, { reason });
    const applied = applyTo({ ...given, stream: 'payload_totals', hours: 24, counterparts: [awaited] });
    expect(applied.problem?.message).toBe(
      `Losant left out numbers, and the payload_sources of the day are not stored yet${why}`,
    );
  });

  test.each<[string, ReturnType<typeof counterpart>[]]>([
    ['are not wanted', []],
    ['are not read any more', [counterpart('payload_sources', null, { nextReadAtMs: null })]],
  ])('only while they are still to be read: zeros are stored where sources %s', (_, counterparts) => {
    const applied = applyTo({ ...given, stream: 'payload_totals', hours: 24, counterparts });
    expect(show(applied)).toBe('loaded: stored, r1, s1, 48 h, zeros');
  });

  test('where all columns that count are left out beside named zeros', () => {
    const verdict = named(totals(0, 0, 0), 'payload_all_count', 'payload_all_bytes');
    const awaited = counterpart('payload_sources', null, { reason: 'never_read' });
    const applied = applyTo({
      ...given,
      verdict,
      stream: 'payload_totals',
      hours: 24,
      counterparts: [awaited],
    });
    expect(applied.cell).toMatchObject({ standing: 'waiting', reason: 'unconfirmed' });
  });

  test('and not where only billable ones are left out, or where zeros are stored already', () => {
    const counterparts = [counterpart('payload_sources', null, { reason: 'never_read' })];
    const verdict = named(totals(0, 21, 900), 'payload_billable_count');
    const stream = 'payload_totals';
    expect(applyTo({ ...given, verdict, stream, hours: 24, counterparts }).result).toBe('loaded');
    const before = cell('stored', SILENT);
    const again = applyTo({
      verdict: silence,
      before,
      numbers: zeroOf(stream),
      stream,
      hours: 24,
      counterparts,
    });
    expect(again.cell).toMatchObject({ standing: 'stored', silences: 2 });
  });
});

test('sources wait for nobody', () => {
  const counterparts = [counterpart('payload_totals', null), counterpart('payload_hours', null)];
  const given = { stream: 'payload_sources', verdict: silence, before: unread, numbers: null, hours: 24 };
  expect(show(applyTo({ ...given, counterparts }))).toBe('loaded: stored, r1, s1, 48 h, zeros');
});

test('sources that are left out over a number are left out, whatever the others say', () => {
  const counterparts = [counterpart('payload_totals', totals(0, 0, 0))];
  const given = { stream: 'payload_sources', verdict: silence, before: cell('stored'), numbers: sources(21) };
  expect(show(applyTo({ ...given, hours: 24, counterparts }))).toBe(
    'failed: in_doubt left_out, r1, a1, 26 h',
  );
});

test('one counterpart above zero outweighs another one of zero', () => {
  const counterparts = [
    counterpart('payload_sources', zeroOf('payload_sources')),
    counterpart('payload_hours', someOf('payload_hours')),
  ];
  const given = { stream: 'payload_totals', verdict: silence, before: unread, numbers: null, hours: 100 };
  expect(applyTo({ ...given, counterparts }).cell.reason).toBe('contradicted');
});

test('numbers that were named are taken, whatever a counterpart has', () => {
  const counterparts = [counterpart('payload_sources', sources(21))];
  const given = { stream: 'payload_totals', before: unread, numbers: null, hours: 100 };
  const applied = applyTo({ ...given, verdict: named(totals(0, 0, 0)), counterparts });
  expect(show(applied)).toBe('loaded: final, r1, 168 h, zeros');
});
