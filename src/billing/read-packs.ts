/**
 * Reads the proof packs of a folder: their manifests, their signatures, and the chain of all of them. The files are
 * untrusted: type, size, hash and CSV form are checked.
 */
import { createHash, type KeyObject, verify } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { codeOf } from '../errors.ts';
import { UNFINISHED_INFIX } from '../files/atomic-file.ts';
import { compareText } from '../usage/cell.ts';
import {
  CHECKS_NAME,
  CSV_NAMES,
  fingerprintOf,
  hashOf,
  MANIFEST_NAME,
  type Manifest,
  parseManifest,
  SIGNATURE_NAME,
  type StatementDocument,
} from './manifest.ts';
import { readChecks } from './pack.ts';

export type Pack = Readonly<Awaited<ReturnType<typeof readPack>>>;

/** The result of verifying packs, to which each step adds. */
export class Verification {
  /** Ordered by instance and number. */
  readonly packs: Pack[] = [];
  readonly problems: { readonly file: string; readonly problem: string }[] = [];
  /** Sentences about what was not checked. */
  readonly notes: string[] = [];
  rows = 0;
  /** The database that the packs were compared with; null if they were not. */
  database: string | null = null;
  /** Whether that database lacks a statement, so that it cannot write its pack again. */
  lacksStatement = false;

  addProblem(folder: string, name: string, problem: string): void {
    this.problems.push({ file: join(folder, name), problem });
  }

  /** Runs `work` on a file. Records a FileProblem and returns null. */
  async capture<T>(folder: string, name: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      this.addProblem(folder, name, error.message);
      return null;
    }
  }
}

/** A manifest is a few kilobytes; a larger file is not one. */
const MAX_MANIFEST_BYTES = 1_048_576;
const SIGNATURE_BYTES = 64;

/**
 * Reads the manifest of every pack in `root` and below it, and checks the list of files, the signatures (if there are
 * keys) and the chain. Rejects with the error of the file system if `root` cannot be read as a folder.
 */
export async function readPacks(root: string, keys: readonly KeyObject[]): Promise<Verification> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  const verification = new Verification();
  for (const [folderPath, folderFiles] of Map.groupBy(files, ({ parentPath }) => parentPath)) {
    const unlistedNames = new Set(folderFiles.map(({ name }) => name));
    const folder = relative(root, folderPath);
    if (folder.includes(UNFINISHED_INFIX)) {
      const advice = 'Delete it if nothing is writing it.';
      verification.notes.push(`Not checked, because it is not finished: ${folder}. ${advice}`);
      continue;
    }
    if (!unlistedNames.delete(MANIFEST_NAME)) {
      if (CSV_NAMES.some((name) => unlistedNames.has(name)))
        verification.addProblem(folder, MANIFEST_NAME, 'is missing');
      continue;
    }
    const pack = await verification.capture(folder, MANIFEST_NAME, async () => await readPack(folderPath, folder));
    if (pack === null) continue;
    verification.packs.push(pack);
    const { files: listedFiles, signedBy } = pack.manifest;
    for (const { name } of listedFiles) unlistedNames.delete(name);
    if (signedBy !== null) unlistedNames.delete(SIGNATURE_NAME);
    for (const name of unlistedNames) verification.addProblem(folder, name, 'is not listed in the manifest');
    const signatureFile = signedBy === null ? MANIFEST_NAME : SIGNATURE_NAME;
    await verification.capture(folder, signatureFile, async () => await checkSignature(pack, keys));
  }
  verification.packs.sort(compareNumbers);
  checkChain(verification);
  describeUnchecked(verification, keys);
  return verification;
}

/**
 * Reads the manifest of a pack, with the checks of its version as this program includes them. `folder` is relative to
 * the folder that is verified; '' for that folder.
 */
async function readPack(path: string, folder: string) {
  const bytes = await readSmallFile(join(path, MANIFEST_NAME), MAX_MANIFEST_BYTES);
  const manifest = parseManifest(bytes.toString('utf8'));
  if (typeof manifest === 'string') throw new FileProblem(manifest);
  const { checks } = manifest;
  const checksSql = await readChecks(checks).catch(() => {
    throw new FileProblem(`needs version ${checks} of ${CHECKS_NAME}, which this program does not include`);
  });
  return { folder, path, manifest, bytes, manifestSha256: hashOf(bytes), checksSql };
}

