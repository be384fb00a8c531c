/**
 * The numbers of the platform and those of the database, read without code of the program. Both are sorted lines of
 * text, `TABLE ORG DAY VALUES…`, so that every digit counts.
 */
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import type { Platform } from '../simulator/platform.ts';
import { copyEmbeddedDatabase, createTestDatabase, queryOnce } from '../support/databases.ts';

export type Row = Record<string, unknown>;

/** A database of an installation. */
export interface Store {
  readonly kind: 'postgres' | 'embedded';
  /** For DATABASE_URL. */
  readonly url: string;
  /**
   * Returns the rows of a query, as the reader sees them. An embedded database can be queried only while no process has
   * it open.
   */
  readonly query: (statement: string) => Promise<Row[]>;
  remove(): Promise<void>;
}

/** Creates a database: with the current schema, or empty. */
export async function createStore(kind: Store['kind'] | 'empty' = 'postgres'): Promise<Store> {
  if (kind === 'embedded') {
    const embedded = await copyEmbeddedDatabase();
    const { folder, url } = embedded;
    const query = (statement: string) => queryEmbedded(join(folder, 'pgdata'), statement);
    return { kind, url, query, remove: () => Promise.resolve(embedded.remove()) };
  }
  const database = await createTestDatabase({ template: kind !== 'empty' });
  const { url } = database;
  const query = (statement: string) => queryOnce(url, statement);
  return { kind: 'postgres', url, query, remove: () => database.drop() };
}

async function queryEmbedded(dataDir: string, statement: string): Promise<Row[]> {
  const pglite = await PGlite.create({ dataDir });
  try {
    return (await pglite.query<Row>(statement)).rows;
  } finally {
    await pglite.close();
  }
}

/** The numbers of each stream: the columns of the view that has them, and the keys of the truth. */
const COLUMNS = {
  device_counts: { devices_created: 'created', devices_deleted: 'deleted', devices_total: 'total' },
  notebook_minutes: {
    notebook_minutes: 'minutes',
    notebook_completed: 'completed',
    notebook_canceled: 'canceled',
    notebook_errored: 'errored',
    notebook_timeout: 'timeout',
  },
  payload_totals: {
    payload_billable_count: 'billable_count',
    payload_all_count: 'all_count',
    payload_all_bytes: 'all_bytes',
  },
  payload_sources: { payload_type: 'payload_type', source: 'source', count: 'count' },
  payload_hours: { billable: 'billable_counts', all: 'all_counts', bytes: 'all_bytes' },
} as const;

export type Table = keyof typeof COLUMNS;
/** Those of the default streams. */
const TABLES = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'] as const;

/** The hours of every day that has any. */
const HOURS = `(select org_id, usage_date, string_agg(payload_billable_count::text, ',' order by hour) as billable,
  string_agg(payload_all_count::text, ',' order by hour) as "all",
  string_agg(payload_all_bytes::text, ',' order by hour) as bytes
  from losant_usage.hourly_usage where payload_all_count is not null group by org_id, usage_date)`;

const SOURCES: Readonly<Partial<Record<string, string>>> = {
  payload_sources: 'losant_usage.payload_sources',
  payload_hours: HOURS,
};

/** Returns the numbers of every stored cell. */
export async function readStored({ query }: Pick<Store, 'query'>): Promise<string[]> {
  const parts = Object.entries(COLUMNS).map(([table, names]) => {
    const columns = Object.keys(names).map((name) => `"${name}"::text`);
    return `select concat_ws(' ', '${table}', org_id, usage_date::text, ${columns.join(', ')}) as line
      from ${SOURCES[table] ?? 'losant_usage.daily_usage'} as t where "${Object.keys(names)[0]}" is not null`;
  });
  const rows = await query(parts.join(' union all '));
  return rows.map(({ line }) => String(line)).sort();
}

interface TruthDay extends Record<Exclude<Table, 'payload_sources'>, Record<string, number | number[]>> {
  readonly day: string;
  readonly payload_sources: readonly Record<string, string | number>[];
}

interface TruthPage {
  readonly totalCount: number;
  readonly orgs: readonly { readonly orgId: string; readonly createdDay: string; readonly days: readonly TruthDay[] }[];
}

/** Returns every row that the database must have for these days, of all organizations that are not deleted. */
export async function readTruth(
  platform: Pick<Platform, 'control'>,
  from: string,
  to: string,
  tables: readonly Table[] = TABLES,
): Promise<string[]> {
  const lines: string[] = [];
  for (let page = 0, seen = 0, total = 1; seen < total; page += 1) {
    const path = `truth?from=${from}&to=${to}&page=${page}&perPage=50`;
    const { orgs, totalCount } = (await platform.control(path)) as TruthPage;
    for (const { orgId, createdDay, days } of orgs) {
      for (const day of days) if (day.day >= createdDay) lines.push(...linesOf(orgId, day, tables));
    }
    seen += orgs.length;
    total = totalCount;
  }
  return lines.sort();
}

function linesOf(orgId: string, day: TruthDay, tables: readonly Table[]): string[] {
  return tables.flatMap((table) => {
    const rows = table === 'payload_sources' ? day[table] : [day[table]];
    return rows.map((row) =>
      [table, orgId, day.day, ...Object.values(COLUMNS[table]).map((key) => row[key])].join(' '),
    );
  });
}

/** Returns the first line in which the two differ, or null: a failed test could not show all of them. */
export function firstDifference(stored: readonly string[], truth: readonly string[]) {
  const length = Math.max(stored.length, truth.length);
  for (let index = 0; index < length; index += 1) {
    if (stored[index] !== truth[index]) return { index, stored: stored[index], truth: truth[index] };
  }
  return null;
}
