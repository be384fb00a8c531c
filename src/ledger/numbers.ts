/**
 * The numbers of cells: a column for each metric in `usage_days`, and rows by type and source in
 * `payload_sources`, whose sum is in `usage_days` too. Only differences are written.
 */
import { type Kysely, sql } from 'kysely';
import { unnested } from '../database/expressions.ts';
import type { Schema, UsageDays } from '../database/schema.ts';
import { type CellKey, compareText, factKey, sameValues } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import { streamNamed, streams } from '../usage/streams/catalog.ts';
import type { Fact, Stream } from '../usage/streams/stream.ts';

export interface RowCounts {
  inserted: number;
  updated: number;
  deleted: number;
  unchanged: number;
}

/** An organization's day. */
export interface OrgDay {
  readonly day: UsageDay;
  readonly orgId: string;
}

/** The new numbers of a cell. */
export interface CellChange extends OrgDay {
  readonly stream: Stream;
  readonly revision: number;
  /** Whether it has numbers; false removes them. */
  readonly isStored: boolean;
  readonly numbers: readonly Fact[];
  readonly facts: readonly Fact[];
}

type Metric = Exclude<keyof UsageDays, 'usage_date' | 'org_id'>;
const METRICS = streams.flatMap((stream) => stream.metrics) as Metric[];

type DayRow = { readonly usage_date: UsageDay; readonly org_id: string } & Readonly<
  Record<Metric, number | null>
>;

/** Rows of `usage_days` by {@link dayKey}. */
type DayRows = ReadonlyMap<string, DayRow>;

function dayKey({ day, orgId }: OrgDay): string {
  return `${day} ${orgId}`;
}

const KEY_TYPES = { usage_date: 'date', org_id: 'text' } as const;

function keysOf(keys: readonly OrgDay[]) {
  return unnested(
    'k',
    keys.map(({ day, orgId }) => ({ usage_date: day, org_id: orgId })),
    KEY_TYPES,
  );
}

async function readDayRows(trx: Kysely<Schema>, keys: readonly OrgDay[]): Promise<DayRows> {
  if (keys.length === 0) return new Map();
  // Rows are looked up one by one through the index, here and below: a table just filled has no statistics to
  // plan a join by.
  const rows = await trx
    .selectFrom(keysOf(keys))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom('usage_days as row')
          .select(['row.usage_date', 'row.org_id', ...METRICS.map((metric) => `row.${metric}` as const)])
          .whereRef('row.usage_date', '=', 'k.usage_date')
          .whereRef('row.org_id', '=', 'k.org_id')
          .offset(sql<number>`0`)
          .as('u'),
      (join) => join.onTrue(),
    )
    .selectAll('u')
    .execute();
  return new Map(rows.map((row) => [dayKey({ day: row.usage_date, orgId: row.org_id }), row]));
}

/** Returns the stored numbers of each of the cells. */
export async function readNumbers(
  trx: Kysely<Schema>,
  cells: readonly CellKey[],
): Promise<(cell: CellKey) => readonly Fact[]> {
  const days = await readDayRows(trx, [...new Map(cells.map((cell) => [dayKey(cell), cell])).values()]);
  const sources = await readSources(
    trx,
    cells.filter(({ stream }) => hasKeys(streamNamed(stream))),
  );
  return (cell) => {
    const stream = streamNamed(cell.stream);
    return hasKeys(stream) ? (sources.get(dayKey(cell)) ?? []) : factsIn(stream, days.get(dayKey(cell)));
  };
}

function hasKeys({ keyColumns }: Stream): boolean {
  return keyColumns.length > 0;
}

/** Returns the one fact that a stream without further keys has in a row; none if it is not stored. */
function factsIn(stream: Stream, row: DayRow | undefined): Fact[] {
  const values = stream.metrics.map((metric) => row?.[metric as Metric] ?? null);
  return values.includes(null) ? [] : [{ key: [], values: values as number[] }];
}

