/** What is wanted has a row: tracks begin and end, rows are made up to yesterday, and closed at last. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { addDays } from '../../src/ledger/fill.ts';
import { markRemoved, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { devices, failed, minutes, named, POLICY, silence } from '../usage/cells.ts';
import { answer, INSTANCE, type RunSettings, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];

/** Does at a time what a run does before it reads. */
const prepareAt = async (instant: string, settings: RunSettings = {}) => {
  await ledger.setTime(instant);
  await ledger.prepare(settings);
};
const ONLY_DEVICES = { streams: DEVICES };
const daysOf = (orgId: string, stream?: string) => ledger.daysOf(orgId, stream);
const unfilled = () => ledger.ask(sql`select from losant_usage_internal.unfilled`, ledger.db);
const remove = (orgId: string, today: string) => markRemoved(ledger.writer(), { orgIds: [orgId], today });
const seeAgain = (orgId: string) => {
  const nothing = { referralId: null, planId: null, customerId: null, createdOn: null, tags: [], limits: {} };
  const period = { currentPeriodStart: null, currentPeriodEnd: null };
  const organization = { orgId, instanceId: INSTANCE, name: 'Acme', ...nothing, ...period };
  return upsertOrganizations(ledger.writer(), [organization]);
};
/** An answer of device counts, asked for at an instant. */
const devicesAt = (orgId: string, day: string, sentAt: string) => ({
  ...answer(orgId, 'device_counts', day, named(devices(4, 1, 17))),
  sentAtMs: Date.parse(sentAt),
});
const setCreated = (orgId: string, day: string) =>
  ledger.asProgram(sql`update losant_usage.organizations set created_on = ${day} where org_id = ${orgId}`);

describe('a track begins', () => {
  test('with yesterday at the first run, whenever the organization was created', async () => {
    const [old, unknown] = [await ledger.newOrg({ createdOn: '2024-01-01' }), await ledger.newOrg()];
    await ledger.prepare();
    for (const orgId of [old, unknown]) {
      expect(await ledger.tracks(orgId)).toHaveLength(4);
      expect(await ledger.cells(orgId)).toEqual([
        '11-23 device_counts waiting never_read 11-24T00:00',
        '11-23 notebook_minutes waiting never_read 11-24T00:00',
        '11-23 payload_sources waiting never_read 11-24T00:00',
        '11-23 payload_totals waiting never_read 11-24T00:00',
      ]);
    }
  });

  test('with the creation day of an organization that appears later, but not before the first run', async () => {
    await ledger.prepare();
    await ledger.setTime('2026-11-28T00:15:00.000Z');
    const young = await ledger.newOrg({ createdOn: '2026-11-25' });
    const old = await ledger.newOrg({ createdOn: '2024-01-01' });
    const today = await ledger.newOrg({ createdOn: '2026-11-28' });
    await ledger.prepare();
    expect(await daysOf(young)).toEqual(['11-25..11-27 3']);
    expect(await daysOf(old)).toEqual(['11-23..11-27 5']);
    expect(await daysOf(today)).toEqual([]);
    await prepareAt('2026-11-29T00:15:00.000Z');
    expect(await daysOf(today)).toEqual(['11-28..11-28 1']);
  });

  test('inside the horizon', async () => {
    await ledger.prepare();
    await ledger.setTime('2027-06-01T00:15:00.000Z');
    const orgId = await ledger.newOrg({ createdOn: '2026-11-25' });
    await ledger.prepare(ONLY_DEVICES);
    expect((await ledger.tracks(orgId))[0]).toBe('device_counts 03-03 06-01 ');
  });

  test('with yesterday for an organization that the settings name, and a stream enabled later', async () => {
    await ledger.prepare();
    const other = await ledger.newOrg();
    await ledger.setTime('2026-11-28T00:15:00.000Z');
    const orgId = await ledger.newOrg({ createdOn: '2026-11-25' });
    await ledger.prepare({ streams: DEVICES, selection: [orgId] });
    expect(await daysOf(orgId)).toEqual(['11-27..11-27 1']);
    expect(await ledger.tracks(other)).toEqual([]);
    await prepareAt('2026-11-30T00:15:00.000Z');
    expect(await daysOf(orgId)).toEqual(['11-27..11-29 3']);
    expect(await daysOf(orgId, 'payload_totals')).toEqual(['11-29..11-29 1']);
  });
});

