/** The state of a month, and whether it is final. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { OTHER_INSTANCE, useBooks } from '../billing/books.ts';
import { COMPUTE_SUMS, cellResponse, INSTANCE, useFilledLedger } from '../ledger/ledger.ts';
import { devices, POLICY, report } from '../usage/cells.ts';

const NOW = '2026-11-10T12:00:00.000Z';
const [FIRST, LAST] = ['2026-10-30', '2026-10-31'];
const books = useBooks();
let orgId: string;

/** An organization that was created for the last two days of October, which are final. */
const ledger = useFilledLedger(NOW, async () => {
  orgId = await ledger.createOrg({ createdOn: FIRST });
  await ledger.asProgram(sql`update losant_usage.instances set policy = ${JSON.stringify(POLICY)}::text::jsonb`);
  await ledger.expectDays({ from: FIRST, to: LAST }, ['device_counts'], orgId);
  const response = report(devices(1, 0, 17));
  await ledger.load([FIRST, LAST].map((day) => cellResponse(orgId, 'device_counts', day, response)));
  await ledger.asProgram(COMPUTE_SUMS);
});

const set = (table: string, assignments: string, where = 'true') =>
  ledger.asProgram(sql.raw(`update losant_usage.${table} set ${assignments} where ${where}`), COMPUTE_SUMS);
const setInstance = (assignments: string) => set('instances', assignments);
const setLastDay = (assignments: string) => set('coverage', assignments, `usage_date = '${LAST}'`);
/** Makes the last day a stored number that is read again at an instant. */
const readLastDayAt = (at: string | null) => () =>
  setLastDay(`standing = 'stored', next_read_at = ${at === null ? 'null' : `'${at}'`}`);
const readFirstDayAgain = () =>
  set('coverage', `standing = 'stored', next_read_at = '2026-11-11T00:00Z'`, `usage_date = '${FIRST}'`);
const loseLastDay = () =>
  setLastDay("standing = 'missing', is_stored = false, reason = 'timeout', next_read_at = '2026-11-10T13:00Z'");
/** Compares the devices of the last day with a total of Losant's, which is null if it was not read yet. */
const compareWith = (total: number | null) => async () => {
  await setInstance("new_orgs_from = '2026-10-01'");
  const readAt = total === null ? null : '2026-11-09';
  await ledger.asProgram(
    sql`update losant_usage.instance_totals set quantity = 17, last_read_at = now()`,
    sql`update losant_usage.instance_totals set quantity = ${total}, last_read_at = ${readAt}
      where usage_date = ${LAST}`,
    sql`update losant_usage.instance_totals set our_sum = null`,
    COMPUTE_SUMS,
    sql`update losant_usage.instance_totals set quantity = our_sum
      where metric <> 'devices_total' or usage_date <> ${LAST}`,
  );
};
const collectFrom = (day: string) => () => setInstance(`collected_from = '${day}'`);
const beginEarlier = () => set('organizations', "created_on = '2026-10-29'");
const endEarlier = () => set('tracks', `last_day = '${FIRST}', next_day = '${LAST}'`);
/** The first run was after the creation of the organization. */
const collectLater = collectFrom(FIRST);
const retire = () => setInstance('retired_at = now()');
const settle = readLastDayAt('2026-11-11T00:00Z');
const incompleteList = () => setInstance("list_problem = 'page 2 failed'");

