/** Missing numbers that a person accepts: what may be waived, what lifts it, and what stays on record. */
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { until } from '../support/wait.ts';
import { answer, at, failed, missing, row, values } from './answers.ts';
import {
  addTracking,
  coverageOf,
  devicesOf,
  type Ledger,
  openLedger,
  RUN_1,
  RUN_2,
  rowsOf,
} from './ledger.ts';

let ledger: Ledger;
let orgId: string;

beforeAll(async () => {
  ledger = await openLedger('postgres');
});

beforeEach(async () => {
  orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2025-11-18,2025-11-23)}' });
});

afterAll(() => ledger.close());

const read = async (
  outcome: CellOutcome,
  hour: number,
  { runId = RUN_1, ...changes }: Partial<CellAnswer> & { runId?: string } = {},
) => {
  const sentAtMs = at('2025-11-22T00:00:00.000Z') + hour * 3_600_000;
  const only = answer(outcome, { orgId, day: '2025-11-20', sentAtMs, ...changes });
  const { cells } = await loadBatch(ledger.db, { answers: [only], quarantined: [] }, { runId, lease: null });
  return cells[0];
};
const waive = (reason: string, from = '2025-11-20', to = from) =>
  waiveCells(ledger.db, { orgId, stream: 'device_counts', range: { from, to }, reason });
const states = async () =>
  (await coverageOf(ledger.db, orgId)).map((cell) => {
    const { usage_date, state, error_code } = cell as Record<string, unknown>;
    return { usage_date, state, error_code };
  });
const waivers = () =>
  rowsOf(
    ledger.db,
    sql`select usage_date, reason, waived_by = session_user as by_me,
        waived_at > now() - interval '1 minute' as now, lifted_at >= waived_at as lifted, lifted_by_run
      from losant_usage.waivers where org_id = ${orgId} order by id`,
  );
const gaps = () =>
  rowsOf(
    ledger.db,
    sql`select usage_date, error_code from losant_usage.coverage_gaps
      where org_id = ${orgId} and usage_date = '2025-11-20'`,
  );
const knownMissing = () =>
  rowsOf(
    ledger.db,
    sql`select usage_date, state, reason from losant_usage.known_missing where org_id = ${orgId} order by usage_date`,
  );

describe('what is missing', () => {
  test('is waived with who, when and why, be it never read or failed', async () => {
    await read(failed, 0);
    expect(await waive('Acme agreed', '2025-11-19', '2025-11-20')).toEqual(['2025-11-19', '2025-11-20']);
    expect(await states()).toEqual([
      { usage_date: '2025-11-19', standing: 'accepted', reason: 'waived' },
      { usage_date: '2025-11-20', standing: 'accepted', reason: 'waived' },
    ]);
    const waiver = { reason: 'Acme agreed', by_me: true, now: true, lifted: null, lifted_by_run: null };
    expect(await waivers()).toEqual([
      { usage_date: '2025-11-19', ...waiver },
      { usage_date: '2025-11-20', ...waiver },
    ]);
    expect(await gaps()).toEqual([]);
    expect(await knownMissing()).toEqual([
      { usage_date: '2025-11-19', standing: 'accepted', reason: 'Acme agreed' },
      { usage_date: '2025-11-20', standing: 'accepted', reason: 'Acme agreed' },
    ]);
  });

  test('and comes after all ends the waiver, which stays on record with its reason', async () => {
    await read(failed, 0);
    await waive('Acme agreed');
    await read(failed, 1, { runId: RUN_1 });
    expect(await waivers()).toMatchObject([{ lifted: null }]);
    await read(values(row(4, 1, 17)), 2, { runId: RUN_2 });
    expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
    expect(await waivers()).toEqual([
      {
        usage_date: '2025-11-20',
        reason: 'Acme agreed',
        by_me: true,
        now: true,
        lifted: true,
        lifted_by_run: RUN_2,
      },
    ]);
    expect(await knownMissing()).toEqual([]);
  });

  test('and is waived again has the new reason, and the old one on record', async () => {
    await waive('Acme asked us to wait');
    await waive('Acme agreed');
    expect(await waivers()).toMatchObject([
      { reason: 'Acme asked us to wait', lifted: true, lifted_by_run: null },
      { reason: 'Acme agreed', lifted: null },
    ]);
    expect(await knownMissing()).toMatchObject([{ reason: 'Acme agreed' }]);
  });
});

