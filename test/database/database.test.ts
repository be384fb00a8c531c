import { readdirSync, statSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { sql } from 'kysely';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { readSchemaState } from '../../src/database/migrate.ts';
import { isRejectedForData } from '../../src/database/sqlstate.ts';
import { useDisposable, useOpened, useTestDatabase } from '../opened.ts';
import { copyEmbeddedDatabase, createEmbeddedFolder, openAs } from '../support/databases.ts';

/** SQL expressions with the JavaScript value that both drivers must return. */
const VALUES: readonly (readonly [expression: string, value: unknown])[] = [
  ['0::bigint', 0],
  ['9007199254740991::bigint', 9007199254740991],
  ['true', true],
  ['null::bigint', null],
  ["date '2026-11-24'", '2026-11-24'],
  ["date '0099-01-01'", '0099-01-01'],
  ["timestamptz '2026-11-23 23:59:59.999999+00'", '2026-11-23T23:59:59.999Z'],
  ["timestamptz '2026-03-08 02:30:00.05-05'", '2026-03-08T07:30:00.050Z'],
  ["timestamptz '1969-12-31 23:59:59.9+00'", '1969-12-31T23:59:59.900Z'],
  ["timestamp '2026-11-24 12:34:56.789'", '2026-11-24 12:34:56.789'],
  ['12345678901234567890.50::numeric', '12345678901234567890.50'],
  ['sum(value) from (values (1::bigint), (2)) as t (value)', '3'],
  ['\'{"a": [1, null, "é"]}\'::jsonb', { a: [1, null, 'é'] }],
  ["'7a1c5b52-0f4e-4d5c-9d11-2f0f4a0c8e11'::uuid", '7a1c5b52-0f4e-4d5c-9d11-2f0f4a0c8e11'],
  ["array['a,b', null, '\"q\"', '']", ['a,b', null, '"q"', '']],
  ['array[1, null, 9007199254740991]::bigint[]', [1, null, 9007199254740991]],
  ["array['2026-11-24', null]::date[]", ['2026-11-24', null]],
  ["array['2026-11-24 00:00:00+00']::timestamptz[]", ['2026-11-24T00:00:00.000Z']],
  ['array[[1], [3]]::bigint[]', [[1], [3]]],
  ['array[1.10]::numeric[]', ['1.10']],
  ['array[\'{"a": 1}\']::jsonb[]', [{ a: 1 }]],
  ["array['7a1c5b52-0f4e-4d5c-9d11-2f0f4a0c8e11']::uuid[]", ['7a1c5b52-0f4e-4d5c-9d11-2f0f4a0c8e11']],
];

const server = useTestDatabase({ template: false });
const folder = useOpened(copyEmbeddedDatabase, (opened) => opened.remove());
const handles = {
  postgres: useDisposable(() => openAs('migrator', server.url, { poolSize: 4 })),
  embedded: useDisposable(() => openAs('migrator', folder.url, { poolSize: 4 })),
};
type Kind = keyof typeof handles;

async function valueOf(kind: Kind, expression: string): Promise<unknown> {
  const select = `select ${expression.replace(/ from |$/, ' as value$&')}`;
  const { rows } = await sql.raw<{ value: unknown }>(select).execute(handles[kind].db);
  return rows[0]?.value;
}

describe.each<Kind>(['postgres', 'embedded'])('the %s database', (kind) => {
  test('is opened by its URL', () => expect(handles[kind].kind).toBe(kind));

  test.each(VALUES)('returns %s as %j', async (expression, value) => {
    expect(await valueOf(kind, expression)).toEqual(value);
  });

  test('returns a sum above 2^53 - 1 as the nearest double, and does not fail', async () => {
    expect(await valueOf(kind, '9007199254740993::bigint')).toBe(9_007_199_254_740_992);
    expect(await valueOf(kind, 'array[-9223372036854775808]::bigint[]')).toEqual([-9_223_372_036_854_775_808]);
  });

  test.each([
    ["'infinity'::date", /infinity/],
    ["'infinity'::timestamptz", /infinity/],
    ["timestamptz '10000-01-01 00:00:00+00'", /10000-01-01/],
  ])('throws for %s and continues to work', async (expression, message) => {
    await expect(valueOf(kind, expression)).rejects.toThrow(message);
    expect(await valueOf(kind, '1::bigint')).toBe(1);
  });

  test('accepts columns as arrays with nulls', async () => {
    const days = ['2026-11-23', '2026-11-24', null];
    const names = ['a,"b"', null, 'ü {}\\'];
    const hours = [1, 0, null];
    const { rows } = await sql`
      select t.*, cardinality(${[]}::text[])::bigint as none
      from unnest(${days}::date[], ${names}::text[], ${hours}::integer[]) as t (day, name, hours)`.execute(
      handles[kind].db,
    );
    expect(rows.map((row) => Object.values(row as object))).toEqual([
      ['2026-11-23', 'a,"b"', 1, 0],
      ['2026-11-24', null, 0, 0],
      [null, 'ü {}\\', null, 0],
    ]);
  });

  test('stores bytes unchanged', async () => {
    const bytes = Buffer.from([0, 1, 254, 255, 39, 92]);
    const { rows } = await sql<{ bytes: Buffer }>`select ${bytes}::bytea as bytes`.execute(handles[kind].db);
    expect(rows[0]?.bytes).toEqual(bytes);
  });

  test.each([
    [true, 'a number out of range', sql`select (${'9223372036854775808'}::text)::bigint`],
    [true, 'a NUL in a text', sql`select ${'a\u0000b'}::text`],
    [true, 'a text that is not a date', sql`select (${'2026-02-30'}::text)::date`],
    [true, 'a repeated key', sql`do $$ begin raise unique_violation; end $$`],
    // Only a bug of this program can cause it.
    [false, 'a broken check', sql`do $$ begin raise check_violation; end $$`],
  ])('blames the data (%s) for %s', async (isRejected, _, query) => {
    const error: unknown = await query.execute(handles[kind].db).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(isRejectedForData(error)).toBe(isRejected);
  });

  test('isolates a transaction from concurrent queries', async () => {
    const { db } = handles[kind];
    await sql`create table isolated (value bigint)`.execute(db);
    const failed = db.transaction().execute(async (trx) => {
      await sql`insert into isolated values (1)`.execute(trx);
      await new Promise((resolve) => setTimeout(resolve, 50));
      throw new Error('roll back');
    });
    const concurrent = sql`insert into isolated values (2)`.execute(db);
    await expect(failed).rejects.toThrow('roll back');
    await concurrent;
    const { rows } = await sql`select value from isolated`.execute(db);
    expect(rows).toEqual([{ value: 2 }]);
  });
});

test('an embedded database that a killed process had begun to create is complete', async () => {
  const names = readdirSync('migrations').map((name) => name.replace('.sql', ''));
  const applied = names.filter((name) => name !== 'always').toSorted();
  expect(await readSchemaState(handles.embedded)).toMatchObject({ state: 'at_head', applied });
});

test('the folder of a new embedded database is closed to other users', async () => {
  const parent = createEmbeddedFolder();
  // To create the database as well takes two seconds of CPU.
  const create = vi.spyOn(PGlite, 'create').mockRejectedValue(new Error('not created'));
  onTestFinished(() => {
    create.mockRestore();
    parent.remove();
  });
  await expect(openAs('migrator', `${parent.url}/new`)).rejects.toThrow('not created');
  expect(statSync(`${parent.folder}/new`).mode & 0o077).toBe(0);
});
