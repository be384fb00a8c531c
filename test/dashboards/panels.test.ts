/** What the panels say of known numbers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHOSEN, LOOKED_AT } from './chosen.ts';
import { type Chosen, dashboards, fillIn, sqlQueries } from './dashboards.ts';
import {
  ACME,
  CLOSED,
  CONTRADICTED,
  GLOBEX,
  HOSTILE,
  HOSTILE_KEY,
  HOSTILE_NAME,
  LATER,
  NORTH,
  SOUTH,
} from './seed.ts';
import { openSeeded, type Row, type Seeded } from './seeded.ts';

let seeded: Seeded;

beforeAll(async () => {
  seeded = await openSeeded(CLOSED + CONTRADICTED);
});

afterAll(() => seeded.close());

const queries = dashboards.flatMap(sqlQueries);

async function look(
  name: string,
  variables: Chosen['variables'] = {},
  moment = LOOKED_AT,
): Promise<readonly Row[]> {
  const found = queries.find((each) => each.name === `Losant usage: ${name}`);
  if (!found) throw new Error(`no query ${name}`);
  const chosen = { ...CHOSEN, variables: { ...CHOSEN.variables, ...variables } };
  const [answer] = await seeded.ask(fillIn(found.sql, chosen), { moment });
  return answer?.rows ?? [];
}

async function panel(dashboard: string, title: string, variables?: Chosen['variables']) {
  return await look(`${dashboard} / ${title}`, variables);
}

/** The row of a series at the start of a UTC day. */
function on(day: string, rows: readonly Row[]): Row {
  const { time: _, ...values } = rows.find(({ time }) => time === `${day}T00:00:00.000Z`) ?? {};
  return values;
}

describe('the overview', () => {
  test('sums a day, and counts beside it who is missing; nothing missing is 0', async () => {
    const rows = await panel('overview', 'Billable payloads');
    const day = (sum: number | null, missing: number) => ({
      'Billable payloads': sum,
      'Organizations missing': missing,
    });
    expect(on('2026-10-01', rows)).toEqual(day(10, 0));
    expect(on('2026-10-05', rows)).toEqual(day(0, 0));
    expect(on('2026-10-10', rows)).toEqual(day(null, 1));
    expect(on('2026-10-30', rows)).toEqual(day(110, 0));
    expect(on('2026-10-31', rows)).toEqual(day(10, 1));
    expect(on('2026-11-01', rows)).toEqual(day(100, 0));
    // Globex is tracked, but not for payloads, and so is not missing.
    expect(on('2026-11-02', rows)).toEqual(day(null, 1));
  });

  test('shows one instance where one is chosen', async () => {
    const rows = await panel('overview', 'Devices', { instance: [SOUTH] });
    expect(on('2026-10-20', rows)).toEqual({
      Devices: 9,
      'Organizations missing': 0,
    });
    expect(on('2026-10-21', rows)).toMatchObject({ Devices: 7 });
  });

  test('ranks organizations, one without a number last and never as 0', async () => {
    const rows = await panel('overview', 'Top 25 organizations');
    expect(
      rows.map((row) => [row['org_id'], row['Billable payloads'], row['Bytes'], row['Numbers missing']]),
    ).toEqual([
      // Of 30 October and 1 November; missing: payloads of the 31st, and the four streams of 2 November.
      [ACME, 280, 28_000, 3],
      [HOSTILE, 200, 20_000, 5],
      [GLOBEX, null, null, 0],
    ]);
    expect(rows[1]).toMatchObject({ Organization: HOSTILE_NAME });
  });

  test('counts an organization with a repeated tag once', async () => {
    const rows = await panel('overview', 'By tag $tag');
    expect(rows.map((row) => [row['Value'], row['Organizations'], row['Billable payloads']])).toEqual([
      ['gold', 1, 280],
      ['no such tag', 2, 200],
    ]);
    const hostile = await panel('overview', 'By tag $tag', { tag: [HOSTILE_KEY] });
    expect(hostile.map((row) => row['Value'])).toContain(HOSTILE_NAME);
  });

  test('tells of each month how many can be billed', async () => {
    const rows = await panel('overview', 'By month', { instance: [NORTH] });
    expect(rows).toEqual([
      expect.objectContaining({
        Month: '2026-11',
        Organizations: 1,
        'Billable payloads': 100,
        'Days not stored': 1,
        'Worst standing': 'missing',
      }),
      expect.objectContaining({
        Month: '2026-10',
        Organizations: 2,
        Billable: 0,
        'Not billable': 2,
        'Billable payloads': 380,
        'Notebook minutes': 64,
        'Days not stored': 4,
      }),
    ]);
  });

  test('tells up to which day nothing is missing for anybody, and how much is', async () => {
    expect(await panel('overview', 'How far the numbers reach')).toEqual([
      {
        'Complete up to': '2026-10-09',
        'Newest day read': '2026-11-02',
        Organizations: 3,
        Gaps: 6,
        'Complete share': null,
        'Incomplete lists of organizations': 0,
      },
    ]);
  });
});

