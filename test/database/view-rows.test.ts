/** The rows of views for files: as text, in a fixed order, a page at a time. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import type { TextRow } from '../../src/files/formats.ts';
import { EXPORTED_VIEWS, readViewColumns, streamView, type ViewRequest } from '../../src/queries/view-rows.ts';
import { cellResponse, useLedger } from '../ledger/ledger.ts';
import { asWriter } from '../support/databases.ts';
import { devices, report, totals } from '../usage/cells.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');
const NEVER = new AbortController().signal;
const DAYS = { from: '2026-02-01', to: '2026-11-23' };
let two: string;

/** Two organizations, and 296 days of the first. */
beforeAll(async () => {
  await ledger.expectDays(DAYS, ['device_counts']);
  two = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts', 'payload_totals']);
  await ledger.load([
    cellResponse(two, 'device_counts', '2026-11-20', report(devices(4, 1, 17))),
    cellResponse(two, 'payload_totals', '2026-11-20', report(totals(1, 1, 9_007_199_254_740_991))),
    cellResponse(two, 'payload_totals', '2026-11-21', report(totals(1, 1, 9_007_199_254_740_991))),
  ]);
});

async function read(name: string, asked: Partial<Omit<ViewRequest, 'name' | 'view' | 'columns'>> = {}) {
  const { db } = ledger;
  const columns = await readViewColumns(db, name);
  const view = EXPORTED_VIEWS[name];
  if (view === undefined) throw new Error(`${name} is not exported`);
  const pages: (readonly TextRow[])[] = [];
  const request = { range: DAYS, ...asked, name, view, columns };
  for await (const page of streamView({ db, kind: 'postgres' }, request, NEVER)) {
    pages.push(page);
    if (pages.length === 10) break;
  }
  const rows = pages.flat().map((row) => Object.fromEntries(columns.map(({ name: key }, at) => [key, row[at]])));
  return { columns, pages, rows };
}

test('includes a month if one of its days is requested, with an exact sum', async () => {
  const range = { from: '2026-11-10', to: '2026-11-11' };
  const { rows } = await read('monthly_usage', { range });
  const november = { month: '2026-11-01', payload_all_bytes: '18014398509481982' };
  expect(rows.filter(({ org_id }) => org_id === two)).toMatchObject([november]);
});

test('includes a billing period if one of its days is requested', async () => {
  await asWriter(
    ledger.url,
    `update losant_usage.organizations set current_period_start = '2026-11-05T00:00Z',
      current_period_end = '2026-11-22T00:00Z' where org_id = '${two}'`,
  );
  const count = async (from: string, to: string) => {
    const { rows } = await read('billing_period_usage', { range: { from, to } });
    return rows.filter(({ metric }) => metric === 'devices_total').length;
  };
  expect(await count('2026-11-10', '2026-11-11')).toBe(1);
  expect(await count('2026-11-01', '2026-11-05')).toBe(1);
  expect(await count('2026-11-21', '2026-11-30')).toBe(1);
  expect(await count('2026-11-01', '2026-11-04')).toBe(0);
  expect(await count('2026-11-22', '2026-11-30')).toBe(0);
});

test.each(Object.keys(EXPORTED_VIEWS))('%s has the columns that its order and days need', async (name) => {
  const { columns } = await read(name);
  const { date, end = date, key } = EXPORTED_VIEWS[name] ?? { date: '', key: [] };
  const kinds = new Map(columns.map((column) => [column.name, column.kind]));
  expect([end, ...key].filter((column) => column !== null && !kinds.has(column))).toEqual([]);
  expect(date === null || kinds.get(date) === 'day').toBe(true);
});

test('every public view with a day or a month can be exported', async () => {
  const views = await ledger.list(sql`select distinct c.relname::text as name from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.atttypid = 'date'::regtype
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'`);
  // These show only the current state.
  const states = ['freshness', 'attention'];
  expect(views.filter((name) => !states.includes(name) && !(name in EXPORTED_VIEWS))).toEqual([]);
});
