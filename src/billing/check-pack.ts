/** Checks the files of proof packs: their bytes against the manifest, and their rows against each other. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CHECKS_NAME, hashOf } from './manifest.ts';
import { FileProblem, readListedFile, readRecords } from './pack-files.ts';
import { findPack, type Pack, type Verification } from './read-packs.ts';

/** A pack under check. Its rows go into a temporary SQLite file, so that memory does not grow with the pack. */
interface PackCheck {
  readonly pack: Pack;
  readonly db: DatabaseSync;
  readonly verification: Verification;
  readonly signal: AbortSignal;
}

/**
 * Checks each pack on its own, and its `billed_before` against the earlier packs if all of them are present. Rows
 * are checked only if every file matches the manifest.
 */
export async function checkPacks(verification: Verification, signal: AbortSignal): Promise<void> {
  for (const pack of verification.packs) {
    const path = join(tmpdir(), `losant-usage-verify-${randomUUID()}.sqlite`);
    try {
      using db = new DatabaseSync(path);
      await checkPack({ pack, db, verification, signal });
    } finally {
      await rm(path, { force: true });
    }
  }
}

/** The line above which the file of checks is for the sqlite3 shell. */
const MARKER = /^-- -{20,}.*$/m;
const IMPORT = /^\.import --csv (\S+) (\S+)$/gm;

async function checkPack(check: PackCheck): Promise<void> {
  const { pack, db, verification, signal } = check;
  const [shell = '', queries = ''] = pack.checksSql.split(MARKER);
  db.exec('pragma page_size = 65536; pragma journal_mode = off; pragma synchronous = off');
  db.exec('pragma cache_size = -16000; pragma temp_store = file');
  // A function of the shell, which the checks call for the manifest only.
  db.function('readfile', (_name) => pack.bytes);
  // One transaction that is never committed: the database is thrown away.
  db.exec(`begin; ${shell.replaceAll(/^\..*$/gm, '')}`);
  const tables = new Map(Array.from(shell.matchAll(IMPORT), ([, file, table]) => [file, table]));
  const problemCount = verification.problems.length;
  for (const { name, sha256 } of pack.manifest.files) {
    await verification.capture(pack.folder, name, () =>
      importFile(check, { pack, name, table: tables.get(name) }),
    );
    if (name === CHECKS_NAME && hashOf(pack.checksSql) !== sha256)
      verification.notes.push(
        `${join(pack.folder, name)} differs from the released version, which was used instead.`,
      );
  }
  if (verification.problems.length > problemCount) return;
  for (const query of queries.split(/;\n/)) {
    signal.throwIfAborted();
    runQuery(check, query);
  }
  await checkBilledBefore(check);
}

interface FileImport {
  readonly pack: Pack;
  readonly name: string;
  /** Undefined for a file without rows, which is read for its hash only. */
  readonly table: string | undefined;
}

/**
 * Imports a file the way the sqlite3 shell does: every field is text, and short rows end with nulls. Throws
 * FileProblem.
 */
async function importFile({ db, signal }: PackCheck, { pack, name, table }: FileImport): Promise<void> {
  const chunks = readListedFile(pack, name);
  if (table === undefined) {
    while (!(await chunks.next()).done) signal.throwIfAborted();
    return;
  }
  const columns = db.prepare(`select * from ${table}`).columns().length;
  const insert = db.prepare(`insert into ${table} values (${Array(columns).fill('?').join()})`);
  const nulls = Array<null>(columns).fill(null);
  let lineNumber = 0;
  for await (const page of readRecords(chunks)) {
    signal.throwIfAborted();
    for (const record of page) {
      lineNumber += 1;
      if (record.length > columns)
        throw new FileProblem(`line ${lineNumber} has ${record.length} fields instead of ${columns}`);
      if (record.length === columns) insert.run(...record);
      else insert.run(...[...record, ...nulls].slice(0, columns));
    }
  }
}

/**
 * Adds a problem per row that a check returns. A check that fails, such as by an overflow, is a problem of the
 * pack too.
 */
function runQuery({ pack, db, verification }: PackCheck, query: string): void {
  if (query.trim() === '') return;
  try {
    for (const row of db.prepare(query).iterate()) {
      const [file = '', problem] = Object.values(row).map(String);
      if (problem !== undefined) verification.addProblem(pack.folder, file, problem);
      else verification.rows += Number(/^checked (\d+) rows/.exec(file)?.[1] ?? 0);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    verification.addProblem(pack.folder, 'lines.csv', `could not run the checks: ${error.message}`);
  }
}

/** Compares `billed_before` with the lines of the earlier packs of the month. */
async function checkBilledBefore(check: PackCheck): Promise<void> {
  const { pack, db, verification } = check;
  const { number, month, earlier } = pack.manifest.statement;
  const earlierPacks = earlier.map((link) => findPack(verification.packs, link));
  if (!earlierPacks.every((earlierPack) => earlierPack !== undefined)) {
    verification.notes.push(
      `Earlier billing in statement ${number} of ${month} was not checked: ` +
        'not all earlier statements are in this folder.',
    );
    return;
  }
  db.exec('create table earlier_csv as select * from lines_csv where false');
  try {
    for (const earlierPack of earlierPacks)
      await importFile(check, { pack: earlierPack, name: 'lines.csv', table: 'earlier_csv' });
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    // Already reported with the pack that has it.
    return;
  }
  runQuery(
    check,
    `select 'lines.csv', l.org_id || ' ' || l.metric || ': billed_before is ' || coalesce(l.billed_before, 'none')
      || ', the statements before it billed ' || coalesce(e.quantity, 'none')
    from lines l left join (
      select org_id, metric, sum(cast(nullif(quantity, '') as integer)) as quantity
      from earlier_csv group by org_id, metric
    ) as e on e.org_id = l.org_id and e.metric = l.metric
    where l.billed_before is not e.quantity limit 20`,
  );
}
