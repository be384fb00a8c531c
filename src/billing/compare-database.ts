/** Proof packs against the database that they are from. */
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

/**
 * Their rows come from the ledger, which goes on changing after the close, so only the stored copies are compared.
 */
const OF_LEDGER: readonly string[] = ['days.csv', 'cells.csv', 'revisions.csv', 'waivers.csv'];

/**
 * Compares packs that passed their own checks with the database: statement, manifest, files and rows. Hashes
 * suffice, because every file already matches its manifest. A statement that only the database has is a note and
 * no problem: an archive may be older than an adjustment. Reads only.
 */
export async function compareWithDatabase(
  db: Kysely<Schema>,
  found: Verification,
  signal: AbortSignal,
): Promise<void> {
  const absent = new Set<string>();
  const ids = new Set(found.packs.map(({ manifest }) => manifest.statement.id));
  for (const pack of found.packs) {
    signal.throwIfAborted();
    const { id, month, instanceId } = pack.manifest.statement;
    const statements = await readStatements(db, { month, instanceIds: [instanceId] });
    for (const { statementId, kind, number, closedAt } of statements) {
      if (ids.has(statementId)) continue;
      const label = `The database also has the ${kind} of ${month}, number ${number}, made ${closedAt}`;
      absent.add(`${label}; it is not in this folder.`);
    }
    if (statements.some(({ statementId }) => statementId === id))
      await db.transaction().execute(async (trx) => await comparePack(trx, pack, found));
    else found.addProblem(pack.folder, MANIFEST_NAME, `the database has no statement ${id} of ${month}`);
  }
  found.notes.push(...absent);
}

async function comparePack(trx: Kysely<Schema>, pack: Pack, found: Verification): Promise<void> {
  const { statement, files, signedBy } = pack.manifest;
  const expected = new Map<string, string>(files.map(({ name, sha256 }) => [name, sha256]));
  expected.set(MANIFEST_NAME, pack.manifestSha256);
  if (signedBy !== null)
    expected.set(SIGNATURE_NAME, hashOf(await readFile(join(pack.place, SIGNATURE_NAME))));
  const stored = new Map<string, Hash>();
  for await (const [name, content] of readFiles(trx, statement.id)) {
    const hash = stored.get(name) ?? createHash('sha256');
    stored.set(name, hash.update(content));
  }
  for (const [name, sha256] of expected) {
    if (stored.get(name)?.digest('hex') !== sha256)
      found.addProblem(pack.folder, name, 'differs from the copy in the database');
  }
  for (const name of CSV_NAMES) {
    if (OF_LEDGER.includes(name)) continue;
    const hash = createHash('sha256');
    for await (const part of streamPackFile(trx, statement, { name, checks: pack.checksSql }))
      hash.update(part);
    if (hash.digest('hex') !== expected.get(name))
      found.addProblem(pack.folder, name, "does not match the statement's rows in the database");
  }
}
