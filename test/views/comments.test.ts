import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { useLedger } from '../database/ledger.ts';

const ledger = useLedger();

test('every table and view says what it holds', async () => {
  const nameless = sql`
    select c.relname from pg_class c
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
      and coalesce(obj_description(c.oid, 'pg_class'), '') = ''`;
  expect(await ledger.ask(nameless)).toEqual([]);
});

test('every column says what it means, but for those of building blocks of other views', async () => {
  const nameless = sql`
    select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
      and obj_description(c.oid, 'pg_class') !~* 'building block'
      and a.attnum > 0 and not a.attisdropped and coalesce(col_description(c.oid, a.attnum), '') = ''`;
  expect(await ledger.ask(nameless)).toEqual([]);
});

test('every function says what it does', async () => {
  const nameless = sql`
    select p.proname from pg_proc p
    where p.pronamespace = 'losant_usage'::regnamespace and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''`;
  expect(await ledger.ask(nameless)).toEqual([]);
});

test('there is something to describe', async () => {
  const [counts] =
    await ledger.ask(sql`select count(*) filter (where relkind = 'r') >= 14 as tables, count(*) filter (where relkind = 'v') >= 9 as views
      from pg_class where relnamespace = 'losant_usage'::regnamespace`);
  expect(counts).toEqual({ tables: true, views: true });
});
