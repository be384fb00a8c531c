/** Checks proof packs: bytes against the manifest, rows against each other, and both against the database. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { CHECKS_NAME, CSV_NAMES, hashOf, MANIFEST_NAME, SIGNATURE_NAME } from './manifest.ts';
import { readStoredFile } from './pack.ts';
import { splitChecks, streamPackFile } from './pack-tables.ts';
import { FileProblem, findPack, type Pack, readListedFile, readRecords, type Verification } from './read-packs.ts';
import { matchesRow, readStatements } from './statements.ts';

interface PackCheck {
  readonly pack: Pack;
  /** A temporary file, so that memory does not grow with the rows of the pack. */
  readonly db: DatabaseSync;
  readonly verification: Verification;
  readonly signal: AbortSignal;
}

/** Checks each pack, and its `billed_before` against the earlier ones. Rows are checked only if all hashes match. */
export async function checkPacks(verification: Verification, signal: AbortSignal): Promise<void> {
  for (const pack of verification.packs) {
    using db = new DatabaseSync('');
    await checkPack({ pack, db, verification, signal });
  }
}

async function checkPack(check: PackCheck): Promise<void> {
  const { pack, db, verification, signal } = check;
  const { createTables, tables, queries } = splitChecks(pack.checksSql);
  db.exec('pragma page_size = 65536; pragma journal_mode = off; pragma synchronous = off');
  db.exec('pragma cache_size = -16000; pragma temp_store = file');
  // A function of the shell, which the checks call for the manifest only.
  db.function('readfile', (_name) => pack.bytes);
  // One transaction that is never committed: the database is thrown away.
  db.exec(`begin; ${createTables}`);
  const problemCount = verification.problems.length;
  for (const { name, sha256 } of pack.manifest.files) {
    await verification.capture(pack.folder, name, () => importFile(check, { pack, name, table: tables.get(name) }));
    if (name === CHECKS_NAME && hashOf(pack.checksSql) !== sha256)
      verification.notes.push(`${join(pack.folder, name)} differs from the released version, which was used instead.`);
  }
  if (verification.problems.length > problemCount) return;
  for (const query of queries) {
    signal.throwIfAborted();
    runQuery(check, query);
  }
  await compareWithEarlierPacks(check);
}

/**
 * Imports a file as the sqlite3 shell does: every field is text, short rows end with nulls. With `orgIds`, only rows of
 * these organizations, which are in the first column. Without a table, only the hash is checked. Throws FileProblem.
 */
async function importFile(
  { db, signal }: PackCheck,
  { pack, name, table, orgIds }: { pack: Pack; name: string; table: string | undefined; orgIds?: ReadonlySet<string> },
): Promise<void> {
  const chunks = readListedFile(pack, name);
  if (table === undefined) {
    while (!(await chunks.next()).done) signal.throwIfAborted();
    return;
  }
  const columns = db.prepare(`select * from ${table}`).columns().length;
  const insert = db.prepare(`insert into ${table} values (${Array(columns).fill('?').join()})`);
  let lineNumber = 0;
  for await (const page of readRecords(chunks)) {
    signal.throwIfAborted();
    for (const record of page) {
      lineNumber += 1;
      if (orgIds?.has(record[0] ?? '') === false) continue;
      if (record.length > columns)
        throw new FileProblem(`line ${lineNumber} has ${record.length} fields instead of ${columns}`);
      insert.run(...record);
    }
  }
}

