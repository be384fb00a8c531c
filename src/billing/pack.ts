/** The proof pack of a statement: created and stored in the database, and written to a folder from there. */
import { createHash, type KeyObject, sign } from 'node:crypto';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { createAtomicFolder } from '../files/atomic-file.ts';
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

const CHECKS_VERSION = 1;

/** The checks, one file per version; every version of an existing pack is there. */
const CHECKS_FOLDER = join(dirname(findPackageJSON(import.meta.url) ?? ''), 'pack-checks');

export async function readChecks(version: number): Promise<string> {
  return await readFile(join(CHECKS_FOLDER, `${version}.sql`), 'utf8');
}

/** Creates the pack of a statement that was begun, from what the transaction sees. Storing it seals the statement. */
export async function createPack(
  trx: Kysely<Schema>,
  statement: StatementDocument,
  { signingKey, signal }: { signingKey: KeyObject | null; signal: AbortSignal },
): Promise<void> {
  const storePart = async (name: string, content: Buffer) =>
    await sql`select losant_usage.add_pack_file(${statement.id}::uuid, ${name}, ${content})`.execute(trx);
  const files: Manifest['files'] = [];
  const addFile = async (name: Manifest['files'][number]['name'], parts: AsyncIterable<string> | string[]) => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const part of joinTexts(parts)) {
      signal.throwIfAborted();
      const content = Buffer.from(part);
      hash.update(content);
      bytes += content.length;
      await storePart(name, content);
    }
    files.push({ name, bytes, sha256: hash.digest('hex') });
  };
  const checks = await readChecks(CHECKS_VERSION);
  for (const name of CSV_NAMES) await addFile(name, streamPackFile(trx, statement, { name, checks }));
  await addFile(CHECKS_NAME, [checks]);
  // Parsing puts the keys in schema order, which is the order that is hashed and signed.
  const manifest = manifestSchema.parse({
    format: 2,
    checks: CHECKS_VERSION,
    statement,
    signedBy: signingKey === null ? null : fingerprintOf(signingKey),
    files,
  });
  const content = Buffer.from(renderManifest(manifest));
  if (signingKey !== null) await storePart(SIGNATURE_NAME, sign(null, content, signingKey));
  await storePart(MANIFEST_NAME, content);
}

/** The smallest length of a part of a file, in characters; only the last part is shorter. */
const PART_LENGTH = 2 ** 20;

async function* joinTexts(texts: AsyncIterable<string> | string[]): AsyncGenerator<string> {
  let part = '';
  for await (const text of texts) {
    part += text;
    if (part.length < PART_LENGTH) continue;
    yield part;
    part = '';
  }
  if (part !== '') yield part;
}

/** The files of a pack; only a signed one has a signature. The manifest is last. */
const PACK_FILES = [...CSV_NAMES, CHECKS_NAME, SIGNATURE_NAME, MANIFEST_NAME];

/** Returns the text of a statement's manifest; it is empty only in the transaction that creates it. */
export async function readManifestText(db: Kysely<Schema>, statementId: string): Promise<string> {
  const statement = db.selectFrom('statements').select('manifest').where('statement_id', '=', statementId);
  return (await statement.executeTakeFirstOrThrow()).manifest ?? '';
}

/** Yields the parts of a file of a pack; none if the database does not have it. */
export async function* readStoredFile(db: Kysely<Schema>, statementId: string, name: string): AsyncGenerator<Buffer> {
  if (name === MANIFEST_NAME) yield Buffer.from(await readManifestText(db, statementId));
  const file = db.selectFrom('statement_files').select('content');
  const parts = file.where('statement_id', '=', statementId).where('name', '=', name);
  for (let part = 0; ; part += 1) {
    const stored = await parts.where('part', '=', part).executeTakeFirst();
    if (stored === undefined) return;
    yield stored.content;
  }
}

/**
 * Writes packs as they are stored, so with the same bytes each time. The folder is created completely or not at all.
 * Returns each statement with the folder of its pack, relative to `out`. Throws SettingsError if `out` cannot be
 * created or is not empty, AppError if writing fails.
 */
export async function writePacks(
  { db }: Pick<DatabaseHandle, 'db'>,
  statements: readonly Statement[],
  { out, signal }: { out: string; signal: AbortSignal },
) {
  const packFolders = assignFolders(statements);
  await createAtomicFolder(out, async (path) => {
    for (const { statement, folder } of packFolders) {
      await mkdir(join(path, folder), { recursive: true });
      for (const name of PACK_FILES) {
        for await (const content of readStoredFile(db, statement.statementId, name)) {
          signal.throwIfAborted();
          await appendFile(join(path, folder, name), content);
        }
      }
    }
  });
  return packFolders;
}

/** The closing gets the folder of all packs, `.`, adjustments folders in it; several instances have a folder each. */
function assignFolders(statements: readonly Statement[]) {
  const instances = Map.groupBy(statements, ({ instanceId }) => instanceId);
  return [...instances].flatMap(([instanceId, instanceStatements]) =>
    instanceStatements.map((statement, index) => {
      const parts = instances.size > 1 ? [instanceId] : [];
      if (index > 0) parts.push(`adjustment-${index}`);
      return { statement, folder: join(...parts, '') };
    }),
  );
}
