/** Copies of proof packs that tests change, with new hashes and a new chain. */
import { createHash, randomUUID } from 'node:crypto';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { createExpectedCells } from '../../src/ledger/expected.ts';
import { type Books, DEVICES } from './books.ts';

export const MONTH = '2026-03';
export const ADJUSTMENT = 'adjustment-1';

/**
 * The organizations of the packs: Acme has every stream and restated days, Beta a day that a person waived and one that
 * the program did, Gamma a late day.
 */
export const ORG = {
  acme: '5d0000000000000000000001',
  beta: '5d0000000000000000000002',
  gamma: '5d0000000000000000000003',
} as const;

/** Closes March with an accepted blocker, and adjusts it. Returns the folder of both packs. */
export async function closeMarch(books: Books): Promise<string> {
  const days = { from: `${MONTH}-10`, to: `${MONTH}-12` };
  for (const name of ['Acme', 'Beta', 'Gamma']) await books.addOrg({ ...days, name, customerId: `C-${name}` });
  const { acme, beta, gamma } = ORG;
  for (const stream of ['device_counts', 'payload_totals', 'payload_sources', 'payload_hours'])
    await books.addCells({ orgId: acme, ...days, stream });
  await books.addCells({ orgId: acme, ...days, stream: 'notebook_minutes', isReported: false });
  const restate = async (from: number, to: number) =>
    await books.restate(acme, `${MONTH}-11`, {
      old: { devices_created: from, devices_total: from + 13 },
      numbers: { devices_created: to, devices_total: to + 13 },
    });
  await restate(4, 6);
  await restate(6, 5);
  const [old, numbers] = [{ hours_all_count: { '5': 1, '7': 0 } }, { hours_all_count: { '5': 0, '7': 1 } }];
  await books.restate(acme, `${MONTH}-12`, { stream: 'payload_hours', old, numbers });
  await books.addCells({ orgId: beta, from: `${MONTH}-09`, standing: 'missing', numbers: null });
  // The program waives it, because Beta was created a day later.
  await createExpectedCells(books.writer());
  await books.addCells({ orgId: beta, from: `${MONTH}-10`, to: `${MONTH}-11` });
  await books.addCells({ orgId: beta, from: `${MONTH}-12`, standing: 'missing', numbers: null });
  await books.waive(beta, `${MONTH}-12`);
  await books.addCells({ orgId: gamma, from: `${MONTH}-10`, to: `${MONTH}-11` });
  await books.addCells({ orgId: gamma, from: `${MONTH}-12`, numbers: { ...DEVICES, devices_total: 19 } });
  await books.setStanding(gamma, `${MONTH}-12`, 'in_doubt');
  await books.accept(MONTH);
  await books.setStanding(gamma, `${MONTH}-12`, 'final');
  const sources = (count: number) => ({
    payload_source_count: count,
    payload_sources: { timer: { 'timer.flow': count - 5 }, webhook: { hook: 5 } },
  });
  const later = { stream: 'payload_sources', old: sources(12), numbers: sources(13) };
  await books.restate(acme, `${MONTH}-10`, later);
  await books.adjust(MONTH);
  const { out, problems } = await books.verifyMonth(MONTH);
  if (problems.length > 0) throw new Error(`a pack that nobody changed is not valid: ${JSON.stringify(problems)}`);
  return out;
}

type Row = Record<string, string>;

interface ManifestText {
  statement: Record<string, unknown> & { earlier: { instanceId: string; number: number; sha256: string }[] };
  checks: number;
  files: { name: string; bytes: number; sha256: string }[];
}

export class Copy {
  readonly out: string;
  readonly #isChain: boolean;

  private constructor(out: string, isChain: boolean) {
    this.out = out;
    this.#isChain = isChain;
  }

  /** Copies a closing and its adjustment, or the closing alone, which takes half the time to check. */
  static async of(packs: string, { isChain = true } = {}): Promise<Copy> {
    const out = `${packs}-copy-${randomUUID()}`;
    await cp(packs, out, { recursive: true, filter: (path) => isChain || basename(path) !== ADJUSTMENT });
    return new Copy(out, isChain);
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

  /** Changes a file, and its hash and size in the manifest, and the chain after it. */
  async forge(name: string, change: (text: string) => string, folder = ''): Promise<void> {
    await this.edit(join(folder, name), change);
    const text = await readFile(this.path(folder, name), 'utf8');
    await this.editManifest(({ files }) => {
      for (const file of files.filter((each) => each.name === name)) {
        file.bytes = Buffer.byteLength(text);
        file.sha256 = createHash('sha256').update(text).digest('hex');
      }
    }, folder);
    if (folder === '') await this.chain();
  }

  async forgeRows(name: string, change: (rows: Row[]) => Row[], folder = ''): Promise<void> {
    const changeText = (text: string) => {
      const rows = parse<Row>(text, { columns: true, record_delimiter: '\r\n' });
      const [head = ''] = text.split('\r\n');
      return `${head}\r\n${stringify(change(rows), { columns: head.split(','), record_delimiter: '\r\n' })}`;
    };
    await this.forge(name, changeText, folder);
  }

  /** Links the adjustment to the closing in its current state. */
  async chain(): Promise<void> {
    if (!this.#isChain) return;
    const sha256 = createHash('sha256')
      .update(await readFile(this.path('manifest.json')))
      .digest('hex');
    await this.editManifest(({ statement }) => {
      statement['previousSha256'] = sha256;
      for (const each of statement.earlier) each.sha256 = sha256;
    }, ADJUSTMENT);
  }
}

interface Change {
  /** The file in which a problem is expected. */
  readonly file: string;
  readonly make: (copy: Copy) => Promise<void>;
}

type Where = Partial<Row>;
const isIn = (where: Where) => (row: Row) => Object.entries(where).every(([name, value]) => row[name] === value);

export const forge = (name: string, change: (text: string) => string): Change => ({
  file: name,
  make: async (copy) => await copy.forge(name, change),
});

const forgeRows = (name: string, folder: string, change: (rows: Row[]) => Row[]): Change => ({
  file: join(folder, name),
  make: async (copy) => await copy.forgeRows(name, change, folder),
});

/** Changes the statement in the manifest of the closing. */
export const setStatement = (facts: Readonly<Record<string, unknown>>): Change => ({
  file: 'manifest.json',
  make: async (copy) => {
    await copy.editManifest(({ statement }) => void Object.assign(statement, facts));
    await copy.chain();
  },
});

/** Sets fields of the first row that matches. */
export const set = (name: string, where: Where, fields: Row, folder = ''): Change =>
  forgeRows(name, folder, (rows) => {
    const row = rows.find(isIn(where));
    if (row === undefined) throw new Error(`${name} has no row ${JSON.stringify(where)}`);
    Object.assign(row, fields);
    return rows;
  });

export const remove = (name: string, where: Where): Change =>
  forgeRows(name, '', (rows) => rows.filter((row) => !isIn(where)(row)));

/** Adds a copy of the first row that matches, with other fields. */
export const add = (name: string, where: Where, fields: Row): Change =>
  forgeRows(name, '', (rows) => [...rows, { ...rows.find(isIn(where)), ...fields }]);

export const all = (first: Change, second: Change): Change => ({
  file: first.file,
  make: async (copy) => {
    await first.make(copy);
    await second.make(copy);
  },
});

/** A change of the packs, its problem, and the file of the problem if that is not the changed one. */
export type Tampering = readonly [change: Change, problem: RegExp, file?: string];
