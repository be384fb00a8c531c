import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../simulator/server.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { createLogger } from '../logger.ts';
import { createApp, createSources } from '../server/app.ts';
import { listen } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import { readConfig } from '../settings/config.ts';
import { number } from '../settings/kinds.ts';
import type { Output } from '../terminal/output.ts';
import { quoteForShell } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import { openDatabase } from './database.ts';
import { folder, optionalOption, text } from './options.ts';
import { backfill, runCommand } from './run.ts';
import { status } from './status.ts';

const ORGS = 25;
const LOOPBACK = '127.0.0.1';

/** So old that its last day is final: then its month can be closed. */
const FINAL_DAYS = 3;

/**
 * Runs the commands one after the other, with a simulated Losant and a new folder, which it removes unless it has a
 * name. On a terminal it then serves the console until the signal aborts; interrupted before that, it rejects.
 */
export const demo = defineCommand({
  needs: null,
  options: { dir: optionalOption('DIR', 'keep the database in this folder', folder) },
  run: runDemo,
});

async function runDemo(base: CommandContext, { dir }: { dir: string | null }): Promise<CommandResult> {
  const { env, output, signal, hostNow } = base;
  const noSelection = { org: null, stream: null, dryRun: false };
  await using closing = new AsyncDisposableStack();
  const simulator = await startSimulator({ orgs: ORGS });
  closing.defer(() => simulator.close());
  output.print(`1/4  Started a simulated Losant with ${ORGS} organizations at ${simulator.url}.`);
  const folder = dir === null ? await mkdtemp(join(env['TMPDIR'] ?? tmpdir(), 'losant-usage-demo-')) : resolve(dir);
  if (dir === null) closing.defer(() => rm(folder, { recursive: true, force: true }));
  const databaseUrl = `embedded:${folder}`;
  signal.throwIfAborted();
  const context = createDemoContext(base, simulator, databaseUrl);
  const day = addDays(dayAt(hostNow()), -1);
  output.print(`2/4  The first run creates an embedded Postgres in ${folder} and loads yesterday, ${day}.`);
  printStep(output, await runCommand.run(context, { ...noSelection, day: null, wait: null }));
  signal.throwIfAborted();
  const month = addDays(`${addDays(day, -FINAL_DAYS).slice(0, 7)}-01`, -1).slice(0, 7);
  const from = `${month}-01`;
  output.print(`3/4  A backfill loads the days before, from ${from}.`);
  const days = { from, to: addDays(day, -1), force: false };
  printStep(output, await backfill.run(context, { ...noSelection, ...days }));
  signal.throwIfAborted();
  output.print('4/4  Status:', '');
  printStep(output, await status.run(context, {}));
  if (output.isTerminal && !output.json) await serveConsole(context);
  const keptLines = [
    'The simulated Losant has stopped; the database is still there. To preview closing its first month:',
    `  DATABASE_URL=${quoteForShell(databaseUrl)} losant-usage close --month ${month} --dry-run`,
  ];
  const removedLines = [
    'The simulated Losant has stopped, and its database is removed. To keep it the next time:',
    '  losant-usage demo --dir DIR',
  ];
  return {
    document: { databaseUrl: dir === null ? null : databaseUrl, from, to: day },
    lines: [
      '',
      ...(dir === null ? removedLines : keptLines),
      'To start a simulated Losant of your own, with the settings for it:',
      '  losant-usage simulator',
    ],
  };
}

/** Prints the lines of a command's result; the document of `--json` is the demo's own. */
function printStep(output: Output, { lines = [], exitCode = EXIT.ok }: CommandResult): void {
  output.print(...lines);
  if (exitCode !== EXIT.ok) throw new Error(`a demo step exited with code ${exitCode}`);
}

function createDemoContext(base: CommandContext, { url, instanceId, token }: Simulator, databaseUrl: string) {
  const env = {
    LOSANT_API_URL: url,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_API_TOKEN: token,
    DATABASE_URL: databaseUrl,
    // Slow enough for progress to show, fast enough that nobody waits.
    REQUESTS_PER_SECOND: '500',
    REQUEST_CONCURRENCY: '16',
    LOG_LEVEL: 'warn',
  };
  const config = readConfig({ env, needs: ['losant', 'database'] });
  const destination = { write: (text: string) => base.output.remark(text.trimEnd()) };
  const logger = createLogger({ level: config.logLevel, pretty: false, destination });
  return { ...base, config, logger };
}

/** Serves the worker's console on a free loopback port until the signal; no run follows. */
async function serveConsole(context: CommandContext): Promise<void> {
  const { version, logger, hostNow, output, signal } = context;
  const startedAtMs = hostNow();
  const lastRun = { finishedAt: new Date(startedAtMs).toISOString(), result: 'complete' as const };
  const loop = { status: { state: 'idle' as const, progress: null, problem: null, lastRun } };
  const schedule = { nextWakeAt: () => null };
  await using reader = await openDatabase(context);
  const sources = createSources(context, { reader, prober: reader, startedAtMs, loop, schedule });
  const app = createApp({ ...sources, metrics: createMetrics({ version, startedAtMs }) });
  const listening = await listen(app, { host: LOOPBACK, port: 0, token: null, logger });
  const address = `http://${LOOPBACK}:${listening.port}/`;
  output.print('', `The console is at ${address}. Press Ctrl-C to stop.`);
  if (!signal.aborted) await once(signal, 'abort');
  await listening.close();
}

export const simulator = defineCommand({
  needs: null,
  options: {
    port: optionalOption('PORT', 'port to listen on', number(0, 65_535, '0 picks a free port'), 'any free port'),
    orgs: optionalOption('N', 'number of organizations', number(0, 1_000_000, 'organizations'), `${ORGS}`),
    seed: optionalOption('TEXT', 'seed that all data is generated from', text, '1'),
    token: optionalOption('TOKEN', 'the API token to accept', text, 'derived from the seed'),
  },
  async run({ output, signal }, { port, orgs, seed, token }) {
    const size = orgs ?? ORGS;
    const platform = await startOnPort({ port: port ?? 0, orgs: size, seed: seed ?? '1', token: token ?? undefined });
    const { url, instanceId, token: apiToken } = platform;
    output.printJson({ url, instanceId, token: apiToken });
    output.print(
      `Simulated Losant with ${count(size, 'organization')} at ${url}. Press Ctrl-C to stop.`,
      'In another terminal:',
      '',
      `  export LOSANT_API_URL=${url} LOSANT_INSTANCE_ID=${instanceId} LOSANT_API_TOKEN=${apiToken}`,
      '  export DATABASE_URL=embedded:./usage-data',
      '  losant-usage run',
    );
    if (!signal.aborted) await once(signal, 'abort');
    await platform.close();
    return {};
  },
});

async function startOnPort(options: SimulatorOptions & { readonly port: number }): Promise<Simulator> {
  try {
    return await startSimulator(options);
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new SettingsError(`--port ${options.port}: ${error.message}`, {
      hint: 'use another port, or omit --port for a free one',
      cause: error,
    });
  }
}
