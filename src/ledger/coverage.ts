/** Rows of `coverage`, the ledger's cells: locked, inserted and updated, always in key order. */
import { type Kysely, type Selectable, sql } from 'kysely';
import { unnested } from '../database/expressions.ts';
import type { Coverage, Instant, Schema } from '../database/schema.ts';
import { type AppliedCell, type Cell, type CellKey, cellId, compareText } from '../usage/cell.ts';
import type { Fact } from '../usage/streams/stream.ts';
import { type NewCell, type RowCounts, readNumbers, writeNumbers } from './numbers.ts';

const KEY_TYPES = { usage_date: 'date', stream: 'text', org_id: 'text' } as const;

/** The Postgres types of the columns that a cell is written to as they are. */
const TYPES = {
  standing: 'losant_usage.standing',
  is_stored: 'boolean',
  is_reported: 'boolean',
  omissions: 'smallint',
  revision: 'integer',
  attempts: 'integer',
  verified_at: 'timestamptz',
  next_read_at: 'timestamptz',
  attempted_at: 'timestamptz',
  reason: 'text',
  message: 'text',
} as const;
const CHANGED = Object.keys(TYPES) as (keyof typeof TYPES)[];

type Row = Pick<Selectable<Coverage>, keyof typeof KEY_TYPES | keyof typeof TYPES> & {
  readonly was_final: boolean;
  readonly sha256: string | null;
};

/** `keysOf` returns cells as a table `k` of a statement. */
export function keysOf(keys: readonly CellKey[]) {
  const rows = keys.map(({ day, stream, orgId }) => ({ usage_date: day, stream, org_id: orgId }));
  return unnested('k', rows, KEY_TYPES);
}

type LockedCell = NonNullable<AppliedCell['before']>;

/** The locked rows of cells, and their numbers. */
export interface LockedCells {
  /** The rows by {@link cellId}. */
  readonly rows: ReadonlyMap<string, LockedCell>;
  readonly numbersOf: (key: CellKey) => readonly Fact[];
}

/**
 * `changeCells` locks cells, and writes what `decide` returns of them and of no others: rows, and the numbers that
 * differ. If another transaction has inserted one meanwhile, all locks are released and taken again, so that whoever
 * waits for one has none that comes later. Returns the cells, and the number of changed rows by stream.
 */
export async function changeCells(
  trx: Kysely<Schema>,
  { keys, runId }: { readonly keys: readonly CellKey[]; readonly runId: string | null },
  decide: (locked: LockedCells) => AppliedCell[] | Promise<AppliedCell[]>,
): Promise<{ cells: AppliedCell[]; counts: Record<string, RowCounts> }> {
  const distinct = new Map(keys.map((key) => [cellId(key), key]));
  const sorted = [...distinct.keys()].sort(compareText).map((id) => distinct.get(id) as CellKey);
  for (;;) {
    await sql`savepoint cells`.execute(trx);
    const rows = await lockCells(trx, sorted);
    const isStored = (key: CellKey) => rows.get(cellId(key))?.isStored === true;
    const numbers = await readNumbers(trx, sorted.filter(isStored));
    const cells = await decide({ rows, numbersOf: (key) => (isStored(key) ? numbers(key) : []) });
    const written = cells.filter((cell): cell is NewCell => cell.cell !== null);
    const added = written.filter(({ before }) => before === null);
    if ((await insertCells(trx, added, runId)) === added.length) {
      // A number counts as final before its change only if its cell was final when it was locked.
      if (written.some(({ facts, cell }) => facts !== null && cell.revision > 1)) {
        await sql`select set_config('losant_usage.locked_at', clock_timestamp()::text, true)`.execute(trx);
      }
      await updateCells(
        trx,
        written.filter(({ before }) => before !== null),
        runId,
      );
      return { cells, counts: await writeNumbers(trx, written) };
    }
    await sql`rollback to savepoint cells`.execute(trx);
  }
}

/** `lockCells` returns the existing rows of these cells, locked in the order of `keys`. */
async function lockCells(trx: Kysely<Schema>, keys: readonly CellKey[]): Promise<Map<string, LockedCell>> {
  // Rows are looked up one by one through the index: a join would be planned by statistics, which a table
  // just filled does not have.
  const rows = await trx
    .selectFrom(keysOf(keys))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom('coverage as row')
          .selectAll()
          .whereRef('row.usage_date', '=', 'k.usage_date')
          .whereRef('row.stream', '=', 'k.stream')
          .whereRef('row.org_id', '=', 'k.org_id')
          .forUpdate()
          .as('c'),
      (join) => join.onTrue(),
    )
    .selectAll('c')
    .execute();
  return new Map(
    rows.map((row) => [cellId({ orgId: row.org_id, stream: row.stream, day: row.usage_date }), toCell(row)]),
  );
}

