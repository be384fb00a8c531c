/**
 * The numbers of cells: a column for each metric in `usage_days`, and rows by
 * further keys in the table of a stream that has them, whose sum stands in
 * `usage_days` too. Writes only what differs.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { compareText } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import { factKey, sameValues } from '../usage/settlement.ts';
import { streams } from '../usage/streams/catalog.ts';
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

/** What a cell holds from now on. */
export interface CellChange extends OrgDay {
  readonly stream: Stream;
  readonly revision: number;
  /** Whether the cell holds numbers; false takes them away. */
  readonly isHeld: boolean;
  readonly held: readonly Fact[];
  readonly facts: readonly Fact[];
}

const METRICS = streams.flatMap((stream) => stream.metrics);

/** The columns of `usage_days` by {@link dayKey}. */
export type WideRows = ReadonlyMap<string, Readonly<Record<string, number | null>>>;

export function dayKey({ day, orgId }: OrgDay): string {
  return `${day} ${orgId}`;
}

export async function readWideRows(trx: Kysely<Schema>, keys: readonly OrgDay[]): Promise<WideRows> {
  if (keys.length === 0) return new Map();
  const { rows } = await sql<Record<string, number | null> & { usage_date: UsageDay; org_id: string }>`
    select u.* from ${keysOf(keys)} cross join lateral (
      select usage_date, org_id, ${columns(METRICS)} from losant_usage.usage_days u
      where u.usage_date = k.usage_date and u.org_id = k.org_id offset 0
    ) as u`.execute(trx);
  return new Map(rows.map((row) => [dayKey({ day: row.usage_date, orgId: row.org_id }), row]));
}

/** The one fact that a stream without further keys has in a row; none if it is not held. */
export function factsIn(stream: Stream, row: Readonly<Record<string, number | null>> | undefined): Fact[] {
  const values = stream.metrics.map((metric) => row?.[metric] ?? null);
  return values.includes(null) ? [] : [{ key: [], values: values as number[] }];
}

/** The rows of a stream with further keys, by {@link dayKey}. */
export async function readDetails(
  trx: Kysely<Schema>,
  stream: Stream,
  keys: readonly OrgDay[],
): Promise<Map<string, Fact[]>> {
  const byDay = new Map<string, Fact[]>();
  if (keys.length === 0) return byDay;
  const { rows } = await sql<Record<string, unknown> & { usage_date: UsageDay; org_id: string }>`
    select f.* from ${keysOf(keys)} cross join lateral (
      select * from ${tableOf(stream)} f where f.usage_date = k.usage_date and f.org_id = k.org_id offset 0
    ) as f`.execute(trx);
  for (const row of rows) {
    const id = dayKey({ day: row.usage_date, orgId: row.org_id });
    const fact = {
      key: stream.keyColumns.map((column) => row[column] as string),
      values: stream.columns.map((column) => row[column] as number),
    };
    const facts = byDay.get(id);
    if (facts) facts.push(fact);
    else byDay.set(id, [fact]);
  }
  return byDay;
}

/**
 * Writes the numbers of cells whose rows of coverage are locked, sorted by
 * their days, and makes sure that every day of `newDays` has its row.
 */
export async function writeNumbers(
  trx: Kysely<Schema>,
  changes: readonly CellChange[],
  newDays: readonly OrgDay[],
): Promise<Record<string, RowCounts>> {
  const wide = new Map<string, OrgDay & { numbers: Record<string, number> }>();
  const rowOf = (at: OrgDay) => {
    const row = wide.get(dayKey(at)) ?? { day: at.day, orgId: at.orgId, numbers: {} };
    wide.set(dayKey(at), row);
    return row;
  };
  for (const day of newDays) rowOf(day);
  for (const change of changes) {
    if (change.isHeld) Object.assign(rowOf(change).numbers, numbersOf(change));
  }
  await upsertWide(trx, [...wide.values()].sort(byDayAndOrg));
  const taken = changes.filter(({ isHeld }) => !isHeld);
  for (const [stream, group] of Map.groupBy(taken, ({ stream }) => stream))
    await clearWide(trx, stream, group);
  const counts: Record<string, RowCounts> = {};
  for (const [stream, group] of Map.groupBy(changes, ({ stream }) => stream)) {
    const differences = compare(group);
    if (stream.keyColumns.length > 0) await writeDetails(trx, stream, differences);
    counts[stream.name] = {
      inserted: differences.inserts.length,
      updated: differences.updates.length,
      deleted: differences.deletes.length,
      unchanged: differences.unchanged,
    };
  }
  return counts;
}

/** The columns of `usage_days` that a held cell has: its values, or their sum over the stream's own keys. */
function numbersOf({ stream, facts }: CellChange): Record<string, number> {
  return Object.fromEntries(
    stream.metrics.map((metric, index) => [
      metric,
      facts.reduce((sum, { values }) => sum + (values[index] as number), 0),
    ]),
  );
}

