/** The proof pack of a statement: its files, how they are made and stored, and the keys that sign it. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import { z } from 'zod';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { renderCsvHeader } from '../files/csv.ts';
import { codeOf } from '../files/whole-file.ts';
import { PERIOD_SOURCES, parseMonth } from '../usage/period.ts';
import { columnsOf, METRICS } from './pack-files.ts';
import { type PackTable, readLines, readPackTables } from './pack-tables.ts';

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

/** The total of a statement for one metric. */
export type StatementTotal = Manifest['totals'][number];

/** The sums of a statement over all organizations. */
export class Totals {
  readonly #metrics = new Map<string, { orgs: number; quantity: bigint | null }>();

  /** Adds the quantities of an organization, each with its metric; null where none is stored. */
  add(quantities: readonly (readonly [metric: string, quantity: string | null])[]): void {
    for (const [metric, each] of Map.groupBy(quantities, ([name]) => name)) {
      const known = this.#metrics.get(metric) ?? { orgs: 0, quantity: null };
      known.orgs += 1;
      for (const [, quantity] of each)
        if (quantity !== null) known.quantity = (known.quantity ?? 0n) + BigInt(quantity);
      this.#metrics.set(metric, known);
    }
  }

  /** Returns the totals in the order of the metrics. */
  list(): StatementTotal[] {
    return [...METRICS].flatMap(([metric, { unit, kind }]) => {
      const sum = this.#metrics.get(metric);
      if (sum === undefined) return [];
      return [
        { metric, unit, kind, orgs: sum.orgs, quantity: sum.quantity === null ? null : `${sum.quantity}` },
      ];
    });
  }
}

/**
 * `makePack` makes the proof pack of a statement that was begun, from what the transaction sees, and hands it to
 * the database, which seals the statement with it: the ledger changes later, the pack does not.
 * Returns the totals of the statement.
 */
export async function makePack(
  trx: Kysely<Schema>,
  statement: OpenStatement,
  { signingKey, signal }: { readonly signingKey: KeyObject | null; readonly signal: AbortSignal },
): Promise<StatementTotal[]> {
  const files: ManifestFile[] = [];
  for (const table of await readPackTables(trx, statement.id)) {
    files.push(await keepTable(trx, statement.id, { table, signal }));
  }
  const { rows: totals } = await sql<StatementTotal>`
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
    await keepPart(trx, statement.id, SIGNATURE_NAME, signature);
  }
  await keepPart(trx, statement.id, MANIFEST_NAME, bytes);
  return manifest.totals;
}

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** `fingerprintOf` returns the SHA-256 of a public key, in hex. */
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
  const columns = columnsOf(name);
  const hash = createHash('sha256');
  let [rows, bytes] = [0, 0];
  const keep = async (text: string) => {
    hash.update(text);
    bytes += Buffer.byteLength(text);
    await keepPart(trx, statementId, name, gzipSync(text, { level: GZIP_LEVEL }));
  };
  await keep(renderCsvHeader(columns));
  for await (const page of readLines(trx, table)) {
    signal.throwIfAborted();
    await keep(page.join(''));
    rows += page.length;
  }
  return { name, columns: columns.map((column) => column.name), rows, bytes, sha256: hash.digest('hex') };
}

/** The lowest level: hashes and ids hardly shrink, and a higher one takes three times as long. */
const GZIP_LEVEL = 1;

/** `keepPart` stores a part of a file as gzip; of the manifest all of it as it is, after which nothing is taken. */
async function keepPart(
  trx: Kysely<Schema>,
  statementId: string,
  name: string,
  content: Buffer,
): Promise<void> {
  await sql`select losant_usage.seal_statement(${statementId}::uuid, ${name}, ${content})`.execute(trx);
}

/**
 * `readFileParts` yields the files of a statement beside its manifest as they were made, part by part,
 * file by file.
 */
export async function* readFileParts(db: Kysely<Schema>, statementId: string) {
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

/** `readSigningKey` reads the private key of STATEMENT_KEY_FILE. Throws SettingsError if the file has none. */
export async function readSigningKey(path: string): Promise<KeyObject> {
  return await readKey(path, createPrivateKey, {
    what: `STATEMENT_KEY_FILE ${path}`,
    hint: 'make one with: openssl genpkey -algorithm ed25519 -out FILE',
  });
}

/** `readPublicKey` reads a public key, also out of a private one. Throws SettingsError if the file has none. */
export async function readPublicKey(path: string): Promise<KeyObject> {
  return await readKey(path, createPublicKey, {
    what: `--key ${path}`,
    hint: 'make one from the private key with: openssl pkey -pubout -in PRIVATE -out FILE',
  });
}

async function readKey(
  path: string,
  parse: (pem: Buffer) => KeyObject,
  { what, hint }: { readonly what: string; readonly hint: string },
): Promise<KeyObject> {
  let pem: Buffer;
  try {
    pem = await readFile(path);
  } catch (error) {
    const problem = `${what} cannot be read (${codeOf(error) ?? 'unknown'})`;
    throw new SettingsError(problem, { hint: 'name a file that this user may read', cause: error });
  }
  const key = tryParse(pem, parse);
  if (key?.asymmetricKeyType === 'ed25519') return key;
  const problem =
    key === null
      ? 'has no key in PEM that is not encrypted'
      : `has a key of type ${key.asymmetricKeyType}, not Ed25519`;
  throw new SettingsError(`${what} ${problem}`, { hint });
}

/** The error of the parser is not kept: it may quote the file. */
function tryParse(pem: Buffer, parse: (pem: Buffer) => KeyObject): KeyObject | null {
  try {
    return parse(pem);
  } catch {
    return null;
  }
}
