import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import { cannotBegin, cannotGoOn, codeOf } from '../files/whole-file.ts';
import type { Statement } from './month.ts';
import { MANIFEST_NAME, readFileParts } from './pack.ts';

/** A statement's pack and its folder, relative to that of all packs; '' for that folder itself. */
export interface PackPlace {
  readonly statement: Statement;
  readonly folder: string;
}

/**
 * `placePacks` returns the folders of a month's packs: the closing in the folder itself, adjustments in folders
 * below it. With several instances, each has a folder named by its id.
 */
export function placePacks(statements: readonly Statement[]): PackPlace[] {
  const instances = Map.groupBy(statements, ({ instanceId }) => instanceId);
  return [...instances].flatMap(([instanceId, each]) =>
    each.map((statement, place) => {
      const parts = instances.size > 1 ? [instanceId] : [];
      if (place > 0) parts.push(`adjustment-${place}`);
      return { statement, folder: join(...parts, '') };
    }),
  );
}

/**
 * `writePacks` writes the packs as they were made when the period was closed, with the same bytes each time. The
 * folder is created completely or not at all. Throws SettingsError if it cannot be created or is not
 * empty, FileError if writing it fails.
 */
export async function writePacks(
  { db }: Pick<DatabaseHandle, 'db'>,
  places: readonly PackPlace[],
  { out, signal }: { out: string; signal: AbortSignal },
): Promise<void> {
  const target = resolve(out);
  await requireFree(target, out);
  const partial = `${target}.partial-${process.pid}`;
  try {
    await removeLeftOvers(target);
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
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw cannotGoOn(error, out);
  }
}

/** `removeLeftOvers` removes what processes that were killed on this host have left of the folder. */
async function removeLeftOvers(target: string): Promise<void> {
  const start = `${basename(target)}.partial-`;
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(start) || isRunning(Number(name.slice(start.length)))) continue;
    await rm(join(dirname(target), name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

async function writePack(
  db: DatabaseHandle['db'],
  { statementId }: Statement,
  { folder, signal }: { folder: string; signal: AbortSignal },
): Promise<void> {
  for await (const { name, gzip } of readFileParts(db, statementId)) {
    signal.throwIfAborted();
    const file = await open(join(folder, name), 'a');
    try {
      await file.appendFile(gunzipSync(gzip));
    } finally {
      await file.close();
    }
  }
  const { manifest } = await db
    .selectFrom('statements')
    .select('manifest')
    .where('statement_id', '=', statementId)
    .executeTakeFirstOrThrow();
  await writeFile(join(folder, MANIFEST_NAME), manifest ?? '');
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