async function checkSignature({ manifest: { signedBy }, bytes, path }: Pack, keys: readonly KeyObject[]) {
  if (signedBy === null) {
    if (keys.length > 0) throw new FileProblem('is not signed, but --key was given');
    return;
  }
  const signature = await readSmallFile(join(path, SIGNATURE_NAME), SIGNATURE_BYTES);
  if (keys.length === 0) return;
  const key = keys.find((candidate) => fingerprintOf(candidate) === signedBy);
  if (key === undefined) {
    const fingerprints = keys.map(fingerprintOf).join(', ');
    const subject = keys.length === 1 ? 'the given key is' : 'the given keys are';
    throw new FileProblem(`was signed with key ${signedBy}, but ${subject} ${fingerprints}`);
  }
  if (!verify(null, bytes, key, signature))
    throw new FileProblem('does not match the manifest; one of the two was changed');
}

/** Checks the chain: no number twice, and each manifest has the hashes of the earlier statements of its month. */
function checkChain(verification: Verification): void {
  const { packs } = verification;
  const manifestOf = ({ folder }: Pack) => join(folder, MANIFEST_NAME);
  for (const pack of packs) {
    const { statement } = pack.manifest;
    const { instanceId, number, month, kind, previousSha256, earlier } = statement;
    // The previous statement of the instance is often an earlier one of the month too.
    const problems = new Set<string>();
    const namesake = findPack(packs, statement) ?? pack;
    if (namesake !== pack) problems.add(`has the same number (${number}) as ${manifestOf(namesake)}`);
    const instanceNumbers = new Set(
      earlier.filter((link) => link.instanceId === instanceId).map((link) => link.number),
    );
    if ((kind === 'closing') === instanceNumbers.size > 0) {
      const noun = kind === 'closing' ? 'a closing' : 'an adjustment';
      problems.add(`is ${noun}, which does not match the earlier statements of ${month} that it lists`);
    }
    for (const link of [{ instanceId, number: number - 1, sha256: previousSha256 }, ...earlier]) {
      const linkedPack = findPack(packs, link);
      if (linkedPack !== undefined && linkedPack.manifestSha256 !== link.sha256)
        problems.add(
          `refers to statement ${link.number} with SHA-256 ${link.sha256 ?? 'none'}, ` +
            `but ${manifestOf(linkedPack)} has ${linkedPack.manifestSha256}`,
        );
    }
    for (const link of earlier) {
      const earlierPack = findPack(packs, link);
      if (earlierPack === undefined && link.instanceId === instanceId)
        problems.add(`refers to statement ${link.number} of ${month}, which is missing`);
      if (earlierPack !== undefined && earlierPack.manifest.statement.month !== month)
        problems.add(`refers to ${manifestOf(earlierPack)} as a statement of ${month}, but it is not one`);
    }
    for (const other of packs) {
      const { statement: candidate } = other.manifest;
      const isEarlier = candidate.instanceId === instanceId && candidate.month === month && candidate.number < number;
      if (isEarlier && !instanceNumbers.has(candidate.number))
        problems.add(`does not refer to ${manifestOf(other)}, an earlier statement of ${month}`);
    }
    for (const problem of problems) verification.addProblem(pack.folder, MANIFEST_NAME, problem);
  }
}

export function findPack(packs: readonly Pack[], link: Pick<StatementDocument, 'instanceId' | 'number'>) {
  const isLinked = ({ instanceId, number }: StatementDocument) =>
    instanceId === link.instanceId && number === link.number;
  return packs.find(({ manifest }) => isLinked(manifest.statement));
}

/** Adds notes on what cannot be checked: signatures without a key, and the chain before a missing pack. */
function describeUnchecked({ packs, notes }: Verification, keys: readonly KeyObject[]): void {
  const signers = new Set(packs.flatMap(({ manifest: { signedBy } }) => signedBy ?? []));
  for (const signer of keys.length === 0 ? signers : [])
    notes.push(`Signed with key ${signer}; the signature was not checked (give --key FILE).`);
  const unsignedPacks = packs.filter(({ manifest: { signedBy } }) => signedBy === null);
  const unsignedNames = unsignedPacks.map(({ folder }) => join(folder, MANIFEST_NAME)).join(', ');
  if (unsignedPacks.length > 0)
    notes.push(
      `Not signed${signers.size > 0 ? ` (${unsignedNames})` : ''}: ` +
        'anyone who can write these files could have replaced all of them.',
    );
  for (const { manifest } of packs) {
    const { instanceId, number } = manifest.statement;
    if (number > 1 && findPack(packs, { instanceId, number: number - 1 }) === undefined)
      notes.push(
        `Statement ${number - 1} of instance ${instanceId} is not in this folder, so ` +
          `the chain before number ${number} was not checked.`,
      );
  }
}

function compareNumbers(a: Pack, b: Pack): number {
  const [first, second] = [a.manifest.statement, b.manifest.statement];
  const byInstance = compareText(first.instanceId, second.instanceId);
  return byInstance || first.number - second.number || compareText(a.folder, b.folder);
}