async function upsertWide(
  trx: Kysely<Schema>,
  rows: readonly (OrgDay & { readonly numbers: Readonly<Record<string, number>> })[],
): Promise<void> {
  if (rows.length === 0) return;
  const values = METRICS.map(
    (metric) => sql`${rows.map(({ numbers }) => numbers[metric] ?? null)}::bigint[]`,
  );
  const sets = METRICS.map(
    (metric) => sql`${sql.ref(metric)} = coalesce(excluded.${sql.ref(metric)}, u.${sql.ref(metric)})`,
  );
  await sql`
    insert into losant_usage.usage_days as u (usage_date, org_id, ${columns(METRICS)})
    select usage_date, org_id, ${columns(METRICS)}
    from unnest(${rows.map(({ day }) => day)}::date[], ${rows.map(({ orgId }) => orgId)}::text[], ${sql.join(values)})
      as n (usage_date, org_id, ${columns(METRICS)})
    order by usage_date, org_id
    on conflict (usage_date, org_id) do update set ${sql.join(sets)}
    where num_nonnulls(${columns(METRICS, 'excluded')}) > 0`.execute(trx);
}

/** Takes a stream's numbers away, as not held. */
async function clearWide(trx: Kysely<Schema>, stream: Stream, keys: readonly OrgDay[]): Promise<void> {
  const sets = stream.metrics.map((metric) => sql`${sql.ref(metric)} = null`);
  await sql`
    update losant_usage.usage_days u set ${sql.join(sets)} from ${keysOf(keys)}
    where u.usage_date = k.usage_date and u.org_id = k.org_id`.execute(trx);
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
  for (const { day, orgId, revision, held, facts } of changes) {
    const at = { day, orgId, revision };
    if (held.length === 0) {
      for (const fact of facts) inserts.push({ ...fact, ...at });
      continue;
    }
    const before = new Map(held.map((fact) => [factKey(fact), fact]));
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

async function writeDetails(trx: Kysely<Schema>, stream: Stream, differences: Differences): Promise<void> {
  const { inserts, updates, deletes } = differences;
  await insertDetails(
    trx,
    stream,
    inserts.filter(({ revision }) => revision === 1),
  );
  const later = inserts.filter(({ revision }) => revision > 1);
  if (later.length + updates.length + deletes.length === 0) return;
  // Rows of cells that held numbers before go on record; those of new cells do not.
  await sql`select set_config('losant_usage.program', 'on', true)`.execute(trx);
  await deleteDetails(trx, stream, deletes);
  await updateDetails(trx, stream, updates);
  await insertDetails(trx, stream, later);
}

async function insertDetails(
  trx: Kysely<Schema>,
  stream: Stream,
  facts: readonly PlacedFact[],
): Promise<void> {
  if (facts.length === 0) return;
  const all = ['usage_date', 'org_id', ...stream.keyColumns, ...stream.columns, 'revision'];
  const keys = ['usage_date', 'org_id', ...stream.keyColumns];
  await sql`
    insert into ${tableOf(stream)} (${columns(all)}) select ${columns(all)} from ${arraysOf(stream, facts)}
    order by ${columns(keys)}`.execute(trx);
}

async function updateDetails(
  trx: Kysely<Schema>,
  stream: Stream,
  facts: readonly PlacedFact[],
): Promise<void> {
  if (facts.length === 0) return;
  const sets = stream.columns.map((column) => sql`${sql.ref(column)} = n.${sql.ref(column)}`);
  await sql`
    update ${tableOf(stream)} f set ${sql.join(sets)}, revision = n.revision
    from ${arraysOf(stream, facts)} where ${sameKeys(stream)}`.execute(trx);
}

async function deleteDetails(
  trx: Kysely<Schema>,
  stream: Stream,
  facts: readonly PlacedFact[],
): Promise<void> {
  if (facts.length === 0) return;
  await sql`delete from ${tableOf(stream)} f using ${arraysOf(stream, facts)} where ${sameKeys(stream)}`.execute(
    trx,
  );
}

function arraysOf(stream: Stream, facts: readonly PlacedFact[]): RawBuilder<unknown> {
  const arrays = [
    sql`${facts.map(({ day }) => day)}::date[]`,
    sql`${facts.map(({ orgId }) => orgId)}::text[]`,
    ...stream.keyColumns.map((_, index) => sql`${facts.map(({ key }) => key[index])}::text[]`),
    ...stream.columns.map((_, index) => sql`${facts.map(({ values }) => values[index])}::bigint[]`),
    sql`${facts.map(({ revision }) => revision)}::integer[]`,
  ];
  const names = ['usage_date', 'org_id', ...stream.keyColumns, ...stream.columns, 'revision'];
  return sql`unnest(${sql.join(arrays)}) as n (${columns(names)})`;
}

function sameKeys({ keyColumns }: Stream): RawBuilder<unknown> {
  const pairs = ['usage_date', 'org_id', ...keyColumns].map(
    (column) => sql`f.${sql.ref(column)} = n.${sql.ref(column)}`,
  );
  return sql.join(pairs, sql` and `);
}

function keysOf(keys: readonly OrgDay[]): RawBuilder<unknown> {
  return sql`unnest(${keys.map(({ day }) => day)}::date[], ${keys.map(({ orgId }) => orgId)}::text[])
    as k (usage_date, org_id)`;
}

function tableOf({ name }: Stream): RawBuilder<unknown> {
  return sql.table(`losant_usage.${name}`);
}

function columns(names: readonly string[], alias?: string): RawBuilder<unknown> {
  return sql.join(names.map((name) => sql.ref(alias ? `${alias}.${name}` : name)));
}

function byDayAndOrg(a: OrgDay, b: OrgDay): number {
  return compareText(dayKey(a), dayKey(b));
}
