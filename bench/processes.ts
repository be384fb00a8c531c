/** The processes of the bench: measured scripts, the simulator, and Postgres with its default settings. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { OwnPostgres } from '../test/support/own-postgres.ts';
import { getRole, loginAs, readRolesSql, removeLogin } from '../test/support/roles.ts';

/** What `usage.js` reports of a process. */
interface Usage {
  /** User and system time of all threads. */
  readonly cpuMs: number;
  readonly peakRssBytes: number;
}

export interface Measured<T> extends Usage {
  /** From the start of the process to its end. */
  readonly wallMs: number;
  /** The document that it printed. */
  readonly document: T;
}

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

/** The launcher of the program as it is installed: with the bundle, and without its sources. */
export const LAUNCHER = installProgram();

function installProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-installed-'));
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  execFileSync('npm', ['run', 'build', '--silent'], { cwd: CHECKOUT });
  for (const name of ['bin', 'dist', 'migrations', 'package.json'])
    cpSync(join(CHECKOUT, name), join(folder, name), { recursive: true });
  return join(folder, 'bin/losant-usage.js');
}

/** A process that has not ended by then counts as hanging. */
const PROCESS_TIMEOUT_MS = 30 * 60_000;

/** Runs a script of the checkout as a process. Throws unless it exits with 0. */
export async function runMeasured<T>(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Measured<T>> {
  const { PATH = '', HOME = '' } = process.env;
  const preload = new URL('usage.js', import.meta.url).href;
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--import', preload, script, ...args], {
    cwd: CHECKOUT,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    timeout: PROCESS_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  const outputs = [child.stdout, child.stderr, child.stdio[3]].map((stream) => text(stream as Readable));
  const [code] = (await once(child, 'close')) as [number | null];
  const [stdout = '', stderr = '', usage = ''] = await Promise.all(outputs);
  if (code !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  const wallMs = performance.now() - startedAt;
  const document = (args.includes('--help') ? null : JSON.parse(stdout)) as T;
  return { wallMs, ...(JSON.parse(usage) as Usage), document };
}

export interface SimulatorProcess {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
}

/** Runs a function with `losant-usage simulator` as a process. */
export async function withSimulator<T>(
  { orgs, latencyMs }: { readonly orgs: number; readonly latencyMs: number },
  use: (simulator: SimulatorProcess) => Promise<T>,
): Promise<T> {
  const args = [LAUNCHER, 'simulator', '--orgs', String(orgs), '--json'];
  const child = spawn(process.execPath, args, { cwd: CHECKOUT, stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  try {
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const simulator = JSON.parse(line) as SimulatorProcess;
    const body = JSON.stringify({ latencyMs });
    const response = await fetch(`${simulator.url}/control/config`, { method: 'POST', body });
    if (!response.ok) throw new Error(`the simulator rejected its settings: ${await response.text()}`);
    return await use(simulator);
  } finally {
    child.kill('SIGTERM');
    await closed;
  }
}

/** The settings of a command that reads nothing from Losant. */
export const SETTINGS = {
  LOSANT_INSTANCE_ID: '5c0000000000000000000001',
  LOSANT_API_URL: 'https://api.example.com',
  LOSANT_API_TOKEN: 'none',
  LOG_LEVEL: 'warn',
};

/** Runs a command that loads, at a rate that never limits it. */
export async function runProgram(
  args: readonly string[],
  { url, instanceId, token, databaseUrl }: SimulatorProcess & { readonly databaseUrl: string },
  concurrency: number,
): Promise<Measured<{ readonly requests: number }>> {
  const env = {
    LOSANT_API_URL: url,
    LOSANT_API_TOKEN: token,
    LOSANT_INSTANCE_ID: instanceId,
    DATABASE_URL: addLogin(args, databaseUrl),
    REQUEST_CONCURRENCY: String(concurrency),
    REQUESTS_PER_SECOND: '10000',
    LOG_LEVEL: 'warn',
  };
  return await runMeasured(LAUNCHER, [...args, '--json'], env);
}

/** A database with the program's tables, to copy. */
const TEMPLATE = 'bench_template';

/** Creates the roles and the template. */
export async function createTemplate(postgres: OwnPostgres): Promise<void> {
  await query(postgres.url, `create database ${TEMPLATE}`);
  const databaseUrl = toDatabaseUrl(postgres, TEMPLATE);
  await query(databaseUrl, readRolesSql());
  const args = ['migrate', '--json'];
  await runMeasured(LAUNCHER, args, { DATABASE_URL: addLogin(args, databaseUrl) });
}

/** Returns the URL of a database with the login of the role that a command's user has. */
export function addLogin(args: readonly string[], databaseUrl: string): string {
  return loginAs(getRole(args), removeLogin(databaseUrl));
}

/** Runs a function with a copy of the template, and drops it. Its URL is the superuser's. */
export async function withDatabase<T>(postgres: OwnPostgres, use: (databaseUrl: string) => Promise<T>): Promise<T> {
  await query(postgres.url, `create database bench template ${TEMPLATE}`);
  try {
    return await use(toDatabaseUrl(postgres, 'bench'));
  } finally {
    await query(postgres.url, 'drop database bench with (force)');
  }
}

function toDatabaseUrl({ url }: OwnPostgres, name: string): string {
  return new URL(`/${name}`, url).href;
}

/** Runs one statement or several on a new connection. */
export async function query<T = Record<string, unknown>>(url: string, statement: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows as T[];
  } finally {
    await client.end();
  }
}

/** The unit of /proc/PID/stat on every Linux that Node supports. */
const TICK_MS = 10;

/** Returns the user and system time in ms of a server, including its present and past children. */
export function readCpuMs(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return [pid, ...children.map(Number)].reduce((sum, each) => sum + readProcessCpuMs(each), 0);
}

/** Returns the time of a process and of the children it has waited for; 0 if it has just ended. */
function readProcessCpuMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may contain spaces; utime, stime, cutime and cstime are fields 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MS;
  } catch {
    return 0;
  }
}
