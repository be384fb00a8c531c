/** What an account manager asks, in a real browser: at most two steps from Home. */
import { Hono } from 'hono';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { ICON } from '../../../src/console/page.ts';
import { addPages } from '../../../src/console/pages.ts';
import { listen } from '../../../src/server/listen.ts';
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

const growth = click('Days, growth and plans');

/** Each question with its steps, and what the page must have, by the numbers of the world. */
const QUESTIONS: readonly (readonly [question: string, steps: readonly Step[], ...texts: readonly string[]])[] = [
  ['What is our total by day?', [growth], '3,680 payloads', '87,370 over 27 stored days'],
  ['Who grew most this quarter?', [growth, click('This quarter')], 'Doubled 28,000 39,000'],
  ['How do two organizations compare?', [find('Office'), fill(/^Compare with another/, 'Silent')], '20,700', '7,200'],
  ['What was billed this year?', [click('Billing'), click('Billed this year by customer')], '93,700', '22,300'],
  ['Which plan is used too much?', [growth, click('Plans and limits')], '80,890 6,021,500'],
  ['What are the plan and the limits of an organization?', [find('C-1')], '21,500 20,700'],
  ['What is October by type and source?', [find('Doubled'), click('October 2026')], 'mqtt device 11,625'],
  ['Who doubled, and who halved?', [], 'Doubled +81%', 'Gappy -50%'],
  ['Who is silent, new or deleted?', [], 'since 2026-11-25', 'Newcomer 2026-11-23', 'Deleted 2026-11-25'],
  ['Who will exceed a limit?', [click('Office')], '20,700'],
  ['What will next month be?', [find('Office')], '23,800'],
  ['Why is a day missing?', [click('Gappy'), click('2026-11-27')], 'server_error: HTTP 500'],
  ['What changed since September was closed?', [click('Adjust: Month needs an adjustment')], '22,800 22,300'],
  ['What did the last run do?', [click('Runs')], ' 38 '],
  ['What is usual at 8 o’clock?', [find('Hourly'), click('Hours')], '08:00 24'],
];

test.for(QUESTIONS)('%s', async ([, steps, ...texts]) => {
  const { page, problems } = tab;
  await page.goto(`http://127.0.0.1:${server.port}/`);
  for (const step of steps) await step(page);
  expect(steps.length).toBeLessThanOrEqual(2);
  // The values of a chart are folded.
  const read = async () => `${await page.innerText('main')} ${await page.textContent('main')}`.replaceAll(/\s+/g, ' ');
  for (const text of texts) await expect.poll(read).toContain(text);
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
