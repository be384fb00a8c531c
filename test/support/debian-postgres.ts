/**
 * A server of Debian's Postgres, which brings pg_dump and pg_restore of its own version: those refuse a server that is
 * newer than they are. It has the database `billing` and the roles of deploy/postgres/roles.sql, without passwords.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFastFolder, queryOnce } from './databases.ts';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

/** Postgres refuses to run as root: for root it runs as the user that Debian's package makes. */
const OWNER = process.getuid?.() === 0 ? idsOf('postgres') : null;

function idsOf(user: string): { uid: number; gid: number } {
  const id = (which: string) => Number(execFileSync('id', [which, user], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

function binaries(): string {
  const major = /\d+/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[0] ?? '';
  const folder = `/usr/lib/postgresql/${major}/bin`;
  if (!existsSync(folder)) {
    throw new Error(`there is no Postgres server in ${folder}: apt-get install postgresql`);
  }
  return folder;
}

export class DebianPostgres {
  readonly folder: string;
  readonly #bin = binaries();
  readonly #data: string;
  #port = 0;
  #process: ChildProcess | null = null;

  private constructor() {
    this.folder = makeFastFolder('losant-usage-debian-');
    if (OWNER !== null) chownSync(this.folder, OWNER.uid, OWNER.gid);
    this.#data = join(this.folder, 'data');
  }

  static async start(): Promise<DebianPostgres> {
    const made = new DebianPostgres();
    const init = ['-D', made.#data, '-U', 'postgres', '--auth=trust', '--no-sync', '-E', 'UTF8'];
    execFileSync(join(made.#bin, 'initdb'), init, { ...OWNER, cwd: '/', stdio: 'ignore' });
    await made.#run();
    await queryOnce(made.url('postgres', 'postgres'), 'create database billing');
    made.makeRoles('billing');
    return made;
  }

  url(role: string, name = 'billing'): string {
    return `postgres://${role}@127.0.0.1:${this.#port}/${name}`;
  }

  /** Does in a database what an administrator does before the first `migrate`, and after a restore. */
  makeRoles(name: string): void {
    const file = 'deploy/postgres/roles.sql';
    const options = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '--single-transaction'];
    tool('psql', ...options, '-d', this.url('postgres', name), '-f', file);
  }

  /** Keeps the data folder as it is now, for `failOver`. */
  async copyData(): Promise<void> {
    await this.#end('SIGINT');
    rmSync(`${this.#data}.copy`, { recursive: true, force: true });
    execFileSync('cp', ['-a', this.#data, `${this.#data}.copy`]);
    await this.#run();
  }

  /** The server crashes, and the kept folder takes its place: what was committed since is lost. */
  async failOver(): Promise<void> {
    await this.#end('SIGQUIT');
    rmSync(this.#data, { recursive: true });
    renameSync(`${this.#data}.copy`, this.#data);
    await this.#run();
  }

  /** Starts anew as a hot standby: it answers, and everything is read only until `promote`. */
  async becomeStandby(): Promise<void> {
    await this.#end('SIGINT');
    writeFileSync(join(this.#data, 'standby.signal'), '');
    await this.#run();
  }

  async promote(): Promise<void> {
    await queryOnce(this.url('postgres'), 'select pg_promote()');
  }

  async stop(): Promise<void> {
    await this.#end('SIGINT');
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort();
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'fsync=off',
      `port=${this.#port}`,
      'timezone=UTC',
    ];
    const args = ['-D', this.#data, ...settings.flatMap((each) => ['-c', each])];
    this.#process = spawn(join(this.#bin, 'postgres'), args, { ...OWNER, cwd: '/', stdio: 'ignore' });
    await until('Postgres answers', async () => {
      return await queryOnce(this.url('postgres', 'postgres'), 'select 1').then(
        () => true,
        () => false,
      );
    });
  }

  async #end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    if (this.#process === null || this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill(signal);
    await ended;
  }
}

/** Without the notices that something is there already. */
const QUIET = { PATH: process.env['PATH'], PGOPTIONS: '-c client_min_messages=warning' };

/** Runs psql, pg_dump or pg_restore, which must end well and say nothing. */
export function tool(name: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(name, args, { env: QUIET, encoding: 'utf8', timeout: 120_000 });
  if (error) throw error;
  if (status !== 0 || stderr !== '') throw new Error(`${name} ended with ${status}: ${stderr}`);
}

/** The options of a command that docs/install.md shows, without those that name files and databases. */
export function documentedOptions(name: string): string[] {
  const line = new RegExp(`^${name} .*$`, 'm').exec(readFileSync('docs/install.md', 'utf8'))?.[0] ?? '';
  const words = line.replaceAll("'", '').split(' ').slice(1);
  const options = words.filter((word) => word.startsWith('--') && !/^--(file|dbname|username)=/.test(word));
  if (options.length === 0) throw new Error(`docs/install.md shows no ${name}`);
  return options;
}
