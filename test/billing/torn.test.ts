/** Closing, and writing a pack, when the connection, the disk or the process goes: there as a whole or not at all. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CutProxy, startCutProxy } from '../support/cut-proxy.ts';
import { LAUNCHER, runProgram, spawnProgram, startProcess } from '../support/program.ts';
import { useBooks } from './books.ts';

const books = useBooks();
let line: CutProxy;

beforeAll(async () => {
  line = await startCutProxy(books.ledger.url);
});

afterAll(async () => {
  await line[Symbol.asyncDispose]();
});

const runAt = async (url: string, ...args: readonly string[]) =>
  await runProgram(args, { DATABASE_URL: url });
const run = async (...args: readonly string[]) => await runAt(books.ledger.url, ...args);

/** Runs the program where a file has at most 1 KiB. */
const withoutRoom = async (...args: readonly string[]) =>
  await startProcess(
    'sh',
    ['-c', `ulimit -f 1; exec '${process.execPath}' '${LAUNCHER}' ${args.join(' ')}`],
    {
      DATABASE_URL: books.ledger.url,
    },
  ).ended;

/** The rows of statements that are in no statement: none, whatever happened. */
const halves = () =>
  books.ask(sql`select statement_id from (
      select statement_id from losant_usage.statement_lines union select statement_id from losant_usage.statement_files
      union select statement_id from losant_usage.statement_blockers) as parts
    where statement_id not in (select statement_id from losant_usage.statements where manifest is not null)`);
const statementsOf = async (month: string) =>
  (
    await books.ask(
      sql`select number from losant_usage.statements where period_month = ${`${month}-01`}::date`,
    )
  ).length;

/** Closes a month again after the trouble, and checks its pack. */
async function closesAgain(month: string): Promise<void> {
  expect([await statementsOf(month), await halves()]).toEqual([0, []]);
  expect(await run('close', '--period', month)).toMatchObject({ code: 0, stderr: '' });
  expect((await books.verifyMonth(month)).problems).toEqual([]);
}

const GO_ON =
  'a statement is kept completely or not at all: give the same command again, which says if the month is closed';

describe('a closing', () => {
  test.each([
    ['2026-02', 'half of the pack is there', 'seal_statement', 6],
    ['2026-03', 'the statement is sealed', 'manifest.json', 1],
    ['2026-04', 'it is kept', 'commit\0', 1],
  ])('of %s whose connection is cut before %s keeps nothing, and works the next time', async (...at) => {
    const [month, , text, nth] = at;
    await books.orgOf({ from: `${month}-10`, to: `${month}-11` });
    const met = line.meet(text, nth, 'cut');
    const ended = await runAt(line.url, 'close', '--period', month);
    await met;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^losant-usage: Cannot reach the database at .*\n/);
    expect(ended.stderr).toContain(GO_ON);
    await closesAgain(month);
  });

  test('that was kept and whose answer was lost is closed once', async () => {
    await books.orgOf({ from: '2026-05-10', to: '2026-05-11' });
    const met = line.meet('commit\0', 1, 'answer lost');
    const ended = await runAt(line.url, 'close', '--period', '2026-05');
    await met;
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining(GO_ON)]);
    const again = await run('close', '--period', '2026-05');
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('is closed already, since ')]);
    expect([await statementsOf('2026-05'), await halves()]).toEqual([1, []]);
  });

  test('while the disk of the database is full keeps nothing', async () => {
    await books.orgOf({ from: '2026-06-10', to: '2026-06-11' });
    await books.ledger.ask(sql`create function public.full_disk() returns trigger language plpgsql as $$ begin
      raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`);
    await books.ledger.ask(sql`create trigger full_disk after insert on losant_usage.statement_files
      for each row execute function public.full_disk()`);
    const ended = await run('close', '--period', '2026-06');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('could not extend file: No space left on device\n');
    expect(ended.stderr).toContain(`free disk space on the database server; ${GO_ON}`);
    await books.ledger.ask(sql`drop function public.full_disk() cascade`);
    await closesAgain('2026-06');
  });

  test('whose CSV finds no room is kept, and says so', async () => {
    for (let number = 0; number < 8; number += 1) await books.orgOf({ from: '2026-07-10', to: '2026-07-10' });
    const csv = join(books.folder, 'july.csv');
    const ended = await withoutRoom('close', '--period', '2026-07', '--csv', csv);
    expect([ended.code, ended.stdout]).toEqual([1, expect.stringMatching(/^Closed 2026-07 /)]);
    expect(ended.stderr).toMatch(/july.csv cannot be written: EFBIG.*\n {2}what was closed stays closed; /);
    expect([existsSync(csv), await statementsOf('2026-07')]).toEqual([false, 1]);
  });

  test('whose process is killed keeps nothing', async () => {
    await books.orgOf({ from: '2026-08-10', to: '2026-08-11' });
    const sealing = line.meet('seal_statement', 6, 'held');
    const program = spawnProgram(['close', '--period', '2026-08'], { DATABASE_URL: line.url });
    await sealing;
    program.kill('SIGKILL');
    expect(await program.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
    await closesAgain('2026-08');
  });
});

describe('a pack', () => {
  const pack = (name: string) => join(books.folder, name);
  const writing = (out: string) => ['statement', '--period', '2026-09', '--out', out];
  const leftOvers = async () => (await readdir(books.folder)).filter((name) => name.includes('.partial-'));

  beforeAll(async () => {
    for (let number = 0; number < 4; number += 1) await books.orgOf({ from: '2026-09-10', to: '2026-09-19' });
    await books.closeMonth('2026-09');
  });

  test('whose connection is cut leaves nothing behind, and is written the next time', async () => {
    const met = line.meet('content_gzip', 5, 'cut');
    const ended = await runAt(line.url, ...writing(pack('cut')));
    await met;
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining('Cannot reach the database at ')]);
    expect([existsSync(pack('cut')), await leftOvers()]).toEqual([false, []]);
    expect(await run(...writing(pack('cut')))).toMatchObject({ code: 0, stderr: '' });
  });

  test('that finds no room leaves nothing behind', async () => {
    const ended = await withoutRoom(...writing(pack('full')));
    expect(ended.stderr).toMatch(
      /full cannot be written: EFBIG: file too large\n {2}give it room.*and start again/,
    );
    expect([ended.code, existsSync(pack('full')), await leftOvers()]).toEqual([1, false, []]);
  });

  test('whose process is killed is not there, and the next one removes what was left', async () => {
    const reading = line.meet('content_gzip', 5, 'held');
    const program = spawnProgram(writing(pack('killed')), { DATABASE_URL: line.url });
    await reading;
    program.kill('SIGKILL');
    await program.ended;
    expect([existsSync(pack('killed')), (await leftOvers()).length]).toEqual([false, 1]);
    expect(await run(...writing(pack('killed')))).toMatchObject({ code: 0, stderr: '' });
    expect(await leftOvers()).toEqual([]);
    expect(await run('verify', pack('killed'))).toMatchObject({ code: 0, stderr: '' });
  });
});
