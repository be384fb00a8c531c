/** Copies of proof packs for somebody to change. */
import { createHash, randomUUID } from 'node:crypto';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ManifestFile {
  name: string;
  columns: string[];
  rows: number;
  bytes: number;
  sha256: string;
}

export interface ManifestText {
  statement: Record<string, unknown> & { earlier: { number: number; sha256: string }[] };
  signedBy: string | null;
  totals: { metric: string; unit: string; orgs: number; quantity: string }[];
  files: ManifestFile[];
}

/** A copy of packs for somebody to change. */
export class Copy {
  readonly out: string;

  private constructor(out: string) {
    this.out = out;
  }

  static async of(packs: string): Promise<Copy> {
    const out = `${packs}-copy-${randomUUID()}`;
    await cp(packs, out, { recursive: true });
    return new Copy(out);
  }

  path(...names: readonly string[]): string {
    return join(this.out, ...names);
  }

  /** Changes the text of a file, and nothing else. */
  async edit(name: string, change: (text: string) => string): Promise<void> {
    const before = await readFile(this.path(name), 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`nothing of ${name} is changed`);
    await writeFile(this.path(name), after);
  }

  async editManifest(change: (manifest: ManifestText) => void, folder = ''): Promise<void> {
    await this.edit(join(folder, 'manifest.json'), (text) => {
      const manifest = JSON.parse(text) as ManifestText;
      change(manifest);
      return `${JSON.stringify(manifest, null, 2)}\n`;
    });
  }

  /** Changes a file and writes its hash, size and rows anew, as somebody would who knows what is checked. */
  async forge(name: string, change: (text: string) => string, folder = ''): Promise<void> {
    await this.edit(join(folder, name), change);
    const text = await readFile(this.path(folder, name), 'utf8');
    await this.editManifest(({ files }) => {
      for (const file of files.filter((each) => each.name === name)) {
        file.rows = text.split('\r\n').length - 2;
        file.bytes = Buffer.byteLength(text);
        file.sha256 = createHash('sha256').update(text).digest('hex');
      }
    }, folder);
  }

  /** Lets the adjustment follow the closing as it is now. */
  async chain(): Promise<void> {
    const sha256 = createHash('sha256')
      .update(await readFile(this.path('manifest.json')))
      .digest('hex');
    await this.editManifest(({ statement }) => {
      statement['previousSha256'] = sha256;
      statement.earlier = [{ number: Number(statement['number']) - 1, sha256 }];
    }, 'adjustment-1');
  }
}

export const rowsOf = (text: string) => text.split('\r\n').slice(0, -1);
const textOf = (rows: readonly string[]) => rows.map((row) => `${row}\r\n`).join('');
/** Changes the first row that has the text. */
export const inRow =
  (part: string, change: (row: string) => string) =>
  (text: string): string => {
    const rows = rowsOf(text);
    const index = rows.findIndex((row) => row.includes(part));
    if (index <= 0) throw new Error(`no row has ${part}`);
    rows[index] = change(rows[index] as string);
    return textOf(rows);
  };
/** Forges a file: replaces a text in the first row that has the part. */
export const forged =
  (name: string, part: string, [from, to]: readonly [string | RegExp, string], folder = '') =>
  (copy: Copy): Promise<void> =>
    copy.forge(
      name,
      inRow(part, (row) => row.replace(from, to)),
      folder,
    );
export const without = (part: string) => (text: string) =>
  textOf(rowsOf(text).filter((row) => !row.includes(part)));
export const twice = (part: string) => inRow(part, (row) => `${row}\r\n${row}`);
export const swapped = (text: string) => {
  const [head = '', first = '', second = '', ...rest] = rowsOf(text);
  return textOf([head, second, first, ...rest]);
};
export const ADJUSTMENT = 'adjustment-1';

/** The organizations of the packs: Acme has sources and a restated day, Beta an accepted day, Gamma a day that was late. */
export const org = { acme: '', beta: '', gamma: '' };

/** What is done to the packs, and the file and the problem that are named for it. */
export type Tampering = readonly [
  what: string,
  change: (copy: Copy) => Promise<void>,
  file: string,
  problem: RegExp,
];
