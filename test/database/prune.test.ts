/** Old months that are removed: which may go, what goes with them, and what stays. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { closePeriod } from '../../src/billing/close.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { type PruneOutcome, pruneInstance } from '../../src/ledger/prune.ts';
import { trackDays } from '../../src/ledger/tracking.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { eachDay } from '../../src/usage/day.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { answer, LAST, missing, row, values } from './answers.ts';
import { addTracking, INSTANCE, type Ledger, openLedger, RUN_2 } from './ledger.ts';

let ledger: Ledger;
let handle: DatabaseHandle;

beforeEach(async () => {
  ledger = await openLedger('postgres');
  handle = await createDatabase({ url: ledger.url, applicationName: 'prune test', poolSize: 3 });
  return async () => {
    await handle.close();
    await ledger.close();
  };
});

const { signal } = new AbortController();
const prune = (before: string, isDryRun = false): Promise<PruneOutcome> =>
  pruneInstance(ledger.db, { instanceId: INSTANCE, before, isDryRun, signal });
const ask = async (query: string) => await ledger.ask(sql.raw(query));

const close = (month: string, { reason = null as string | null, isAdjustment = false } = {}) =>
  closePeriod(
    handle,
    { instanceId: INSTANCE, name: null, source: 'calendar' },
    { month, reason, isAdjustment, isDryRun: false, signingKey: null, signal },
  );

const FIRST_QUARTER = { from: '2025-01-01', to: '2025-03-31' };

/** An organization with final device counts of each day but some: 4 created, 1 deleted, 17 in all. */
async function orgOf(range = FIRST_QUARTER, without: readonly string[] = []): Promise<string> {
  const orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: `{[${range.from},${range.to}]}` });
  await ledger.ask(
    sql`update losant_usage.organizations set created_on = ${range.from} where org_id = ${orgId}`,
  );
  const days = eachDay(range).filter((day) => !without.includes(day));
  await ledger.load(days.map((day) => answer(values(row(4, 1, 17)), { orgId, day, age: LAST })));
  return orgId;
}

/** How many rows there are of each month, by table. */
const COUNTS = `select to_char(usage_date, 'YYYY-MM') as month, count(*)::int as days from losant_usage.usage_days group by 1 order by 1`;

describe('a month that is removed', () => {
  test('takes numbers, ledger and waivers along, and leaves no gap, no revision and nothing due', async () => {
    const orgId = await orgOf();
    await ledger.load([
      answer(values({ key: ['timer', 'a'], values: [7] }), {
        orgId,
        day: '2025-01-05',
        stream: 'payload_sources',
        age: LAST,
      }),
    ]);
    expect(await prune('2025-03-01')).toEqual({
      months: [
        { month: '2025-01', days: 31, sources: 1, cells: 32 },
        { month: '2025-02', days: 28, sources: 0, cells: 28 },
      ],
      kept: null,
    });
    expect(await ask(COUNTS)).toEqual([{ month: '2025-03', days: 31 }]);
    expect(await ask('select count(*)::int as n from losant_usage.coverage')).toEqual([{ n: 31 }]);
    expect(await ask('select count(*)::int as n from losant_usage.payload_sources')).toEqual([{ n: 0 }]);
    expect(await ask('select * from losant_usage.revisions')).toEqual([]);
    expect(await ask('select * from losant_usage.known_missing')).toEqual([]);
    expect(await ask('select first_day from losant_usage.tracked')).toEqual([{ first_day: '2025-03-01' }]);
    expect(
      await ask(
        'select month, pruned_by = session_user as by_me from losant_usage.pruned_months order by month',
      ),
    ).toEqual([
      { month: '2025-01-01', by_me: true },
      { month: '2025-02-01', by_me: true },
    ]);
    expect(await prune('2025-03-01')).toEqual({ months: [], kept: null });
  });

  test('is a whole one: that of the day itself stays', async () => {
    await orgOf();
    expect(await prune('2025-02-28')).toMatchObject({ months: [{ month: '2025-01' }], kept: null });
    expect(await ask(COUNTS)).toEqual([
      { month: '2025-02', days: 28 },
      { month: '2025-03', days: 31 },
    ]);
  });

  test('is shown by a dry run, and stays', async () => {
    await orgOf();
    expect(await prune('2025-02-01', true)).toEqual({
      months: [{ month: '2025-01', days: 31, sources: 0, cells: 31 }],
      kept: null,
    });
    expect(await ask(COUNTS)).toMatchObject([{ days: 31 }, { days: 28 }, { days: 31 }]);
    expect(await ask('select * from losant_usage.pruned_months')).toEqual([]);
  });

  test('lets tracking begin after it, also of organizations and streams that come later', async () => {
    await orgOf();
    await ledger.ask(sql`update losant_usage.instances set tracked_from = '2025-01-01',
      streams_from = '{"device_counts": "2025-01-01", "payload_totals": "2025-03-05"}'`);
    await prune('2025-02-01');
    expect(await ask('select tracked_from, streams_from from losant_usage.instances')).toEqual([
      {
        tracked_from: '2025-02-01',
        streams_from: { device_counts: '2025-02-01', payload_totals: '2025-03-05' },
      },
    ]);
  });

  test('is not collected again', async () => {
    const orgId = await orgOf();
    await prune('2025-02-01');
    const scope = { instanceId: INSTANCE, orgIds: [orgId], streams: null, horizon: '2025-01-01' };
    await expect(trackDays(ledger.db, scope, { from: '2025-01-31', to: '2025-02-10' })).rejects.toMatchObject(
      {
        kind: 'settings',
        message: `Days of instance ${INSTANCE} before 2025-02-01 were removed by losant-usage prune`,
        hint: 'they are not collected again: begin with --from 2025-02-01',
      },
    );
    expect(await trackDays(ledger.db, scope, { from: '2025-02-01', to: '2025-02-10' })).toBe(null);
  });

  test('takes no row of another instance', async () => {
    const other = '5c0000000000000000000002';
    await ledger.ask(sql`insert into losant_usage.instances (instance_id, api_url, tracked_from)
      values (${other}, 'https://api.example.com', '2025-01-01')`);
    await orgOf();
    const theirs = await orgOf();
    await ledger.ask(
      sql`update losant_usage.organizations set instance_id = ${other} where org_id = ${theirs}`,
    );
    await prune('2025-02-01');
    expect(
      await ask(`select org_id, count(*)::int as days from losant_usage.usage_days
      where usage_date < '2025-02-01' group by org_id`),
    ).toEqual([{ org_id: theirs, days: 31 }]);
  });
});

