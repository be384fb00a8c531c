/** What needs attention: the view behind the table, and its refresh. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { refreshAttention } from '../../src/ledger/attention.ts';
import { acquireLease, releaseLease } from '../../src/ledger/lease.ts';
import { ATTENTION_KINDS, readAttention, splitText } from '../../src/queries/attention.ts';
import { readHealth } from '../../src/queries/health.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import { eachDay } from '../../src/usage/day.ts';
import { asProgram } from '../support/by-hand.ts';
import { asOwner, openAs } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { omitted, report, totals } from '../usage/cells.ts';
import { COMPUTE_SUMS, cellResponse, INSTANCE, RUN_1, useFreshLedger } from './ledger.ts';
import { addPayloadOrg, FINISH_CELLS, type PayloadOrg } from './payload-orgs.ts';

/** A Tuesday. */
const TODAY = '2026-11-24';
const ledger = useFreshLedger(`${TODAY}T12:00:00.000Z`);

const refresh = (day = TODAY) => refreshAttention({ db: ledger.db, instanceId: INSTANCE, lease: null }, day);

/** Returns the current items of some kinds, by default of all that are not about months. */
const itemsOf = async (...kinds: readonly string[]) =>
  await ledger.list(sql`
    select kind, text, quantity from losant_usage.attention_items
    where is_current and instance_id = ${INSTANCE} and
      (kind::text = any (${kinds}::text[]) or (${kinds.length} = 0 and kind::text not like 'month%'))
    order by kind, text`);

/** Returns what is shown of the instance: by the digest of a day, or by the console. */
const read = async (day?: string) =>
  (await readAttention(ledger.reader.db, { instanceIds: [INSTANCE], ...(day && { day }) }))[0];

const addOrg = (org: PayloadOrg) => addPayloadOrg(ledger, TODAY, org);

const changing = (before: number, day: string, after: number | null) => (other: string) =>
  other < day ? before : after;

/** Returns an organization whose number of a day is missing. */
const lacking = (name: string, missingDay = '2026-11-20'): PayloadOrg => ({
  name,
  createdOn: '2026-11-10',
  payloads: (day) => (day === missingDay ? null : 10),
});

test('kinds have the same order in the database and in the program', async () => {
  const kinds = await ledger.list(sql`select unnest(enum_range(null::losant_usage.attention_kind))`);
  expect(Object.keys(ATTENTION_KINDS)).toEqual(kinds);
});

test('missing cells are named with their streams and first day once they are late; who lacks nothing is not', async () => {
  await ledger.setTime(`${TODAY}T05:59:00.000Z`);
  await addOrg({ name: 'Calm' });
  await addOrg(lacking('Early', '2026-11-23'));
  await refresh();
  expect(await itemsOf()).toEqual([]);
  await ledger.setTime(`${TODAY}T06:00:00.000Z`);
  await addOrg({ name: 'Kestrel', payloads: (day) => (day === '2026-11-10' || day === '2026-11-20' ? null : 10) });
  await refresh();
  expect(await itemsOf()).toEqual([
    'missing Early (payload_totals since 2026-11-23) 1',
    'missing Kestrel (payload_totals since 2026-11-10) 2',
  ]);
});

const respond = async (orgId: string, verdict: Verdict, ...days: readonly string[]) => {
  await ledger.load(days.map((day) => cellResponse(orgId, 'payload_totals', day, verdict)));
  await ledger.asProgram(COMPUTE_SUMS);
};

test('a cell, and its month, need attention once it has been in doubt for a day, and not before another day', async () => {
  const orgId = await addOrg({ name: 'Doubtful' });
  const items = () => itemsOf('in_doubt', 'month_ready', 'month_blocked');
  await respond(orgId, omitted, '2026-10-30', '2026-11-20');
  await ledger.setTime('2026-11-25T11:00:00.000Z');
  await respond(orgId, omitted, '2026-11-20');
  await refresh('2026-11-25');
  expect(await items()).toEqual([]);
  await ledger.setTime('2026-11-25T12:01:00.000Z');
  await refresh('2026-11-25');
  const month = 'month_blocked October 2026 (0 of 1 ready; Doubtful: 30 Oct in doubt; 310 billable payloads on hold) 1';
  expect(await items()).toEqual(['in_doubt Doubtful (payload_totals since 2026-10-30) 2', month]);
  await respond(orgId, report(totals(10, 10, 10)), '2026-11-20');
  await respond(orgId, omitted, '2026-11-20');
  await refresh('2026-11-25');
  expect(await items()).toEqual(['in_doubt Doubtful (payload_totals since 2026-10-30) 1', month]);
});