describe('a number that Losant left out since', () => {
  beforeEach(async () => {
    await read(values(row(4, 1, 17)), 0);
    await read(missing, 1);
  });

  test('is a gap that can be waived, keeps its number, and is known to be missing', async () => {
    expect(await gaps()).toEqual([{ usage_date: '2025-11-20', reason: 'left_out' }]);
    await waive('the platform lost it, Acme has the bill');
    expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: 'waived' }]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 1 }]);
    expect(await gaps()).toEqual([]);
    expect(await knownMissing()).toMatchObject([{ standing: 'accepted' }]);
  });

  test('stays waived while Losant leaves it out or does not answer, and no run calls it a failure', async () => {
    await waive('the platform lost it');
    expect(await read(missing, 2)).toMatchObject({ result: 'unchanged', error: null });
    expect(await read(failed, 3)).toMatchObject({ result: 'failed' });
    expect(await read(missing, 4)).toMatchObject({ result: 'unchanged', error: null });
    expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: 'waived' }]);
    expect(await gaps()).toEqual([]);
    expect(await waivers()).toMatchObject([{ reason: 'the platform lost it', lifted: null }]);
  });

  test('and names again is held without a waiver', async () => {
    await waive('the platform lost it');
    await read(values(row(5, 1, 18)), 2, { runId: RUN_2 });
    expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 18, revision: 2 }]);
    expect(await waivers()).toMatchObject([{ lifted: true, lifted_by_run: RUN_2 }]);
  });
});

test('a number that is held and will never become final can be waived, so that its month can be billed', async () => {
  const closed = { kind: 'closed', code: 'past_horizon', message: 'too late' } as const;
  await read(values(row(4, 1, 17)), 0);
  await expect(waive('Acme agreed')).rejects.toMatchObject({ name: 'SettingsError' });
  await read(closed, 1);
  await waive('Acme agreed');
  expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: 'waived' }]);
});

describe('nothing of a range is waived', () => {
  test('where a number of it is held', async () => {
    await read(values(row(4, 1, 17)), 0);
    await expect(waive('Acme agreed', '2025-11-19', '2025-11-21')).rejects.toMatchObject({
      name: 'SettingsError',
      message: 'Nothing was waived: a number is held for 2025-11-20',
    });
    expect(await states()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
    expect(await waivers()).toEqual([]);
  });

  test('where a day of it is not tracked', async () => {
    await expect(waive('Acme agreed', '2025-11-17', '2025-11-18')).rejects.toMatchObject({
      message: `Nothing was waived: device_counts of organization ${orgId} is tracked from 2025-11-18 to 2025-11-22, and not on every day of 2025-11-17..2025-11-18`,
    });
    expect(await states()).toEqual([]);
  });

  test('where a run brings a number of it at the same moment', async () => {
    const isHeld = Promise.withResolvers<undefined>();
    const mayEnd = Promise.withResolvers<undefined>();
    const run = ledger.db.transaction().execute(async (trx) => {
      await sql`select set_config('losant_usage.program', 'first', true)`.execute(trx);
      await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state, revision, next_read_at)
        values ('2025-11-20', 'device_counts', ${orgId}, 'loaded', 1, now())`.execute(trx);
      isHeld.resolve(undefined);
      await mayEnd.promise;
    });
    await isHeld.promise;
    const waiving = waive('Acme agreed').catch((error: unknown) => error);
    await until('the waiver waits for the run', async () => {
      const { rows } = await sql`select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(ledger.db);
      return rows.length === 1;
    });
    mayEnd.resolve(undefined);
    await run;
    expect(await waiving).toMatchObject({
      message: 'Nothing was waived: a number is held for 2025-11-20',
    });
    expect(await waivers()).toEqual([]);
  });
});
