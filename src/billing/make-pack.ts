import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { csvColumns, MANIFEST_NAME, type Manifest, renderManifest } from './manifest.ts';
import { type PackTable, readPackTables } from './pack-files.ts';
import { readTotals } from './statements.ts';
import { insertFilePart, type NewStatement } from './write-statements.ts';

/**
 * Makes the proof pack of a statement whose lines are written, from what the transaction sees, and keeps
 * it in the database: the ledger goes on, the pack stays. Returns the SHA-256 of its manifest.
 */
export async function makePack(
  trx: Kysely<Schema>,
  statement: NewStatement,
  { at, signal }: { at: string; signal: AbortSignal },
): Promise<Buffer> {
  const { statementId } = statement;
  const files: Manifest['files'][number][] = [];
  for (const table of await readPackTables(trx, statementId)) {
    files.push(await keepTable(trx, statementId, { table, signal }));
  }
  const totals = await readTotals(trx, statementId);
  const text = renderManifest({
    format: 1,
    statement: {
      id: statementId,
      instanceId: statement.instanceId,
      month: statement.month,
      number: statement.number,
      kind: statement.number === 1 ? 'closing' : 'adjustment',
      periods: statement.source,
      reason: statement.reason,
      closedAt: at,
    },
    totals: totals.map(({ metric, unit, quantity }) => ({ metric, unit, quantity })),
    files,
  });
  await insertFilePart(trx, { statementId, name: MANIFEST_NAME, part: 0, gzip: gzipSync(text) });
  return createHash('sha256').update(text).digest();
}

async function keepTable(
  trx: Kysely<Schema>,
  statementId: string,
  { table, signal }: { table: PackTable; signal: AbortSignal },
): Promise<Manifest['files'][number]> {
  const { name } = table;
  const columns = csvColumns(table.columns);
  const hash = createHash('sha256');
  let [rows, bytes, part] = [0, 0, 0];
  const keep = async (text: string) => {
    hash.update(text);
    bytes += Buffer.byteLength(text);
    await insertFilePart(trx, { statementId, name, part, gzip: gzipSync(text) });
    part += 1;
  };
  await keep(renderCsvHeader(columns));
  for await (const page of table.readRows(trx)) {
    signal.throwIfAborted();
    await keep(renderCsvRows(columns, page));
    rows += page.length;
  }
  return { name, columns: [...table.columns], rows, bytes, sha256: hash.digest('hex') };
}
