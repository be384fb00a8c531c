/** The entry of the process: passes arguments, environment, streams and signals to `run`, and sets its exit code. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { hostname } from 'node:os';
import { run } from './cli/program.ts';
import { EXIT, exitCodeOf, InterruptedError } from './errors.ts';
import { limitGarbage } from './memory.ts';

/** How long the process waits after `run` for what is still open, such as a connection, before it exits. */
const EXIT_GRACE_MS = 500;

limitGarbage();
exitOnBug();
process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: listenToSignals(),
  hostNow: Date.now,
  newId: randomUUID,
  host: hostname(),
  version: readVersion(),
});
setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();

/** Returns an AbortSignal for the first signal of the system. The second one ends the process. */
function listenToSignals(): AbortSignal {
  const interruption = new AbortController();
  // Without a listener, this signal makes Node open a debugger on a port that others may reach.
  process.on('SIGUSR1', () => {});
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interruption.signal.aborted) process.exit(exitCodeOf(interruption.signal.reason));
      interruption.abort(new InterruptedError(name));
    });
  }
  return interruption.signal;
}

/** Logs an uncaught error as a last line, with its stack but without its properties, and exits. */
function exitOnBug(): void {
  const logAndExit = (error: unknown) => {
    const err = error instanceof Error ? error : { name: `not an Error but a ${typeof error}` };
    const exit = () => process.exit(EXIT.failure);
    import('./logger.ts')
      .then(({ createLogger }) => {
        const logger = createLogger({
          level: 'fatal',
          pretty: process.stderr.isTTY,
          destination: { write: (text) => void process.stderr.write(text) },
        });
        logger.fatal({ err }, 'stopped by a bug; please report this line');
      })
      .then(exit, exit);
  };
  process.on('uncaughtException', logAndExit);
  process.on('unhandledRejection', logAndExit);
}

function readVersion(): string {
  const text = readFileSync(findPackageJSON(import.meta.url) as string, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