describe('a month that has to stay, with what follows it', () => {
  test('has a gap', async () => {
    const orgId = await orgOf(FIRST_QUARTER, ['2025-02-10', '2025-02-11']);
    expect(await prune('2025-04-01')).toMatchObject({
      months: [{ month: '2025-01' }],
      kept: { month: '2025-02', cause: 'gap', count: 2 },
    });
    await ledger.load(['2025-02-10', '2025-02-11'].map((day) => answer(missing, { orgId, day, age: LAST })));
    await waiveCells(ledger.db, {
      ...{ orgId, stream: 'device_counts', reason: 'agreed', asZero: false },
      range: { from: '2025-02-10', to: '2025-02-11' },
    });
    expect(await prune('2025-04-01')).toMatchObject({
      months: [{ month: '2025-02' }, { month: '2025-03' }],
      kept: null,
    });
    expect(await ask('select * from losant_usage.waivers')).toEqual([]);
  });

  test('has a number that is read again', async () => {
    const orgId = await orgOf();
    await ledger.load([
      answer(values(row(4, 1, 17)), {
        ...{ orgId, day: '2025-01-20', sentAtMs: Date.parse('2026-11-23T00:00:00Z') },
        age: { ...LAST, isLastRead: false, nextCheckpointMs: Date.parse('2027-01-01T00:00:00Z') },
      }),
    ]);
    expect(await prune('2025-02-01')).toEqual({
      months: [],
      kept: { month: '2025-01', cause: 'due', count: 1 },
    });
  });

  test('has a number that can no longer be read, until a statement has closed it', async () => {
    const orgId = await orgOf(FIRST_QUARTER, ['2025-01-10']);
    await ledger.load([answer(missing, { orgId, day: '2025-01-10', age: { ...LAST, isPastHorizon: true } })]);
    expect(await prune('2025-02-01')).toEqual({
      months: [],
      kept: { month: '2025-01', cause: 'unavailable', count: 1 },
    });
    await close('2025-01', { reason: 'Losant has lost a day' });
    expect(await prune('2025-02-01')).toMatchObject({ months: [{ month: '2025-01' }], kept: null });
  });

  test('is not closed while an earlier one is; before the first that was closed none has to be', async () => {
    await orgOf();
    await close('2025-02');
    expect(await prune('2025-04-01')).toMatchObject({
      months: [{ month: '2025-01' }, { month: '2025-02' }],
      kept: { month: '2025-03', cause: 'not_closed', count: 1 },
    });
  });

  test('differs from its statement, until that is settled', async () => {
    const orgId = await orgOf();
    await close('2025-01');
    const sentAtMs = Date.parse('2026-11-23T12:00:00Z');
    await ledger.load(
      [answer(values(row(9, 1, 17)), { orgId, day: '2025-01-10', sentAtMs, age: LAST })],
      RUN_2,
    );
    expect(await prune('2025-02-01')).toEqual({
      months: [],
      kept: { month: '2025-01', cause: 'not_settled', count: 1 },
    });
    await close('2025-01', { isAdjustment: true });
    expect(await prune('2025-02-01')).toMatchObject({ months: [{ month: '2025-01' }], kept: null });
    // The change itself stays on record.
    expect(await ask(`select old_quantity, new_quantity from losant_usage.restatements`)).toEqual([
      { old_quantity: 4, new_quantity: 9 },
    ]);
  });
});

