/** Every question of docs/sql, on known numbers, in sessions of three time zones. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { questions } from './dashboards.ts';
import { ACME, CLOSED, HOSTILE, LATER } from './seed.ts';
import { openSeeded, type Row, type Seeded, ZONES } from './seeded.ts';

/** 31 October in Los Angeles. */
const ASKED_AT = '2026-11-01T05:00:00Z';

let seeded: Seeded;

beforeAll(async () => {
  seeded = await openSeeded(CLOSED);
});

afterAll(() => seeded.close());

async function ask(name: string, moment = ASKED_AT): Promise<readonly Row[]> {
  const sql = questions.find((question) => question.name === name)?.sql ?? '';
  const [answer] = await seeded.ask(sql, { moment });
  return answer?.rows ?? [];
}

describe.each(questions)('docs/sql/$name', ({ sql }) => {
  test('says what it answers, in which units and how to filter, and answers the same in every time zone', async () => {
    expect(sql).toMatch(
      /^-- Question: .+\n(?:-- .+\n)*-- Units: .+\n(?:-- .+\n)*-- Filter: .+\n(?:-- .+\n)*select /,
    );
    const [utc, ...others] = await seeded.ask(sql, { zones: ZONES, moment: ASKED_AT });
    expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
  });
});

test('docs/sql/README.md lists every file with its question', () => {
  const rows = readFileSync('docs/sql/README.md', 'utf8').matchAll(
    /^\| \[(?<name>[^\]]+)\]\(\S+\) +\| (?<question>.+?) +\|$/gm,
  );
  expect([...rows].map(({ groups }) => [groups?.['name'], groups?.['question']])).toEqual(
    questions.map(({ name, sql }) => [
      name,
      /^-- Question: (?<question>.+)$/m.exec(sql)?.groups?.['question'],
    ]),
  );
});

test('months of UTC are ranked and compared, and none that is missing is 0', async () => {
  const top = await ask('top-organizations.sql');
  expect(top.map((row) => [row['org_name'], row['payload_billable_count'], row['days_missing']])).toEqual([
    ['Acme', 280, 3],
    [expect.stringContaining('<script>'), 100, 1],
    ['Globex', null, 0],
  ]);
  const compared = await ask('month-over-month.sql', '2026-12-01T05:00:00Z');
  const [globex, ...others] = compared.filter(({ org_id }) => org_id !== LATER).toReversed();
  expect(globex).toMatchObject({
    org_name: 'Globex',
    payloads: null,
    payloads_change: null,
    days_missing: 0,
  });
  expect(others).toEqual([
    expect.objectContaining({
      org_id: HOSTILE,
      payloads_before: 100,
      payloads: 100,
      payloads_share_by_day: null,
    }),
  ]);
});

test('sums by plan and by the first tag of a key add up to the same whole', async () => {
  const figures = (rows: readonly Row[], by: string) =>
    rows.map((row) => [
      row[by],
      row['organizations'],
      row['payload_billable_count'],
      row['notebook_minutes'],
    ]);
  expect(figures(await ask('usage-by-plan.sql'), 'plan')).toEqual([
    ['gold', 2, 280, 153],
    ['no plan', 1, 100, 4],
  ]);
  expect(figures(await ask('usage-by-tag.sql'), 'tier')).toEqual([
    ['gold', 1, 280, 60],
    ['no such tag', 2, 100, 97],
  ]);
});

test('an organization that sent nothing is active no week; one of which a number is missing may have been', async () => {
  const weeks = await ask('weekly-active-organizations.sql', '2026-11-03T05:00:00Z');
  expect(weeks.map(({ week, ...counts }) => [week, Object.values(counts)])).toEqual([
    // Active, inactive, not known, tracked.
    ['2026-09-28', [1, 1, 0, 2]],
    ['2026-10-05', [1, 1, 0, 2]],
    ['2026-10-12', [1, 1, 0, 2]],
    ['2026-10-19', [1, 1, 0, 2]],
    ['2026-10-26', [2, 1, 0, 3]],
  ]);
});

test('what can be billed, and why the rest cannot', async () => {
  expect((await ask('ready-to-bill.sql')).map((row) => [row['org_name'], row['devices_total']])).toEqual([
    ['Globex', 7],
  ]);
  expect((await ask('not-ready-to-bill.sql')).map((row) => [row['org_id'], row['why']])).toEqual([
    [ACME, 'days missing: 3, days unavailable: 1'],
    [HOSTILE, 'days missing: 1'],
  ]);
});

test('missing numbers by reason', async () => {
  const rows = await ask('missing-days-by-reason.sql');
  expect(rows.map((row) => [row['stream'], row['state'], row['numbers'], row['oldest_day']])).toContainEqual([
    'payload_totals',
    'failed',
    2,
    '2026-10-10',
  ]);
  expect(rows.reduce((sum, { numbers }) => sum + Number(numbers), 0)).toBe(8);
});

test('what changed since the invoice, and not what changed before it', async () => {
  expect(await ask('changed-since-invoice.sql')).toEqual([
    expect.objectContaining({
      org_name: 'Acme',
      metric: 'payload_billable_count',
      quantity_then: 277,
      quantity_now: 280,
      was_final: true,
    }),
  ]);
  const restated = await ask('restated-final-numbers.sql');
  expect(restated.map((row) => [row['usage_date'], row['difference']])).toEqual([
    ['2026-10-03', 3],
    ['2026-10-02', 2],
  ]);
});

test('what differs from a closed period', async () => {
  expect(await ask('changed-since-closing.sql')).toContainEqual(
    expect.objectContaining({
      org_name: 'Globex',
      metric: 'notebook_minutes',
      then_quantity: 90,
      now_quantity: 93,
      difference: 3,
    }),
  );
});

test('the period to date, beside its limits', async () => {
  const rows = await ask('period-to-date.sql', '2026-11-01T05:00:00Z');
  expect(rows.map((row) => [row['org_name'], row['payload_billable_count'], row['days_missing']])).toEqual([
    ['Acme', 280, 3],
    [expect.stringContaining('<script>'), 100, 1],
    ['Globex', null, 0],
  ]);
  expect(
    (await ask('usage-against-limits.sql')).map((row) => [row['limit_name'], row['quantity'], row['share']]),
  ).toEqual([
    ['device', 6, 0.3],
    ['payload', 50, 0.05],
  ]);
});

test('days, months and sources of all organizations', async () => {
  const days = await ask('daily-totals.sql');
  expect(days.map(({ usage_date }) => usage_date)).toEqual(
    expect.arrayContaining(['2026-10-02', '2026-11-02']),
  );
  const day = (date: string) => days.find(({ usage_date }) => usage_date === date);
  expect(day('2026-10-05')).toMatchObject({
    payload_billable_count: 0,
    organizations_incomplete: 0,
    devices_total: 12,
  });
  expect(day('2026-10-10')).toMatchObject({ payload_billable_count: null, organizations_incomplete: 1 });
  expect(await ask('year-by-month.sql')).toEqual([
    expect.objectContaining({
      month: '2026-10-01',
      organizations: 3,
      payload_billable_count: 380,
      days_incomplete: 4,
    }),
  ]);
  expect(
    (await ask('payloads-by-source.sql')).map((row) => [row['source'], row['payloads'], row['share']]),
  ).toEqual([
    ['device.mqtt', 500, 0.8865],
    ['timer.flow', 64, 0.1135],
  ]);
  const acme = await ask('one-organization.sql');
  expect(acme.find(({ usage_date }) => usage_date === '2026-10-11')).toMatchObject({
    payload_billable_count: null,
    streams_held: 3,
  });
});
