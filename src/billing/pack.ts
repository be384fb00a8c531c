/** The proof pack of a statement: made and kept in the database, and written from there. */
import { createHash, type KeyObject, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import {
  CHECKS_NAME,
  CHECKS_VERSION,
  CSV_NAMES,
  fingerprintOf,
  MANIFEST_NAME,
  type Manifest,
  manifestSchema,
  renderManifest,
  SIGNATURE_NAME,
  type StatementDocument,
} from './manifest.ts';
import { renderTable } from './pack-tables.ts';

/** The lowest level: hashes and ids hardly shrink, and a higher one takes three times as long. */
const GZIP_LEVEL = 1;

/**
 * Makes the proof pack of a statement that was begun, from what the transaction sees, and hands it to the
 * database, which seals the statement with it: the ledger changes later, the pack does not.
 */
export async function makePack(
  trx: Kysely<Schema>,
  statement: StatementDocument,
  { signingKey, signal }: { readonly signingKey: KeyObject | null; readonly signal: AbortSignal },
): Promise<void> {
  const files: Manifest['files'] = [];
  const keep = async (name: Manifest['files'][number]['name'], parts: AsyncIterable<string> | string[]) => {
    const hash = createHash('sha256');
    let bytes = 0;
    // A part is compressed while the database makes the next one.
    let pending: Promise<Buffer> | null = null;
    for await (const part of parts) {
      signal.throwIfAborted();
      const content = Buffer.from(part);
      hash.update(content);
      bytes += content.length;
      if (pending !== null) await keepPart(trx, statement, { name, gzip: await pending });
      pending = compress(content);
    }
    if (pending !== null) await keepPart(trx, statement, { name, gzip: await pending });
    files.push({ name, bytes, sha256: hash.digest('hex') });
  };
  for (const name of CSV_NAMES) await keep(name, renderTable(trx, statement, name));
  await keep(CHECKS_NAME, [await readChecks(CHECKS_VERSION)]);
  // Parsed for the order of its keys, which is that of the schema.
  const manifest = manifestSchema.parse({
    format: 2,
    checks: CHECKS_VERSION,
    statement,
    signedBy: signingKey === null ? null : fingerprintOf(signingKey),
    files,
  });
  const content = Buffer.from(renderManifest(manifest));
  if (signingKey !== null) {
    const signature = await compress(sign(null, content, signingKey));
    await keepPart(trx, statement, { name: SIGNATURE_NAME, gzip: signature });
  }
  await sql`select losant_usage.seal_statement(${statement.id}::uuid, ${MANIFEST_NAME}, ${content})`.execute(
    trx,
  );
}

async function compress(content: Buffer): Promise<Buffer> {
  return await promisify(gzip)(content, { level: GZIP_LEVEL });
}

async function keepPart(
  trx: Kysely<Schema>,
  { id }: StatementDocument,
  { name, gzip: content }: FilePart,
): Promise<void> {
  await sql`select losant_usage.seal_statement(${id}::uuid, ${name}, ${content})`.execute(trx);
}

/** The queries that check a pack, a file for each version; also of versions that are no longer made. */
const CHECKS_FOLDER = join(dirname(findPackageJSON(import.meta.url) ?? ''), 'pack-checks');

export async function readChecks(version: number): Promise<string> {
  return await readFile(join(CHECKS_FOLDER, `${version}.sql`), 'utf8');
}

/** A part of a file of a statement's pack. */
export interface FilePart {
  readonly name: string;
  readonly gzip: Buffer;
}

/**
 * Yields the files of a statement beside its manifest as they were made, or one of them, file by file, part
 * by part.
 */
export async function* readFileParts(
  db: Kysely<Schema>,
  statementId: string,
  only: string | null = null,
): AsyncGenerator<FilePart> {
  const files = db.selectFrom('statement_files').where('statement_id', '=', statementId);
  const wanted = only === null ? files : files.where('name', '=', only);
  const parts = await wanted.select(['name', 'part']).orderBy('name').orderBy('part').execute();
  for (const { name, part } of parts) {
    const { gzip } = await files
      .select('content_gzip as gzip')
      .where('name', '=', name)
      .where('part', '=', part)
      .executeTakeFirstOrThrow();
    yield { name, gzip };
  }
}

/** Returns the manifest of a statement as it was made. */
export async function readManifest(db: Kysely<Schema>, statementId: string): Promise<string> {
  const { manifest } = await db
    .selectFrom('statements')
    .select('manifest')
    .where('statement_id', '=', statementId)
    .executeTakeFirstOrThrow();
  // Only the transaction that makes it sees a statement without one.
  return manifest ?? '';
}
