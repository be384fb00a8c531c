import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMonth, readMonths } from '../../src/billing/month.ts';
import type { ReadPage } from '../../src/console/sources.ts';
import { streamView } from '../../src/queries/view-rows.ts';
import { addTracking, INSTANCE, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCells, changeCells } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { HEALTH, NOW_MS, type Pages, startPages, viewOf } from './pages.ts';

describe('the page', () => {
  const ledger = useLedger();
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
        update losant_usage.organizations set created_at = '${first}', created_on = '${first}', first_seen_at = '${first}';
        insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
          select d::date, o.org_id, 0, 0, 7 from losant_usage.organizations o,
            generate_series('${first}'::timestamp, now() at time zone 'UTC' - interval '1 day', '1 day') d
          where o.name <> 'delta' and (o.name <> 'gamma' or d > '${first}');
        ${addCells(`select usage_date, 'device_counts', org_id from losant_usage.usage_days`, 'final')}`),
    );
    const read: ReadPage = (query) => query(ledger.db);
    pages = await startPages({
      sources: {
        read,
        now: () => Date.now(),
        streamRows: (request, take) =>
          streamView({ db: ledger.db, kind: 'postgres' }, request, {
            signal: new AbortController().signal,
            take,
          }),
        month: async (month) => ({
          value: await readMonth(ledger.db, month),
          atMs: Date.now(),
          tookMs: 1,
        }),
      },
    });
  });
  afterAll(async () => {
    await pages[Symbol.asyncDispose]();
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
    expect(text).toContain('1 day missing (device_counts)');
    expect(text).toContain('not every day is tracked');
    expect(text).toMatch(
      new RegExp(
        `<a class="whole" href="/coverage\\?q=${orgs[2]}&amp;to=${lastMonth}-(28|29|30|31)">day by day</a>`,
      ),
    );
    expect(text.match(/day by day/g)).toHaveLength(2);
    expect(text).toContain('&lt;b&gt;Alpha&lt;/b&gt;');
    expect(text).not.toContain('<b>');
    expect(text).toContain(
      `<code>losant-usage backfill --org ${orgs[2]} --from ${first} --to ${first}</code>`,
    );
    expect(text).toContain(`<a href="/months/${lastMonth}" aria-current="true">`);
  });

  test('counts a number that is stored and in doubt for its own organization alone', async () => {
    const cell = `org_id = '${orgs[0]}' and usage_date = '${first}'`;
    await queryOnce(ledger.url, asProgram(changeCells(cell, 'in_doubt', { reason: 'left_out' })));
    const { periods } = await readMonth(ledger.db, lastMonth);
    const doubtful = periods?.filter(({ blockers }) => blockers.some(({ cause }) => cause === 'in_doubt'));
    expect(doubtful?.map(({ orgId, standing, isBillable }) => [orgId, standing, isBillable])).toEqual([
      [orgs[0], 'in_doubt', false],
    ]);
    expect(await page('/months')).toContain('1 day in doubt (device_counts)');
    await queryOnce(ledger.url, asProgram(changeCells(cell, 'final')));
    expect(await page('/months')).not.toContain('1 day in doubt');
  });

  test('shows nothing in red before the first run is over', async () => {
    expect(await page('/months')).toContain('<span class="bad whole"');
    const instances = HEALTH.instances.map((instance) => ({ ...instance, hasRun: false }));
    await using begun = await startPages({
      sources: {
        read: (query) => query(ledger.db),
        database: () => Promise.resolve(viewOf({ ...HEALTH, instances })),
        now: () => Date.now(),
        month: async (month) => ({
          ...{ value: await readMonth(ledger.db, month), atMs: Date.now(), tookMs: 1 },
        }),
      },
    });
    const text = await (await begun.get('/months')).text();
    expect(text).toContain('2 of 4 organizations are not ready.');
    expect(text).not.toMatch(/class="bad/);
  });

  test('lists what is not ready first, then by name, and narrows by standing and search', async () => {
    const [beta, alpha, gamma, delta] = orgs;
    expect(await listed('')).toEqual([delta, gamma, alpha, beta]);
    expect(await listed('?show=ready')).toEqual([alpha, beta]);
    expect(await listed('?show=missing')).toEqual([gamma]);
    expect(await listed('?q=GAM')).toEqual([gamma]);
    expect(await listed('?q=ref-0')).toEqual([beta]);
    expect(await listed(`?q=${alpha}`)).toEqual([alpha]);
    expect(await listed('?q=nobody')).toEqual([]);
    expect(await listed('?page=2')).toEqual([]);
  });

  test('says that a month is closed, by whom, and why though something was missing', async () => {
    const isClosed = async () =>
      (await readMonths(ledger.db)).find(({ month }) => month === lastMonth)?.isClosed;
    // As if a backfill alone had reached the month.
    await queryOnce(ledger.url, `update losant_usage.instances set tracked_from = '${daysAgo(0)}'`);
    expect(await isClosed()).toBe(false);
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
    // The statement was written without its lines.
    expect(text).toContain('Numbers of 3 organizations differ now from what was closed');
    expect(text).toContain(`<code>losant-usage close --period ${lastMonth} --adjust</code>`);
    expect(await isClosed()).toBe(true);
  });

  test('gives every number of the month as a file, and none that was cut off', async () => {
    const path = `/months/${lastMonth}/usage.csv`;
    const response = await pages.get(path);
    expect(response.headers.get('content-disposition')).toBe(`attachment; filename="usage-${lastMonth}.csv"`);
    const lines = (await response.text()).split('\r\n');
    expect(lines[0]).toMatch(/^instance_id,org_id,org_name,referral_id,.*,is_billable,devices_created,/);
    const names = lines.slice(1).map((each) => each.split(',')[2]);
    expect(names).toEqual(['beta', '<b>Alpha</b>', 'gamma', undefined]);
    expect((await pages.get(path, { method: 'HEAD' })).status).toBe(200);
    expect((await pages.get('/months/x/usage.csv')).status).toBe(404);
    const read: ReadPage = (query) => query(ledger.db);
    await using broken = await startPages({
      sources: {
        read,
        streamRows: async (_, take) => {
          await take([['a', 'b']]);
          throw new Error('the database is gone');
        },
      },
    });
    await expect((await broken.get(path)).text()).rejects.toThrow('terminated');
    await using away = await startPages({ sources: { read } });
    expect((await away.get(path)).status).toBe(503);
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

test('more organizations than fit into memory are not shown in part', async () => {
  const read = (() => Promise.resolve([{ month: '2026-10', isOver: true, isClosed: false }])) as ReadPage;
  const value = { month: '2026-10', periods: null, blockers: [], statements: [], differing: 0 };
  await using pages = await startPages({
    sources: { read, month: () => Promise.resolve({ value, atMs: NOW_MS, tookMs: 1 }) },
  });
  expect(await (await pages.get('/months')).text()).toContain(
    'October 2026 has more organizations than this page shows.',
  );
});
