/** The proof pack of a statement: made and kept in the database, and written into a folder from there. */
import { createHash, type KeyObject, randomUUID, sign } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzip } from 'node:zlib';
import { type Kysely, sql } from 'kysely';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { codeOf, toCreateError, toWriteError } from '../files/atomic-file.ts';
import {
  CHECKS_NAME,
  CSV_NAMES,
  fingerprintOf,
  MANIFEST_NAME,
  type Manifest,
  manifestSchema,
  renderManifest,
  SIGNATURE_NAME,
  type StatementDocument,
} from './manifest.ts';
import { streamPackFile } from './pack-tables.ts';
import type { Statement } from './statements.ts';

/** The version of the checks that a pack made now is checked with. */
const CHECKS_VERSION = 1;

/** The queries that check a pack, a file for each version; also of versions that are no longer made. */
const CHECKS_FOLDER = join(dirname(findPackageJSON(import.meta.url) ?? ''), 'pack-checks');

export async function readChecks(version: number): Promise<string> {
  return await readFile(join(CHECKS_FOLDER, `${version}.sql`), 'utf8');
}

/**
 * Makes the proof pack of a statement that was begun, from what the transaction sees, and hands it to the
 * database, which seals the statement with it: the ledger changes later, the pack does not.
 */
export async function createPack(
  trx: Kysely<Schema>,
  statement: StatementDocument,
  { signingKey, signal }: { readonly signingKey: KeyObject | null; readonly signal: AbortSignal },
): Promise<void> {
  const seal = async (name: string, content: Buffer) =>
    await sql`select losant_usage.add_pack_file(${statement.id}::uuid, ${name}, ${content})`.execute(trx);
  const files: Manifest['files'] = [];
  const keep = async (name: Manifest['files'][number]['name'], parts: AsyncIterable<string> | string[]) => {
    const hash = createHash('sha256');
    let bytes = 0;
    // A part is compressed while the database makes the next one.
    let pending: Promise<Buffer> | null = null;
    for await (const part of joined(parts)) {
      signal.throwIfAborted();
      const content = Buffer.from(part);
      hash.update(content);
      bytes += content.length;
      if (pending !== null) await seal(name, await pending);
      pending = compress(content);
    }
    if (pending !== null) await seal(name, await pending);
    files.push({ name, bytes, sha256: hash.digest('hex') });
  };
  const checks = await readChecks(CHECKS_VERSION);
  for (const name of CSV_NAMES) await keep(name, streamPackFile(trx, statement, { name, checks }));
  await keep(CHECKS_NAME, [checks]);
  // Parsing puts the keys in schema order, which is the order that is hashed and signed.
  const manifest = manifestSchema.parse({
    format: 2,
    checks: CHECKS_VERSION,
    statement,
    signedBy: signingKey === null ? null : fingerprintOf(signingKey),
    files,
  });
  const content = Buffer.from(renderManifest(manifest));
  if (signingKey !== null) await seal(SIGNATURE_NAME, await compress(sign(null, content, signingKey)));
  await seal(MANIFEST_NAME, content);
}

/** The length of a part of a file, in characters. */
const PART_LENGTH = 2 ** 20;

/** Joins texts to parts that are large enough to be compressed and stored by themselves. */
async function* joined(texts: AsyncIterable<string> | string[]): AsyncGenerator<string> {
  let part = '';
  for await (const text of texts) {
    part += text;
    if (part.length < PART_LENGTH) continue;
    yield part;
    part = '';
  }
  if (part !== '') yield part;
}

/** Compresses at the lowest level: hashes and ids hardly shrink, and a higher one takes three times as long. */
async function compress(content: Buffer): Promise<Buffer> {
  return await promisify(gzip)(content, { level: 1 });
}

/**
 * File names are checked although they come from the database: they become paths, and the database may not be what
 * it seems.
 */
const NAMES: ReadonlySet<string> = new Set([...CSV_NAMES, CHECKS_NAME, SIGNATURE_NAME]);

/** Yields the files of a statement as they were made, file by file, part by part, its manifest last. */
export async function* readFiles(
  db: Kysely<Schema>,
  statementId: string,
): AsyncGenerator<readonly [name: string, content: Buffer]> {
  const files = db.selectFrom('statement_files').where('statement_id', '=', statementId);
  for (const { name, part } of await files
    .select(['name', 'part'])
    .orderBy('name')
    .orderBy('part')
    .execute()) {
    if (!NAMES.has(name)) throw new Error(`the database has a file of a pack called ${JSON.stringify(name)}`);
    const one = files.select('content_gzip').where('name', '=', name).where('part', '=', part);
    const { content_gzip } = await one.executeTakeFirstOrThrow();
    yield [name, gunzipSync(content_gzip)];
  }
  const sealed = db.selectFrom('statements').select('manifest').where('statement_id', '=', statementId);
  const { manifest } = await sealed.executeTakeFirstOrThrow();
  // Only the transaction that makes it sees a statement without one.
  yield [MANIFEST_NAME, Buffer.from(manifest ?? '')];
}

/** A statement's pack and its folder, relative to that of all packs; '.' for that folder itself. */
interface PackPlace {
  readonly statement: Statement;
  readonly folder: string;
}

/**
 * Writes the packs as they were made when the month was closed, with the same bytes each time. The folder is
 * created completely or not at all. Returns where each pack is. Throws SettingsError if it cannot be created or
 * is not empty, AppError if writing it fails.
 */
export async function writePacks(
  { db }: Pick<DatabaseHandle, 'db'>,
  statements: readonly Statement[],
  { out, signal }: { readonly out: string; readonly signal: AbortSignal },
): Promise<PackPlace[]> {
  const places = placePacks(statements);
  const target = resolve(out);
  // A unique name, so that cleaning up never removes a file of the user's.
  const partial = `${target}.unfinished-${randomUUID()}`;
  try {
    await requireFree(target, out);
    await mkdir(partial);
  } catch (error) {
    throw toCreateError(error, out);
  }
  try {
    for (const { statement, folder } of places) {
      await mkdir(join(partial, folder), { recursive: true });
      for await (const [name, content] of readFiles(db, statement.statementId)) {
        signal.throwIfAborted();
        await appendFile(join(partial, folder, name), content);
      }
    }
    // The rename also replaces an empty folder.
    await rename(partial, target);
    return places;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw toWriteError(error, out);
  }
}

/**
 * Returns the folders of a month's packs: the closing in the folder itself, adjustments in folders below it.
 * With several instances, each has a folder named by its id.
 */
function placePacks(statements: readonly Statement[]): PackPlace[] {
  const instances = Map.groupBy(statements, ({ instanceId }) => instanceId);
  return [...instances].flatMap(([instanceId, each]) =>
    each.map((statement, index) => {
      const parts = instances.size > 1 ? [instanceId] : [];
      if (index > 0) parts.push(`adjustment-${index}`);
      return { statement, folder: join(...parts, '') };
    }),
  );
}

async function requireFree(target: string, out: string): Promise<void> {
  const entries = await readdir(target).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  if (entries.length === 0) return;
  throw new SettingsError(`cannot write to ${out}: the folder is not empty`, {
    hint: 'give a new folder, or empty this one',
  });
}
