import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readQuery } from '../../src/console/organizations.ts';
import { linesThrough, renderSparkline } from '../../src/console/sparkline.ts';
import { readHeatMap } from '../../src/queries/coverage.ts';
import {
  type OrganizationLine,
  readOrganizationList,
  sameDaysOfLastMonth,
} from '../../src/queries/organizations.ts';
import { type Ledger, openLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { answering, INSTANCE, NOW_MS, startPages } from './pages.ts';

const line: OrganizationLine = {
  orgId: '5d0000000000000000000001',
  instanceId: INSTANCE,
  name: 'Acme',
  removedAt: null,
  devices: 1_234,
  payloads: [null, 10, 20, null],
  lastMonth: 20,
  gaps: 0,
};

describe('the page', () => {
  test('shows names as text, and no instance where there is one', async () => {
    const organizations = [{ ...line, name: '<img src=x onerror=alert(1)>', gaps: 2 }];
    await using pages = await startPages({
      sources: { read: answering({ count: 1_200, deleted: 1, organizations }) },
    });
    const text = await (await pages.get('/organizations?q=%3Cb%3E')).text();
    expect(text).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(text).not.toContain('<img');
    expect(text).toContain('value="&lt;b&gt;"');
    expect(text).toContain('1,199 organizations and 1 deleted with “&lt;b&gt;”');
    expect(text).not.toContain('data-label="Instance"');
    expect(text).toContain('<span>1,234</span>');
    expect(text).toContain('<a href="/organizations/5d0000000000000000000001" title=');
    expect(text).toContain('which is being counted: load the page again for it.');
    expect(text).toContain('<a href="/organizations?q=%3Cb%3E&amp;page=2">Next</a>');
  });

  test('tells the share of the limit of payloads once it was counted', async () => {
    const value = new Map([[line.orgId, { share: 0.512, projectedShare: 0.66, crossesOn: null }]]);
    const payloadShares = () => Promise.resolve({ value, atMs: NOW_MS, tookMs: 1 });
    await using pages = await startPages({
      sources: { read: answering({ count: 1, deleted: 0, organizations: [line] }), payloadShares },
    });
    const text = await (await pages.get('/organizations')).text();
    expect(text).toContain('<td data-label="Of payload limit" class="n"><span>51 %</span></td>');
    expect(text).not.toContain('being counted');
  });

  test('says that the database does not answer, with 503', async () => {
    await using pages = await startPages({
      sources: { read: () => Promise.reject(new Error('secret detail')) },
    });
    const response = await pages.get('/organizations');
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(text).toContain('The database does not answer in time.');
    expect(text).not.toContain('secret detail');
  });

  test('takes no more of the address than makes sense', () => {
    const query = (address: string) => {
      const given = new URLSearchParams(address);
      return readQuery((name) => given.get(name) ?? undefined, '2026-11-23');
    };
    expect(query('')).toEqual({ search: '', page: 1, to: '2026-11-23', order: 'name' });
    expect(query('q=%20Acme%20&page=3&order=payloads')).toEqual({
      ...{ search: 'Acme', page: 3, to: '2026-11-23', order: 'payloads' },
    });
    for (const page of ['0', '-1', '1.5', 'x', '1e3', '9999999']) expect(query(`page=${page}`).page).toBe(1);
    expect(query('q=a%00b').search).toBe('ab');
    expect(query(`q=${'x'.repeat(500)}`).search).toHaveLength(100);
    // Cut in the middle of a character.
    expect(query(`q=${'x'.repeat(99)}%F0%9F%90%98`).search.isWellFormed()).toBe(true);
  });
});

describe('a sparkline', () => {
  test('is broken where a day is not stored, which is never drawn as zero', () => {
    expect(linesThrough([10, 20, null, 0])).toBe('M15 12h0L45 1.5M105 22.5h0');
    expect(linesThrough([null, null])).toBe('');
    expect(linesThrough([0, 0])).toBe('M30 22.5h0L90 22.5');
  });

  test('says in words what it shows', async () => {
    const label = async (values: readonly (number | null)[]) => {
      const svg = (await renderSparkline(values, 'Payloads')).toString();
      return /aria-label="([^"]*)"/.exec(svg)?.[1];
    };
    expect(await label([1_000, 20, 5])).toBe('Payloads by day, from 5 to 1,000');
    expect(await label([1, null])).toBe('Payloads by day, from 1 to 1; 1 of 2 days are not stored');
    expect(await label([null, null])).toBe('Payloads: none of 2 days is stored');
  });
});

