/** The check of a pack without this program, as docs/billing.md shows it. Needs sha256sum, openssl and sqlite3. */
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Books, openBooks } from '../billing/books.ts';
import { startProcess } from '../support/program.ts';
import { sources, trackedOrg } from '../views/loads.ts';

let books: Books;

beforeAll(async () => {
  books = await openBooks();
});

afterAll(() => books.close());

test('finds nothing in a pack as it was made, and the place of what was changed', async () => {
  await books.orgOf({ from: '2026-03-10', to: '2026-03-12' });
  const orgId = await trackedOrg(books.ledger, ['payload_sources'], { from: '2026-03-10', to: '2026-03-11' });
  await books.ledger.load([sources(orgId, '2026-03-10', 5, 6), sources(orgId, '2026-03-11', 7)]);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = join(books.folder, 'statement.pub');
  await writeFile(key, publicKey.export({ type: 'spki', format: 'pem' }));
  const reason = 'not final yet';
  expect((await books.closeMonth('2026-03', { reason, signingKey: privateKey })).kind).toBe('closed');
  const { out } = await books.verifyMonth('2026-03');
  const text = await readFile('docs/billing.md', 'utf8');
  const [, script = ''] =
    /### Check it without this program[^`]*(?:`[^`]+`[^`]*)*?```sh\n([^]*?)```/.exec(text) ?? [];
  const check = async () => {
    const { ended } = startProcess('sh', ['-c', `cd ${out} && ${script}`], { KEY: key });
    return await ended;
  };
  expect(await check()).toMatchObject({ code: 0, stdout: 'Signature Verified Successfully\n', stderr: '' });
  const change = async (name: string, from: string | RegExp, to: string) => {
    const before = await readFile(join(out, name), 'utf8');
    await writeFile(join(out, name), before.replace(from, to));
    const ended = await check();
    await writeFile(join(out, name), before);
    expect(before).not.toBe(before.replace(from, to));
    return `${ended.stdout}${ended.stderr}`;
  };
  expect(await change('lines.csv', 'Acme', 'Acne')).toContain('lines.csv: FAILED');
  expect(await change('manifest.json', '"postgres"', '"cfo"')).toContain('Signature Verification Failure');
  expect(await change('sources.csv', ',12,12', ',11,12')).toContain(`sources|${orgId}|2026-03-01|18|17`);
  expect(await change('coverage.csv', ',true,', ',false,')).toMatch(/^coverage\|/m);
  expect(await change('lines.csv', ',12,12,', ',13,12,')).toContain('totals|devices_created|12|13');
});