describe('one organization', () => {
  test('leaves a hole where a day is not stored or not tracked, and shows a 0 that is one', async () => {
    const rows = await panel('one organization', 'Payloads');
    const day = (billable: number | null, all: number | null) => ({
      'Billable payloads': billable,
      'All payloads': all,
    });
    expect(on('2026-10-04', rows)).toEqual(day(10, 12));
    expect(on('2026-10-05', rows)).toEqual(day(0, 0));
    expect(on('2026-10-10', rows)).toEqual(day(null, null));
    expect(on('2026-11-01', rows)).toEqual(day(null, null));
  });

  test('shades what is not stored, run by run', async () => {
    expect(await look('one organization / annotation Not stored')).toEqual([
      {
        time: '2026-10-10T00:00:00.000Z',
        timeend: '2026-10-11T00:00:00.000Z',
        text: 'payload_totals is not stored',
        tags: 'payload_totals',
      },
      {
        time: '2026-10-12T00:00:00.000Z',
        timeend: '2026-10-12T00:00:00.000Z',
        text: 'notebook_minutes is not stored',
        tags: 'notebook_minutes',
      },
    ]);
  });

  test('stacks payloads by source: 0 on a stored day without any, a hole where the day is not stored', async () => {
    const rows = await panel('one organization', 'Payloads by type and source');
    const of = (day: string) =>
      rows.filter(({ time }) => time === `${day}T00:00:00.000Z`).map(({ metric, value }) => [metric, value]);
    expect(of('2026-10-04')).toEqual([
      ['deviceState · device.mqtt', 10],
      ['timer · timer.flow', 2],
    ]);
    expect(of('2026-10-05')).toEqual([
      ['deviceState · device.mqtt', 0],
      ['timer · timer.flow', 0],
    ]);
    expect(of('2026-11-01')).toEqual([
      ['deviceState · device.mqtt', null],
      ['timer · timer.flow', null],
    ]);
  });

  test('holds the period to date against its limits', async () => {
    const rows = await panel('one organization', 'This period and its limits', { org: [LATER] });
    expect(rows).toEqual([
      expect.objectContaining({
        Limit: 'device',
        Used: 6,
        Allowed: 20,
        Share: 0.3,
        Projected: 6,
        'Days not stored': 0,
      }),
      expect.objectContaining({
        Limit: 'payload',
        Used: 50,
        Allowed: 1000,
        Share: 0.05,
        'Days not stored': 0,
      }),
    ]);
  });

  test('lists what is missing of it with the reason, and what changed', async () => {
    const missing = await panel('one organization', 'Numbers that are not stored, or in doubt');
    expect(missing.map((row) => [row['Day'], row['Stream'], row['Standing'], row['Reason']])).toEqual([
      ['2026-10-12', 'notebook_minutes', 'accepted', 'waived'],
      ['2026-10-11', 'payload_totals', 'unavailable', 'past_horizon'],
      ['2026-10-10', 'payload_totals', 'missing', 'server_error'],
    ]);
    const changed = await panel('one organization', 'Changed numbers');
    expect(changed.map((row) => [row['Changed'], row['Day'], row['Before'], row['After']])).toEqual([
      ['2026-11-10T08:00:00.000Z', '2026-10-03', 7, 10],
      ['2026-10-20T23:30:00.000Z', '2026-10-02', 8, 10],
    ]);
  });

  test('takes no SQL from the address of the page', async () => {
    const variables = { org: [`${ACME}' or 'a' = 'a`] };
    expect(await panel('one organization', 'Months', variables)).toEqual([]);
    expect(await panel('one organization', 'Months', { org: [GLOBEX] })).toHaveLength(2);
  });
});

