/**
 * The numbers of cells: a column for each metric in `usage_days`, rows by type and source in
 * `payload_sources`, whose sum is in `usage_days` too, and a row of arrays by hour in `payload_hours`.
 * Only differences are written.
 */
import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { unnested } from '../database/expressions.ts';
import { SCHEMA_NAME } from '../database/handle.ts';
import type { PayloadHours, PayloadSources, Schema, UsageDays } from '../database/schema.ts';
import {
  type AppliedCell,
  type Cell,
  type CellKey,
  compareText,
  factKey,
  sameValues,
} from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import { streamNamed, streams } from '../usage/streams/catalog.ts';
import { HOURS } from '../usage/streams/payload-hours.ts';
import type { Fact } from '../usage/streams/stream.ts';

export type RowCounts = Record<'inserted' | 'updated' | 'deleted' | 'unchanged', number>;

/** An organization's day. */
interface OrgDay {
  readonly day: UsageDay;
  readonly orgId: string;
}

/** A cell with its new row, and its numbers where they change. */
export type NewCell = AppliedCell & { readonly cell: Cell };

/** A cell whose numbers change; those of one that is no longer stored are removed. */
type Change = NewCell & { readonly facts: readonly Fact[] };

type Metric = Exclude<keyof UsageDays, 'usage_date' | 'org_id'>;
const METRICS = streams.flatMap((stream) => stream.metrics) as Metric[];

type DayRow = { readonly usage_date: UsageDay; readonly org_id: string } & Readonly<
  Record<Metric, number | null>
>;

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

/** `readNumbers` returns the stored numbers of each of the cells. */
export async function readNumbers(
  trx: Kysely<Schema>,
  cells: readonly CellKey[],
): Promise<(cell: CellKey) => readonly Fact[]> {
  const days = await readRows<DayRow>(
    trx,
    'usage_days',
    cells.filter(({ stream }) => !Object.hasOwn(TABLES, stream)),
  );
  const own = new Map<string, ReadonlyMap<string, StoredRow[]>>();
  for (const { name } of Object.values(TABLES)) {
    const keys = cells.filter(({ stream }) => stream === name);
    own.set(name, await readRows<StoredRow>(trx, name, keys));
  }
  return (cell) => {
    const table = TABLES[cell.stream];
    if (table) return (own.get(cell.stream)?.get(dayKey(cell)) ?? []).flatMap(table.toFacts);
    return factsIn(cell.stream, days.get(dayKey(cell))?.[0]);
  };
}

/** The values of a row by column. */
type Row = Readonly<Record<string, unknown>>;

/** A table of its own for the facts of a stream. Values are sent and read by column. */
interface OwnTable {
  readonly name: string;
  /** The columns of its primary key beyond `usage_date` and `org_id`. */
  readonly keyColumns: readonly string[];
  /** The Postgres types of its columns beyond `usage_date` and `org_id`. */
  readonly types: Readonly<Record<string, string>>;
  /** Returns the facts of a cell as they are stored: one for each row. */
  readonly pack: (facts: readonly Fact[]) => readonly Fact[];
  readonly toRow: (fact: PlacedFact) => Row;
  readonly toFacts: (row: StoredRow) => readonly Fact[];
}

/** A row of one of these tables. */
type StoredRow = Selectable<PayloadSources> & Selectable<PayloadHours>;

const HOUR_COLUMNS = ['billable_counts', 'all_counts', 'all_bytes'] as const;

const TABLES: Readonly<Record<string, OwnTable>> = {
  payload_sources: {
    name: 'payload_sources',
    keyColumns: ['payload_type', 'source'],
    types: { payload_type: 'text', source: 'text', count: 'bigint', revision: 'integer' },
    pack: (facts) => facts,
    toRow: ({ key: [payload_type, source], values: [count], revision }) => ({
      ...{ payload_type, source, count, revision },
    }),
    toFacts: ({ payload_type, source, count }) => [{ key: [payload_type, source], values: [count] }],
  },
  payload_hours: {
    name: 'payload_hours',
    keyColumns: [],
    types: Object.fromEntries(HOUR_COLUMNS.map((column) => [column, 'bigint[]'])),
    // The numbers of the first column by hour, then those of the second and the third.
    pack: (facts) => [{ key: [], values: HOUR_COLUMNS.flatMap((_, at) => byHour(facts, at)) }],
    toRow: ({ values }) =>
      Object.fromEntries(
        HOUR_COLUMNS.map((column, at) => [column, `{${values.slice(at * 24, at * 24 + 24).join(',')}}`]),
      ),
    toFacts: (row) =>
      HOURS.map((hour, at) => ({
        key: [hour],
        values: HOUR_COLUMNS.map((column) => row[column][at] as number),
      })),
  },
};

