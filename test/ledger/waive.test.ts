/** Missing numbers that a person accepts: what may be waived, what lifts it, and what stays on record. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import { untrackOrganizations } from '../../src/ledger/tracking.ts';
import { type Waiver, waiveCells } from '../../src/ledger/waive.ts';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { until } from '../support/wait.ts';
import { answer, at, failed, missing, row, values } from './answers.ts';
import {
  addCells,
  addTracking,
  coverageOf,
  devicesOf,
  RUN_1,
  RUN_2,
  revisionsOf,
  sourcesOf,
  useLedger,
} from './ledger.ts';

const ledger = useLedger();
let orgId: string;

beforeEach(async () => {
  orgId = await ledger.newOrg();
  // Without an end, as long as the organization is exported.
  await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2025-11-18,)}' });
});

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
const waive = (reason: string, from = '2025-11-20', to = from, changes: Partial<Waiver> = {}) =>
  waiveCells(ledger.db, {
    ...{ orgId, stream: 'device_counts', range: { from, to }, reason, asZero: false, ...changes },
  });
const standings = async () =>
  (await coverageOf(ledger.db, orgId)).map((cell) => {
    const { usage_date, standing, reason } = cell as Record<string, unknown>;
    return { usage_date, standing, reason };
  });
const waivers = () =>
  ledger.ask(sql`select usage_date, reason, waived_by = session_user as by_me,
        waived_at > now() - interval '1 minute' as now, lifted_at >= waived_at as lifted, lifted_by_run
      from losant_usage.waivers where org_id = ${orgId} order by id`);
const gaps = () =>
  ledger.ask(sql`select usage_date, reason from losant_usage.coverage_gaps
      where org_id = ${orgId} and usage_date = '2025-11-20'`);
const knownMissing = () =>
  ledger.ask(
    sql`select usage_date, standing, message from losant_usage.known_missing where org_id = ${orgId} order by usage_date`,
  );

describe('what is missing', () => {
  test('is waived with who, when and why, be it never read or failed', async () => {
    await read(failed, 0);
    expect(await waive('Acme agreed', '2025-11-19', '2025-11-20')).toEqual(['2025-11-19', '2025-11-20']);
    expect(await standings()).toEqual([
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
      { usage_date: '2025-11-19', standing: 'accepted', message: 'Acme agreed' },
      { usage_date: '2025-11-20', standing: 'accepted', message: 'Acme agreed' },
    ]);
  });

  test('and comes after all ends the waiver, which stays on record with its reason', async () => {
    await read(failed, 0);
    await waive('Acme agreed');
    await read(failed, 1, { runId: RUN_1 });
    expect(await waivers()).toMatchObject([{ lifted: null }]);
    await read(values(row(4, 1, 17)), 2, { runId: RUN_2 });
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
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
    expect(await knownMissing()).toMatchObject([{ message: 'Acme agreed' }]);
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
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'accepted', reason: 'waived' }]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 1 }]);
    expect(await gaps()).toEqual([]);
    expect(await knownMissing()).toMatchObject([{ standing: 'accepted' }]);
  });

  test('stays waived while Losant leaves it out or does not answer, and no run calls it a failure', async () => {
    await waive('the platform lost it');
    expect(await read(missing, 2)).toMatchObject({ result: 'unchanged', problem: null });
    expect(await read(failed, 3)).toMatchObject({ result: 'failed' });
    expect(await read(missing, 4)).toMatchObject({ result: 'unchanged', problem: null });
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'accepted', reason: 'waived' }]);
    expect(await gaps()).toEqual([]);
    expect(await waivers()).toMatchObject([{ reason: 'the platform lost it', lifted: null }]);
  });

  test('and names again is held without a waiver', async () => {
    await waive('the platform lost it');
    await read(values(row(5, 1, 18)), 2, { runId: RUN_2 });
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
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
  expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'accepted', reason: 'waived' }]);
});

describe('a number that is stored, of which a stream that Losant refuses now is read again', () => {
  const nextReads = () =>
    ledger.ask(sql`select next_read_at from losant_usage.coverage where org_id = ${orgId}`);

  beforeEach(async () => {
    await read(values(row(4, 1, 17)), 0);
    await read({ kind: 'failed', code: 'forbidden', message: 'the token lacks the scope' }, 1);
  });

  test('can be waived once its tracking has ended: then nothing more of it is asked for', async () => {
    await expect(waive('Losant refuses it')).rejects.toMatchObject({ name: 'SettingsError' });
    await untrackOrganizations(ledger.db, [orgId], '2025-11-22');
    expect(await nextReads()).toEqual([{ next_read_at: '2025-11-22T03:00:00.000Z' }]);
    await waive('Losant refuses it');
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'accepted', reason: 'waived' }]);
    expect(await nextReads()).toEqual([{ next_read_at: null }]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 1 }]);
  });
});

describe('a number that Losant leaves out now, as zero', () => {
  const asZero = (stream: string) =>
    waive('nothing was used', '2025-11-20', '2025-11-20', { stream, asZero: true });
  const numbers = () =>
    ledger.ask(sql`select notebook_minutes as minutes, payload_source_count as sources from losant_usage.usage_days
        where org_id = ${orgId}`);

  beforeEach(() =>
    addTracking(ledger.db, orgId, {
      streams: ['notebook_minutes', 'payload_sources'],
      days: '{[2025-11-18,)}',
    }),
  );

  test('is taken as zero, on record as a change, and stays accepted while Losant leaves it out', async () => {
    const stream = 'notebook_minutes';
    await read(values(row(17, 4, 0, 0, 0)), 0, { stream });
    await read(missing, 1, { stream });
    await asZero('notebook_minutes');
    expect(await numbers()).toEqual([{ minutes: 0, sources: null }]);
    expect(await read(missing, 2, { stream })).toMatchObject({ result: 'unchanged', problem: null });
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { standing: 'accepted', reason: 'waived', is_reported: false, revision: 2 },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, old: { minutes: 17, completed: 4 }, new: { minutes: 0, completed: 0 } },
    ]);
    expect(await waivers()).toMatchObject([{ reason: 'nothing was used', by_me: true, lifted: null }]);
    await read(values(row(17, 4, 0, 0, 0)), 3, { stream, runId: RUN_2 });
    expect(await numbers()).toEqual([{ minutes: 17, sources: null }]);
    expect(await waivers()).toMatchObject([{ lifted: true, lifted_by_run: RUN_2 }]);
  });

  test('is a day without any source, for payloads by source', async () => {
    const stream = 'payload_sources';
    await read(values({ key: ['timer', 'timer.flow'], values: [7] }), 0, { stream });
    await read(missing, 1, { stream });
    await asZero('payload_sources');
    expect(await numbers()).toEqual([{ minutes: null, sources: 0 }]);
    expect(await sourcesOf(ledger.db, orgId)).toEqual([]);
  });

  test('is refused for a level, of which a day that is left out is no zero', async () => {
    await expect(asZero('device_counts')).rejects.toMatchObject({
      message: 'Nothing was waived: a day that Losant leaves out of device_counts is no zero',
    });
  });
});

describe('nothing of a range is waived', () => {
  test('where a number of it is held', async () => {
    await read(values(row(4, 1, 17)), 0);
    await expect(waive('Acme agreed', '2025-11-19', '2025-11-21')).rejects.toMatchObject({
      name: 'SettingsError',
      message: 'Nothing was waived: the number is stored, and all right, for 2025-11-20',
    });
    expect(await standings()).toEqual([{ usage_date: '2025-11-20', standing: 'stored', reason: null }]);
    expect(await waivers()).toEqual([]);
  });

  test('where a day of it is not tracked', async () => {
    await untrackOrganizations(ledger.db, [orgId], '2025-11-22');
    await expect(waive('Acme agreed', '2025-11-17', '2025-11-18')).rejects.toMatchObject({
      message: `Nothing was waived: device_counts of organization ${orgId} is tracked from 2025-11-18 to 2025-11-22, and not on every day of 2025-11-17..2025-11-18`,
    });
    expect(await standings()).toEqual([]);
  });

  test('where a run brings a number of it at the same moment', async () => {
    const isHeld = Promise.withResolvers<undefined>();
    const mayEnd = Promise.withResolvers<undefined>();
    const run = ledger.db.transaction().execute(async (trx) => {
      await addCells(trx, orgId, [
        { day: '2025-11-20', standing: 'stored', nextReadAt: '2025-11-23T00:00:00Z' },
      ]);
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
      message: 'Nothing was waived: the number is stored, and all right, for 2025-11-20',
    });
    expect(await waivers()).toEqual([]);
  });
});
