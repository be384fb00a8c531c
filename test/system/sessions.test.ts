/** The test of sessions on Debian's Postgres, which compiles queries and knows the languages of the machine. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFastFolder, queryOnce } from '../support/databases.ts';
import { DebianPostgres } from '../support/debian-postgres.ts';
import { matching } from '../support/texts.ts';

test('views and functions have the same rows in a German session, and if queries are compiled', async () => {
  const locales = makeFastFolder('losant-usage-locales-');
  chmodSync(locales, 0o755);
  execFileSync('localedef', ['-i', 'de_DE', '-f', 'UTF-8', join(locales, 'de_DE.UTF-8')]);
  process.env['LOCPATH'] = locales;
  const server = await DebianPostgres.start();
  try {
    const jit = 'select pg_jit_available() as is_available';
    expect(await queryOnce(server.url, jit)).toEqual([{ is_available: true }]);
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', 'test/views/sessions.test.ts'];
    const env = { ...process.env, TEST_DATABASE_URL: server.url, TEST_LOCALE: 'de_DE.UTF-8', NO_COLOR: '1' };
    const { status, stdout } = spawnSync(process.execPath, vitest, { env, encoding: 'utf8', timeout: 540_000 });
    expect({ status, stdout }).toEqual({ status: 0, stdout: matching(/Tests +\d+ passed/) });
  } finally {
    delete process.env['LOCPATH'];
    await server.stop();
    rmSync(locales, { recursive: true });
  }
}, 600_000);