/** `insertCells` adds new cells and returns how many: another transaction was first for the others. */
async function insertCells(
  trx: Kysely<Schema>,
  cells: readonly NewCell[],
  runId: string | null,
): Promise<number> {
  if (cells.length === 0) return 0;
  const { numInsertedOrUpdatedRows = 0n } = await trx
    .insertInto('coverage')
    .columns([
      'usage_date',
      'stream',
      'org_id',
      ...CHANGED,
      'response_sha256',
      'run_id',
      'first_loaded_at',
      'finalized_at',
    ])
    .expression((eb) =>
      eb
        .selectFrom(rowsOf(cells))
        .select(['usage_date', 'stream', 'org_id', ...CHANGED])
        .select([
          sql<Buffer | null>`decode(sha256, 'hex')`.as('response_sha256'),
          sql<string | null>`${runId}::uuid`.as('run_id'),
          // The time is taken under the lock, because a closing that this transaction waited for did not know
          // the row.
          sql<Instant | null>`case when is_stored then clock_timestamp() end`.as('first_loaded_at'),
          sql<Instant | null>`case when was_final then clock_timestamp() end`.as('finalized_at'),
        ])
        .orderBy('usage_date')
        .orderBy('stream')
        .orderBy('org_id'),
    )
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  return Number(numInsertedOrUpdatedRows);
}

async function updateCells(
  trx: Kysely<Schema>,
  cells: readonly NewCell[],
  runId: string | null,
): Promise<void> {
  if (cells.length === 0) return;
  await trx
    .updateTable('coverage as c')
    .from(rowsOf(cells))
    .set((eb) => ({
      ...Object.fromEntries(CHANGED.map((column) => [column, eb.ref(`n.${column}`)])),
      response_sha256: sql<Buffer | null>`decode(n.sha256, 'hex')`,
      run_id: runId,
      first_loaded_at: sql<Instant | null>`coalesce(c.first_loaded_at, case when n.is_stored then clock_timestamp() end)`,
      finalized_at: sql<Instant | null>`coalesce(c.finalized_at, case when n.was_final then clock_timestamp() end)`,
    }))
    .whereRef('c.usage_date', '=', 'n.usage_date')
    .whereRef('c.stream', '=', 'n.stream')
    .whereRef('c.org_id', '=', 'n.org_id')
    .execute();
}

/** `rowsOf` returns cells as a table `n` of a statement. */
function rowsOf(cells: readonly NewCell[]) {
  const rows = cells.map(({ day, stream, orgId, cell }): Row => {
    const { standing, isStored, isReported, omissions, revision, attempts, reason, message } = cell;
    return {
      ...{ usage_date: day, stream, org_id: orgId, standing, is_stored: isStored, is_reported: isReported },
      ...{ omissions, revision, attempts, reason, message, was_final: cell.wasFinal },
      verified_at: instantOf(cell.verifiedAtMs),
      next_read_at: instantOf(cell.nextReadAtMs),
      attempted_at: instantOf(cell.attemptedAtMs),
      sha256: cell.sha256,
    };
  });
  return unnested('n', rows, { ...KEY_TYPES, ...TYPES, sha256: 'text', was_final: 'boolean' });
}

function toCell(row: Selectable<Coverage>): LockedCell {
  return {
    standing: row.standing as Cell['standing'],
    isStored: row.is_stored,
    isReported: row.is_reported,
    omissions: row.omissions,
    revision: row.revision,
    verifiedAtMs: msOf(row.verified_at),
    attemptedAtMs: msOf(row.attempted_at),
    attempts: row.attempts,
    nextReadAtMs: msOf(row.next_read_at),
    wasFinal: row.finalized_at !== null,
    reason: row.reason,
    message: row.message,
    sha256: row.response_sha256?.toString('hex') ?? null,
    runId: row.run_id,
  };
}

function msOf(value: Instant | null): number | null {
  return value === null ? null : Date.parse(value);
}

function instantOf(ms: number | null): Instant | null {
  return ms === null ? null : new Date(ms).toISOString();
}
