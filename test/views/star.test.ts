/** The star schema of docs/sql/star: whatever changes between two loads, an incremental load equals a full one. */
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { syncTracks } from '../../src/ledger/expected.ts';
import { beginWriting } from '../../src/ledger/lease.ts';
import { cellResponse, useLedger } from '../ledger/ledger.ts';
import { asOwner } from '../support/databases.ts';
import { devices, report } from '../usage/cells.ts';
import { makeWorld, NOW, ORGS } from './world.ts';

const ledger = useLedger(NOW);
const LOAD = readFileSync('docs/sql/star/load.sql', 'utf8');

/** Rows that only one of the two has: the facts, and all days as of now. */
const DIFFERENCES = `
  (select 'only in the facts' as place, f.* from usage_star.fact_usage f
    except select 'only in the facts', c.* from usage_star.current_usage c)
  union all
  (select 'only in the view', c.* from usage_star.current_usage c
    except select 'only in the view', f.* from usage_star.fact_usage f)`;

const differences = () => asOwner(ledger.url, DIFFERENCES);

/** Loads, and returns whether the facts were out of date before; rows that they still lack, if there are any. */
async function loadChanges(): Promise<'followed' | 'unchanged' | object> {
  const before = await differences();
  await asOwner(ledger.url, LOAD);
  const after = await differences();
  if (after.length > 0) return { before, after };
  return before.length > 0 ? 'followed' : 'unchanged';
}

const setMinutes = (minutes: number, day: string) =>
  sql`update losant_usage.usage_days set notebook_minutes = ${minutes}
    where org_id = ${ORGS.whole} and usage_date = ${day}`;

beforeAll(async () => {
  await makeWorld(ledger);
  await asOwner(ledger.url, readFileSync('docs/sql/star/create.sql', 'utf8'));
  await asOwner(ledger.url, LOAD);
});

test('the first load takes every day, and another one changes nothing', async () => {
  const count = `select count(*)::integer as days from usage_star.fact_usage`;
  expect(await asOwner(ledger.url, count)).toEqual([{ days: 248 }]);
  expect(await loadChanges()).toBe('unchanged');
});

test('dimensions and billed facts can be read', async () => {
  const tables = ['dim_organization', 'dim_metric', 'fact_billed'];
  const counts = tables.map((name) => `(select count(*)::integer from usage_star.${name}) as ${name}`);
  const expected = { dim_organization: 5, dim_metric: 12, fact_billed: 0 };
  expect(await asOwner(ledger.url, `select ${counts.join(', ')}`)).toEqual([expected]);
});

test('the comment of a fact that is a level says not to sum it', async () => {
  const columns = await asOwner(
    ledger.url,
    `select a.attname as metric from pg_attribute a where a.attrelid = 'usage_star.fact_usage'::regclass
      and col_description(a.attrelid, a.attnum) like '%never to be summed over days%'`,
  );
  expect(columns).toEqual(await asOwner(ledger.url, `select metric from losant_usage.metrics where kind = 'level'`));
});

test('a day that was waiting is missing after the next load, although nobody has written', async () => {
  await ledger.setTime('2026-11-24T05:30:00.000Z');
  await ledger.asProgram(setMinutes(100, '2026-10-01'));
  expect(await loadChanges()).toBe('followed');
  await ledger.setTime('2026-11-24T06:30:00.000Z');
  expect(await loadChanges()).toBe('followed');
});

test('a day that is loaded, restated or waived is loaded again', async () => {
  await ledger.setTime('2026-11-24T07:00:00.000Z');
  await ledger.load([cellResponse(ORGS.newcomer, 'device_counts', '2026-11-23', report(devices(1, 0, 18)))]);
  expect(await loadChanges()).toBe('followed');
  await ledger.asProgram(setMinutes(999, '2026-09-30'));
  expect(await loadChanges()).toBe('followed');
  await ledger.asProgram(sql`update losant_usage.coverage set standing = 'waived', reason = 'waived'
    where org_id = ${ORGS.whole} and stream = 'device_counts' and usage_date = '2026-09-25'`);
  expect(await loadChanges()).toBe('followed');
});

test('days that a run or a backfill adds are loaded', async () => {
  await ledger.backfill('2026-10-01..2026-10-20', { orgIds: [ORGS.unrecorded], streams: ['device_counts'] });
  expect(await loadChanges()).toBe('followed');
});

test('a day that no run has recorded leaves the facts when it is no longer expected', async () => {
  await ledger.setTime('2026-11-27T07:00:00.000Z');
  expect(await loadChanges()).toBe('followed');
  await ledger.setOrg(ORGS.newcomer, sql`deleted_on = '2026-11-26'`);
  await syncTracks(ledger.writer(), { streams: ['device_counts', 'payload_totals'], selection: null });
  expect(await loadChanges()).toBe('followed');
});

test('a change that is committed after a later one was loaded is loaded next', async () => {
  await ledger.setTime('2026-11-27T08:00:00.000Z');
  await ledger.db.transaction().execute(async (slow) => {
    await beginWriting(slow);
    await setMinutes(1, '2026-10-01').execute(slow);
    await ledger.setTime('2026-11-27T08:30:00.000Z');
    await ledger.asProgram(setMinutes(2, '2026-10-02'));
    expect(await loadChanges()).toBe('followed');
  });
  expect(await loadChanges()).toBe('followed');
});

test('an incremental load finds the changed days by their index', async () => {
  const changed = sql`select * from losant_usage.daily_usage
    where changed_at is null or changed_at >= '2026-11-27 00:00Z' or usage_date >= '2026-11-25'`;
  expect(await ledger.explainIndexes(changed)).toContain('usage_days_changed');
});