/** Returns the rows of `payload_sources` by {@link dayKey}. */
async function readSources(trx: Kysely<Schema>, keys: readonly OrgDay[]): Promise<Map<string, Fact[]>> {
  const byDay = new Map<string, Fact[]>();
  if (keys.length === 0) return byDay;
  const rows = await trx
    .selectFrom(keysOf(keys))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom('payload_sources as row')
          .select(['row.usage_date', 'row.org_id', 'row.payload_type', 'row.source', 'row.count'])
          .whereRef('row.usage_date', '=', 'k.usage_date')
          .whereRef('row.org_id', '=', 'k.org_id')
          .offset(sql<number>`0`)
          .as('p'),
      (join) => join.onTrue(),
    )
    .selectAll('p')
    .execute();
  for (const { usage_date: day, org_id: orgId, payload_type, source, count } of rows) {
    const facts = byDay.get(dayKey({ day, orgId })) ?? [];
    facts.push({ key: [payload_type, source], values: [count] });
    byDay.set(dayKey({ day, orgId }), facts);
  }
  return byDay;
}

/**
 * Writes the numbers of cells whose rows of coverage are locked, sorted by their days, and makes sure
 * that every day of `newDays` has its row.
 */
export async function writeNumbers(
  trx: Kysely<Schema>,
  changes: readonly CellChange[],
  newDays: readonly OrgDay[],
): Promise<Record<string, RowCounts>> {
  const differences = new Map(
    [...Map.groupBy(changes, (change) => change.stream)].map(([stream, group]) => [stream, compare(group)]),
  );
  const sources = [...differences].flatMap(([stream, each]) => (hasKeys(stream) ? [each] : []));
  // Changed rows of cells that had numbers before go on record; those of new cells do not.
  for (const { inserts } of sources) await insertSources(trx, inserts.filter(isFirst));
  const isFirstLoad = changes.every((change) => isFirst(change) && change.isStored);
  if (!isFirstLoad) await sql`select set_config('losant_usage.program', 'on', true)`.execute(trx);
  await upsertDays(trx, toDayRows(changes, newDays));
  const taken = changes.filter(({ isStored }) => !isStored);
  for (const [stream, group] of Map.groupBy(taken, (change) => change.stream)) {
    await clearDays(trx, stream, group);
  }
  for (const { inserts, updates, deletes } of sources) {
    await deleteSources(trx, deletes);
    await updateSources(trx, updates);
    await insertSources(
      trx,
      inserts.filter((fact) => !isFirst(fact)),
    );
  }
  return Object.fromEntries(
    [...differences].map(([stream, { inserts, updates, deletes, unchanged }]) => [
      stream.name,
      { inserted: inserts.length, updated: updates.length, deleted: deletes.length, unchanged },
    ]),
  );
}

function isFirst({ revision }: { readonly revision: number }): boolean {
  return revision === 1;
}

const NO_NUMBERS = Object.fromEntries(METRICS.map((metric) => [metric, null])) as Record<Metric, null>;

/**
 * Returns a row for each day that is new or has a changed cell, in key order; a metric that is null
 * stays as it is.
 */
function toDayRows(changes: readonly CellChange[], newDays: readonly OrgDay[]): DayRow[] {
  const rows = new Map<string, DayRow>();
  for (const { day, orgId } of newDays) {
    rows.set(dayKey({ day, orgId }), { usage_date: day, org_id: orgId, ...NO_NUMBERS });
  }
  for (const { day, orgId, stream, facts } of changes.filter(({ isStored }) => isStored)) {
    const row = rows.get(dayKey({ day, orgId })) ?? { usage_date: day, org_id: orgId, ...NO_NUMBERS };
    // With key columns of the stream's own, the values are sums over them.
    const sums = stream.metrics.map((metric, index) => [
      metric,
      facts.reduce((sum, { values }) => sum + (values[index] as number), 0),
    ]);
    rows.set(dayKey({ day, orgId }), { ...row, ...(Object.fromEntries(sums) as Partial<DayRow>) });
  }
  return [...rows.keys()].sort(compareText).map((key) => rows.get(key) as DayRow);
}

