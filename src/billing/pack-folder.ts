/** Proof packs written into a folder, as a whole or not at all. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { cannotBegin, cannotGoOn, codeOf } from '../files/whole-file.ts';
import { CHECKS_NAME, CSV_NAMES, MANIFEST_NAME, SIGNATURE_NAME } from './manifest.ts';
import { readFileParts, readManifest } from './pack.ts';
import type { Statement } from './statements.ts';

/** A statement's pack and its folder, relative to that of all packs; '.' for that folder itself. */
interface PackPlace {
  readonly statement: Statement;
  readonly folder: string;
}

/**
 * Writes the packs as they were made when the month was closed, with the same bytes each time. The folder is
 * created completely or not at all. Returns where each pack is. Throws SettingsError if it cannot be created or
 * is not empty, ExportError if writing it fails.
 */
export async function writePacks(
  { db }: Pick<DatabaseHandle, 'db'>,
  statements: readonly Statement[],
  { out, signal }: { readonly out: string; readonly signal: AbortSignal },
): Promise<PackPlace[]> {
  const places = placePacks(statements);
  const target = resolve(out);
  await requireFree(target, out);
  // The name is nobody else's, so that nothing of the user's is ever removed.
  const partial = `${target}.unfinished-${randomUUID()}`;
  try {
    await mkdir(partial);
  } catch (error) {
    throw cannotBegin(error, out);
  }
  try {
    for (const { statement, folder } of places) {
      await mkdir(join(partial, folder), { recursive: true });
      await writePack(db, statement, { folder: join(partial, folder), signal });
    }
    // The rename also replaces an empty folder.
    await rename(partial, target);
    return places;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw cannotGoOn(error, out);
  }
}

/**
 * Returns the folders of a month's packs: the closing in the folder itself, adjustments in folders below it.
 * With several instances, each has a folder named by its id.
 */
function placePacks(statements: readonly Statement[]): PackPlace[] {
  const instances = Map.groupBy(statements, ({ instanceId }) => instanceId);
  return [...instances].flatMap(([instanceId, each]) =>
    each.map((statement, place) => {
      const parts = instances.size > 1 ? [instanceId] : [];
      if (place > 0) parts.push(`adjustment-${place}`);
      return { statement, folder: join(...parts, '') };
    }),
  );
}

/** The names of files that a database may hand out: it may be another one than it seems. */
const NAMES: ReadonlySet<string> = new Set([...CSV_NAMES, CHECKS_NAME, SIGNATURE_NAME]);

async function writePack(
  db: Kysely<Schema>,
  { statementId }: Statement,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<void> {
  for await (const { name, gzip } of readFileParts(db, statementId)) {
    signal.throwIfAborted();
    if (!NAMES.has(name)) throw new Error(`the database has a file of a pack called ${JSON.stringify(name)}`);
    const file = await open(join(folder, name), 'a');
    try {
      await file.appendFile(gunzipSync(gzip));
    } finally {
      await file.close();
    }
  }
  await writeFile(join(folder, MANIFEST_NAME), await readManifest(db, statementId));
}

async function requireFree(target: string, out: string): Promise<void> {
  try {
    if ((await readdir(target)).length === 0) return;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw cannotBegin(error, out);
  }
  throw new SettingsError(`${out} cannot be written: the folder is not empty`, {
    hint: 'name a new folder, or empty this one',
  });
}
