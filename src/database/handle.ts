import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

export const SCHEMA_NAME = 'losant_usage';

/** The roles of deploy/postgres/roles.sql. */
export type Role = 'losant_usage_migrator' | 'losant_usage_writer' | 'losant_usage_reader';

/** An open database, which its opener closes. */
export interface DatabaseHandle extends AsyncDisposable {
  /** The query builder qualifies tables with the schema; raw `sql` must name it. */
  readonly db: Kysely<Schema>;
  /** The same database over a separate connection, because the renewal of a lease must not wait for loads. */
  readonly leaseDb: Kysely<Schema>;
  readonly kind: 'postgres' | 'embedded';
  /** `host:port/name` or the folder, for messages; never contains a password. */
  readonly label: string;
  /** Why its transactions cannot write; null if they can, as far as the session that was opened last shows. */
  readonly readOnly: ReadOnly | null;
  /** For migrations: on a separate connection, with an hour for a statement. Not inside a transaction of `db`. */
  runLong<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** The server is a standby, the user's transactions are read-only, or everybody's are. */
export interface ReadOnly {
  readonly reason: 'standby' | 'user' | 'server';
  readonly user: string;
}

/** What to do if an embedded database does not exist: create it, fail, or use an empty one in memory instead. */
export type IfMissing = 'create' | 'fail' | 'stand_in';
