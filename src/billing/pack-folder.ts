/**
 * Proof packs in folders: written as a whole or not at all, and read, their bytes against the manifest, its signature,
 * and the chain of all of them.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { DatabaseHandle } from '../database/handle.ts';
import { SettingsError } from '../errors.ts';
import { cannotBegin, cannotGoOn, codeOf } from '../files/whole-file.ts';
import type { Statement } from './month.ts';
import {
  fingerprintOf,
  MANIFEST_NAME,
  type Manifest,
  manifestSchema,
  readFileParts,
  renderManifest,
  SIGNATURE_NAME,
} from './pack.ts';
import { columnsOf, PACK_FILES, readChunks } from './pack-files.ts';

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

/** A problem of a pack. */
export interface PackProblem {
  /** The file, with its folder. */
  readonly file: string;
  readonly problem: string;
}

/** A pack whose manifest was read. */
export interface Pack {
  /** The folder, relative to the one that is verified; '' for that one. */
  readonly folder: string;
  /** The path of its files. */
  readonly place: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  /** Returns the name of one of its files in problems. */
  readonly fileOf: (name: string) => string;
}

export interface OpenedPacks {
  /** The packs by instance and number. */
  readonly packs: readonly Pack[];
  readonly problems: readonly PackProblem[];
  /** Sentences on what was not checked. */
  readonly notes: readonly string[];
}

/**
 * `openPacks` reads every pack in `root` and below it. Without a key, signatures are not checked. Rejects with the
 * error of the file system if `root` cannot be read as a folder.
 */
export async function openPacks(root: string, key: KeyObject | null): Promise<OpenedPacks> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => ({ folder: parentPath.slice(root.length).replace(/^[/\\]/, ''), name }));
  const folders = files.filter(({ name }) => name === MANIFEST_NAME).map(({ folder }) => folder);
  if (folders.length === 0) return { packs: [], problems: [], notes: [] };
  const packs: Pack[] = [];
  const problems: PackProblem[] = [];
  for (const folder of folders.toSorted()) {
    const pack = await openPack(root, folder);
    if ('problem' in pack) problems.push(pack);
    else {
      packs.push(pack);
      problems.push(...(await checkFiles(pack)), ...(await checkSignature(pack, key)));
    }
  }
  for (const { folder, name } of files) {
    const pack = packs.find((each) => each.folder === folder);
    if (pack === undefined ? folders.includes(folder) : namesOf(pack).includes(name)) continue;
    problems.push({ file: join(folder, name), problem: 'is in no manifest' });
  }
  const inOrder = packs.toSorted(byNumber);
  return {
    packs: inOrder,
    problems: [...problems, ...checkChain(inOrder)],
    notes: describeUnchecked(inOrder, key),
  };
}

async function openPack(root: string, folder: string): Promise<Pack | PackProblem> {
  const place = join(root, folder);
  const bytes = await readFile(join(place, MANIFEST_NAME));
  const manifest = parseManifest(bytes.toString('utf8'));
  const fileOf = (name: string) => join(folder, name);
  if (typeof manifest === 'string') return { file: fileOf(MANIFEST_NAME), problem: manifest };
  return { folder, place, manifest, manifestSha256: hashOf(bytes), fileOf };
}

function parseManifest(text: string): Manifest | string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return 'is no JSON document';
  }
  const { success, data, error } = manifestSchema.safeParse(document);
  if (!success) {
    const [issue] = error.issues;
    return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is wrong'}`;
  }
  return text === renderManifest(data) ? data : 'is not written as close writes it: it was changed';
}

function namesOf({ manifest: { files, signedBy } }: Pack): string[] {
  const names = [MANIFEST_NAME, ...files.map(({ name }) => name)];
  return signedBy === null ? names : [...names, SIGNATURE_NAME];
}

async function checkFiles(pack: Pack): Promise<PackProblem[]> {
  const { files } = pack.manifest;
  const problems: PackProblem[] = [];
  for (const name of PACK_FILES) {
    const columns = columnsOf(name).map((column) => column.name);
    const named = files.filter((file) => file.name === name);
    const areSame = named.every((file) => file.columns.join() === columns.join());
    if (named.length === 1 && areSame) continue;
    const problem = areSame ? `names ${name} ${named.length} times` : `names other columns of ${name}`;
    problems.push({ file: pack.fileOf(MANIFEST_NAME), problem });
  }
  for (const file of files) {
    const problem = await compareFile(join(pack.place, file.name), file);
    if (problem !== null) problems.push({ file: pack.fileOf(file.name), problem });
  }
  return problems;
}

async function compareFile(
  path: string,
  { bytes, sha256 }: Manifest['files'][number],
): Promise<string | null> {
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of readChunks(path)) {
      hash.update(chunk);
      size += chunk.length;
    }
    if (size !== bytes) return `was changed: it has ${size} bytes instead of ${bytes}`;
    return hash.digest('hex') === sha256 ? null : 'was changed: its SHA-256 is another';
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'is missing';
    if (codeOf(error) === 'EISDIR') return 'is a folder';
    throw error;
  }
}

