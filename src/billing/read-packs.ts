/** Proof packs found in a folder: their manifests, signatures, and the chain of all of them. */
import { type KeyObject, verify } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
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
import { FileProblem, readSmall } from './pack-files.ts';

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
}

/** The findings about packs, to which each step of verifying them adds. */
export class Verification {
  /** The packs by instance and number. */
  readonly packs: Pack[] = [];
  readonly problems: PackProblem[] = [];
  /** Sentences on what was not checked. */
  readonly notes: string[] = [];
  /** The number of rows that were checked. */
  rows = 0;

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
const MANIFEST_MAX = 1_048_576;
const SIGNATURE_BYTES = 64;

/**
 * Reads the manifest of every pack in `root` and below it, and checks signatures, chain and which files there are.
 * Without keys, signatures are not checked. Rejects with the error of the file system if `root` cannot be read as a
 * folder.
 */
export async function readPacks(root: string, keys: readonly KeyObject[]): Promise<Verification> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  const verification = new Verification();
  for (const [folderPath, folderFiles] of Map.groupBy(files, ({ parentPath }) => parentPath)) {
    const names = new Set(folderFiles.map(({ name }) => name));
    if (!names.delete(MANIFEST_NAME)) continue;
    const folder = relative(root, folderPath);
    const pack = await verification.capture(
      folder,
      MANIFEST_NAME,
      async () => await openPack(folderPath, folder),
    );
    if (pack === null) continue;
    verification.packs.push(pack);
    const { files: named, signedBy } = pack.manifest;
    for (const { name } of named) names.delete(name);
    if (signedBy !== null) names.delete(SIGNATURE_NAME);
    for (const name of names) verification.addProblem(folder, name, 'is not listed in the manifest');
    const signed = signedBy === null ? MANIFEST_NAME : SIGNATURE_NAME;
    await verification.capture(folder, signed, async () => await checkSignature(pack, keys));
  }
  verification.packs.sort(compareNumbers);
  checkChain(verification);
  describeUnchecked(verification, keys);
  return verification;
}

async function openPack(place: string, folder: string): Promise<Pack> {
  const bytes = await readSmall(join(place, MANIFEST_NAME), MANIFEST_MAX);
  const manifest = parseManifest(bytes.toString('utf8'));
  if (typeof manifest === 'string') throw new FileProblem(manifest);
  const { checks } = manifest;
  const checksSql = await readChecks(checks).catch(() => {
    throw new FileProblem(`needs version ${checks} of ${CHECKS_NAME}, which this program does not include`);
  });
  return { folder, place, manifest, bytes, manifestSha256: hashOf(bytes), checksSql };
}

async function checkSignature(
  { manifest: { signedBy }, bytes, place }: Pack,
  keys: readonly KeyObject[],
): Promise<void> {
  if (signedBy === null) {
    if (keys.length > 0) throw new FileProblem('is not signed, but --key was given');
    return;
  }
  const signature = await readSmall(join(place, SIGNATURE_NAME), SIGNATURE_BYTES);
  if (keys.length === 0) return;
  const key = keys.find((each) => fingerprintOf(each) === signedBy);
  if (key === undefined) {
    const fingerprints = keys.map(fingerprintOf).join(', ');
    throw new FileProblem(`was signed with key ${signedBy}, but the given keys are ${fingerprints}`);
  }
  if (!verify(null, bytes, key, signature))
    throw new FileProblem('does not match the manifest; one of the two was changed');
}

/**
 * Checks the chain: no number twice, and each manifest lists the earlier statements of its month with their
 * hashes.
 */
function checkChain(found: Verification): void {
  const { packs } = found;
  const nameOf = ({ folder }: Pack) => join(folder, MANIFEST_NAME);
  for (const pack of packs) {
    const { statement } = pack.manifest;
    const { instanceId, number, month, kind, previousSha256, earlier } = statement;
    const say = (problem: string) => found.addProblem(pack.folder, MANIFEST_NAME, problem);
    const namesake = findPack(packs, statement) ?? pack;
    if (namesake !== pack) say(`has the same number (${number}) as ${nameOf(namesake)}`);
    const instanceNumbers = new Set(
      earlier.filter((each) => each.instanceId === instanceId).map((each) => each.number),
    );
    if ((kind === 'closing') === instanceNumbers.size > 0)
      say(`is a ${kind}, which does not match the earlier statements of ${month} that it lists`);
    for (const link of [{ instanceId, number: number - 1, sha256: previousSha256 }, ...earlier]) {
      const before = findPack(packs, link);
      if (before !== undefined && before.manifestSha256 !== link.sha256)
        say(
          `refers to statement ${link.number} with SHA-256 ${link.sha256 ?? 'none'}; ` +
            `but ${nameOf(before)} has ${before.manifestSha256}`,
        );
    }
    for (const each of earlier) {
      const before = findPack(packs, each);
      if (before === undefined && each.instanceId === instanceId)
        say(`refers to statement ${each.number} of ${month}, which is missing`);
      if (before !== undefined && before.manifest.statement.month !== month)
        say(`refers to ${nameOf(before)} as a statement of ${month}, but it is not one`);
    }
    for (const other of packs) {
      const before = other.manifest.statement;
      const isBefore = before.instanceId === instanceId && before.month === month && before.number < number;
      if (isBefore && !instanceNumbers.has(before.number))
        say(`does not refer to ${nameOf(other)}, an earlier statement of ${month}`);
    }
  }
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
function describeUnchecked({ packs, notes }: Verification, keys: readonly KeyObject[]): void {
  const signers = new Set(packs.flatMap(({ manifest: { signedBy } }) => signedBy ?? []));
  for (const signer of keys.length === 0 ? signers : [])
    notes.push(`Signed with key ${signer}; the signature was not checked (give --key FILE).`);
  if (signers.size === 0 && packs.length > 0)
    notes.push('Not signed: anyone who can write these files could have replaced all of them.');
  for (const { manifest } of packs) {
    const { instanceId, number } = manifest.statement;
    if (number > 1 && findPack(packs, { instanceId, number: number - 1 }) === undefined)
      notes.push(
        `Statement ${number - 1} of instance ${instanceId} is not in this folder, so ` +
          `the chain before number ${number} was not checked.`,
      );
  }
}

function compareNumbers(left: Pack, right: Pack): number {
  const [a, b] = [left.manifest.statement, right.manifest.statement];
  if (a.instanceId !== b.instanceId) return a.instanceId < b.instanceId ? -1 : 1;
  return a.number - b.number || (left.folder < right.folder ? -1 : 1);
}
