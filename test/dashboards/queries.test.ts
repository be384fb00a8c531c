/** Every query of the dashboards and of docs/sql, on known numbers, in sessions of three time zones. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FOREIGN, HOSTILE_NAME, ORGS, openWorld, type World } from '../console/world.ts';
import { asOwner, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { dashboards, fillIn, questions, sqlQueries } from './dashboards.ts';

const ZONES = ['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'];

type Row = Readonly<Record<string, unknown>>;

let world: World;
let client: pg.Client;
beforeAll(async () => {
  world = await openWorld();
  client = new pg.Client({ connectionString: loginAs('reader', world.url) });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await world.close();
});

/** Returns what `sql` answers in a session of each zone: its rows, and its columns. */
async function ask(sql: string, zones: readonly string[] = ['UTC']) {
  const answers: { readonly rows: readonly Row[]; readonly columns: readonly string[] }[] = [];
  for (const zone of zones) {
    await client.query(`set time zone '${zone}'`);
    const { rows, fields } = await client.query<Row>({ text: sql, types: { getTypeParser: parserOf } });
    answers.push({ rows, columns: fields.map(({ name }) => name) });
  }
  return answers;
}

const { BOOL, FLOAT4, FLOAT8, INT4, INT8, NUMERIC, TIMESTAMPTZ } = pg.types.builtins;

/** Moments as ISO text, numbers as numbers, the rest as text: nothing that hangs on the time zone of the test. */
function parserOf(oid: number): (text: string) => unknown {
  if (oid === TIMESTAMPTZ) return (text) => new Date(text).toISOString();
  if (oid === BOOL) return (text) => text === 't';
  return [FLOAT4, FLOAT8, INT4, INT8, NUMERIC].includes(oid) ? Number : (text) => text;
}

const queries = dashboards.flatMap(sqlQueries);

describe.each(queries)('$name', ({ sql, panel }) => {
  // Promise (Operation): Every query of the dashboards and of docs/sql answers the same in every time zone.
  test('answers the same in every time zone, in order, with the columns that the panel names', async () => {
    const [utc, ...others] = await ask(fillIn(sql), ZONES);
    expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
    if (panel?.type === 'timeseries') {
      const times = (utc?.rows ?? []).map(({ time }) => String(time));
      expect(times).toEqual(times.toSorted());
      expect([times[0], times.at(-1)]).toEqual(Array(2).fill(expect.stringContaining('T00:00:00.000Z')));
    }
    const columns = utc?.columns ?? [];
    if (panel === null || columns.includes('value')) return;
    const named = panel.fieldConfig.overrides.map(({ matcher }) => matcher.options);
    expect(named.filter((name) => !columns.includes(name) && name !== 'standing')).toEqual([]);
  });
});

test.each(questions)('docs/sql/$name is listed, and answers the same in any zone', async ({ name, sql }) => {
  const [utc, ...others] = await ask(sql.replaceAll("'Acme'", "'Office'"), ZONES);
  expect(utc?.rows.length).toBeGreaterThan(0);
  for (const other of others) expect(other).toEqual(utc);
  const [, question] = /^-- Question: (.*)$/m.exec(sql) ?? [];
  const list = readFileSync('docs/sql/README.md', 'utf8').replaceAll(/ +\|/g, ' |');
  expect(list).toContain(`| [${name}](${name}) | ${question} |`);
});

// Promise (Missing numbers): A number that is not stored is null, never 0, and every wanted day has a row.
test('no query makes a 0 of a number that is not stored', () => {
  const all = [...queries, ...questions].map(({ sql }) => sql).join('\n');
  expect(all).not.toMatch(/coalesce\((?:[^()]|\([^()]*\))*, 0\)/);
});

/** Returns the rows of a panel, by its title. */
async function panel(title: string): Promise<readonly Row[]> {
  const found = queries.find(({ name }) => name.endsWith(` / ${title}`));
  return (await ask(fillIn(found?.sql ?? title)))[0]?.rows ?? [];
}

/** Returns the rows of a question, by its file. */
async function question(file: string): Promise<readonly Row[]> {
  const found = questions.find(({ name }) => name === file);
  return (await ask(found?.sql ?? file))[0]?.rows ?? [];
}

