import { type Ended, type Env, LAUNCHER, type Spawned, startProcess } from './program.ts';

/**
 * Runs the program with a terminal of its own, by `script` of util-linux. Its stdout and stderr come
 * together, as a person sees them.
 */
export async function runInTerminal(args: readonly string[], env: Env): Promise<Ended> {
  return await startInTerminal(args, env, 'ignore').ended;
}

/** Starts the program with a terminal of its own; text written to the stdin of the process is typed. */
function startInTerminal(args: readonly string[], env: Env, stdin: 'ignore' | 'pipe' = 'pipe'): Spawned {
  // There is no shell in between, whose exit code after Ctrl-C would be its own.
  const command = `exec ${[process.execPath, LAUNCHER, ...args].map(quote).join(' ')}`;
  const settings = { TERM: 'xterm-256color', ...env };
  return startProcess('script', ['-qefc', command, '/dev/null'], settings, { stdin });
}

/**
 * Runs the program with a terminal and types lines, each as soon as the program has written the text
 * before it.
 */
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
