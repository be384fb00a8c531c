import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

export interface Ended {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program as a process of its own. */
export interface Program {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** What the program is told of its surroundings; nothing else of this process's environment reaches it. */
export interface ProgramSettings {
  readonly apiUrl: string;
  readonly token: string;
  readonly instanceId: string;
  readonly databaseUrl: string;
  readonly more?: Readonly<Record<string, string>>;
}

/** Longer than any command here may take: a hanging one fails its test instead of outliving it. */
const KILL_AFTER_MS = 150_000;

export function startProgram(args: readonly string[], settings: ProgramSettings): Program {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: KILL_AFTER_MS,
    killSignal: 'SIGKILL',
    env: {
      PATH: process.env['PATH'],
      TZ: 'Pacific/Auckland',
      NODE_COMPILE_CACHE: join(tmpdir(), 'losant-usage-test-compiled'),
      LOSANT_API_URL: settings.apiUrl,
      LOSANT_API_TOKEN: settings.token,
      LOSANT_INSTANCE_ID: settings.instanceId,
      DATABASE_URL: settings.databaseUrl,
      REQUESTS_PER_SECOND: '10000',
      LOG_LEVEL: 'warn',
      ...settings.more,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the program did not start');
  return { pid, ended, kill: (signal) => void child.kill(signal) };
}
