import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { renderLimits, renderPayloadShare } from '../../src/console/limits.ts';
import { type LimitUse, readLimits, readPayloadShares } from '../../src/queries/limits.ts';
import { addTracking, type Ledger, openLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';

const USE: LimitUse = {
  ...{ limitName: 'payload', from: '2026-11-01', to: '2026-11-30', source: 'calendar' },
  ...{ daysExpected: 24, daysHeld: 23, metric: 'payload_billable_count', unit: 'payloads' },
  ...{ limit: 9_000, quantity: 4_000, share: 0.4444, projected: 5_217, projectedShare: 0.5797 },
};

/** The cells of the table without their markup, and what stands above it. */
async function shown(uses: readonly LimitUse[]): Promise<string> {
  const text = (await renderLimits(uses)).toString();
  return text.replaceAll(/<[^>]*>/g, '|').replaceAll(/[|\s]*\|[|\s]*/g, '|');
}

describe('the running period against its limits', () => {
  test('is told with its days, its share and its projection', async () => {
    expect(await shown([USE])).toContain(
      'November 2026 to date,|2026-11-01|to|2026-11-30|: 23 of 24 days of it so far are held.',
    );
    expect(await shown([USE])).toContain(
      '|payload|payload_billable_count|4,000 payloads|9,000|44 %|5,217 (57 %)|',
    );
    expect(await shown([{ ...USE, source: 'losant', daysHeld: 24 }])).toContain(
      'The billing period to date,|2026-11-01|to|2026-11-30|: all 24 days of it so far are held.',
    );
  });

  test('is over only above the limit, and 100 % only at it', async () => {
    expect(await shown([{ ...USE, share: 0.9999 }])).toContain('|99 %|');
    expect(await shown([{ ...USE, share: 1 }])).toContain('|100 %|');
    expect(await shown([{ ...USE, share: 1.2 }])).toContain('|120 %, over|');
  });

  test('says what is not known instead of a number', async () => {
    const none = { quantity: null, share: null, projected: null, projectedShare: null };
    expect(await shown([{ ...USE, ...none }])).toContain('|payload|payload_billable_count|–|9,000|–|–|–|');
    const other = { ...USE, ...none, limitName: '<b>', metric: null, unit: null };
    expect(await shown([other])).toContain('|&lt;b&gt;|not counted here|9,000|–|–|–|');
    expect(await shown([])).toContain('No limits of it are known for a period that is running.');
  });

  test.for([
    [undefined, '–'],
    [{ share: null, projectedShare: null }, '–'],
    [{ share: 0.5, projectedShare: 0.9 }, '50 %'],
    [{ share: 0.9, projectedShare: 1.1 }, '90 % 110 % projected'],
    [{ share: 1.3, projectedShare: 1.5 }, '130 %, over'],
  ] as const)('in a list %j is %s', async ([use, text]) => {
    const html = (await renderPayloadShare(use)).toString();
    expect(html.replaceAll(/(<[^>]*>)+/g, ' ').trim()).toBe(text);
  });
});

describe('what is read', () => {
  let ledger: Ledger;
  let orgId = '';

  beforeAll(async () => {
    ledger = await openLedger('postgres');
    orgId = await ledger.newOrg();
    await ledger.newOrg();
    await sql`update losant_usage.organizations set limits = '{"payload": 1000, "zebra": 5}' where org_id = ${orgId}`.execute(
      ledger.db,
    );
    await addTracking(ledger.db, orgId, { streams: ['payload_totals'], days: `{[${daysAgo(1)},)}` });
    await queryOnce(
      ledger.url,
      asProgram(`
        insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes)
          values ('${daysAgo(1)}', '${orgId}', 250, 300, 9000);
        insert into losant_usage.coverage (usage_date, stream, org_id, state, reported)
          values ('${daysAgo(1)}', 'payload_totals', '${orgId}', 'loaded', true)`),
    );
  });
  afterAll(async () => {
    await ledger.close();
  });

  test('is the period that holds yesterday, limits that bound nothing here last', async () => {
    const uses = await readLimits(ledger.db, orgId);
    expect(uses.map(({ limitName, metric }) => [limitName, metric])).toEqual([
      ['payload', 'payload_billable_count'],
      ['zebra', null],
    ]);
    expect(uses[0]).toMatchObject({
      from: `${daysAgo(1).slice(0, 7)}-01`,
      ...{ source: 'calendar', daysExpected: 1, daysHeld: 1, limit: 1_000, quantity: 250, share: 0.25 },
    });
  });

  test('is for lists the share of each organization that has a limit of payloads', async () => {
    const shares = await readPayloadShares(ledger.db);
    expect([...shares.keys()]).toEqual([orgId]);
    expect(shares.get(orgId)?.share).toBe(0.25);
  });
});
