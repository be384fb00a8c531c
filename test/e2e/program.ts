import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type Env = Readonly<Record<string, string>>;

/** How the program ended, and what it said. */
export interface Ended {
  /** Exit code; null when a signal it does not handle ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program while it runs. */
export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What it has said so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
}

const LAUNCHER = fileURLToPath(new URL('../../bin/losant-usage.js', import.meta.url));

/** A program that has not ended by then never will: it is killed, and the test fails by its exit code. */
const LONGEST_RUN_MS = 170_000;

/** Starts the program as a user does, with these variables and no others of the test's. */
export function startProgram(args: readonly string[], env: Env): Running {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LONGEST_RUN_MS,
    killSignal: 'SIGKILL',
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  return { process: child, ended, stdout: () => said.stdout, stderr: () => said.stderr };
}

export async function runProgram(args: readonly string[], env: Env): Promise<Ended> {
  return await startProgram(args, env).ended;
}

/** The one document that `--json` promises; throws if stdout is anything else. */
export function jsonOf<T = Report>({ stdout, stderr }: Ended): T {
  if (!stdout.endsWith('\n')) throw new Error(`stdout is not one line: ${stdout}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

/** What `run --json` and `backfill --json` print. */
export interface Report {
  readonly runId: string | null;
  readonly kind: string;
  readonly status: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly orgs: number;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
  readonly requests: number;
  readonly durationMs: number;
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly instanceId: string;
  readonly orgId: string | null;
  readonly stream: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly code: string;
  readonly message: string;
}

export interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

/** Waits until the condition holds; the test's own time limit bounds it. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(20);
}
