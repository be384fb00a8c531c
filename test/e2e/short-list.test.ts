/** Nobody is left out unseen: a list that is not complete, and organizations that cannot be read. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';
import { createPlace, type Place, readStored, readTruth } from './usage.ts';

const exported = useExport({ orgs: 12, pageSizeMax: 4 });
let orgIds: string[];
let place: Place;

beforeAll(async () => {
  orgIds = await orgIdsOf(exported.platform);
});

beforeEach(async () => {
  place = await createPlace('postgres');
  return () => place.remove();
});

const list = (faults: object) => exported.platform.control('config', { list: faults });
const run = () => exported.run(['run', '--json'], { DATABASE_URL: place.url });

/** The next run, of a list with nothing wrong, has all that is true. */
async function expectHealed(): Promise<void> {
  await list({});
  expect((await run()).code).toBe(0);
  expect(await readStored(place)).toEqual(await readTruth(exported.platform, daysAgo(1), daysAgo(1)));
  expect((await exported.run(['gaps'], { DATABASE_URL: place.url })).code).toBe(0);
}

describe('a list of 12 organizations that is short', () => {
  it.each([
    ['has an empty page in its middle', { emptyPages: [1] }, 32],
    ['gives the first page again and again', { ignorePage: true }, 16],
    ['says that there are none on full pages', { totalCount: 0 }, 48],
  ])(
    'as it %s: the known ones are exported, and every run says that others may be missing',
    async (...row) => {
      const [, faults, planned] = row;
      await list(faults);
      const first = await run();
      expect(first.code).toBe(3);
      expect(jsonOf(first)).toMatchObject({
        status: 'partial',
        cells: { planned, loaded: planned },
        failures: [
          {
            orgId: null,
            stream: null,
            code: 'list_incomplete',
            message: expect.stringContaining('organizations may be missing') as string,
          },
        ],
      });
      const second = await run();
      expect(second.code).toBe(3);
      expect(jsonOf(second).failures.map(({ code }) => code)).toEqual(['list_incomplete']);
      await expectHealed();
    },
  );

  it('ends status with exit code 3 until a complete one has come', async () => {
    const status = () => exported.run(['status'], { DATABASE_URL: place.url });
    await list({ emptyPages: [1] });
    await run();
    const ended = await status();
    expect(ended.code).toBe(3);
    expect(ended.stdout).toContain('organizations may be missing');
    await list({});
    await run();
    expect((await status()).code).toBe(0);
  });
});

describe('an organization that cannot be read', () => {
  it('and has an id is a failure of every run, and its numbers are read all the same', async () => {
    const orgId = orgIds[7] ?? '';
    await list({ items: { [orgId]: 'no_name' } });
    for (const planned of [48, 0]) {
      const ended = await run();
      expect(ended.code).toBe(3);
      expect(jsonOf(ended)).toMatchObject({
        cells: { planned },
        failures: [{ orgId, stream: null, code: 'org_unreadable' }],
      });
    }
    const [stored] = await place.query(
      `select count(*)::int as cells from losant_usage.coverage where org_id = '${orgId}'`,
    );
    expect(stored).toEqual({ cells: 4 });
  });

  it('and has none leaves the list incomplete, in every run', async () => {
    await list({ items: { [orgIds[7] ?? '']: 'null' } });
    for (const planned of [44, 0]) {
      const ended = await run();
      expect(ended.code).toBe(3);
      expect(jsonOf(ended)).toMatchObject({
        cells: { planned },
        failures: [{ orgId: null, code: 'list_incomplete' }],
      });
    }
    await expectHealed();
  });
});

it('an organization that is deleted between two pages costs no other one its day', async () => {
  await list({ deleteAfter: { page: 0, orgId: orgIds[3] } });
  const ended = await run();
  expect(ended.code).toBe(0);
  const stored = await place.query(`select distinct org_id from losant_usage.coverage`);
  const others = orgIds.filter((orgId) => orgId !== orgIds[3]);
  expect(others.filter((orgId) => !stored.some(({ org_id }) => org_id === orgId))).toEqual([]);
});

it('a clock that jumps in the middle of a run ends it, and what is loaded is true', async () => {
  const { platform } = exported;
  const DAY_MS = 86_400_000;
  await list({});
  await platform.control('config', { clockJump: { afterRequests: 40, byMs: 4 * DAY_MS } });
  const ended = await run();
  expect(ended.code).toBe(1);
  expect(ended.stdout).toContain('clock_skew');
  const [ahead] = await place.query(
    `select count(*)::int as cells from losant_usage.coverage where standing = 'final' or verified_at > now()`,
  );
  expect(ahead).toEqual({ cells: 0 });
  await platform.control('config', { clockJump: null, clock: { offsetMs: 0 } });
  expect((await run()).code).toBe(0);
  expect(await readStored(place)).toEqual(await readTruth(platform, daysAgo(1), daysAgo(1)));
});
