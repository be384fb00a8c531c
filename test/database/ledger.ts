import { type Kysely, type RawBuilder, sql } from 'kysely';
import { afterAll, beforeAll } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import type { Schema } from '../../src/database/schema.ts';
import { type LoadResult, loadBatch } from '../../src/ledger/load.ts';
import type { Cell, CellAnswer } from '../../src/usage/cell.ts';
import { createClockDatabase } from '../support/clock-database.ts';
import { copyEmbeddedDatabase, createTestDatabase, type TestDatabase } from '../support/databases.ts';

export const INSTANCE = '5c0000000000000000000001';
export const RUN_1 = '00000000-0000-4000-8000-000000000001';
export const RUN_2 = '00000000-0000-4000-8000-000000000002';
export const RUN_3 = '00000000-0000-4000-8000-000000000003';

export interface Ledger {
  readonly db: Kysely<Schema>;
  /** For connections of one's own; of the embedded database there are none. */
  readonly url: string;
  /** An organization nobody else uses. */
  newOrg(): Promise<string>;
  /** The rows of a query as plain objects. */
  readonly ask: (query: RawBuilder<unknown>) => Promise<object[]>;
  /** Loads a batch, of RUN_1 unless told. */
  readonly load: (answers: readonly CellAnswer[], runId?: string) => Promise<LoadResult>;
  /** Closes the connections and leaves the database, for a program of its own. */
  closeHandle(): Promise<void>;
  close(): Promise<void>;
}

/** A database with the schema at head and one instance; one that was made for it, if it is given. */
export async function openLedger(kind: 'postgres' | 'embedded', made?: TestDatabase): Promise<Ledger> {
  const { url, remove } = await createPlace(kind, made);
  const handle: DatabaseHandle = await createDatabase({ url, applicationName: 'ledger test', poolSize: 6 });
  const { db } = handle;
  await sql`insert into losant_usage.instances (instance_id, api_url, tracked_from)
    values (${INSTANCE}, 'https://api.example.com', '2026-11-01')`.execute(db);
  let orgs = 0;
  let isOpen = true;
  const closeHandle = async () => {
    if (isOpen) await handle.close();
    isOpen = false;
  };
  return {
    db,
    url,
    newOrg: async () => {
      orgs += 1;
      const orgId = `5d${String(orgs).padStart(22, '0')}`;
      await sql`insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
        values (${orgId}, ${INSTANCE}, 'Acme', now(), now())`.execute(db);
      return orgId;
    },
    ask: (query) => rowsOf(db, query),
    load: (answers, runId = RUN_1) => loadBatch(db, { answers, quarantined: [] }, { runId, lease: null }),
    closeHandle,
    close: async () => {
      await closeHandle();
      await remove();
    },
  };
}

/**
 * A ledger for the tests of a file or a group, which is there as long as they run; the clock of its database
 * is stopped if a time is given.
 */
export function useLedger({
  kind = 'postgres',
  stoppedAt,
}: {
  readonly kind?: 'postgres' | 'embedded';
  readonly stoppedAt?: string;
} = {}): Ledger {
  let opened: Ledger | undefined;
  const current = (): Ledger => {
    if (opened === undefined) throw new Error('the ledger is there for tests and hooks alone');
    return opened;
  };
  beforeAll(async () => {
    const clock = stoppedAt === undefined ? undefined : await createClockDatabase();
    await clock?.stopClock(Date.parse(stoppedAt ?? ''));
    opened = await openLedger(kind, clock);
  });
  afterAll(() => current().close());
  return {
    get db() {
      return current().db;
    },
    get url() {
      return current().url;
    },
    newOrg: () => current().newOrg(),
    ask: (query) => current().ask(query),
    load: (answers, runId) => current().load(answers, runId),
    closeHandle: () => current().closeHandle(),
    close: () => current().close(),
  };
}

async function createPlace(kind: 'postgres' | 'embedded', made: TestDatabase | undefined) {
  if (kind === 'embedded' && made === undefined) {
    const folder = await copyEmbeddedDatabase();
    return { url: folder.url, remove: () => Promise.resolve(folder.remove()) };
  }
  const database = made ?? (await createTestDatabase());
  return { url: database.url, remove: () => database.drop() };
}

