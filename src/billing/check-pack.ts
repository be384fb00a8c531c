/** The rows of a proof pack against each other, by the queries that a stranger runs with sqlite3. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FileProblem, findPack, type OpenedPacks, type Pack, type PackProblem } from './open-packs.ts';
import { readRecords } from './records.ts';

/** Packs that were opened, with what was found in their rows too. */
export interface CheckedPacks extends OpenedPacks {
  /** The number of rows that were checked. */
  readonly rows: number;
}

/**
 * Checks every pack by itself, and what its lines say was billed before by the packs that it follows, if all
 * are there.
 */
export async function checkPacks(opened: OpenedPacks, signal: AbortSignal): Promise<CheckedPacks> {
  const { packs } = opened;
  const problems = [...opened.problems];
  const notes = [...opened.notes];
  let rows = 0;
  for (const pack of packs) {
    const { number, month, earlier } = pack.manifest.statement;
    const before = earlier.map((each) => findPack(packs, each));
    const isWhole = before.every((each) => each !== undefined);
    if (!isWhole)
      notes.push(
        `What number ${number} of ${month} says was billed before was not checked: ` +
          'not all statements that it follows are here.',
      );
    // In a temporary file, so that memory stays flat.
    const path = join(tmpdir(), `losant-usage-verify-${randomUUID()}.sqlite`);
    const check = new PackCheck(path, { pack, signal });
    try {
      rows += await check.run(pack.checksSql, isWhole ? before : null);
    } finally {
      check.db.close();
      await rm(path, { force: true });
    }
    problems.push(...check.problems);
  }
  return { packs, problems, notes, rows };
}

/** The line above which the file of checks is for the sqlite3 shell. */
const MARKER = /^-- -{20,}.*$/m;
const IMPORT = /^\.import --csv (\S+) (\S+)$/gm;

/** The most problems told of one pack; the rest would be more of the same. */
const PROBLEMS_MAX = 100;

/** A pack in a database of its own. */
class PackCheck {
  readonly problems: PackProblem[] = [];
  readonly db: DatabaseSync;
  readonly #pack: Pack;
  readonly #signal: AbortSignal;

  constructor(path: string, { pack, signal }: { readonly pack: Pack; readonly signal: AbortSignal }) {
    this.#pack = pack;
    this.#signal = signal;
    this.db = new DatabaseSync(path);
    this.db.exec('pragma page_size = 65536; pragma journal_mode = off; pragma synchronous = off');
    this.db.exec('pragma cache_size = -16000; pragma temp_store = file');
    // The shell has it; the only file that is read in this way is the manifest.
    this.db.function('readfile', (_name) => pack.bytes);
  }

  /** Returns the number of rows checked; 0 if the checks could not be finished. */
  async run(checks: string, before: readonly Pack[] | null): Promise<number> {
    const [shell = '', queries = ''] = checks.split(MARKER);
    this.db.exec(shell.replaceAll(/^\..*$/gm, ''));
    for (const [, file = '', table = ''] of shell.matchAll(IMPORT)) await this.#load(this.#pack, file, table);
    let rows = 0;
    for (const query of queries.split(/;\n/)) {
      this.#signal.throwIfAborted();
      rows = this.#runQuery(query) ?? rows;
    }
    if (rows > 0 && before !== null) await this.#compareBefore(before);
    return rows;
  }

  /** Loads a file as the shell's `.import` does: text, and rows that are too short end with null. */
  async #load(pack: Pack, name: string, table: string): Promise<void> {
    const columns = this.db.prepare(`select * from ${table}`).columns().length;
    const insert = this.db.prepare(`insert into ${table} values (${Array(columns).fill('?').join()})`);
    const nothing = Array<null>(columns).fill(null);
    this.db.exec('begin');
    let number = 0;
    try {
      for await (const page of readRecords(join(pack.place, name))) {
        this.#signal.throwIfAborted();
        for (const record of page) {
          number += 1;
          if (record.length === columns) insert.run(...record);
          else insert.run(...[...record, ...nothing].slice(0, columns));
          if (record.length > columns)
            this.#say(name, `line ${number} has ${record.length} cells instead of ${columns}`);
        }
      }
    } catch (error) {
      if (error instanceof SyntaxError) this.#say(name, `line ${number + 1} is no CSV: ${error.message}`);
      // A file that cannot be read is told with the bytes of the pack.
      else if (!(error instanceof FileProblem)) throw error;
    } finally {
      this.db.exec('commit');
    }
  }

  /**
   * Returns the number of rows checked if the query tells it. A query that fails is a problem of the pack's
   * numbers.
   */
  #runQuery(query: string): number | null {
    if (query.trim() === '') return null;
    try {
      for (const row of this.db.prepare(query).iterate()) {
        const [file = '', problem] = Object.values(row).map(String);
        if (problem !== undefined) this.#say(file, problem);
        else return Number(/^checked (\d+) rows/.exec(file)?.[1] ?? 0);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#say('lines.csv', `the checks could not be made: ${error.message}`);
    }
    return null;
  }

  #say(name: string, problem: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push({ file: this.#pack.fileOf(name), problem });
  }

  async #compareBefore(before: readonly Pack[]): Promise<void> {
    this.db.exec('create table earlier_csv as select * from lines_csv where false');
    for (const pack of before) await this.#load(pack, 'lines.csv', 'earlier_csv');
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