/** Adds a problem or a note per row of a check. A check that fails, such as by an overflow, is a problem too. */
function runQuery({ pack, db, verification }: PackCheck, query: string): void {
  if (query.trim() === '') return;
  try {
    for (const row of db.prepare(query).iterate()) {
      const [file = '', problem] = Object.values(row).map(String);
      const [, note] = /^note: (.*)/.exec(file) ?? [];
      if (problem !== undefined) verification.addProblem(pack.folder, file, problem);
      else if (note !== undefined) verification.notes.push(join(pack.folder, note));
      else verification.rows += Number(/^checked (\d+) rows/.exec(file)?.[1] ?? 0);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    verification.addProblem(pack.folder, 'lines.csv', `could not run the checks: ${error.message}`);
  }
}

/** Compares a pack with what the earlier packs of its month billed, and with their cells of the same revision. */
async function compareWithEarlierPacks(check: PackCheck): Promise<void> {
  const { pack, db, verification } = check;
  const { number, month, earlier } = pack.manifest.statement;
  const earlierPacks = earlier.map((link) => findPack(verification.packs, link));
  if (!earlierPacks.every((earlierPack) => earlierPack !== undefined)) {
    verification.notes.push(
      `Statement ${number} of ${month} was not compared with earlier ones: ` +
        'not all earlier statements are in this folder.',
    );
    return;
  }
  const orgs = db.prepare('select org_id from orgs').all();
  const orgIds = new Set(orgs.map(({ org_id: orgId }) => String(orgId)));
  for (const table of ['lines', 'days', 'cells'])
    db.exec(`create table earlier_${table} as select * from ${table}_csv where false`);
  const importTables = async (earlierPack: Pack, tables: readonly string[]) => {
    for (const table of tables)
      await importFile(check, { pack: earlierPack, name: `${table}.csv`, table: `earlier_${table}`, orgIds });
  };
  try {
    for (const earlierPack of earlierPacks) await importTables(earlierPack, ['lines']);
    for (const query of LINE_COMPARISONS) runQuery(check, query);
    const cellComparisons = createCellComparisons(db);
    for (const earlierPack of earlierPacks) {
      db.exec('delete from earlier_days; delete from earlier_cells');
      await importTables(earlierPack, ['days', 'cells']);
      for (const query of cellComparisons) runQuery(check, query);
    }
  } catch (error) {
    // Already reported with the pack that has it.
    if (!(error instanceof FileProblem)) throw error;
  }
}

/** With the lines of all earlier packs, oldest first. */
const LINE_COMPARISONS = [
  `select 'lines.csv', l.org_id || ' ' || l.metric || ': billed_before is ' || coalesce(l.billed_before, 'none')
    || ', the statements before it billed ' || coalesce(e.quantity, 'none')
  from lines l left join (
    select org_id, metric, sum(cast(nullif(quantity, '') as integer)) as quantity
    from earlier_lines group by org_id, metric
  ) as e on e.org_id = l.org_id and e.metric = l.metric
  where l.billed_before is not e.quantity limit 20`,
  `select 'lines.csv', l.org_id || ' ' || l.metric || ': is billed to a customer, plan or name that the statement '
    || 'before it does not have'
  from lines_csv l join earlier_lines e on e.rowid = (
    select max(b.rowid) from earlier_lines b where b.org_id = l.org_id and b.metric = l.metric)
  where (l.org_name, l.referral_id, l.plan_id, l.customer_id)
    <> (e.org_name, e.referral_id, e.plan_id, e.customer_id) limit 20`,
];

const DIFFERENCES = `
  select group_concat(format('when %Q then (%s) <> (%s)', stream, days, earlier_days), ' ') as cases from (
    select stream, group_concat('d.' || metric) as days, group_concat('b.' || metric) as earlier_days
    from metrics group by stream)`;

/** With the days and cells of one earlier pack. Each version of the checks has its own metrics. */
const createCellComparisons = (db: DatabaseSync) => [
  `select 'cells.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream || ': ' || case
      when c.last_read_at < e.last_read_at then 'was read later in an earlier statement'
      when cast(c.revision as integer) < cast(e.revision as integer) then 'has more revisions in an earlier statement'
      else 'has another response in an earlier statement, although it was not read again' end
  from cells_csv c
  join earlier_cells e on e.org_id = c.org_id and e.usage_date = c.usage_date and e.stream = c.stream
  where c.last_read_at < e.last_read_at or cast(c.revision as integer) < cast(e.revision as integer)
    or (c.last_read_at = e.last_read_at and c.response_sha256 <> e.response_sha256) limit 20`,
  `select 'days.csv', c.org_id || ' ' || c.usage_date || ' ' || c.stream
    || ': has other numbers in an earlier statement, at the same revision'
  from cells_csv c
  join earlier_cells e on e.org_id = c.org_id and e.usage_date = c.usage_date and e.stream = c.stream
    and e.revision = c.revision
  join days_csv d on d.org_id = c.org_id and d.usage_date = c.usage_date
  join earlier_days b on b.org_id = c.org_id and b.usage_date = c.usage_date
  where case c.stream ${String(db.prepare(DIFFERENCES).get()?.['cases'])} end limit 20`,
];

/** Their rows come from the ledger, which goes on changing after the close, so only the stored copies are compared. */
const LEDGER_FILES: readonly string[] = ['days.csv', 'cells.csv', 'revisions.csv', 'waivers.csv'];

/**
 * Compares packs that passed their own checks with the database: statement, manifest, files and rows. Hashes
 * suffice, because every file already matches its manifest. A statement that only the database has is a note and
 * no problem: an archive may be older than an adjustment. Reads only.
 */
export async function compareWithDatabase(db: Kysely<Schema>, verification: Verification, signal: AbortSignal) {
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
    if (statements.some(({ statementId }) => statementId === id)) {
      await db.transaction().execute(async (trx) => {
        if (!(await matchesRow(trx, pack.manifest.statement)))
          verification.addProblem(pack.folder, MANIFEST_NAME, "does not match the statement's row in the database");
        await comparePack(trx, pack, verification);
      });
    } else {
      verification.lacksStatement = true;
      verification.addProblem(pack.folder, MANIFEST_NAME, `the database has no statement ${id} of ${month}`);
    }
  }
  verification.notes.push(...missingStatements);
}

async function comparePack(trx: Kysely<Schema>, pack: Pack, verification: Verification): Promise<void> {
  const { statement, files, signedBy } = pack.manifest;
  const expectedHashes = new Map<string, string>(files.map(({ name, sha256 }) => [name, sha256]));
  expectedHashes.set(MANIFEST_NAME, pack.manifestSha256);
  if (signedBy !== null) expectedHashes.set(SIGNATURE_NAME, hashOf(await readFile(join(pack.path, SIGNATURE_NAME))));
  for (const [name, sha256] of expectedHashes) {
    if ((await hashParts(readStoredFile(trx, statement.id, name))) !== sha256)
      verification.addProblem(pack.folder, name, 'differs from the copy in the database');
  }
  for (const name of CSV_NAMES) {
    if (LEDGER_FILES.includes(name)) continue;
    const rows = streamPackFile(trx, statement, { name, checks: pack.checksSql });
    if ((await hashParts(rows)) !== expectedHashes.get(name))
      verification.addProblem(pack.folder, name, "does not match the statement's rows in the database");
  }
}

async function hashParts(parts: AsyncIterable<string | Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of parts) hash.update(part);
  return hash.digest('hex');
}
