/** Proof packs against the database that they are from. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
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
 * Compares a pack that holds by itself with the database: that it has the statement, with this manifest,
 * these files and these rows. The files of the pack have the hashes of its manifest, so the hashes of what the
 * database has are compared with these. Reads only. Must be called inside a transaction.
 */
export async function compareWithDatabase(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const { statement, files, signedBy } = pack.manifest;
  const known = await readStatements(trx, { month: statement.month, instanceId: statement.instanceId });
  if (known.every(({ statementId }) => statementId !== statement.id)) {
    const problem = `the database has no statement ${statement.id} of ${statement.month}`;
    return [{ file: pack.fileOf(MANIFEST_NAME), problem }];
  }
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

async function hashAll(parts: AsyncIterable<Buffer | string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of parts) hash.update(part);
  return hash.digest('hex');
}
