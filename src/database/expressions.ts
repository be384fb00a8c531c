import { type RawBuilder, sql } from 'kysely';
import type { Instant } from './schema.ts';

/** The database's time at evaluation, not at the start of the transaction. */
export const CLOCK = sql<Instant>`clock_timestamp()`;

/** Returns the condition that a column has one of the values. They are one array, so the statement's text is fixed. */
export function isAny(column: string, values: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`${sql.ref(column)} = any (${values}::text[])`;
}

/** Returns the condition that a column has one of the values; always true if they are null. */
export function isAmong(column: string, values: readonly string[] | null): RawBuilder<boolean> {
  return sql<boolean>`(${values}::text[] is null or ${isAny(column, values ?? [])})`;
}

type RecordTable = 'coverage' | 'instance_totals' | 'revisions' | 'usage_days';

/** Returns objects as rows of a table in a statement, whose text is fixed. Their keys are column names. */
export function recordsOf(table: RecordTable, rows: readonly object[]): RawBuilder<unknown> {
  const name = sql.table(`losant_usage.${table}`);
  return sql`json_populate_recordset(null::${name}, ${JSON.stringify(rows)}::text::json)`;
}
