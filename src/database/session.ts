import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { DatabaseError } from '../errors.ts';
import type { DatabaseHandle } from './handle.ts';
import type { Schema } from './schema.ts';

/** A session of one's own responds in milliseconds. */
const OWN_SESSION_MS = 2_000;

/**
 * Throws DatabaseError if a pooler lends sessions for one transaction at a time: then what the program sets for its
 * session is lost. Such a pooler lends a connection the session that was returned last, or the next one in turn. So
 * either the session of a connection changes by itself, or another connection gets it, or waits because it is taken.
 */
export async function requireOwnSession({ db, leaseDb, kind, label }: DatabaseHandle): Promise<void> {
  if (kind === 'embedded') return;
  // Both are logged in before the first reading.
  await readSession(leaseDb);
  const sessions = await db.connection().execute(async (connection) => {
    const before = [await readSession(connection), await readSession(connection)];
    const other = await leaseDb.transaction().execute(async (trx) => {
      const session = await readSession(trx);
      const reading = readSession(connection);
      const after = await Promise.race([reading, sleep(OWN_SESSION_MS, null, { ref: false })]);
      return { session, reading, after };
    });
    await other.reading;
    return { own: new Set([...before, other.after]), other: other.session };
  });
  if (sessions.own.size === 1 && !sessions.own.has(sessions.other)) return;
  throw new DatabaseError('database_refused', `A pooler at ${label} lends sessions for one transaction only`, {
    hint: 'connect directly, or through a pooler in session mode: timeouts and time zone are set once per session',
  });
}

async function readSession(db: Kysely<Schema>): Promise<number | null> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]?.pid ?? null;
}
