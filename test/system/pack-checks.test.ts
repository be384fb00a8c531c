/** Checks proof packs without the program: `sqlite3 :memory: < FILE` in their folders. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { readPacks } from '../../src/billing/read-packs.ts';
import { readStatements } from '../../src/billing/statements.ts';
import { INSTANCE, SIGNAL, useBooks } from '../billing/books.ts';
import { ADJUSTMENT, Copy, closeMarch } from '../billing/copies.ts';
import { OVERFLOW, TAMPERINGS } from '../billing/tamperings.ts';
import { matching } from '../support/texts.ts';

const books = useBooks();
let march: string;

beforeAll(async () => {
  march = await closeMarch(books);
});

const run = promisify(execFile);
const toOutput = (error: unknown) => error as { stdout: string; stderr: string };

/** Runs the checks of the pack in a folder. */
async function runShell(folder: string): Promise<{ readonly rows: string[]; readonly stderr: string }> {
  const running = run('sqlite3', [':memory:'], { cwd: folder });
  running.child.stdin?.end(await readFile(join(folder, 'pack-checks.sql')));
  const { stdout, stderr } = await running.catch(toOutput);
  return { rows: stdout.split('\n').filter((row) => row !== ''), stderr };
}

test('a pack can be verified without this program, as docs/billing.md documents', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = join(books.folder, 'statement.pub');
  await writeFile(key, publicKey.export({ type: 'spki', format: 'pem' }));
  const orgId = await books.addOrg({ from: '2026-05-10', to: '2026-05-11' });
  await books.addCells({ orgId, from: '2026-05-10', to: '2026-05-11' });
  await books.close('2026-05', { signingKey: privateKey });
  const { out } = await books.verifyMonth('2026-05');
  const text = await readFile('docs/billing.md', 'utf8');
  const [, script = ''] = /### Verify without this program[^]*?```sh\n([^]*?)```/.exec(text) ?? [];
  const env = { ...process.env, KEY: key, CHECKS: resolve('pack-checks/1.sql') };
  const check = async () => await run('sh', ['-c', `cd ${out}; ${script}`], { env }).catch(toOutput);
  const { stdout, stderr } = await check();
  const [hash = '', ...others] = stdout.split('\n');
  const [statement] = await readStatements(books.reader.db, { month: '2026-05', instanceIds: [INSTANCE] });
  expect(hash).toBe(`${statement?.manifestSha256}  manifest.json`);
  expect(others).toEqual(['Signature Verified Successfully', matching(/^checked \d+ rows in 8 files$/), '']);
  expect(stderr).toBe('');
  const lines = await readFile(join(out, 'lines.csv'), 'utf8');
  await writeFile(join(out, 'lines.csv'), lines.replace(',8,,8,', ',9,,8,'));
  expect((await check()).stdout).toMatch(/lines.csv: FAILED[^]*lines.csv\|.*quantity is not total minus billed_before/);
  await writeFile(join(out, 'pack-checks.sql'), '.shell echo executed\n');
  expect((await check()).stdout).not.toContain('executed');
});

describe('the sqlite3 shell', () => {
  test('reports only the number of checked rows for valid packs', async () => {
    for (const folder of [march, join(march, ADJUSTMENT)]) {
      const rows = [matching(/^checked \d+ rows in 8 files$/)];
      expect(await runShell(folder)).toEqual({ rows, stderr: '' });
    }
  });

  test('takes any source for what it is: older versions find no key with a quote or a backslash', async () => {
    const [month, name] = ['2026-06', 'a "b" \\c'];
    const orgId = await books.addOrg({ from: `${month}-10`, to: `${month}-11` });
    const sources = (count: number) => ({
      payload_source_count: count,
      payload_sources: { [name]: { [name]: count } },
    });
    const options = { orgId, stream: 'payload_sources', numbers: sources(1) };
    await books.addCells({ ...options, from: `${month}-10`, to: `${month}-11` });
    for (const count of [1, 2]) {
      const change = { stream: 'payload_sources', old: sources(count), numbers: sources(count + 1) };
      await books.restate(orgId, `${month}-10`, change);
    }
    await books.close(month);
    const { out } = await books.verifyMonth(month);
    const rows = [matching(/^checked \d+ rows in 8 files$/)];
    expect(await runShell(out)).toEqual({ rows, stderr: '' });
  });

  test('does not say that it checked a pack whose checks fail', async () => {
    const copy = await Copy.of(march);
    await OVERFLOW.make(copy);
    const { rows, stderr } = await runShell(copy.out);
    expect(stderr).toMatch(/integer overflow$/m);
    expect(rows).not.toContainEqual(matching(/^checked/));
  });

  /** Only verify compares packs with each other. */
  const isAcrossPacks = (problem: string) =>
    /billed_before is|the statement before it|in an earlier statement/.test(problem);

  test.for(TAMPERINGS)('reports the same problems as verify: tampering %#', async ([change]) => {
    const copy = await Copy.of(march);
    await change.make(copy);
    const verification = await readPacks(copy.out, []);
    await checkPacks(verification, SIGNAL);
    const { problems } = verification;
    const expected = problems.filter(({ problem }) => !isAcrossPacks(problem));
    const reported: string[] = [];
    for (const folder of ['', ADJUSTMENT]) {
      const { rows } = await runShell(copy.path(folder));
      reported.push(...rows.filter((row) => !row.startsWith('checked ')).map((row) => join(folder, row)));
    }
    expect(reported.toSorted()).toEqual(expected.map(({ file, problem }) => `${file}|${problem}`).toSorted());
  });
});
