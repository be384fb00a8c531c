import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { UsageDay } from '../../usage/day.ts';
import type { Fact, Stream } from '../../usage/streams/stream.ts';
import { SCHEMA_NAME } from '../connect/handle.ts';
import type { Schema } from '../schema.ts';
import { factKey, sameValues } from '../../usage/settle.ts';

/** A fact with the cell it belongs to. */
export interface PlacedFact extends Fact {
  readonly day: UsageDay;
  readonly orgId: string;
}

export interface RowCounts {
  inserted: number;
  updated: number;
  deleted: number;
  unchanged: number;
}

/** The rows of some cells of one stream, by cell (`day orgId`). */
export async function readFacts(
  trx: Kysely<Schema>,
  stream: Stream,
  cells: readonly { readonly day: UsageDay; readonly orgId: string }[],
): Promise<Map<string, Fact[]>> {
  const byCell = new Map<string, Fact[]>();
  if (cells.length === 0) return byCell;
  const { rows } = await sql<Record<string, unknown> & { usage_date: UsageDay; org_id: string }>`
    select f.* from ${tableOf(stream)} f
    join unnest(${cells.map(({ day }) => day)}::date[], ${cells.map(({ orgId }) => orgId)}::text[])
      as k (usage_date, org_id) using (usage_date, org_id)`.execute(trx);
  for (const row of rows) {
    const id = `${row.usage_date} ${row.org_id}`;
    const fact = {
      key: stream.keyColumns.map((column) => row[column] as string),
      values: stream.columns.map((column) => row[column] as number),
    };
    byCell.set(id, [...(byCell.get(id) ?? []), fact]);
  }
  return byCell;
}

/** What replaces a cell's rows: only what differs, so that equal rows are not touched. */
export interface CellChange {
  readonly day: UsageDay;
  readonly orgId: string;
  readonly revision: number;
  readonly held: readonly Fact[];
  readonly facts: readonly Fact[];
}

/** Replaces the rows of cells whose ledger rows are locked. Counts what it did. */
export async function replaceFacts(
  trx: Kysely<Schema>,
  { stream, changes, runId }: { stream: Stream; changes: readonly CellChange[]; runId: string },
): Promise<RowCounts> {
  const inserts: (PlacedFact & { revision: number })[] = [];
  const updates: (PlacedFact & { revision: number })[] = [];
  const deletes: PlacedFact[] = [];
  let unchanged = 0;
  for (const { day, orgId, revision, held, facts } of changes) {
    const before = new Map(held.map((fact) => [factKey(fact), fact]));
    for (const fact of facts) {
      const old = before.get(factKey(fact));
      before.delete(factKey(fact));
      if (!old) inserts.push({ ...fact, day, orgId, revision });
      else if (sameValues(old, fact)) unchanged += 1;
      else updates.push({ ...fact, day, orgId, revision });
    }
    for (const old of before.values()) deletes.push({ ...old, day, orgId });
  }
  await deleteRows(trx, stream, deletes);
  await updateRows(trx, { stream, facts: updates, runId });
  await insertRows(trx, { stream, facts: inserts, runId });
  return { inserted: inserts.length, updated: updates.length, deleted: deletes.length, unchanged };
}

async function insertRows(trx: Kysely<Schema>, { stream, facts, runId }: Write): Promise<void> {
  if (facts.length === 0) return;
  const columns = [...keyOf(stream), ...stream.columns];
  await sql`
    insert into ${tableOf(stream)} (${names(columns)}, revision, run_id)
    select ${names(columns, 'n')}, n.revision, ${runId}::uuid
    from unnest(${sql.join([...keyArrays(stream, facts), ...valueArrays(stream, facts), revisions(facts)])})
      as n (${names(columns)}, revision)
    order by ${names(keyOf(stream), 'n')}`.execute(trx);
}

async function updateRows(trx: Kysely<Schema>, { stream, facts, runId }: Write): Promise<void> {
  if (facts.length === 0) return;
  const columns = [...keyOf(stream), ...stream.columns];
  const sets = stream.columns.map((column) => sql`${sql.ref(column)} = n.${sql.ref(column)}`);
  await sql`
    update ${tableOf(stream)} f
    set ${sql.join(sets)}, revision = n.revision, run_id = ${runId}::uuid, loaded_at = now()
    from unnest(${sql.join([...keyArrays(stream, facts), ...valueArrays(stream, facts), revisions(facts)])})
      as n (${names(columns)}, revision)
    where (${names(keyOf(stream), 'f')}) = (${names(keyOf(stream), 'n')})`.execute(trx);
}

async function deleteRows(trx: Kysely<Schema>, stream: Stream, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  await sql`
    delete from ${tableOf(stream)} f
    using unnest(${sql.join(keyArrays(stream, facts))}) as n (${names(keyOf(stream))})
    where (${names(keyOf(stream), 'f')}) = (${names(keyOf(stream), 'n')})`.execute(trx);
}

interface Write {
  readonly stream: Stream;
  readonly facts: readonly (PlacedFact & { readonly revision: number })[];
  readonly runId: string;
}

function tableOf(stream: Stream): RawBuilder<unknown> {
  return sql.table(`${SCHEMA_NAME}.${stream.name}`);
}

function keyOf(stream: Stream): string[] {
  return ['usage_date', 'org_id', ...stream.keyColumns];
}

function names(columns: readonly string[], alias?: string): RawBuilder<unknown> {
  return sql.join(columns.map((column) => sql.ref(alias ? `${alias}.${column}` : column)));
}

function keyArrays(stream: Stream, facts: readonly PlacedFact[]): RawBuilder<unknown>[] {
  return [
    sql`${facts.map(({ day }) => day)}::date[]`,
    sql`${facts.map(({ orgId }) => orgId)}::text[]`,
    ...stream.keyColumns.map((_, index) => sql`${facts.map(({ key }) => key[index])}::text[]`),
  ];
}

function valueArrays(stream: Stream, facts: readonly PlacedFact[]): RawBuilder<unknown>[] {
  return stream.columns.map((_, index) => sql`${facts.map(({ values }) => values[index])}::bigint[]`);
}

function revisions(facts: readonly { readonly revision: number }[]): RawBuilder<unknown> {
  return sql`${facts.map(({ revision }) => revision)}::integer[]`;
}