describe('a track ends', () => {
  test('with yesterday when its organization or stream leaves the settings; the rest is still read', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
    await prepareAt('2026-11-26T00:15:00.000Z', ONLY_DEVICES);
    expect(await ledger.tracks(orgId)).toEqual([
      'device_counts 11-23 11-26 ',
      'payload_totals 11-23 11-26 11-25',
    ]);
    expect(await daysOf(orgId, 'payload_totals')).toEqual(['11-23..11-25 3']);
    await prepareAt('2026-11-28T00:15:00.000Z', { streams: DEVICES, selection: [] });
    expect(await daysOf(orgId)).toEqual(['11-23..11-27 5']);
    await prepareAt('2026-11-29T00:15:00.000Z', { selection: [] });
    expect(await daysOf(orgId)).toEqual(['11-23..11-27 5']);
    const due = sql`select count(*) from losant_usage.coverage where next_read_at is not null`;
    expect(await ledger.list(due, ledger.db)).toEqual(['8']);
  });

  test('with the day before its organization was found deleted, and its cells are closed', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare(ONLY_DEVICES);
    await prepareAt('2026-11-26T12:00:00.000Z', ONLY_DEVICES);
    await ledger.load([
      devicesAt(orgId, '2026-11-23', '2026-11-27T00:00:00Z'),
      devicesAt(orgId, '2026-11-24', '2026-11-26T12:00:00Z'),
    ]);
    await remove(orgId, '2026-11-27');
    await prepareAt('2026-11-27T12:00:00.000Z', ONLY_DEVICES);
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-27 11-26']);
    expect(await ledger.cells(orgId)).toEqual([
      '11-23 device_counts final  closed',
      '11-24 device_counts unavailable org_deleted closed',
      '11-25 device_counts unavailable org_deleted closed',
      '11-26 device_counts unavailable org_deleted closed',
    ]);
    await prepareAt('2026-11-30T12:00:00.000Z', ONLY_DEVICES);
    expect(await daysOf(orgId)).toEqual(['11-23..11-26 4']);
  });
});

describe('what comes back goes on', () => {
  test('where it ended', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare(ONLY_DEVICES);
    await prepareAt('2026-11-26T00:15:00.000Z', { streams: [] });
    await prepareAt('2026-11-30T00:15:00.000Z', ONLY_DEVICES);
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-30 ']);
    expect(await daysOf(orgId)).toEqual(['11-23..11-29 7']);
  });

  test('at the horizon, after a longer time', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare(ONLY_DEVICES);
    await ledger.prepare({ streams: [] });
    await prepareAt('2027-06-01T00:15:00.000Z', ONLY_DEVICES);
    expect(await daysOf(orgId)).toEqual(['03-03..05-31 90', '11-23..11-23 1']);
    expect(await ledger.cells(orgId)).toContain('11-23 device_counts unavailable past_horizon closed');
  });

  test('with all its cells due, after a deletion, and each is judged by its answer', async () => {
    const orgId = await ledger.newOrg();
    const settings = { streams: ['device_counts', 'notebook_minutes'] };
    await ledger.prepare(settings);
    await ledger.load([answer(orgId, 'device_counts', '2026-11-23', named(devices(4, 1, 17)))]);
    await remove(orgId, '2026-11-25');
    await prepareAt('2026-11-25T00:15:00.000Z', settings);
    await ledger.setTime('2026-11-27T12:00:00.000Z');
    await seeAgain(orgId);
    await ledger.prepare(settings);
    expect(await ledger.cells(orgId)).toEqual([
      '11-23 device_counts unavailable org_deleted 11-27T12:00',
      '11-23 notebook_minutes unavailable org_deleted 11-27T12:00',
      '11-24 device_counts unavailable org_deleted 11-27T12:00',
      '11-24 notebook_minutes unavailable org_deleted 11-27T12:00',
      '11-25 device_counts waiting never_read 11-26T00:00',
      '11-25 notebook_minutes waiting never_read 11-26T00:00',
      '11-26 device_counts waiting never_read 11-27T00:00',
      '11-26 notebook_minutes waiting never_read 11-27T00:00',
    ]);
    await ledger.load([
      answer(orgId, 'device_counts', '2026-11-23', failed),
      answer(orgId, 'device_counts', '2026-11-24', failed),
      answer(orgId, 'notebook_minutes', '2026-11-23', named(minutes(0, 0))),
      answer(orgId, 'notebook_minutes', '2026-11-24', silence),
    ]);
    expect((await ledger.cells(orgId)).slice(0, 4)).toEqual([
      '11-23 device_counts in_doubt server_error 11-27T12:00',
      '11-23 notebook_minutes final  12-01T00:00',
      '11-24 device_counts missing server_error 11-27T12:00',
      '11-24 notebook_minutes stored  11-28T00:00',
    ]);
  });
});

