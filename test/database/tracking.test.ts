import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { readDuePages } from '../../src/ledger/due.ts';
import { readOrganizationPage } from '../../src/ledger/organizations.ts';
import {
  filterTracked,
  trackDays,
  trackOrganizations,
  untrackOrganizations,
  untrackStreams,
} from '../../src/ledger/tracking.ts';
import { eachDay } from '../../src/usage/day.ts';
import { policy } from '../usage/tracks.ts';
import { addCells, asProgram, clearOrganizations, INSTANCE, useLedger } from './ledger.ts';

const ledger = useLedger();

beforeEach(async () => {
  await clearOrganizations(ledger.db);
  await ledger.ask(sql`insert into losant_usage.organizations (org_id, instance_id, name, created_on, first_seen_at, last_seen_at)
    values (${A}, ${INSTANCE}, 'old', '2024-01-01', now(), now()),
           (${B}, ${INSTANCE}, 'new', '2026-11-22', now(), now()),
           (${C}, ${INSTANCE}, 'ageless', null, now(), now())`);
});

const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const C = '5c000000000000000000000c';
const ALL = [A, B, C];

const HORIZON = '2026-08-26';
const track = (orgIds: readonly string[], streamsFrom: Record<string, string>, horizon = HORIZON) =>
  trackOrganizations(ledger.db, { orgIds, streamsFrom, horizon });
const tracked = () =>
  ledger.ask(
    sql`select right(org_id, 1) as org, stream, tracked_days::text as days from losant_usage.tracking order by org_id, stream`,
  );
const daysOf = async (stream = 'device_counts') =>
  Object.fromEntries(
    (await tracked()).flatMap((row) => {
      const { org, stream: of, days } = row as { org: string; stream: string; days: string };
      return of === stream ? [[org, days]] : [];
    }),
  );

describe('a cell that was given up because its day was not tracked', () => {
  const next = async () => {
    const cell = sql`select next_read_at from losant_usage.coverage where org_id = ${A}`;
    return (await ledger.ask(cell)) as { next_read_at: string | null }[];
  };
  const giveUp = async (day: string) => {
    await addCells(ledger.db, A, [{ day, standing: 'missing' }]);
    expect(await next()).toEqual([{ next_read_at: null }]);
  };

  test('is read again when a backfill tracks the days up to what is tracked', async () => {
    await track([A], { device_counts: '2026-11-20' });
    await giveUp('2026-11-18');
    const scope = { instanceId: INSTANCE, orgIds: null, streams: null, horizon: HORIZON };
    expect(await trackDays(ledger.db, scope, { from: '2026-11-10', to: '2026-11-15' })).toEqual({
      from: '2026-11-16',
      to: '2026-11-19',
    });
    expect(await next()).toEqual([{ next_read_at: '2026-11-19T00:00:00.000Z' }]);
  });

  test('is read again when its organization returns', async () => {
    await track([A], { device_counts: '2026-11-10' });
    await untrackOrganizations(ledger.db, [A], '2026-11-15');
    await giveUp('2026-11-18');
    await track([A], { device_counts: '2026-11-10' });
    expect(await next()).toEqual([{ next_read_at: '2026-11-19T00:00:00.000Z' }]);
  });
});

