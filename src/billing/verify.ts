import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readCsv } from '../files/csv.ts';
import { codeOf } from '../files/whole-file.ts';
import { csvColumns, MANIFEST_NAME, type Manifest, manifestSchema } from './manifest.ts';

/** A row of a file, by column. */
export type PackRow = Readonly<Record<string, string | null>>;

/** What is wrong with a pack. */
export interface PackProblem {
  /** The file, with the folder it lies in. */
  readonly file: string;
  readonly problem: string;
}

/** A pack that was read. */
export interface Pack {
  /** The folder, relative to the one that is verified; '' for that one. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly readRows: (file: string) => AsyncGenerator<PackRow>;
}

/** The folders below `root`, itself included, that hold a manifest. */
export async function findPacks(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name === MANIFEST_NAME)
    .map((entry) => entry.parentPath.slice(root.length).replace(/^[/\\]/, ''))
    .toSorted();
}

/** Reads a manifest and compares every file with what it says. Without a pack where the manifest is none. */
export async function openPack(
  root: string,
  folder: string,
): Promise<{ pack: Pack | null; problems: PackProblem[] }> {
  const place = join(root, folder);
  const bytes = await readFile(join(place, MANIFEST_NAME));
  const parsed = parseManifest(bytes.toString('utf8'));
  if (typeof parsed === 'string') {
    return { pack: null, problems: [{ file: join(folder, MANIFEST_NAME), problem: parsed }] };
  }
  const problems: PackProblem[] = [];
  for (const file of parsed.files) {
    const problem = await compareFile(join(place, file.name), file);
    if (problem !== null) problems.push({ file: join(folder, file.name), problem });
  }
  const names = [MANIFEST_NAME, ...parsed.files.map(({ name }) => name)];
  for (const entry of await readdir(place, { withFileTypes: true })) {
    if (entry.isFile() && !names.includes(entry.name)) {
      problems.push({ file: join(folder, entry.name), problem: 'is not in the manifest' });
    }
  }
  return {
    pack: { folder, manifest: parsed, manifestSha256: hashOf(bytes), readRows: reader(place, parsed) },
    problems,
  };
}

/** The manifest, or what is wrong with it. */
function parseManifest(text: string): Manifest | string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return 'is no JSON document';
  }
  const { success, data, error } = manifestSchema.safeParse(document);
  if (success) return data;
  const [issue] = error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is wrong'}`;
}

async function compareFile(
  path: string,
  { bytes, sha256 }: Manifest['files'][number],
): Promise<string | null> {
  try {
    const { size } = await stat(path);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    if (hash.digest('hex') === sha256) return null;
    return size === bytes
      ? 'was changed: its SHA-256 is another'
      : `was changed: it has ${size} bytes instead of ${bytes}`;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'is missing';
    throw error;
  }
}

function reader(place: string, { files }: Manifest): Pack['readRows'] {
  return async function* readRows(name) {
    const columns = files.find((file) => file.name === name)?.columns ?? [];
    for await (const cells of readCsv(csvColumns(columns), createReadStream(join(place, name)))) {
      yield Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? null]));
    }
  };
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
