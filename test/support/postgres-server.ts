/**
 * Vitest's global setup: one Postgres for the complete test run, either the one of TEST_DATABASE_URL
 * (whose user must be allowed to create databases) or one started here, with a template database that
 * has this program's schema.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { createSchema, makeFastFolder, queryOnce, withDatabase } from './databases.ts';
import { type OwnPostgres, startOwnPostgres } from './own-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of a user who may create databases, in a database that is not for tests. */
    postgresAdminUrl: string;
    /** The name of a database with the schema at head, to clone. */
    postgresTemplate: string;
    /** An empty folder, in which the first test that needs one makes an embedded database to copy. */
    embeddedTemplate: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['TEST_DATABASE_URL'];
  const server = given === undefined ? await startServer() : { url: given, stop: () => Promise.resolve() };
  const template = `losant_usage_template_${randomBytes(6).toString('hex')}`;
  try {
    await createTemplate(server.url, template);
  } catch (error) {
    await server.stop();
    throw error;
  }
  project.provide('postgresAdminUrl', server.url);
  project.provide('postgresTemplate', template);
  const embeddedTemplate = makeFastFolder('losant-usage-embedded-template-');
  project.provide('embeddedTemplate', embeddedTemplate);
  return async () => {
    rmSync(embeddedTemplate, { recursive: true, force: true });
    await queryOnce(server.url, `drop database if exists ${template} with (force)`);
    await server.stop();
  };
}

async function createTemplate(adminUrl: string, template: string): Promise<void> {
  await queryOnce(adminUrl, `create database ${template}`);
  await createSchema(withDatabase(adminUrl, template));
}

async function startServer(): Promise<OwnPostgres> {
  return await startOwnPostgres(makeFastFolder('losant-usage-postgres-'), {
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
}