test('a closed month shows no difference after it was removed, cannot be adjusted, and its pack holds', async () => {
  await orgOf();
  await close('2025-01');
  await prune('2025-02-01');
  expect(await ask('select * from losant_usage.adjustments')).toEqual([]);
  const run = (...args: string[]) => runProgram(args, { DATABASE_URL: ledger.url });
  expect(await run('close', '--period', '2025-01', '--adjust')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /^losant-usage: 2025-01 of instance .* was removed: nothing is left to bill/,
    ) as string,
  });
  const folder = await mkdtemp(join(tmpdir(), 'pruned-'));
  try {
    const out = join(folder, 'pack');
    expect((await run('statement', '--period', '2025-01', '--out', out)).code).toBe(0);
    const verified = await run('verify', out);
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    expect(verified.stdout).toContain(
      'Days of 2025-01 were removed from the database since (prune): of number 1 only the lines and sources were compared with it, not the days.\n',
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('losant-usage prune', () => {
  const run = (...args: string[]) => runProgram(['prune', ...args], { DATABASE_URL: ledger.url });

  test('prints what went, what stays and why, and the size of the tables', async () => {
    await orgOf(FIRST_QUARTER, ['2025-02-10']);
    const ended = await run('--before', '2025-04-01');
    expect(ended.stdout.replaceAll(/[\d,]+ MB/g, 'N MB').split('\n')).toEqual([
      'Instance 5c0000000000000000000001: 1 month before 2025-04-01 removed.',
      '  month    days of organizations  rows of the ledger  payload sources',
      '  2025-01                     31                  31                0',
      '2025-02 stays, with all that follows it: 1 number is missing or in doubt.',
      '  losant-usage gaps --all lists them; losant-usage waive accepts each with a reason',
      '',
      'All tables take N MB, N MB before; the room of removed rows is used for new days.',
      '',
    ]);
    expect(ended.code).toBe(3);
  });

  test('as a document', async () => {
    await orgOf();
    const ended = await run('--before', '2025-02-01', '--dry-run', '--json');
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toEqual({
      ...{ before: '2025-02-01', dryRun: true },
      instances: [
        {
          instanceId: INSTANCE,
          name: null,
          months: [{ month: '2025-01', days: 31, sources: 0, cells: 31 }],
          kept: null,
        },
      ],
      bytes: { before: expect.any(Number), after: expect.any(Number) },
    });
  });
});

test('the embedded database is pruned in the same way', async () => {
  const embedded = await openLedger('embedded');
  try {
    const orgId = await embedded.newOrg();
    await addTracking(embedded.db, orgId, { streams: ['device_counts'], days: '{[2025-01-31,2025-02-01]}' });
    const days = ['2025-01-31', '2025-02-01'];
    await embedded.load(days.map((day) => answer(values(row(4, 1, 17)), { orgId, day, age: LAST })));
    await embedded.closeHandle();
    const url = { DATABASE_URL: embedded.url };
    expect(await runProgram(['prune', '--before', '2025-02-01'], url)).toMatchObject({ code: 0 });
    const left = await runProgram(['prune', '--before', '2025-03-01', '--dry-run', '--json'], url);
    expect(jsonOf(left)).toMatchObject({
      instances: [{ months: [{ month: '2025-02', days: 1 }], kept: null }],
    });
  } finally {
    await embedded.close();
  }
}, 180_000);

test('every table with days of usage is removed from, or is kept by name', async () => {
  expect(
    await ask(`select table_name as name from information_schema.columns c
      join information_schema.tables t using (table_schema, table_name)
      where table_schema = 'losant_usage' and column_name = 'usage_date' and table_type = 'BASE TABLE' order by 1`),
  ).toEqual([
    { name: 'coverage' },
    { name: 'instance_totals' },
    { name: 'payload_hours' },
    { name: 'payload_sources' },
    // What was changed stays on record.
    { name: 'revisions' },
    { name: 'usage_days' },
    { name: 'waivers' },
  ]);
});
