/** What a backfill makes and sets due; a day that is named to `run` is only set due. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { addDays } from '../../src/ledger/fill.ts';
import { markRemoved } from '../../src/ledger/organizations.ts';
import { queryOnce } from '../support/databases.ts';
import { devices, named, POLICY, silence } from '../usage/cells.ts';
import { answer, INSTANCE, type Ledger, useLedger, WRITE } from './ledger.ts';

const given = useLedger('2026-11-24T00:15:00.000Z');
let ledger: Ledger;
const DEVICES = ['device_counts'];

beforeEach(async () => {
  ledger = given.ledger;
  await ledger.clear();
  await ledger.setTime('2026-11-24T00:15:00.000Z');
});

describe('a backfill', () => {
  const add = (
    range: { from: string; to: string },
    options: Partial<Parameters<typeof addDays>[2]> & { orgIds?: string[]; streams?: string[] } = {},
  ) => {
    const { orgIds = null, streams = null, ...rest } = options;
    const scope = { instanceId: INSTANCE, orgIds, streams, range };
    return addDays(ledger.db, WRITE, {
      scope,
      nowMs: ledger.nowMs,
      policy: POLICY,
      makesRows: true,
      force: false,
      ...rest,
    });
  };

  // Promise (Missing numbers): A backfill wants the days it asks for and those between them and what is wanted
  // already: what it does not get is not forgotten.
  test('makes the rows of its range and up to the first day, of its streams and organizations only', async () => {
    const [orgId, other] = [await ledger.newOrg(), await ledger.newOrg()];
    await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
    const result = await add({ from: '2026-11-10', to: '2026-11-12' }, { orgIds: [orgId], streams: DEVICES });
    expect(result).toEqual({ clampedTo: null, setDue: 3 });
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-10 11-24 ', 'payload_totals 11-23 11-24 ']);
    expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-23 14']);
    expect(await ledger.daysOf(other)).toEqual(['11-23..11-23 1']);
    expect((await ledger.cells(orgId))[0]).toBe('11-10 device_counts waiting never_read 11-24T00:15');
  });

  test('makes no day on which the organization did not exist, or before the horizon, and says so', async () => {
    const orgId = await ledger.newOrg({ createdOn: '2026-11-15' });
    await ledger.prepare({ streams: DEVICES });
    expect(await add({ from: '2020-01-01', to: '2026-11-23' })).toEqual({
      clampedTo: '2026-08-26',
      setDue: 9,
    });
    expect(await ledger.daysOf(orgId)).toEqual(['11-15..11-23 9']);
    expect(await add({ from: '2020-01-01', to: '2020-12-31' })).toEqual({
      clampedTo: '2026-08-26',
      setDue: 0,
    });
    await add({ from: '2026-11-01', to: '2049-12-31' });
    expect(await ledger.daysOf(orgId)).toEqual(['11-15..11-23 9']);
  });

  test('sets due what is not stored, and with force all of the range', async () => {
    const orgId = await ledger.want({ from: '2026-11-20', to: '2026-11-23' }, DEVICES);
    await ledger.load([
      answer(orgId, 'device_counts', '2026-11-21', named(devices(4, 1, 17))),
      answer(orgId, 'device_counts', '2026-11-22', silence),
    ]);
    await ledger.setTime('2026-11-24T03:00:00.000Z');
    const range = { from: '2026-11-21', to: '2026-11-22' };
    expect(await add(range)).toMatchObject({ setDue: 1 });
    expect((await ledger.cells(orgId)).slice(1, 3)).toEqual([
      '11-21 device_counts stored  11-25T00:00',
      '11-22 device_counts waiting left_out 11-24T03:00',
    ]);
    await ledger.setTime('2026-11-24T04:00:00.000Z');
    await add(range, { force: true });
    expect((await ledger.cells(orgId)).map((cell) => cell.split(' ').at(-1))).toEqual([
      '11-21T00:00',
      '11-24T04:00',
      '11-24T04:00',
      '11-24T00:00',
    ]);
  });

  test('reads again what has rows, and makes none, for a day that is named to `run`', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare({ streams: DEVICES });
    const range = { from: '2026-11-22', to: '2026-11-22' };
    expect(await add(range, { makesRows: false, force: true })).toEqual({ clampedTo: null, setDue: 0 });
    expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
  });

  test('adds to a track that has ended exactly what it asks for, and the track stays ended', async () => {
    const orgId = await ledger.want({ from: '2026-11-10', to: '2026-11-12' }, DEVICES);
    await add({ from: '2026-11-20', to: '2026-11-21' });
    expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-12 3', '11-20..11-21 2']);
    expect((await ledger.tracks(orgId))[0]).toMatch(/ 11-12$/);
    await add({ from: '2026-11-22', to: '2049-12-31' });
    expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-12 3', '11-20..11-23 4']);
    await add({ from: '2026-11-05', to: '2026-11-06' });
    expect(await ledger.daysOf(orgId)).toEqual(['11-05..11-12 8', '11-20..11-23 4']);
  });

  test('leaves deleted organizations out', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare({ streams: DEVICES });
    await markRemoved(ledger.db, WRITE, { orgIds: [orgId], today: '2026-11-24' });
    expect(await add({ from: '2026-11-10', to: '2026-11-23' }, { force: true })).toMatchObject({ setDue: 0 });
    expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
  });

  test('is refused for an organization or stream that has no track', async () => {
    const orgId = await ledger.newOrg();
    await ledger.prepare({ streams: DEVICES });
    const stray = 'f'.repeat(24);
    const range = { from: '2026-11-20', to: '2026-11-23' };
    await expect(add(range, { orgIds: [orgId, stray] })).rejects.toThrow(`--org ${stray}: not exported`);
    await expect(add(range, { streams: ['device_counts', 'payload_totals'] })).rejects.toMatchObject({
      name: 'SettingsError',
      message: `--stream payload_totals: not exported from instance ${INSTANCE}`,
    });
    expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
  });

  test('that was killed between two pages has whole pages, and completes when it is repeated', async () => {
    await ledger.asProgram(
      sql`insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
        select lpad(n::text, 24, '0'), ${INSTANCE}, 'Acme', now(), now() from generate_series(1, 501) as n`,
    );
    await ledger.prepare({ streams: DEVICES });
    await queryOnce(
      ledger.url,
      `
      create function public.meddle() returns trigger language plpgsql as
        $$ begin if new.org_id like '%501' then raise exception 'killed'; end if; return new; end $$;
      create trigger meddle before insert on losant_usage.usage_days for each row execute function public.meddle()`,
    );
    const range = { from: '2026-11-22', to: '2026-11-23' };
    await expect(add(range)).rejects.toThrow('killed');
    const counts = sql`select count(*) as cells, (select count(*)
      from losant_usage.tracks where first_day = '2026-11-22') as moved
      from losant_usage.coverage`;
    expect(await ledger.list(counts)).toEqual(['1001 500']);
    await queryOnce(
      ledger.url,
      'drop trigger meddle on losant_usage.usage_days; drop function public.meddle()',
    );
    expect(await add(range)).toMatchObject({ setDue: 1_002 });
    expect(await ledger.list(counts)).toEqual(['1002 501']);
  });
});
