import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { describeDays } from '../../src/console/organization.ts';
import { HOSTILE_NAME, ORGS, openWorld, RUN, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const PATHS = [
  '/',
  '/organizations',
  '/organizations?sort=-change&only=existing',
  `/organizations/${ORGS.hostile}`,
  `/organizations/${ORGS.hourly}?tab=hours`,
  '/coverage',
  '/coverage?days=90&stream=payload_totals',
  `/coverage/${ORGS.gappy}/2026-11-27`,
  '/gaps',
  '/quarantine',
  '/months',
  '/months/2026-10',
  '/months/2026-10/blockers',
  '/changes',
  '/runs',
  `/runs/${RUN}`,
];

describe.for(PATHS)('%s', (path) => {
  it('is shown, without markup or control characters of others, and without styles in its elements', async () => {
    const response = await world.open(path);
    expect(response.status).toBe(200);
    const page = await response.text();
    expect(page).not.toContain('<img');
    expect(page).not.toContain('<i>');
    expect(page).not.toContain('<script>alert');
    expect(page).not.toContain('\u0007');
    expect(page).not.toContain('\u202e');
    expect(page).not.toContain(' style=');
  });

  it('shows nothing of an instance that is not in the settings', async () => {
    expect(await world.text(path)).not.toContain('Foreign');
  });
});

test.for([
  '/organizations/0a0000000000000000000099',
  '/organizations/0a0000000000000000000009',
  '/organizations/x',
  '/coverage/x/2026-11-27',
  `/coverage/${ORGS.office}/2026-02-30`,
  '/runs/00000000-0000-4000-8000-000000000002',
  '/runs/x',
  '/months/2026-13',
  '/months/0000-01/blockers',
])('%s is no page', async (path) => {
  const response = await world.open(path);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('There is no such');
});

test.for([
  '/organizations?sort=nothing&page=0&only=nothing&q=%00%25',
  '/changes?from=0000-01-01&to=9999-99-99&run=x',
  '/coverage?to=0001-01-01&page=999999999',
  `/organizations/${ORGS.office}?from=1000-01-01&to=9999-12-31&metric=x&vs=x`,
  `/organizations/${ORGS.hourly}?tab=hours&zone=Nowhere`,
])('%s is shown as far as it makes sense', async (path) => {
  expect((await world.open(path)).status).toBe(200);
});

describe('a table', () => {
  const names = async (path: string) => {
    const page = await (await world.open(path)).text();
    return [...page.matchAll(/<td class="t"><a href="[^"]*" title="(\w+), /g)].map(([, name]) => name);
  };

  it('is sorted by the database, and those without a value come last', async () => {
    expect(await names('/organizations?sort=-payload_billable_count&plan=gold')).toEqual([
      'Office',
      'Doubled',
      'Left',
      'Gappy',
      'Silent',
      'Newcomer',
    ]);
    expect((await names('/organizations?sort=removed_on'))[0]).toBe('Left');
  });

  it('is searched by name, referral id and id, and keeps what was asked', async () => {
    expect(await names('/organizations?q=off')).toEqual(['Office']);
    expect(await names('/organizations?q=C-2')).toEqual(['Doubled']);
    expect(await names(`/organizations?q=${ORGS.left}`)).toEqual(['Left']);
    expect(await names('/organizations?tag=region%3Deu')).toEqual(['Office']);
    expect(await (await world.open('/organizations?q=off')).text()).toContain(
      'name="q" type="search" value="off"',
    );
  });

  it('is a file of all its rows, in which no text forms a formula', async () => {
    const response = await world.open('/organizations?format=csv&q=Silent');
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="organizations.csv"');
    const [head, row] = (await response.text()).split('\r\n');
    expect(head).toContain('org_name,org_id,instance_name,referral_id,plan_id,payload_billable_count');
    expect(row).toContain(`Silent,${ORGS.silent},Main,C-3,gold,7200,0,`);
  });
});

describe('an organization', () => {
  it('lacks nothing before it existed and after it left', async () => {
    const newcomer = await world.text(`/organizations/${ORGS.newcomer}`);
    expect(newcomer).toContain(
      '250 on 5 stored days. +250 beside the same weekdays before: 250 and 0 on the 5 days',
    );
    expect(newcomer).not.toContain('not stored:');
    const left = await world.text(`/organizations/${ORGS.left}`);
    expect(left).toContain('16,800 on 24 stored days. -11 % beside');
    expect(left).not.toContain('not stored:');
  });

  it('is compared over the days that have both numbers', async () => {
    // 10 October is missing: with it the day 28 days later is left out.
    const page = await world.text(`/organizations/${ORGS.gappy}`);
    expect(page).toContain(
      '10,400 on 26 stored days. 0 % beside the same weekdays before: 10,000 and 10,000 on the 25 days',
    );
    expect(page).toContain('1 day is not stored and in no sum.');
  });

  it('has the number that was invoiced beside that of today', async () => {
    expect(await world.text(`/organizations/${ORGS.office}`)).toMatch(/September 2026 22,800 22,300 ≠/);
  });

  it('shows the hours of its week', async () => {
    const page = await world.text(`/organizations/${ORGS.hourly}?tab=hours`);
    expect(page).toContain('08:00 24 24 24 24 24 24 24');
    expect(page).toContain('18:00 0 0 0 0 0 0 0');
  });

  it('shows a name as it is, but for what cannot be seen', async () => {
    const shown = HOSTILE_NAME.replaceAll('\u202e', '\ufffd').replaceAll('\u0007', '\ufffd');
    expect(await world.text(`/organizations/${ORGS.hostile}`)).toContain(shown);
  });
});

test('a level is not added up', () => {
  const days = ['2026-11-01', '2026-11-02'].map((day, place) => ({
    day,
    standing: 'final' as const,
    isLeftOut: false,
    quantity: 10 + place,
    beforeDay: day,
    before: 5,
  }));
  expect(describeDays({ metric: 'devices_total', comparison: 'before', show: String }, days)).toBe(
    '11 on 2026-11-02. +120 % beside the days before: 11 and 5 on the 2 days that have both.',
  );
});

test('the map is shaded by the share of a day that is missing, the worst organization first', async () => {
  const page = await (await world.open('/coverage')).text();
  expect(page).toContain(
    'm-bad s-2"><a href="/gaps?day=2026-11-27" tabindex="-1" title="2026-11-27: 1 of 29 missing or in doubt"',
  );
  const [first] = [...page.matchAll(/<th class="name" scope="row"><a\s+href="[^"]*"\s+title="(\w+)"/g)];
  expect(first?.[1]).toBe('Gappy');
});
