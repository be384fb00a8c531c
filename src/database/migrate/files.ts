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

/** Parted by lines that hold only `-- ;;`: PGlite takes one statement each, and bodies of functions hold `;`. */
function splitStatements(text: string): string[] {
  return text
    .split(/^-- ;;[ \t]*$/m)
    .filter((part) =>
      part.split('\n').some((line) => line.trim() !== '' && !line.trimStart().startsWith('--')),
    );
}