describe('rows', () => {
  // Promise (Missing numbers): What is wanted has no hole: days on which nothing ran are wanted all the same, and
  // read as soon as it is possible.
  test('are made for all days that nothing ran, once, and none ahead of yesterday', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare();
    await ledger.setTime('2026-12-03T23:59:59.999Z');
    expect(await unfilled()).toHaveLength(4 * 9);
    await ledger.prepare();
    expect(await unfilled()).toEqual([]);
    expect(await daysOf(orgId)).toEqual(['11-23..12-02 10']);
    const versions = sql`select xmin, ctid::text from losant_usage.coverage order by usage_date, stream`;
    const before = await ledger.list(versions, ledger.db);
    await ledger.prepare();
    expect(await ledger.list(versions, ledger.db)).toEqual(before);
    const days = sql`select count(*) as rows, count(distinct usage_date) as days from losant_usage.usage_days`;
    expect(await ledger.list(days, ledger.db)).toEqual(['10 10']);
  });

  test('are due at the first checkpoint of the policy', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare({ streams: DEVICES, policy: { ...POLICY, readAtHours: [3, 72] } });
    expect(await ledger.cells(orgId)).toEqual(['11-23 device_counts waiting never_read 11-24T03:00']);
  });

  test('and their markers change together: what was killed between two pages is completed', async () => {
    await ledger.newOrgs(501);
    const prepare = () => ledger.prepare(ONLY_DEVICES);
    const killed = "if new.org_id like '%501' then raise exception 'killed'; end if; return new;";
    const counts = sql`select (select count(*) from losant_usage.tracks) as tracks,
      (select count(*) from losant_usage.coverage) as cells,
      (select count(*) from losant_usage.usage_days) as days,
      (select count(*) from losant_usage_internal.unfilled) as open`;
    await ledger.meddle('coverage', killed, () => expect(prepare()).rejects.toThrow('killed'));
    expect(await ledger.list(counts, ledger.db)).toEqual(['500 500 500 0']);
    await prepare();
    expect(await ledger.list(counts, ledger.db)).toEqual(['501 501 501 0']);
    await ledger.setTime('2026-11-25T12:00:00.000Z');
    await ledger.meddle('coverage', killed, () => expect(prepare()).rejects.toThrow('killed'));
    expect(await ledger.list(counts, ledger.db)).toEqual(['501 1001 1001 1']);
    await prepare();
    expect(await ledger.list(counts, ledger.db)).toEqual(['501 1002 1002 0']);
    expect((await ledger.tracks('000000000000000000000501'))[0]).toBe('device_counts 11-23 11-25 ');
  });

  test.each(['coverage', 'usage_days'])('of %s that the database swallows end the fill', async (table) => {
    const orgId = await ledger.newOrg();
    await ledger.prepare(ONLY_DEVICES);
    await ledger.setTime('2026-11-25T12:00:00.000Z');
    const mismatch = { name: 'DatabaseError', kind: 'database_mismatch' };
    await ledger.meddle(table, 'return null;', () =>
      expect(ledger.prepare(ONLY_DEVICES)).rejects.toMatchObject(mismatch),
    );
    expect(await unfilled()).toHaveLength(1);
    await ledger.prepare(ONLY_DEVICES);
    expect(await daysOf(orgId)).toEqual(['11-23..11-24 2']);
  });

  test('of another instance are not made', async () => {
    const other = '5c00000000000000000000ff';
    await ledger.asProgram(
      sql`insert into losant_usage.instances (instance_id, api_url) values (${other}, 'https://api.example.com')
        on conflict do nothing`,
    );
    const orgId = await ledger.newOrg({ instanceId: other });
    await ledger.prepare();
    expect(await ledger.tracks(orgId)).toEqual([]);
  });
});