/** `byHour` returns a column of the hours; a day that Losant left out has no facts and is stored as zeros. */
function byHour(facts: readonly Fact[], column: number): readonly number[] {
  return facts.length === 0 ? HOURS.map(() => 0) : facts.map(({ values }) => values[column] as number);
}

/** `countRows` returns the number of rows in which the numbers of a cell are kept. */
export function countRows({ stream, numbers: facts }: AppliedCell): number {
  return facts.length === 0 ? 0 : (TABLES[stream]?.pack(facts).length ?? facts.length);
}

/** `factsIn` returns the one fact that a stream without further keys has in a row; none if it is not stored. */
function factsIn(stream: string, row: DayRow | undefined): Fact[] {
  const values = streamNamed(stream).metrics.map((metric) => row?.[metric as Metric] ?? null);
  return values.includes(null) ? [] : [{ key: [], values: values as number[] }];
}

/**
 * `readRows` returns the rows of a table by {@link dayKey}. They are looked up one by one through the index: a table
 * just filled has no statistics to plan a join by.
 */
async function readRows<R extends { readonly usage_date: UsageDay; readonly org_id: string }>(
  trx: Kysely<Schema>,
  table: string,
  keys: readonly OrgDay[],
): Promise<Map<string, R[]>> {
  if (keys.length === 0) return new Map();
  const distinct = new Map(keys.map((key) => [dayKey(key), key]));
  const { rows } = await sql<R>`
    select p.* from ${keysOf([...distinct.values()])} cross join lateral (
      select * from ${tableOf(table)} as row where row.usage_date = k.usage_date and row.org_id = k.org_id offset 0
    ) as p`.execute(trx);
  return Map.groupBy(rows, (row) => dayKey({ day: row.usage_date, orgId: row.org_id }));
}

/**
 * `writeNumbers` writes the numbers of cells whose rows of coverage are locked, sorted by their days, and makes sure
 * that every day of a new cell has its row. Returns the number of changed rows by stream.
 */
export async function writeNumbers(
  trx: Kysely<Schema>,
  cells: readonly NewCell[],
): Promise<Record<string, RowCounts>> {
  const changes = cells.filter((cell): cell is Change => cell.facts !== null);
  const differences = [...Map.groupBy(changes, ({ stream }) => stream)].map(([stream, group]) => {
    const table = TABLES[stream];
    return { stream, table, ...compare(group, table?.pack) };
  });
  const own = differences.flatMap(({ table, ...each }) => (table ? [{ ...each, table }] : []));
  // Changed rows of cells that had numbers before go on record; those of new cells do not.
  for (const { table, inserts } of own) await insertRows(trx, table, inserts.filter(isFirst));
  const isFirstLoad = changes.every(({ cell }) => isFirst(cell) && cell.isStored);
  if (!isFirstLoad) await sql`select set_config('losant_usage.program', 'on', true)`.execute(trx);
  const newDays = cells.filter(({ before }) => before === null);
  const kept = changes.filter(({ cell }) => cell.isStored);
  await upsertDays(trx, toDayRows(kept, newDays));
  const taken = changes.filter(({ cell }) => !cell.isStored);
  for (const [stream, group] of Map.groupBy(taken, (change) => change.stream)) {
    await clearDays(trx, stream, group);
  }
  for (const { table, inserts, updates, deletes } of own) {
    await deleteRows(trx, table, deletes);
    await updateRows(trx, table, updates);
    await insertRows(
      trx,
      table,
      inserts.filter((fact) => !isFirst(fact)),
    );
  }
  return Object.fromEntries(
    differences.map(({ stream, inserts, updates, deletes, unchanged }) => [
      stream,
      { inserted: inserts.length, updated: updates.length, deleted: deletes.length, unchanged },
    ]),
  );
}

function isFirst({ revision }: { readonly revision: number }): boolean {
  return revision === 1;
}

const NO_NUMBERS = Object.fromEntries(METRICS.map((metric) => [metric, null])) as Record<Metric, null>;

/**
 * `toDayRows` returns a row for each day that is new or has a changed cell, in key order; a metric that is null
 * stays as it is.
 */