test('a month does not need attention for a doubt of a day in another month', async () => {
  const orgId = await addOrg({ name: 'Doubtful' });
  await respond(orgId, omitted, '2026-11-20');
  await ledger.setTime('2026-11-25T12:00:00.000Z');
  await respond(orgId, omitted, '2026-10-30');
  await ledger.setTime('2026-11-25T12:01:00.000Z');
  await refresh('2026-11-25');
  const items = await itemsOf('in_doubt', 'month_ready', 'month_blocked');
  expect(items).toEqual(['in_doubt Doubtful (payload_totals since 2026-11-20) 1']);
});

test('a settled sum that differs is named and counted until differences block nothing or its month is closed', async () => {
  await addOrg({ name: 'Calm', createdOn: '2026-09-01' });
  await ledger.asProgram(
    sql`update losant_usage.instances
      set new_orgs_from = '2026-11-01', policy = '{"finalAfterHours": 72, "horizonDays": 90}'
      where instance_id = ${INSTANCE}`,
    sql`update losant_usage.instance_totals set quantity = 11, last_read_at = now(), our_sum = 10, orgs_expected = 1,
        orgs_summed = 1, orgs_unsettled = 0
      where instance_id = ${INSTANCE} and metric = 'payload_all_count' and usage_date in ('2026-09-10', '2026-11-10')`,
  );
  const expectDifferences = async (differences: number, ...items: readonly string[]) => {
    await refresh();
    const health = await readHealth(ledger.reader.db, { nowMs: ledger.nowMs, instanceIds: [INSTANCE] });
    expect(health.instances.map((each) => each.differences)).toEqual([differences]);
    expect(await itemsOf('sums_differ')).toEqual(items);
  };
  await expectDifferences(2, "sums_differ payload_all_count (from Losant's total since 2026-09-10) 2");
  // It stays: statements cannot be deleted.
  await asOwner(
    ledger.url,
    asProgram(`insert into losant_usage.statements (statement_id, instance_id, month, number, kind, orgs, rules,
      reconciliation, closed_at, closed_by, manifest, manifest_sha256)
    values (gen_random_uuid(), '${INSTANCE}', '2026-09-01', 1, 'closing', 1, '{}', '{}', now(), 'clerk', '{}',
      sha256(''))`),
  );
  await expectDifferences(1, "sums_differ payload_all_count (from Losant's total since 2026-11-10) 1");
  await ledger.asProgram(sql`update losant_usage.instances set control_totals = 'show'`);
  await expectDifferences(0);
});

test('the organizations of a month are those with a track in it, each once', async () => {
  const formerId = await addPayloadOrg(ledger, '2026-09-01', { name: 'Former', createdOn: '2026-08-01' });
  const orgId = await addOrg({ name: 'Calm' });
  await ledger.expectDays({ from: '2026-10-01', to: '2026-11-23' }, ['notebook_minutes'], orgId);
  await ledger.asProgram(
    sql`update losant_usage.tracks set last_day = case when org_id = ${formerId} then date '2026-08-31' end`,
    FINISH_CELLS,
    COMPUTE_SUMS,
  );
  await refresh();
  expect(await itemsOf('month_ready', 'month_blocked')).toEqual([
    'month_ready August 2026 (1 of 1 ready) -',
    'month_ready October 2026 (1 of 1 ready) -',
  ]);
});

test('each month has its own causes and payloads', async () => {
  const isLacking = (day: string) => ['2026-08-10', '2026-10-20', '2026-10-21'].includes(day);
  await addOrg({ name: 'Kestrel', createdOn: '2026-08-01', payloads: (day) => (isLacking(day) ? null : 10) });
  await refresh();
  expect(await itemsOf('month_blocked')).toEqual([
    'month_blocked August 2026 (0 of 1 ready; Kestrel: 10 Aug missing; 300 billable payloads on hold) 1',
    'month_blocked October 2026 (0 of 1 ready; Kestrel: 20 Oct to 21 Oct missing; 290 billable payloads on hold) 1',
  ]);
});

