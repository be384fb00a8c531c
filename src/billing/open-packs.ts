/**
 * Proof packs read from a folder: their bytes against the manifest, its signature, and the chain of all of
 * them.
 */
import { createHash, type KeyObject, verify } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { codeOf } from '../files/whole-file.ts';
import {
  CHECKS_NAME,
  fingerprintOf,
  hashOf,
  MANIFEST_NAME,
  type Manifest,
  parseManifest,
  SIGNATURE_NAME,
} from './manifest.ts';
import { readChecks } from './pack.ts';

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
  /** The bytes of the manifest, which are signed. */
  readonly bytes: Buffer;
  readonly manifestSha256: string;
  /** The release's checks of the version that the manifest names. */
  readonly checksSql: string;
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

/** A manifest has some kilobytes; what is larger is none. */
const MANIFEST_MAX = 1_048_576;
const SIGNATURE_BYTES = 64;

/** A problem of one file. */
export class FileProblem extends Error {}

/**
 * Reads every pack in `root` and below it. Without keys, signatures are not checked. Rejects with the error
 * of the file system if `root` cannot be read as a folder.
 */
export async function openPacks(root: string, keys: readonly KeyObject[]): Promise<OpenedPacks> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  const packs: Pack[] = [];
  const problems: PackProblem[] = [];
  const notes: string[] = [];
  /** Returns what the work returns, or null where it finds a problem, which is told of the file. */
  const look = async <T>(file: string, work: () => T | Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      problems.push({ file, problem: error.message });
      return null;
    }
  };
  for (const [place, own] of Map.groupBy(files, ({ parentPath }) => parentPath)) {
    const names = new Set(own.map(({ name }) => name));
    if (!names.delete(MANIFEST_NAME)) continue;
    const folder = relative(root, place);
    const pack = await look(join(folder, MANIFEST_NAME), () => openPack(place, folder));
    if (pack === null) continue;
    packs.push(pack);
    const { manifest, checksSql, fileOf } = pack;
    for (const file of manifest.files) {
      names.delete(file.name);
      await look(fileOf(file.name), () => compareFile(join(place, file.name), file));
      if (file.name === CHECKS_NAME && hashOf(checksSql) !== file.sha256)
        notes.push(`${fileOf(CHECKS_NAME)} is not that of the release, which was used instead.`);
    }
    if (manifest.signedBy !== null) names.delete(SIGNATURE_NAME);
    for (const name of names) problems.push({ file: fileOf(name), problem: 'is in no manifest' });
    const signed = fileOf(manifest.signedBy === null ? MANIFEST_NAME : SIGNATURE_NAME);
    await look(signed, () => checkSignature(pack, keys));
  }
  packs.sort(compareNumbers);
  problems.push(...checkChain(packs));
  return { packs, problems, notes: [...notes, ...describeUnchecked(packs, keys)] };
}

/** Opens a regular file, and no link, device or pipe, which may never end. Throws FileProblem for these. */
export async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') throw new FileProblem('is missing');
    if (code === 'ELOOP' || code === 'ENXIO') throw new FileProblem('is no regular file');
    if (code === 'EACCES') throw new FileProblem('cannot be read by this user');
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new FileProblem('is no regular file');
}

/** Yields the bytes of a file in one buffer, whose bytes are others with each chunk. */
export async function* readChunks(file: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function readSmall(path: string, most: number): Promise<Buffer> {
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size > most) throw new FileProblem(`has ${size} bytes: too many`);
  return await file.readFile();
}

async function openPack(place: string, folder: string): Promise<Pack> {
  const bytes = await readSmall(join(place, MANIFEST_NAME), MANIFEST_MAX);
  const manifest = parseManifest(bytes.toString('utf8'));
  if (typeof manifest === 'string') throw new FileProblem(manifest);
  const { checks } = manifest;
  const checksSql = await readChecks(checks).catch(() => {
    throw new FileProblem(
      `is checked by version ${checks} of ${CHECKS_NAME}, which this program does not have`,
    );
  });
  const fileOf = (name: string) => join(folder, name);
  return { place, manifest, bytes, manifestSha256: hashOf(bytes), checksSql, folder, fileOf };
}

async function compareFile(path: string, { bytes, sha256 }: Manifest['files'][number]): Promise<void> {
  const hash = createHash('sha256');
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size !== bytes) throw new FileProblem(`was changed: it has ${size} bytes instead of ${bytes}`);
  for await (const chunk of readChunks(file)) hash.update(chunk);
  if (hash.digest('hex') !== sha256) throw new FileProblem('was changed: its SHA-256 is another');
}

