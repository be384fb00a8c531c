/** Writes of many cells are divided into transactions: each is short, and an interruption loses only the last one. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { applyPolicy, readDuePage, retryFailedCells } from '../../src/ledger/due.ts';
import { createExpectedCells, markDaysDue } from '../../src/ledger/expected.ts';
import { openAs } from '../support/databases.ts';
import { POLICY } from '../usage/cells.ts';
import { INSTANCE, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const STREAMS = ['device_counts', 'notebook_minutes', 'payload_hours', 'payload_sources', 'payload_totals'];
const TEN_YEARS = { from: '2016-11-26', to: '2026-11-23' };
const LONG_POLICY = { ...POLICY, horizonDays: 3_650 };

describe('a backfill of ten years of five streams', () => {
  const backfill = { orgIds: null, streams: null, range: TEN_YEARS, insertsCells: true, force: false };
  const cellsByOrg = sql`select right(org_id, 1) as org, count(*) as cells from losant_usage.coverage
    group by org_id order by org_id`;

  test('takes one organization at a time, so that no statement takes long', async () => {
    await ledger.createOrgs(7);
    await ledger.prepare({ streams: STREAMS });
    const [orgId = ''] = await ledger.list(sql`select min(org_id) from losant_usage.organizations`);
    const startedAtMs = performance.now();
    await markDaysDue(ledger.writer({ policy: LONG_POLICY }), { ...backfill, orgIds: [orgId] });
    const msPerOrg = performance.now() - startedAtMs;
    await using handle = await openWriter(Math.ceil(2 * msPerOrg));
    await markDaysDue(ledger.writer({ policy: LONG_POLICY, db: handle.db }), backfill);
    expect(await ledger.list(cellsByOrg, ledger.db)).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((org) => `${org} 18250`),
    );
  });

  test('takes one organization at least, however many days it has', async () => {
    await ledger.createOrgs(1);
    await ledger.prepare({ streams: STREAMS });
    const policy = { ...POLICY, horizonDays: 4_400 };
    const range = { from: '2015-01-01', to: '2026-11-23' };
    await markDaysDue(ledger.writer({ policy }), { ...backfill, range });
    expect(await ledger.list(cellsByOrg, ledger.db)).toEqual(['1 21725']);
  });

  // Guarantee (Missing numbers): A backfill that is interrupted keeps what it has added, one or more organizations at a
  // time with all of their days.
  test('keeps the organizations that it has added if it is interrupted', async () => {
    await ledger.createOrgs(3);
    await ledger.prepare({ streams: STREAMS });
    const killAtLastOrg = "if new.org_id like '%3' then raise exception 'killed'; end if; return new;";
    await ledger.withTrigger('coverage', killAtLastOrg, () =>
      expect(markDaysDue(ledger.writer({ policy: LONG_POLICY }), backfill)).rejects.toThrow('killed'),
    );
    expect(await ledger.list(cellsByOrg, ledger.db)).toEqual(['1 18250', '2 18250', '3 5']);
  });
});

/** Opens the database with a timeout of statements in ms. */
async function openWriter(statementTimeoutMs: number) {
  const handle = await openAs('writer', ledger.url, { statementTimeoutMs });
  return { ...handle, [Symbol.asyncDispose]: () => handle.close() };
}

/** Adds 3,500 days of a stream to seven organizations, with some columns of the cells. */
async function createManyCells(
  columns: Readonly<Record<string, string | number | null>> = {},
): Promise<void> {
  await ledger.createOrgs(7);
  const names = sql.join([sql``, ...Object.keys(columns).map((name) => sql.ref(name))]);
  const values = sql.join([sql``, ...Object.values(columns)]);
  const days = sql`losant_usage.organizations o cross join generate_series(0, 3499) as n`;
  await ledger.asProgram(
    sql`update losant_usage.instances set policy = ${JSON.stringify(LONG_POLICY)}::text::jsonb`,
    sql`insert into losant_usage.coverage (usage_date, org_id, stream ${names})
      select date '2026-11-23' - n, o.org_id, 'device_counts' ${values} from ${days}`,
    sql`insert into losant_usage.usage_days (usage_date, org_id) select date '2026-11-23' - n, o.org_id from ${days}`,
  );
}

const NEVER_READ = { reason: 'never_read', next_read_at: '2026-11-24T00:00:00Z' };
const setOrgs = (change: RawBuilder<unknown>) =>
  ledger.asProgram(sql`update losant_usage.organizations set ${change}`);
const create = () => createExpectedCells(ledger.writer({ policy: LONG_POLICY }));

