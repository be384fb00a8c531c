import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Row } from '../../src/files/renderer.ts';
import { readUnknownOrgs } from '../../src/queries/organizations.ts';
import {
  exportedView,
  exportedViewNames,
  readViewColumns,
  streamView,
  type ViewRequest,
} from '../../src/queries/view-rows.ts';
import { addTracking, INSTANCE, type Ledger, openLedger, rowsOf } from './ledger.ts';

const ORG = '5d0000000000000000000001';
const OTHER = '5d0000000000000000000002';
const ledgers = new Map<string, Ledger>();

/** Two organizations: 300 days of one, three of the other, whose name is hostile. */
beforeAll(async () => {
  for (const kind of ['postgres', 'embedded'] as const) {
    const ledger = await openLedger(kind);
    ledgers.set(kind, ledger);
    await ledger.newOrg();
    await ledger.newOrg();
    await ledger.ask(sql`update losant_usage.organizations set name = ${'=cmd|"x"\u001b[2J\n'}, referral_id = '',
      tags = ${JSON.stringify([{ key: 'a "b": c', value: '1, 2' }])}::jsonb where org_id = ${OTHER}`);
    await addTracking(ledger.db, ORG, { streams: ['device_counts'], days: '{[2025-01-01,2025-10-28)}' });
    await addTracking(ledger.db, OTHER, { streams: ['device_counts'], days: '{[2025-01-01,2025-01-04)}' });
    await ledger.ask(sql`insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
      select '2025-01-01'::date + n, ${ORG}, 1, 0, 9007199254740991 - n from generate_series(299, 0, -1) as n`);
    await ledger.ask(sql`insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
      values ('2025-01-01', ${OTHER}, 4, 1, 17), ('2025-01-02', ${OTHER}, 0, 0, 12)`);
  }
});
afterAll(async () => {
  for (const ledger of ledgers.values()) await ledger.close();
});

const NEVER = new AbortController().signal;

type Asked = Partial<Omit<ViewRequest, 'name' | 'view' | 'columns'>>;

async function read(kind: string, name: string, asked: Asked = {}) {
  const { db } = ledgers.get(kind) as Ledger;
  const columns = await readViewColumns(db, name);
  const view = exportedView(name);
  if (view === null) throw new Error(`${name} is not exported`);
  const chunks: (readonly Row[])[] = [];
  await streamView(
    { db, kind: kind as 'postgres' | 'embedded' },
    {
      range: { from: '2025-01-01', to: '2025-12-31' },
      instanceIds: null,
      orgIds: null,
      ...asked,
      name,
      view,
      columns,
    },
    {
      signal: NEVER,
      take: async (rows) => {
        chunks.push(rows);
        return await Promise.resolve(chunks.length < 10);
      },
    },
  );
  const rows = chunks
    .flat()
    .map((row) => Object.fromEntries(columns.map(({ name: key }, at) => [key, row[at]])));
  return { columns, chunks, rows };
}

describe.each(['postgres', 'embedded'])('a view of the %s database', (kind) => {
  test('gives each value as its exact text, in the order of date and key', async () => {
    const { columns, rows } = await read(kind, 'daily_usage', {
      range: { from: '2025-01-02', to: '2025-01-03' },
    });
    expect(columns.map((column) => `${column.name} ${column.kind}`)).toMatchObject({
      0: 'instance_id text',
      6: 'tags json',
      7: 'usage_date day',
      8: 'streams_expected integer',
      10: 'is_reported boolean',
    });
    expect(rows.map(({ usage_date, org_id }) => [usage_date, org_id])).toEqual([
      ['2025-01-02', ORG],
      ['2025-01-02', OTHER],
      ['2025-01-03', ORG],
      ['2025-01-03', OTHER],
    ]);
    expect(rows[0]).toMatchObject({ referral_id: null, tags: '[]', devices_total: '9007199254740990' });
    expect(rows[1]).toMatchObject({
      org_name: '=cmd|"x"\u001b[2J\n',
      referral_id: '',
      tags: '[{"key":"a \\"b\\": c","value":"1, 2"}]',
      devices_total: '12',
      notebook_minutes: null,
    });
  });

  test('comes in chunks, all of it, and ends when nobody takes more', async () => {
    const { chunks, rows } = await read(kind, 'device_continuity', { orgIds: [ORG] });
    expect(chunks.map(({ length }) => length)).toEqual([250, 49]);
    expect(rows.at(0)).toMatchObject({ usage_date: '2025-01-02', difference: '-2' });
    expect(rows.at(-1)).toMatchObject({ usage_date: '2025-10-27', devices_total: '9007199254740692' });
  });

  test('is asked by months for what is counted by month, and by organization and instance', async () => {
    const range = { from: '2025-02-10', to: '2025-03-01' };
    const months = await read(kind, 'monthly_usage', { range, instanceIds: [INSTANCE], orgIds: [ORG] });
    expect(months.rows.map(({ month, devices_created }) => [month, devices_created])).toEqual([
      ['2025-02-01', '28'],
      ['2025-03-01', '31'],
    ]);
    expect(months.rows[0]).toMatchObject({ devices_total_avg: '9007199254740946.50' });
    const nobody = await read(kind, 'device_counts', { instanceIds: ['5c0000000000000000000009'] });
    expect(nobody.rows).toEqual([]);
  });

  test('can be read whatever is asked, each by the columns it is said to have', async () => {
    for (const name of exportedViewNames) {
      const { columns } = await read(kind, name, { instanceIds: [INSTANCE], orgIds: [OTHER] });
      const { date, end = date, org = 'org_id', key } = exportedView(name) ?? { date: '', key: [] };
      const kinds = new Map(columns.map((column) => [column.name, column.kind]));
      const absent = [end, org, ...key].filter((column) => column !== null && !kinds.has(column));
      const dateKind = date === null ? 'none' : kinds.get(date);
      const expected = ['organizations', 'organization_tags'].includes(name) ? 'none' : 'day';
      expect({ name, date: dateKind, absent }).toEqual({ name, date: expected, absent: [] });
    }
  });
});

test('every view of the contract with a day or a month can be exported', async () => {
  const { db } = ledgers.get('postgres') as Ledger;
  const views = await rowsOf(
    db,
    sql`select distinct c.relname::text as name from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.atttypid = 'date'::regtype
      where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
        and obj_description(c.oid) !~* 'building block'`,
  );
  const names = views.map((view) => (view as { name: string }).name);
  // States of now, and lists of periods.
  const states = ['freshness', 'tracked', 'billing_periods'];
  expect(names.filter((name) => !states.includes(name) && !exportedViewNames.includes(name))).toEqual([]);
});

test('organizations that nobody has are told', async () => {
  const { db } = ledgers.get('postgres') as Ledger;
  const missing = '5d00000000000000000000ff';
  expect(await readUnknownOrgs(db, [ORG, missing])).toEqual([missing]);
});