type Case = readonly [state: string, name: string, ...acts: readonly (() => Promise<unknown>)[]];
const CASES: readonly Case[] = [
  ['ready -', 'nothing keeps it from being closed'],
  ['settling not_final', 'a cell is read again', settle],
  ['settling not_final', 'a cell has been due for a day', readLastDayAt('2026-11-09T12:00:01Z')],
  ['blocked not_final', 'a cell has been due for more than a day', readLastDayAt('2026-11-09T11:59:59Z')],
  ['blocked not_final', 'a stored cell is not read again', readLastDayAt(null)],
  ['blocked not_final', 'one of two cells is not read again', readFirstDayAgain, readLastDayAt(null)],
  ['blocked missing', 'a number is missing, although it is read again', loseLastDay],
  ['settling not_reconciled', 'a total is still to be read', compareWith(null)],
  ['blocked not_reconciled', 'a total differs', compareWith(18)],
  ['blocked not_reconciled', 'nobody reads the total of a retired instance', compareWith(null), retire],
  ['blocked not_final', 'nobody reads a cell of a retired instance again', settle, retire],
  ['blocked list_incomplete', 'the list of organizations is incomplete', incompleteList],
  ['partly_collected not_fully_tracked', 'a day before the first run was not tracked', beginEarlier, collectLater],
  ['blocked not_fully_tracked', 'a later day was not tracked', beginEarlier, collectFrom('2026-10-29')],
  ['blocked not_fully_tracked', 'one of two spans is later', beginEarlier, collectLater, endEarlier],
  ['blocked not_fully_tracked', 'nobody knows the day of the first run', beginEarlier],
  ['settling not_final,not_fully_tracked', 'both settle and were not tracked', beginEarlier, collectLater, settle],
  ['blocked list_incomplete,not_final', 'one cause settles and another does not', incompleteList, settle],
];

const months = () =>
  ledger.list(sql`select state, array_to_string(causes, ',') from losant_usage.months where month = '2026-10-01'`);

test.for(CASES)('a month is %s: %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  expect(await months()).toEqual([expected]);
  // Its eighth column is the cause.
  const undocumented = sql`select cause from losant_usage.month_blockers
    where col_description('losant_usage.month_blockers'::regclass, 8) !~ ('\\m' || cause || '\\M')`;
  expect(await ledger.list(undocumented)).toEqual([]);
  // Pages and digests take it from what keeps back each organization.
  const shown = sql`select state from losant_usage_internal.month_summaries where month = '2026-10-01'`;
  expect(await ledger.list(shown)).toEqual([expected.split(' ')[0]]);
});

test.each([
  ['2026-10-15', '2026-10-15 is not the first day of a month'],
  [null, 'null is not the first day of a month'],
])('nothing is said of a month that is given as %s', async (month, message) => {
  const draft = sql`select * from losant_usage.statement_draft(${INSTANCE}, ${month}, false)`;
  const hash = sql`select losant_usage.check_closable(${INSTANCE}, ${month}, false, null, now())`;
  const reconciliation = sql`select * from losant_usage.month_reconciliation(${INSTANCE}, ${month})`;
  for (const query of [draft, hash, reconciliation]) {
    await expect(query.execute(ledger.reader.db)).rejects.toThrow(message);
  }
});

test.each(['5c000000000000000000dead', null])('a month of instance %s is not closable', async (instanceId) => {
  const hash = sql`select losant_usage.check_closable(${instanceId}, '2026-10-01', false, null, now())`;
  await expect(ledger.list(hash)).rejects.toThrow(`instance ${instanceId} is not in this database`);
});

test('the reconciliation of the current month speaks of no days ahead', async () => {
  await set('tracks', "last_day = null, next_day = '2026-11-10'");
  const days = sql`select reason, days from losant_usage.month_reconciliation(${INSTANCE}, '2026-11-01')`;
  expect(await ledger.list(days)).toEqual(['no_total 9']);
});

test('a month is in progress until it has ended, whatever blocks it', async () => {
  await incompleteList();
  const [current] = await ledger.list(sql`select state, causes from losant_usage.months order by month desc`);
  expect(current).toBe('in_progress -');
});

