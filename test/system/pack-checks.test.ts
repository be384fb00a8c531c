/** What a stranger does with a proof pack: `sqlite3 :memory: < pack-checks.sql` in its folder, and nothing else. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { openPacks } from '../../src/billing/open-packs.ts';
import { SIGNAL, useBooks } from '../billing/books.ts';
import { ADJUSTMENT, Copy, closeMarch, TAMPERINGS } from '../billing/tamperings.ts';

const books = useBooks();
let march: string;

beforeAll(async () => {
  march = await closeMarch(books);
});

/** Runs the checks of the pack in a folder; the shell reads the file from its stdin. */
async function runShell(folder: string): Promise<{ readonly rows: string[]; readonly stderr: string }> {
  const running = promisify(execFile)('sqlite3', [':memory:'], { cwd: folder });
  running.child.stdin?.end(await readFile(join(folder, 'pack-checks.sql')));
  const { stdout, stderr } = await running.catch((error: { stdout: string; stderr: string }) => error);
  return { rows: stdout.split('\n').filter((row) => row !== ''), stderr };
}

describe('the sqlite3 shell', () => {
  test('says of honest packs how much it has checked, and nothing else', async () => {
    const closing = await runShell(march);
    expect(closing).toEqual({ rows: [expect.stringMatching(/^checked \d+ rows of 9 files$/)], stderr: '' });
    const adjustment = await runShell(join(march, ADJUSTMENT));
    expect(adjustment).toEqual({
      rows: [expect.stringMatching(/^checked \d+ rows of 9 files$/)],
      stderr: '',
    });
  });

  /** Between packs, and beside the manifest, only verify looks. */
  const isOfVerify = (problem: string) => /billed_before is|not that of the manifest/.test(problem);

  test.for(TAMPERINGS)('finds what verify finds: $what', async ({ change }) => {
    const copy = await Copy.of(march);
    await change(copy);
    const { packs } = await openPacks(copy.out, []);
    const { problems } = await checkPacks(packs, SIGNAL);
    const own = problems.filter(({ problem }) => !isOfVerify(problem));
    const found: string[] = [];
    for (const folder of ['', ADJUSTMENT]) {
      const { rows } = await runShell(copy.path(folder));
      found.push(...rows.filter((row) => !row.startsWith('checked ')).map((row) => join(folder, row)));
    }
    expect(found.toSorted()).toEqual(own.map(({ file, problem }) => `${file}|${problem}`).toSorted());
  });
});
