/** All queries of the dashboards and of docs/sql, on a small database and in sessions of three time zones. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { HOSTILE_NAME, openWorld, useWorld } from '../console/world.ts';
import { useOpened } from '../opened.ts';
import { queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { dashboards, fillIn, questions, sqlQueries } from './dashboards.ts';

const ZONES = ['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'];

type Row = Readonly<Record<string, unknown>>;

const world = useWorld();
const client = useOpened(
  async () => {
    const opened = new pg.Client({ connectionString: loginAs('reader', world.url) });
    await opened.connect();
    return opened;
  },
  (opened) => opened.end(),
);

/** Returns the rows and columns of a query in a session of each zone. */
async function run(sql: string, zones: readonly string[] = ['UTC']) {
  const results: { readonly rows: readonly Row[]; readonly columns: readonly string[] }[] = [];
  for (const zone of zones) {
    await client.query(`set time zone '${zone}'`);
    const { rows, fields } = await client.query<Row>({ text: sql, types: { getTypeParser: getParser } });
    results.push({ rows, columns: fields.map(({ name }) => name) });
  }
  return results;
}

const { BOOL, FLOAT4, FLOAT8, INT4, INT8, NUMERIC, TIMESTAMPTZ } = pg.types.builtins;

/** Parses instants to ISO text, numbers to numbers, and keeps the rest: nothing depends on the test's time zone. */
function getParser(oid: number): (text: string) => unknown {
  if (oid === TIMESTAMPTZ) return (text) => new Date(text).toISOString();
  if (oid === BOOL) return (text) => text === 't';
  return [FLOAT4, FLOAT8, INT4, INT8, NUMERIC].includes(oid) ? Number : (text) => text;
}

const queries = dashboards.flatMap(sqlQueries);

/** The world has no statement within the range. */
const EMPTY = / annotation Statements$/;

describe.each(queries)('$name', ({ name, sql, panel }) => {
  test('returns the same rows in every time zone, in order, with the columns that the panel names', async () => {
    const [utc, ...others] = await run(fillIn(sql), ZONES);
    if (!EMPTY.test(name)) expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
    if (panel?.type === 'timeseries') {
      const times = (utc?.rows ?? []).map(({ time }) => String(time));
      expect(times).toEqual(times.toSorted());
      expect([times[0], times.at(-1)]).toEqual(Array(2).fill(expect.stringContaining('T00:00:00.000Z')));
    }
    const columns = utc?.columns ?? [];
    if (panel === null || columns.includes('value')) return;
    const names = panel.fieldConfig.overrides.map(({ matcher }) => matcher.options);
    expect(names.filter((name) => !columns.includes(name) && name !== 'Standing')).toEqual([]);
  });
});

test.each(questions)('docs/sql/$name is listed, and returns the same in every zone', async ({ name, sql }) => {
  const [utc, ...others] = await run(sql.replaceAll("'Acme'", "'Office'"), ZONES);
  expect(utc?.rows.length).toBeGreaterThan(0);
  for (const other of others) expect(other).toEqual(utc);
  const [, question] = /^-- Question: (.*)$/m.exec(sql) ?? [];
  const list = readFileSync('docs/sql/README.md', 'utf8').replaceAll(/ +\|/g, ' |');
  expect(list).toContain(`| [${name}](${name}) | ${question} |`);
});

test('no query turns a number that is not stored into 0', () => {
  const all = [...queries, ...questions].map(({ sql }) => sql).join('\n');
  expect(all).not.toMatch(/coalesce\((?:[^()]|\([^()]*\))*, 0\)/);
});

const findPanel = (title: string) => fillIn(queries.find(({ name }) => name.endsWith(` / ${title}`))?.sql ?? title);
const panelRows = async (title: string) => (await run(findPanel(title)))[0]?.rows ?? [];

async function panelRowsAfter(change: string, title: string) {
  await using changed = await openWorld(change);
  return await queryOnce(loginAs('reader', changed.url), findPanel(title));
}

test('completeness has the last day through which every stream is complete, and counts an organization once', async () => {
  const expected = { 'Complete to': '2026-10-09', Organizations: 7, Gaps: 3, 'Organizations with gaps': 1 };
  expect(await panelRows('Completeness')).toEqual([expected]);
});