describe('what is read', () => {
  let ledger: Ledger;
  const orgs: string[] = [];

  beforeAll(async () => {
    ledger = await openLedger('postgres');
    for (const name of ['beta 100%', 'Alpha', 'alpha_2', 'gamma\\']) {
      const orgId = await ledger.newOrg();
      orgs.push(orgId);
      await sql`update losant_usage.organizations set name = ${name} where org_id = ${orgId}`.execute(
        ledger.db,
      );
    }
    const [, alpha = ''] = orgs;
    await queryOnce(
      ledger.url,
      asProgram(`
        update losant_usage.organizations set referral_id = 'ref-7' where org_id = '${alpha}';
        insert into losant_usage.usage_days
          (usage_date, org_id, payload_billable_count, payload_all_count, payload_all_bytes,
            devices_created, devices_deleted, devices_total)
          values ('${daysAgo(1)}', '${alpha}', 30, 31, 900, null, null, null),
            ('${daysAgo(2)}', '${alpha}', null, null, null, 0, 0, 8),
            ('${daysAgo(30)}', '${alpha}', 5, 5, 100, 0, 0, 7);
        insert into losant_usage.tracking (org_id, stream, tracked_days)
          values ('${alpha}', 'device_counts', datemultirange(daterange('${daysAgo(4)}', null)));
        ${addCell({ day: daysAgo(1), stream: 'device_counts', orgId: alpha }, 'stored')}
        ${addCell({ day: daysAgo(2), stream: 'device_counts', orgId: alpha }, 'final')}
        ${addCell({ day: daysAgo(3), stream: 'device_counts', orgId: alpha }, 'unavailable', { reason: 'past_horizon' })}`),
    );
  });
  afterAll(async () => {
    await ledger.close();
  });

  const list = async (search: string, page = 1) =>
    await readOrganizationList(ledger.db, { search, page, to: daysAgo(1), order: 'name' });
  const names = async (search: string) => (await list(search)).organizations.map(({ name }) => name);

  test.for([
    ['', ['Alpha', 'alpha_2', 'beta 100%', 'gamma\\']],
    ['ALPHA', ['Alpha', 'alpha_2']],
    ['%', ['beta 100%']],
    ['_', ['alpha_2']],
    ['\\', ['gamma\\']],
    ['ref-7', ['Alpha']],
    ['5D0000000000000000000003', ['alpha_2']],
    ["'; drop table", []],
  ] as const)('the organizations with “%s”', async ([search, found]) => {
    expect(await names(search)).toEqual(found);
  });

  test('is the numbers of 31 days, null where they are not stored, and the gaps', async () => {
    const { count, organizations } = await list('ref-7');
    expect(count).toBe(1);
    const [alpha] = organizations;
    expect(alpha).toMatchObject({ orgId: orgs[1], devices: 8, gaps: 1, removedAt: null });
    expect(alpha?.payloads).toHaveLength(31);
    expect([alpha?.payloads[1], alpha?.payloads[29], alpha?.payloads[30]]).toEqual([5, null, 30]);
  });

  test('begins with the most payloads of the month up to the day, where that is asked for', async () => {
    const hold = async (day: string, orgId: string | undefined, payloads: number) =>
      await queryOnce(
        ledger.url,
        asProgram(`insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count,
          payload_all_bytes) values ('${day}', '${orgId}', ${payloads}, ${payloads}, 900)`),
      );
    const [beta, alpha, alpha2, gamma] = orgs;
    await hold('2025-05-31', beta, 1_000);
    await hold('2025-06-01', alpha, 30);
    await hold('2025-06-16', alpha2, 1_000);
    const query = { search: 'a', page: 1, to: '2025-06-15', order: 'payloads' } as const;
    const { organizations } = await readOrganizationList(ledger.db, query);
    expect(organizations.map(({ name }) => name)).toEqual(['Alpha', 'alpha_2', 'beta 100%', 'gamma\\']);
    await hold('2025-06-15', gamma, 31);
    const again = await readOrganizationList(ledger.db, query);
    expect(again.organizations.map(({ name }) => name)).toEqual(['gamma\\', 'Alpha', 'alpha_2', 'beta 100%']);
  });

  test.for([
    ['2026-11-23', { from: '2026-10-01', to: '2026-10-23' }],
    ['2027-01-15', { from: '2026-12-01', to: '2026-12-15' }],
    ['2027-03-31', { from: '2027-02-01', to: '2027-02-28' }],
    ['2028-03-29', { from: '2028-02-01', to: '2028-02-29' }],
  ] as const)('is compared on %s with the same days of the month before', ([to, days]) => {
    expect(sameDaysOfLastMonth(to)).toEqual(days);
  });

  test.for(['change', 'share', 'gaps'] as const)('can begin with the greatest %s', async (order) => {
    const query = { search: '', page: 1, to: daysAgo(1), order };
    const { organizations } = await readOrganizationList(ledger.db, query);
    expect(organizations).toHaveLength(4);
    if (order === 'gaps') expect(organizations[0]?.name).toBe('Alpha');
  });

  test('is nothing past the last page', async () => {
    expect(await list('', 2)).toEqual({ count: 4, deleted: 0, organizations: [] });
  });

  test('is each day of each stream by how it stands', async () => {
    const cells = await readHeatMap(ledger.db, daysAgo(1));
    expect(cells).toHaveLength(5 * 90);
    const devices = cells.filter(({ stream }) => stream === 'device_counts').slice(-5);
    expect(devices.map(({ stream: _, ...counts }) => counts)).toEqual([
      { day: daysAgo(5), tracked: 0, counts: {} },
      { day: daysAgo(4), tracked: 1, counts: { missing: 1 } },
      { day: daysAgo(3), tracked: 1, counts: { unavailable: 1 } },
      { day: daysAgo(2), tracked: 1, counts: {} },
      { day: daysAgo(1), tracked: 1, counts: { stored: 1 } },
    ]);
  });
});
