import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Simulator, startSimulator } from '../../../simulator/server.ts';
import type { DatabaseHandle } from '../../database/open.ts';
import { EXIT } from '../../exit.ts';
import { createLogger } from '../../logger.ts';
import { readSample } from '../../queries/sample.ts';
import type { Config } from '../../settings/config.ts';
import type { Output } from '../../terminal/output.ts';
import { type Line, piecesOf, renderLine } from '../../terminal/text.ts';
import { addDays, type DayRange, dayAt, type UsageDay } from '../../usage/day.ts';
import { streamNames } from '../../usage/streams/catalog.ts';
import { backfill } from '../backfill.ts';
import type { BaseContext, CommandContext } from '../command.ts';
import { openDatabase } from '../open/database.ts';
import { run } from '../run.ts';
import { serveConsole } from './console.ts';
import { type DemoResult, type NextStep, renderDemo, renderNext } from './result.ts';

const ORGS = 25;
/** Slow enough to be seen, fast enough that nobody waits. */
const REQUESTS_PER_SECOND = 500;
const REQUEST_CONCURRENCY = 16;

const EVERYTHING = {
  ...{ instance: null, org: null, stream: null, shard: null },
  ...{ dryRun: false, wait: 0, verbose: false },
};

/**
 * `demo`: the whole product on the simulator, in a fresh folder that stays. Reads
 * no setting, so that nothing of the user's is touched. On a terminal it ends by
 * serving the console until the signal aborts. Rejects with the signal's reason
 * when interrupted before.
 */
export async function demoCommand(base: BaseContext): Promise<number> {
  const { output, signal, hostNow } = base;
  const say = (text: string) => {
    if (!output.json) output.remark(text);
  };
  const startedAtMs = hostNow();
  await using closing = new AsyncDisposableStack();
  const simulator = await startSimulator({ orgs: ORGS });
  closing.defer(() => simulator.close());
  say(`1/4  A simulated Losant with ${ORGS} organizations listens on ${simulator.url}.`);
  const folder = await mkdtemp(join(tmpdir(), 'losant-usage-demo-'));
  const databaseUrl = `embedded:${folder}`;
  signal.throwIfAborted();
  say(`2/4  An embedded Postgres is created in ${folder}.`);
  const context = demoContext(base, configOf(simulator, databaseUrl));
  const to = addDays(dayAt(hostNow()), -1);
  const before = { from: firstDay(to), to: addDays(to, -1) };
  say(`3/4  The first run creates the tables and exports yesterday, ${to}.`);
  await mustEndWell('run', context, (quiet) => run.run(quiet, { ...EVERYTHING, date: null }));
  signal.throwIfAborted();
  say(`4/4  A backfill loads the days before, from ${before.from}: this month and the one before it.`);
  await mustEndWell('backfill', context, (quiet) => backfillDays(quiet, before));
  const handle = await openDatabase(context);
  closing.defer(() => handle.close());
  const sample = await readSample(handle.db);
  const orgId = sample.orgDay?.orgId ?? '';
  const finished: DemoResult = {
    ...{ folder, databaseUrl, instanceId: simulator.instanceId, from: before.from, to },
    durationMs: Math.round(hostNow() - startedAtMs),
    ...sample,
    next: nextSteps(simulator, { databaseUrl, day: to, orgId }),
  };
  if (output.json) {
    output.printJson(finished);
    return EXIT.ok;
  }
  print(output, renderDemo(finished));
  if (output.isTerminal) await showConsole(context, handle);
  print(output, renderNext(finished));
  return EXIT.ok;
}

function print(output: Output, text: string): void {
  output.print('', ...text.trimEnd().split('\n'));
}

/** Serves the console until the user stops it: that is how a demo on a terminal ends. */
async function showConsole(context: CommandContext, handle: DatabaseHandle): Promise<void> {
  const { output, signal } = context;
  const { url, close } = await serveConsole(context, handle);
  output.print('', `The console shows the same on ${url} until you press Ctrl-C.`);
  if (!signal.aborted) await once(signal, 'abort');
  await close();
}

