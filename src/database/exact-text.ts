import { type RawBuilder, sql } from 'kysely';

/** SQL for an instant as text, to the microsecond and in UTC whatever the session's time zone. */
export function instantText(value: RawBuilder<unknown>): RawBuilder<string> {
  return sql<string>`to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}
