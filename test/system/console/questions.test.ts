/**
 * The twelve questions that the console answers, in a real browser: each at most two clicks from Home, and each answer
 * equal to what the base tables have.
 */
import { Hono } from 'hono';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { ICON } from '../../../src/console/page.ts';
import { addPages, PAGES } from '../../../src/console/pages.ts';
import { listen } from '../../../src/server/listen.ts';
import { CUSTOMER, ORGS, useWorld } from '../../console/world.ts';
import { useDisposable, useOpened } from '../../opened.ts';
import { asOwner } from '../../support/databases.ts';
import { ALL_LOOKS, auditPage, prepareAudit } from './audit.ts';
import { startBrowser } from './browser.ts';

const world = useWorld();
const startConsole = async () => {
  const app = new Hono();
  addPages(app, world.sources);
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  return await listen(app, { host: '127.0.0.1', port: 0, token: null, logger: world.sources.logger });
};
const server = useOpened(startConsole, (opened) => opened.close());
const browser = useDisposable(startBrowser);
const tab = useDisposable(() => browser.open());

const addressOf = (path: string) => `http://127.0.0.1:${server.port}${path}`;

type Step = (page: Page) => Promise<void>;

const click =
  (name: string): Step =>
  (page) =>
    page.locator('main, header').getByRole('link', { name, exact: true }).first().click();

const find =
  (text: string): Step =>
  async (page) => {
    await page.getByLabel(/^Find an organization/).fill(text);
    await page.keyboard.press('Enter');
    await page.waitForURL(/organizations\?q=/);
  };

const number = (expression: string) => `to_char(${expression}, 'FM999,999,999,990')`;
const PAYLOADS = 'sum(payload_billable_count)';
const NOVEMBER = "usage_date between '2026-11-01' and '2026-11-27'";
const officeOf = (month: string) => `org_id = '${ORGS.office}' and month = '${month}'`;

interface Question {
  readonly steps: readonly Step[];
  /** A text that the page must have, in one column; a pattern, with % for anything. */
  readonly answer: string;
}

const QUESTIONS: Readonly<Record<string, Question>> = {
  'Is yesterday complete?': {
    steps: [],
    answer: `select format('incomplete %s of %s expected cells stored', count(*) filter (where is_stored), count(*))
      from losant_usage.coverage where usage_date = '2026-11-27'
        and stream in (select stream from losant_usage.streams)`,
  },
  'Who is missing, and why?': {
    steps: [],
    answer: `select format('%s %s ✕ missing %s: %s', o.name, c.stream, c.reason, c.detail)
      from losant_usage.coverage c join losant_usage.organizations o using (org_id)
      where c.usage_date = '2026-11-27' and c.standing = 'missing'`,
  },
  'What is our total by day?': {
    steps: [click('Usage')],
    answer: `select format('Wed, 11 Nov 2026%s payloads', ${number(PAYLOADS)}) from losant_usage.usage_days
      where usage_date = '2026-11-11'`,
  },
  'What is the month of an organization?': {
    steps: [find('C-1'), click('Office')],
    answer: `select format('November 2026 %s', ${number(PAYLOADS)}) from losant_usage.usage_days
      where ${officeOf('2026-11-01')}`,
  },
  'What are its limits?': {
    steps: [find('C-1'), click('Office')],
    answer: `select format('payload payloads 21,500 %s', ${number(PAYLOADS)}) from losant_usage.usage_days
      where ${officeOf('2026-11-01')}`,
  },
  'Who is the largest?': {
    steps: [click('Usage')],
    answer: `select format('%s %s', o.name, ${number(PAYLOADS)}) from losant_usage.usage_days
      join losant_usage.organizations o using (org_id) where ${NOVEMBER}
      group by o.org_id, o.name order by ${PAYLOADS} desc limit 1`,
  },
  'What changed since a date?': {
    steps: [click('Changes')],
    answer: `select format('%s 2026-09-15 payload_billable_count %s %s', o.name,
        r.old ->> 'payload_billable_count', ${number("(r.new ->> 'payload_billable_count')::bigint")})
      from losant_usage.revisions r join losant_usage.organizations o using (org_id)`,
  },
  'What is the history of a number?': {
    steps: [click('Changes'), click('2026-09-15')],
    answer: `select format('%s UTC payload_billable_count 500 1,000', to_char(changed_at at time zone 'UTC',
      'YYYY-MM-DD HH24:MI')) from losant_usage.revisions`,
  },
  'Can the month be closed, and what blocks it?': {
    steps: [click('Billing'), click('October 2026')],
    answer: `select format('%s missing losant-usage backfill --org %s --from %s --to %3$s 1 %3$s %3$s payload_totals %4$s', o.name,
        c.org_id, usage_date, c.detail)
      from losant_usage.coverage c join losant_usage.organizations o using (org_id)
      where month = '2026-10-01' and standing <> 'final'`,
  },
  'What was billed to a customer?': {
    steps: [click('September 2026'), click(CUSTOMER)],
    answer: `select format('Billable payloads Office %s', ${number('sum(quantity)')})
      from losant_usage.statement_lines where ${officeOf('2026-09-01')} and metric = 'payload_billable_count'`,
  },
  'What has to be adjusted?': {
    steps: [click('September 2026')],
    answer: `select format('Office payload_billable_count %s %s', ${number('b.quantity')}, ${number('u.quantity')})
      from (select sum(quantity) as quantity from losant_usage.statement_lines
        where ${officeOf('2026-09-01')} and metric = 'payload_billable_count') as b
      cross join (select ${PAYLOADS} as quantity from losant_usage.usage_days where ${officeOf('2026-09-01')}) as u`,
  },
  'Does it agree with Losant?': {
    steps: [click('Agreement with Losant')],
    answer: `select format('2026-11-10 devices_total Losant difference %s %s', sum(u.devices_total), min(t.losant_total))
      from losant_usage.usage_days u
      join losant_usage.instance_totals t on t.usage_date = u.usage_date and t.metric = 'devices_total'
      where u.usage_date = '2026-11-10'`,
  },
};

