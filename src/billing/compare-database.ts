/** Proof packs against the database that they are from. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { CheckedPacks } from './check-pack.ts';
import { type CsvName, hashOf, MANIFEST_NAME, SIGNATURE_NAME } from './manifest.ts';
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
 * Compares packs that hold by themselves with the database: that it has each statement, with this manifest,
 * these files and these rows. The files of a pack have the hashes of its manifest, so the hashes of what the
 * database has are compared with these. A note tells what the database has of the packs' months and the packs do
 * not: an archive may be older than an adjustment. Reads only.
 */
export async function compareWithDatabase(
  db: Kysely<Schema>,
  { packs, problems, notes, rows }: CheckedPacks,
  signal: AbortSignal,
): Promise<CheckedPacks> {
  const found: PackProblem[] = [];
  const absent = new Set<string>();
  const ids = new Set(packs.map(({ manifest }) => manifest.statement.id));
  for (const pack of packs) {
    signal.throwIfAborted();
    const { id, month, instanceId } = pack.manifest.statement;
    const known = await readStatements(db, { month, instanceIds: [instanceId] });
    for (const { statementId, kind, number, closedAt } of known) {
      if (ids.has(statementId)) continue;
      const made = `The ${kind} of ${month} with the number ${number}, made ${closedAt}`;
      absent.add(`${made}, is not here; the database has it.`);
    }
    if (known.some(({ statementId }) => statementId === id)) {
      found.push(...(await db.transaction().execute(async (trx) => await comparePack(trx, pack))));
    } else {
      const problem = `the database has no statement ${id} of ${month}`;
      found.push({ file: pack.fileOf(MANIFEST_NAME), problem });
    }
  }
  return { packs, problems: [...problems, ...found], notes: [...notes, ...absent], rows };
}

async function comparePack(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const { statement, files, signedBy } = pack.manifest;
  const problems: PackProblem[] = [];
  const say = (name: string, what: string) =>
    problems.push({ file: pack.fileOf(name), problem: `is not that of ${what}` });
  if (hashOf(await readManifest(trx, statement.id)) !== pack.manifestSha256)
    say(MANIFEST_NAME, 'the statement in the database');
  for (const { name, sha256 } of files) {
    if ((await hashAll(readStored(trx, statement.id, name))) !== sha256)
      say(name, 'statement_files in the database');
    else if (isFromTables(name) && (await hashAll(renderTable(trx, statement, name))) !== sha256)
      say(name, 'the tables of the statement in the database');
  }
  if (signedBy !== null) {
    const stored = await hashAll(readStored(trx, statement.id, SIGNATURE_NAME));
    if (stored !== hashOf(await readFile(join(pack.place, SIGNATURE_NAME))))
      say(SIGNATURE_NAME, 'statement_files in the database');
  }
  return problems;
}

const isFromTables = (name: string): name is CsvName => FROM_TABLES.some((each) => each === name);

async function* readStored(trx: Kysely<Schema>, statementId: string, name: string): AsyncGenerator<Buffer> {
  for await (const { gzip } of readFileParts(trx, statementId, name)) yield gunzipSync(gzip);
}

async function hashAll(parts: AsyncIterable<Buffer | string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of parts) hash.update(part);
  return hash.digest('hex');
}
