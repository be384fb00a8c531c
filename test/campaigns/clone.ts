import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { queryOnce, type TestDatabase, withDatabase } from '../support/databases.ts';

/** A copy of a test database that nobody is connected to. */
export async function cloneDatabase(source: string): Promise<TestDatabase> {
  const adminUrl = inject('postgresAdminUrl');
  const name = `losant_usage_test_${randomBytes(6).toString('hex')}`;
  await queryOnce(adminUrl, `create database ${name} template ${source}`);
  return {
    url: withDatabase(adminUrl, name),
    name,
    drop: async () => {
      await queryOnce(adminUrl, `drop database if exists ${name} with (force)`);
    },
  };
}
