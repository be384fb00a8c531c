import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OrganizationPeriod, readMonth, readMonths } from '../../src/database/read/month.ts';
import type { Statement } from '../../src/database/read/statements.ts';
import { judgeMonth } from '../../src/server/console/months/judge.ts';
import { describePeriod, stateOfPeriod } from '../../src/server/console/months/state.ts';
import type { ReadPage } from '../../src/server/page-sources.ts';
import { addTracking, INSTANCE, type Ledger, openLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { HEALTH, NOW_MS, type Pages, startPages, viewOf } from './pages.ts';

/** Of an organization that is ready. */
const PERIOD: OrganizationPeriod = {
  ...{ orgId: '5d0000000000000000000001', instanceId: INSTANCE, name: 'Acme', referralId: null },
  ...{ from: '2026-10-01', to: '2026-10-31', isOver: true, isWhole: true, isBillable: true },
  ...{ daysWithoutPeriod: null },
  ...{ daysExpected: 31, daysHeld: 31, daysFinal: 31, daysWaived: 0, daysUnavailable: 0 },
  ...{ daysUnreported: 0, daysUntracked: 0, payloads: 1_000, devices: 10 },
};
const NOT = { isBillable: false };
const YESTERDAY = '2026-11-23';

describe('a period', () => {
  test.for([
    ['ready', {}, '31 days, all final'],
    ['ready', { daysHeld: 30, daysFinal: 30, daysWaived: 1 }, '1 day not held (1 waived)'],
    ['ready', { daysFinal: 30, daysWaived: 1 }, '1 day waived; 1 day not final yet'],
    ['ready', { daysUnreported: 31 }, '31 days, all final; 31 days with zeros, as Losant left numbers out'],
    ['missing', { ...NOT, daysHeld: 29, daysFinal: 29 }, '2 days not held'],
    [
      'missing',
      { ...NOT, daysHeld: 28, daysFinal: 27, daysWaived: 1, daysUnavailable: 1 },
      '3 days not held (1 waived, 1 no longer available); 1 day not final yet',
    ],
    [
      'partial',
      { ...NOT, isWhole: false, daysExpected: 6, daysHeld: 6, daysFinal: 6, daysUntracked: 1 },
      'tracked on 6 of 31 days; 1 day held but not tracked, so not in the sums',
    ],
    ['partial', { ...NOT, isWhole: false }, 'not every stream is tracked on each day'],
    ['partial', { ...NOT, isWhole: false, daysExpected: 0, daysHeld: 0, daysFinal: 0 }, 'no day is tracked'],
    [
      'partial',
      { ...NOT, isWhole: false, daysExpected: 0, daysHeld: 0, daysFinal: 0, daysWithoutPeriod: 4 },
      '4 days in no known billing period',
    ],
    ['open', { ...NOT, daysFinal: 28 }, '3 days not final yet'],
    [
      'running',
      {
        ...NOT,
        isOver: false,
        from: '2026-11-01',
        to: '2026-11-30',
        daysExpected: 23,
        daysHeld: 23,
        daysFinal: 20,
      },
      '3 days not final yet; ends on 2026-11-30',
    ],
    [
      'partial',
      {
        ...NOT,
        isOver: false,
        isWhole: false,
        from: '2026-11-01',
        to: '2026-11-30',
        daysExpected: 5,
        daysHeld: 5,
        daysFinal: 5,
      },
      'tracked on 5 of 23 days; ends on 2026-11-30',
    ],
  ] as const)('is %s with %j', ([state, change, text]) => {
    const period = { ...PERIOD, ...change };
    expect([stateOfPeriod(period), describePeriod(period, YESTERDAY)]).toEqual([state, text]);
  });
});

describe('whether October can be invoiced', () => {
  const open = { ...PERIOD, ...NOT, daysFinal: 28 };
  const missing = { ...PERIOD, ...NOT, daysHeld: 29, daysFinal: 29 };
  const other = { ...PERIOD, instanceId: '5c0000000000000000000002' };
  const closing: Statement = {
    ...{
      statementId: '00000000-0000-4000-8000-000000000009',
      instanceId: INSTANCE,
      month: '2026-10',
      number: 1,
    },
    ...{ kind: 'closing', source: 'calendar', reason: null, orgs: 1, manifestSha256: '00' },
    ...{ closedAt: '2026-11-05T09:00:00.000Z', closedBy: 'b' },
  };

  test.for([
    ['good', [PERIOD], [], 'October 2026 can be invoiced: the one organization is ready.'],
    ['good', [PERIOD, other], [], 'October 2026 can be invoiced: all 2 organizations are ready.'],
    ['quiet', [PERIOD, open], [], 'October 2026 cannot be invoiced yet: 1 of 2 organizations is not ready.'],
    [
      'bad',
      [PERIOD, open, missing],
      [],
      'October 2026 cannot be invoiced yet: 2 of 3 organizations are not ready.',
    ],
    ['good', [missing], [closing], 'October 2026 is closed.'],
    [
      'good',
      [missing, other],
      [closing],
      'October 2026 can be invoiced: the one organization of instances that are not closed is ready.',
    ],
    ['quiet', [], [], 'Nothing is tracked in October 2026.'],
  ] as const)('is told %s of %j and %j', ([tone, periods, statements, sentence]) => {
    const verdict = judgeMonth({
      month: '2026-10',
      periods,
      statements,
      yesterday: YESTERDAY,
      hasRun: true,
    });
    expect([verdict.tone, verdict.sentence]).toEqual([tone, sentence]);
  });

  test('is no alarm before the first run is over, nor while the month is not', () => {
    const facts = { month: '2026-10', periods: [missing], statements: [] };
    expect(judgeMonth({ ...facts, yesterday: YESTERDAY, hasRun: false }).tone).toBe('quiet');
    const { tone, sentence } = judgeMonth({ ...facts, yesterday: '2026-10-30', hasRun: true });
    expect([tone, sentence]).toEqual([
      'quiet',
      'October 2026 cannot be invoiced yet: it ends on 2026-10-31.',
    ]);
    expect(judgeMonth({ ...facts, yesterday: '2026-10-31', hasRun: true }).tone).toBe('bad');
  });

  test('comes with what to do', () => {
    const partial = { ...PERIOD, ...NOT, isWhole: false };
    const periods = [missing, partial, open];
    const verdict = judgeMonth({
      month: '2026-10',
      periods,
      statements: [],
      yesterday: YESTERDAY,
      hasRun: true,
    });
    expect(verdict.steps.map((step) => step.split(':')[0])).toEqual([
      '1 organization with days that are not held',
      '1 organization with days that are not tracked',
      '1 organization with days that are not final yet',
      'To close it all the same',
    ]);
  });
});

describe('the page', () => {
  let ledger: Ledger;
  let pages: Pages;
  const orgs: string[] = [];
  const lastMonth = new Date(new Date().setUTCDate(0)).toISOString().slice(0, 7);
  const first = `${lastMonth}-01`;
  const name = new Date(`${first}T00:00:00Z`).toLocaleString('en-US', {
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC',
  });

  beforeAll(async () => {
    ledger = await openLedger('postgres');
    for (const [place, called] of ['beta', '<b>Alpha</b>', 'gamma', 'delta'].entries()) {
      const orgId = await ledger.newOrg();
      orgs.push(orgId);
      await sql`update losant_usage.organizations set name = ${called}, referral_id = ${`ref-${place}`}
        where org_id = ${orgId}`.execute(ledger.db);
      // Delta existed all the month, and is tracked since today only.
      const from = called === 'delta' ? daysAgo(0) : first;
      await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: `{[${from},)}` });
    }
    // Of gamma the first day is missing; beta has the most payloads, which are not tracked.
    await queryOnce(
      ledger.url,
      asProgram(`
        update losant_usage.instances set tracked_from = '${first}';
        update losant_usage.organizations set created_at = '${first}', first_seen_at = '${first}';
        insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
          select d::date, o.org_id, 0, 0, 7 from losant_usage.organizations o,
            generate_series('${first}'::timestamp, now() at time zone 'UTC' - interval '1 day', '1 day') d
          where o.name <> 'delta' and (o.name <> 'gamma' or d > '${first}');
        insert into losant_usage.coverage (usage_date, stream, org_id, state, reported)
          select usage_date, 'device_counts', org_id, 'final', true from losant_usage.usage_days`),
    );
    const read: ReadPage = (query) => query(ledger.db);
    pages = await startPages({
      sources: {
        read,
        now: () => Date.now(),
        month: async (month) => ({
          value: await readMonth(ledger.db, { month, today: daysAgo(0) }),
          atMs: Date.now(),
          tookMs: 1,
        }),
      },
    });
  });
  afterAll(async () => {
    await pages[Symbol.asyncDispose]();
    await ledger.close();
  });

  const page = async (path: string) => await (await pages.get(path)).text();
  /** The organizations of the list, in its order. */
  const listed = async (query: string) =>
    [...(await page(`/months/${lastMonth}${query}`)).matchAll(/href="\/organizations\/(\w+)"/g)].map(
      ([, id]) => id,
    );

  test('answers for the newest month that is over, and names the reason of each organization', async () => {
    const text = await page('/months');
    expect(text).toContain(
      `<h1 class="bad">${name} cannot be invoiced yet: 2 of 4 organizations are not ready.</h1>`,
    );
    expect(text).toContain('days missing');
    expect(text).toContain('1 day not held');
    expect(text).toContain('no day is tracked');
    expect(text).toContain('&lt;b&gt;Alpha&lt;/b&gt;');
    expect(text).not.toContain('<b>');
    expect(text).toContain('<code>losant-usage gaps --all</code>');
    expect(text).toContain(`<a href="/months/${lastMonth}" aria-current="true">`);
  });

  test('lists what is not ready first, then by name, and narrows by state and search', async () => {
    const [beta, alpha, gamma, delta] = orgs;
    expect(await listed('')).toEqual([gamma, delta, alpha, beta]);
    expect(await listed('?state=ready')).toEqual([alpha, beta]);
    expect(await listed('?q=GAM')).toEqual([gamma]);
    expect(await listed('?q=ref-0')).toEqual([beta]);
    expect(await listed(`?q=${alpha}`)).toEqual([alpha]);
    expect(await listed('?q=nobody')).toEqual([]);
    expect(await listed('?page=2')).toEqual([]);
  });

  test('says that a month is closed, by whom, and why though something was missing', async () => {
    await queryOnce(
      ledger.url,
      `insert into losant_usage.statements (statement_id, instance_id, period_month, number, kind, source, reason,
          orgs, closed_at, closed_by, manifest_sha256)
        values (gen_random_uuid(), '${INSTANCE}', '${first}', 1, 'closing', 'calendar', '<i>agreed</i>', 3,
          now(), 'billing', sha256('x'))`,
    );
    const text = await page(`/months/${lastMonth}`);
    expect(text).toContain(`<h1 class="good">${name} is closed.</h1>`);
    expect(text).toContain('by billing. Something was missing: &lt;i&gt;agreed&lt;/i&gt;');
    expect((await readMonths(ledger.db)).find(({ month }) => month === lastMonth)).toMatchObject({
      isClosed: true,
    });
  });

  test.for(['1999-01', 'x', '%3Cb%3E', '2026-13'])(
    'leads on from %s, which is no month here',
    async (asked) => {
      const response = await pages.get(`/months/${asked}`);
      expect(response.status).toBe(404);
      const text = await response.text();
      expect(text).toContain('<a href="/months">The newest month that is over</a>');
      expect(text).not.toContain('<b>');
    },
  );
});