/** Does what only the program may: changes of the ledger, of tracking and of the record. */
export async function asProgram<T>(
  db: Kysely<Schema>,
  work: (trx: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  const run = async (trx: Kysely<Schema>) => {
    await sql`select set_config('losant_usage.program', 'on', true)`.execute(trx);
    return await work(trx);
  };
  return db.isTransaction ? await run(db) : await db.transaction().execute(run);
}

/** Removes every organization with all that hangs on it, as the program would: nothing is put on record. */
export async function clearOrganizations(db: Kysely<Schema>): Promise<void> {
  await asProgram(db, async (trx) => {
    const tables = [
      'coverage',
      'usage_days',
      'payload_sources',
      'tracking',
      'organization_history',
      'organizations',
    ];
    for (const table of tables) await sql`delete from ${sql.table(`losant_usage.${table}`)}`.execute(trx);
  });
}

/** Tracks streams of an organization on days given as a multirange, e.g. `{[2026-11-01,)}`. */
export async function addTracking(
  db: Kysely<Schema>,
  orgId: string,
  { streams, days }: { readonly streams: readonly string[]; readonly days: string },
): Promise<void> {
  await asProgram(db, (trx) =>
    sql`insert into losant_usage.tracking (org_id, stream, tracked_days)
      select ${orgId}, stream, ${days}::datemultirange from unnest(${streams}::text[]) as stream`.execute(
      trx,
    ),
  );
}

/** A row of the ledger for a test to begin with. */
export interface GivenCell {
  readonly day: string;
  readonly stream?: string;
  readonly standing: Cell['standing'];
  /** Without it, none where it is all right, and `given` otherwise. */
  readonly reason?: string;
  readonly isReported?: boolean;
  /** Of an accepted cell; of others their standing says so. */
  readonly isStored?: boolean;
  readonly verifiedAt?: string | null;
  readonly nextReadAt?: string | null;
  readonly attempts?: number;
}

const STORED: readonly string[] = ['final', 'stored', 'in_doubt'];

/** Adds rows to the ledger as a run would have left them, without numbers. */
export async function addCells(
  db: Kysely<Schema>,
  orgId: string,
  cells: readonly GivenCell[],
): Promise<void> {
  if (cells.length === 0) return;
  const rows = cells.map(({ day, stream = 'device_counts', standing, ...cell }) => {
    const isStored = standing === 'accepted' ? cell.isStored === true : STORED.includes(standing);
    const isRight = standing === 'final' || standing === 'stored';
    return {
      usage_date: day,
      stream,
      org_id: orgId,
      standing,
      is_stored: isStored,
      is_reported: cell.isReported ?? isStored,
      revision: isStored ? 1 : 0,
      first_loaded_at: isStored ? sql<string>`now()` : null,
      finalized_at: standing === 'final' ? sql<string>`now()` : null,
      verified_at: cell.verifiedAt ?? (standing === 'final' ? `${day}T23:59:59Z` : null),
      next_read_at: cell.nextReadAt ?? null,
      attempts: cell.attempts ?? 0,
      reason: cell.reason ?? (isRight ? null : 'given'),
      message: cell.reason ?? (isRight ? null : 'given'),
    };
  });
  await asProgram(db, (trx) => trx.insertInto('coverage').values(rows).execute());
}

/** The rows of a query as plain objects. */
export async function rowsOf(db: Kysely<Schema>, query: RawBuilder<unknown>): Promise<object[]> {
  const { rows } = await query.execute(db);
  return rows.map((row) => ({ ...(row as object) }));
}

export const devicesOf = (db: Kysely<Schema>, orgId: string) =>
  rowsOf(
    db,
    sql`select usage_date, created, deleted, total, revision, run_id
      from losant_usage.device_counts where org_id = ${orgId} order by usage_date`,
  );

export const sourcesOf = (db: Kysely<Schema>, orgId: string) =>
  rowsOf(
    db,
    sql`select payload_type, source, count, revision
      from losant_usage.payload_sources where org_id = ${orgId} order by payload_type, source`,
  );

export const coverageOf = (db: Kysely<Schema>, orgId: string) =>
  rowsOf(
    db,
    sql`select usage_date, stream, standing, is_reported, revision, verified_at, attempted_at, attempts,
        next_read_at, reason, encode(response_sha256, 'hex') as response_sha256, run_id
      from losant_usage.coverage where org_id = ${orgId} order by usage_date, stream`,
  );

export const revisionsOf = (db: Kysely<Schema>, orgId: string) =>
  rowsOf(
    db,
    sql`select stream, usage_date, revision, key, old, new, run_id
      from losant_usage.revisions where org_id = ${orgId} order by id`,
  );