describe('of the known numbers', () => {
  test('a day is summed over who has a number, beside the same weekday before, and says who has none', async () => {
    const rows = await panel('All organizations by day');
    expect(rows).toHaveLength(27);
    expect(rows[9]).toEqual({
      time: '2026-11-10T00:00:00.000Z',
      'This day': 3_380,
      'Compared day': 3_620,
      'Organizations missing': 1,
    });
  });

  test('only days that are known on both sides are compared', async () => {
    const rows = await panel('Organizations that changed most');
    expect(rows.find((row) => row['Organization'] === 'Gappy')).toMatchObject({
      'In the range': 10_000,
      Before: 10_000,
      Difference: 0,
      'Days not known': 2,
    });
    expect(rows.map((row) => row['Organization'])).toContain(HOSTILE_NAME);
  });

  test('a day that is not stored has no point, and a mark', async () => {
    expect((await panel('The organization: the metric by day')).at(-1)).toEqual({
      time: '2026-11-27T00:00:00.000Z',
      'This day': null,
      'Compared day': 400,
      Missing: 1,
    });
  });

  test('gaps are counted by cause, and what is accepted is none', async () => {
    expect(await panel('Gaps by cause')).toMatchObject([
      { Stream: 'payload_totals', standing: 'missing', Reason: 'server_error', Numbers: 2 },
      { Stream: 'device_counts', standing: 'in_doubt', Reason: 'contradicted', Numbers: 1 },
    ]);
    expect(await question('missing-days-by-reason.sql')).toMatchObject([
      { standing: 'missing', numbers: 2, organizations: 1 },
      { standing: 'in_doubt', numbers: 1 },
      { standing: 'accepted', reason: 'waived', numbers: 1 },
    ]);
  });

  test('a settled sum that differs from what Losant counts is shown', async () => {
    expect(await panel('Sums that differ from what is counted elsewhere')).toMatchObject([
      { Metric: 'devices_total', Ours: 10, Other: 11, Difference: -1 },
    ]);
  });

  test('October can be billed for whom nothing speaks against, and each cause stands beside what to do', async () => {
    const { newcomer: _, gappy, ...ready } = ORGS;
    const found = (await question('ready-to-bill.sql')).map((row) => row['org_id']);
    expect(new Set(found)).toEqual(new Set([...Object.values(ready), FOREIGN]));
    const what = `losant-usage backfill --org ${gappy} --from 2026-10-10 --to 2026-10-10`;
    expect(await question('not-ready-to-bill.sql')).toMatchObject([
      { org_id: gappy, cause: 'missing', what_to_do: what },
    ]);
  });

  test('what differs from an invoice, was restated, or fell silent is found', async () => {
    expect(await question('changed-since-closing.sql')).toMatchObject([
      { metric: 'payload_billable_count', billed_quantity: 22_300, quantity: 22_800, difference: 500 },
      { metric: 'notebook_minutes', billed_quantity: 152, quantity: 155, difference: 3 },
    ]);
    const changed = await question('changed-since-invoice.sql');
    expect(changed.filter(({ difference }) => Number(difference) > 1)).toMatchObject([
      { org_name: 'Foreign', metric: 'notebook_minutes', difference: 5, days_loaded_later: 1 },
      { org_name: 'Foreign', metric: 'payload_billable_count', difference: 2, was_final: true },
    ]);
    expect((await question('silent-organizations.sql')).map((row) => row['org_id'])).toEqual([ORGS.silent]);
    expect((await question('largest-changes.sql'))[0]).toMatchObject({ org_name: 'Doubled', change: 3_500 });
  });
});

/** Returns the SQL that a Markdown text shows, in order, each with the heading or question above it. */
function sqlBlocks(text: string): { readonly title: string; readonly statements: string }[] {
  const parts = text.matchAll(
    /^(?:#+ (?<heading>.+)|(?<question>[A-Z][^\n]*\?)|```sql\n(?<sql>[^`]*)```)$/gm,
  );
  const blocks: { title: string; statements: string }[] = [];
  let title = '';
  for (const { groups = {} } of parts) {
    title = groups['heading'] ?? groups['question'] ?? title;
    const statements = groups['sql'];
    if (statements !== undefined) blocks.push({ title, statements });
  }
  return blocks;
}

const shown = ['README.md', 'SECURITY.md', ...readdirSync('docs').map((name) => join('docs', name))]
  .filter((path) => path.endsWith('.md') && existsSync(path))
  .flatMap((document) => sqlBlocks(readFileSync(document, 'utf8')).map((block) => ({ document, ...block })));

// Uninstall ends the world, and so comes last.
test.each(shown.toSorted((a, b) => Number(a.title === 'Uninstall') - Number(b.title === 'Uninstall')))(
  '$document: $title is answered',
  async ({ title, statements }) => {
    if (title !== 'Uninstall') {
      await queryOnce(world.url, `begin read only; ${statements}; rollback`);
      return;
    }
    await asOwner(world.url, statements.split('\n')[0] ?? '');
    const left = "select nspname from pg_namespace where nspname like 'losant%'";
    expect(await queryOnce(world.url, left)).toEqual([]);
  },
);
