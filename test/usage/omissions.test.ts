/** The decision table, continued: when an omission replaces a stored number. */
import { describe, expect, test } from 'vitest';
import { applyTo, formatUpdate, parseLine, report, testTable } from './cells.ts';

describe('the third omission of a stored number is zero next to a counterpart that has reported zero since', () => {
  const table = (other: string) => `
    in_doubt omitted some d2 f2 | omitted with ${other} stored zero         | 24 h  | loaded: stored, r2, o3, 48 h, zeros
    in_doubt omitted some d2    | omitted with ${other} final zero          | 100 h | loaded: final, r2, o3, 168 h, zeros
    in_doubt omitted some d2    | omitted with ${other} in_doubt zero       | 100 h | loaded: final, r2, o3, 168 h, zeros
    in_doubt omitted some d3    | omitted with ${other} stored zero         | 100 h | loaded: final, r2, o3, 168 h, zeros
    waived some d2              | omitted with ${other} stored zero         | 100 h | loaded: final, r2, o3, 168 h, zeros
    stored some                 | omitted with ${other} stored zero         | 24 h  | failed: in_doubt omitted, r1, d1, f1, 25 h
    in_doubt omitted some d1    | omitted with ${other} stored zero         | 24 h  | failed: in_doubt omitted, r1, d2, f1, 25 h
    in_doubt omitted some d2 f2 | omitted with ${other} stored zero         | 1.5 h | failed: in_doubt omitted, r1, d2, f3, 2.5 h
    in_doubt omitted some d2    | omitted with ${other} stored zero t0      | 24 h  | failed: in_doubt omitted, r1, d3, f1, 26 h
    in_doubt omitted some d2    | omitted with ${other} stored zero o3      | 24 h  | failed: in_doubt omitted, r1, d3, f1, 26 h
    in_doubt omitted some d2    | omitted with ${other} stored some         | 24 h  | failed: in_doubt omitted, r1, d3, f1, 26 h
    in_doubt omitted some d2    | omitted with ${other} waiting             | 24 h  | failed: in_doubt omitted, r1, d3, f1, 26 h
    waived some d2              | omitted with ${other} stored zero o3      | 24 h  | unchanged: waived waived, r1, d3, 48 h
    in_doubt omitted some d2    | omitted with ${other} stored zero         | 2184 h | unchanged: in_doubt omitted, r1, d2, never`;
  testTable('payload_sources', table('payload_totals'));
  testTable('payload_totals', table('payload_sources'));
  testTable('payload_hours', table('payload_totals'));

  test('reads within the hour neither count nor delay the count', () => {
    const line = 'stored some | omitted with payload_totals stored zero | 24 h';
    const { cell: before, ...omission } = parseLine('payload_sources', line);
    let cell = before;
    const results = [0, 20, 40, 60, 80, 100, 120].map((minute) => {
      cell = applyTo({ ...omission, cell, hours: 24 + minute / 60 }).cell;
      return `${cell.standing} ${cell.omissions}`;
    });
    const [once, twice] = ['in_doubt 1', 'in_doubt 2'];
    expect(results).toEqual([once, once, once, twice, twice, twice, 'stored 3']);
  });

  testTable(
    'payload_sources',
    `
    in_doubt omitted some d2 | omitted with payload_totals stored zero t4 and payload_hours stored some t3 | 24 h | loaded: stored, r2, o3, 48 h, zeros
    in_doubt omitted some d2 | omitted with payload_totals stored zero t3 and payload_hours stored some t4 | 24 h | failed: in_doubt omitted, r1, d3, f1, 26 h`,
  );

  testTable(
    'payload_totals',
    `
    in_doubt omitted some d2 | 0/-/- with payload_sources stored zero    | 24 h | loaded: stored, r2, o3, 48 h, zeros
    in_doubt omitted some d2 | -/21/900 with payload_sources stored zero | 24 h | failed: in_doubt omitted, r1, d3, f1, 26 h
    in_doubt omitted some d2 | -/21/900 with payload_sources stored some | 24 h | failed: in_doubt omitted, r1, d3, f1, 26 h`,
  );

  test('the restatement is on record, and nothing is wrong with the cell after it', () => {
    const line = 'in_doubt omitted some d2 | omitted with payload_totals stored zero | 100 h';
    const update = applyTo(parseLine('payload_sources', line));
    const timer = { 'timer.flow': 21 };
    expect(update.differences).toEqual({
      old: { payload_source_count: 21, payload_sources: { timer } },
      new: { payload_source_count: 0, payload_sources: { timer: { 'timer.flow': null } } },
    });
    expect(update).toMatchObject({ problem: null, cell: { reason: null, detail: null, isReported: false } });
  });

  test('hours that were moved are stored once the totals equal the sum of those that were reported', () => {
    const atSeven = (value: number) => Array.from({ length: 24 }, (_, hour) => (hour === 7 ? value : 0));
    const moved = { hours_billable_count: atSeven(17), hours_all_count: atSeven(21), hours_all_bytes: atSeven(900) };
    const others = [0, 1, 2, 3, 4, 5, 6, 8];
    const parts = Object.keys(moved).flatMap((column) => others.map((hour) => ({ column, hour })));
    const apply = (counterpart: string, verdict = report(moved, ...parts)) => {
      const situation = parseLine('payload_hours', `in_doubt omitted some d2 | omitted with ${counterpart} | 24 h`);
      return formatUpdate(applyTo({ ...situation, verdict }));
    };
    const doubted = 'failed: in_doubt omitted, r1, d3, f1, 26 h';
    expect(apply('payload_totals stored 17/21/900')).toBe('loaded: stored, r2, o3, 48 h, numbers');
    expect(apply('payload_totals stored 17/21/899')).toBe(doubted);
    expect(apply('payload_totals stored 17/21/900 t0')).toBe(doubted);
    expect(apply('payload_sources stored some')).toBe(doubted);
    const notHourly = { ...report(moved, ...parts), doubt: { code: 'not_hourly', detail: 'days' } };
    expect(apply('payload_totals stored 17/21/900', notHourly)).toBe(doubted);
  });
});
