/** Proof packs against the database that they are from. */
import { createHash, type Hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { CSV_NAMES, hashOf, MANIFEST_NAME, SIGNATURE_NAME } from './manifest.ts';
import type { Pack, Verification } from './open-packs.ts';
import { readFiles } from './pack.ts';
import { renderTable } from './pack-tables.ts';
import { readStatements } from './statements.ts';

/** The files whose rows are those of the ledger, which changes after a statement is closed. */
const OF_LEDGER: readonly string[] = ['days.csv', 'cells.csv', 'revisions.csv', 'waivers.csv'];

/**
 * Compares packs that hold by themselves with the database: that it has each statement, with this manifest,
 * these files and these rows. The files of a pack have the hashes of its manifest, so the hashes of what the
 * database has are compared with these. A note tells what the database has of the packs' months and the packs do
 * not: an archive may be older than an adjustment. Reads only.
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
    const known = await readStatements(db, { month, instanceIds: [instanceId] });
    for (const { statementId, kind, number, closedAt } of known) {
      if (ids.has(statementId)) continue;
      const made = `The ${kind} of ${month} with the number ${number}, made ${closedAt}`;
      absent.add(`${made}, is not here; the database has it.`);
    }
    if (known.some(({ statementId }) => statementId === id))
      await db.transaction().execute(async (trx) => await comparePack(trx, pack, found));
    else found.say(pack.folder, MANIFEST_NAME, `the database has no statement ${id} of ${month}`);
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
      found.say(pack.folder, name, 'is not the one that the database keeps');
  }
  for (const name of CSV_NAMES) {
    if (OF_LEDGER.includes(name)) continue;
    const hash = createHash('sha256');
    for await (const part of renderTable(trx, statement, { name, checks: pack.checksSql })) hash.update(part);
    if (hash.digest('hex') !== expected.get(name))
      found.say(pack.folder, name, 'is not that of the tables of the statement in the database');
  }
}
