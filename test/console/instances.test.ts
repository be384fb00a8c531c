/** Each instance is named, also next to one of the same name, and a link opens what is counted of its instance. */
import { beforeAll, expect, it, test } from 'vitest';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { asProgram } from '../support/by-hand.ts';
import { FOREIGN, INSTANCE, ORGS, OTHER, useWorld, type World } from './world.ts';

/** No run has tried to read it. */
const UNTRIED = '5c0000000000000000000003';
const RUN = '00000000-0000-4000-8000-000000000001';
const IDS = [INSTANCE, OTHER, UNTRIED];

const SAME_NAME = `update losant_usage.instances set name = 'Main';
  update losant_usage.organizations set name = '  ' where org_id = '${FOREIGN}'`;

const world = useWorld(SAME_NAME);
let pages: ReturnType<World['serve']>;

beforeAll(async () => {
  await refreshAttention({ db: world.handle.db, instanceId: OTHER, lease: null }, '2026-11-28');
  pages = world.serve({ instanceIds: IDS, database: await world.readDatabase(IDS) });
});

it('is named with its ID if another has the same name', async () => {
  const home = await pages.text('/');
  expect(home).toContain(`Needs attention Main ${INSTANCE}: just now · Main ${OTHER}: just now`);
  expect(home).toContain(`devices_total from Losant's total since 2026-11-10 · Main ${OTHER} Open`);
  expect(await pages.text('/billing')).toContain(`September 2026 Main ${INSTANCE} needs adjustment`);
  expect(await pages.text(`/organizations/${FOREIGN}`)).toContain(`Instance Main ${OTHER}`);
  expect(await pages.text('/reconciliation')).toContain(`Instance all Main ${INSTANCE} Main ${OTHER} ${UNTRIED} `);
  expect(await pages.text('/billing/2026-10')).toContain(`Reason for accepting blockers Main ${OTHER} 1 closing`);
});

it('is on Home if no run has tried to read it, and has its months there', async () => {
  const home = await pages.text('/');
  expect(home).toContain(`Never read ${UNTRIED} no run has tried to read it Open`);
  const states = [INSTANCE, OTHER].map((id) => `Main ${id} ${id === INSTANCE ? 'blocked' : 'needs adjustment'} .* `);
  expect(home).toMatch(new RegExp(`${states.map((state) => `October 2026 ${state}`).join('')}September 2026 Main `));
});

it('has its own items that need attention, by kind', async () => {
  const home = await pages.text('/');
  const missing = home.split('Data missing').slice(1);
  expect(missing).toHaveLength(1);
  expect(missing[0]).toMatch(new RegExp(`^ Gappy [^·]*· Main ${INSTANCE} Open`));
});

it('is named where a run failed, and where one is in progress', async () => {
  const problem = { code: 'unauthorized', message: 'Losant rejected the token', hint: 'replace it' };
  const progress = { runId: RUN, startedAt: '2026-11-28T11:00:00.000Z', plannedCells: 8, readCells: 2, failedReads: 0 };
  const status = { instanceId: OTHER, state: 'idle', lastRun: null } as const;
  const showHome = async (ids: readonly string[]) => {
    const instances = ids.map((instanceId) => ({ ...status, instanceId, problem, progress }));
    const worker = () => ({ ...world.sources.status(), instances });
    return await world.serve({ instanceIds: ids, database: await world.readDatabase(ids), status: worker }).text('/');
  };
  const home = await showHome([INSTANCE, OTHER]);
  for (const id of [INSTANCE, OTHER]) {
    expect(home).toContain(`Losant rejected the token replace it · Main ${id} Open`);
    expect(home).toContain(`2 of 8 cells read since 2026-11-28 11:00 UTC · Main ${id} `);
  }
  const alone = await showHome([INSTANCE]);
  expect(alone).toContain('Losant rejected the token replace it Open');
  expect(alone).toContain('2 of 8 cells read since 2026-11-28 11:00 UTC Needs attention');
});

it('is named by an empty list if nothing has been read of it', async () => {
  expect(await pages.text('/gaps?usage_date=2026-01-01')).toContain(` No rows; not known yet: ${UNTRIED} · `);
});

it('is a column of lists that have no more columns for it', async () => {
  const heads = (await pages.html('/reconciliation'))
    .match(/<th .*?<\/a>/g)
    ?.map((head) => head.replaceAll(/<.*?>/g, ''));
  expect(heads).toEqual(['Day', 'Instance', 'Metric', 'Compared with', 'Outcome', 'Difference']);
});

it('has no command to close a month in which it has no organization', async () => {
  const page = await pages.text('/billing/2026-10');
  expect(page).toContain(`losant-usage close --month 2026-10 --instance ${INSTANCE} --dry-run`);
  expect(page).not.toContain(UNTRIED);
});

it('has links to its own statements and sums', async () => {
  const customers = '/billing/2026-09/customers?number=1';
  expect(await pages.html('/billing/2026-09')).toContain(`href="${customers}&amp;instance=${INSTANCE}"`);
  const sums = `/reconciliation?outcome=differs&metric=devices_total`;
  expect(await pages.html('/')).toContain(`href="${sums.replaceAll('&', '&amp;')}&amp;instance=${OTHER}"`);
  expect(await pages.text(`${customers}&instance=${INSTANCE}`)).toContain(' 84 rows ');
  expect(await pages.text(`${customers}&instance=${OTHER}`)).toContain(' 0 rows ');
  expect(await pages.text(`${sums}&instance=${OTHER}`)).toContain(' 1 row ');
  expect(await pages.text(`${sums}&instance=${INSTANCE}`)).toContain(' 0 rows ');
});

it('shows an organization whose name is only spaces as its ID', async () => {
  expect(await pages.html('/organizations?sort=-instance_name')).toMatch(/title=" {2}, ([0-9a-f]{24})">\1<\/a>/);
  expect(await pages.text(`/organizations/${FOREIGN}`)).toMatch(new RegExp(`^\\s*${FOREIGN} `));
  expect(await pages.html('/coverage')).toContain(`href="/organizations/${FOREIGN}">${FOREIGN}</a>`);
  expect(await pages.html(`/organizations/${FOREIGN}`)).toContain(`<title>${FOREIGN} · `);
  expect(await pages.html(`/coverage/${FOREIGN}/2026-11-10`)).toContain(`<title>${FOREIGN}, 2026-11-10 · `);
});

/** An item more of each kind that Home knows. An organization can exceed two limits. */
const MORE_ITEMS = `insert into losant_usage.attention_items (instance_id, kind, subject, text, first_seen_on,
    last_seen_on)
  select '${INSTANCE}', k.kind, concat_ws(' ', '${ORGS.hourly}', n.limit_name), 'Hourly (by hand)', '2026-11-28',
    '2026-11-28'
  from unnest(enum_range(null::losant_usage.attention_kind)) as k (kind), (values ('payload'), ('device')) as n (limit_name)
  on conflict do nothing`;

test('each count of Home is the number of rows behind its link', async () => {
  await world.ask(asProgram(MORE_ITEMS));
  const { html, text } = world.serve({ database: await world.readDatabase([INSTANCE]) });
  const links = [...(await html('/')).matchAll(/<a class="go" href="([^"]*)"[^>]*>\w+ ([\d,]+)<\/a>/g)];
  expect(links).toHaveLength(15);
  for (const [, address = '', count] of links) {
    expect(await text(address.replaceAll('&amp;', '&'))).toContain(` ${count} rows `);
  }
});
