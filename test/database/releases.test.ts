/**
 * Released files stay as they are, and the migrations of this version apply to the dump of every release: here also one
 * that no release has yet, which adds a column to organizations with data, and to a view.
 */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { migrateToHead, readPending, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import { useDisposable, useTestDatabase } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { asAdministrator, asWriter, openAs, queryOnce } from '../support/databases.ts';
import { useTestFolder } from '../support/folders.ts';
import { runProgram, VERSION } from '../support/program.ts';
import { checksum, RELEASES } from './releases.ts';

const versions = readdirSync(RELEASES).flatMap((name) => /^(.*)\.sha256$/.exec(name)?.[1] ?? []);

test('this version has its dump and checksums: npm run release:dump', () => {
  expect(versions).toContain(VERSION);
});

// Guarantee (Database): A migration or pack check that was released never changes, and every later version migrates the
// database of every release.
test.each(versions)('the files that %s released are unchanged', (version) => {
  const lines = readFileSync(join(RELEASES, `${version}.sha256`), 'utf8')
    .trim()
    .split('\n');
  const problems = lines
    .map((line) => line.split('  '))
    .filter(([sum, path = '']) => !existsSync(path) || checksum(path) !== sum)
    .map(([, path]) => `${path} was released with ${version} and must stay: undo the change, and add a file`);
  expect(lines.length).toBeGreaterThan(10);
  expect(problems).toEqual([]);
});

const COST_CENTER = `
alter table losant_usage.organizations add column cost_center text;
comment on column losant_usage.organizations.cost_center is 'Cost center: the tag as last seen; null if it has none.';
set local losant_usage.program = 'migration';
update losant_usage.organizations o set cost_center = t.value
from losant_usage.organization_tags t where t.org_id = o.org_id and t.key = 'cost_center' and t.nth = 1;
create or replace view losant_usage.organization_tags as
select o.org_id, tag.key, tag.value,
  row_number() over (partition by o.org_id, tag.key order by tag.place)::integer as nth, o.cost_center
from losant_usage.organizations o
cross join lateral (
  select t.item ->> 'key' as key, t.item ->> 'value' as value, t.place
  from jsonb_array_elements(o.tags) with ordinality as t (item, place)
) as tag;
comment on column losant_usage.organization_tags.cost_center is 'Cost center of the organization.';
`;

const TABLES = `select relname as name from pg_class
  where relnamespace = 'losant_usage'::regnamespace and relkind = 'r' and relname not like 'migrations%'`;

describe.each(versions)('a database of %s', (version) => {
  const database = useTestDatabase({ template: false });
  const migrator = useDisposable(() => openAs('migrator', database.url));
  const reader = useDisposable(() => openAs('reader', database.url));
  const folder = useTestFolder();
  beforeAll(async () => {
    const dump = gunzipSync(readFileSync(join(RELEASES, `${version}.sql.gz`))).toString();
    await asAdministrator(dump, database.name);
    cpSync('migrations', folder, { recursive: true });
    writeFileSync(join(folder, '0099_cost_center.sql'), COST_CENTER);
  });

  /** Returns how many rows each table has, and what was billed. */
  async function readContents(): Promise<unknown> {
    const names = (await queryOnce(database.url, TABLES)).map(({ name }) => String(name)).toSorted();
    const counts = names.map((name) => `(select count(*) from losant_usage.${name}) as ${name}`);
    const billed = `(select md5(string_agg(l::text, ',' order by org_id, metric)) from losant_usage.statement_lines l)
      as billed, (select md5(string_agg(d::text, ',' order by usage_date, org_id)) from losant_usage.usage_days d) as days`;
    return await asWriter(database.url, `select ${counts.join(', ')}, ${billed}`);
  }

  test('has a closed month with an adjustment, a stream with two spans and a waiver', async () => {
    const counts = `select (select count(*) from losant_usage.statements) as statements,
      (select count(*) from losant_usage.waivers) as waivers, (select max(n) from (
        select count(*) as n from losant_usage.tracks group by org_id, stream) as t) as spans`;
    expect(await queryOnce(database.url, counts)).toEqual([{ statements: '2', waivers: '1', spans: '2' }]);
  });

  test('is migrated by this version, without a change of its rows if it is at head, and its statements are still true', async () => {
    const before = await readContents();
    const pending = await readPending(reader, 'migrations');
    expect(await migrateToHead(migrator)).toEqual(pending);
    expect(await readSchemaState(reader)).toMatchObject({ state: 'at_head' });
    if (pending.length === 0) expect(await readContents()).toEqual(before);
    const months = `select to_char(month, 'YYYY-MM') as month from losant_usage.statements`;
    const [row] = await queryOnce(database.url, months);
    const out = join(folder, 'pack');
    const run = (...args: readonly string[]) => runProgram(args, { DATABASE_URL: database.url });
    expect(await run('statement', '--month', String(row?.['month']), '--out', out)).toMatchObject({ code: 0 });
    expect(await run('verify', out)).toMatchObject({ code: 0 });
    expect(await run('close')).toMatchObject({ code: 0 });
  });

  test('is migrated by a later version: numbers stay, the column is filled, the schema is complete', async () => {
    const tags = `update losant_usage.organizations set tags = '[{"key": "cost_center", "value": "4711"}]'`;
    await asWriter(database.url, asProgram(tags));
    const before = await readContents();
    const options = { migratesFrom: ['behind'] } as const;
    expect(await requireSchema(migrator, options, folder)).toEqual(['0099_cost_center', 'always']);
    expect(await readContents()).toEqual(before);
    const { rows } = await sql`select distinct cost_center from losant_usage.organizations`.execute(reader.db);
    expect(rows).toEqual([{ cost_center: '4711' }]);
    expect(await readSchemaState(reader, folder)).toMatchObject({ state: 'at_head' });
    expect(await migrateToHead(migrator, folder)).toEqual([]);
  });
});
