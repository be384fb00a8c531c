import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';

/**
 * `readInPages` yields the rows of a query in pages of a given size. The transaction must have no other cursor of
 * the name.
 */
export async function* readInPages<T>(
  trx: Kysely<Schema>,
  query: RawBuilder<T>,
  { cursor, size }: { readonly cursor: string; readonly size: number },
): AsyncGenerator<readonly T[]> {
  const name = sql.id(cursor);
  // All rows are read, so the plan must not favour the first few.
  await sql`select set_config('cursor_tuple_fraction', '1', true)`.execute(trx);
  await sql`declare ${name} no scroll cursor for ${query}`.execute(trx);
  let isMore = true;
  while (isMore) {
    const { rows } = await sql<T>`fetch ${sql.lit(size)} from ${name}`.execute(trx);
    if (rows.length > 0) yield rows;
    isMore = rows.length === size;
  }
  await sql`close ${name}`.execute(trx);
}
