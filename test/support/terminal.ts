import { type Ended, type Env, LAUNCHER, type Spawned, startProcess } from './program.ts';

/**
 * Runs the program with a terminal of its own, by `script` of util-linux. What it
 * writes to stdout and stderr comes together, as a person sees it.
 */
export async function runInTerminal(args: readonly string[], env: Env): Promise<Ended> {
  return await startInTerminal(args, env, 'ignore').ended;
}

/** The same while it runs: what is written to the stdin of the process is typed. */
export function startInTerminal(
  args: readonly string[],
  env: Env,
  stdin: 'ignore' | 'pipe' = 'pipe',
): Spawned {
  // Without a shell between, whose exit code after Ctrl-C would be its own.
  const command = `exec ${[process.execPath, LAUNCHER, ...args].map(quote).join(' ')}`;
  const settings = { TERM: 'xterm-256color', ...env };
  return startProcess('script', ['-qefc', command, '/dev/null'], settings, { stdin });
}

/** The same with lines typed, each as soon as the program has written what is waited for. */
export async function typeIntoTerminal(
  args: readonly string[],
  env: Env,
  typed: readonly (readonly [waitFor: string, line: string])[],
): Promise<Ended> {
  const running = startInTerminal(args, env);
  let seen = 0;
  const left = [...typed];
  running.process.stdout?.on('data', () => {
    const [next] = left;
    const at = next === undefined ? -1 : running.stdout().indexOf(next[0], seen);
    if (next === undefined || at === -1) return;
    seen = at + next[0].length;
    left.shift();
    running.process.stdin?.write(`${next[1]}\n`);
  });
  return await running.ended;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
