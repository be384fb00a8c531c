/** Compares proof packs with the database that they come from. */
import { createHash, type Hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { CSV_NAMES, hashOf, MANIFEST_NAME, SIGNATURE_NAME } from './manifest.ts';
import { readFiles } from './pack.ts';
import { streamPackFile } from './pack-tables.ts';
import type { Pack, Verification } from './read-packs.ts';
import { readStatements } from './statements.ts';

/** Their rows come from the ledger, which goes on changing after the close, so only the stored copies are compared. */
const LEDGER_FILES: readonly string[] = ['days.csv', 'cells.csv', 'revisions.csv', 'waivers.csv'];

/**
 * Compares packs that passed their own checks with the database: statement, manifest, files and rows. Hashes
 * suffice, because every file already matches its manifest. A statement that only the database has is a note and
 * no problem: an archive may be older than an adjustment. Reads only.
 */
export async function compareWithDatabase(
  db: Kysely<Schema>,
  verification: Verification,
  signal: AbortSignal,
): Promise<void> {
  const missingStatements = new Set<string>();
  const ids = new Set(verification.packs.map(({ manifest }) => manifest.statement.id));
  for (const pack of verification.packs) {
    signal.throwIfAborted();
    const { id, month, instanceId } = pack.manifest.statement;
    const statements = await readStatements(db, { month, instanceIds: [instanceId] });
    for (const { statementId, kind, number, closedAt } of statements) {
      if (ids.has(statementId)) continue;
      const label = `The database also has the ${kind} of ${month}, number ${number}, created ${closedAt}`;
      missingStatements.add(`${label}; it is not in this folder.`);
    }
    if (statements.some(({ statementId }) => statementId === id))
      await db.transaction().execute(async (trx) => await comparePack(trx, pack, verification));
    else verification.addProblem(pack.folder, MANIFEST_NAME, `the database has no statement ${id} of ${month}`);
  }
  verification.notes.push(...missingStatements);
}

async function comparePack(trx: Kysely<Schema>, pack: Pack, verification: Verification): Promise<void> {
  const { statement, files, signedBy } = pack.manifest;
  const expectedHashes = new Map<string, string>(files.map(({ name, sha256 }) => [name, sha256]));
  expectedHashes.set(MANIFEST_NAME, pack.manifestSha256);
  if (signedBy !== null) expectedHashes.set(SIGNATURE_NAME, hashOf(await readFile(join(pack.path, SIGNATURE_NAME))));
  const storedHashes = new Map<string, Hash>();
  for await (const [name, content] of readFiles(trx, statement.id)) {
    const hash = storedHashes.get(name) ?? createHash('sha256');
    storedHashes.set(name, hash.update(content));
  }
  for (const [name, sha256] of expectedHashes) {
    if (storedHashes.get(name)?.digest('hex') !== sha256)
      verification.addProblem(pack.folder, name, 'differs from the copy in the database');
  }
  for (const name of CSV_NAMES) {
    if (LEDGER_FILES.includes(name)) continue;
    const hash = createHash('sha256');
    for await (const part of streamPackFile(trx, statement, { name, checks: pack.checksSql })) hash.update(part);
    if (hash.digest('hex') !== expectedHashes.get(name))
      verification.addProblem(pack.folder, name, "does not match the statement's rows in the database");
  }
}