function toDayRows(changes: readonly Change[], newDays: readonly OrgDay[]): DayRow[] {
  const rows = new Map<string, DayRow>();
  for (const { day, orgId } of newDays) {
    rows.set(dayKey({ day, orgId }), { usage_date: day, org_id: orgId, ...NO_NUMBERS });
  }
  for (const { day, orgId, stream, facts } of changes) {
    const row = rows.get(dayKey({ day, orgId })) ?? { usage_date: day, org_id: orgId, ...NO_NUMBERS };
    // With key columns of the stream's own, the values are sums over them.
    const sums = streamNamed(stream).metrics.map((metric, index) => [
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

/** `clearDays` sets a stream's numbers to not stored. */
async function clearDays(trx: Kysely<Schema>, stream: string, keys: readonly OrgDay[]): Promise<void> {
  const { metrics } = streamNamed(stream);
  if (metrics.length === 0) return;
  await trx
    .updateTable('usage_days as u')
    .from(keysOf(keys))
    .set(Object.fromEntries(metrics.map((metric) => [metric, null])))
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

/** `compare` compares the facts of cells; `pack` gives the rows of their table if they have one. */
function compare(changes: readonly Change[], pack?: OwnTable['pack']): Differences {
  const inserts: PlacedFact[] = [];
  const updates: PlacedFact[] = [];
  const deletes: PlacedFact[] = [];
  let unchanged = 0;
  for (const { day, orgId, cell, numbers, facts } of changes) {
    const at = { day, orgId, revision: cell.revision };
    const stored = pack && numbers.length > 0 ? pack(numbers) : numbers;
    const before = new Map(stored.map((fact) => [factKey(fact), fact]));
    for (const fact of pack && cell.isStored ? pack(facts) : facts) {
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

async function deleteRows(trx: Kysely<Schema>, table: OwnTable, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  await sql`delete from ${tableOf(table.name)} as p using ${rowsOf(table, facts)}
    where ${isSameRow(table)}`.execute(trx);
}

async function updateRows(trx: Kysely<Schema>, table: OwnTable, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  const values = Object.entries(table.types).filter(([column]) => !table.keyColumns.includes(column));
  const assignments = values.map(([column, type]) => sql`${sql.ref(column)} = ${valueOf(column, type)}`);
  await sql`update ${tableOf(table.name)} as p set ${sql.join(assignments)} from ${rowsOf(table, facts)}
    where ${isSameRow(table)}`.execute(trx);
}

async function insertRows(trx: Kysely<Schema>, table: OwnTable, facts: readonly PlacedFact[]): Promise<void> {
  if (facts.length === 0) return;
  const columns = Object.keys({ ...KEY_TYPES, ...table.types }).map((column) => sql.ref(column));
  const values = Object.entries({ ...KEY_TYPES, ...table.types }).map(([column, type]) =>
    valueOf(column, type),
  );
  const order = [...Object.keys(KEY_TYPES), ...table.keyColumns].map((column) => sql.ref(`n.${column}`));
  await sql`insert into ${tableOf(table.name)} (${sql.join(columns)})
    select ${sql.join(values)} from ${rowsOf(table, facts)} order by ${sql.join(order)}`.execute(trx);
}

function tableOf(name: string): RawBuilder<unknown> {
  return sql.table(`${SCHEMA_NAME}.${name}`);
}

function isSameRow({ keyColumns }: OwnTable): RawBuilder<boolean> {
  const columns = [...Object.keys(KEY_TYPES), ...keyColumns];
  const equal = columns.map((column) => sql`${sql.ref(`p.${column}`)} = ${sql.ref(`n.${column}`)}`);
  return sql<boolean>`${sql.join(equal, sql` and `)}`;
}

/** `valueOf` returns a value of {@link rowsOf} with the type of its column. */
function valueOf(column: string, type: string): RawBuilder<unknown> {
  return sql`${sql.ref(`n.${column}`)}::${sql.raw(type)}`;
}

/** `rowsOf` returns facts as a table `n` of a statement. Arrays are sent as text: unnest would take them apart. */
function rowsOf(table: OwnTable, facts: readonly PlacedFact[]) {
  const rows = facts.map((fact): Row => ({ usage_date: fact.day, org_id: fact.orgId, ...table.toRow(fact) }));
  const types: Record<string, string> = { ...KEY_TYPES, ...table.types };
  for (const [column, type] of Object.entries(types)) if (type.endsWith('[]')) types[column] = 'text';
  return unnested<Row, 'n'>('n', rows, types);
}
