import { type AliasedRawBuilder, sql } from 'kysely';

/** Types of columns as Postgres names them, by column. */
export type ColumnTypes<R> = Readonly<Record<keyof R & string, string>>;

/**
 * Rows as a table of a statement, one array a column, so that the text of the statement is the same for any number
 * of rows. The types are SQL of this program, never a person's.
 */
export function unnested<R, A extends string>(
  alias: A,
  rows: readonly R[],
  types: ColumnTypes<R>,
): AliasedRawBuilder<R, A> {
  const names = Object.keys(types) as (keyof R & string)[];
  const arrays = names.map((name) => {
    const type = types[name];
    // The embedded database knows no arrays of a type of ours: they come as text.
    const cast = type.includes('.') ? `text[]::${type}[]` : `${type}[]`;
    return sql`${rows.map((row) => row[name])}::${sql.raw(cast)}`;
  });
  const columns = sql.join(names.map((name) => sql.ref(name)));
  return sql<R>`unnest(${sql.join(arrays)})`.as<A>(sql`${sql.ref(alias)} (${columns})`);
}
