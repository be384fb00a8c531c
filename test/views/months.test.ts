/** The state of a month, what blocks it, and the remedy. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { cellResponse, useFilledLedger } from '../ledger/ledger.ts';
import { devices, POLICY, report } from '../usage/cells.ts';

const NOW = '2026-11-10T12:00:00.000Z';
const [FIRST, LAST] = ['2026-10-30', '2026-10-31'];
let orgId: string;

/** An organization that was created for the last two days of October, which are final and equal to Losant's totals. */
const ledger = useFilledLedger(NOW, async () => {
  orgId = await ledger.createOrg({ createdOn: FIRST });
  await ledger.write(sql`update losant_usage.instance set policy = ${JSON.stringify(POLICY)}::text::jsonb,
    new_orgs_from = '2026-10-01'`);
  await ledger.expectDays({ from: FIRST, to: LAST }, ['device_counts'], orgId);
  const response = report(devices(1, 0, 17));
  await ledger.load([FIRST, LAST].map((day) => cellResponse(orgId, 'device_counts', day, response)));
  await ledger.write(sql`insert into losant_usage.instance_totals (usage_date, metric, losant_total, last_read_at)
    select day::date, m.metric, m.total, '2026-11-09T00:00Z'
    from (values ('devices_created', 1), ('devices_deleted', 0), ('devices_total', 17)) as m (metric, total)
    cross join generate_series(${FIRST}::date, ${LAST}::date, interval '1 day') as day`);
});

const set = (table: string, assignments: string, where = 'true') =>
  ledger.write(sql.raw(`update losant_usage.${table} set ${assignments} where ${where}`));
const setLastDay = (assignments: string) => set('coverage', assignments, `usage_date = '${LAST}'`);
/** Makes the last day a stored number that is read again at an instant. */
const readLastDayAt = (at: string | null) => () =>
  setLastDay(`standing = 'stored', next_read_at = ${at === null ? 'null' : `'${at}'`}`);
const readFirstDayAgain = () =>
  set('coverage', "standing = 'stored', next_read_at = '2026-11-11T00:00Z'", `usage_date = '${FIRST}'`);
const lose = (standing: string, reason: string) => () =>
  setLastDay(`standing = '${standing}', is_stored = false, reason = '${reason}', next_read_at = '2026-11-10T13:00Z'`);
const loseLastDay = lose('missing', 'timeout');
const doubtLastDay = () => setLastDay("standing = 'in_doubt', reason = 'omitted'");
const setTotal = (total: number, readAt = '2026-11-09T00:00Z') =>
  set('instance_totals', `losant_total = ${total}, last_read_at = '${readAt}'`, `usage_date = '${LAST}'`);
const readNoTotal = () =>
  ledger.write(sql`update losant_usage.instance_totals set usage_date = '2026-09-01' where usage_date = ${LAST}`);
const beginEarlier = () => set('organizations', "created_on = '2026-10-29'");
const settle = readLastDayAt('2026-11-11T00:00Z');
const incompleteList = () => set('instance', "list_problem = 'page 2 failed'");
const onlyShow = () => set('instance', "control_totals = 'show'");

type Case = readonly [state: string, name: string, ...acts: readonly (() => Promise<unknown>)[]];
const CASES: readonly Case[] = [
  ['ready -', 'nothing keeps it from being closed'],
  ['settling not_final', 'a cell is read again', settle],
  ['settling not_final', 'a cell has been due for a day', readLastDayAt('2026-11-09T12:00:01Z')],
  ['blocked not_final', 'a cell has been due for more than a day', readLastDayAt('2026-11-09T11:59:59Z')],
  ['blocked not_final', 'a stored cell is not read again', readLastDayAt(null)],
  ['blocked not_final', 'one of two cells is not read again', readFirstDayAgain, readLastDayAt(null)],
  ['blocked missing', 'a number is missing, although it is read again', loseLastDay],
  ['blocked unavailable', 'a number can no longer be read', lose('unavailable', 'past_horizon')],
  ['blocked in_doubt', 'a number is in doubt', doubtLastDay],
  ['ready -', 'a number was waived', () => setLastDay("standing = 'waived', reason = 'waived'")],
  ['settling not_reconciled', 'a total is still to be read', readNoTotal],
  ['settling not_reconciled', 'a total differs that may still change', () => setTotal(18, '2026-11-01T00:00Z')],
  ['blocked not_reconciled', 'a total differs', () => setTotal(18)],
  ['ready -', 'a total differs that is only shown', () => setTotal(18), onlyShow],
  ['blocked list_incomplete', 'the list of organizations is incomplete', incompleteList],
  ['blocked not_fully_tracked', 'a day before tracking began is not stored', beginEarlier],
  ['blocked list_incomplete,not_final', 'one cause settles and another does not', incompleteList, settle],
];

const readState = () =>
  ledger.list(sql`select state, array_to_string(causes, ',') from losant_usage.months where month = '2026-10-01'`);

