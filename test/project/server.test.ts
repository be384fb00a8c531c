import { expect, onTestFinished, test } from 'vitest';
import { asAdministrator, createTestDatabase, disconnect } from '../support/databases.ts';
import { requireDisposable } from '../support/postgres-server.ts';

test('tests use a given server only if it says that it is disposable', async () => {
  const database = await createTestDatabase({ template: false });
  onTestFinished(() => database.drop());
  const { url, name } = database;
  for (const [setting, problem] of [
    ['off', 'does not say that it is disposable'],
    ['on', null],
  ] as const) {
    await asAdministrator(`alter database ${name} set losant_usage.disposable = ${setting}`);
    await disconnect(url);
    if (problem === null) await requireDisposable(url);
    else await expect(requireDisposable(url)).rejects.toThrow(problem);
  }
});