test.for(Object.entries(QUESTIONS))('%s', async ([, { steps, answer }]) => {
  const { page, problems } = tab;
  await page.goto(addressOf('/'));
  for (const step of steps) await step(page);
  expect(steps.length).toBeLessThanOrEqual(2);
  const [row = {}] = await asOwner(world.url, answer);
  // The numbers of a chart are folded.
  const read = async () => `${await page.innerText('main')} ${await page.textContent('main')}`.replaceAll(/\s+/g, ' ');
  await expect.poll(read).toContain(Object.values(row)[0]);
  expect(problems).toEqual([]);
});

const STATEMENT = `/billing/2026-09/customer?key=${encodeURIComponent(CUSTOMER)}`;

/** An address of each page. */
const ADDRESSES = PAGES.map(({ path }) => {
  if (path === '/billing/:month/customer') return STATEMENT;
  if (path === '/billing/:month') return '/billing/2026-09';
  if (path === '/coverage/:org/:day') return `/coverage/${ORGS.gappy}/2026-11-27`;
  return path.replace(':id', ORGS.office);
});

test('every page is accessible and fits, wide and narrow, light and dark', async () => {
  await using audited = await browser.open();
  await prepareAudit(audited.page);
  const problems: string[] = [];
  for (const path of [...ADDRESSES, '/billing/2026-10']) {
    await expect
      .poll(async () => {
        await audited.page.goto(addressOf(path));
        return await audited.page.innerText('main');
      })
      .not.toContain('Counting…');
    const name = `world-${path === '/' ? 'home' : path.slice(1)}`.replaceAll(/[^\w-]+/g, '-');
    problems.push(...(await auditPage(audited.page, name, ALL_LOOKS)));
  }
  expect([...problems, ...audited.problems]).toEqual([]);
});

test('every page prints within the width of A4, and a statement without the rest of the console', async () => {
  const { page } = tab;
  await page.emulateMedia({ media: 'print' });
  // 210 mm without margins of 15 mm, at 96 pixels an inch.
  await page.setViewportSize({ width: 680, height: 900 });
  for (const path of ADDRESSES.filter((each) => each !== '/coverage')) {
    await page.goto(addressOf(path));
    const overflow =
      '[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > 681)' +
      '.map((e) => e.outerHTML.slice(0, 80))';
    expect({ path, wide: await page.evaluate<string[]>(overflow) }).toEqual({ path, wide: [] });
  }
  await page.goto(addressOf(STATEMENT));
  expect(await page.locator('nav, form').evaluateAll((all) => all.filter((each) => each.checkVisibility()))).toEqual(
    [],
  );
  // A number or an ID that is broken into two lines has several rectangles.
  const divided = `[...document.querySelectorAll('td.n, td .id')].filter((each) => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return range.getClientRects().length !== 1;
  }).map((each) => each.innerText)`;
  expect(await page.evaluate(divided)).toEqual([]);
});
