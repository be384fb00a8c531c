/** The files of a proof pack: their bytes against its manifest, and their rows against each other. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CHECKS_NAME, hashOf } from './manifest.ts';
import { findPack, type Pack, type Verification } from './open-packs.ts';
import { FileProblem, readNamed, readRecords } from './pack-files.ts';

/**
 * Checks every pack by itself, and what its lines say was billed before by the packs that it follows, if all are
 * there. Rows are checked where every file has the bytes that the manifest names.
 */
export async function checkPacks(found: Verification, signal: AbortSignal): Promise<void> {
  for (const pack of found.packs) {
    // In a temporary file, so that memory stays flat.
    const path = join(tmpdir(), `losant-usage-verify-${randomUUID()}.sqlite`);
    const check = new PackCheck(path, { pack, found, signal });
    try {
      await check.run();
    } finally {
      check.db.close();
      await rm(path, { force: true });
    }
  }
}

/** The line above which the file of checks is for the sqlite3 shell. */
const MARKER = /^-- -{20,}.*$/m;
const IMPORT = /^\.import --csv (\S+) (\S+)$/gm;

/** The most problems told of the rows of one pack; the rest would be more of the same. */
const PROBLEMS_MAX = 100;

/** A pack in a database of its own. */
class PackCheck {
  readonly db: DatabaseSync;
  readonly #pack: Pack;
  readonly #found: Verification;
  readonly #signal: AbortSignal;
  #problems = 0;

  constructor(
    path: string,
    {
      pack,
      found,
      signal,
    }: { readonly pack: Pack; readonly found: Verification; readonly signal: AbortSignal },
  ) {
    this.#pack = pack;
    this.#found = found;
    this.#signal = signal;
    this.db = new DatabaseSync(path);
    this.db.exec('pragma page_size = 65536; pragma journal_mode = off; pragma synchronous = off');
    this.db.exec('pragma cache_size = -16000; pragma temp_store = file');
    // One transaction, which nobody needs to end.
    this.db.exec('begin');
    // The shell has it; the only file that is read in this way is the manifest.
    this.db.function('readfile', (_name) => pack.bytes);
  }

  async run(): Promise<void> {
    const { manifest, checksSql, folder } = this.#pack;
    const [shell = '', queries = ''] = checksSql.split(MARKER);
    this.db.exec(shell.replaceAll(/^\..*$/gm, ''));
    const tables = new Map(Array.from(shell.matchAll(IMPORT), ([, file, table]) => [file, table]));
    const before = this.#found.problems.length;
    for (const { name, sha256 } of manifest.files) {
      await this.#found.look(folder, name, async () => await this.#load(this.#pack, name, tables.get(name)));
      if (name === CHECKS_NAME && hashOf(checksSql) !== sha256)
        this.#found.notes.push(`${join(folder, name)} is not that of the release, which was used instead.`);
    }
    if (this.#found.problems.length > before) return;
    for (const query of queries.split(/;\n/)) {
      this.#signal.throwIfAborted();
      this.#runQuery(query);
    }
    await this.#compareBefore();
  }

  /**
   * Reads a file to its end, and imports it into a table, if there is one for it, as the shell does: all of it is
   * text, and rows that are too short end with null. Throws FileProblem.
   */
  async #load(pack: Pack, name: string, table?: string): Promise<void> {
    const chunks = readNamed(pack, name);
    if (table === undefined) {
      while (!(await chunks.next()).done) this.#signal.throwIfAborted();
      return;
    }
    const columns = this.db.prepare(`select * from ${table}`).columns().length;
    const insert = this.db.prepare(`insert into ${table} values (${Array(columns).fill('?').join()})`);
    const nothing = Array<null>(columns).fill(null);
    let number = 0;
    for await (const page of readRecords(chunks)) {
      this.#signal.throwIfAborted();
      for (const record of page) {
        number += 1;
        if (record.length > columns)
          throw new FileProblem(`line ${number} has ${record.length} cells instead of ${columns}`);
        if (record.length === columns) insert.run(...record);
        else insert.run(...[...record, ...nothing].slice(0, columns));
      }
    }
  }

  /** Tells what a query finds; one that fails is a problem of the pack's numbers. */
  #runQuery(query: string): void {
    if (query.trim() === '') return;
    try {
      for (const row of this.db.prepare(query).iterate()) {
        const [file = '', problem] = Object.values(row).map(String);
        if (problem !== undefined) this.#say(file, problem);
        else this.#found.rows += Number(/^checked (\d+) rows/.exec(file)?.[1] ?? 0);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#say('lines.csv', `the checks could not be made: ${error.message}`);
    }
  }

  #say(name: string, problem: string): void {
    this.#problems += 1;
    if (this.#problems <= PROBLEMS_MAX) this.#found.say(this.#pack.folder, name, problem);
  }

  async #compareBefore(): Promise<void> {
    const { number, month, earlier } = this.#pack.manifest.statement;
    this.db.exec('create table earlier_csv as select * from lines_csv where false');
    const before = earlier.map((each) => findPack(this.#found.packs, each));
    if (!before.every((each) => each !== undefined)) {
      this.#found.notes.push(
        `What number ${number} of ${month} says was billed before was not checked: ` +
          'not all statements that it follows are here.',
      );
      return;
    }
    try {
      for (const each of before) await this.#load(each, 'lines.csv', 'earlier_csv');
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      // Told with the pack that has it.
      return;
    }
    this.#runQuery(`
      select 'lines.csv', l.org_id || ' ' || l.metric || ': billed_before is ' || coalesce(l.billed_before, 'none')
        || ', the statements before it billed ' || coalesce(e.quantity, 'none')
      from lines l left join (
        select org_id, metric, sum(cast(nullif(quantity, '') as integer)) as quantity
        from earlier_csv group by org_id, metric
      ) as e on e.org_id = l.org_id and e.metric = l.metric
      where l.billed_before is not e.quantity limit 20`);
  }
}
