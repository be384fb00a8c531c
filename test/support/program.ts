import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Io } from '../../src/cli/command.ts';
import { run } from '../../src/cli/program.ts';
import { InterruptedError } from '../../src/errors.ts';
import type { RunReport } from '../../src/loading/report.ts';
import { getRole, loginAs } from './roles.ts';

export const VERSION = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;

export type Env = Readonly<Record<string, string>>;

/** The end of the program and its output. */
export interface Ended {
  /** The exit code; null if a signal that it does not handle ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program while it runs. */
export interface Running {
  readonly ended: Promise<Ended>;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly kill: (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => void;
}

/** The differences of a run in this process from the usual, which is no terminal and the host's clock. */
export interface Surroundings extends Partial<Pick<Io, 'hostNow'>> {
  /** The stdout to use instead of one whose text is kept. */
  readonly stdout?: Writable;
  /** Whether both stdout and stderr are a terminal. */
  readonly isTerminal?: boolean;
}

/** Runs the program in this process, with these variables and no others. */
export async function runProgram(args: readonly string[], env: Env, more: Surroundings = {}): Promise<Ended> {
  return await startProgram(args, env, more).ended;
}

/** Starts the program in this process, which is twenty times as fast as a process of its own. */
export function startProgram(args: readonly string[], env: Env, more: Surroundings = {}): Running {
  const { isTerminal = false, ...io } = more;
  const stdout = new CapturedStream(isTerminal);
  // A terminal shows both streams in one place.
  const stderr = isTerminal ? stdout : new CapturedStream(false);
  const interruption = new AbortController();
  const ended = run(args, {
    env: withLogin(args, env),
    stdout,
    stderr,
    signal: interruption.signal,
    host: hostname(),
    version: VERSION,
    hostNow: Date.now,
    newId: randomUUID,
    ...io,
  }).then((code) => ({ code, signal: null, stdout: stdout.text(), stderr: stderr === stdout ? '' : stderr.text() }));
  return {
    ended,
    stdout: () => stdout.text(),
    stderr: () => stderr.text(),
    kill: (signal) => interruption.abort(new InterruptedError(signal)),
  };
}

/** Returns the variables with DATABASE_URL for the role of the command's user. */
export function withLogin(args: readonly string[], env: Env): Env {
  const { DATABASE_URL: url } = env;
  return url === undefined ? env : { ...env, DATABASE_URL: loginAs(getRole(args), url) };
}

class CapturedStream extends Writable {
  readonly isTTY: boolean;
  readonly #parts: Buffer[] = [];

  constructor(isTTY: boolean) {
    super({ decodeStrings: true });
    this.isTTY = isTTY;
  }

  override _write(part: Buffer, _encoding: string, done: () => void): void {
    this.#parts.push(part);
    done();
  }

  text(): string {
    return Buffer.concat(this.#parts).toString();
  }
}

export interface Spawned extends Omit<Running, 'kill'> {
  readonly process: ChildProcess;
  readonly kill: (signal: NodeJS.Signals) => void;
}

/** The variables by which `npm run test:calendar` moves the clock; a process started without them has the real one. */
const CLOCK: Env = Object.fromEntries(
  ['LD_PRELOAD', 'FAKETIME', 'DONT_FAKE_MONOTONIC', 'FAKETIME_DISABLE_SHM'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);

/** The file that a user starts. */
export const LAUNCHER = fileURLToPath(new URL('../../bin/losant-usage.js', import.meta.url));

/** The time after which a program that has not ended is killed, so that the test fails by its exit code. */
const LONGEST_RUN_MS = 170_000;

/**
 * Starts the program as a user does, for behavior that needs a process: signals, pipes, being killed, a cold start.
 */
export function spawnProgram(args: readonly string[], env: Env): Spawned {
  return startProcess(process.execPath, [LAUNCHER, ...args], withLogin(args, env));
}

/** Starts any program with these variables, and PATH and HOME. */
export function startProcess(file: string, args: readonly string[], env: Env): Spawned {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(file, args, {
    env: { PATH, HOME, ...CLOCK, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LONGEST_RUN_MS,
    killSignal: 'SIGKILL',
  });
  const said = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, ...said }));
  const output = { stdout: () => said.stdout, stderr: () => said.stderr };
  return { process: child, ended, ...output, kill: (signal) => void child.kill(signal) };
}

/** Returns the one document that `--json` promises; throws if stdout is anything else. */
export function jsonOf<T = Report>({ stdout, stderr }: Ended): T {
  if (!stdout.endsWith('\n')) throw new Error(`stdout is not one line: ${stdout}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

export async function resultOf(ending: Promise<Ended>): Promise<[exitCode: number | null, document: unknown]> {
  const ended = await ending;
  return [ended.code, jsonOf<unknown>(ended)];
}

/** The document that `run --json` and `backfill --json` print. */
export type Report = RunReport;

export interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}
