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
  readonly url: string;
  /** Reads the URL again for each new connection, so that a new password needs no restart. */
  readonly readUrl?: (() => string) | undefined;
  /** The role that the work needs, for the hint to a user who lacks a privilege. */
  readonly role: Role;
  /** The name shown in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly poolSize: number;
  readonly statementTimeoutMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  readonly logger?: Pick<Logger, 'info'> | undefined;
}

const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Enough to rewrite or index a table with years of data. */
const LONG_STATEMENT_MS = 3_600_000;

/** Added to the server's own timeout, so that the client gives up only if the server could not. */
const SILENCE_MARGIN_MS = 15_000;

/** So short that a peer that vanished between two statements is noticed within a minute. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** Several renewals of a lease fit into the time that it lasts. */
const RENEWAL_TIMEOUT_MS = 10_000;

/** Throws SettingsError or DatabaseError, without the password. */
export async function openPostgres(options: PostgresOptions): Promise<DatabaseHandle> {
  const where = describeTarget(options.url);
  let readOnly: ReadOnly | null = null;
  const pool = createPool(options, where, (reason) => {
    readOnly = reason;
  });
  const leasePool = createPool({ ...options, poolSize: 1, statementTimeoutMs: RENEWAL_TIMEOUT_MS }, where);
  try {
    (await pool.connect()).release();
  } catch (error) {
    await pool.end();
    // An error while a session begins always ends it. The severity is set here, because servers translate it.
    if (error instanceof Error && 'severity' in error) error.severity = 'FATAL';
    throw describeDatabaseError(error, { where, role: options.role }) ?? error;
  }
  const root = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  const leaseRoot = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: leasePool }) });
  const close = async () => {
    await Promise.all([root.destroy(), leaseRoot.destroy()]);
    // kysely ends a pool only if it has run a query.
    for (const each of [pool, leasePool]) if (!each.ended) await each.end();
  };
  return {
    db: root.withSchema(SCHEMA_NAME),
    leaseDb: leaseRoot.withSchema(SCHEMA_NAME),
    kind: 'postgres',
    label: where,
    get readOnly() {
      return readOnly;
    },
    runLong: async (work) => {
      await using long = await openPostgres({ ...options, poolSize: 1, statementTimeoutMs: LONG_STATEMENT_MS });
      return await work(long.db);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Creates a pool that opens connections on demand, and reports of each whether it can write. */
function createPool(options: PostgresOptions, where: string, onConnect?: (readOnly: ReadOnly | null) => void): pg.Pool {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options;
  const types = new pg.TypeOverrides();
  for (const [oid, parse] of Object.entries(PARSERS)) types.setTypeParser(Number(oid), parse);
  // The pool awaits this, although its types do not say so.
  const prepare: (client: pg.ClientBase) => unknown = async (client) => {
    const readOnly = await prepareSession(client, statementTimeoutMs, where);
    onConnect?.(readOnly);
  };
  const pool = new pg.Pool({
    application_name: options.applicationName,
    max: options.poolSize,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types,
    Client: createBoundedClient({
      connectTimeoutMs,
      silenceMs: statementTimeoutMs + SILENCE_MARGIN_MS,
      readUrl: () => readUrlAgain(options),
    }),
    onConnect: prepare,
  });
  // Without a listener, the loss of an idle connection would end the process. The pool replaces the connection.
  pool.on('error', (error) => {
    options.logger?.info({ database: where, error: error.message }, 'idle database connection lost');
  });
  return pool;
}

/** Keeps the last URL if its file cannot be read: it may be being replaced at that moment. */
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

/** A lock that takes longer is not contention: another session is stuck. */
const LOCK_TIMEOUT_MS = 30_000;

/** Transactions here wait only for the database, so one that is idle for long belongs to a suspended process. */
const IDLE_IN_TRANSACTION_MS = 60_000;

type Facts = Record<'version' | 'encoding' | 'user', string> & { reason: ReadOnly['reason'] | null };

/** The encodings that can represent every character of a name or tag. */
const ENCODINGS = ['UTF8', 'SQL_ASCII'];

/**
 * Sets what this program relies on in a new session by a query, because poolers reject startup parameters. Returns why
 * the session cannot write; null if it can. Throws DatabaseError for a server that cannot be used.
 */
async function prepareSession(client: pg.ClientBase, statementTimeoutMs: number, where: string) {
  const settings = {
    statement_timeout: `${statementTimeoutMs}`,
    lock_timeout: `${LOCK_TIMEOUT_MS}`,
    idle_in_transaction_session_timeout: `${IDLE_IN_TRANSACTION_MS}`,
    // Each statement and each pause of a transaction has its limit, and a load may wait for several locks.
    transaction_timeout: '0',
    // The pool closes idle connections.
    idle_session_timeout: '0',
    // The statement of a killed process ends too, instead of waiting for a lock that keeps others out.
    client_connection_check_interval: '5s',
    // After it has waited for a lock, a statement must see what was committed in the meantime.
    default_transaction_isolation: 'read committed',
    // Compiling one of the program's short statements takes longer than running it.
    jit: 'off',
    // The formats that the parsers read.
    timezone: 'UTC',
    datestyle: 'ISO',
    bytea_output: 'hex',
    extra_float_digits: '1',
    // Lists are sent as arrays, some of which contain nulls.
    array_nulls: 'on',
    // A migration is sent as a string, in which a backslash is only a backslash.
    standard_conforming_strings: 'on',
  };
  const { rows } = await client.query<Facts>(
    // Committed data must survive a crash, whatever the server's default; a stronger setting stays. A server that is
    // read-only for every user may recover, such as once a full disk has space again.
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
       from unnest($1::text[], $2::text[]) as setting (name, value)
       -- Servers before Postgres 17 lack one of them, and not every system can check connections.
       where current_setting(name, true) is not null
         and (name <> 'client_connection_check_interval' or version() like '%linux%')`,
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
    throw new DatabaseError('database_rejected', `The database at ${where} is encoded in ${encoding}`, {
      hint: `names may contain any character, so recreate the database with encoding 'UTF8' (template template0)`,
    });
  }
  return reason === null ? null : { reason, user };
}

/** Returns `host:port/name` as pg will use it. Throws SettingsError, because pg's own error would repeat the URL. */
export function describeTarget(connectionString: string): string {
  try {
    const { host, port, database } = new pg.Client({ connectionString });
    // Without a name in the URL, pg uses that of the user, which a container may not have.
    return `${host.includes(':') ? `[${host}]` : host}:${port}${database === undefined ? '' : `/${database}`}`;
  } catch (error) {
    const [message, hint] =
      error instanceof Error && 'syscall' in error
        ? [
            `names a certificate file that cannot be read: ${error.message}`,
            'correct the path of sslrootcert, sslcert or sslkey, or let this user read the file',
          ]
        : [
            'is not a valid connection URL',
            'percent-encode @ : / ? # % and spaces; with uselibpqcompat=true, sslmode=verify-ca needs sslrootcert',
          ];
    throw new SettingsError(`DATABASE_URL ${message}`, { hint });
  }
}

/**
 * Returns a pg client class that never waits forever, even if the server or the network falls silent: a connection
 * without a response in time is destroyed, and its queries fail as lost. (pg's own `query_timeout` would return the
 * busy connection to the pool; the pool's `connectionTimeoutMillis` would also fail callers that merely wait for a free
 * connection.) Supports queries by promise only.
 */
function createBoundedClient(bounds: {
  readonly connectTimeoutMs: number;
  /** The longest time without a response to a query, above the server's own statement timeout. */
  readonly silenceMs: number;
  readonly readUrl: () => string;
}): typeof pg.Client {
  const { connectTimeoutMs, silenceMs, readUrl } = bounds;
  return class BoundedClient extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super({ ...config, connectionString: readUrl(), connectionTimeoutMillis: connectTimeoutMs });
      // Without a listener, an error on a checked-out but idle connection would end the process. The next query
      // reports it, because pg's own error would not say why the connection was lost.
      let loss: Error | null = null;
      this.on('error', (error) => {
        loss ??= error;
      });
      // On some errors, such as a missing password, the driver gives up and leaves the server waiting for a minute.
      getConnection(this).on('error', () => getConnection(this).stream.destroy());
      const query = this.query.bind(this) as (...args: readonly unknown[]) => Promise<unknown>;
      const bounded = (...args: readonly unknown[]): Promise<unknown> => {
        const timer = setTimeout(() => getConnection(this).stream.destroy(), silenceMs);
        const result = query(...args).catch((error: unknown) => {
          throw loss ?? error;
        });
        return result.finally(() => clearTimeout(timer));
      };
      this.query = bounded as typeof this.query;
    }
  };
}

function getConnection(client: pg.Client): EventEmitter & { readonly stream: Socket } {
  return (client as pg.Client & { connection: EventEmitter & { stream: Socket } }).connection;
}
