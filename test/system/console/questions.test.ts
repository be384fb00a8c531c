/** What an account manager asks, in a real browser: at most two steps from Home, with the numbers of the base tables. */
import { Hono } from 'hono';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { ICON } from '../../../src/console/page.ts';
import { addPages } from '../../../src/console/pages.ts';
import { listen } from '../../../src/server/listen.ts';
import { showNumber } from '../../../src/terminal/words.ts';
import { ORGS, useWorld } from '../../console/world.ts';
import { useDisposable, useOpened } from '../../opened.ts';
import { startBrowser } from './browser.ts';

/** What an organization had this month is half of what it had before. */
const HALVED = `update losant_usage.usage_days set payload_billable_count = 200
  where org_id = '${ORGS.gappy}' and month = '2026-11-01' and payload_billable_count is not null`;

const world = useWorld(HALVED);
const startConsole = async () => {
  const app = new Hono();
  addPages(app, world.sources);
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  return await listen(app, { host: '127.0.0.1', port: 0, token: null, logger: world.sources.logger });
};
const server = useOpened(startConsole, (opened) => opened.close());
const browser = useDisposable(startBrowser);
const tab = useDisposable(() => browser.open());

type Step = (page: Page) => Promise<void>;

const click =
  (name: string): Step =>
  (page) =>
    page.getByRole('link', { name, exact: true }).first().click();

const fill =
  (label: RegExp, text: string): Step =>
  async (page) => {
    await page.getByLabel(label).fill(text);
    await page.keyboard.press('Enter');
    await page.waitForURL(/organizations/);
  };

const find = (text: string) => fill(/^Find an organization/, text);

/** The change of this month against 28 days before, over the days that are stored on both sides, as Home has it. */
const changeOf = (orgId: string) => `
  select to_char(round((sum(d.payload_billable_count) / sum(p.payload_billable_count) - 1) * 100), 'FMSG990') || '%'
  from losant_usage.usage_days d join losant_usage.usage_days p on p.org_id = d.org_id
    and p.usage_date = d.usage_date - 28 and d.payload_billable_count + p.payload_billable_count is not null
  where d.org_id = '${orgId}' and d.usage_date between '2026-11-01' and '2026-11-27'`;