test('a month first names the organizations that block it, those with the most payloads, and then what settles', async () => {
  const lost = (payloads: number) => (day: string) => (day === '2026-10-20' ? null : payloads);
  await addOrg({ name: 'Axle', payloads: lost(1) });
  await addOrg({ name: 'Lathe', payloads: lost(5) });
  const settlingId = await addOrg({ name: 'Anchor', payloads: () => 1_000 });
  await ledger.asProgram(sql`update losant_usage.coverage set standing = 'stored', next_read_at = '2026-11-25'
    where org_id = ${settlingId} and usage_date = '2026-10-31'`);
  await refresh();
  const named = 'Lathe: 20 Oct missing; Axle: 20 Oct missing; and 1 more';
  expect(await itemsOf('month_blocked')).toEqual([
    `month_blocked October 2026 (0 of 3 ready; ${named}; 31,180 billable payloads on hold) 3`,
  ]);
});

test('every limit of an organization counts, and one of 0 is exceeded by 1', async () => {
  // 230 payloads so far, and 10 more on each day.
  const orgId = await addOrg({ name: 'Ironbark', limits: { payload: 200, device: 0 } });
  await addOrg({ name: 'Harbor', limits: { payload: 250 } });
  await addOrg({ name: 'Calm', limits: { payload: 300 } });
  // What is not stored is unknown, and estimated.
  await addOrg({ name: 'Vale', limits: { payload: 295 }, payloads: changing(10, '2026-11-01', null) });
  await ledger.asProgram(
    sql`update losant_usage.usage_days set devices_created = 0, devices_deleted = 0, devices_total = 1
      where org_id = ${orgId}`,
  );
  await refresh();
  expect(await itemsOf('limit_exceeded', 'limit_at_risk')).toEqual([
    'limit_exceeded Ironbark (device 1 of 0) 1',
    'limit_exceeded Ironbark (payload 115%) 230',
    'limit_at_risk Harbor (payload on 2026-11-26) 230',
    'limit_at_risk Vale (payload on 2026-11-30) -',
  ]);
});

test('organizations that changed much, are silent, new or deleted are named once each', async () => {
  await addOrg({ name: 'Exploded', payloads: changing(1, '2026-11-01', 10_000_000_000) });
  await addOrg({ name: 'Grown', payloads: changing(10, '2026-11-01', 16) });
  await addOrg({ name: 'Started', payloads: changing(0, '2026-11-01', 16) });
  await addOrg({ name: 'Silent', payloads: changing(10, '2026-11-04', 0) });
  await addOrg({ name: 'Newcomer', createdOn: '2026-11-18' });
  await addOrg({ name: 'Newer than the comparison', createdOn: '2026-10-20' });
  const leaverId = await addOrg({ name: 'Leaver' });
  await ledger.setOrg(leaverId, sql`deleted_on = '2026-11-20'`);
  const briefId = await addOrg({ name: 'Brief', createdOn: '2026-11-18' });
  await ledger.setOrg(briefId, sql`deleted_on = '2026-11-22'`);
  await refresh();
  expect(await itemsOf()).toEqual([
    'large_change Exploded (+999,999,999,900%) 229999999977',
    'large_change Grown (+60%) 138',
    'large_change Started (from 0) 368',
    'silent Silent (since 2026-11-04) -',
    'new Newcomer (2026-11-18) -',
    'deleted Brief (2026-11-22) -',
    'deleted Leaver (2026-11-20) -',
  ]);
});

describe('of the only organization of an instance', () => {
  test('a deletion is named', async () => {
    const orgId = await addOrg({ name: 'Leaver', createdOn: '2026-11-21' });
    await ledger.setOrg(orgId, sql`created_on = '2025-01-01', deleted_on = '2026-11-23'`);
    await refresh();
    expect(await itemsOf('new', 'deleted')).toEqual(['deleted Leaver (2026-11-23) -']);
  });

  test('its creation is named', async () => {
    await addOrg({ name: 'Newcomer', createdOn: '2026-11-22' });
    await refresh();
    expect(await itemsOf('new', 'deleted')).toEqual(['new Newcomer (2026-11-22) -']);
  });

  test('silence is named from its fourth day on', async () => {
    const createdOn = '2026-11-20';
    const orgId = await addOrg({ name: 'Silent', createdOn, payloads: (day) => (day === createdOn ? 10 : 0) });
    await ledger.setOrg(orgId, sql`created_on = null`);
    await refresh();
    expect(await itemsOf('silent')).toEqual(['silent Silent (since 2026-11-21) -']);
  });
});

