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

describe.each(questions)('docs/sql/$name', ({ name, sql }) => {
  test('says what it answers, in which units and how to filter, and answers the same in every time zone', async () => {
    expect(sql).toMatch(
      /^-- Question: .+\n(?:-- .+\n)*-- Units: .+\n(?:-- .+\n)*-- Filter: .+\n(?:-- .+\n)*select /,
    );
    const [utc, ...others] = await seeded.ask(sql, { zones: ZONES, moment: ASKED_AT });
    // Nobody is silent among the known numbers, and nobody has both months; a test below has one that is and does.
    const isRare = ['silent-organizations.sql', 'largest-changes.sql'].includes(name);
    if (!isRare) expect(utc?.rows.length).toBeGreaterThan(0);
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
    standing: 'final',
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
  const blockers = await ask('not-ready-to-bill.sql');
  expect(blockers.map((row) => [row['org_id'], row['cause'], row['days'], row['first_day']])).toEqual([
    [HOSTILE, 'missing', 1, '2026-10-31'],
    [ACME, 'missing', 1, '2026-10-10'],
    [ACME, 'unavailable', 1, '2026-10-11'],
  ]);
  expect(blockers[1]?.['what_to_do']).toMatch(
    /^losant-usage backfill --org 5d0000000000000000000001 --from 2026-10-10/,
  );
});

test('missing numbers by reason', async () => {
  const rows = await ask('missing-days-by-reason.sql');
  expect(
    rows.map((row) => [row['stream'], row['standing'], row['reason'], row['numbers'], row['oldest_day']]),
  ).toContainEqual(['payload_totals', 'missing', 'server_error', 2, '2026-10-10']);
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

test('what changed since the invoice is null, and not 0, where no number was stored then', async () => {
  const own = await openSeeded(`${CLOSED}
    set losant_usage.program = 'seed';
    update losant_usage.coverage set first_loaded_at = '2026-11-20 08:00Z'
    where org_id = '${HOSTILE}' and stream = 'notebook_minutes' and usage_date < '2026-11-01';`);
  try {
    const sql = questions.find(({ name }) => name === 'changed-since-invoice.sql')?.sql ?? '';
    const [answer] = await own.ask(sql, { moment: '2026-11-01T05:00:00Z' });
    expect(
      answer?.rows.filter(({ org_id, metric }) => org_id === HOSTILE && metric === 'notebook_minutes'),
    ).toEqual([expect.objectContaining({ quantity_then: null, quantity_now: 4 })]);
  } finally {
    await own.close();
  }
});

test('who fell silent, and whose payloads changed most', async () => {
  const silent = '5d0000000000000000000009';
  const day = (date: string, payloads: number) =>
    `('${date}', '${silent}', ${payloads}, ${payloads}, ${payloads})`;
  const own = await openSeeded(`
    insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
      values ('${silent}', '5c0000000000000000000001', 'Quiet', now(), now());
    set losant_usage.program = 'seed';
    insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes)
      values ${day('2026-10-20', 40)}, ${day('2026-11-20', 7)}, ${day('2026-11-23', 0)}, ${day('2026-11-24', 0)}, ${day('2026-11-25', 0)};`);
  const askOwn = async (file: string) => {
    const sql = questions.find(({ name }) => name === file)?.sql ?? '';
    return (await own.ask(sql, { moment: ASKED_AT }))[0]?.rows ?? [];
  };
  try {
    expect(await askOwn('silent-organizations.sql')).toEqual([
      {
        ...{ org_name: 'Quiet', referral_id: null, last_day_with_payloads: '2026-11-20' },
        ...{ payloads_before: 7, silent_days: 3, org_id: silent },
      },
    ]);
    const changes = await askOwn('largest-changes.sql');
    expect(changes.find(({ org_id }) => org_id === silent)).toMatchObject({
      ...{ before_payloads: 40, now_payloads: 7, change: -33, share: -0.825 },
    });
  } finally {
    await own.close();
  }
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
    streams_stored: 3,
    standing: 'unavailable',
  });
});