describe('data quality', () => {
  test('counts numbers by day and standing', async () => {
    const rows = await panel('data quality', 'Numbers that are not stored, or in doubt, by day');
    const none = { Missing: 0, 'In doubt': 0, Unavailable: 0, Waiting: 0, Accepted: 0 };
    expect(on('2026-10-09', rows)).toEqual(none);
    expect(on('2026-10-10', rows)).toEqual({ ...none, Missing: 1 });
    expect(on('2026-10-11', rows)).toEqual({ ...none, Unavailable: 1 });
    expect(on('2026-10-12', rows)).toEqual({ ...none, Accepted: 1 });
    expect(on('2026-11-02', rows)).toEqual({ ...none, Missing: 4 });
  });

  test('shows one stream where one is chosen', async () => {
    const rows = await panel('data quality', 'By reason', { stream: ['payload_totals'] });
    expect(rows.map((row) => [row['Standing'], row['Reason'], row['Numbers'], row['Oldest day']])).toEqual([
      ['missing', 'server_error', 2, '2026-10-10'],
      ['missing', 'never_read', 1, '2026-11-02'],
      ['unavailable', 'past_horizon', 1, '2026-10-11'],
    ]);
  });

  test('counts changes on the UTC day on which they were found', async () => {
    const rows = await panel('data quality', 'Numbers changed');
    expect(on('2026-10-20', rows)).toEqual({
      ...{ 'Final numbers restated': 0, 'Changed by hand': 1, 'Numbers not final yet': 0 },
    });
    expect(on('2026-10-21', rows)).toMatchObject({ 'Changed by hand': 0 });
  });

  test('shows what differs from a closed month, and from a total of Losant', async () => {
    const differing = await panel('data quality', 'Closed months that differ now');
    expect(differing.filter((row) => row['Metric'] === 'notebook_minutes')).toEqual([
      {
        ...{ org_id: GLOBEX, Month: '2026-10', Organization: 'Globex', 'Referral id': null },
        ...{ Metric: 'notebook_minutes', 'In the statement': 90, Now: 93, Difference: 3, Unit: 'minutes' },
        Cause: 'tracking',
      },
    ]);
    const compared = await panel('data quality', "Numbers that Losant's own totals contradict");
    expect(compared.filter((row) => row['Outcome'] === 'differs')).toEqual([
      {
        ...{ org_id: null, Compared: 'instance and day', 'Day or month': '2026-10-20', Instance: SOUTH },
        ...{ Organization: null, Metric: 'devices_total', Stored: 9, "Losant's total": 10, Difference: -1 },
        ...{ Unit: 'devices', Outcome: 'differs' },
      },
    ]);
  });

  test('names what keeps periods from being invoiced, with the days and what to do', async () => {
    const title = 'data quality / What keeps periods from being invoiced';
    const rows = await look(title, { instance: [NORTH] }, '2026-11-03T12:00:00Z');
    const october = rows.filter((row) => row['From'] === '2026-10-01');
    expect(october.map((row) => [row['org_id'], row['Cause'], row['Days'], row['Streams']])).toEqual([
      [HOSTILE, 'missing', 1, 'payload_totals'],
      [ACME, 'missing', 1, expect.stringContaining('payload_totals')],
      [ACME, 'unavailable', 1, expect.stringContaining('payload_totals')],
    ]);
  });

  test('asks about device totals that do not follow, and shows a run with its duration', async () => {
    const [first] = await panel('data quality', 'Device totals that do not follow from the day before', {
      instance: [SOUTH],
    });
    expect(first).toMatchObject({ Day: '2026-10-21', 'Day before': 9, Total: 7, Difference: -2 });
    expect(await panel('data quality', 'Runs')).toEqual([
      expect.objectContaining({ Instance: 'Northern plants', Status: 'partial', Duration: 90, Failed: 2 }),
    ]);
  });
});
