/** Every view and function of the contract, read in sessions whose settings differ from those of the program. */
import { sql } from 'kysely';
import pg from 'pg';
import { beforeAll, expect, test } from 'vitest';
import { useBooks } from '../billing/books.ts';
import { asOwner, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { devices, totals } from '../usage/cells.ts';

/** A locale of the server; the one that every server has, unless the environment names another. */
const { TEST_LOCALE = 'C' } = process.env;

type Settings = Readonly<Record<string, string>>;

/** In UTC, as the program sets it. */
const PROGRAM: Settings = { timezone: 'UTC', datestyle: 'ISO' };

/** Santiago has no midnight on 6 September, and Beirut none on 29 March. */
const SESSIONS: Readonly<Record<string, Settings>> = {
  'Santiago with German dates': {
    timezone: 'America/Santiago',
    datestyle: 'German',
    intervalstyle: 'sql_standard',
    default_transaction_isolation: 'serializable',
  },
  'Beirut with the day before the month': {
    timezone: 'Asia/Beirut',
    datestyle: 'SQL, DMY',
    intervalstyle: 'iso_8601',
    extra_float_digits: '-15',
  },
  'Auckland with a foreign schema before that of Postgres': {
    timezone: 'Pacific/Auckland',
    datestyle: 'Postgres, MDY',
    search_path: 'shadow, pg_catalog',
    extra_float_digits: '3',
  },
  'Los Angeles in the language of the server with compiled queries': {
    timezone: 'America/Los_Angeles',
    lc_time: TEST_LOCALE,
    lc_numeric: TEST_LOCALE,
    lc_monetary: TEST_LOCALE,
    search_path: "''",
    jit: 'on',
    jit_above_cost: '0',
  },
};

/** Functions that return something else than those of Postgres. */
const SHADOW = `
  create schema shadow;
  grant usage on schema shadow to public;
  create function shadow.now() returns timestamptz language sql return '2026-09-10T00:00Z'::timestamptz;
  create function shadow.to_char(timestamp, text) returns text language sql return 'shadowed';
  create function shadow.lower(text) returns text language sql return 'shadowed';
  grant execute on all functions in schema shadow to public`;

/** Calls of each function that reads. Each of them has rows. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  changes_since: [`timestamptz '2026-11-22T12:00:01Z'`],
  local_daily_usage: [`'Europe/Berlin'`, `'America/Santiago'`],
  usage_as_of: [`timestamptz '2026-11-22T12:00:01Z'`],
};

/** The views, and the key that the comment of each names. */
const VIEWS = `
  select relname as name, (regexp_match(obj_description(oid, 'pg_class'), ' Key: ([a-z_, ]+)[.]'))[1] as key
  from pg_class where relnamespace = 'losant_usage'::regnamespace and relkind = 'v'`;

const books = useBooks();
let rowsInProgram: Readonly<Record<string, readonly string[]>>;

/** Fills the days on which the sessions would differ, and closes September. */
async function fillEdges(): Promise<void> {
  const september = { from: '2026-09-01', to: '2026-09-30' };
  const billedId = await books.addOrg({ from: '2026-03-01', customerId: 'C-1' });
  for (const stream of ['notebook_minutes', 'payload_sources', 'payload_totals', 'payload_hours']) {
    await books.addCells({ orgId: billedId, stream, ...september });
  }
  await books.addCells({ orgId: billedId, from: '2026-03-01', to: '2026-09-29' });
  await books.addCells({ orgId: billedId, from: '2026-09-30', standing: 'missing', numbers: null });
  await books.addFinalOrg({ from: '2026-10-01', to: '2026-10-10' });
  const blockedId = await books.addOrg({ from: '2026-10-01' });
  await books.addCells({ orgId: blockedId, from: '2026-10-01', to: '2026-11-21' });
  await books.setStanding(blockedId, '2026-10-25', 'in_doubt');
  await books.setStanding(blockedId, '2026-10-31', 'unavailable');
  await books.write(
    sql`update losant_usage.organizations set tags = '[{"key": "tier", "value": "gold"}]', limits = '{"device": 20}',
      current_period_start = '2026-10-25T00:00Z', current_period_end = '2026-11-25T00:00Z'`,
    sql`insert into losant_usage.instance_totals (usage_date, metric, losant_total, last_read_at)
      values ('2026-10-05', 'devices_total', 35, '2026-10-11T01:30Z')`,
  );
  await books.accept('2026-09');
  const numbers = totals(10, 12, 1_300);
  await books.restate(billedId, '2026-09-06', { stream: 'payload_totals', old: { payload_all_bytes: 1_200 }, numbers });
  await books.fill(billedId, '2026-09-30', 'device_counts', devices(0, 0, 17));
}

async function inSession<T>(settings: Settings, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const types = { getTypeParser: () => String };
  const client = new pg.Client({ connectionString: loginAs('reader', books.url), types });
  await client.connect();
  try {
    for (const [name, value] of Object.entries(settings)) {
      await client.query(`set ${name} = ${name === 'search_path' ? value : `'${value}'`}`);
    }
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * Reads sources in a session, and returns the rows of each as lines. The session computes the rows when the cursors are
 * opened; how it writes them as text is its own affair, so they are fetched in the formats of the program.
 */
async function readSources(settings: Settings): Promise<Record<string, string[]>> {
  const views = await queryOnce(books.url, VIEWS);
  const calls = Object.entries(CALLS).flatMap(([name, each]) => each.map((args) => `${name}(${args})`));
  const sources = [...views.map(({ name }) => String(name)), ...calls];
  return await inSession(settings, async (client) => {
    for (const [index, source] of sources.entries()) {
      await client.query(`declare rows_${index} cursor with hold for select * from losant_usage.${source}`);
    }
    await client.query(`set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'`);
    const lines: Record<string, string[]> = {};
    for (const [index, source] of sources.entries()) {
      const { rows } = await client.query<object>(`fetch all from rows_${index}`);
      lines[source] = rows.map((row) => JSON.stringify(row)).sort();
    }
    return lines;
  });
}

beforeAll(async () => {
  await asOwner(books.url, SHADOW);
  await fillEdges();
  rowsInProgram = await readSources(PROGRAM);
});

test('the calls are of every function that reads', async () => {
  const functions = await queryOnce(
    books.url,
    `select proname as name from pg_proc where pronamespace = 'losant_usage'::regnamespace and provolatile <> 'v'`,
  );
  expect(functions.map(({ name }) => String(name)).toSorted()).toEqual(Object.keys(CALLS));
});

test('every function that Postgres parses when it is called has a search path of its own', async () => {
  const functions = await queryOnce(
    books.url,
    `select oid::regproc::text as name from pg_proc where pronamespace::regnamespace::text like 'losant_usage%'
      and prokind = 'f' and prosqlbody is null and not coalesce(proconfig::text like '%search_path%', false)`,
  );
  expect(functions).toEqual([]);
});

test('every view and every call has rows', () => {
  const empty = Object.entries(rowsInProgram).filter(([, lines]) => lines.length === 0);
  expect(empty.map(([source]) => source)).toEqual([]);
});

test('every view has a key, which its comment names and no two of its rows share', async () => {
  const unsound = (await queryOnce(books.url, VIEWS)).filter(({ name, key }) => {
    const columns = String(key).split(', ');
    const rows = (rowsInProgram[String(name)] ?? []).map((line) => JSON.parse(line) as Record<string, unknown>);
    const keys = rows.map((row) => JSON.stringify(columns.map((column) => row[column])));
    return rows.some((row) => columns.some((column) => !(column in row))) || new Set(keys).size < keys.length;
  });
  expect(unsound).toEqual([]);
});

test.each(Object.entries(SESSIONS))(
  'in a session in %s every view and function has the same rows',
  async (_, settings) => expect(await readSources(settings)).toEqual(rowsInProgram),
  // To compile each query takes many times as long as to execute it.
  300_000,
);

test('in any session a time zone of half hours is rejected with the day that shows it', async () => {
  const call = `select * from losant_usage.local_daily_usage('Asia/Kolkata')`;
  for (const settings of Object.values(SESSIONS)) {
    const rejected = inSession(settings, (client) => client.query(call));
    await expect(rejected).rejects.toThrow('differs from UTC by a fraction of an hour (on 2025-11-20)');
  }
});