test.for(CASES)('a month is %s: %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  expect(await readState()).toEqual([expected]);
  // Its seventh column is the cause.
  const undocumented = sql`select cause from losant_usage.month_blockers
    where col_description('losant_usage.month_blockers'::regclass, 7) !~ ('\\m' || cause || '\\M')`;
  expect(await ledger.list(undocumented)).toEqual([]);
});

test('a month is in progress until it has ended, whatever blocks it', async () => {
  await incompleteList();
  const [current] = await ledger.list(sql`select state, causes from losant_usage.months order by month desc`);
  expect(current).toBe('in_progress -');
});

test('the last day of a month settles before the first run of the next one', async () => {
  await ledger.setTime('2026-11-01T00:10:00.000Z');
  await ledger.write(
    sql`delete from losant_usage.tracks`,
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
      values (${orgId}, 'notebook_minutes', ${FIRST}, ${LAST})`,
  );
  expect(await readState()).toEqual(['settling not_final']);
});

test('orgs_blocked counts organizations that somebody has to look at', async () => {
  const readCount = () => ledger.list(sql`select orgs_blocked from losant_usage.months where month = '2026-10-01'`);
  expect(await readCount()).toEqual(['0']);
  await settle();
  expect(await readCount()).toEqual(['0']);
  await loseLastDay();
  expect(await readCount()).toEqual(['1']);
  const otherId = '5d00000000000000000000ff';
  await ledger.write(
    sql`insert into losant_usage.organizations (org_id, name, created_on, first_seen_at, last_seen_at)
      values (${otherId}, 'Other', '2026-10-29', now(), now())`,
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values (${otherId}, 'device_counts', ${FIRST}, ${FIRST}, ${LAST})`,
  );
  expect(await readCount()).toEqual(['2']);
});

test.each([
  ['2026-10-15', ['2026-10-15 2026-10-29 15 ["device_counts"]']],
  ['2026-10-30', []],
  [null, ['2026-10-01 2026-10-29 29 ["device_counts"]']],
])('of an organization created on %s, the days before tracking began are %j', async (createdOn, expected) => {
  await ledger.setOrg(orgId, sql`created_on = ${createdOn}`);
  const blockers = sql`select first_day, last_day, days, streams from losant_usage.month_blockers
    where cause = 'not_fully_tracked'`;
  expect(await ledger.list(blockers)).toEqual(expected);
});

test('days that are not reconciled have each stream and result once', async () => {
  await set('instance_totals', 'losant_total = 18');
  const blockers = sql`select first_day, last_day, days, streams, detail from losant_usage.month_blockers
    where cause = 'not_reconciled'`;
  expect(await ledger.list(blockers)).toEqual(['2026-10-30 2026-10-31 2 ["device_counts"] difference']);
});

describe('a remedy', () => {
  const readRemedy = async () => {
    const remedies = sql`select remedy from losant_usage.month_blockers where month = '2026-10-01'`;
    return (await ledger.list(remedies)).join('\n').replaceAll(orgId, 'ORG');
  };
  const waive = 'losant-usage waive --org ORG --day 2026-10-31..2026-10-31 --stream device_counts --reason TEXT';
  const backfill = 'losant-usage backfill --org ORG --from 2026-10-31 --to 2026-10-31';
  const deleteOrg = () => set('organizations', "deleted_on = '2026-11-01'");

  test.for<Case>([
    ['wait: the last of these days is read by 2026-11-11 00:00 UTC', 'of a number that is read again', settle],
    ['losant-usage run', 'of a number that was not read in time', readLastDayAt(null)],
    [backfill, 'of a missing number', loseLastDay],
    [waive, 'of a missing number of a deleted organization', loseLastDay, deleteOrg],
    [waive, 'of a number that is no longer available', lose('unavailable', 'past_horizon')],
    [waive, 'of a number in doubt', doubtLastDay],
    ['losant-usage run', 'of an incomplete list', incompleteList],
    ['losant-usage reconcile --from 2026-10-31 --to 2026-10-31', 'of a difference', () => setTotal(18)],
    [
      'losant-usage backfill --org ORG --from 2026-10-29 --to 2026-10-29 --stream device_counts',
      'of a day before tracking began',
      beginEarlier,
    ],
    [
      'these days can no longer be read: close the month with --accept-blockers and a reason',
      'of such a day of a deleted organization',
      beginEarlier,
      deleteOrg,
    ],
  ])('is %s: %s', async ([expected, , ...acts]) => {
    for (const act of acts) await act();
    expect(await readRemedy()).toBe(expected);
  });

  test('of days of which some are past the horizon loads the others', async () => {
    await set('organizations', "created_on = '2026-10-25'");
    await ledger.setTime('2027-01-26T12:00:00.000Z');
    expect(await readRemedy()).toBe(
      'losant-usage backfill --org ORG --from 2026-10-28 --to 2026-10-29 --stream device_counts',
    );
  });

  test('of a month that has not ended is to wait', async () => {
    const remedies = sql`select remedy from losant_usage.month_blockers where month = '2026-11-01'`;
    expect(await ledger.list(remedies)).toEqual(['wait until the month has ended']);
  });
});
