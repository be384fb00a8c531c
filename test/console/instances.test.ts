/** Each instance is named, also beside one of the same name, and a link opens what is counted of its instance. */
import { Hono } from 'hono';
import { beforeAll, expect, it } from 'vitest';
import { addPages } from '../../src/console/pages.ts';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { readHealth } from '../../src/queries/health.ts';
import { useOpened } from '../opened.ts';
import { FOREIGN, INSTANCE, NOW, OTHER, openWorld, textOf } from './world.ts';

/** No run has tried to read it. */
const UNTRIED = '5c0000000000000000000003';
const IDS = [INSTANCE, OTHER, UNTRIED];

const SAME_NAME = `update losant_usage.instances set name = 'Main';
  update losant_usage.organizations set name = '  ' where org_id = '${FOREIGN}'`;

const world = useOpened(
  () => openWorld(SAME_NAME),
  (opened) => opened.close(),
);
let app: Hono;

beforeAll(async () => {
  const { db } = world.handle;
  await refreshAttention({ db, instanceId: OTHER, lease: null }, '2026-11-28');
  const health = await readHealth(db, { nowMs: NOW, instanceIds: IDS });
  app = new Hono();
  const database = () => Promise.resolve({ isUp: true, snapshot: { value: health, atMs: NOW } });
  addPages(app, { ...world.sources, instanceIds: IDS, database });
});

const open = async (path: string) => await (await app.request(path)).text();
const text = async (path: string) => textOf(await open(path));

it('is named with its ID if another has the same name', async () => {
  const home = await text('/');
  expect(home).toContain(`Needs attention Main ${INSTANCE}: just now · Main ${OTHER}: just now`);
  expect(home).toContain(`devices_total losant since 2026-11-10 · Main ${OTHER} Open`);
  await expect.poll(() => text('/billing')).toContain(`September 2026 Main ${INSTANCE} needs adjustment`);
  expect(await text(`/organizations/${FOREIGN}`)).toContain(`Instance Main ${OTHER}`);
});

it('is on Home if no run has tried to read it', async () => {
  expect(await text('/')).toContain(`Never read ${UNTRIED} no run has tried to read it Open`);
});

it('has its months on Home', async () => {
  await expect
    .poll(() => text('/'))
    .toMatch(
      new RegExp(
        `October 2026 Main ${INSTANCE} blocked .* October 2026 Main ${OTHER} needs adjustment .* ` +
          `September 2026 Main ${INSTANCE} needs adjustment .* September 2026 Main ${OTHER} `,
      ),
    );
});

it('has no command to close a month in which it has no organization', async () => {
  const page = await text('/billing/2026-10');
  expect(page).toContain(`losant-usage close --month 2026-10 --instance ${INSTANCE} --dry-run`);
  expect(page).not.toContain(UNTRIED);
});

it('has links to its own statements and sums', async () => {
  expect(await open('/billing/2026-09')).toContain(
    `href="/billing/2026-09/customers?number=1&amp;instance=${INSTANCE}"`,
  );
  expect(await text(`/billing/2026-09/customers?number=1&instance=${INSTANCE}`)).toContain('84 rows');
  expect(await text(`/billing/2026-09/customers?number=1&instance=${OTHER}`)).toContain('0 rows');
  const sums = `/reconciliation?outcome=differs&metric=devices_total&instance=`;
  expect(await open('/')).toContain(`href="${sums.replaceAll('&', '&amp;')}${OTHER}"`);
  expect(await text(`${sums}${OTHER}`)).toContain('1 row ');
  expect(await text(`${sums}${INSTANCE}`)).toContain('0 rows');
});

it('shows an organization whose name is only spaces as one without a name', async () => {
  expect(await open('/organizations?sort=-instance_name')).toMatch(/title=" {2}, [0-9a-f]{24}">\(no name\)<\/a>/);
  expect(await text(`/organizations/${FOREIGN}`)).toMatch(/^\s*\(no name\) /);
  expect(await open('/coverage')).toContain(`<a href="/organizations/${FOREIGN}">(no name)</a>`);
});