test('a month that is still being counted is asked for again by the browser', async () => {
  const read = (() => Promise.resolve([{ month: '2026-10', isOver: true, isClosed: false }])) as ReadPage;
  await using pages = await startPages({ sources: { read } });
  const response = await pages.get('/months');
  expect([response.status, response.headers.get('refresh')]).toEqual([200, '3']);
  expect(await response.text()).toContain('<h1>October 2026 is being counted.</h1>');
});

test('before anything was exported, and without the database, it says so', async () => {
  await using empty = await startPages({ sources: { read: (() => Promise.resolve([])) as ReadPage } });
  expect(await (await empty.get('/months')).text()).toContain('<h1>Nothing has been exported yet.</h1>');
  await using away = await startPages({
    sources: { database: () => Promise.resolve(viewOf(HEALTH, { isUp: false })) },
  });
  const response = await away.get('/months');
  expect(response.status).toBe(503);
  expect(await response.text()).toContain('The database does not answer in time.');
});

test('more organizations than are held in memory are not shown in part', async () => {
  const read = (() => Promise.resolve([{ month: '2026-10', isOver: true, isClosed: false }])) as ReadPage;
  const value = { month: '2026-10', periods: null, statements: [] };
  await using pages = await startPages({
    sources: { read, month: () => Promise.resolve({ value, atMs: NOW_MS, tookMs: 1 }) },
  });
  expect(await (await pages.get('/months')).text()).toContain(
    'October 2026 has more organizations than this page holds.',
  );
});
