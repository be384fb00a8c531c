import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** The schema of all tables of this program, in any database. */
export const SCHEMA_NAME = 'losant_usage';

/** The roles of deploy/postgres/roles.sql. */
export type Role =
  | 'losant_usage_migrator'
  | 'losant_usage_writer'
  | 'losant_usage_closer'
  | 'losant_usage_reader';

/** An open database, which its opener closes. */
export interface DatabaseHandle {
  /**
   * The query builder. Queries built with it are qualified with the schema; raw `sql` must name it
   * itself.
   */
  readonly db: Kysely<Schema>;
  readonly kind: 'postgres' | 'embedded';
  /** `host:port/name` or the folder, for messages; never contains a password. */
  readonly describe: string;
  /** The reason why its transactions cannot write; null if they can, as far as the session shows. */
  readonly readOnly: ReadOnly | null;
  /**
   * Runs `work` with a connection of its own whose statements may take an hour, for migrations. Must not be called
   * inside a transaction of `db`.
   */
  runLong<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** A standby, a user whose transactions only read, or a server on which everybody's do. */
export interface ReadOnly {
  readonly reason: 'standby' | 'user' | 'server';
  readonly user: string;
}

/**
 * The handling of an embedded database that does not exist: create it, refuse it, or use an empty one
 * in memory in its place, so that nothing is created.
 */
export type IfMissing = 'create' | 'refuse' | 'stand_in';
