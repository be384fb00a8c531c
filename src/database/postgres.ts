import { Kysely, PostgresAdapter, PostgresDialect } from 'kysely';
import pg from 'pg';
import { SettingsError } from '../errors.ts';
import { type DatabaseHandle, type DatabaseLogger, type ReadOnly, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import { boundedClient } from './postgres-client.ts';
import type { Schema } from './schema.ts';
import { prepareSession } from './session.ts';
import { describeDatabaseError } from './sqlstate.ts';
import { spellSslMode } from './tls.ts';

export interface PostgresOptions {
  readonly url: string;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly logger?: DatabaseLogger | undefined;
}

/** Enough to rewrite or index a table of years. */
const LONG_STATEMENT_MS = 3_600_000;

/** Long enough that the client gives up on a statement only when the server can't. */
const SILENCE_MARGIN_MS = 15_000;

/** Finds a peer that vanished between two statements within a minute. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** Connects to Postgres and checks its version. Throws SettingsError or DatabaseError, without the password. */
export async function openPostgres(given: PostgresOptions): Promise<DatabaseHandle> {
  const options = { ...given, url: spellSslMode(given.url) };
  const where = locate(options.url);
  const usual = await connect(options, where);
  return {
    db: usual.root.withSchema(SCHEMA_NAME),
    kind: 'postgres',
    describe: where,
    readOnly: usual.readOnly,
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
  readonly readOnly: ReadOnly | null;
  close(): Promise<void>;
}

async function connect(options: PostgresOptions, where: string): Promise<Connected> {
  let readOnly: ReadOnly | null = null;
  const pool = createPool(options, where, async (client) => {
    ({ readOnly } = await prepareSession(client, { ...options, where }));
  });
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
    readOnly,
    close: async () => {
      await root.destroy();
      // kysely ends the pool only if it ran a query.
      if (!pool.ended) await pool.end();
    },
  };
}

function createPool(
  options: PostgresOptions,
  where: string,
  // The pool waits for it, though its types promise nothing.
  onConnect: (client: pg.ClientBase) => unknown,
): pg.Pool {
  const { connectTimeoutMs, statementTimeoutMs } = options;
  const types = new pg.TypeOverrides();
  for (const [oid, parse] of Object.entries(PARSERS)) types.setTypeParser(Number(oid), parse);
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