async function checkSignature(pack: Pack, key: KeyObject | null): Promise<PackProblem[]> {
  const { signedBy } = pack.manifest;
  const file = pack.fileOf(SIGNATURE_NAME);
  if (signedBy === null) {
    const problem = 'is not signed, and --key was given';
    return key === null ? [] : [{ file: pack.fileOf(MANIFEST_NAME), problem }];
  }
  const signature = await readFile(join(pack.place, SIGNATURE_NAME)).catch(() => null);
  if (signature === null) return [{ file, problem: 'is missing, and the manifest says that it is signed' }];
  if (key === null) return [];
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const fingerprint = fingerprintOf(publicKey);
  if (fingerprint !== signedBy) {
    return [{ file, problem: `is of the key ${signedBy}, the one given is ${fingerprint}` }];
  }
  const bytes = await readFile(join(pack.place, MANIFEST_NAME));
  if (verify(null, bytes, publicKey, signature)) return [];
  return [{ file, problem: 'does not fit the manifest: one of the two was changed' }];
}

/**
 * `checkChain` compares every manifest with those before it that are there: none is doubled, and each
 * names the last.
 */
function checkChain(packs: readonly Pack[]): PackProblem[] {
  const problems: PackProblem[] = [];
  for (const pack of packs) {
    const { statement } = pack.manifest;
    const { number, month, kind, previousSha256, earlier } = statement;
    const say = (problem: string) => problems.push({ file: pack.fileOf(MANIFEST_NAME), problem });
    const nameOf = ({ fileOf }: Pack) => fileOf(MANIFEST_NAME);
    const siblings = packs.filter(({ manifest }) => manifest.statement.instanceId === statement.instanceId);
    const numbered = (wanted: number) =>
      siblings.find(({ manifest }) => manifest.statement.number === wanted);
    const first = numbered(number);
    if (first !== undefined && first !== pack) say(`has the number ${number}, as has ${nameOf(first)}`);
    const before = numbered(number - 1);
    if (before !== undefined && before.manifestSha256 !== previousSha256)
      say(
        `follows a manifest with the SHA-256 ${previousSha256 ?? 'none'}; that of number ${number - 1}, ${nameOf(before)}, is ${before.manifestSha256}`,
      );
    if ((number === 1) !== (previousSha256 === null))
      say(`is number ${number}, and follows ${previousSha256 ?? 'no other'}`);
    if ((kind === 'closing') !== (earlier.length === 0))
      say(
        `is ${kind === 'closing' ? 'a closing' : 'an adjustment'}, and follows ${earlier.length} statements of its month`,
      );
    for (const { number: wanted, sha256 } of earlier) {
      const found = numbered(wanted);
      if (found === undefined) say(`follows statement ${wanted} of ${month}, which is missing`);
      else if (found.manifestSha256 !== sha256 || found.manifest.statement.month !== month)
        say(
          `follows statement ${wanted} of ${month} with the SHA-256 ${sha256}, which ${nameOf(found)} is not`,
        );
    }
    const later = siblings.find(
      ({ manifest: { statement: other } }) =>
        other.month === month &&
        other.number > number &&
        !other.earlier.some((each) => each.number === number),
    );
    if (later !== undefined) say(`is a statement of ${month} that ${nameOf(later)} does not know`);
  }
  return problems;
}

/**
 * `describeUnchecked` describes what cannot be checked: signatures without a key, and where the chain is
 * not there.
 */
function describeUnchecked(packs: readonly Pack[], key: KeyObject | null): string[] {
  const signers = new Set(packs.flatMap(({ manifest: { signedBy } }) => signedBy ?? []));
  const notes =
    key === null
      ? [...signers].map((each) => `Signed with the key ${each}, which was not checked: give --key FILE.`)
      : [];
  if (signers.size === 0 && packs.length > 0)
    notes.push('Not signed: whoever can write the files can write all of them anew.');
  for (const [instanceId, each] of Map.groupBy(packs, ({ manifest }) => manifest.statement.instanceId)) {
    let next = 1;
    for (const { manifest } of each) {
      const { number } = manifest.statement;
      if (number > next) {
        const gone = number - next === 1 ? `Statement ${next}` : `Statements ${next} to ${number - 1}`;
        notes.push(
          `${gone} of instance ${instanceId} ${number - next === 1 ? 'is' : 'are'} not here: the chain before number ${number} was not checked.`,
        );
      }
      next = number + 1;
    }
  }
  return notes;
}

function byNumber({ manifest: { statement: a } }: Pack, { manifest: { statement: b } }: Pack): number {
  if (a.instanceId !== b.instanceId) return a.instanceId < b.instanceId ? -1 : 1;
  return a.number - b.number;
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
