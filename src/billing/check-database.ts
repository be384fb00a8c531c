import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { metricsOf } from './manifest.ts';
import { linesTable, readKnownAt } from './pack-files.ts';
import { readStatements } from './statements.ts';
import type { Pack, PackProblem, PackRow } from './verify.ts';

/** Problems that are told of one pack; the rest would be more of the same. */
const PROBLEMS_MAX = 100;

/**
 * Compares a pack with the database: that it has the statement, with this manifest and these lines, and that
 * the numbers it says were known at that moment (`usage_as_of`) are those of the pack. Reads only; inside a transaction.
 */
export async function checkDatabase(trx: Kysely<Schema>, pack: Pack): Promise<PackProblem[]> {
  const { statement } = pack.manifest;
  const manifest = join(pack.folder, 'manifest.json');
  const known = await readStatements(trx, { month: statement.month, instanceId: statement.instanceId });
  const found = known.find(({ statementId }) => statementId === statement.id);
  if (found === undefined) {
    return [
      { file: manifest, problem: `the database has no statement ${statement.id} of ${statement.month}` },
    ];
  }
  const problems: PackProblem[] = [];
  if (found.manifestSha256 !== pack.manifestSha256) {
    const problem = `its SHA-256 is ${pack.manifestSha256}, the database has ${found.manifestSha256}`;
    problems.push({ file: manifest, problem });
  }
  problems.push(...(await compareLines(trx, pack)), ...(await compareDays(trx, pack)));
  return problems.slice(0, PROBLEMS_MAX);
}

async function compareLines(
  trx: Kysely<Schema>,
  { folder, manifest, readRows }: Pack,
): Promise<PackProblem[]> {
  const file = join(folder, 'lines.csv');
  const known = readStoredLines(trx, manifest.statement.id);
  let number = 0;
  for await (const line of readRows('lines.csv')) {
    number += 1;
    const stored = await known.next();
    if (stored.done === true) return [{ file, problem: `row ${number} is not in the database` }];
    if (Object.entries(stored.value).every(([column, value]) => line[column] === value)) continue;
    const { org_id, period_start, metric, quantity, total } = stored.value;
    const problem = `row ${number} is not that of the database: ${org_id}, ${period_start}, ${metric}, quantity ${quantity}, total ${total}`;
    return [{ file, problem }];
  }
  const { done } = await known.next();
  return done === true ? [] : [{ file, problem: `has only ${number} of the rows of the database` }];
}

/** The lines that the database has of a statement, by column. */
async function* readStoredLines(trx: Kysely<Schema>, statementId: string): AsyncGenerator<PackRow> {
  const { columns, readRows } = linesTable(statementId);
  for await (const page of readRows(trx)) {
    for (const cells of page) {
      yield Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? null]));
    }
  }
}

async function compareDays(
  trx: Kysely<Schema>,
  { folder, manifest, readRows }: Pack,
): Promise<PackProblem[]> {
  const file = join(folder, 'days.csv');
  const metrics = metricsOf(manifest);
  const problems: PackProblem[] = [];
  const known = readKnownAt(trx, { statementId: manifest.statement.id, metrics });
  let row = await known.next();
  for await (const day of readRows('days.csv')) {
    const key = `${day['org_id']} ${day['usage_date']}`;
    while (row.done !== true && row.value.key < key) row = await known.next();
    const numbers = row.done !== true && row.value.key === key ? row.value.numbers : [];
    for (const [index, metric] of metrics.entries()) {
      const [then, now] = [day[metric] ?? null, numbers[index] ?? null];
      // What was not tracked is left out of the pack.
      if (then === null || then === now) continue;
      const problem = `organization ${day['org_id']}, ${day['usage_date']}: ${metric} is ${then}; by the record of the database ${now ?? 'none'} was known then`;
      problems.push({ file, problem });
      if (problems.length >= PROBLEMS_MAX) return problems;
    }
  }
  return problems;
}
