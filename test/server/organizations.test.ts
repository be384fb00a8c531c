import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { renderSparkline } from '../../src/console/daily-chart.ts';
import { readPageNumber } from '../../src/console/lists.ts';
import { readFilters, selectOrganizations } from '../../src/console/organizations.ts';
import { readHeatMap } from '../../src/queries/coverage.ts';
import {
  type OrganizationFigures,
  readDailyPayloads,
  readFigures,
  readOverview,
  sameDaysOfLastMonth,
} from '../../src/queries/organizations.ts';
import { useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { answering, INSTANCE, NOW_MS, startPages } from './pages.ts';

const FIGURES: OrganizationFigures = {
  orgId: '5d0000000000000000000001',
  instanceId: INSTANCE,
  name: 'Acme',
  referralId: 'C-1',
  removedAt: null,
  devices: 1_234,
  payloads: 5_000,
  compared: { now: 5_000, before: 4_000 },
  limit: { name: 'payload', share: 0.512, projectedShare: 0.66, crossesOn: null },
  nextLimit: null,
  silentSince: null,
  missing: 0,
  inDoubt: 0,
};

const overviewOf = (organizations: readonly OrganizationFigures[]) => () =>
  Promise.resolve({
    value: { to: '2026-11-23', organizations: [...organizations], days: [] },
    atMs: NOW_MS,
    tookMs: 1,
  });
const payloads = answering(new Map([[FIGURES.orgId, [null, 10, 20, null]]]));
const open = async (path: string, organizations: readonly OrganizationFigures[]) => {
  await using pages = await startPages({ sources: { overview: overviewOf(organizations), read: payloads } });
  const response = await pages.get(path);
  return { response, text: await response.text() };
};

describe('the page', () => {
  test('shows names as text, and no instance where there is one', async () => {
    const organizations = Array.from({ length: 60 }, (_, nth) => ({ ...FIGURES, name: `<b> ${nth}` }));
    const { text } = await open('/organizations?q=%3Cb%3E', [
      ...organizations,
      { ...FIGURES, name: '<b>', removedAt: '2026-11-01T00:00:00.000Z' },
    ]);
    expect(text).toContain('&lt;b&gt; 7');
    expect(text).not.toContain('<b>');
    expect(text).toContain('value="&lt;b&gt;"');
    expect(text).toContain('60 organizations and 1 deleted with “&lt;b&gt;”');
    expect(text).not.toContain('data-label="Instance"');
    expect(text).toContain('<a href="/organizations?q=%3Cb%3E&amp;page=2">Next</a>');
  });

  test('is a line for each organization, with its id to copy', async () => {
    const { text } = await open('/organizations', [FIGURES]);
    expect(text).toContain('<span>1,234</span>');
    expect(text).toContain('+1,000 (+25 %)');
    expect(text).toContain('51 % <span class="quiet">payload</span>');
    expect(text).toContain('data-copy="5d0000000000000000000001"');
  });

  test('says that the organizations are being counted, and asks again by itself', async () => {
    await using pages = await startPages();
    const response = await pages.get('/organizations');
    expect(response.headers.get('refresh')).toBe('3');
    expect(await response.text()).toContain('The organizations are being counted.');
  });

  test('says that the database does not answer, with 503', async () => {
    const read = () => Promise.reject(new Error('secret detail'));
    await using pages = await startPages({ sources: { overview: overviewOf([FIGURES]), read } });
    const response = await pages.get('/organizations');
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(text).toContain('The database does not answer in time.');
    expect(text).not.toContain('secret detail');
  });

  test('is a file of every organization that matches, in the order of the page', async () => {
    const other = {
      ...FIGURES,
      orgId: '5d0000000000000000000002',
      name: '=evil()',
      payloads: 9_000,
      silentSince: '2026-11-18',
    };
    const { response, text } = await open('/organizations?csv=1&sort=payloads', [FIGURES, other]);
    expect(response.headers.get('content-disposition')).toBe(
      'attachment; filename="organizations-2026-11-23.csv"',
    );
    const [head, first, second] = text.split('\r\n');
    expect(head).toBe(
      'org_id,instance_id,org_name,referral_id,removed_at,devices_total,payload_billable_count,compared,compared_last_month,limit_name,limit_share,limit_projected_share,crosses_on,silent_since,missing,in_doubt',
    );
    expect(first).toBe(
      `5d0000000000000000000002,${INSTANCE},'=evil(),C-1,,1234,9000,5000,4000,payload,0.512,0.66,,2026-11-18,0,0`,
    );
    expect(second).toMatch(/^5d0000000000000000000001,/);
  });

  test('takes no more of the address than makes sense', () => {
    const filters = (address: string) => readFilters(Object.fromEntries(new URLSearchParams(address)));
    expect(filters('')).toEqual({ q: '', show: '', sort: '', dir: '' });
    expect(filters('q=%20Acme%20&sort=payloads&dir=asc&show=silent')).toEqual({
      ...{ q: 'Acme', show: 'silent', sort: 'payloads', dir: 'asc' },
    });
    expect(filters('sort=name&dir=asc')).toEqual(filters(''));
    expect(filters('sort=toString&dir=up&show=x')).toEqual(filters(''));
    expect(readPageNumber('3')).toBe(3);
    for (const page of ['0', '-1', '1.5', 'x', '1e3', '9999999']) expect(readPageNumber(page)).toBe(1);
    expect(filters('q=a%00b').q).toBe('ab');
    expect(filters(`q=${'x'.repeat(500)}`).q).toHaveLength(100);
    // Cut in the middle of a character.
    expect(filters(`q=${'x'.repeat(99)}%F0%9F%90%98`).q.isWellFormed()).toBe(true);
  });
});

describe('a list', () => {
  const org = (name: string, figures: Partial<OrganizationFigures> = {}): OrganizationFigures => ({
    ...{ ...FIGURES, orgId: `5d${name}`, name, referralId: null, limit: null, compared: null },
    ...figures,
  });
  const limit = (crossesOn: string | null, share: number) => ({
    limit: { name: 'payload', share, projectedShare: share, crossesOn },
  });
  const next = { nextLimit: { name: 'device', share: 0.9, projectedShare: 1.1, crossesOn: '2026-11-28' } };
  const organizations = [
    org('Alpha', {
      ...limit('2026-11-20', 1.2),
      ...next,
      referralId: 'ref-7',
      compared: { now: 10, before: 20 },
    }),
    org('beta 100%', { ...limit('2026-11-28', 0.9), ...next, payloads: null, missing: 2 }),
    org('gamma\\', { silentSince: '2026-11-18', payloads: 0, inDoubt: 1, compared: { now: 0, before: 0 } }),
    org('delta_2', { ...limit(null, 0.4), payloads: 7_000, compared: { now: 119, before: 80 } }),
  ];
  const names = (address: string) => {
    const filters = readFilters(Object.fromEntries(new URLSearchParams(address)));
    return selectOrganizations({ organizations, to: '2026-11-23' }, filters).map(({ name }) => name);
  };

  test.for([
    ['q=ALPHA', ['Alpha']],
    ['q=%25', ['beta 100%']],
    ['q=_', ['delta_2']],
    ['q=%5C', ['gamma\\']],
    ['q=REF-7', ['Alpha']],
    ['q=5dbeta', ['beta 100%']],
    ["q='; drop table", []],
    ['show=over', ['Alpha']],
    ['show=crossing', ['Alpha', 'beta 100%']],
    ['show=crossing&sort=share', ['Alpha', 'beta 100%']],
    ['show=silent', ['gamma\\']],
    ['show=moved', ['Alpha']],
    ['show=missing', ['beta 100%']],
    ['show=in_doubt', ['gamma\\']],
    ['sort=name&dir=desc', ['delta_2', 'gamma\\', 'beta 100%', 'Alpha']],
    ['sort=payloads', ['delta_2', 'Alpha', 'gamma\\', 'beta 100%']],
    ['sort=payloads&dir=asc', ['gamma\\', 'Alpha', 'delta_2', 'beta 100%']],
    ['sort=change', ['delta_2', 'gamma\\', 'Alpha', 'beta 100%']],
    ['sort=crosses', ['Alpha', 'beta 100%', 'gamma\\', 'delta_2']],
    ['sort=share&q=a', ['Alpha', 'beta 100%', 'delta_2', 'gamma\\']],
    ['sort=silent', ['gamma\\', 'Alpha', 'beta 100%', 'delta_2']],
    ['sort=gaps', ['beta 100%', 'gamma\\', 'Alpha', 'delta_2']],
  ] as const)('of %s has those organizations in that order', ([address, found]) => {
    expect(names(address)).toEqual(found);
  });
});

describe('a sparkline', () => {
  test('is broken where a day is not stored, which is never drawn as zero', async () => {
    const line = async (values: readonly (number | null)[]) => {
      const svg = (await renderSparkline(values, 'Payloads')).toString();
      return /<path class="spark" d="([^"]*)"/.exec(svg)?.[1];
    };
    expect(await line([10, 20, null, 0])).toBe('M15,12L45,1.5M105,22.5Z');
    expect(await line([null, null])).toBe('');
    expect(await line([0, 0])).toBe('M30,22.5L90,22.5');
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
  const ledger = useLedger();
  const orgs: string[] = [];

  beforeAll(async () => {
    for (const name of ['beta 100%', 'Alpha', 'alpha_2', 'gamma\\']) {
      const orgId = await ledger.newOrg();
      orgs.push(orgId);
      await ledger.ask(sql`update losant_usage.organizations set name = ${name} where org_id = ${orgId}`);
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
  test('is each organization by name with its month, its silence and its gaps', async () => {
    const figures = await readFigures(ledger.db, daysAgo(1));
    expect(figures.map(({ name }) => name)).toEqual(['Alpha', 'alpha_2', 'beta 100%', 'gamma\\']);
    expect(figures[0]).toMatchObject({
      orgId: orgs[1],
      referralId: 'ref-7',
      missing: 1,
      inDoubt: 0,
      removedAt: null,
    });
    expect(figures[1]).toMatchObject({
      devices: null,
      payloads: null,
      compared: null,
      limit: null,
      silentSince: null,
    });
  });

  test('are the sums of the month up to the day, and the newest devices in it', async () => {
    const [, alpha = ''] = orgs;
    await queryOnce(
      ledger.url,
      asProgram(`insert into losant_usage.usage_days (usage_date, org_id, payload_billable_count, payload_all_count,
          payload_all_bytes, devices_created, devices_deleted, devices_total) values
        ('2025-05-31', '${alpha}', 1000, 1000, 9, 0, 0, 1), ('2025-06-01', '${alpha}', 30, 30, 9, 0, 0, 2),
        ('2025-06-02', '${alpha}', 12, 12, 9, null, null, null), ('2025-06-16', '${alpha}', 500, 500, 9, 0, 0, 3)`),
    );
    const [figures] = await readFigures(ledger.db, '2025-06-15');
    expect(figures).toMatchObject({ payloads: 42, devices: 2 });
    const { days } = await readOverview(ledger.db, '2025-06-02');
    expect(days).toHaveLength(33);
    expect(days.slice(-3)).toMatchObject([
      { day: '2025-05-31', payload_billable_count: 1_000, devices_total: 1 },
      { day: '2025-06-01', payload_billable_count: 30, devices_total: 2 },
      { day: '2025-06-02', payload_billable_count: 12, devices_total: null },
    ]);
  });

  test('are the payloads of each day, null where they are not stored', async () => {
    const range = { from: daysAgo(31), to: daysAgo(1) };
    const found = await readDailyPayloads(ledger.db, { orgIds: [orgs[1] ?? '', orgs[2] ?? ''], range });
    const alpha = found.get(orgs[1] ?? '') ?? [];
    expect(alpha).toHaveLength(31);
    expect([alpha[1], alpha[29], alpha[30]]).toEqual([5, null, 30]);
    expect(found.get(orgs[2] ?? '')).toEqual(Array.from({ length: 31 }, () => null));
  });

  test.for([
    ['2026-11-23', { from: '2026-10-01', to: '2026-10-23' }],
    ['2027-01-15', { from: '2026-12-01', to: '2026-12-15' }],
    ['2027-03-31', { from: '2027-02-01', to: '2027-02-28' }],
    ['2028-03-29', { from: '2028-02-01', to: '2028-02-29' }],
  ] as const)('is compared on %s with the same days of the month before', ([to, days]) => {
    expect(sameDaysOfLastMonth(to)).toEqual(days);
  });

  test('is each day of each stream by how it stands', async () => {
    const cells = await readHeatMap(ledger.db, daysAgo(1));
    // A row of the map for a stream that nobody tracks would only ask why it is empty.
    expect(cells).toHaveLength(90);
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
