import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SCRIPT } from '../../src/console/page.ts';
import type { Reading } from '../../src/console/readings.ts';
import { readCoverageMap } from '../../src/queries/coverage.ts';
import type { Comparison, Reconciliation } from '../../src/queries/reconciliation.ts';
import { RUN_1, RUN_2 } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { type CellOptions, changeCells } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type ConsoleData, HOSTILE_NAME, openConsoleData } from './console-data.ts';
import { INSTANCE, NOW_MS, type Pages, startPages, viewOf } from './pages.ts';

let data: ConsoleData;
let pages: Pages;

beforeAll(async () => {
  data = await openConsoleData();
  const { db } = data.ledger;
  pages = await startPages({ sources: { read: (query) => query(db), now: Date.now } });
});
afterAll(async () => {
  await pages[Symbol.asyncDispose]();
  await data.ledger.close();
});

async function open(path: string, status = 200): Promise<string> {
  const response = await pages.get(path);
  expect(response.status).toBe(status);
  // The page's own script is the only one.
  const text = (await response.text()).replace(`<script>${SCRIPT}</script>`, '');
  expect(text).not.toContain('<script');
  expect(text).not.toContain('<img src=x');
  return text;
}
/** What a reader sees of it, without markup. */
const textOf = (page: string) =>
  page
    .replaceAll(/<style>.*<\/style>/gs, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');

describe('coverage', () => {
  const map = (query: Partial<Parameters<typeof readCoverageMap>[1]> = {}) =>
    readCoverageMap(data.ledger.db, {
      ...{ search: '', instanceId: null, stream: null, only: null, page: 1 },
      range: { from: daysAgo(30), to: daysAgo(1) },
      ...query,
    });

  test('gives the cells of each day that are not final by standing, and which days are tracked', async () => {
    const { count, organizations } = await map();
    expect(count).toBe(2);
    expect(organizations).toMatchObject([
      {
        orgId: data.hostile,
        name: HOSTILE_NAME,
        tracked: [{ from: daysAgo(6), to: daysAgo(1) }],
        days: [
          { day: daysAgo(4), counts: { accepted: 1 } },
          { day: daysAgo(3), counts: { missing: 1 } },
          { day: daysAgo(1), counts: { stored: 2 } },
        ],
      },
      { orgId: data.calm, days: [{ day: daysAgo(1), counts: { stored: 2 } }] },
    ]);
  });

  test.for([
    [{ only: ['in_doubt', 'missing'] }, 1],
    [{ only: ['missing'], stream: 'payload_totals' }, 0],
    [{ only: ['accepted'], stream: 'payload_totals' }, 1],
    [{ only: ['accepted'], range: { from: daysAgo(3), to: daysAgo(1) } }, 0],
    [{ instanceId: INSTANCE }, 2],
    [{ instanceId: '5c0000000000000000000009' }, 0],
    [{ search: 'ONERROR' }, 1],
  ] as const)('%j finds %i organizations', async ([query, found]) => {
    expect((await map(query)).count).toBe(found);
  });

  test('a day is a link, with a sign and a name where it is not final', async () => {
    const text = await open('/coverage');
    expect(text).toContain(
      `<td class="m-bad"><a href="/coverage/${data.hostile}/${daysAgo(3)}" title="${daysAgo(3)}: 1 missing" aria-label="&lt;img src=x onerror=alert(1)&gt;, ${daysAgo(3)}: 1 missing">✕</a></td>`,
    );
    expect(text.split(': final"></a>')).toHaveLength(1 + 3 + 5);
    expect(text.split('aria-label="not tracked"')).toHaveLength(1 + 2 * 25);
    expect(text).toContain(`<td class="m-good"><a href="/coverage/${data.calm}/${daysAgo(2)}"`);
    expect(text).toContain('role="region" tabindex="0"');
    expect(textOf(text)).toContain('2 organizations');
  });

  test('a filter stays in the links to a story and to other days', async () => {
    const text = await open('/coverage?stream=device_counts&only=gap&days=90&to=nonsense&page=0');
    expect(text).toContain(`href="/coverage/${data.hostile}/${daysAgo(3)}/device_counts"`);
    expect(text).toContain(
      `href="/coverage?stream=device_counts&amp;only=gap&amp;days=90&amp;to=${daysAgo(91)}">Earlier</a>`,
    );
    expect(text).not.toContain(data.calm);
  });
});

describe('a story', () => {
  test('calls a number that is stored and a gap all the same in doubt, and not missing', async () => {
    const path = `/coverage/${data.calm}/${daysAgo(2)}/device_counts`;
    const mark = async (standing: string, options: CellOptions = {}) => {
      const cell = `org_id = '${data.calm}' and usage_date = '${daysAgo(2)}' and stream = 'device_counts'`;
      await queryOnce(data.ledger.url, asProgram(changeCells(cell, standing, options)));
    };
    await mark('in_doubt', { reason: 'left_out' });
    const text = await open(path);
    expect(text).toContain('device_counts: <span class="bad">in doubt, a gap, revision 1</span>');
    expect(text).toContain('--reason TEXT --as-zero</code>');
    await mark('final');
    expect(await open(path)).not.toContain('in doubt');
  });

  test('shows why a number is missing, what Losant sent as text, and commands to paste', async () => {
    const text = await open(`/coverage/${data.hostile}/${daysAgo(3)}/device_counts`);
    expect(text).toContain('device_counts: <span class="bad">missing, a gap</span>');
    expect(text).toContain(
      `<code>losant-usage waive --org ${data.hostile} --day ${daysAgo(3)} --stream device_counts --reason TEXT</code>`,
    );
    expect(text).toContain(
      `<code>losant-usage backfill --from ${daysAgo(3)} --to ${daysAgo(3)} --org ${data.hostile} --stream device_counts</code>`,
    );
    expect(text).toContain('<p>Why: <strong>invalid_value</strong>: total: not a number</p>');
    expect(text).toContain(String.raw`&lt;script&gt;alert(1)&lt;/script&gt;\u202e\x07`);
    expect(text).toContain('Cut here.');
    expect(text.length).toBeLessThan(40_000);
  });

  test('says when a number that is stored becomes final', async () => {
    const text = await open(`/coverage/${data.calm}/${daysAgo(1)}/device_counts`);
    expect(text).toContain(
      '<p>Stored, still to be read again: a read 72 hours or more after the end of its day makes it final</p>',
    );
  });

  test('tells every stream of a day, a waiver with who and why, and how to read a stored number anew', async () => {
    const text = textOf(await open(`/coverage/${data.hostile}/${daysAgo(4)}`));
    expect(text).toContain('device_counts: final, revision 1');
    expect(text).toContain('payload_totals: accepted');
    expect(text).toMatch(/“a test plant” by anna \d{4}-\d\d-\d\d \d\d:\d\d UTC, in force/);
    expect(text).toContain('payload_sources: not tracked');
    expect(text).toContain(
      `To read it again losant-usage run --date ${daysAgo(4)} --org ${data.hostile} --stream device_counts`,
    );
  });

  test.for([
    [`/coverage/${'5d'.padEnd(24, '9')}/2026-11-20`, 'This database has never seen the organization'],
    ['/coverage/nobody/2026-11-20', 'This is no organization and day.'],
    [`/coverage/${'5d'.padEnd(24, '0')}/2026-02-30`, 'This is no organization and day.'],
    [`/coverage/${'5d'.padEnd(24, '0')}/2026-11-20/<img src=x>`, 'This is no organization and day.'],
    [`/coverage/${'5d'.padEnd(24, '0')}/9999-01-01`, 'This is no organization and day.'],
    ['/runs/1', 'There is no such run on record.'],
    ['/runs/00000000-0000-4000-8000-00000000dead', 'There is no such run on record.'],
  ] as const)('%s is not there: %s', async ([path, said]) => {
    expect(await open(path, 404)).toContain(said);
  });
});

describe('changes', () => {
  test('are the final numbers that changed, with who changed them and how many they are', async () => {
    const text = textOf(await open('/changes'));
    expect(text).toContain('2 final numbers changed, 1 by hand . Download as CSV');
    expect(text).toContain('Net effect: +250 billable payloads');
    expect(text).toMatch(
      /2026-10-21 payload_source_count , payloads, timer from &lt;b&gt; 5 none -5 final anna , by hand/,
    );
    expect(text).toMatch(/2026-10-20 payload_billable_count , payloads 1,000 1,250 \+250 final run 00000000/);
    const each = text.split('Each change')[1];
    expect(each).not.toContain('devices_total');
    expect(each).not.toContain('payload_all_count');
  });

  test.for([
    ['which=all', ['2026-10-22', '2026-10-21', '2026-10-20']],
    [`which=all&run=${RUN_2}`, ['2026-10-22']],
    ['by=hand', ['2026-10-21']],
    ['month=2026-09', []],
    ['month=2026-10&q=onerror', ['2026-10-21', '2026-10-20']],
    ['month=rubbish&before=rubbish&run=rubbish', ['2026-10-21', '2026-10-20']],
  ] as const)('with %s are those of %j', async ([query, days]) => {
    const text = await open(`/changes?${query}`);
    const shown = [...text.matchAll(/href="\/coverage\/[0-9a-f]{24}\/([\d-]{10})\//g)].map(([, day]) => day);
    expect(shown).toEqual(days);
    if (days.length === 0) expect(text).toContain('No final number of 2026-09 has changed.');
  });
});

test('changes are a file, with the filters of the page', async () => {
  const response = await pages.get('/changes?csv=1&metric=payload_billable_count');
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  const lines = (await response.text()).split('\r\n');
  expect(lines[0]).toMatch(/^changed_at,instance_id,org_id,org_name,usage_date,stream,metric,unit,/);
  expect(lines[1]).toContain(
    '2026-10-20,payload_totals,payload_billable_count,payloads,,,1000,1250,250,true,false',
  );
  expect(lines[2]).toBe('');
});

describe('runs', () => {
  test('begin with the last 24 hours, where a wake-up with nothing due is a circle', async () => {
    const now = Date.parse('2026-11-24T12:30:00.000Z');
    const wakes = [
      { instanceId: INSTANCE, at: '2026-11-24T10:20:00.500Z', result: 'partial' },
      { instanceId: INSTANCE, at: '2026-11-24T11:15:00.100Z', result: 'complete' },
    ] as const;
    const { db } = data.ledger;
    await using night = await startPages({
      sources: { read: (query) => query(db), now: () => now, wakes: () => wakes },
    });
    const text = await (await night.get('/runs')).text();
    expect(text).toContain('<li title="2026-11-24 09:00 UTC: 1 run"><a href="/runs?started=2026-11-24">');
    expect(text).toContain('<li title="2026-11-24 10:00 UTC: 1 run, 1 with trouble">');
    expect(text).toContain('<li title="2026-11-24 11:00 UTC: 1 wake-up with nothing due"><span>');
    expect(text).toContain('<li title="2026-11-23 13:00 UTC: nothing">');
  });

  test('are listed with their length and the first cause of what failed', async () => {
    const text = textOf(await open('/runs'));
    expect(text).toContain('2 runs.');
    expect(text).toMatch(
      /backfill partial 20 min 2026-11-01 to 2026-11-05 100 90 10 100 server_error: &lt;i&gt;HTTP 500&lt;\/i&gt; \(2 organizations\); 1 more cause/,
    );
    expect(text).toMatch(/scheduled complete 2 min 5 s 2026-11-23 1,200 1,200 0 1,500 –/);
    const partial = await open('/runs?status=partial&kind=backfill&instance=rubbish');
    expect([partial.includes(RUN_1), partial.includes(RUN_2)]).toEqual([false, true]);
    expect(textOf(await open('/runs?status=interrupted'))).toContain('0 runs.');
  });

  test('each has a page with its failures by cause', async () => {
    const text = await open(`/runs/${RUN_2}`);
    expect(textOf(text)).toContain('server_error : &lt;i&gt;HTTP 500&lt;/i&gt; device_counts 8 2');
    expect(text).toContain(`href="/coverage?q=${data.hostile}"`);
    expect(textOf(text)).toContain('timeout : no answer – 2 1 –');
  });
});

test('answers in quarantine are listed with what was wrong', async () => {
  const text = textOf(await open('/quarantine'));
  expect(text).toContain(`device_counts ${daysAgo(3)} 2 invalid_value : total: not a number`);
  expect(text).toContain('{&quot;total&quot;:&quot;&lt;script&gt;alert(1)&lt;/script&gt;');
});

function readingOf(rows: readonly Comparison[]): Reading<Reconciliation> {
  return {
    value: { rows: [...rows], daysCompared: 0, monthsCompared: [], monthsNotRead: [] },
    atMs: NOW_MS,
    tookMs: 1,
  };
}

test('totals that were never read differ from nothing', async () => {
  const totals = () => Promise.resolve(readingOf([]));
  await using compared = await startPages({ sources: { totals } });
  expect(await (await compared.get('/totals?month=2026-10')).text()).toContain(
    'Nothing that was compared differs in October 2026.',
  );
});

test('totals that differ are shown with both figures, who is missing and what to do', async () => {
  const row: Comparison = {
    ...{ scope: 'instance_day', instanceId: INSTANCE, month: '2026-10-01', day: '2026-10-05', orgId: null },
    ...{
      orgName: null,
      isListed: true,
      metric: 'payload_billable_count',
      unit: 'payloads',
      quantity: '1500',
    },
    ...{ total: '2000', difference: '-500', orgsMissing: 3, orgsRemoved: 0, daysMissing: null },
    ...{ outcome: 'pending', reason: 'orgs_missing', verifiedAt: null },
  };
  const unlisted: Comparison = {
    ...{ ...row, scope: 'org_month', day: null, orgId: '5d0000000000000000000009', orgName: 'Ghost' },
    ...{ isListed: false, quantity: null, orgsMissing: null, outcome: 'differs', reason: null },
  };
  const totals = () => Promise.resolve(readingOf([row, unlisted]));
  await using compared = await startPages({ sources: { totals } });
  const page = await (await compared.get('/totals?month=2026-10')).text();
  expect(textOf(page)).toMatch(
    /2026-10-05 payload_billable_count payloads 1,500 2,000 -500 3 organizations without a number Fill the gaps first: losant-usage backfill --from 2026-10-05 --to 2026-10-05 --force/,
  );
  expect(page).toContain('href="/coverage?stream=payload_totals&amp;to=2026-10-05&amp;only=gap"');
  expect(textOf(page)).toContain('the organization: it was never listed here Check LOSANT_ORG_IDS');
});

test.for([
  '/coverage',
  `/coverage/${'5d'.padEnd(24, '0')}/2026-11-20`,
  '/changes',
  '/runs',
  '/quarantine',
  `/runs/${RUN_1}`,
])('%s says that the database does not answer, with 503', async (path) => {
  await using away = await startPages({
    sources: { read: () => Promise.reject(new Error('secret detail')) },
  });
  const response = await away.get(path);
  expect(response.status).toBe(503);
  const text = await response.text();
  expect(text).toContain('The database does not answer in time.');
  expect(text).not.toContain('secret detail');
});

test('totals say that the database does not answer, with 503', async () => {
  await using away = await startPages({
    sources: { database: () => Promise.resolve(viewOf(null, { isUp: false })) },
  });
  expect((await away.get('/totals')).status).toBe(503);
});
