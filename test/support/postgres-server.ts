/** Vitest's global setup: one Postgres for the complete test run, with a template of databases with the schema at head. */
import { rmSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { makeClockTemplate } from './clock-database.ts';
import { createSchema, makeFastFolder, queryOnce, TEMPLATE, withDatabase } from './databases.ts';
import { OwnPostgres } from './own-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of a user who may create databases, in a database that is not for tests. */
    postgresAdminUrl: string;
    /** An empty folder, in which the first test that needs one makes an embedded database to copy. */
    embeddedTemplate: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await OwnPostgres.start(makeFastFolder('losant-usage-postgres-'), {
    // Each connection verifies its password anew, and the tests make thousands.
    initdbFlags: ['--no-sync', '--set=scram_iterations=1'],
    settings: [
      'fsync=off',
      'full_page_writes=off',
      'synchronous_commit=off',
      'max_connections=300',
      'shared_buffers=64MB',
      'jit=off',
      'autovacuum=off',
    ],
  });
  await queryOnce(server.url, `create database ${TEMPLATE}`);
  await Promise.all([createSchema(withDatabase(server.url, TEMPLATE)), makeClockTemplate(server.url)]);
  project.provide('postgresAdminUrl', server.url);
  const embeddedTemplate = makeFastFolder('losant-usage-embedded-template-');
  project.provide('embeddedTemplate', embeddedTemplate);
  return async () => {
    rmSync(embeddedTemplate, { recursive: true, force: true });
    await server.stop();
  };
}
