import type { Command, Io } from './cli/command.ts';
import { parseCommandLine } from './cli/commands.ts';
import type { Options, OptionValues } from './cli/options.ts';
import { describeDatabaseError } from './database/sqlstate.ts';
import { describeError, EXIT, ExportError, exitCodeOf, framesOf, SettingsError } from './errors.ts';
import { createOutput, type Output, Sink } from './terminal/output.ts';

/**
 * Runs the program: command line → settings → command → exit code. Resolves once everything is written
 * and closed. All input from outside is in `io`, and a call leaves nothing behind for the next.
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const out = new Sink(io.stdout);
  const err = new Sink(io.stderr);
  const output = createOutput(io, { out, err }, { json: asksForJson(argv) });
  let exitCode: number = EXIT.ok;
  try {
    const invocation = await parseCommandLine(argv, io.version);
    if ('text' in invocation) {
      createOutput(io, { out, err }, { json: false }).print(...invocation.text);
    } else {
      const { command, options } = invocation;
      exitCode = await execute(command, options, { io, output, err });
    }
  } catch (error) {
    exitCode = exitCodeOf(error);
    printError(output, error);
  }
  return await finish(exitCode, { out, err });
}

/** Whether the result is a document, also that of a mistake. `org set` has a value behind its option of that name. */
function asksForJson(argv: readonly string[]): boolean {
  return argv.some((each, index) => each === '--json' && !argv[index + 1]?.trim().startsWith('{'));
}

async function execute(
  command: Command,
  options: OptionValues<Options>,
  { io, output, err }: { readonly io: Io; readonly output: Output; readonly err: Sink },
): Promise<number> {
  const { readConfig } = await import('./settings/config.ts');
  const { createLogger } = await import('./logger.ts');
  const config = readConfig({
    env: command.needs === null ? {} : io.env,
    configFile: typeof options['config'] === 'string' ? options['config'] : null,
    needs: command.needs ?? [],
  });
  // On a terminal the result says what the log would, unless the log is asked for.
  const isLogWanted = command.isService === true || (io.env['LOG_LEVEL'] ?? '').trim() !== '';
  const logger = createLogger({
    level: output.isTerminal && !isLogWanted ? 'warn' : config.logLevel,
    pretty: io.stderr.isTTY === true,
    destination: { write: (text: string) => err.write(text) },
  });
  for (const warning of config.warnings) logger.warn(warning);
  const { role = 'losant_usage_reader' } = command;
  try {
    const ending = await command.run({ ...io, output, config, logger, role }, options);
    if (ending.document !== undefined) output.printJson(ending.document);
    output.print(...(ending.lines ?? []));
    return ending.exitCode ?? EXIT.ok;
  } catch (error) {
    if (config.databaseUrl === null || error instanceof ExportError) throw error;
    const { describeUrl } = await import('./database/open.ts');
    throw describeDatabaseError(error, { where: describeUrl(config.databaseUrl), role }) ?? error;
  }
}

/** Waits until all is written. What could not be is a failure, unless its reader went away. */
async function finish(exitCode: number, { out, err }: { out: Sink; err: Sink }): Promise<number> {
  await out.drain();
  const { failure } = out;
  if (failure !== null) err.write(`losant-usage: the result cannot be written: ${failure.message}\n`);
  await err.drain();
  return failure === null ? exitCode : EXIT.failure;
}

/** Prints an error, with `--json` also as the document. */
function printError(output: Output, error: unknown): void {
  const described = describeError(error);
  output.printJson({ error: described });
  // Only settings are shown in several lines, all of them this program's own.
  const lines = error instanceof SettingsError ? described.message.split('\n') : [described.message];
  const [first = '', ...more] = lines;
  const stack = error instanceof Error && !(error instanceof ExportError) ? framesOf(error) : [];
  output.remark(`losant-usage: ${first}`, ...more, `  ${described.hint}`, ...stack);
}