test('a stream that has ended and is complete does not hold completeness back', async () => {
  const change = `
    update losant_usage.coverage set standing = 'waived', reason = 'waived' where standing in ('missing', 'in_doubt');
    update losant_usage.tracks set next_day = '2026-10-01', last_day = '2026-09-30' where stream = 'payload_hours'`;
  const expected = { 'Complete to': '2026-11-27', 'Organizations with gaps': '0' };
  expect(await panelRowsAfter(change, 'Completeness')).toMatchObject([expected]);
});

test('a day sums the stored numbers, and counts the organizations that have none', async () => {
  const rows = await panelRows('All organizations by day');
  expect(rows).toHaveLength(27);
  expect(rows[9]).toEqual({ time: '2026-11-10T00:00:00.000Z', Day: 3_640, 'Organizations not stored': 1 });
});

test('a day of which nothing is stored has no sum', async () => {
  const change = `
    update losant_usage.usage_days
    set payload_billable_count = null, payload_all_count = null, payload_all_bytes = null where usage_date = '2026-11-27';
    update losant_usage.coverage set standing = 'waiting', reason = 'never_read', is_stored = false, is_reported = false,
      revision = 0, first_loaded_at = null, last_read_at = null, finalized_at = null
    where usage_date = '2026-11-27' and stream = 'payload_totals'`;
  const days = await panelRowsAfter(change, 'All organizations by day');
  expect(days.at(-1)).toMatchObject({ Day: null, 'Organizations not stored': '7' });
});

test('an organization says how many days its sum lacks', async () => {
  const rows = await panelRows('Largest organizations');
  expect(rows.find((row) => row['Organization'] === 'Gappy')).toMatchObject({ Sum: 10_400, 'Days not stored': 1 });
  expect(rows.map((row) => row['Organization'])).toContain(HOSTILE_NAME);
});

test('a day that is not stored has a red bar instead of a point', async () => {
  const last = { time: '2026-11-27T00:00:00.000Z', Day: null, 'Not stored': 1 };
  expect((await panelRows('Organization: metric by day')).at(-1)).toEqual(last);
});

test('gaps are counted by reason, and a waived cell is not a gap', async () => {
  expect(await panelRows('Gaps by reason')).toMatchObject([
    { Stream: 'payload_totals', Standing: 'missing', Reason: 'server_error', Cells: 2 },
    { Stream: 'device_counts', Standing: 'in_doubt', Reason: 'omitted', Cells: 1 },
  ]);
});

test('a sum that differs from a control total is shown', async () => {
  const difference = { Metric: 'devices_total', Quantity: 70, 'Other quantity': 71, Difference: -1, Settled: true };
  expect(await panelRows('Differences')).toMatchObject([difference]);
});

/** Returns the SQL blocks of a Markdown text, each with the heading or question above it. */
function sqlBlocks(text: string): { readonly title: string; readonly statements: string }[] {
  const parts = text.matchAll(/^(?:#+ (?<heading>.+)|(?<question>[A-Z][^\n]*\?)|```sql\n(?<sql>[^`]*)```)$/gm);
  const blocks: { title: string; statements: string }[] = [];
  let title = '';
  for (const { groups = {} } of parts) {
    title = groups['heading'] ?? groups['question'] ?? title;
    const statements = groups['sql'];
    if (statements !== undefined) blocks.push({ title, statements });
  }
  return blocks;
}

const documentedBlocks = ['README.md', 'SECURITY.md', ...readdirSync('docs').map((name) => join('docs', name))]
  .filter((path) => path.endsWith('.md') && existsSync(path))
  .flatMap((document) => sqlBlocks(readFileSync(document, 'utf8')).map((block) => ({ document, ...block })));

/** What writes: uninstalling, which is tested with the roles, and another address. */
const WRITES = ['Uninstall', 'Losant has a new address'];

test.each(documentedBlocks.filter(({ title }) => !WRITES.includes(title)))(
  'the SQL of $document, $title, works',
  async ({ statements }) => {
    await expect(queryOnce(world.url, `begin read only; ${statements}; rollback`)).resolves.not.toThrow();
  },
);
