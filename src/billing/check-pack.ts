/** The files of a proof pack: their bytes against its manifest, and their rows against each other. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CHECKS_NAME, hashOf } from './manifest.ts';
import { FileProblem, readNamed, readRecords } from './pack-files.ts';
import { findPack, type Pack, type Verification } from './read-packs.ts';

/** A pack under check. Its rows go into a temporary SQLite file, so that memory does not grow with the pack. */
interface Check {
  readonly pack: Pack;
  readonly db: DatabaseSync;
  readonly found: Verification;
  readonly signal: AbortSignal;
}

/**
 * Checks each pack on its own, and its `billed_before` against the earlier packs if all of them are present. Rows
 * are checked only if every file matches the manifest.
 */
export async function checkPacks(found: Verification, signal: AbortSignal): Promise<void> {
  for (const pack of found.packs) {
    const path = join(tmpdir(), `losant-usage-verify-${randomUUID()}.sqlite`);
    try {
      using db = new DatabaseSync(path);
      await checkPack({ pack, db, found, signal });
    } finally {
      await rm(path, { force: true });
    }
  }
}

/** The line above which the file of checks is for the sqlite3 shell. */
const MARKER = /^-- -{20,}.*$/m;
const IMPORT = /^\.import --csv (\S+) (\S+)$/gm;

async function checkPack(check: Check): Promise<void> {
  const { pack, db, found, signal } = check;
  const [shell = '', queries = ''] = pack.checksSql.split(MARKER);
  db.exec('pragma page_size = 65536; pragma journal_mode = off; pragma synchronous = off');
  db.exec('pragma cache_size = -16000; pragma temp_store = file');
  // The shell has it; the only file that is read in this way is the manifest.
  db.function('readfile', (_name) => pack.bytes);
  // One transaction that is never committed: the database is thrown away.
  db.exec(`begin; ${shell.replaceAll(/^\..*$/gm, '')}`);
  const tables = new Map(Array.from(shell.matchAll(IMPORT), ([, file, table]) => [file, table]));
  const before = found.problems.length;
  for (const { name, sha256 } of pack.manifest.files) {
    await found.capture(
      pack.folder,
      name,
      async () => await load(check, { from: pack, name, table: tables.get(name) }),
    );
    if (name === CHECKS_NAME && hashOf(pack.checksSql) !== sha256)
      found.notes.push(
        `${join(pack.folder, name)} differs from the released version, which was used instead.`,
      );
  }
  if (found.problems.length > before) return;
  for (const query of queries.split(/;\n/)) {
    signal.throwIfAborted();
    runQuery(check, query);
  }
  await compareBefore(check);
}

interface Load {
  readonly from: Pack;
  readonly name: string;
  readonly table: string | undefined;
}

/**
 * Imports a file the way the sqlite3 shell does: every field is text, short rows end with nulls. A file without a
 * table is still read, for its hash. Throws FileProblem.
 */
async function load({ db, signal }: Check, { from, name, table }: Load): Promise<void> {
  const chunks = readNamed(from, name);
  if (table === undefined) {
    while (!(await chunks.next()).done) signal.throwIfAborted();
    return;
  }
  const columns = db.prepare(`select * from ${table}`).columns().length;
  const insert = db.prepare(`insert into ${table} values (${Array(columns).fill('?').join()})`);
  const nothing = Array<null>(columns).fill(null);
  let number = 0;
  for await (const page of readRecords(chunks)) {
    signal.throwIfAborted();
    for (const record of page) {
      number += 1;
      if (record.length > columns)
        throw new FileProblem(`line ${number} has ${record.length} fields instead of ${columns}`);
      if (record.length === columns) insert.run(...record);
      else insert.run(...[...record, ...nothing].slice(0, columns));
    }
  }
}

/**
 * Adds a problem per row that a check returns. A check that fails, such as by an overflow, is a problem of the
 * pack too.
 */
function runQuery({ pack, db, found }: Check, query: string): void {
  if (query.trim() === '') return;
  try {
    for (const row of db.prepare(query).iterate()) {
      const [file = '', problem] = Object.values(row).map(String);
      if (problem !== undefined) found.addProblem(pack.folder, file, problem);
      else found.rows += Number(/^checked (\d+) rows/.exec(file)?.[1] ?? 0);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    found.addProblem(pack.folder, 'lines.csv', `could not run the checks: ${error.message}`);
  }
}

/** Compares what lines say was billed before with the packs that this one follows. */
async function compareBefore(check: Check): Promise<void> {
  const { pack, db, found } = check;
  const { number, month, earlier } = pack.manifest.statement;
  const before = earlier.map((each) => findPack(found.packs, each));
  if (!before.every((each) => each !== undefined)) {
    found.notes.push(
      `Earlier billing in statement ${number} of ${month} was not checked: ` +
        'not all earlier statements are in this folder.',
    );
    return;
  }
  db.exec('create table earlier_csv as select * from lines_csv where false');
  try {
    for (const from of before) await load(check, { from, name: 'lines.csv', table: 'earlier_csv' });
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