describe('what can no longer be read is closed', () => {
  test('past the horizon: unavailable unless final or accepted, stored or not', async () => {
    const orgId = await ledger.want({ from: '2026-11-18', to: '2026-11-23' }, DEVICES);
    await ledger.load([
      devicesAt(orgId, '2026-11-18', '2026-11-23T12:00:00.000Z'),
      devicesAt(orgId, '2026-11-19', '2026-11-20T12:00:00.000Z'),
      answer(orgId, 'device_counts', '2026-11-20', silence),
      answer(orgId, 'device_counts', '2026-11-21', failed),
    ]);
    // What failed at a number that stays is over with it.
    await ledger.load([answer(orgId, 'device_counts', '2026-11-18', failed)]);
    await prepareAt('2027-02-20T00:15:00.000Z', { streams: [] });
    const attempts = sql`select attempts from losant_usage.coverage where org_id = ${orgId} order by usage_date limit 1`;
    expect(await ledger.list(attempts, ledger.db)).toEqual(['0']);
    expect((await ledger.cells(orgId)).slice(0, 5)).toEqual([
      '11-18 device_counts final  closed',
      '11-19 device_counts unavailable past_horizon closed',
      '11-20 device_counts unavailable past_horizon closed',
      '11-21 device_counts unavailable past_horizon closed',
      '11-22 device_counts waiting never_read 11-23T00:00',
    ]);
    await prepareAt('2027-02-21T00:15:00.000Z', { streams: [] });
    expect((await ledger.cells(orgId))[4]).toBe('11-22 device_counts unavailable past_horizon closed');
  });

  test('before a creation date that moved later: accepted unless stored, open again when it moves back', async () => {
    const orgId = await ledger.want({ from: '2026-11-20', to: '2026-11-23' }, DEVICES);
    await ledger.load([
      answer(orgId, 'device_counts', '2026-11-20', named(devices(4, 1, 17))),
      answer(orgId, 'device_counts', '2026-11-21', failed),
    ]);
    await setCreated(orgId, '2026-11-23');
    await ledger.prepare(ONLY_DEVICES);
    expect(await ledger.cells(orgId)).toEqual([
      '11-20 device_counts final  11-28T00:00',
      '11-21 device_counts accepted before_creation closed',
      '11-22 device_counts accepted before_creation closed',
      '11-23 device_counts waiting never_read 11-24T00:00',
    ]);
    // Neither a backfill nor another policy asks for days on which it did not exist.
    const range = { from: '2026-11-21', to: '2026-11-22' };
    const options = { orgIds: null, streams: null, range, makesRows: true, force: true };
    expect(await addDays(ledger.writer(), options)).toBe(0);
    await ledger.prepare({ streams: DEVICES, policy: { ...POLICY, readAtHours: [0, 100, 720] } });
    await ledger.prepare(ONLY_DEVICES);
    for (const cell of (await ledger.cells(orgId)).slice(1, 3))
      expect(cell).toContain('accepted before_creation');
    await setCreated(orgId, '2026-11-22');
    await ledger.prepare(ONLY_DEVICES);
    expect((await ledger.cells(orgId)).slice(1, 3)).toEqual([
      '11-21 device_counts accepted before_creation closed',
      '11-22 device_counts waiting never_read 11-24T00:15',
    ]);
  });

  test('when it moves back only after the horizon has passed, they are unavailable and not accepted', async () => {
    const orgId = await ledger.want({ from: '2026-11-21', to: '2026-11-23' }, DEVICES);
    await setCreated(orgId, '2026-11-23');
    await ledger.prepare(ONLY_DEVICES);
    await prepareAt('2027-06-01T00:15:00.000Z', ONLY_DEVICES);
    await setCreated(orgId, '2026-11-01');
    await ledger.prepare(ONLY_DEVICES);
    for (const cell of (await ledger.cells(orgId)).slice(0, 3))
      expect(cell).toContain('unavailable past_horizon');
  });
});