/** Each question with its steps, and queries for what the page must have. */
const QUESTIONS: readonly (readonly [question: string, steps: readonly Step[], queries: readonly string[]])[] = [
  [
    'What is our total by day?',
    [click('Days, growth and plans')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days
        where usage_date = '2026-11-16' and org_id <> '0a0000000000000000000009'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where usage_date between '2026-11-01' and '2026-11-27' and org_id <> '0a0000000000000000000009'`,
    ],
  ],
  [
    'Who grew most this quarter?',
    [click('Days, growth and plans'), click('This quarter')],
    [
      // The days that are compared with its first two were before the first of all.
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-10-03' and '2026-11-27'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-08-01' and '2026-09-25'`,
    ],
  ],
  [
    'How do two organizations compare?',
    [find('Office'), fill(/^Compare with another/, 'Silent')],
    [ORGS.office, ORGS.silent].map(
      (orgId) => `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${orgId}' and usage_date between '2026-11-01' and '2026-11-27'`,
    ),
  ],
  [
    'What was billed this year?',
    [click('Billing'), click('Billed this year by customer')],
    [
      `select sum(quantity) from losant_usage.statement_lines
        where metric = 'payload_billable_count' and org_id <> '0a0000000000000000000009'`,
      `select sum(quantity) from losant_usage.statement_lines
        where metric = 'payload_billable_count' and org_id = '${ORGS.office}'`,
    ],
  ],
  [
    'Which plan is used too much?',
    [click('Days, growth and plans'), click('Plans and limits')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days d join losant_usage.organizations o using (org_id)
        where usage_date between '2026-11-01' and '2026-11-27' and o.plan_id = 'gold' and o.limits ? 'payload'`,
      `select sum((limits ->> 'payload')::bigint) from losant_usage.organizations where plan_id = 'gold'`,
    ],
  ],
  [
    'What are the plan and the limits of an organization?',
    [find('C-1')],
    [
      `select (limits ->> 'payload')::bigint from losant_usage.organizations where org_id = '${ORGS.office}'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.office}' and usage_date between '2026-11-01' and '2026-11-27'`,
    ],
  ],
  [
    'What is October by type and source?',
    [find('Doubled'), click('October 2026')],
    [
      `select sum((payload_sources -> 'mqtt' ->> 'device')::bigint) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-10-01' and '2026-10-31'`,
    ],
  ],
  ['Who doubled, and who halved?', [], [changeOf(ORGS.doubled), changeOf(ORGS.gappy)]],
  [
    'Who is silent, new or deleted?',
    [],
    [
      `select 'since ' || max(usage_date) + 1 from losant_usage.usage_days
        where org_id = '${ORGS.silent}' and payload_billable_count > 0`,
      `select 'Newcomer ' || created_on from losant_usage.organizations where org_id = '${ORGS.newcomer}'`,
      `select 'Deleted ' || deleted_on from losant_usage.organizations where org_id = '${ORGS.deleted}'`,
    ],
  ],
  [
    'Who will exceed a limit?',
    [click('Office')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days where org_id = '${ORGS.office}'
      and month = '2026-11-01'`,
    ],
  ],
  [
    'What will next month be?',
    [find('Office')],
    [
      `select sum(w.average) from generate_series(timestamp '2026-12-01', '2026-12-31', interval '1 day') as day join (
          select extract(isodow from usage_date) as weekday, avg(payload_billable_count) as average
          from losant_usage.usage_days
          where org_id = '${ORGS.office}' and usage_date between '2026-10-31' and '2026-11-27' group by 1
        ) as w on w.weekday = extract(isodow from day)`,
    ],
  ],
  [
    'Why is a day missing?',
    [click('Gappy'), click('2026-11-27')],
    [
      `select concat(reason, ': ', detail) from losant_usage.coverage where org_id = '${ORGS.gappy}'
      and usage_date = '2026-11-27' and standing = 'missing'`,
    ],
  ],
  [
    'What changed since September was closed?',
    [click('Adjust: Month needs an adjustment')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days where org_id = '${ORGS.office}'
        and month = '2026-09-01'`,
      `select sum(quantity) from losant_usage.statement_lines where org_id = '${ORGS.office}'
        and month = '2026-09-01' and metric = 'payload_billable_count'`,
    ],
  ],
  [
    'What did the last run do?',
    [click('Runs')],
    [`select (counts -> 'cells' ->> 'loaded')::integer from losant_usage.runs`],
  ],
  [
    'What is usual at 8 o’clock?',
    [find('Hourly'), click('Hours')],
    [
      `select '08:00 ' || avg(hours_billable_count[9])::integer from losant_usage.usage_days
      where org_id = '${ORGS.hourly}' and month = '2026-11-01'`,
    ],
  ],
];

test.for(QUESTIONS)('%s', async ([, steps, queries]) => {
  const { page, problems } = tab;
  await page.goto(`http://127.0.0.1:${server.port}/`);
  for (const step of steps) await step(page);
  expect(steps.length).toBeLessThanOrEqual(2);
  for (const query of queries) {
    const [row] = await world.ask(query);
    const value = String(Object.values(row ?? {})[0]);
    const text = /^[\d.]+$/.test(value) ? showNumber(Number(value)) : value;
    // The values of a chart are folded.
    const read = async () =>
      `${await page.innerText('main')} ${await page.textContent('main')}`.replaceAll(/\s+/g, ' ');
    await expect.poll(read).toContain(text);
  }
  expect(problems).toEqual([]);
});

test('a list prints within the width of A4', async () => {
  const { page } = tab;
  await page.emulateMedia({ media: 'print' });
  // 210 mm without margins of 15 mm, at 96 pixels an inch.
  await page.setViewportSize({ width: 680, height: 900 });
  for (const path of ['/', '/usage', `/organizations/${ORGS.office}`, '/gaps', '/runs', '/billed', '/attention']) {
    await page.goto(`http://127.0.0.1:${server.port}${path}`);
    const overflow =
      '[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > 681)' +
      '.map((e) => e.outerHTML.slice(0, 80))';
    expect({ path, wide: await page.evaluate<string[]>(overflow) }).toEqual({ path, wide: [] });
  }
});
