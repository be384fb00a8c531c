/** Every query of every dashboard, on known numbers, in sessions of three time zones. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHOSEN, LOOKED_AT } from './chosen.ts';
import { type Chosen, dashboards, fillIn, type Override, questions, sqlQueries } from './dashboards.ts';
import { CLOSED, CONTRADICTED, LATER } from './seed.ts';
import { openSeeded, type Seeded, ZONES } from './seeded.ts';

let seeded: Seeded;

beforeAll(async () => {
  seeded = await openSeeded(CLOSED + CONTRADICTED);
});

afterAll(() => seeded.close());

const NUMBERS = new Set([20, 21, 23, 700, 701, 1700]);
const UNITS: readonly (readonly [RegExp, string])[] = [
  [/bytes/i, 'decbytes'],
  [/minutes/i, 'm'],
  [/share$/i, 'percentunit'],
  [/^duration$/i, 's'],
];
const COUNTS = ['short', 'locale'];

function unitOf(column: string, overrides: readonly Override[]): unknown {
  const own = overrides
    .filter(({ matcher }) => matcher.options === column)
    .flatMap(({ properties }) => properties);
  return own.find(({ id }) => id === 'unit')?.value;
}

/** Within the days that are held, so that a day too many shows: 1 October in Los Angeles, 2 November in Kiritimati. */
const WITHIN = { ...CHOSEN, from: '2026-10-02T06:30:00Z', to: '2026-11-01T18:00:00Z' };

/** The period to date is that of yesterday by the database's clock, of which another organization has numbers. */
function chosenFor(sql: string): Chosen {
  // October was closed in November.
  if (sql.includes('closed_at between')) return { ...WITHIN, to: '2026-11-05T00:00:00Z' };
  if (!sql.includes('usage_vs_limits')) return WITHIN;
  return { ...WITHIN, variables: { ...WITHIN.variables, org: [LATER] } };
}

describe.each(dashboards.flatMap(sqlQueries))('$name', ({ sql, panel: shown, target }) => {
  test('answers the same in every time zone, in order, each column in its unit', async () => {
    const [utc, ...others] = await seeded.ask(fillIn(sql, chosenFor(sql)), {
      zones: ZONES,
      moment: LOOKED_AT,
    });
    expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
    if (target?.format === 'time_series') {
      const times = (utc?.rows ?? []).map(({ time }) => String(time));
      expect(times).toEqual(times.toSorted());
      const isHourly = sql.includes('hourly_usage');
      const last = isHourly ? '2026-11-01T23:00:00.000Z' : '2026-11-01T00:00:00.000Z';
      expect([times[0], times.at(-1)]).toEqual(['2026-10-02T00:00:00.000Z', last]);
      expect(new Set(times).size).toBe(isHourly ? 31 * 24 : 31);
    }
    if (shown?.fieldConfig === undefined) return;
    const { defaults, overrides } = shown.fieldConfig;
    // Series by name are columns of the chart; their names are not known here.
    const columns = (utc?.columns ?? []).filter(({ name }) => name !== 'value');
    const names = columns.map(({ name }) => name);
    const named = overrides.flatMap(({ matcher }) => (matcher.id === 'byName' ? matcher.options : []));
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
    for (const { name } of columns.filter(({ oid }) => NUMBERS.has(oid))) {
      const unit = unitOf(name, overrides) ?? defaults.unit;
      const expected = UNITS.find(([pattern]) => pattern.test(name))?.[1];
      expect({ name, unit }).toEqual({ name, unit: expected ?? (expect.toBeOneOf(COUNTS) as unknown) });
    }
  });
});

test('no query makes a 0 of a number that is not stored', () => {
  const all = [...dashboards.flatMap(sqlQueries), ...questions].map(({ sql }) => sql).join('\n');
  const zeros = all.match(/coalesce\((?:[^()]|\([^()]*\))*, 0\)/g) ?? [];
  // Payloads of a source that has no row on a day that is stored.
  expect(zeros).toEqual(['coalesce(s.count, 0)']);
});
