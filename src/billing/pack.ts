/** The proof pack of a statement: its files, and how they are made and stored. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { z } from 'zod';
import { instantText } from '../database/expressions.ts';
import type { Schema, StatementLines } from '../database/schema.ts';
import { type CsvColumn, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { readInPages } from '../queries/cursor.ts';
import { PERIOD_SOURCES } from '../usage/period.ts';
import { readTotals, type StatementScope } from './statements.ts';

/** The file that names every other file of a proof pack with its hash. */
export const MANIFEST_NAME = 'manifest.json';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

/** The manifest of a proof pack. Its own SHA-256 is in `statements.manifest_sha256`. */
export const manifestSchema = z.strictObject({
  format: z.literal(1),
  statement: z.strictObject({
    id: z.uuid(),
    instanceId: z.string().regex(/^[0-9a-f]{24}$/),
    month: z.string(),
    number: z.int().min(1),
    kind: z.enum(['closing', 'adjustment']),
    periods: z.enum(PERIOD_SOURCES),
    reason: z.string().nullable(),
    /** In microseconds, UTC. */
    closedAt: z.string(),
  }),
  /** Sums over the organizations, as text, by metric. */
  totals: z.array(z.strictObject({ metric: z.string(), unit: z.string(), quantity: z.string().nullable() })),
  files: z.array(
    z.strictObject({
      name: z.string().regex(/^[a-z]+\.csv$/),
      columns: z.array(z.string()),
      rows: count,
      bytes: count,
      sha256,
    }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;
type ManifestFile = Manifest['files'][number];

/** Returns the metrics of days.csv, which are its last columns. */
export function metricsOf({ files }: Manifest): string[] {
  const columns = files.find(({ name }) => name === 'days.csv')?.columns ?? [];
  return columns.slice(columns.indexOf('standing') + 1);
}

/** Columns with text from outside; all other text is written by the database. */
const TEXT_COLUMNS = [
  ...['org_name', 'referral_id', 'plan_id', 'customer_id', 'reason', 'message', 'waived_by'],
];

export function csvColumns(names: readonly string[]): CsvColumn[] {
  return names.map((name) => ({ name, isText: TEXT_COLUMNS.includes(name) }));
}

export interface NewStatement extends StatementScope {
  readonly statementId: string;
  /** The number of the statement: 1 for the closing, more for an adjustment. */
  readonly number: number;
  /** The reason for closing it although something blocks it; null if nothing does. */
  readonly reason: string | null;
}

/**
 * Makes the proof pack of a statement whose lines are written, from what the transaction sees, and
 * stores it in the database: the ledger changes later, the pack does not. Returns the SHA-256 of its
 * manifest.
 */
export async function makePack(
  trx: Kysely<Schema>,
  statement: NewStatement,
  { at, signal }: { at: string; signal: AbortSignal },
): Promise<Buffer> {
  const { statementId, number } = statement;
  const files: ManifestFile[] = [];
  for (const table of await readPackTables(trx, statementId)) {
    files.push(await keepTable(trx, statementId, { table, signal }));
  }
  const totals = await readTotals(trx, statementId);
  const manifest: Manifest = {
    format: 1,
    statement: {
      id: statementId,
      instanceId: statement.instanceId,
      month: statement.month,
      number,
      kind: number === 1 ? 'closing' : 'adjustment',
      periods: statement.source,
      reason: statement.reason,
      closedAt: at,
    },
    totals: totals.map(({ metric, unit, quantity }) => ({ metric, unit, quantity })),
    files,
  };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  await keepPart(trx, { statementId, name: MANIFEST_NAME, part: 0, text });
  return createHash('sha256').update(text).digest();
}

async function keepTable(
  trx: Kysely<Schema>,
  statementId: string,
  { table, signal }: { table: PackTable; signal: AbortSignal },
): Promise<ManifestFile> {
  const { name } = table;
  const columns = csvColumns(table.columns);
  const hash = createHash('sha256');
  let [rows, bytes, part] = [0, 0, 0];
  const keep = async (text: string) => {
    hash.update(text);
    bytes += Buffer.byteLength(text);
    await keepPart(trx, { statementId, name, part, text });
    part += 1;
  };
  await keep(renderCsvHeader(columns));
  for await (const page of table.readRows(trx)) {
    signal.throwIfAborted();
    await keep(renderCsvRows(columns, page));
    rows += page.length;
  }
  return { name, columns: [...table.columns], rows, bytes, sha256: hash.digest('hex') };
}

interface FilePart {
  readonly statementId: string;
  readonly name: string;
  readonly part: number;
  readonly text: string;
}

async function keepPart(trx: Kysely<Schema>, { statementId, name, part, text }: FilePart): Promise<void> {
  await trx
    .insertInto('statement_files')
    .values({ statement_id: statementId, name, part, content_gzip: gzipSync(text) })
    .execute();
}

/** A file of a proof pack: the rows behind a statement, every value as text. */
export interface PackTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** Yields pages of rows by key. Must be called inside a transaction. */
  readonly readRows: (trx: Kysely<Schema>) => AsyncGenerator<readonly (readonly (string | null)[])[]>;
}

/** The number of rows read at a time, some megabytes. */
const PAGE_ROWS = 5_000;

/** Returns the files of a statement's pack in the order in which they are made. */
async function readPackTables(trx: Kysely<Schema>, statementId: string): Promise<PackTable[]> {
  const metrics = await trx.selectFrom('metrics').select('metric').orderBy('position').execute();
  return [
    linesTable(statementId),
    daysTable(
      statementId,
      metrics.map(({ metric }) => metric),
    ),
    coverageTable(statementId),
    waiversTable(statementId),
  ];
}

type LineColumn = keyof Selectable<StatementLines>;

const LINE_COLUMNS: readonly LineColumn[] = [
  ...(['org_id', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'period_start', 'period_end'] as const),
  ...(['metric', 'unit', 'kind', 'quantity', 'total', 'total_max', 'total_avg', 'days_in_period'] as const),
  ...(['days_expected', 'days_stored', 'days_final', 'days_accepted', 'days_unavailable'] as const),
  ...(['days_unreported', 'is_billable', 'revision_watermark'] as const),
];

/** Returns the lines of a statement, which may already be closed. */
export function linesTable(statementId: string): PackTable {
  return packTable('lines.csv', {
    columns: LINE_COLUMNS,
    key: ['org_id', 'period_start', 'metric'],
    select: (trx) =>
      sql`${trx
        .selectFrom('statement_lines')
        .select([...LINE_COLUMNS])
        .where('statement_id', '=', statementId)}`,
  });
}

function daysTable(statementId: string, metrics: readonly string[]): PackTable {
  const days = [
    'org_id',
    'usage_date',
    'streams_expected',
    'streams_stored',
    'is_reported',
    'standing',
  ] as const;
  const [first, ...rest] = days;
  return packTable('days.csv', {
    columns: [first, 'period_start', ...rest, ...metrics],
    key: ['org_id', 'usage_date'],
    select: (trx) =>
      sql`${trx
        .selectFrom(periodsOf(trx, statementId).as('p'))
        .innerJoin('daily_usage as d', (join) =>
          join
            .onRef('d.org_id', '=', 'p.org_id')
            .onRef('d.usage_date', '>=', 'p.period_start')
            .onRef('d.usage_date', '<=', 'p.period_end'),
        )
        .select(['p.period_start', ...days.map((column) => `d.${column}` as const)])
        .select(metrics.map((metric) => sql.ref(`d.${metric}`).as(metric)))
        .where('d.usage_date', '>=', firstDay(trx, statementId))
        .where('d.usage_date', '<=', lastDay(trx, statementId))}`,
  });
}

function coverageTable(statementId: string): PackTable {
  const table = packTable('coverage.csv', {
    columns: [
      ...[
        'org_id',
        'usage_date',
        'stream',
        'standing',
        'is_stored',
        'is_reported',
        'revision',
        'verified_at',
      ],
      ...['response_sha256', 'run_id', 'reason', 'message'],
    ],
    key: ['org_id', 'usage_date', 'stream'],
    select: (trx) =>
      sql`${trx
        .selectFrom(periodsOf(trx, statementId).as('p'))
        .innerJoin('cells as c', (join) =>
          join
            .onRef('c.org_id', '=', 'p.org_id')
            .onRef('c.usage_date', '>=', 'p.period_start')
            .onRef('c.usage_date', '<=', 'p.period_end'),
        )
        .leftJoin('coverage as k', (join) =>
          join
            .onRef('k.usage_date', '=', 'c.usage_date')
            .onRef('k.stream', '=', 'c.stream')
            .onRef('k.org_id', '=', 'c.org_id')
            .on('k.usage_date', '>=', firstDay(trx, statementId))
            .on('k.usage_date', '<=', lastDay(trx, statementId)),
        )
        .select(['c.org_id', 'c.usage_date', 'c.stream', 'c.standing', 'c.is_stored', 'c.is_reported'])
        .select(['c.revision', 'k.run_id', 'c.reason', 'c.message'])
        .select([
          instantText(sql.ref('c.verified_at')).as('verified_at'),
          sql<string | null>`encode(k.response_sha256, 'hex')`.as('response_sha256'),
        ])
        .where('c.usage_date', '>=', firstDay(trx, statementId))
        .where('c.usage_date', '<=', lastDay(trx, statementId))}`,
  });
  return { ...table, readRows: (trx) => withoutLoops(trx, table) };
}

/**
 * Reads a table without nested loops. The lines were written a moment ago, so no statistics know of
 * them: a plan that expects a few organizations would read the month of the ledger again for each.
 */
async function* withoutLoops(trx: Kysely<Schema>, table: PackTable): ReturnType<PackTable['readRows']> {
  await sql`set local enable_nestloop = off`.execute(trx);
  yield* table.readRows(trx);
  await sql`set local enable_nestloop = on`.execute(trx);
}

function waiversTable(statementId: string): PackTable {
  return packTable('waivers.csv', {
    columns: ['org_id', 'usage_date', 'stream', 'reason', 'waived_by', 'waived_at', 'lifted_at'],
    key: ['org_id', 'usage_date', 'stream', 'id'],
    select: (trx) =>
      sql`${trx
        .selectFrom(periodsOf(trx, statementId).as('p'))
        .innerJoin('waivers as w', (join) =>
          join
            .onRef('w.org_id', '=', 'p.org_id')
            .onRef('w.usage_date', '>=', 'p.period_start')
            .onRef('w.usage_date', '<=', 'p.period_end'),
        )
        .select(['w.id', 'w.org_id', 'w.usage_date', 'w.stream', 'w.reason', 'w.waived_by'])
        .select([
          instantText(sql.ref('w.waived_at')).as('waived_at'),
          instantText(sql.ref('w.lifted_at')).as('lifted_at'),
        ])}`,
  });
}

/** Returns the periods of a statement, for its other files. */
function periodsOf(trx: Kysely<Schema>, statementId: string) {
  return trx
    .selectFrom('statement_lines')
    .select(['org_id', 'period_start', 'period_end'])
    .distinct()
    .where('statement_id', '=', statementId);
}

/** Returns the first day of all its periods. With the last one it limits the days that are read. */
function firstDay(trx: Kysely<Schema>, statementId: string) {
  return trx
    .selectFrom('statement_lines')
    .select((eb) => eb.fn.min('period_start').as('day'))
    .where('statement_id', '=', statementId);
}

function lastDay(trx: Kysely<Schema>, statementId: string) {
  return trx
    .selectFrom('statement_lines')
    .select((eb) => eb.fn.max('period_end').as('day'))
    .where('statement_id', '=', statementId);
}

/** Returns a table with every value as text, which is the same in every session, and rows by their key. */
function packTable(
  name: string,
  {
    columns,
    key,
    select,
  }: {
    readonly columns: readonly string[];
    readonly key: readonly string[];
    readonly select: (trx: Kysely<Schema>) => RawBuilder<unknown>;
  },
): PackTable {
  const texts = sql.join(columns.map((column) => sql`${sql.ref(`t.${column}`)}::text`));
  const order = sql.join(key.map((column) => sql.ref(`t.${column}`)));
  return {
    name,
    columns,
    readRows: async function* readRows(trx) {
      const rows = sql<{ cells: (string | null)[] }>`
        select array[${texts}] as cells from ${select(trx)} as t order by ${order}`;
      for await (const page of readInPages(trx, rows, { cursor: name, size: PAGE_ROWS }))
        yield page.map(({ cells }) => cells);
    },
  };
}

/** A part of a file, as stored. */
export interface KeptPart {
  readonly name: string;
  readonly gzip: Buffer;
}

/** Yields the files of a statement as they were made, part by part, file by file. */
export async function* readFileParts(db: Kysely<Schema>, statementId: string): AsyncGenerator<KeptPart> {
  const files = db.selectFrom('statement_files').where('statement_id', '=', statementId);
  const parts = await files.select(['name', 'part']).orderBy('name').orderBy('part').execute();
  for (const { name, part } of parts) {
    const { gzip } = await files
      .select('content_gzip as gzip')
      .where('name', '=', name)
      .where('part', '=', part)
      .executeTakeFirstOrThrow();
    yield { name, gzip };
  }
}