/** The first day of the month before that of `day`. */
function firstDay(day: UsageDay): UsageDay {
  const lastOfMonthBefore = addDays(`${day.slice(0, 7)}-01`, -1);
  return `${lastOfMonthBefore.slice(0, 7)}-01`;
}

function configOf({ url, instanceId, token }: Simulator, databaseUrl: string): Config {
  return {
    instances: [
      {
        instanceId,
        apiUrl: url,
        domain: null,
        readToken: () => token,
        tokenSource: 'LOSANT_API_TOKEN',
        orgs: { kind: 'all', names: null, tags: null, exclude: [] },
        streams: streamNames,
        requestsPerSecond: REQUESTS_PER_SECOND,
        requestConcurrency: REQUEST_CONCURRENCY,
      },
    ],
    databaseUrl,
    policy: { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 },
    schedule: '15 * * * *',
    request: { timeoutMs: 30_000, attempts: 5 },
    http: { host: '127.0.0.1', port: 0, token: null },
    heartbeatUrl: null,
    autoMigrate: false,
    billingPeriods: 'calendar',
    controlTotals: 'block',
    adminToken: null,
    logLevel: 'warn',
    warnings: [],
  };
}

function demoContext(base: BaseContext, config: Config): CommandContext {
  const destination = { write: (text: string) => base.output.remark(text.trimEnd()) };
  const logger = createLogger({ level: config.logLevel, pretty: false, destination });
  return { ...base, config, logger, isSummaryEnough: true };
}

/** Runs a command without its own result on stdout. What the demo loads is never incomplete: anything else is a defect. */
async function mustEndWell(
  name: string,
  context: CommandContext,
  command: (context: CommandContext) => Promise<number>,
): Promise<void> {
  const result: Line[] = [];
  const remark = (...lines: readonly Line[]) => {
    if (!context.output.json) context.output.remark(...lines.map(indent));
  };
  const print = (...lines: readonly Line[]) => void result.push(...lines);
  const printJson = (document: unknown) => print(JSON.stringify(document));
  const output: Output = { ...context.output, remark, print, printJson };
  const exitCode = await command({ ...context, output });
  const plain = () => result.map((line) => renderLine(line, { color: false })).join('\n');
  if (exitCode !== EXIT.ok) throw new Error(`${name} ended with ${exitCode}: ${plain()}`);
  remark(...result);
}

function indent(line: Line): Line {
  return ['     ', ...piecesOf(line)];
}

async function backfillDays(context: CommandContext, { from, to }: DayRange): Promise<number> {
  return await backfill.run(context, {
    ...{ ...EVERYTHING, from, to },
    ...{ force: false, pastHorizon: false, rate: null },
  });
}

/** On the same port, as a database stays with the API it was filled from. */
function nextSteps(
  { url, instanceId, token }: Simulator,
  { databaseUrl, day, orgId }: { databaseUrl: string; day: string; orgId: string },
): NextStep[] {
  const { port } = new URL(url);
  return [
    {
      why: 'how far the numbers reach, and where one of them comes from',
      commands: [
        `export DATABASE_URL=${quoteForShell(databaseUrl)}`,
        'npx losant-usage status',
        `npx losant-usage explain --org ${orgId} --day ${day}`,
      ],
    },
    {
      why: 'the simulated Losant again, in another terminal; Ctrl-C stops it',
      commands: [`npx losant-usage simulator --port ${port} --orgs ${ORGS}`],
    },
    {
      why: 'what you set for your own Losant; then a check of all of it, and yesterday once more: nothing changes',
      commands: [
        `export LOSANT_API_URL=${url} LOSANT_INSTANCE_ID=${instanceId} LOSANT_API_TOKEN=${token}`,
        'npx losant-usage check',
        `npx losant-usage run --date ${day}`,
      ],
    },
  ];
}

function quoteForShell(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