async function checkSignature(
  { manifest: { signedBy }, bytes, place }: Pack,
  keys: readonly KeyObject[],
): Promise<void> {
  if (signedBy === null) {
    if (keys.length > 0) throw new FileProblem('is not signed, and --key was given');
    return;
  }
  const signature = await readSmall(join(place, SIGNATURE_NAME), SIGNATURE_BYTES);
  if (keys.length === 0) return;
  const key = keys.find((each) => fingerprintOf(each) === signedBy);
  if (key === undefined) {
    const given = keys.map(fingerprintOf).join(', ');
    throw new FileProblem(
      `is of the key ${signedBy}, and given ${keys.length === 1 ? 'is' : 'are'} ${given}`,
    );
  }
  if (!verify(null, bytes, key, signature))
    throw new FileProblem('does not fit the manifest: one of the two was changed');
}

/** Compares every manifest with those before it that are there: none is doubled, and each names the others. */
function checkChain(packs: readonly Pack[]): PackProblem[] {
  const problems: PackProblem[] = [];
  const nameOf = ({ fileOf }: Pack) => fileOf(MANIFEST_NAME);
  for (const pack of packs) {
    const { statement } = pack.manifest;
    const { instanceId, number, month, kind, previousSha256, earlier } = statement;
    const say = (problem: string) => problems.push({ file: nameOf(pack), problem });
    const first = findPack(packs, statement) ?? pack;
    if (first !== pack) say(`has the number ${number}, as has ${nameOf(first)}`);
    const own = new Set(earlier.filter((each) => each.instanceId === instanceId).map((each) => each.number));
    if ((kind === 'closing') === own.size > 0)
      say(`is of the kind ${kind}, which does not fit the statements of ${month} that it follows`);
    for (const link of [{ instanceId, number: number - 1, sha256: previousSha256 }, ...earlier]) {
      const found = findPack(packs, link);
      if (found !== undefined && found.manifestSha256 !== link.sha256)
        say(
          `follows number ${link.number} with the SHA-256 ${link.sha256 ?? 'none'}; ` +
            `that of ${nameOf(found)} is ${found.manifestSha256}`,
        );
    }
    for (const each of earlier) {
      const found = findPack(packs, each);
      if (found === undefined && each.instanceId === instanceId)
        say(`follows statement ${each.number} of ${month}, which is missing`);
      if (found !== undefined && found.manifest.statement.month !== month)
        say(`follows ${nameOf(found)} as a statement of ${month}, which it is not`);
    }
    for (const other of packs) {
      const before = other.manifest.statement;
      const isBefore = before.instanceId === instanceId && before.month === month && before.number < number;
      if (isBefore && !own.has(before.number))
        say(`does not know ${nameOf(other)}, a statement of ${month} before it`);
    }
  }
  return problems;
}

/** Returns the pack of a statement, if it is there. */
export function findPack(
  packs: readonly Pack[],
  { instanceId, number }: { readonly instanceId: string; readonly number: number },
): Pack | undefined {
  return packs.find(
    ({ manifest: { statement } }) => statement.instanceId === instanceId && statement.number === number,
  );
}

/** Describes what cannot be checked: signatures without a key, and where the chain is not there. */
function describeUnchecked(packs: readonly Pack[], keys: readonly KeyObject[]): string[] {
  const notes: string[] = [];
  const signers = new Set(packs.flatMap(({ manifest: { signedBy } }) => signedBy ?? []));
  for (const signer of keys.length === 0 ? signers : [])
    notes.push(`Signed with the key ${signer}, which was not checked: give --key FILE.`);
  if (signers.size === 0 && packs.length > 0)
    notes.push('Not signed: whoever can write the files can write all of them anew.');
  for (const { manifest } of packs) {
    const { instanceId, number } = manifest.statement;
    if (number > 1 && findPack(packs, { instanceId, number: number - 1 }) === undefined)
      notes.push(
        `Statement ${number - 1} of instance ${instanceId} is not here: ` +
          `the chain before number ${number} was not checked.`,
      );
  }
  return notes;
}

function compareNumbers(left: Pack, right: Pack): number {
  const [a, b] = [left.manifest.statement, right.manifest.statement];
  if (a.instanceId !== b.instanceId) return a.instanceId < b.instanceId ? -1 : 1;
  return a.number - b.number || (left.folder < right.folder ? -1 : 1);
}