test('the last day of a month settles before the first run of the next one', async () => {
  await ledger.setTime('2026-11-01T00:10:00.000Z');
  await ledger.asProgram(sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    values (${orgId}, 'notebook_minutes', ${FIRST}, ${LAST})`);
  expect(await months()).toEqual(['settling not_final']);
});

test('orgs_blocked counts organizations that somebody has to look at', async () => {
  const orgsBlocked = () => ledger.list(sql`select orgs_blocked from losant_usage.months where month = '2026-10-01'`);
  expect(await orgsBlocked()).toEqual(['0']);
  await settle();
  expect(await orgsBlocked()).toEqual(['0']);
  await loseLastDay();
  expect(await orgsBlocked()).toEqual(['1']);
  const otherId = '5d00000000000000000000ff';
  await ledger.asProgram(
    sql`insert into losant_usage.organizations (org_id, instance_id, name, created_on, first_seen_at, last_seen_at)
      values (${otherId}, ${INSTANCE}, 'Other', '2026-10-29', now(), now())`,
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values (${otherId}, 'device_counts', ${FIRST}, ${FIRST}, ${LAST})`,
  );
  expect(await orgsBlocked()).toEqual(['2']);
  // Each cause once.
  expect(await months()).toEqual(['blocked missing,not_fully_tracked,not_reconciled']);
});

