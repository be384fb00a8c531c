/** Copies an embedded database to a server, with all that is on record. */
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import type { Schema } from './schema.ts';

/** The tables that each database has for itself: what migrations fill, and who exports now. */
const OWN = ['migrations', 'definitions', 'streams', 'metrics', 'months', 'leases'];

/** The number of rows read at a time, some megabytes. */
const PAGE_ROWS = 2_000;

export interface CopiedTable {
  readonly table: string;
  readonly rows: number;
}

/**
 * `copyDatabase` copies every row of `from` into `to`, which must have the same schema and nothing collected yet, in
 * one transaction: numbers, ledger, record of changes, waivers and statements, with their times and
 * names. Triggers are off meanwhile, so that nothing counts as changed by hand; only the owner of the
 * tables may do that. Throws DatabaseError if `to` has data.
 */
export async function copyDatabase(from: DatabaseHandle, to: DatabaseHandle): Promise<CopiedTable[]> {
  return await to.runLong(async (root) =>
    root.transaction().execute(async (trx) => {
      await requireUnused(trx, to.describe);
      const copied: CopiedTable[] = [];
      const tables = await readTables(trx);
      for (const table of tables) await switchTriggers(trx, table, 'disable');
      for (const table of tables) {
        const rows = await copyTable(from.db, trx, table);
        if (rows > 0) copied.push({ table, rows });
      }
      // A table with triggers that are still to come cannot be altered.
      await sql`set constraints all immediate`.execute(trx);
      for (const table of tables) await switchTriggers(trx, table, 'enable');
      return copied;
    }),
  );
}

async function requireUnused(trx: Kysely<Schema>, where: string): Promise<void> {
  const { rows } = await sql<{ used: boolean }>`
    select exists (select from losant_usage.instances) as used`.execute(trx);
  if (rows[0]?.used !== true) return;
  throw new DatabaseError('database_mismatch', `The database at ${where} has collected something already`, {
    hint: 'copy into a new database: two records of changes cannot be made one',
  });
}

/** `readTables` returns the tables to copy, those that others refer to first. */
async function readTables(trx: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ table: string; needs: string[] }>`
    select c.relname as "table", coalesce(array_agg(r.relname) filter (where r.oid <> c.oid), '{}')::text[] as needs
    from pg_class c
    left join pg_constraint k on k.conrelid = c.oid and k.contype = 'f'
    left join pg_class r on r.oid = k.confrelid
    where c.relnamespace = ${SCHEMA_NAME}::regnamespace and c.relkind = 'r' and c.relname <> all (${OWN}::text[])
    group by c.relname order by c.relname`.execute(trx);
  const ordered: string[] = [];
  while (ordered.length < rows.length) {
    const next = rows.filter(
      ({ table, needs }) =>
        !ordered.includes(table) && needs.every((each) => OWN.includes(each) || ordered.includes(each)),
    );
    if (next.length === 0) throw new Error('tables refer to each other in a circle');
    ordered.push(...next.map(({ table }) => table));
  }
  return ordered;
}

async function switchTriggers(trx: Kysely<Schema>, table: string, how: 'enable' | 'disable'): Promise<void> {
  await sql`alter table ${nameOf(table)} ${sql.raw(how)} trigger user`.execute(trx);
}

const nameOf = (table: string) => sql.table(`${SCHEMA_NAME}.${table}`);

/** `copyTable` copies the rows as JSON text, in which no number is rounded, and returns how many there are. */
async function copyTable(from: Kysely<Schema>, trx: Kysely<Schema>, table: string): Promise<number> {
  const { rows: columns } = await sql<{ name: string; sequence: string | null }>`
    select attname as name,
      case when attidentity <> '' then pg_get_serial_sequence(${`${SCHEMA_NAME}.${table}`}, attname) end as sequence
    from pg_attribute
    where attrelid = ${`${SCHEMA_NAME}.${table}`}::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    order by attnum`.execute(trx);
  const listed = sql.join(columns.map(({ name }) => sql.ref(name)));
  let copied = 0;
  await from.transaction().execute(async (source) => {
    await sql`declare copied no scroll cursor for select to_jsonb(t)::text as row from ${nameOf(table)} t`.execute(
      source,
    );
    for (;;) {
      const { rows } = await sql<{ row: string }>`fetch ${sql.lit(PAGE_ROWS)} from copied`.execute(source);
      if (rows.length === 0) break;
      await sql`insert into ${nameOf(table)} (${listed}) overriding system value
        select ${listed} from jsonb_populate_recordset(null::${nameOf(table)}, ${`[${rows.map(({ row }) => row).join(',')}]`}::text::jsonb)`.execute(
        trx,
      );
      copied += rows.length;
    }
  });
  for (const { name, sequence } of columns) {
    if (sequence === null || copied === 0) continue;
    await sql`select setval(${sequence}, (select max(${sql.ref(name)}) from ${nameOf(table)}))`.execute(trx);
  }
  return copied;
}
