/** The proof pack of a statement: its files, and how they are made and stored. */
import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { z } from 'zod';
import { instantText } from '../database/expressions.ts';
import type { Schema, StatementLines } from '../database/schema.ts';
import { type CsvColumn, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { readInPages } from '../queries/cursor.ts';
import { PERIOD_SOURCES, parseMonth } from '../usage/period.ts';

/** The file that names every other file of a proof pack with its hash. */
export const MANIFEST_NAME = 'manifest.json';

/** The Ed25519 signature of the manifest's bytes, beside it where it is signed: 64 bytes. */
export const SIGNATURE_NAME = `${MANIFEST_NAME}.sig`;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const quantity = z
  .string()
  .regex(/^(0|-?[1-9]\d*)$/)
  .nullable();

const statementSchema = z.strictObject({
  id: z.uuid(),
  instanceId: z.string().regex(/^[0-9a-f]{24}$/),
  month: z.string().refine((text) => parseMonth(text) !== null),
  /** The place among all statements of the instance. */
  number: z.int().min(1),
  kind: z.enum(['closing', 'adjustment']),
  periods: z.enum(PERIOD_SOURCES),
  reason: z.string().nullable(),
  /** The number of organizations with a line. */
  orgs: count,
  /** In microseconds, UTC. */
  closedAt: z.string(),
  closedBy: z.string(),
  /** The rules by which the numbers became final. */
  rules: z.record(z.string(), z.unknown()),
  /** The SHA-256 of the manifest of the statement before it; null of the first. */
  previousSha256: sha256.nullable(),
  /** The statements of the same month before it. */
  earlier: z.array(z.strictObject({ number: z.int().min(1), sha256 })),
});

/** A statement as its manifest has it: what the database says of it. */
export type OpenStatement = z.infer<typeof statementSchema>;

/** The manifest of a proof pack. Its own SHA-256 is in `statements.manifest_sha256`. */
export const manifestSchema = z.strictObject({
  format: z.literal(1),
  statement: statementSchema,
  /** The SHA-256 of the public key (SPKI, DER) that its signature fits; null if it is not signed. */
  signedBy: sha256.nullable(),
  /** Sums over the organizations, by metric. */
  totals: z.array(
    z.strictObject({
      metric: z.string(),
      unit: z.string(),
      kind: z.enum(['flow', 'level']),
      orgs: count,
      quantity,
    }),
  ),
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

/** Columns with text from outside; all other text is written by the database. */
const TEXT_COLUMNS = [
  ...['org_name', 'referral_id', 'plan_id', 'customer_id', 'reason', 'message', 'waived_by', 'changed_by'],
  ...['payload_type', 'source', 'key'],
];

export function csvColumns(names: readonly string[]): CsvColumn[] {
  return names.map((name) => ({ name, isText: TEXT_COLUMNS.includes(name) }));
}

/**
 * Makes the proof pack of a statement that was begun, from what the transaction sees, and hands it to
 * the database, which seals the statement with it: the ledger changes later, the pack does not.
 * Returns the totals of the statement.
 */
export async function makePack(
  trx: Kysely<Schema>,
  statement: OpenStatement,
  { signingKey, signal }: { readonly signingKey: KeyObject | null; readonly signal: AbortSignal },
): Promise<Manifest['totals']> {
  const files: ManifestFile[] = [];
  for (const table of await readPackTables(trx, statement.id)) {
    files.push(await keepTable(trx, statement.id, { table, signal }));
  }
  const { rows: totals } = await sql<Manifest['totals'][number]>`
    select * from losant_usage.statement_totals(${statement.id}::uuid)`.execute(trx);
  const publicKey = signingKey === null ? null : createPublicKey(signingKey);
  // Parsed for the order of its keys, which is that of the schema.
  const manifest = manifestSchema.parse({
    format: 1,
    statement,
    signedBy: publicKey === null ? null : fingerprintOf(publicKey),
    totals,
    files,
  });
  const bytes = Buffer.from(renderManifest(manifest));
  if (signingKey !== null) {
    const signature = gzipSync(sign(null, bytes, signingKey));
    await keepPart(trx, { statementId: statement.id, name: SIGNATURE_NAME, content: signature });
  }
  await keepPart(trx, { statementId: statement.id, name: MANIFEST_NAME, content: bytes });
  return manifest.totals;
}

/** Returns the one text of a manifest. */
export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Returns the SHA-256 of a public key, in hex. */
export function fingerprintOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

async function keepTable(
  trx: Kysely<Schema>,
  statementId: string,
  { table, signal }: { table: PackTable; signal: AbortSignal },
): Promise<ManifestFile> {
  const { name } = table;
  const columns = csvColumns(table.columns);
  const hash = createHash('sha256');
  let [rows, bytes] = [0, 0];
  const keep = async (text: string) => {
    hash.update(text);
    bytes += Buffer.byteLength(text);
    await keepPart(trx, { statementId, name, content: gzipSync(text, { level: GZIP_LEVEL }) });
  };
  await keep(renderCsvHeader(columns));
  for await (const page of table.readRows(trx)) {
    signal.throwIfAborted();
    await keep(renderCsvRows(columns, page));
    rows += page.length;
  }
  return { name, columns: [...table.columns], rows, bytes, sha256: hash.digest('hex') };
}

/** The lowest level: hashes and ids hardly shrink, and a higher one takes three times as long. */
const GZIP_LEVEL = 1;

interface FilePart {
  readonly statementId: string;
  readonly name: string;
  /** A part of a file as gzip; of the manifest all of it as it is, after which nothing is taken. */
  readonly content: Buffer;
}

async function keepPart(trx: Kysely<Schema>, { statementId, name, content }: FilePart): Promise<void> {
  await sql`select losant_usage.seal_statement(${statementId}::uuid, ${name}, ${content})`.execute(trx);
}

/** A file of a proof pack: the rows behind a statement, every value as text. */
export interface PackTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** The columns that identify its rows and order them. */
  readonly key: readonly string[];
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
    sourcesTable(statementId),
    daysTable(
      statementId,
      metrics.map(({ metric }) => metric),
    ),
    coverageTable(statementId),
    revisionsTable(statementId),
    waiversTable(statementId),
    blockersTable(statementId),
  ];
}

type LineColumn = keyof Selectable<StatementLines>;

const LINE_COLUMNS: readonly LineColumn[] = [
  ...(['org_id', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'period_start', 'period_end'] as const),
  ...(['metric', 'unit', 'kind', 'quantity', 'total', 'total_max', 'total_avg', 'days_in_period'] as const),
  ...(['days_expected', 'days_stored', 'days_final', 'days_accepted', 'days_not_final'] as const),
  ...(['days_unavailable', 'days_in_doubt', 'days_missing', 'days_unreported', 'days_by_hand'] as const),
  ...(['is_billable', 'revision_watermark'] as const),
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

/** Returns the payloads of a statement by source, which may already be closed. */
export function sourcesTable(statementId: string): PackTable {
  return packTable('sources.csv', {
    columns: ['org_id', 'period_start', 'payload_type', 'source', 'quantity', 'total'],
    key: ['org_id', 'period_start', 'payload_type', 'source'],
    select: (trx) =>
      sql`${trx.selectFrom('statement_sources').selectAll().where('statement_id', '=', statementId)}`,
  });
}

function blockersTable(statementId: string): PackTable {
  return packTable('blockers.csv', {
    columns: [
      ...['position', 'org_id', 'org_name', 'period_start', 'period_end', 'cause', 'days'],
      ...['first_day', 'last_day', 'streams', 'what_to_do'],
    ],
    key: ['position'],
    select: (trx) =>
      sql`${trx
        .selectFrom('statement_blockers')
        .select(['position', 'org_id', 'org_name', 'period_start', 'period_end', 'cause', 'days'])
        .select(['first_day', 'last_day', 'what_to_do'])
        .select(sql<string | null>`array_to_string(streams, ' ')`.as('streams'))
        .where('statement_id', '=', statementId)}`,
  });
}

function revisionsTable(statementId: string): PackTable {
  return packTable('revisions.csv', {
    columns: [
      ...['org_id', 'usage_date', 'stream', 'id', 'revision', 'key', 'old', 'new', 'run_id'],
      ...['changed_by', 'changed_at', 'was_final'],
    ],
    key: ['org_id', 'usage_date', 'stream', 'id'],
    select: (trx) =>
      sql`${trx
        .selectFrom(periodsOf(trx, statementId).as('p'))
        .innerJoin('revisions as r', (join) =>
          join
            .onRef('r.org_id', '=', 'p.org_id')
            .onRef('r.usage_date', '>=', 'p.period_start')
            .onRef('r.usage_date', '<=', 'p.period_end'),
        )
        .select(['r.org_id', 'r.usage_date', 'r.stream', 'r.id', 'r.revision', 'r.key', 'r.old', 'r.new'])
        .select(['r.run_id', 'r.changed_by', 'r.was_final'])
        .select(instantText(sql.ref('r.changed_at')).as('changed_at'))}`,
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
    columns: ['org_id', 'usage_date', 'stream', 'id', 'reason', 'waived_by', 'waived_at', 'lifted_at'],
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
    key,
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

/** Yields the files of a statement beside its manifest as they were made, part by part, file by file. */
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