/** A file of a pack is not as it should be; the message says why. */
export class FileProblem extends Error {}

/** Throws FileProblem for a link, a device or a pipe: reading one may never end. */
async function openRegularFile(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') throw new FileProblem('is missing');
    if (code === 'ELOOP' || code === 'ENXIO') throw new FileProblem('is not a regular file');
    if (code === 'EACCES') throw new FileProblem('is not readable by this user');
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new FileProblem('is not a regular file');
}

/** Throws FileProblem for a file of more than `maxBytes`. */
async function readSmallFile(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openRegularFile(path);
  const { size } = await file.stat();
  if (size > maxBytes) throw new FileProblem(`is too large (${size} bytes)`);
  return await file.readFile();
}

const CHUNK_BYTES = 131_072;

/** Yields the bytes of a listed file. Throws FileProblem for a wrong size before them, see also checkBytes. */
export async function* readListedFile({ path, manifest }: Pick<Pack, 'path' | 'manifest'>, name: string) {
  await using file = await openRegularFile(join(path, name));
  const { size } = await file.stat();
  const bytes = manifest.files.find((each) => each.name === name)?.bytes;
  if (size !== bytes) throw new FileProblem(`was changed: it has ${size} bytes instead of ${bytes}`);
  yield* checkBytes(manifest, name, file.createReadStream({ autoClose: false, highWaterMark: CHUNK_BYTES }));
}

/** Yields the bytes of a file of a pack. Throws FileProblem after the last ones if the manifest has another hash. */
export async function* checkBytes(manifest: Manifest, name: string, bytes: AsyncIterable<Uint8Array>) {
  const hash = createHash('sha256');
  for await (const part of bytes) {
    hash.update(part);
    yield part;
  }
  const entry = manifest.files.find((each) => each.name === name);
  if (hash.digest('hex') !== entry?.sha256) throw new FileProblem('was changed: its SHA-256 does not match');
}

/** Bounds a record whose quote is never closed. A revision has the sources of two bodies of up to 4 MiB. */
const MAX_RECORD_LENGTH = 2 ** 25;

/**
 * Yields the records of a CSV file in pages, with every field as text, as the sqlite3 shell does. Throws FileProblem
 * if it is not valid CSV. A record without quotes is split at its commas, which takes a tenth of the time.
 */
export async function* readRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[][]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let remainder = '';
  // The beginning of a record with a line break inside quotes.
  let partialLine = '';
  for await (const chunk of chunks) {
    // Postgres has no text with a NUL, and SQLite would compare only what is before it.
    if (chunk.includes(0)) throw new FileProblem('is not valid CSV: it has a NUL character');
    const lines = `${remainder}${decoder.decode(chunk, { stream: true })}`.split('\n');
    remainder = lines.pop() ?? '';
    const records: string[][] = [];
    for (const line of lines) {
      const hasOddQuotes = line.includes('"') && line.split('"').length % 2 === 0;
      const isInsideQuotes = (partialLine === '') === hasOddQuotes;
      const record = `${partialLine}${line}`;
      partialLine = isInsideQuotes ? `${record}\n` : '';
      if (!isInsideQuotes) records.push(parseRecord(record.endsWith('\r') ? record.slice(0, -1) : record));
    }
    yield records;
    if (remainder.length + partialLine.length > MAX_RECORD_LENGTH)
      throw new FileProblem('is not valid CSV: a line is too long, or a quote is not closed');
  }
  if (partialLine !== '' || remainder !== '') yield [parseRecord(`${partialLine}${remainder}`)];
}

/** Splits at every comma, and joins what quotes hold together: a regular expression fails on megabytes. */
function parseRecord(record: string): string[] {
  if (!record.includes('"')) return record.split(',');
  const fields: string[] = [];
  let parts: string[] = [];
  let quotes = 0;
  for (const part of record.split(',')) {
    parts.push(part);
    quotes += part.split('"').length - 1;
    if (quotes % 2 === 1) continue;
    fields.push(parseField(parts.join(',')));
    [parts, quotes] = [[], 0];
  }
  if (parts.length > 0) throw badQuoting(record);
  return fields;
}

function parseField(text: string): string {
  if (!text.includes('"')) return text;
  const quoted = text.slice(1, -1);
  if (text !== `"${quoted}"` || quoted.replaceAll('""', '').includes('"')) throw badQuoting(text);
  return quoted.replaceAll('""', '"');
}

const badQuoting = (text: string) => new FileProblem(`is not valid CSV: bad quoting in ${text.slice(0, 100)}`);
