/** Streams that speak for or against the zeros of another: which cells are looked at, and what follows for them. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CellKey, cellId, isHeldState } from '../usage/cell.ts';
import type { CellAnswer, Settlement, StoredCell, Witness } from '../usage/settlement.ts';
import { streamNamed, streams } from '../usage/streams/catalog.ts';
import type { Fact } from '../usage/streams/stream.ts';
import { settleByWitness } from '../usage/witness.ts';
import { columnsOf, type LockedCell } from './coverage.ts';
import type { HeldFacts, SettledCell } from './load.ts';

interface WitnessCell {
  readonly before: StoredCell | null;
  readonly held: readonly Fact[];
  readonly settlement: Settlement;
}

/** The cells for whose zeros an answer of the batch is the witness. */
export function dependentKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap(({ orgId, day, stream }) =>
    streams
      .filter(({ zeroWitness }) => zeroWitness?.stream === stream.name)
      .map(({ name }) => ({ orgId, day, stream: name })),
  );
}

/** The witnesses of what the answers leave out. */
export function witnessKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap(({ orgId, day, stream, outcome }) => {
    const leavesOut =
      outcome.kind === 'missing' || (outcome.kind === 'values' && outcome.missingColumns.length > 0);
    return leavesOut && stream.zeroWitness ? [{ orgId, day, stream: stream.zeroWitness.stream }] : [];
  });
}

/** What is known of witnesses while a batch is settled, in key order. */
export class Witnesses {
  readonly #settled = new Map<string, WitnessCell>();
  readonly #stored: ReadonlyMap<string, StoredCell>;
  readonly #held: { readonly sum: (key: CellKey, metric: string) => number | null };
  readonly #untracked: ReadonlySet<string>;

  constructor(
    stored: ReadonlyMap<string, StoredCell>,
    held: { readonly sum: (key: CellKey, metric: string) => number | null },
    untracked: ReadonlySet<string>,
  ) {
    this.#stored = stored;
    this.#held = held;
    this.#untracked = untracked;
  }

  /** Witnesses that have no row and are not tracked: nobody collects them. By cell id. */
  static async readUntracked(
    trx: Kysely<Schema>,
    answers: readonly CellAnswer[],
    stored: ReadonlyMap<string, StoredCell>,
  ): Promise<Set<string>> {
    const keys = witnessKeys(answers).filter((key) => !stored.has(cellId(key)));
    if (keys.length === 0) return new Set();
    const [days, names, orgIds] = columnsOf(keys);
    const { rows } = await sql<{ day: string; stream: string; orgId: string }>`
      select k.usage_date as day, k.stream, k.org_id as "orgId"
      from unnest(${days}::date[], ${names}::text[], ${orgIds}::text[]) as k (usage_date, stream, org_id)
      where not exists (select from losant_usage.tracking t
        where t.org_id = k.org_id and t.stream = k.stream and k.usage_date <@ t.tracked_days)`.execute(trx);
    return new Set(rows.map(cellId));
  }

  add(key: CellKey, cell: WitnessCell): void {
    this.#settled.set(cellId(key), cell);
  }

  of({ stream, orgId, day }: CellAnswer): Witness {
    if (!stream.zeroWitness) return { kind: 'none' };
    const witness = streamNamed(stream.zeroWitness.stream);
    const key = { orgId, day, stream: witness.name };
    const id = cellId(key);
    const settled = this.#settled.get(id);
    if (settled) return toWitness(countAfter(settled));
    const stored = this.#stored.get(id);
    if (!stored) return { kind: this.#untracked.has(id) ? 'none' : 'unknown' };
    return toWitness(isHeldState(stored.state) ? this.#held.sum(key, witness.metrics[0] as string) : null);
  }
}

/** What the settled witnesses do to cells that are stored and not in the batch themselves. */
export function settleDependents(
  answers: readonly CellAnswer[],
  settled: readonly SettledCell[],
  stored: ReadonlyMap<string, LockedCell>,
  held: HeldFacts,
): SettledCell[] {
  const ids = new Set(settled.map(cellId));
  return settled.flatMap((cell, index) => {
    const { age, sentAtMs } = answers[index] as CellAnswer;
    const count = countAfter(cell);
    if (count === null) return [];
    const dependents = streams.filter(({ zeroWitness }) => zeroWitness?.stream === cell.stream);
    return dependents.flatMap((of): SettledCell[] => {
      const key = { orgId: cell.orgId, day: cell.day, stream: of.name };
      const before = stored.get(cellId(key));
      if (!before || ids.has(cellId(key))) return [];
      const facts = held(key, of);
      const settlement = settleByWitness(before, facts, { stream: of, count, age, atMs: sentAtMs });
      return settlement ? [{ ...key, of, before, held: facts, settlement }] : [];
    });
  });
}

/** The sum a cell holds after it was settled; null if it is not held. */
function countAfter({ before, held, settlement }: WitnessCell): number | null {
  const cell = settlement.cell ?? before;
  if (!cell || !isHeldState(cell.state)) return null;
  return (settlement.facts ?? held).reduce((sum, { values: [count = 0] }) => sum + count, 0);
}

function toWitness(count: number | null): Witness {
  return count === null ? { kind: 'unknown' } : { kind: 'counted', count };
}