test('the days of a month that were not tracked are those of each stream, which is named once', async () => {
  await set('organizations', "created_on = '2026-10-01'");
  await ledger.asProgram(sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
    values (${orgId}, 'notebook_minutes', '2026-10-01', '2026-10-05', '2026-10-04'),
      (${orgId}, 'notebook_minutes', '2026-10-08', '2026-10-11', '2026-10-10')`);
  const blockers = sql`select first_day, last_day, streams from losant_usage.month_blockers
    where cause = 'not_fully_tracked'`;
  expect(await ledger.list(blockers)).toEqual(['2026-10-01 2026-10-31 ["device_counts","notebook_minutes"]']);
});

test('days that are not reconciled have each stream and result once', async () => {
  await compareWith(18)();
  await ledger.asProgram(sql`update losant_usage.instance_totals set quantity = 18
    where usage_date = ${FIRST} and metric = 'devices_total'`);
  const blockers = sql`select first_day, last_day, days, streams, detail from losant_usage.month_blockers
    where cause = 'not_reconciled'`;
  expect(await ledger.list(blockers)).toEqual(['2026-10-30 2026-10-31 2 ["device_counts"] differs']);
});

test('an incomplete list needs attention until its instance is retired', async () => {
  const items = () => ledger.list(sql`select text from losant_usage_internal.attention where kind = 'list_incomplete'`);
  await incompleteList();
  expect(await items()).toEqual(['page 2 failed']);
  await retire();
  expect(await items()).toEqual([]);
});

const waiveLastDay = () => setLastDay("standing = 'waived', reason = 'waived'");
test.for<Case>([
  ['true final true', 'if it has ended, all days were tracked and every number is final'],
  ['false final false', 'not if a day was not tracked', beginEarlier],
  ['false waived true', 'not if a number is waived', waiveLastDay],
])('%s: a month of an organization is final %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  const months = sql`select is_final, standing, is_billable from losant_usage.monthly_usage where month = '2026-10-01'`;
  expect(await ledger.list(months)).toEqual([expected]);
});

describe('a remedy', () => {
  const remedy = async () => {
    const remedies = sql`select remedy from losant_usage.month_blockers where month = '2026-10-01'`;
    const [lines = ''] = await ledger.list(remedies);
    return lines.replaceAll(orgId, 'ORG').replaceAll(INSTANCE, 'ME').split('\n');
  };
  const dueAt = (instant: string) => `the last of these cells is due at ${instant} UTC; then:`;
  const waive = 'losant-usage waive --org ORG --day 2026-10-31..2026-10-31 --stream device_counts --reason TEXT';
  const WAIVE = ['to accept what remains:', waive];
  const close = 'losant-usage close --month 2026-10 --instance ME --dry-run';
  const CLOSE = ['to accept what remains, use the last command that this prints:', close];

  test('of a month that has not ended is to wait', async () => {
    const remedies = sql`select remedy from losant_usage.month_blockers where month = '2026-11-01'`;
    expect(await ledger.list(remedies)).toEqual(['wait until the month has ended']);
  });

  test('says when the last of the cells is due, and accepts nothing that is read in time', async () => {
    await settle();
    expect(await remedy()).toEqual([dueAt('2026-11-11 00:00'), 'losant-usage run']);
    await set('coverage', `standing = 'stored', next_read_at = '2026-11-12T00:00Z'`, `usage_date = '${FIRST}'`);
    expect(await remedy()).toEqual([dueAt('2026-11-12 00:00'), 'losant-usage run']);
  });

  test.each([
    ['that makes the last of the cells final, not one before it', '0, 48, 72', '2026-11-04 00:00'],
    ['at a checkpoint, if days become final between two of them', '0, 48, 96', '2026-11-05 00:00'],
  ])('names the read %s', async (_which, readAtHours, instant) => {
    await set('instances', `policy = policy || '{"readAtHours": [${readAtHours}]}'`);
    await ledger.setTime('2026-11-02T09:00:00.000Z');
    await readLastDayAt('2026-11-03T00:00Z')();
    expect(await remedy()).toEqual([dueAt(instant), 'losant-usage run']);
  });

  test('is inlined, because a function call for each blocker would take as long as the rest', async () => {
    const plan = await ledger.explainIndexes(sql`(verbose) select remedy from losant_usage.month_blockers`);
    expect(plan).toContain('the last of these cells is due at');
    expect(plan).not.toContain('losant_usage_internal.remedy(');
  });

  test('accepts cells that were not read in time, or whose reads fail', async () => {
    await readLastDayAt('2026-11-09T11:59:59Z')();
    expect(await remedy()).toEqual(['losant-usage run', ...WAIVE]);
    await setLastDay("next_read_at = '2026-11-10T14:00Z', failed_reads = 1, reason = 'timeout'");
    expect(await remedy()).toEqual([dueAt('2026-11-10 14:00'), 'losant-usage run', ...WAIVE]);
  });

  test('loads what is missing, says when it is tried again, and accepts it', async () => {
    await loseLastDay();
    expect(await remedy()).toEqual([
      'losant-usage backfill --org ORG --from 2026-10-31 --to 2026-10-31',
      'what remains is read again by 2026-11-10 13:00 UTC',
      ...WAIVE,
    ]);
  });

  test.each([
    ['whose organization was deleted', 'organizations', "deleted_on = '2026-11-01'"],
    ['whose instance was retired', 'instances', 'retired_at = now()'],
  ])('only accepts cells %s', async (_, table, assignments) => {
    await loseLastDay();
    await set(table, assignments);
    expect(await remedy()).toEqual(['these days can no longer be read', ...WAIVE]);
  });

  test('only accepts cells that became unavailable, even if the horizon was raised since', async () => {
    await setLastDay("standing = 'unavailable', is_stored = false, reason = 'past_horizon', next_read_at = null");
    expect(await remedy()).toEqual(['these days can no longer be read', ...WAIVE]);
  });

  test('only accepts days past the horizon, and loads those inside it', async () => {
    await set('organizations', "created_on = '2026-10-25'");
    await ledger.setTime('2027-01-26T12:00:00.000Z');
    const [first, ...acceptance] = await remedy();
    expect(first).toBe('losant-usage backfill --org ORG --from 2026-10-28 --to 2026-10-29');
    expect(acceptance).toEqual(CLOSE);
    await ledger.setTime('2027-02-05T12:00:00.000Z');
    expect(await remedy()).toEqual(['these days can no longer be read', ...CLOSE]);
  });

  test('compares a total that is still to be read, and accepts nothing', async () => {
    await compareWith(null)();
    expect(await remedy()).toEqual([
      'runs compare these days again once a day; to do so now:',
      'losant-usage backfill --force --instance ME --from 2026-10-31 --to 2026-10-31 --stream device_counts',
      'losant-usage reconcile --from 2026-10-31 --to 2026-10-31',
    ]);
  });

  test('reads both streams of a comparison again, and accepts a difference that stays', async () => {
    await compareWith(18)();
    await ledger.asProgram(sql`update losant_usage.instance_totals set counterpart = 'payload_hours', orgs_differing = 1
      where usage_date = ${LAST}`);
    expect(await remedy()).toEqual([
      'runs compare these days again once a day; to do so now:',
      'losant-usage backfill --force --instance ME --from 2026-10-31 --to 2026-10-31 ' +
        '--stream device_counts --stream payload_hours',
      'losant-usage reconcile --from 2026-10-31 --to 2026-10-31',
      ...CLOSE,
    ]);
  });
});

test('a closed month needs an adjustment once a number that differs is settled', async () => {
  const state = async () =>
    await books.list(sql`select state, orgs_to_adjust, lines_to_adjust, lines_unsettled from losant_usage.months
      where month = '2026-03-01'`);
  const org = await books.addFinalOrg({ from: '2026-03-10', to: '2026-03-11' });
  await books.close('2026-03');
  expect(await state()).toEqual(['closed 0 0 0']);
  const old = { devices_created: 4, devices_deleted: 1 };
  await books.restate(org, '2026-03-11', { old, numbers: { devices_created: 9, devices_deleted: 2 } });
  await books.setStanding(org, '2026-03-11', 'in_doubt');
  expect(await state()).toEqual(['closed 0 0 2']);
  await books.setStanding(org, '2026-03-11', 'final');
  expect(await state()).toEqual(['needs_adjustment 1 2 0']);
});

describe('the months of an instance', () => {
  const listMonths = (instanceId: string) =>
    books.list(sql`select to_char(month, 'YYYY-MM') as month, state from losant_usage.months
      where instance_id = ${instanceId} and month < '2026-01-01' order by month`);

  test('are those on whose days it expects a metric', async () => {
    const org = await books.addOrg({ from: '2025-01-31' });
    await books.addCells({ orgId: org, from: '2025-01-31', to: '2025-02-01' });
    await books.addCells({ orgId: org, from: '2025-04-10' });
    await books.addCells({ orgId: org, from: '2024-12-31', stream: 'payload_hours' });
    expect(await listMonths(INSTANCE)).toEqual(['2025-01 ready', '2025-02 blocked', '2025-04 blocked']);
  });

  test('are those that it closed, also of an organization that it has transferred', async () => {
    const org = await books.addFinalOrg({ from: '2025-05-10', to: '2025-05-10' });
    await books.close('2025-05');
    await books.setOrg(org, sql`instance_id = ${OTHER_INSTANCE}`);
    expect(await listMonths(INSTANCE)).toContain('2025-05 closed');
    expect(await listMonths(OTHER_INSTANCE)).toEqual([]);
    await books.restate(org, '2025-05-10', { old: { devices_created: 4 }, numbers: { devices_created: 9 } });
    expect(await listMonths(OTHER_INSTANCE)).toEqual(['2025-05 ready']);
    expect((await books.close('2025-05', { instanceId: OTHER_INSTANCE })).lines).toMatchObject([{ quantity: '5' }]);
    expect(await listMonths(OTHER_INSTANCE)).toEqual(['2025-05 closed']);
  });
});

test.each([
  ['small', 'ended with it', "'2026-10-01Z', '2026-11-01Z'"],
  ['small', 'was first seen later', "'2026-11-05Z', null"],
  ['small', 'ended after it, next to a later one', "'2026-01-01Z', '2026-11-02Z'), ('2026-11-02Z', null"],
  [null, 'ended before', "'2026-10-01Z', '2026-10-31Z'), ('2026-10-31Z', null"],
])('a month has the plan %s if the version with the plan %s', async (plan, _, times) => {
  await ledger.asProgram(sql`insert into losant_usage.organization_history
      (org_id, valid_from, valid_to, instance_id, name, plan_id, tags, limits)
    select ${orgId}, v.valid_from::timestamptz, v.valid_to::timestamptz, ${INSTANCE}, 'Acme',
      case when row_number() over (order by v.valid_from) = 1 then 'small' end, '[]', '{}'
    from (values (${sql.raw(times)})) as v (valid_from, valid_to)`);
  const plans = sql`select month_end_plan_id from losant_usage.monthly_usage where month = '2026-10-01'`;
  expect(await ledger.queryRows(plans)).toEqual([{ month_end_plan_id: plan }]);
});
