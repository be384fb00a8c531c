/**
 * The entry: argv and environment → settings → command → exit code. Whatever
 * the process reads from outside (time, randomness, signals, host) enters here.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { hostname } from 'node:os';
import { type CliOptions, type Invocation, parseCommandLine } from './cli.ts';
import { backfillCommand } from './commands/backfill.ts';
import { checkCommand } from './commands/check.ts';
import type { CommandContext, Output } from './commands/command.ts';
import { demoCommand } from './commands/demo.ts';
import { explainCommand } from './commands/explain.ts';
import { gapsCommand } from './commands/gaps.ts';
import { migrateCommand } from './commands/migrate.ts';
import { describeError } from './commands/result.ts';
import { runCommand } from './commands/run.ts';
import { simulatorCommand } from './commands/simulator.ts';
import { statusCommand } from './commands/status.ts';
import { waiveCommand } from './commands/waive.ts';
import { workerCommand } from './commands/worker.ts';
import { readConfig } from './settings/config.ts';
import type { DayRange, UsageDay } from './usage/day.ts';
import { ExportError, InterruptedError } from './errors.ts';
import { exitCodeOf } from './exit.ts';
import { createLogger } from './logger.ts';

const version = readVersion();
const interruption = new AbortController();

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe();
  const write = (text: string) => void process.stdout.write(text);
  const isJson = argv.includes('--json');
  try {
    const invocation = parseCommandLine(argv, { version, write });
    if (!invocation) return 0;
    handleSignals();
    endOnDefect();
    const exitCode = await execute(invocation);
    // It may have given up on a pass whose connections would keep the process from ending.
    if (invocation.verb === 'worker') process.exit(exitCode);
    return exitCode;
  } catch (error) {
    const described = describeError(error);
    if (isJson) write(`${JSON.stringify({ error: described })}\n`);
    process.stderr.write(renderError(error, described));
    return exitCodeOf(error);
  }
}

async function execute({ verb, options, json, configFile }: Invocation): Promise<number> {
  const output: Output = {
    write: (text) => void process.stdout.write(text),
    remark: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true && process.stderr.isTTY === true,
    json,
  };
  const { signal } = interruption;
  if (verb === 'simulator') {
    const { port = 0, orgs = 25, seed = '1', token } = options;
    return await simulatorCommand({ output, signal }, { port, orgs, seed, token });
  }
  const base = {
    output,
    signal,
    hostNow: Date.now,
    random: Math.random,
    newId: randomUUID,
    host: hostname(),
    version,
  };
  if (verb === 'demo') return await demoCommand(base);

  const needs = needsLosant(verb) ? (['losant', 'database'] as const) : (['database'] as const);
  const config = readConfig({ env: process.env, configFile, needs });
  const logger = createLogger({
    level: config.logLevel,
    pretty: process.stderr.isTTY === true,
    destination: process.stderr,
  });
  for (const warning of config.warnings) logger.warn(warning);
  const context: CommandContext = { ...base, config, logger };
  switch (verb) {
    case 'run':
      return await runCommand(context, { ...exportOptions(options), date: options.date });
    case 'backfill':
      return await backfillCommand(context, {
        ...exportOptions(options),
        range: { from: options.from as UsageDay, to: options.to as UsageDay },
        force: options.force ?? false,
        pastHorizon: options.pastHorizon ?? false,
        rate: options.rate,
      });
    case 'worker':
      return await workerCommand(context);
    case 'check':
      return await checkCommand(context, {
        allOrgs: options.allOrgs ?? false,
        probe: options.probe ?? false,
      });
    case 'status':
    case 'gaps':
    case 'explain':
    case 'waive':
      return await lookAtDatabase(context, verb, options);
    case 'migrate':
      return await migrateCommand(context, { dryRun: options.dryRun ?? false });
  }
}

/** The others work on the database alone. */
function needsLosant(verb: Invocation['verb']): boolean {
  return !['migrate', 'status', 'gaps', 'explain', 'waive'].includes(verb);
}

async function lookAtDatabase(
  context: CommandContext,
  verb: 'status' | 'gaps' | 'explain' | 'waive',
  options: CliOptions,
): Promise<number> {
  if (verb === 'status') return await statusCommand(context);
  if (verb === 'gaps') return await gapsCommand(context, { all: options.all ?? false });
  const [orgId = ''] = options.org ?? [];
  const range = options.day as DayRange;
  if (verb === 'explain') {
    return await explainCommand(context, { orgId, day: range.from, streams: options.stream ?? null });
  }
  const [stream = ''] = options.stream ?? [];
  return await waiveCommand(context, { orgId, stream, range, reason: options.reason ?? '' });
}

function exportOptions({ org, stream, dryRun, wait }: CliOptions) {
  return { orgIds: org ?? null, streams: stream ?? null, dryRun: dryRun ?? false, waitSeconds: wait ?? 0 };
}

/** The first signal asks the command to end; the second ends the process at once. */
function handleSignals(): void {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (interruption.signal.aborted) process.exit(exitCodeOf(interruption.signal.reason));
      interruption.abort(new InterruptedError(name));
    });
  }
}

/** A promise or a listener that nobody watches: one last line that says where, and nothing of what it held. */
function endOnDefect(): void {
  const pretty = process.stderr.isTTY === true;
  const logger = createLogger({ level: 'fatal', pretty, destination: process.stderr });
  const end = (error: unknown) => {
    const shown = error instanceof Error ? error : { name: `no error, but ${typeof error}` };
    logger.fatal({ err: shown }, 'ended by a defect: please report this line');
    process.exit(1);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

/** `losant-usage … | head` is no failure. */
function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

function renderError(error: unknown, { message, hint }: { message: string; hint: string }): string {
  const stack = error instanceof ExportError || !(error instanceof Error) ? '' : `${error.stack ?? ''}\n`;
  return `losant-usage: ${message}\n  ${hint}\n${stack}`;
}

function readVersion(): string {
  const text = readFileSync(findPackageJSON(import.meta.url) as string, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
