/** Packs written into a folder: whole or not at all, and nothing else touched. */
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { placePacks, writePacks } from '../../src/billing/pack-folder.ts';
import { readStatements } from '../../src/billing/statements.ts';
import { queryOnce } from '../support/databases.ts';
import { SIGNAL, useBooks } from './books.ts';
import { closeMarch, MONTH } from './copies.ts';

const books = useBooks();

beforeAll(async () => {
  await closeMarch(books);
});

describe('writing packs', () => {
  const places = async () => placePacks(await readStatements(books.handle.db, { month: MONTH }));

  test('refuses a folder that is not empty, and leaves nothing of its own behind', async () => {
    const out = await mkdtemp(join(books.folder, 'taken-'));
    await writeFile(join(out, 'mine'), '');
    await expect(writePacks(books.handle, await places(), { out, signal: SIGNAL })).rejects.toThrow(
      'the folder is not empty',
    );
    const aborted = AbortSignal.abort(new Error('interrupted'));
    const target = join(books.folder, 'torn');
    await expect(writePacks(books.handle, await places(), { out: target, signal: aborted })).rejects.toThrow(
      'interrupted',
    );
    expect((await readdir(books.folder)).filter((name) => name.startsWith('torn'))).toEqual([]);
  });

  test('never removes a folder of the user', async () => {
    const target = join(books.folder, 'pack');
    await mkdir(`${target}.partial-1`);
    await writePacks(books.handle, await places(), { out: target, signal: SIGNAL });
    expect(await readdir(books.folder)).toContain('pack.partial-1');
  });

  test('writes no file that a pack has not, whatever the database says', async () => {
    await queryOnce(
      books.database.url,
      `set session_replication_role = replica;
       alter table losant_usage.statement_files drop constraint statement_files_name_check;
       insert into losant_usage.statement_files select statement_id, '../../evil.txt', 0,
         '' from losant_usage.statements where kind = 'closing'`,
    );
    await expect(
      writePacks(books.handle, await places(), { out: join(books.folder, 'evil'), signal: SIGNAL }),
    ).rejects.toThrow('the database has a file of a pack called "../../evil.txt"');
  });
});
