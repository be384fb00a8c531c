/** What the home page says that a person must do. */
import { describe, expect, test } from 'vitest';
import { type AttentionFacts, listAttention } from '../../src/console/attention.ts';
import type { OrganizationFigures } from '../../src/queries/organizations.ts';
import { sumStandings } from '../../src/usage/standing.ts';
import { HEALTH, INSTANCE, INSTANCE_HEALTH, NOW_MS, STREAM } from './pages.ts';

const org = (name: string, figures: Partial<OrganizationFigures>): OrganizationFigures => ({
  ...{ orgId: `5d${name}`, instanceId: INSTANCE, name, referralId: null, removedAt: null, devices: 1 },
  ...{ payloads: 1, compared: null, limit: null, nextLimit: null, silentSince: null, missing: 0, inDoubt: 0 },
  ...figures,
});
const limit = (share: number, crossesOn: string | null, name = 'payload') => ({
  limit: { name, share, projectedShare: null, crossesOn },
  nextLimit: share > 1 || crossesOn === null ? null : { name, share, projectedShare: null, crossesOn },
});

const QUIET: AttentionFacts = {
  ...{ health: HEALTH, troubles: [], overview: null, openMonth: null, horizonDays: 90, nowMs: NOW_MS },
};
const overviewOf = (...organizations: OrganizationFigures[]) => ({
  to: '2026-11-23',
  organizations,
  days: [],
});
const list = (facts: Partial<AttentionFacts>) => listAttention({ ...QUIET, ...facts });

test('is empty where nothing needs anybody', () => {
  expect(list({ overview: overviewOf(org('Acme', limit(0.9, null))) })).toEqual([]);
});

test('has at most ten lines, the worst first, each with where to go', () => {
  const stream = {
    ...STREAM,
    ...{ cells: sumStandings([{ missing: 2, in_doubt: 1 }]), gaps: 3, oldestGap: '2026-11-02' },
  };
  const differences = { instance_day: 1, org_day: 0, org_month: 0 };
  const instance = { ...INSTANCE_HEALTH, streams: [stream], differences, changesByHand30Days: 4 };
  const troubles = ['1', '2'].map((instanceId) => ({
    ...({
      instanceId,
      name: null,
      trouble: { code: 'server_error', kind: 'failure', message: 'HTTP 500', hint: 'wait' },
    } as const),
  }));
  const lines = list({
    health: { ...HEALTH, instances: [instance] },
    troubles,
    overview: overviewOf(
      org('Over', limit(1.5, '2026-11-12')),
      org('Near', limit(0.95, '2026-11-27')),
      org('Silent', { silentSince: '2026-11-18' }),
      org('Moved', { compared: { now: 10, before: 20 } }),
    ),
    openMonth: { month: '2026-10', blocked: 0 },
  });
  expect(lines.map(({ text, address }) => [text, address])).toEqual([
    ['Instance 1: HTTP 500; 1 more instance with trouble', '/runs'],
    ['2 numbers are missing (device_counts)', '/coverage?only=missing&days=90'],
    ["1 final number differs from Losant's own totals", '/totals'],
    ['1 number is in doubt (device_counts)', '/coverage?only=in_doubt&days=90'],
    ['1 organization is over a limit', '/organizations?show=over&sort=share'],
    ['4 numbers were changed by hand in the last 30 days', '/changes?which=all&by=hand&days=30'],
    ['1 organization will pass a limit', '/organizations?show=crossing&sort=crosses'],
    ['1 organization has been silent for 3 days or more', '/organizations?show=silent&sort=silent'],
    [
      '1 organization changed by half or more against the same days of last month',
      '/organizations?show=moved&sort=change',
    ],
    ['October 2026 is ready to close', '/months/2026-10'],
  ]);
});

test('names the day of a limit: on which it was passed, or will be', () => {
  const lines = list({
    overview: overviewOf(
      org('Late', limit(0.8, '2026-11-29')),
      org('Soon', limit(0.95, '2026-11-24', 'device')),
      org('Over', { ...limit(1.5, '2026-11-12'), nextLimit: limit(0.7, '2026-11-28', 'device').limit }),
      org('Gone', { ...limit(2, '2026-11-02'), removedAt: '2026-11-05T00:00:00.000Z' }),
    ),
  });
  expect(lines.map(({ examples }) => examples?.map(({ text }) => text))).toEqual([
    ['Over (payload, 150 %, since 2026-11-12)'],
    [
      'Soon (device, 95 %, on 2026-11-24)',
      'Over (device, 70 %, on 2026-11-28)',
      'Late (payload, 80 %, on 2026-11-29)',
    ],
  ]);
});

describe('a gap', () => {
  const missing = (oldestGap: string) => {
    const streams = [{ ...STREAM, cells: sumStandings([{ missing: 1 }]), gaps: 1, oldestGap }];
    return list({ health: { ...HEALTH, instances: [{ ...INSTANCE_HEALTH, streams }] } })[0];
  };

  test('says for how long it can still be read', () => {
    expect(missing('2026-08-28')?.more).toBe(
      'the oldest gap is of 2026-08-28 and can be read for 3 days more',
    );
  });

  test('that Losant no longer keeps is to be accepted, and the link leads to its days', () => {
    expect(missing('2026-07-01')).toMatchObject({
      more: 'the oldest gap is of 2026-07-01, which Losant no longer keeps: accept it with losant-usage waive',
      address: '/coverage?only=missing&days=90&to=2026-09-28',
    });
  });
});

test('a month that something blocks is not ready', () => {
  expect(list({ openMonth: { month: '2026-10', blocked: 1 } })).toEqual([]);
});
