import { Kysely, PostgresAdapter, PostgresDialect } from 'kysely';
import pg from 'pg';
import { DatabaseError, SettingsError } from '../../errors.ts';
import { type DatabaseHandle, type DatabaseLogger, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import { boundedClient } from './postgres-client.ts';
import type { Schema } from '../schema.ts';
import { describeDatabaseError } from './sqlstate.ts';

export interface PostgresOptions {
  readonly url: string;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly logger?: DatabaseLogger | undefined;
}

/** The oldest whose features the migrations use. */
const OLDEST_MAJOR = 15;

/** A lock not had by then is a stuck session elsewhere, not contention. */
const LOCK_TIMEOUT_MS = 30_000;

/** No transaction here waits for anything but the database: an idle one belongs to a paused process. */
const IDLE_IN_TRANSACTION_MS = 60_000;

/** Enough to rewrite or index a table of years. */
const LONG_STATEMENT_MS = 3_600_000;

/** Long enough that the client gives up on a statement only when the server can't. */
const SILENCE_MARGIN_MS = 15_000;

/** Finds a peer that vanished between two statements within a minute. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** Connects to Postgres and checks its version. Throws SettingsError or DatabaseError, without the password. */
export async function openPostgres(options: PostgresOptions): Promise<DatabaseHandle> {
  const where = locate(options.url);
  const usual = await connect(options, where);
  return {
    db: usual.root.withSchema(SCHEMA_NAME),
    kind: 'postgres',
    describe: where,
    runLong: async (work) => {
      const long = await connect({ ...options, poolSize: 1, statementTimeoutMs: LONG_STATEMENT_MS }, where);
      try {
        return await work(long.root);
      } finally {
        await long.close();
      }
    },
    close: () => usual.close(),
  };
}

interface Connected {
  readonly root: Kysely<Schema>;
  close(): Promise<void>;
}

async function connect(options: PostgresOptions, where: string): Promise<Connected> {
  const pool = createPool(options, where);
  try {
    const client = await pool.connect();
    client.release();
  } catch (error) {
    await pool.end();
    throw describeDatabaseError(error, where) ?? error;
  }
  const root = new Kysely<Schema>({ dialect: new Dialect({ pool }) });
  return {
    root,
    close: async () => {
      await root.destroy();
      // kysely ends the pool only if it ran a query.
      if (!pool.ended) await pool.end();
    },
  };
}

function createPool(options: PostgresOptions, where: string): pg.Pool {
  const { connectTimeoutMs, statementTimeoutMs } = options;
  const types = new pg.TypeOverrides();
  for (const [oid, parse] of Object.entries(PARSERS)) types.setTypeParser(Number(oid), parse);
  // The pool waits for it, though its types promise nothing.
  const onConnect = (client: pg.ClientBase): unknown => prepareSession(client, options, where);
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.poolSize,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types,
    Client: boundedClient({ connectTimeoutMs, silenceMs: statementTimeoutMs + SILENCE_MARGIN_MS }),
    onConnect,
  });
  // Without a listener an idle connection that is lost would end the process. The pool replaces it.
  pool.on('error', (error) => {
    options.logger?.info({ database: where, error: error.message }, 'idle database connection lost');
  });
  return pool;
}

/** By query and not as startup parameters, which connection poolers refuse. */
async function prepareSession(client: pg.ClientBase, options: PostgresOptions, where: string): Promise<void> {
  const settings = {
    statement_timeout: `${options.statementTimeoutMs}`,
    lock_timeout: `${LOCK_TIMEOUT_MS}`,
    idle_in_transaction_session_timeout: `${IDLE_IN_TRANSACTION_MS}`,
    // What the parsers of values read.
    timezone: 'UTC',
    datestyle: 'ISO',
    bytea_output: 'hex',
  };
  const { rows } = await client.query<{ version: string }>(
    `select set_config(name, value, false), current_setting('server_version_num') as version
       from unnest($1::text[], $2::text[]) as setting (name, value)`,
    [Object.keys(settings), Object.values(settings)],
  );
  const version = Number(rows[0]?.version);
  if (version >= OLDEST_MAJOR * 10_000) return;
  const major = Math.floor(version / 10_000);
  throw new DatabaseError('database_too_old', `The database at ${where} runs Postgres ${major}`, {
    hint: `use a server of Postgres ${OLDEST_MAJOR} or newer`,
  });
}

/**
 * The migrator's lock is a session's, which a pooler would leave behind on a
 * shared connection; migrations here take a transaction's lock instead.
 */
class Adapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}

class Dialect extends PostgresDialect {
  override createAdapter(): Adapter {
    return new Adapter();
  }
}

/** `host:port/name` as pg will use it. */
function locate(url: string): string {
  // An unencoded / ? or # in a password would end the host part there, and show the rest in messages.
  const isPlain = /^postgres(ql)?:\/\/[^/?#\s]*([/?][^#@\s]*)?$/i.test(url);
  try {
    if (!isPlain) throw new Error('not a connection URL');
    const { host, port, database } = new pg.Client({ connectionString: url });
    return `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
  } catch (error) {
    // Neither the value nor the parser's error, which repeats it.
    const isFile = error instanceof Error && 'syscall' in error;
    throw new SettingsError(
      isFile
        ? `DATABASE_URL names a certificate file that cannot be read: ${error.message}`
        : 'DATABASE_URL is not a valid connection URL',
      {
        hint: 'use postgres://USER:PASSWORD@HOST:5432/NAME, percent-encoding @ : / ? # and spaces in user and password',
      },
    );
  }
}
