import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';

export interface MigrationFile {
  /** `NNNN_name`, the file's name without `.sql`. */
  readonly name: string;
  /** Of the text with LF line ends, so that a checkout that converts them agrees. */
  readonly sha256: string;
  readonly statements: readonly string[];
}

/** In the package's root, which is above `src` in a checkout and above `dist/src` where it is installed. */
export const MIGRATIONS_FOLDER = join(dirname(findPackageJSON(import.meta.url) as string), 'migrations');

const FILE_NAME = /^(\d{4}_[a-z0-9_]+)\.sql$/;

/** The migrations of this program, in the order they run. Other files in the folder are passed over. */
export async function readMigrationFiles(folder: string): Promise<MigrationFile[]> {
  const names = (await readdir(folder)).toSorted().flatMap((file) => FILE_NAME.exec(file)?.[1] ?? []);
  return await Promise.all(
    names.map(async (name) => {
      const text = (await readFile(join(folder, `${name}.sql`), 'utf8')).replaceAll('\r\n', '\n');
      const sha256 = createHash('sha256').update(text).digest('hex');
      return { name, sha256, statements: splitStatements(text) };
    }),
  );
}

/** A comment, a quoted text or name, a dollar-quoted body, or the end of a statement. */
const TOKEN = /--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$[\s\S]*?\$\1\$|;/g;

/** PGlite takes one statement at a time in a transaction. */
function splitStatements(text: string): string[] {
  const ends = [...text.matchAll(TOKEN)].flatMap(({ 0: token, index }) => (token === ';' ? [index] : []));
  const starts = [0, ...ends.map((end) => end + 1)];
  return starts
    .map((start, index) => text.slice(start, ends[index] ?? text.length))
    .filter((part) => part.replaceAll(/--[^\n]*/g, '').trim() !== '');
}
