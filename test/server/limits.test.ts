import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { renderLimits } from '../../src/console/organization.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { type LimitUse, readLimits } from '../../src/queries/organization.ts';
import { readFigures } from '../../src/queries/organizations.ts';
import { addTracking, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell, addCells } from '../support/cells.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';

const USE: LimitUse = {
  ...{ limitName: 'payload', from: '2026-11-01', to: '2026-11-30', source: 'calendar' },
  ...{ daysExpected: 24, daysStored: 23, metric: 'payload_billable_count', unit: 'payloads' },
  ...{
    limit: 9_000,
    quantity: 4_000,
    share: 0.4444,
    projected: 5_217,
    projectedShare: 0.5797,
    crossesOn: null,
  },
};

/** The cells of the table without their markup, and what stands above it. */
async function shown(uses: readonly LimitUse[]): Promise<string> {
  const text = (await renderLimits(uses)).toString();
  return text.replaceAll(/<[^>]*>/g, '|').replaceAll(/[|\s]*\|[|\s]*/g, '|');
}

describe('the running period against its limits', () => {
  test('is told with its days, its share and its projection', async () => {
    expect(await shown([USE])).toContain(
      'November 2026 to date,|2026-11-01|to|2026-11-30|, 24 days of it tracked so far.',
    );
    expect(await shown([USE])).toContain(
      '|payload|payload_billable_count|4,000 payloads|9,000|44 %|5,217 (57 %)|–|23 of 24|',
    );
    expect(await shown([{ ...USE, source: 'losant', daysStored: 24 }])).toContain(
      'The billing period to date,|2026-11-01|to|2026-11-30|, 24 days of it tracked so far.',
    );
  });

  test('is over only above the limit, and 100 % only at it', async () => {
    expect(await shown([{ ...USE, share: 0.9999 }])).toContain('|99 %|');
    expect(await shown([{ ...USE, share: 1 }])).toContain('|100 %|');
    expect(await shown([{ ...USE, share: 1.2 }])).toContain('|120 %|');
  });

  test('says what is not known instead of a number', async () => {
    const none = { quantity: null, share: null, projected: null, projectedShare: null, daysStored: null };
    expect(await shown([{ ...USE, ...none }])).toContain(
      '|payload|payload_billable_count|–|9,000|–|–|–|–|–|',
    );
    const other = { ...USE, ...none, limitName: '<b>', metric: null, unit: null };
    expect(await shown([other])).toContain('|&lt;b&gt;|not counted here|9,000|–|–|–|–|–|');
    expect(await shown([])).toContain('No limits of it are known for a period that is running.');
  });
});

describe('what is read', () => {
  const ledger = useLedger();
  let orgId = '';

  beforeAll(async () => {
    orgId = await ledger.newOrg();
    await ledger.newOrg();
    await ledger.ask(
      sql`update losant_usage.organizations set limits = '{"payload": 1000, "zebra": 5}' where org_id = ${orgId}`,
    );
    await addTracking(ledger.db, orgId, { streams: ['payload_totals'], days: `{[${daysAgo(1)},)}` });
    await queryOnce(
      ledger.url,
      asProgram(`
        insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes)
          values ('${daysAgo(1)}', '${orgId}', 250, 300, 9000);
        ${addCell({ day: daysAgo(1), stream: 'payload_totals', orgId }, 'stored')}`),
    );
  });
  test('is the period that holds yesterday, limits that bound nothing here last', async () => {
    const uses = await readLimits(ledger.db, orgId);
    expect(uses.map(({ limitName, metric }) => [limitName, metric])).toEqual([
      ['payload', 'payload_billable_count'],
      ['zebra', null],
    ]);
    expect(uses[0]).toMatchObject({
      from: `${daysAgo(1).slice(0, 7)}-01`,
      ...{ source: 'calendar', daysExpected: 1, daysStored: 1, limit: 1_000, quantity: 250, share: 0.25 },
    });
  });

  test('is for lists the limit that is nearest, of each organization that has one', async () => {
    const figures = await readFigures(ledger.db, daysAgo(1));
    expect(figures.find((each) => each.orgId === orgId)?.limit).toMatchObject({
      name: 'payload',
      share: 0.25,
    });
    expect(figures.filter(({ limit }) => limit !== null)).toHaveLength(1);
  });
});

describe('a projection', () => {
  const NOW = Date.parse('2026-11-11T12:00:00.000Z');
  let clock: ClockDatabase;
  let handle: DatabaseHandle;
  const [LATE, DEAD, NEAR] = ['1', '2', '3'].map((nth) => `5d${nth.padStart(22, '0')}`) as [
    string,
    string,
    string,
  ];

  beforeAll(async () => {
    clock = await createClockDatabase();
    handle = await createDatabase({ url: clock.url, applicationName: 'limits test', poolSize: 2 });
    await clock.stopClock(NOW);
    const rows = (stream: string, orgId: string, from: string, to: string) =>
      `select day, '${stream}', '${orgId}' from losant_usage.days_between('${from}', '${to}') as day`;
    const payloads = (orgId: string, from: string, to: string) => `
      insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes)
        select day, '${orgId}', 100, 100, 100 from losant_usage.days_between('${from}', '${to}') as day;
      ${addCells(rows('payload_totals', orgId, from, to), 'stored')}`;
    await queryOnce(
      clock.url,
      asProgram(`
        insert into losant_usage.instances (instance_id, api_url, tracked_from)
          values ('5c0000000000000000000001', 'https://api.example.com', '2026-11-01');
        insert into losant_usage.organizations (org_id, instance_id, name, limits, created_at, created_on, first_seen_at, last_seen_at)
          select org_id, '5c0000000000000000000001', 'Acme', '{"payload": 2500}', created, created, now(), now()
          from (values ('${LATE}', date '2026-11-06'), ('${DEAD}', '2026-01-01'), ('${NEAR}', '2026-01-01')) as o (org_id, created);
        insert into losant_usage.tracking (org_id, stream, tracked_days)
          select org_id, stream, '{[2026-11-01,)}' from losant_usage.organizations, losant_usage.streams;
        ${payloads(LATE, '2026-11-06', '2026-11-10')}
        ${payloads(DEAD, '2026-11-01', '2026-11-05')}
        ${payloads(NEAR, '2026-11-01', '2026-11-10')}`),
    );
  });
  afterAll(async () => {
    await handle.close();
    await clock.drop();
  });

  const payloadsOf = async (orgId: string) =>
    (await readLimits(handle.db, orgId)).find(({ metric }) => metric === 'payload_billable_count');

  test('of an organization created in the middle of the period counts the days it can have', async () => {
    // 5 days of 100; it has 25 days of November.
    expect(await payloadsOf(LATE)).toMatchObject({
      ...{
        daysExpected: 5,
        daysStored: 5,
        quantity: 500,
        projected: 2_500,
        projectedShare: 1,
        crossesOn: null,
      },
    });
  });

  test('is made by the days of its own metric, whatever other streams lack', async () => {
    // No other stream was ever read, and payloads of 5 of 10 days: 100 a day all the same.
    expect(await payloadsOf(DEAD)).toMatchObject({
      ...{ daysExpected: 10, daysStored: 5, quantity: 500, projected: 3_000 },
    });
  });

  test('says on which day the limit is passed', async () => {
    expect(await payloadsOf(NEAR)).toMatchObject({ projected: 3_000, crossesOn: '2026-11-26' });
  });
});
