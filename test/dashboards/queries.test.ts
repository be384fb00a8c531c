/** Every query of the dashboards and of docs/sql, on known numbers, in sessions of three time zones. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { dashboards, fillIn, questions, sqlQueries } from './dashboards.ts';
import {
  ACME,
  CHOSEN,
  GLOBEX,
  HOSTILE_NAME,
  openWorld,
  type Row,
  SILENT,
  type World,
  ZONES,
} from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const queries = dashboards.flatMap(sqlQueries);

describe.each(queries)('$name', ({ sql, panel }) => {
  // Promise (Operation): Every query of the dashboards and of docs/sql answers the same in every time zone.
  test('answers the same in every time zone, in order, with the columns that the panel names', async () => {
    const [utc, ...others] = await world.ask(fillIn(sql, CHOSEN), ZONES);
    expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
    if (panel?.type === 'timeseries') {
      const times = (utc?.rows ?? []).map(({ time }) => String(time));
      expect(times).toEqual(times.toSorted());
      expect([times[0], times.at(-1)].map((time) => time?.slice(10))).toEqual(
        Array(2).fill('T00:00:00.000Z'),
      );
    }
    const columns = utc?.columns ?? [];
    if (panel === null || columns.includes('value')) return;
    const named = panel.fieldConfig.overrides.map(({ matcher }) => matcher.options);
    expect(named.filter((name) => !columns.includes(name) && name !== 'standing')).toEqual([]);
  });
});

test.each(questions)(
  'docs/sql/$name answers the same in every time zone, and is listed',
  async ({ name, sql }) => {
    const [utc, ...others] = await world.ask(sql, ZONES);
    expect(utc?.rows.length).toBeGreaterThan(0);
    for (const other of others) expect(other).toEqual(utc);
    const [, question] = /^-- Question: (.*)$/m.exec(sql) ?? [];
    const list = readFileSync('docs/sql/README.md', 'utf8').replaceAll(/ +\|/g, ' |');
    expect(list).toContain(`| [${name}](${name}) | ${question} |`);
  },
);

// Promise (Missing numbers): A number that is not stored is null, never 0, and every wanted day has a row.
test('no query makes a 0 of a number that is not stored', () => {
  const all = [...queries, ...questions].map(({ sql }) => sql).join('\n');
  expect(all).not.toMatch(/coalesce\((?:[^()]|\([^()]*\))*, 0\)/);
});

async function panel(title: string): Promise<readonly Row[]> {
  const found = queries.find(({ name }) => name.endsWith(` / ${title}`));
  if (found === undefined) throw new Error(`no query ${title}`);
  return (await world.ask(fillIn(found.sql, CHOSEN)))[0]?.rows ?? [];
}

async function question(name: string): Promise<readonly Row[]> {
  const found = questions.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no question ${name}`);
  return (await world.ask(found.sql))[0]?.rows ?? [];
}

describe('of the known numbers', () => {
  test('a day is summed over who has a number, beside the same weekday before, and says who has none', async () => {
    const rows = await panel('All organizations by day');
    expect(rows).toHaveLength(20);
    expect(rows[9]).toEqual({
      time: '2026-11-10T00:00:00.000Z',
      'This day': 21,
      'Compared day': 31,
      'Organizations missing': 1,
    });
  });

  test('only days that are known on both sides are compared', async () => {
    const rows = await panel('Organizations that changed most');
    expect(rows.find((row) => row['Organization'] === 'Acme')).toMatchObject({
      'In the range': 190,
      Before: 190,
      Difference: 0,
      'Days not known': 1,
    });
    expect(rows.map((row) => row['Organization'])).toContain(HOSTILE_NAME);
  });

  test('a day that is not stored has no point, and a mark', async () => {
    const rows = await panel('The organization: the metric by day');
    expect(rows[9]).toEqual({
      time: '2026-11-10T00:00:00.000Z',
      'This day': null,
      'Compared day': 10,
      Missing: 1,
    });
  });

  test('gaps are counted by cause, and what is accepted is none', async () => {
    expect(await panel('Gaps by cause')).toEqual([
      expect.objectContaining({
        Stream: 'payload_totals',
        standing: 'missing',
        Reason: 'server_error',
        Numbers: 2,
      }),
    ]);
    expect(await question('missing-days-by-reason.sql')).toEqual([
      expect.objectContaining({ standing: 'missing', numbers: 2, organizations: 1 }),
      expect.objectContaining({ standing: 'accepted', reason: 'waived', numbers: 1 }),
    ]);
  });

  test('a settled sum that differs from what Losant counts is shown', async () => {
    expect(await panel('Sums that differ from what is counted elsewhere')).toEqual([
      expect.objectContaining({ Metric: 'devices_total', Ours: 7, Other: 8, Difference: -1 }),
    ]);
  });

  test('October can be billed for whom nothing speaks against, and each cause stands beside what to do', async () => {
    expect((await question('ready-to-bill.sql')).map((row) => row['org_id'])).toEqual([GLOBEX, SILENT]);
    expect(await question('not-ready-to-bill.sql')).toEqual([
      expect.objectContaining({
        org_id: ACME,
        cause: 'missing',
        what_to_do: `losant-usage backfill --org ${ACME} --from 2026-10-31 --to 2026-10-31`,
      }),
    ]);
  });

  test('what differs from an invoice, was restated, or fell silent is found', async () => {
    expect(await question('changed-since-closing.sql')).toContainEqual(
      expect.objectContaining({
        metric: 'notebook_minutes',
        billed_quantity: 90,
        quantity: 93,
        difference: 3,
      }),
    );
    const changed = await question('changed-since-invoice.sql');
    expect(changed.filter(({ difference }) => Number(difference) > 1)).toEqual([
      expect.objectContaining({
        org_id: ACME,
        metric: 'payload_billable_count',
        difference: 2,
        was_final: true,
      }),
      expect.objectContaining({ org_name: 'Globex', metric: 'notebook_minutes', difference: 3 }),
    ]);
    expect((await question('silent-organizations.sql')).map((row) => row['org_id'])).toEqual([SILENT]);
    expect(await question('largest-changes.sql')).toHaveLength(3);
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
    await queryOnce(world.url, statements.split('\n')[0] ?? '');
    const left = "select nspname from pg_namespace where nspname like 'losant%'";
    expect(await queryOnce(world.url, left)).toEqual([]);
  },
);
