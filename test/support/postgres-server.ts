/**
 * Vitest's global setup: one Postgres for the complete test run, with the roles of deploy/postgres/roles.sql and
 * template databases. It starts a server, or uses that of TEST_DATABASE_URL, the URL of an administrator.
 */
import { rmSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { CLOCK_TEMPLATE, createClockSchema } from './clock-database.ts';
import {
  createSchema,
  disconnect,
  EMPTY_TEMPLATE,
  makeFastFolder,
  queryOnce,
  TEMPLATE,
  withDatabase,
} from './databases.ts';
import { OwnPostgres } from './own-postgres.ts';
import { loginAs, readRolesSql, removeLogin, toRoleName } from './roles.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of a user who may create databases, in a database that is not for tests. */
    postgresAdminUrl: string;
    /** An empty folder, in which the first test that needs one makes an embedded database to copy. */
    embeddedTemplate: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { adminUrl, stop } = await openServer();
  await makeTemplates(adminUrl);
  project.provide('postgresAdminUrl', adminUrl);
  const embeddedTemplate = makeFastFolder('losant-usage-embedded-template-');
  project.provide('embeddedTemplate', embeddedTemplate);
  return async () => {
    rmSync(embeddedTemplate, { recursive: true, force: true });
    await stop();
  };
}

async function openServer(): Promise<{ readonly adminUrl: string; readonly stop: () => Promise<void> }> {
  const { TEST_DATABASE_URL: adminUrl } = process.env;
  if (adminUrl !== undefined) {
    await requireDisposable(adminUrl);
    return { adminUrl, stop: () => disconnect(adminUrl) };
  }
  const server = await OwnPostgres.start(makeFastFolder('losant-usage-postgres-'), {
    // Each connection verifies its password anew, and the tests make thousands.
    initdbFlags: ['--no-sync', '--no-data-checksums', '--set=scram_iterations=1'],
    settings: [
      'fsync=off',
      'full_page_writes=off',
      'synchronous_commit=off',
      'max_connections=300',
      'shared_buffers=64MB',
      'jit=off',
      // Handing reads of small databases to other processes costs more than reading.
      'io_method=sync',
      'autovacuum=off',
    ],
  });
  return { adminUrl: server.url, stop: () => server.stop() };
}

/** Throws unless the server declares that tests may drop its databases and change its roles. */
export async function requireDisposable(url: string): Promise<void> {
  const [row] = await queryOnce(url, `select current_setting('losant_usage.disposable', true) as disposable`);
  if (row?.['disposable'] === 'on') return;
  throw new Error(
    'The server of TEST_DATABASE_URL does not say that it is disposable, but tests drop databases and change roles ' +
      'there. Start a server for them, with the setting losant_usage.disposable = on',
  );
}

/** Creates the roles and the templates. To create a schema takes a second, and to copy a template 25 ms. */
async function makeTemplates(adminUrl: string): Promise<void> {
  const urlOf = (name: string) => withDatabase(adminUrl, name);
  for (const name of [CLOCK_TEMPLATE, TEMPLATE, EMPTY_TEMPLATE]) {
    await queryOnce(adminUrl, `drop database if exists ${name} with (force)`);
  }
  await queryOnce(adminUrl, `create database ${EMPTY_TEMPLATE}`);
  await queryOnce(urlOf(EMPTY_TEMPLATE), readRolesSql());
  await disconnect(urlOf(EMPTY_TEMPLATE));
  for (const name of [TEMPLATE, CLOCK_TEMPLATE]) {
    await queryOnce(adminUrl, `create database ${name} template ${EMPTY_TEMPLATE} owner ${toRoleName('migrator')}`);
  }
  const asMigrator = (name: string) => loginAs('migrator', removeLogin(urlOf(name)));
  await Promise.all([createSchema(asMigrator(TEMPLATE)), createClockSchema(asMigrator(CLOCK_TEMPLATE))]);
  for (const name of [TEMPLATE, CLOCK_TEMPLATE]) await disconnect(urlOf(name));
}