interface ManyCells {
  readonly prepare: () => Promise<unknown>;
  readonly work: () => Promise<unknown>;
  /** The condition on cells that the work has changed. */
  readonly changed: RawBuilder<unknown>;
  readonly cells: number;
}

test.each<[string, ManyCells]>([
  [
    'past the horizon',
    {
      prepare: () => createManyCells(NEVER_READ),
      work: () => createExpectedCells(ledger.writer()),
      changed: sql`standing = 'unavailable' and reason = 'past_horizon'`,
      cells: 7 * (3_500 - 90),
    },
  ],
  [
    'of deleted organizations',
    {
      prepare: async () => {
        await createManyCells(NEVER_READ);
        await setOrgs(sql`deleted_on = '2026-11-24'`);
      },
      work: create,
      changed: sql`standing = 'unavailable' and reason = 'org_deleted'`,
      cells: 24_500,
    },
  ],
  [
    'before a creation date that moved later',
    {
      prepare: async () => {
        await createManyCells(NEVER_READ);
        await setOrgs(sql`created_on = '2026-11-24'`);
      },
      work: create,
      changed: sql`standing = 'waived'`,
      cells: 24_500,
    },
  ],
  [
    'whose waiver ends because such a date moved back',
    {
      prepare: async () => {
        await createManyCells(NEVER_READ);
        await setOrgs(sql`created_on = '2026-11-24'`);
        await create();
        await setOrgs(sql`created_on = '2015-01-01'`);
      },
      work: create,
      changed: sql`standing = 'waiting'`,
      cells: 24_500,
    },
  ],
  [
    'that failed, when a person runs',
    {
      prepare: () =>
        createManyCells({
          reason: 'timeout',
          failed_reads: 1,
          standing: 'missing',
          next_read_at: '2026-11-24T06:00:00Z',
        }),
      work: () =>
        retryFailedCells(ledger.writer({ policy: LONG_POLICY }), {
          orgIds: null,
          streams: null,
          range: null,
        }),
      changed: sql`next_read_at = '2026-11-24T00:15:00Z'`,
      cells: 24_500,
    },
  ],
  [
    'under a new policy',
    {
      prepare: () => createManyCells({ reason: 'omitted' }),
      work: () => applyPolicy(ledger.writer({ policy: { ...LONG_POLICY, readAtHours: [3, 72] } })),
      changed: sql`next_read_at is not null`,
      cells: 24_500,
    },
  ],
])('cells %s are changed in transactions of at most 20,000', async (_, { prepare, work, changed, cells }) => {
  await prepare();
  await work();
  const { rows } = await sql<{ cells: number }>`select count(*) as cells from losant_usage.coverage
    where ${changed} group by xmin::text order by 1`.execute(ledger.db);
  const sizes = rows.map((row) => row.cells);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(cells);
  expect(sizes.at(-1)).toBeLessThanOrEqual(20_000);
});

test('a page of due cells has at most 20,000, and all of its organizations', async () => {
  await createManyCells(NEVER_READ);
  const scope = { orgIds: null, streams: null, range: null };
  const range = { from: null, to: null, daysBefore: 0 };
  const read = (afterOrgId: string) =>
    readDuePage(ledger.writer({ policy: LONG_POLICY }), scope, {
      ...range,
      afterOrgId,
      refusedStreams: [],
      sinceMs: null,
      startMs: null,
    });
  const first = await read('');
  expect(Map.groupBy(first, ({ orgId }) => orgId).size).toBe(5);
  expect(first).toHaveLength(17_500);
  expect(await read(first.at(-1)?.orgId ?? '')).toHaveLength(7_000);
});

test('the horizon moves only after the last page, so that the next run marks what an interrupted one has left', async () => {
  await createManyCells(NEVER_READ);
  const killAtLastDay = `if new.usage_date = '2026-08-25' then raise exception 'killed'; end if; return new;`;
  const mark = () => createExpectedCells(ledger.writer());
  const state = sql`select count(*) filter (where standing = 'unavailable') as marked,
    (select horizon_day from losant_usage.instances where instance_id = ${INSTANCE}) as horizon
    from losant_usage.coverage`;
  await ledger.withTrigger(
    'coverage',
    killAtLastDay,
    () => expect(mark()).rejects.toThrow('killed'),
    'before update',
  );
  expect(await ledger.list(state, ledger.db)).toEqual(['20000 -']);
  await mark();
  expect(await ledger.list(state, ledger.db)).toEqual(['23870 2026-08-26']);
});
