import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { DatabaseError, SettingsError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { type DatabaseHandle, type ReadOnly, type Role, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import type { Schema } from './schema.ts';
import { describeDatabaseError } from './sqlstate.ts';

export interface PostgresOptions {
  /** `postgres://…` or `postgresql://…`. */
  readonly url: string;
  /** Reads the URL again for each new connection, so that a new password needs no restart. */
  readonly readUrl?: (() => string) | undefined;
  /** The role that the work takes, for the hint to a user who lacks a right. */
  readonly role: Role;
  /** The name shown in `pg_stat_activity`. */
  readonly applicationName: string;
  /** The number of connections. */
  readonly poolSize: number;
  /** The time that the server lets one statement run. */
  readonly statementTimeoutMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  readonly logger?: Pick<Logger, 'info'> | undefined;
}

const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** The limit for long statements, enough to rewrite or index a table with years of data. */
const LONG_STATEMENT_MS = 3_600_000;

/** By how much the client waits longer than the server's own timeout, so that it gives up only if the server cannot. */
const SILENCE_MARGIN_MS = 15_000;

/** The delay that finds a peer which vanished between two statements within a minute. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** Throws SettingsError or DatabaseError, neither with the password. */
export async function openPostgres(options: PostgresOptions): Promise<DatabaseHandle> {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options;
  const where = locate(options.url);
  const types = new pg.TypeOverrides();
  for (const [oid, parse] of Object.entries(PARSERS)) types.setTypeParser(Number(oid), parse);
  let readOnly: ReadOnly | null = null;
  // The pool waits for this, although its types do not say so.
  const prepare: (client: pg.ClientBase) => unknown = async (client) => {
    readOnly = await prepareSession(client, statementTimeoutMs, where);
  };
  const pool = new pg.Pool({
    application_name: options.applicationName,
    max: options.poolSize,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types,
    Client: boundedClient({
      connectTimeoutMs,
      silenceMs: statementTimeoutMs + SILENCE_MARGIN_MS,
      readUrl: () => readUrlAgain(options),
    }),
    onConnect: prepare,
  });
  // Without a listener, an idle connection that is lost would end the process. The pool replaces it.
  pool.on('error', (error) => {
    options.logger?.info({ database: where, error: error.message }, 'idle database connection lost');
  });
  try {
    (await pool.connect()).release();
  } catch (error) {
    await pool.end();
    throw describeDatabaseError(error, { where, role: options.role }) ?? error;
  }
  const root = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return {
    db: root.withSchema(SCHEMA_NAME),
    kind: 'postgres',
    describe: where,
    readOnly,
    runLong: async (work) => {
      const long = await openPostgres({ ...options, poolSize: 1, statementTimeoutMs: LONG_STATEMENT_MS });
      try {
        return await work(long.db);
      } finally {
        await long.close();
      }
    },
    close: async () => {
      await root.destroy();
      // kysely ends the pool only if it has run a query.
      if (!pool.ended) await pool.end();
    },
  };
}

/** Returns the URL as it is now; as it was, if it cannot be read, because its file may be about to be replaced. */
function readUrlAgain({ url, readUrl }: PostgresOptions): string {
  try {
    return readUrl?.() ?? url;
  } catch (error) {
    if (error instanceof SettingsError) return url;
    throw error;
  }
}

/** The oldest version of Postgres whose features the migrations use. */
const OLDEST_MAJOR = 15;

/** The longest wait for a lock: beyond it a session elsewhere is stuck, which is not contention. */
const LOCK_TIMEOUT_MS = 30_000;

/** No transaction here waits for anything but the database: one that is idle for long belongs to a paused process. */
const IDLE_IN_TRANSACTION_MS = 60_000;

/** The encodings that can represent every character of a name or tag. */
const ENCODINGS = ['UTF8', 'SQL_ASCII'];

interface Facts {
  readonly version: string;
  readonly encoding: string;
  readonly user: string;
  readonly reason: ReadOnly['reason'] | null;
}

/**
 * Gives a new session the settings that this program relies on, by query, because connection poolers refuse startup
 * parameters. Returns why it cannot write, if so. Throws DatabaseError for a server that cannot be used.
 */
async function prepareSession(
  client: pg.ClientBase,
  statementTimeoutMs: number,
  where: string,
): Promise<ReadOnly | null> {
  const settings = {
    statement_timeout: `${statementTimeoutMs}`,
    lock_timeout: `${LOCK_TIMEOUT_MS}`,
    idle_in_transaction_session_timeout: `${IDLE_IN_TRANSACTION_MS}`,
    // The program's statements are short: compiling one takes longer than running it.
    jit: 'off',
    // The parsers of values read these formats.
    timezone: 'UTC',
    datestyle: 'ISO',
    bytea_output: 'hex',
    // Lists are sent as arrays, some of which contain nulls.
    array_nulls: 'on',
  };
  const { rows } = await client.query<Facts>(
    // Committed data survives a crash, whatever the server's default; a stronger choice of the operator
    // stays. A server that only reads for every user may recover by itself, e.g. once a full disk has room again.
    `select set_config(name, value, false),
            set_config('synchronous_commit', case current_setting('synchronous_commit')
              when 'off' then 'on' else current_setting('synchronous_commit') end, false),
            current_setting('server_version_num') as version, current_setting('server_encoding') as encoding,
            current_user::text as user,
            case when pg_is_in_recovery() then 'standby'
              when current_setting('transaction_read_only') = 'off' then null
              -- The view reads every setting of the server, which takes milliseconds.
              when (select source from pg_settings where name = 'default_transaction_read_only')
                in ('user', 'database user', 'client') then 'user'
              else 'server' end as reason
       from unnest($1::text[], $2::text[]) as setting (name, value)`,
    [Object.keys(settings), Object.values(settings)],
  );
  const { version, encoding, user, reason } = rows[0] as Facts;
  const major = Math.floor(Number(version) / 10_000);
  if (major < OLDEST_MAJOR) {
    throw new DatabaseError('database_too_old', `The database at ${where} runs Postgres ${major}`, {
      hint: `use a server of Postgres ${OLDEST_MAJOR} or newer`,
    });
  }
  if (!ENCODINGS.includes(encoding)) {
    throw new DatabaseError('database_refused', `The database at ${where} is encoded in ${encoding}`, {
      hint: `names may contain any character: create the database again with encoding 'UTF8' (template template0)`,
    });
  }
  return reason === null ? null : { reason, user };
}

/** Returns `host:port/name` as pg will use it. Its own errors repeat the URL. */
/** Returns `host:port/name` of a URL. Throws SettingsError. */
export function locate(connectionString: string): string {
  try {
    const { host, port, database } = new pg.Client({ connectionString });
    return `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
  } catch (error) {
    const [message, hint] =
      error instanceof Error && 'syscall' in error
        ? [
            `names a certificate file that cannot be read: ${error.message}`,
            'correct the path of sslrootcert, sslcert or sslkey, or let this user read the file',
          ]
        : ['is not a valid connection URL', 'in user and password, percent-encode @ : / ? # and spaces'];
    throw new SettingsError(`DATABASE_URL ${message}`, { hint });
  }
}

/**
 * Returns a pg client class whose every wait ends, even if the server or the network in between falls silent: a
 * connection that answers too late is destroyed, and its queries fail as lost. (pg's own `query_timeout` would return
 * the busy connection to the pool; the pool's `connectionTimeoutMillis` would also fail those who merely wait for a
 * free connection.) Supports queries by promise only.
 */
export function boundedClient({
  connectTimeoutMs,
  silenceMs,
  readUrl,
}: {
  readonly connectTimeoutMs: number;
  /** The time that a query may stay unanswered, above the server's own statement timeout. */
  readonly silenceMs: number;
  readonly readUrl: () => string;
}): typeof pg.Client {
  return class BoundedClient extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super({ ...config, connectionString: readUrl(), connectionTimeoutMillis: connectTimeoutMs });
      // An error on a checked-out but idle connection would have no listener and end the process; the next
      // query reports the loss.
      this.on('error', () => {});
      // Without a password, say, the driver gives up and leaves the server to wait for it, a minute long.
      connectionOf(this).on('error', () => connectionOf(this).stream.destroy());
      const query = this.query.bind(this) as (...args: readonly unknown[]) => Promise<unknown>;
      const bounded = (...args: readonly unknown[]): Promise<unknown> => {
        const timer = setTimeout(() => connectionOf(this).stream.destroy(), silenceMs);
        return query(...args).finally(() => clearTimeout(timer));
      };
      this.query = bounded as typeof this.query;
    }
  };
}

function connectionOf(client: pg.Client): EventEmitter & { readonly stream: Socket } {
  return (client as pg.Client & { connection: EventEmitter & { stream: Socket } }).connection;
}