describe('tracking begins', () => {
  test('at the stream’s start or, if it is later, on the organization’s UTC creation day', async () => {
    await track(ALL, { device_counts: '2026-11-10' });
    expect(await daysOf()).toEqual({ a: '{[2026-11-10,)}', b: '{[2026-11-22,)}', c: '{[2026-11-10,)}' });
  });

  test('later for a stream that is enabled later', async () => {
    await track([A], { device_counts: '2026-11-10' });
    await track([A], { device_counts: '2026-11-10', payload_sources: '2026-11-23' });
    expect(await tracked()).toMatchObject([
      { stream: 'device_counts', days: '{[2026-11-10,)}' },
      { stream: 'payload_sources', days: '{[2026-11-23,)}' },
    ]);
  });

  test('once: asked again it stays where it was', async () => {
    await track([A], { device_counts: '2026-11-10' });
    await track([A], { device_counts: '2026-11-23' });
    expect(await daysOf()).toEqual({ a: '{[2026-11-10,)}' });
  });

  test('once, also where two processes begin at the same time', async () => {
    const waiting = sql`select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    const both = await ledger.db.transaction().execute(async (trx) => {
      await sql`lock table losant_usage.tracking in share mode`.execute(trx);
      const begun = [1, 2].map(() => track(ALL, { device_counts: '2026-11-10' }));
      await expect.poll(async () => (await ledger.ask(waiting)).length, { timeout: 20_000 }).toBe(2);
      return { begun };
    });
    await Promise.all(both.begun);
    expect(await daysOf()).toEqual({ a: '{[2026-11-10,)}', b: '{[2026-11-22,)}', c: '{[2026-11-10,)}' });
  });

  test('with the days that were read before, where its track was lost', async () => {
    await track([A, B], { device_counts: '2026-11-10' });
    const stored = (...days: string[]) => days.map((day) => ({ day, standing: 'stored' }) as const);
    await addCells(ledger.db, A, stored('2026-11-23', '2026-11-11', '2026-11-12'));
    await addCells(ledger.db, B, stored('2026-11-23', '2026-11-11'));
    const read = sql`select right(org_id, 1) as org, read_days::text as days from losant_usage.tracking order by 1`;
    const before = await ledger.ask(read);
    expect(before).toEqual([
      { org: 'a', days: '{[2026-11-11,2026-11-13),[2026-11-23,2026-11-24)}' },
      { org: 'b', days: '{[2026-11-11,2026-11-12),[2026-11-23,2026-11-24)}' },
    ]);
    await asProgram(ledger.db, (trx) => sql`delete from losant_usage.tracking`.execute(trx));
    await track(ALL, { device_counts: '2026-11-10' });
    expect(await ledger.ask(read)).toEqual([...before, { org: 'c', days: '{}' }]);
  });

  test('on its first day again, if it was ended before it', async () => {
    await track([B], { device_counts: '2026-11-10' });
    await untrackOrganizations(ledger.db, [B], '2026-11-20');
    expect(await daysOf()).toEqual({ b: '{}' });
    await track([B], { device_counts: '2026-11-10' });
    expect(await daysOf()).toEqual({ b: '{[2026-11-22,)}' });
  });
});

describe('leaving the configuration', () => {
  beforeEach(() => track(ALL, { device_counts: '2026-11-10', payload_sources: '2026-11-10' }));

  test('ends the tracking of an organization after its last day, and coming back renews it without a hole', async () => {
    await untrackOrganizations(ledger.db, [A], '2026-11-23');
    await untrackOrganizations(ledger.db, [A], '2026-11-30');
    expect(await daysOf()).toEqual({
      a: '{[2026-11-10,2026-11-24)}',
      b: '{[2026-11-22,)}',
      c: '{[2026-11-10,)}',
    });
    await track([A], { device_counts: '2026-11-10' });
    expect(await daysOf()).toMatchObject({ a: '{[2026-11-10,)}' });
    expect(await daysOf('payload_sources')).toMatchObject({ a: '{[2026-11-10,2026-11-24)}' });
  });

  test('for longer than the horizon leaves the days out that can no longer be read, and only those', async () => {
    await untrackOrganizations(ledger.db, [A], '2026-11-23');
    await track([A], { device_counts: '2026-11-10' }, '2026-12-15');
    expect(await daysOf()).toMatchObject({ a: '{[2026-11-10,2026-11-24),[2026-12-15,)}' });
  });

  test('ends the tracking of a stream for every organization', async () => {
    await untrackStreams(ledger.db, { instanceId: INSTANCE, streams: ['device_counts'] }, '2026-11-23');
    expect(await daysOf('payload_sources')).toEqual({
      a: '{[2026-11-10,2026-11-24)}',
      b: '{[2026-11-22,2026-11-24)}',
      c: '{[2026-11-10,2026-11-24)}',
    });
    expect(await daysOf()).toMatchObject({ a: '{[2026-11-10,)}' });
  });

  test('before a first day was over tracks no day', async () => {
    await untrackOrganizations(ledger.db, [B], '2026-11-20');
    expect(await daysOf()).toMatchObject({ b: '{}' });
  });
});

describe('a backfill', () => {
  beforeEach(() => track(ALL, { device_counts: '2026-11-20' }));

  const extend = (from: string, to: string, orgIds: readonly string[] | null = null) =>
    trackDays(
      ledger.db,
      { instanceId: INSTANCE, orgIds, streams: ['device_counts'], horizon: HORIZON },
      { from, to },
    );

  test('that reaches up to what is tracked widens it, not before the creation day', async () => {
    expect(await extend('2026-09-01', '2026-11-19')).toBeNull();
    expect(await daysOf()).toEqual({ a: '{[2026-09-01,)}', b: '{[2026-11-22,)}', c: '{[2026-09-01,)}' });
  });

  test('that does not reach it tracks the days in between as well, on which they existed, and says which', async () => {
    expect(await extend('2026-09-01', '2026-09-30')).toEqual({ from: '2026-10-01', to: '2026-11-19' });
    expect(await daysOf()).toEqual({ a: '{[2026-09-01,)}', b: '{[2026-11-22,)}', c: '{[2026-09-01,)}' });
  });

  test('from before the horizon leaves the days out that can no longer be read: nothing is complete beyond', async () => {
    expect(await extend('2026-08-01', '2026-08-10')).toEqual({ from: '2026-08-26', to: '2026-11-19' });
    const days = '{[2026-08-01,2026-08-11),[2026-08-26,)}';
    expect(await daysOf()).toEqual({ a: days, b: '{[2026-11-22,)}', c: days });
    const stored = eachDay({ from: '2026-08-01', to: '2026-08-10' }).map(
      (day) => ({ day, standing: 'final' }) as const,
    );
    await addCells(ledger.db, A, stored);
    await addCells(ledger.db, C, stored);
    const reach = sql`select tracked_from, complete_to from losant_usage.freshness where stream = 'device_counts'`;
    expect(await ledger.ask(reach)).toEqual([{ tracked_from: '2026-08-01', complete_to: '2026-08-10' }]);
  });

  test('beside days of another one closes the holes on both sides', async () => {
    const track = sql`update losant_usage.tracking set tracked_days = '{[2026-09-01,2026-09-05),[2026-11-20,)}'
      where org_id = ${A}`;
    await asProgram(ledger.db, (trx) => track.execute(trx));
    expect(await extend('2026-10-01', '2026-10-10', [A])).toEqual({ from: '2026-09-05', to: '2026-11-19' });
    expect(await daysOf()).toMatchObject({ a: '{[2026-09-01,)}', c: '{[2026-11-20,)}' });
  });

  test('that lies within what is tracked does not narrow it', async () => {
    await extend('2026-11-21', '2026-11-23');
    expect(await daysOf()).toEqual({ a: '{[2026-11-20,)}', b: '{[2026-11-22,)}', c: '{[2026-11-20,)}' });
  });

  test('of one organization leaves the others alone, also one that left the configuration', async () => {
    await untrackOrganizations(ledger.db, [C], '2026-11-23');
    await extend('2026-09-01', '2026-09-30', [A]);
    expect(await extend('2026-10-01', '2026-10-10')).toBeNull();
    expect(await daysOf()).toEqual({
      a: '{[2026-09-01,)}',
      b: '{[2026-11-22,)}',
      c: '{[2026-11-20,2026-11-24)}',
    });
  });
});

describe('pages of organizations with something due', () => {
  beforeEach(async () => {
    await track([A, B], { payload_sources: '2026-11-10', device_counts: '2026-11-10' });
    await track([C], { device_counts: '2026-11-10' });
  });

  const scope = { instanceId: INSTANCE, streams: null, orgIds: null, shard: null };
  const due = async (changes: Partial<Parameters<typeof readDuePages>[1]> = {}) => {
    const found: string[] = [];
    const options = { nowMs: Date.parse('2026-11-24T00:15:00.000Z'), policy };
    for await (const page of readDuePages(ledger.db, { ...scope, ...changes }, options)) {
      found.push(...page.map(({ orgId, stream }) => `${orgId.slice(-1)} ${stream}`));
    }
    return found;
  };

  test('hold whole organizations in the order of their ids', async () => {
    expect(await due()).toEqual([
      'a device_counts',
      'a payload_sources',
      'b device_counts',
      'b payload_sources',
      'c device_counts',
    ]);
  });

  test('hold the streams, organizations and instances that are meant', async () => {
    expect(await due({ streams: ['payload_sources'] })).toEqual(['a payload_sources', 'b payload_sources']);
    expect(await due({ orgIds: [B, C], streams: ['device_counts'] })).toEqual([
      'b device_counts',
      'c device_counts',
    ]);
    expect(await due({ instanceId: 'f'.repeat(24) })).toEqual([]);
  });

  test('are shared among shards: every organization in one of them', async () => {
    const parts = await Promise.all([0, 1, 2].map((index) => due({ shard: { index, count: 3 } })));
    expect(parts.flat().toSorted()).toEqual(await due());
  });

  test('know who is or was tracked', async () => {
    await untrackOrganizations(ledger.db, [C], '2026-11-23');
    expect(await filterTracked(ledger.db, INSTANCE, [A, C, 'f'.repeat(24)])).toEqual(new Set([A, C]));
  });
});

test('a page of organizations says which streams of each are tracked without an end', async () => {
  await track([A, B], { device_counts: '2026-11-20', notebook_minutes: '2026-11-20' });
  await untrackOrganizations(ledger.db, [B], '2026-11-24');
  const streams = ['notebook_minutes', 'payload_totals'];
  await untrackStreams(ledger.db, { instanceId: INSTANCE, streams }, '2026-11-24');
  const page = await readOrganizationPage(ledger.db, INSTANCE, { afterOrgId: '', limit: 500 });
  expect(page.map(({ orgId, openStreams }) => [orgId, openStreams])).toEqual([
    [A, ['notebook_minutes']],
    [B, []],
    [C, []],
  ]);
});
