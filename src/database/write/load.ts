import { type Kysely, sql } from 'kysely';
import type { Fact, Stream } from '../../usage/streams/stream.ts';
import { cellId, lockCells, writeCells } from './coverage.ts';
import { type RowCounts, readFacts, replaceFacts } from './numbers.ts';
import { type LeaseHold, requireLease } from './lease.ts';
import { type QuarantinedBody, recordQuarantine, resolveQuarantine } from './quarantine.ts';
import type { Schema } from '../schema.ts';
import { type CellAnswer, type CellResult, type Settlement, type StoredCell, settleCell } from '../../usage/settle.ts';

export interface Batch {
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
}

export interface LoadOptions {
  readonly runId: string;
  /** The lease the load depends on; null for a backfill, which runs beside others. */
  readonly lease: LeaseHold | null;
}

/** What became of one cell of a batch. */
export interface LoadedCell {
  readonly answer: CellAnswer;
  readonly result: CellResult;
  readonly error: Settlement['error'];
  /** Whether numbers that were held before have changed. */
  readonly isRestated: boolean;
  /** Whether it was final before. */
  readonly wasFinal: boolean;
}

export interface LoadResult {
  readonly cells: readonly LoadedCell[];
  /** Changes by table name. */
  readonly rows: Readonly<Record<string, RowCounts>>;
}

/**
 * Loads a batch in one transaction: ledger, rows and revisions together or not
 * at all. The ledger's rows come first, in key order, and are the cells' locks;
 * an answer older than what a cell holds changes nothing. So a batch may be
 * loaded twice, in any order, and beside others.
 * Throws HeldError `lease_lost` if another process has taken over.
 */
export async function loadBatch(db: Kysely<Schema>, batch: Batch, options: LoadOptions): Promise<LoadResult> {
  return await db.transaction().execute(async (trx) => {
    await sql`select set_config('losant_usage.run_id', ${options.runId}, true)`.execute(trx);
    if (options.lease) await requireLease(trx, options.lease);
    const answers = [...batch.answers].sort(byKey);
    const stored = await lockCells(trx, answers.map(keyOfAnswer));
    const held = await readHeldFacts(trx, answers, stored);
    const settled = answers.map((answer) => settle(answer, stored, held));
    await writeCells(trx, settled.flatMap(toLedgerRow), options.runId);
    const rows = await replaceChangedFacts(trx, settled, options.runId);
    await recordQuarantine(trx, batch.quarantined, options.runId);
    await resolveQuarantine(
      trx,
      settled.filter(isRecovered).map(({ answer }) => keyOfAnswer(answer)),
    );
    return { cells: settled.map(toLoadedCell), rows };
  });
}

interface SettledAnswer {
  readonly answer: CellAnswer;
  readonly before: StoredCell | null;
  readonly held: readonly Fact[];
  readonly settlement: Settlement;
}

function settle(
  answer: CellAnswer,
  stored: ReadonlyMap<string, StoredCell | null>,
  heldFacts: ReadonlyMap<string, readonly Fact[]>,
): SettledAnswer {
  const id = cellId(keyOfAnswer(answer));
  const before = stored.get(id) ?? null;
  const held = heldFacts.get(id) ?? [];
  return { answer, before, held, settlement: settleCell(before, held, answer) };
}

/** Only a cell that ever held numbers can have rows. */
async function readHeldFacts(
  trx: Kysely<Schema>,
  answers: readonly CellAnswer[],
  stored: ReadonlyMap<string, StoredCell | null>,
): Promise<Map<string, Fact[]>> {
  const facts = new Map<string, Fact[]>();
  for (const [stream, group] of byStream(answers, (answer) => answer.stream)) {
    const cells = group.filter((answer) => (stored.get(cellId(keyOfAnswer(answer)))?.revision ?? 0) > 0);
    for (const [id, rows] of await readFacts(trx, stream, cells)) {
      const [day = '', orgId = ''] = id.split(' ');
      facts.set(cellId({ day, orgId, stream: stream.name }), rows);
    }
  }
  return facts;
}

async function replaceChangedFacts(
  trx: Kysely<Schema>,
  settled: readonly SettledAnswer[],
  runId: string,
): Promise<Record<string, RowCounts>> {
  const rows: Record<string, RowCounts> = {};
  for (const [stream, group] of byStream(settled, ({ answer }) => answer.stream)) {
    const changes = group.flatMap(({ answer, held, settlement: { facts, cell } }) =>
      facts && cell ? [{ day: answer.day, orgId: answer.orgId, revision: cell.revision, held, facts }] : [],
    );
    const counts = await replaceFacts(trx, { stream, changes, runId });
    const equal = group.filter(({ settlement }) => settlement.result === 'unchanged');
    rows[stream.name] = {
      ...counts,
      unchanged: counts.unchanged + equal.reduce((count, { held }) => count + held.length, 0),
    };
  }
  return rows;
}

function toLedgerRow({ answer, settlement }: SettledAnswer) {
  return settlement.cell ? [{ ...keyOfAnswer(answer), cell: settlement.cell }] : [];
}

function toLoadedCell({ answer, before, settlement }: SettledAnswer): LoadedCell {
  const isHeld = before?.state === 'loaded' || before?.state === 'final';
  return {
    answer,
    result: settlement.result,
    error: settlement.error,
    isRestated: isHeld && settlement.facts !== null,
    wasFinal: before?.state === 'final',
  };
}

function isRecovered({ before, settlement }: SettledAnswer): boolean {
  return before?.error != null && settlement.cell !== null && settlement.cell.error === null;
}

function byStream<T>(items: readonly T[], streamOf: (item: T) => Stream): Map<Stream, T[]> {
  return Map.groupBy(items, streamOf);
}

function keyOfAnswer({ orgId, stream, day }: CellAnswer) {
  return { orgId, stream: stream.name, day };
}

/** Table by table in key order. */
function byKey(a: CellAnswer, b: CellAnswer): number {
  const [x, y] = [cellId(keyOfAnswer(a)), cellId(keyOfAnswer(b))];
  if (x === y) return 0;
  return x < y ? -1 : 1;
}