async function upsertDays(trx: Kysely<Schema>, rows: readonly DayRow[]): Promise<void> {
  if (rows.length === 0) return;
  const types = { ...KEY_TYPES, ...Object.fromEntries(METRICS.map((metric) => [metric, 'bigint'])) };
  await trx
    .insertInto('usage_days')
    .columns(['usage_date', 'org_id', ...METRICS])
    .expression((eb) =>
      eb
        .selectFrom(unnested('n', rows, types as Record<keyof DayRow, string>))
        .select(['n.usage_date', 'n.org_id', ...METRICS.map((metric) => `n.${metric}` as const)])
        .orderBy('n.usage_date')
        .orderBy('n.org_id'),
    )
    .onConflict((conflict) =>
      conflict
        .columns(['usage_date', 'org_id'])
        .doUpdateSet((eb) =>
          Object.fromEntries(
            METRICS.map((metric) => [
              metric,
              eb.fn.coalesce(eb.ref(`excluded.${metric}`), eb.ref(`usage_days.${metric}`)),
            ]),
          ),
        )
        .where((eb) => eb.or(METRICS.map((metric) => eb(`excluded.${metric}`, 'is not', null)))),
    )
    .execute();
}

/** Sets a stream's numbers to not stored. */
async function clearDays(trx: Kysely<Schema>, stream: Stream, keys: readonly OrgDay[]): Promise<void> {
  await trx
    .updateTable('usage_days as u')
    .from(keysOf(keys))
    .set(Object.fromEntries(stream.metrics.map((metric) => [metric, null])))
    .whereRef('u.usage_date', '=', 'k.usage_date')
    .whereRef('u.org_id', '=', 'k.org_id')
    .execute();
}

type PlacedFact = Fact & OrgDay & { readonly revision: number };

interface Differences {
  readonly inserts: readonly PlacedFact[];
  readonly updates: readonly PlacedFact[];
  readonly deletes: readonly PlacedFact[];
  readonly unchanged: number;
}

function compare(changes: readonly CellChange[]): Differences {
  const inserts: PlacedFact[] = [];
  const updates: PlacedFact[] = [];
  const deletes: PlacedFact[] = [];
  let unchanged = 0;
  for (const { day, orgId, revision, numbers, facts } of changes) {
    const at = { day, orgId, revision };
    const before = new Map(numbers.map((fact) => [factKey(fact), fact]));
    for (const fact of facts) {
      const old = before.get(factKey(fact));
      before.delete(factKey(fact));
      if (!old) inserts.push({ ...fact, ...at });
      else if (sameValues(old, fact)) unchanged += 1;
      else updates.push({ ...fact, ...at });
    }
    for (const old of before.values()) deletes.push({ ...old, ...at });
  }
  return { inserts, updates, deletes, unchanged };
}

async function deleteSources(trx: Kysely<Schema>, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  await trx
    .deleteFrom('payload_sources as p')
    .using(sourcesOf(facts))
    .whereRef('p.usage_date', '=', 'n.usage_date')
    .whereRef('p.org_id', '=', 'n.org_id')
    .whereRef('p.payload_type', '=', 'n.payload_type')
    .whereRef('p.source', '=', 'n.source')
    .execute();
}

async function updateSources(trx: Kysely<Schema>, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  await trx
    .updateTable('payload_sources as p')
    .from(sourcesOf(facts))
    .set((eb) => ({ count: eb.ref('n.count'), revision: eb.ref('n.revision') }))
    .whereRef('p.usage_date', '=', 'n.usage_date')
    .whereRef('p.org_id', '=', 'n.org_id')
    .whereRef('p.payload_type', '=', 'n.payload_type')
    .whereRef('p.source', '=', 'n.source')
    .execute();
}

async function insertSources(trx: Kysely<Schema>, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  const columns = ['usage_date', 'org_id', 'payload_type', 'source', 'count', 'revision'] as const;
  await trx
    .insertInto('payload_sources')
    .columns(columns)
    .expression((eb) =>
      eb
        .selectFrom(sourcesOf(facts))
        .select(columns.map((column) => `n.${column}` as const))
        .orderBy('n.usage_date')
        .orderBy('n.org_id')
        .orderBy('n.payload_type')
        .orderBy('n.source'),
    )
    .execute();
}

function sourcesOf(facts: readonly PlacedFact[]) {
  const rows = facts.map(
    ({ day, orgId, key: [payload_type = '', source = ''], values: [count = 0], revision }) => ({
      ...{ usage_date: day, org_id: orgId, payload_type, source, count, revision },
    }),
  );
  const types = { payload_type: 'text', source: 'text', count: 'bigint', revision: 'integer' };
  return unnested('n', rows, { ...KEY_TYPES, ...types });
}
