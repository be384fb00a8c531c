import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

interface Given {
  readonly id: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

const id = (number: number) => number.toString(16).padStart(24, 'a');

/** Organizations as the platform tells them, and what is stored of each. */
const ORGANIZATIONS: readonly (readonly [Given, Readonly<Record<string, unknown>>])[] = [
  [
    { id: id(1), attributes: { name: `Quote " ' and \\ ; drop table organizations; --` } },
    {
      name: `Quote " ' and \\ ; drop table organizations; --`,
    },
  ],
  [{ id: id(2), attributes: { name: 'Rockets 🚀🛰️ and 👨‍👩‍👧‍👦' } }, { name: 'Rockets 🚀🛰️ and 👨‍👩‍👧‍👦' }],
  [{ id: id(3), attributes: { name: '\tTab\tand\nnew line\r\n' } }, { name: '\tTab\tand\nnew line\r\n' }],
  [{ id: id(4), attributes: { name: 'ü'.repeat(255) } }, { name: 'ü'.repeat(255) }],
  [
    { id: id(5), attributes: { name: 'NUL \0 and half a pair \ud83d!' } },
    { name: 'NUL � and half a pair �!' },
  ],
  [
    {
      id: id(6).toUpperCase(),
      attributes: { name: 'Upper', id: id(6).toUpperCase(), orgId: id(6).toUpperCase() },
    },
    { name: 'Upper', org_id: id(6) },
  ],
  [
    {
      id: id(7),
      attributes: {
        name: 'Tags',
        tags: [
          { key: 'region', value: 'eu' },
          { key: 'region', value: 'us "2" \0' },
          { key: 'region', value: 'eu' },
        ],
      },
    },
    {
      tags: [
        { key: 'region', value: 'eu' },
        { key: 'region', value: 'us "2" �' },
        { key: 'region', value: 'eu' },
      ],
    },
  ],
  [{ id: id(8), attributes: { name: 'Enabled', disabledAt: false } }, { name: 'Enabled' }],
  [
    { id: id(9), attributes: { name: 'Disabled', disabledAt: '2026-01-02T03:04:05.678Z' } },
    { name: 'Disabled' },
  ],
  [{ id: id(10), attributes: { name: 'Referred', referralId: '00123,"4"' } }, { referral_id: '00123,"4"' }],
];

const day = daysAgo(1);

const exported = useExport({ orgs: 10 });
beforeAll(async () => {
  for (const [{ id, attributes }] of ORGANIZATIONS) {
    await exported.platform.control('orgs', { id, creationDate: '2020-01-01T00:00:00.000Z', attributes });
  }
});

it('keeps names, tags and dates as they are, except for what no database can hold', async () => {
  const { platform, place, run } = exported;
  const ended = await run(['run', '--json']);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended)).toMatchObject({ orgs: 20, failures: [] });
  expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
  const stored = await place.query(`
    select org_id, name, tags, referral_id
    from losant_usage.organizations where org_id like 'aaaa%' order by org_id`);
  expect(stored).toMatchObject(ORGANIZATIONS.map(([, expected]) => expected));
  const history = 'select count(*)::int from losant_usage.organization_history';
  expect(await place.query(history)).toEqual([{ count: 20 }]);
});

it('takes an id in capitals, configured or on the command line', async () => {
  const capitals = id(6).toUpperCase();
  const again = await exported.run(['run', '--json', '--date', day, '--org', capitals]);
  expect(again.code).toBe(0);
  expect(jsonOf(again)).toMatchObject({ orgs: 1, cells: { planned: 4, unchanged: 4 } });
  const named = ['--date', day, '--org', capitals.toLowerCase()];
  const configured = await exported.run(['run', '--json', ...named], { LOSANT_ORG_IDS: capitals });
  expect(configured.code).toBe(0);
  expect(jsonOf(configured)).toMatchObject({ orgs: 1, cells: { planned: 4, unchanged: 4 } });
});
