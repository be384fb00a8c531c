/** Writes of many cells are divided into transactions: each is short, and an interruption loses only the last one. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { applyPolicy, retryFailedCells } from '../../src/ledger/due.ts';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import type { RunLedger } from '../../src/ledger/load.ts';
import { POLICY } from '../usage/cells.ts';
import { useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const STREAMS = ['device_counts', 'notebook_minutes', 'payload_hours', 'payload_sources', 'payload_totals'];
/** Two organizations with all of their days, and not three. */
const LIMIT = 90;
const LONG_POLICY = { ...POLICY, horizonDays: 3_650 };
const SHORT_POLICY = { ...POLICY, horizonDays: 10 };

const createWriter = (changes: Partial<RunLedger> = {}) => ledger.writer({ transactionCells: LIMIT, ...changes });

/** Returns how many cells that match were last written by each transaction, fewest first. */
async function listTransactions(matches: RawBuilder<unknown>): Promise<number[]> {
  const { rows } = await sql<{ cells: number }>`select count(*) as cells from losant_usage.coverage
    where ${matches} group by xmin::text order by 1`.execute(ledger.db);
  return rows.map(({ cells }) => cells);
}

describe('a backfill', () => {
  const backfill = (days = '2026-11-15..2026-11-23') =>
    ledger.backfill(days, { streams: STREAMS }, { transactionCells: LIMIT });
  const cellsByOrg = sql`select right(org_id, 1) as org, count(*) as cells from losant_usage.coverage
    group by org_id order by org_id`;

  test('adds as many whole organizations in a transaction as its cells allow', async () => {
    await ledger.createOrgs(7);
    await ledger.prepare({ streams: STREAMS });
    await backfill();
    expect(await ledger.listAsWriter(cellsByOrg)).toEqual([1, 2, 3, 4, 5, 6, 7].map((org) => `${org} 45`));
    expect(await listTransactions(sql`usage_date < '2026-11-23'`)).toEqual([40, 80, 80, 80]);
  });

  test('takes one organization at least, however many days it has', async () => {
    await ledger.createOrgs(1);
    await ledger.prepare({ streams: STREAMS });
    await backfill('2026-11-04..2026-11-23');
    expect(await ledger.listAsWriter(cellsByOrg)).toEqual(['1 100']);
  });

  test('keeps the organizations that it has added if it is interrupted', async () => {
    await ledger.createOrgs(3);
    await ledger.prepare({ streams: STREAMS });
    const killAtLastOrg = "if new.org_id like '%3' then raise exception 'killed'; end if; return new;";
    await ledger.withTrigger('coverage', killAtLastOrg, () => expect(backfill()).rejects.toThrow('killed'));
    expect(await ledger.listAsWriter(cellsByOrg)).toEqual(['1 45', '2 45', '3 5']);
  });
});

/** Adds 40 days of a stream to seven organizations, with some columns of the cells. */
async function createManyCells(columns: Readonly<Record<string, string | number | null>> = {}): Promise<void> {
  await ledger.createOrgs(7);
  const names = sql.join([sql``, ...Object.keys(columns).map((name) => sql.ref(name))]);
  const values = sql.join([sql``, ...Object.values(columns)]);
  const days = sql`losant_usage.organizations o cross join generate_series(0, 39) as n`;
  await ledger.write(
    sql`update losant_usage.instance set policy = ${JSON.stringify(LONG_POLICY)}::text::jsonb`,
    sql`insert into losant_usage.coverage (usage_date, org_id, stream ${names})
      select date '2026-11-23' - n, o.org_id, 'device_counts' ${values} from ${days}`,
    sql`insert into losant_usage.usage_days (usage_date, org_id) select date '2026-11-23' - n, o.org_id from ${days}`,
  );
}

const NEVER_READ = { reason: 'never_read', next_read_at: '2026-11-24T00:00:00Z' };
const setOrgs = (change: RawBuilder<unknown>) => ledger.write(sql`update losant_usage.organizations set ${change}`);
const create = () => createExpectedCells(createWriter({ policy: LONG_POLICY }));

const FAILED = { reason: 'timeout', failed_reads: 1, standing: 'missing', next_read_at: '2026-11-24T06:00:00Z' };
const ALL = { orgIds: null, streams: null, range: null };
const endHorizon = () => createExpectedCells(createWriter({ policy: SHORT_POLICY }));
const retryAll = () => retryFailedCells(createWriter({ policy: LONG_POLICY }), ALL);
const deleteAll = () => setOrgs(sql`deleted_on = '2026-11-24'`);
const changePolicy = () => applyPolicy(createWriter({ policy: { ...LONG_POLICY, readAtHours: [3, 72] } }));
const is = (standing: string) => sql`standing = ${standing}`;
const isDueNow = sql`next_read_at = '2026-11-24T00:15:00Z'`;

type Act = () => Promise<unknown>;

/** The columns of all cells, what changes which of them after other acts, and how many are changed. */
test.for<[string, object, changed: RawBuilder<unknown>, cells: number, ...acts: Act[]]>([
  ['past the horizon', NEVER_READ, is('unavailable'), 210, endHorizon],
  ['of deleted organizations', NEVER_READ, is('unavailable'), 280, deleteAll, create],
  ['that failed, when a person runs', FAILED, isDueNow, 280, retryAll],
  ['under a new policy', { reason: 'omitted' }, sql`next_read_at is not null`, 280, changePolicy],
])('cells %s are changed in transactions of a bounded size', async ([, columns, changed, cells, ...acts]) => {
  await createManyCells(columns as Readonly<Record<string, string | number>>);
  for (const act of acts) await act();
  const sizes = await listTransactions(changed);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(cells);
  expect(sizes.at(-1)).toBeLessThanOrEqual(LIMIT);
});
