import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, describeError, EXIT, exitCodeOf, SettingsError } from '../errors.ts';
import { createOutput, type Output, Sink } from '../terminal/output.ts';
import { getStackFrames } from '../terminal/text.ts';
import type { Command, Io } from './command.ts';
import { parseCommandLine } from './commands.ts';
import type { Options, OptionValues } from './options.ts';

/** Runs the program. All input from outside is in `io`. Resolves once everything is written and closed. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const out = new Sink(io.stdout);
  const err = new Sink(io.stderr);
  const output = createOutput({ out, err }, { json: argv.includes('--json') });
  let exitCode: number = EXIT.ok;
  try {
    const invocation = await parseCommandLine(argv, io.version);
    if ('text' in invocation) {
      createOutput({ out, err }, { json: false }).print(...invocation.text);
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

async function execute(
  command: Command,
  options: OptionValues<Options>,
  { io, output, err }: { io: Io; output: Output; err: Sink },
): Promise<number> {
  const { readConfig } = await import('../settings/config.ts');
  const { createLogger } = await import('../logger.ts');
  const config = readConfig({
    env: command.needs === null ? {} : io.env,
    needs: command.needs ?? [],
  });
  // On a terminal the result repeats what the log says at level info.
  const needsLog = command.isService === true || (io.env['LOG_LEVEL'] ?? '').trim() !== '';
  const logger = createLogger({
    level: output.isTerminal && !needsLog ? 'warn' : config.logLevel,
    pretty: io.stderr.isTTY === true,
    destination: { write: (text: string) => err.write(text) },
  });
  for (const warning of config.warnings) logger.warn(warning);
  const { role = 'losant_usage_reader' } = command;
  try {
    const result = await command.run({ ...io, output, config, logger, role }, options);
    if (result.document !== undefined) output.printJson(result.document);
    output.print(...(result.lines ?? []));
    return result.exitCode ?? EXIT.ok;
  } catch (error) {
    if (config.databaseUrl === null || error instanceof AppError) throw error;
    const { describeUrl } = await import('../database/open.ts');
    throw describeDatabaseError(error, { where: describeUrl(config.databaseUrl), role }) ?? error;
  }
}

/** Waits until everything is written. A write error is a failure, unless the reader has closed the pipe. */
async function finish(exitCode: number, { out, err }: { out: Sink; err: Sink }): Promise<number> {
  await out.drain();
  const { failure } = out;
  if (failure !== null) {
    const hint = `the command itself ended with exit code ${exitCode}, and what it changed is stored`;
    err.write(`losant-usage: could not write the result: ${failure.message}\n  ${hint}\n`);
  }
  await err.drain();
  return failure === null ? exitCode : EXIT.failure;
}

/** Prints an error to stderr, and with `--json` also to stdout. */
function printError(output: Output, error: unknown): void {
  const description = describeError(error);
  output.printJson({ error: description });
  // Only the messages about settings have several lines on purpose.
  const lines = error instanceof SettingsError ? description.message.split('\n') : [description.message];
  const [first = '', ...more] = lines;
  const stack = error instanceof Error && !(error instanceof AppError) ? getStackFrames(error) : [];
  output.remark(`losant-usage: ${first}`, ...more, `  ${description.hint}`, ...stack);
}