test('an instance of which nothing of yesterday was read is named with the last error', async () => {
  await addOrg(lacking('Kestrel', '2026-11-23'));
  await ledger.asProgram(sql`update losant_usage.instances set last_error = 'HTTP 502'`);
  await refresh();
  expect(await itemsOf('not_read')).toEqual(['not_read 2026-11-23: HTTP 502 -']);
  await addOrg({ name: 'Calm', createdOn: '2026-11-23' });
  await refresh();
  expect(await itemsOf('not_read')).toEqual([]);
});

test('without an error, an instance is named once yesterday is late, unless nothing of it is expected', async () => {
  const newOrg = await ledger.createOrg({ createdOn: TODAY });
  await ledger.asProgram(sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    values (${newOrg}, 'payload_totals', ${TODAY}, ${TODAY})`);
  await refresh();
  expect(await itemsOf('not_read')).toEqual([]);
  await addOrg(lacking('Kestrel', '2026-11-23'));
  await ledger.setTime(`${TODAY}T05:59:00.000Z`);
  await refresh();
  expect(await itemsOf('not_read')).toEqual([]);
  await ledger.setTime(`${TODAY}T06:00:00.000Z`);
  const named = ['not_read 2026-11-23 -'];
  for (const [lastDay, items] of [
    [null, named],
    ['2026-11-23', named],
    ['2026-11-22', []],
  ] as const) {
    await ledger.asProgram(sql`update losant_usage.tracks
      set last_day = ${lastDay}::date, next_day = least(next_day, ${lastDay}::date + 1) where org_id <> ${newOrg}`);
    await refresh();
    expect(await itemsOf('not_read')).toEqual(items);
  }
});

test.each([
  ['missing', 'Kestrel (North) (since 2026-11-20)', 'Kestrel (North)', 'since 2026-11-20'],
  ['month_ready', 'October 2026 (1 of 2 ready; Kestrel (North))', 'October 2026', '1 of 2 ready; Kestrel (North)'],
  ['not_read', '2026-11-23: HTTP 502 (after 5 attempts)', '2026-11-23: HTTP 502 (after 5 attempts)', ''],
] as const)('the text of an item %s, %s, has a detail unless it is an error', (kind, text, ...parts) => {
  expect(splitText(kind, text)).toEqual(parts);
});

test('an instance that was never read is named, by whoever has its lease', async () => {
  await ledger.asProgram(sql`update losant_usage.instances set last_error = 'HTTP 401'`);
  const lease = await acquireLease(ledger.db, { instanceId: INSTANCE, runId: RUN_1, host: 'host' });
  await refreshAttention({ db: ledger.db, instanceId: INSTANCE, lease }, TODAY);
  expect(await itemsOf()).toEqual([`never_read ${INSTANCE}: HTTP 401 -`]);
  await releaseLease(ledger.db, lease);
  await expect(refreshAttention({ db: ledger.db, instanceId: INSTANCE, lease }, TODAY)).rejects.toThrow('taken over');
});

test('while a refresh reads, a month can be closed', async () => {
  await addOrg({ name: 'Kestrel' });
  const [owner, closer] = [await openAs('migrator', ledger.url), await openAs('closer', ledger.url)];
  const blocker = await owner.db.startTransaction().execute();
  await sql`lock table losant_usage.metrics in access exclusive mode`.execute(blocker);
  const refreshed = refresh();
  const waiting = sql`select from pg_locks where not granted and relation = 'losant_usage.metrics'::regclass`;
  await until('the refresh waits', async () => (await waiting.execute(owner.db)).rows.length > 0);
  const locked = closer.db.transaction().execute(async (trx) => {
    await sql`lock table losant_usage_internal.ledger_lock in row exclusive mode nowait`.execute(trx);
  });
  await expect(locked).resolves.toBeUndefined();
  await blocker.rollback().execute();
  await refreshed;
  await Promise.all([owner.close(), closer.close()]);
});

describe('an item', () => {
  const setProblem = (problem: string | null) =>
    ledger.asProgram(sql`update losant_usage.instances set list_problem = ${problem}`);
  const seen = () =>
    ledger.list(sql`
      select text, first_seen_on, last_seen_on, is_current, named_on from losant_usage.attention_items`);
  const readPhases = async (day: string) => ((await read(day))?.groups ?? []).map(({ phase }) => phase);

  /** An instance without organizations, whose list is incomplete since the 24th. */
  beforeEach(async () => {
    await ledger.asProgram(sql`update losant_usage.instances set listed_at = now(), new_orgs_from = '2026-11-23'`);
    await refresh('2026-11-01');
    await setProblem('page 2 failed');
    await refresh('2026-11-24');
  });

  test.each([
    ['2026-11-27', '2026-11-24'],
    ['2026-11-28', '2026-11-28'],
  ])('that was last seen on 24 November and is seen again on %s has been there since %s', async (day, firstDay) => {
    await setProblem(null);
    await refresh('2026-11-25');
    expect(await seen()).toEqual(['page 2 failed 2026-11-24 2026-11-24 false -']);
    await setProblem('page 3 failed');
    await refresh(day);
    expect(await seen()).toEqual([`page 3 failed ${firstDay} ${day} true -`]);
  });

  test('is new until a digest has named it, and is named again on days 3, 7 and 14', async () => {
    await refresh('2026-11-25');
    expect(await seen()).toEqual(['page 2 failed 2026-11-24 2026-11-25 true -']);
    expect([await readPhases('2026-11-24'), await readPhases('2026-12-20')]).toEqual([['new'], ['new']]);
    await ledger.asProgram(sql`update losant_usage.attention_items set named_on = '2026-11-24'`);
    const days = eachDay({ from: '2026-11-24', to: '2026-12-20' });
    const phasesByDay = await Promise.all(days.map(async (day) => [day, ...(await readPhases(day))] as const));
    expect(phasesByDay.filter(([, phase]) => phase !== null)).toEqual([
      ['2026-11-24', 'new'],
      ['2026-11-27', 'reminder'],
      ['2026-12-01', 'reminder'],
      ['2026-12-08', 'reminder'],
    ]);
  });
});

test('at the first refresh nothing is new, and at the first after an instance was never read', async () => {
  await refresh('2026-11-20');
  await addOrg(lacking('Kestrel'));
  await refresh();
  const groups = (await read(TODAY))?.groups ?? [];
  expect(groups.length).toBeGreaterThan(0);
  expect(groups.filter(({ phase }) => phase === 'new')).toEqual([]);
  await addOrg(lacking('Later'));
  await refresh();
  const newGroups = (await read(TODAY))?.groups.filter(({ phase }) => phase === 'new');
  expect(newGroups?.map(({ texts }) => texts)).toEqual([['Later (payload_totals since 2026-11-20)']]);
});

test('the console marks what was not there the day before, but nothing of the first refresh', async () => {
  const marks = async () => {
    const group = (await read())?.groups.find(({ kind }) => kind === 'missing');
    return group?.texts.map((text, index) => `${text.split(' ')[0]} ${group.areNew[index]}`);
  };
  await addOrg(lacking('Kestrel'));
  await refresh('2026-11-23');
  expect(await marks()).toEqual(['Kestrel false']);
  await addOrg(lacking('Solent'));
  await refresh('2026-11-24');
  expect(await marks()).toEqual(['Kestrel false', 'Solent true']);
  await refresh('2026-11-25');
  expect(await marks()).toEqual(['Kestrel false', 'Solent false']);
});

test('an instance without a refresh is not known yet, and names are counted beyond three', async () => {
  expect(await read()).toMatchObject({ attentionAt: null, hasRunInProgress: false, groups: [] });
  for (const name of ['A', 'B', 'C', 'D']) await addOrg(lacking(name));
  await refresh();
  expect(await read()).toMatchObject({ attentionAt: `${TODAY}T12:00:00.000Z` });
  const group = (await read())?.groups.find(({ kind }) => kind === 'missing');
  expect(group).toMatchObject({ items: 4, phase: null });
  expect(group?.texts.map((text) => text[0])).toEqual(['A', 'B', 'C']);
  expect(group?.subjects).toHaveLength(3);
});
