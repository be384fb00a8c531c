import type pg from 'pg';
import { DatabaseError } from '../errors.ts';
import type { ReadOnly } from './handle.ts';

export interface SessionOptions {
  readonly statementTimeoutMs: number;
  /** The name of the database, for messages. */
  readonly where: string;
}

/** The oldest version of Postgres whose features the migrations use. */
const OLDEST_MAJOR = 15;

/** The longest wait for a lock: beyond it a session elsewhere is stuck, which is not contention. */
const LOCK_TIMEOUT_MS = 30_000;

/**
 * The longest idle time of a transaction. No transaction here waits for anything but the database, so
 * an idle one belongs to a paused process.
 */
const IDLE_IN_TRANSACTION_MS = 60_000;

/** The encodings that can represent every character of a name or tag. */
const ENCODINGS = ['UTF8', 'SQL_ASCII'];

interface Facts {
  readonly version: string;
  readonly encoding: string;
  readonly user: string;
  readonly isStandby: boolean;
  readonly onlyReads: boolean;
  /** Where the default for transactions comes from, as `pg_settings` says. */
  readonly readsBy: string;
}

/**
 * Gives a new session the settings that this program relies on, whatever the server's defaults. They
 * are set by query, because connection poolers refuse startup parameters. Throws DatabaseError for a
 * server that cannot be used.
 */
export async function prepareSession(
  client: pg.ClientBase,
  { statementTimeoutMs, where }: SessionOptions,
): Promise<{ readOnly: ReadOnly | null }> {
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
    // stays.
    `select set_config(name, value, false),
            set_config('synchronous_commit', case current_setting('synchronous_commit')
              when 'off' then 'on' else current_setting('synchronous_commit') end, false),
            current_setting('server_version_num') as version, current_setting('server_encoding') as encoding,
            current_user::text as user, pg_is_in_recovery() as "isStandby",
            current_setting('transaction_read_only') = 'on' as "onlyReads",
            (select source from pg_settings where name = 'default_transaction_read_only') as "readsBy"
       from unnest($1::text[], $2::text[]) as setting (name, value)`,
    [Object.keys(settings), Object.values(settings)],
  );
  return { readOnly: judge(rows[0] as Facts, where) };
}

function judge(
  { version, encoding, user, isStandby, onlyReads, readsBy }: Facts,
  where: string,
): ReadOnly | null {
  if (!(Number(version) >= OLDEST_MAJOR * 10_000)) {
    const major = Math.floor(Number(version) / 10_000);
    throw new DatabaseError('database_too_old', `The database at ${where} runs Postgres ${major}`, {
      hint: `use a server of Postgres ${OLDEST_MAJOR} or newer`,
    });
  }
  if (!ENCODINGS.includes(encoding)) {
    throw new DatabaseError('database_refused', `The database at ${where} is encoded in ${encoding}`, {
      hint: `names may contain any character: create the database again with encoding 'UTF8' (template template0)`,
    });
  }
  if (isStandby) return { reason: 'standby', user };
  if (!onlyReads) return null;
  // What the server says of every user may pass by itself, e.g. once a full disk has room again.
  return { reason: readsBy.includes('user') || readsBy === 'client' ? 'user' : 'server', user };
}
