/** Runs a script as a process of its own and measures it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Usage } from './usage.ts';

export interface Measured<T> extends Usage {
  /** The time from the start of the process to its end. */
  readonly wallMs: number;
  /** The document that it printed. */
  readonly document: T;
}

export interface MeasuredScript {
  /** The path of the script below the checkout. */
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Flags for Node itself, e.g. `--cpu-prof`. */
  readonly nodeFlags?: readonly string[];
  /** Called with the process id as soon as the process runs. */
  readonly onStart?: (pid: number) => void;
  readonly longestMs?: number;
}

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

/** The time after which a process that has not ended counts as hanging. */
const LONGEST_MS = 30 * 60_000;

/** Runs the script. Throws unless it ends with exit code 0. */
export async function runMeasured<T>({
  script,
  args,
  env,
  nodeFlags = [],
  onStart = () => {},
  longestMs = LONGEST_MS,
}: MeasuredScript): Promise<Measured<T>> {
  const { PATH = '', HOME = '' } = process.env;
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [...nodeFlags, '--import', new URL('usage.ts', import.meta.url).href, script, ...args],
    {
      cwd: CHECKOUT,
      env: { PATH, HOME, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      timeout: longestMs,
      killSignal: 'SIGKILL',
    },
  );
  const closed = once(child, 'close');
  onStart(child.pid ?? 0);
  const [stdout, stderr, usage, [code]] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    text(child.stdio[3] as Readable),
    closed,
  ]);
  if (code !== 0)
    throw new Error(`${script} ${args.join(' ')} ended with ${String(code)}\n${stdout}\n${stderr}`);
  const wallMs = performance.now() - startedAt;
  return { wallMs, ...(JSON.parse(usage) as Usage), document: JSON.parse(stdout) as T };
}
