/** A database password that is replaced under a running worker. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase, makeFastFolder, queryOnce } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker } from './process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });

test('is read from its file for the next connection, without a restart', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const role = `${database.name}_rotated`;
  await queryOnce(database.url, `create role ${role} superuser login password 'first'`);
  onTestFinished(async () => {
    await queryOnce(database.url, `drop role ${role}`);
  });
  const file = join(makeFastFolder('losant-usage-rotation-'), 'url');
  const write = (password: string) =>
    writeFileSync(file, Object.assign(new URL(database.url), { username: role, password }).href);
  write('first');
  const { DATABASE_URL: _, ...settings } = settingsOf(platform, database);
  const worker = await startTestWorker({ ...settings, DATABASE_URL_FILE: file });
  await until('it waits', () => worker.running.stderr().includes('waiting for the next wake-up'));

  await queryOnce(database.url, `alter role ${role} password 'second'`);
  await queryOnce(
    database.url,
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`,
  );
  await until('it is refused', async () => (await worker.get('/readyz')).text.includes('refuses this login'));
  write('second');
  await until('it is let in', async () => (await worker.get('/readyz')).status === 200);
  expect(await worker.metric('losant_usage_database_up')).toBe(1);
});
