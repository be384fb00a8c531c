/** The process: passes arguments, environment, streams and signals to `run`, and ends with its exit code. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { hostname } from 'node:os';
import { EXIT, exitCodeOf, InterruptedError } from './errors.ts';
import { limitGarbage } from './memory.ts';
import { run } from './run.ts';

/** The time after `run` by which the process ends although something, such as a connection, is still open. */
const EXIT_GRACE_MS = 500;

limitGarbage();
endOnDefect();
process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: listenToSignals(),
  hostNow: Date.now,
  random: Math.random,
  newId: randomUUID,
  host: hostname(),
  version: readVersion(),
});
setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();

/** Returns a signal that aborts at the first signal; the second ends the process. */
function listenToSignals(): AbortSignal {
  const interruption = new AbortController();
  // Without a listener, Node opens a debugger on this signal, to whoever can reach its port.
  process.on('SIGUSR1', () => {});
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interruption.signal.aborted) process.exit(exitCodeOf(interruption.signal.reason));
      interruption.abort(new InterruptedError(name));
    });
  }
  return interruption.signal;
}

/** A promise or a listener that nobody watches: one last line that says where, and nothing of what it carried. */
function endOnDefect(): void {
  const end = (error: unknown) => {
    const cause = error instanceof Error ? error : { name: `not an Error but a ${typeof error}` };
    const exit = () => process.exit(EXIT.failure);
    import('./logger.ts')
      .then(({ createLogger }) => {
        const logger = createLogger({
          level: 'fatal',
          pretty: process.stderr.isTTY,
          destination: { write: (text) => void process.stderr.write(text) },
        });
        logger.fatal({ err: cause }, 'stopped by a bug; please report this line');
      })
      .then(exit, exit);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

function readVersion(): string {
  const text = readFileSync(findPackageJSON(import.meta.url) as string, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
