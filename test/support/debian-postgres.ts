/**
 * A server of Debian's Postgres, which brings pg_dump and pg_restore of its own version: those refuse a server that is
 * newer than they are. It has the database `billing` and the roles of deploy/postgres/roles.sql, whom it trusts.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { makeFastFolder, queryOnce } from './databases.ts';
import { OwnPostgres } from './own-postgres.ts';

function binaries(): string {
  const major = /\d+/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[0] ?? '';
  const folder = `/usr/lib/postgresql/${major}/bin`;
  if (!existsSync(folder)) {
    throw new Error(`there is no Postgres server in ${folder}: apt-get install postgresql`);
  }
  return folder;
}

export class DebianPostgres extends OwnPostgres {
  static override async start(): Promise<DebianPostgres> {
    const server = new DebianPostgres(makeFastFolder('losant-usage-debian-'), {
      binaries: binaries(),
      initdbFlags: ['--no-sync', '--auth=trust'],
      // Sessions that compile queries say so: to compile all costly ones takes most of the time of a test.
      settings: ['fsync=off', 'timezone=UTC', 'jit_above_cost=-1', 'losant_usage.disposable=on'],
    });
    await server.initialize();
    await queryOnce(server.url, 'create database billing');
    server.makeRoles();
    return server;
  }

  urlOf(role: string): string {
    const url = new URL('billing', this.url);
    url.username = role;
    return url.href;
  }

  /** Does in a database what an administrator does before the first `migrate`, and after a restore. */
  makeRoles(): void {
    const file = 'deploy/postgres/roles.sql';
    const options = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '--single-transaction'];
    tool('psql', ...options, '-d', this.urlOf('postgres'), '-f', file);
  }

  /** Starts anew as a hot standby: it answers, and everything is read only until it is promoted. */
  async becomeStandby(): Promise<void> {
    await this.end('SIGINT');
    writeFileSync(`${this.data}/standby.signal`, '');
    await this.run();
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
