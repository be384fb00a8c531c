/**
 * The entry: argv and environment → settings → command → exit code. Whatever
 * the process reads from outside (time, randomness, signals, host) enters here.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { hostname } from 'node:os';
import { type BaseContext, type Command, SETTINGS_NEEDED } from './cli/command.ts';
import { type Invocation, parseCommandLine } from './cli/command-line.ts';
import { describeError, ExportError, InterruptedError, SettingsError } from './errors.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { limitGarbage } from './memory.ts';
import type { Need } from './settings/table.ts';
import { createOutput, type Output } from './terminal/output.ts';
import { Sink } from './terminal/sink.ts';
import { type Line, styled } from './terminal/text.ts';

limitGarbage();
const version = readVersion();
const interruption = new AbortController();
// From the start: whoever reads them may be gone before the first line.
const out = new Sink(process.stdout);
const err = new Sink(process.stderr);

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  let output = openOutput({ json: argv.includes('--json'), mayColor: !argv.includes('--no-color') });
  let exitCode: number;
  let endsProcess = false;
  try {
    const invocation = await parseCommandLine(argv, {
      version,
      write: (text) => out.write(text),
      hasColors: hasColors(process.stdout) && !argv.includes('--no-color'),
    });
    if (invocation === null) return await finish(EXIT.ok);
    output = openOutput(invocation);
    endsProcess = invocation.command.endsProcess ?? false;
    handleSignals();
    exitCode = await execute(invocation, output);
  } catch (error) {
    const described = describeError(error);
    if (output.json) output.printJson({ error: described });
    output.remark(...renderError(error));
    exitCode = exitCodeOf(error);
  }
  const ended = await finish(exitCode);
  if (endsProcess) process.exit(ended);
  return ended;
}

async function execute(invocation: Invocation, output: Output): Promise<number> {
  const { command, options, configFile } = invocation;
  const { createLogger } = await import('./logger.ts');
  const pretty = process.stderr.isTTY === true;
  const destination = { write: (text: string) => err.write(text) };
  endOnDefect(createLogger({ level: 'fatal', pretty, destination }));
  const base: BaseContext = {
    output,
    signal: interruption.signal,
    env: process.env,
    hostNow: Date.now,
    random: Math.random,
    newId: randomUUID,
    host: hostname(),
    version,
  };
  // A command without settings takes no more than the base.
  if (command.needs === 'none') return await command.run(base, options);
  const { readConfig } = await import('./settings/config.ts');
  const needs = needsOf(command, configFile);
  const config = readConfig({ env: process.env, configFile, needs });
  const isSummaryEnough = isQuiet(invocation, output);
  const level = isSummaryEnough ? 'warn' : config.logLevel;
  const logger = createLogger({ level, pretty, destination });
  for (const warning of config.warnings) logger.warn(warning);
  return await command.run({ ...base, config, logger, isSummaryEnough }, options);
}

function needsOf({ needs }: Command, configFile: string | null): readonly Need[] {
  if (needs !== 'database_if_set' && needs !== 'none') return SETTINGS_NEEDED[needs];
  const names = ['DATABASE_URL', 'DATABASE_URL_FILE', 'LOSANT_USAGE_CONFIG'];
  const isSet = configFile !== null || names.some((name) => (process.env[name] ?? '').trim() !== '');
  return isSet ? SETTINGS_NEEDED.database : [];
}

/** On a terminal the printed result is enough, unless the log is asked for. */
function isQuiet({ command, options }: Invocation, { isTerminal }: Output): boolean {
  const isAsked = options['verbose'] === true || (process.env['LOG_LEVEL'] ?? '').trim() !== '';
  return (command.isQuiet ?? false) && isTerminal && !isAsked;
}

/** Waits until everything is written. A result that could not be is a failure, unless its reader went away. */
async function finish(exitCode: number): Promise<number> {
  await out.drain();
  const { failure } = out;
  if (failure !== null) err.write(`losant-usage: the result cannot be written: ${failure.message}\n`);
  await err.drain();
  return failure === null ? exitCode : EXIT.failure;
}

function openOutput({ json, mayColor }: { json: boolean; mayColor: boolean }): Output {
  const { stdout, stderr } = process;
  return createOutput(
    { out, err },
    {
      json,
      isShown: stdout.isTTY === true,
      isTerminal: stdout.isTTY === true && stderr.isTTY === true,
      color: { out: mayColor && hasColors(stdout), err: mayColor && hasColors(stderr) },
    },
  );
}

/** Node's own judgement, which heeds NO_COLOR and TERM. */
function hasColors(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && stream.hasColors();
}

/** The first signal asks the command to end; the second ends the process at once. */
function handleSignals(): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interruption.signal.aborted) process.exit(exitCodeOf(interruption.signal.reason));
      interruption.abort(new InterruptedError(name));
    });
  }
}

/** A promise or a listener that nobody watches: one last line that says where, and nothing of what it held. */
function endOnDefect(logger: { fatal: (fields: object, message: string) => void }): void {
  const end = (error: unknown) => {
    const shown = error instanceof Error ? error : { name: `no error, but ${typeof error}` };
    logger.fatal({ err: shown }, 'ended by a defect: please report this line');
    process.exit(EXIT.failure);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

function renderError(error: unknown): Line[] {
  const { message, hint } = describeError(error);
  // Only settings are told in several lines, all of them this program's own.
  const [first = '', ...more] = error instanceof SettingsError ? message.split('\n') : [message];
  const stack = error instanceof ExportError || !(error instanceof Error) ? [] : framesOf(error);
  return [[styled('red', 'losant-usage: '), first], ...more, `  ${hint}`, ...stack];
}

function framesOf({ stack = '' }: Error): string[] {
  return stack.split('\n').filter((line) => /^ {4}at /.test(line));
}

function readVersion(): string {
  const text = readFileSync(findPackageJSON(import.meta.url) as string, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
