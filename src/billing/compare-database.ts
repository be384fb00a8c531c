/** Proof packs against the database that they are from, byte for byte. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CsvName, MANIFEST_NAME } from './manifest.ts';
import type { Pack, PackProblem } from './open-packs.ts';
import { readFileParts, readManifest } from './pack.ts';
import { renderTable } from './pack-tables.ts';
import { readStatements } from './statements.ts';

/** The files that tables have the rows of, also of a statement that is closed. */
const FROM_TABLES: readonly CsvName[] = [
  'statement.csv',
  'totals.csv',
  'lines.csv',
  'sources.csv',
  'blockers.csv',
];

/**
 * Compares a pack that holds by itself with the database: that it has the statement, with this manifest,
 * these files and these rows. Reads only. Must be called inside a transaction.
 */
export async function compareWithDatabase(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const { statement } = pack.manifest;
  const known = await readStatements(trx, { month: statement.month, instanceId: statement.instanceId });
  const found = known.find(({ statementId }) => statementId === statement.id);
  if (found === undefined) {
    const problem = `the database has no statement ${statement.id} of ${statement.month}`;
    return [{ file: pack.fileOf(MANIFEST_NAME), problem }];
  }
  const problems: PackProblem[] = [];
  const compare = async (name: string, content: AsyncIterable<Buffer>, what: string) => {
    const line = await findDifference(createReadStream(join(pack.place, name)), content);
    if (line !== null)
      problems.push({ file: pack.fileOf(name), problem: `line ${line} is not that of ${what}` });
  };
  await compare(
    MANIFEST_NAME,
    partsOf([await readManifest(trx, statement.id)]),
    'the statement in the database',
  );
  const names: string[] = pack.manifest.files.map(({ name }) => name);
  if (pack.manifest.signedBy !== null) names.push('manifest.json.sig');
  for (const name of names) {
    await compare(name, readStored(trx, statement.id, name), 'statement_files in the database');
  }
  for (const name of FROM_TABLES) {
    await compare(
      name,
      partsOf(renderTable(trx, statement, name)),
      'the tables of the statement in the database',
    );
  }
  return problems;
}

/**
 * Returns what the database has of the packs' months and the packs do not: an archive may be older than an
 * adjustment.
 */
export async function describeAbsent(db: Kysely<Schema>, packs: readonly Pack[]): Promise<string[]> {
  const ids = new Set(packs.map(({ manifest }) => manifest.statement.id));
  const months = new Map(
    packs.map(({ manifest: { statement } }) => [`${statement.instanceId} ${statement.month}`, statement]),
  );
  const notes: string[] = [];
  for (const { instanceId, month } of months.values()) {
    for (const { statementId, kind, number, closedAt } of await readStatements(db, { month, instanceId })) {
      if (ids.has(statementId)) continue;
      notes.push(
        `The ${kind} of ${month} with the number ${number}, made ${closedAt}, is not here; the database has it.`,
      );
    }
  }
  return notes;
}

async function* readStored(trx: Kysely<Schema>, statementId: string, name: string): AsyncGenerator<Buffer> {
  for await (const { gzip } of readFileParts(trx, statementId, name)) yield gunzipSync(gzip);
}

async function* partsOf(texts: AsyncIterable<string> | readonly string[]): AsyncGenerator<Buffer> {
  for await (const text of texts) yield Buffer.from(text);
}

/** Returns the first line in which two contents differ; null if they are the same. */
async function findDifference(a: AsyncIterable<Buffer>, b: AsyncIterable<Buffer>): Promise<number | null> {
  const others = b[Symbol.asyncIterator]();
  let other: Buffer = Buffer.alloc(0);
  let lines = 1;
  for await (const part of a) {
    let mine = part;
    while (mine.length > 0) {
      if (other.length === 0) {
        const next = await others.next();
        if (next.done === true) return lines;
        other = next.value;
        continue;
      }
      const length = Math.min(mine.length, other.length);
      const [left, right] = [mine.subarray(0, length), other.subarray(0, length)];
      if (!left.equals(right)) {
        const place = left.findIndex((byte, index) => byte !== right[index]);
        return lines + countLines(left.subarray(0, place));
      }
      lines += countLines(left);
      [mine, other] = [mine.subarray(length), other.subarray(length)];
    }
  }
  while (other.length === 0) {
    const next = await others.next();
    if (next.done === true) return null;
    other = next.value;
  }
  return lines;
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count += 1;
  return count;
}
