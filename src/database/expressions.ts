import { type AliasedRawBuilder, type RawBuilder, sql } from 'kysely';
import type { Instant } from './schema.ts';

/** The database's time at evaluation, not at the start of the transaction. */
export const CLOCK = sql<Instant>`clock_timestamp()`;

/** Returns SQL for an instant as text, in UTC and to the microsecond. */
export function toInstantText(value: RawBuilder<unknown>): RawBuilder<string> {
  return sql<string>`to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** Returns the condition that a column has one of the values. They are one array, so the statement's text is fixed. */
export function isAny(column: string, values: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`${sql.ref(column)} = any (${values}::text[])`;
}

/** Returns the condition that a column has one of the values; always true if they are null. */
export function isAmong(column: string, values: readonly string[] | null): RawBuilder<boolean> {
  return sql<boolean>`(${values}::text[] is null or ${isAny(column, values ?? [])})`;
}

export type ColumnTypes<R> = Readonly<Record<keyof R & string, string>>;

/**
 * Returns rows as a table in a statement. Each column is one array, so the statement's text is the same for any number
 * of rows. The types go into the SQL unquoted: they must never be input.
 */
export function unnestRows<R, A extends string>(
  alias: A,
  rows: readonly R[],
  types: ColumnTypes<R>,
): AliasedRawBuilder<R, A> {
  const names = Object.keys(types) as (keyof R & string)[];
  const arrays = names.map((name) => {
    const type = types[name];
    // PGlite has no array types for our enums, so such columns travel as text.
    const cast = type.includes('.') ? `text[]::${type}[]` : `${type}[]`;
    return sql`${rows.map((row) => row[name])}::${sql.raw(cast)}`;
  });
  const columns = sql.join(names.map((name) => sql.ref(name)));
  return sql<R>`unnest(${sql.join(arrays)})`.as<A>(sql`${sql.ref(alias)} (${columns})`);
}
