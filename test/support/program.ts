import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type Env = Readonly<Record<string, string>>;

/** How the program ended, and what it said. */
export interface Ended {
  /** Exit code; null when a signal it does not handle ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
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

/** The variables by which `npm run test:calendar` moves the clock: a process that is started without them has the real one. */
export const CLOCK: Env = Object.fromEntries(
  ['LD_PRELOAD', 'FAKETIME', 'DONT_FAKE_MONOTONIC'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);

/** What a user starts. */
export const LAUNCHER = fileURLToPath(new URL('../../bin/losant-usage.js', import.meta.url));

/** A program that has not ended by then never will: it is killed, and the test fails by its exit code. */
const LONGEST_RUN_MS = 170_000;

/** Starts the program as a user does, with these variables and no others of the test's. */
export function startProgram(args: readonly string[], env: Env): Running {
  return startProcess(process.execPath, [LAUNCHER, ...args], env);
}

/** Any program with these variables, and PATH and HOME. */
export function startProcess(
  file: string,
  args: readonly string[],
  env: Env,
  { stdin = 'ignore' }: { stdin?: 'ignore' | 'pipe' } = {},
): Running {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(file, args, {
    env: { PATH, HOME, ...CLOCK, ...env },
    stdio: [stdin, 'pipe', 'pipe'],
    timeout: LONGEST_RUN_MS,
    killSignal: 'SIGKILL',
  });
  const said = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    ...said,
  }));
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
