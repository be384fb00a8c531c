import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import type { InstanceStatus } from '../console/sources.ts';
import { EXIT } from '../errors.ts';
import { createLogger } from '../logger.ts';
import { createApp, createSources } from '../server/app.ts';
import { listen } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import { readConfig } from '../settings/config.ts';
import type { Output } from '../terminal/output.ts';
import { type Line, piecesOf, renderLine } from '../terminal/text.ts';
import { showDuration } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { type BaseContext, type CommandContext, defineCommand } from './command.ts';
import { explain } from './explain.ts';
import { openDatabase, useDatabase } from './open-database.ts';
import { backfill, run } from './run.ts';
import { status } from './status.ts';

const ORGS = 25;
const LOOPBACK = '127.0.0.1';

const EVERYTHING = { instance: null, org: null, stream: null, dryRun: false, verbose: false };

export const demo = defineCommand({
  needs: 'none',
  whenInterrupted: 'nothing of yours was touched; the folder of the demo can be deleted',
  options: {},
  examples: () => ({ demo: 'reads none of your settings; on a terminal it ends with the console' }),
  run: showProduct,
});

/**
 * Uses the simulator and a fresh folder that stays, and touches nothing of the user's. On a
 * terminal it ends by serving the console until the signal aborts; interrupted before that, it rejects.
 */
async function showProduct(base: BaseContext): Promise<number> {
  const { output, signal, hostNow, env } = base;
  const say = (text: string) => {
    if (!output.json) output.remark(text);
  };
  const startedAtMs = hostNow();
  await using closing = new AsyncDisposableStack();
  const simulator = await startSimulator({ orgs: ORGS });
  closing.defer(() => simulator.close());
  say(`1/4  A simulated Losant with ${ORGS} organizations listens on ${simulator.url}.`);
  const folder = await mkdtemp(join(env['TMPDIR'] ?? tmpdir(), 'losant-usage-demo-'));
  const databaseUrl = `embedded:${folder}`;
  signal.throwIfAborted();
  say(`2/4  An embedded Postgres is created in ${folder}.`);
  const context = demoContext(base, simulator, databaseUrl);
  const to = addDays(dayAt(hostNow()), -1);
  // The range is this month and the one before it.
  const from = `${addDays(`${to.slice(0, 7)}-01`, -1).slice(0, 7)}-01`;
  say(`3/4  The first run creates the tables and exports yesterday, ${to}.`);
  remarkOn(
    output,
    await use('run', context, (quiet) =>
      run.run(quiet, { ...EVERYTHING, date: null, wait: null, end: null }),
    ),
  );
  signal.throwIfAborted();
  say(`4/4  A backfill loads the days before, from ${from}: this month and the one before it.`);
  const options = { ...EVERYTHING, from, to: addDays(to, -1), force: false };
  remarkOn(output, await use('backfill', context, (quiet) => backfill.run(quiet, options)));
  const took = hostNow() - startedAtMs;
  const reached = await use('status', context, (quiet) => status.run(quiet, {}));
  const orgId = await readFirstOrg(context);
  const asked = { org: orgId, day: to, stream: null };
  const explained = await use('explain', context, (quiet) => explain.run(quiet, asked));
  const next = nextSteps(simulator, { databaseUrl, day: to, orgId });
  const facts = { folder, databaseUrl, instanceId: simulator.instanceId, from, to };
  output.printJson({ ...facts, durationMs: Math.round(took), status: reached.document, next });
  output.print(
    '',
    `Loaded ${from} to ${to} of ${ORGS} organizations in ${showDuration(took)}.`,
    `All of it is in ${folder}, an embedded Postgres. The folder stays until you delete it.`,
    '',
    ...reached.lines,
    '',
    ...explained.lines,
  );
  if (output.isTerminal && !output.json) await showConsole(context);
  output.print('', 'The simulated Losant of the demo is gone, the database is not. To go on:');
  output.print(...next.flatMap(({ why, commands }) => ['', `# ${why}`, ...commands]));
  return EXIT.ok;
}

function demoContext(
  base: BaseContext,
  { url, instanceId, token }: Simulator,
  databaseUrl: string,
): CommandContext {
  const env = {
    LOSANT_API_URL: url,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_API_TOKEN: token,
    DATABASE_URL: databaseUrl,
    // The rate is slow enough to be seen and fast enough that nobody waits.
    REQUESTS_PER_SECOND: '500',
    REQUEST_CONCURRENCY: '16',
    LOG_LEVEL: 'warn',
  };
  const config = readConfig({ env, configFile: null, needs: ['losant', 'database'] });
  const destination = { write: (text: string) => base.output.remark(text.trimEnd()) };
  const logger = createLogger({ level: config.logLevel, pretty: false, destination });
  return { ...base, config, logger, isSummaryEnough: true };
}

interface Said {
  readonly lines: readonly Line[];
  readonly document: unknown;
}

/** Returns what a command printed. Throws if it failed, which is a defect of the demo. */
async function use(
  name: string,
  context: CommandContext,
  command: (context: CommandContext) => Promise<number>,
): Promise<Said> {
  const lines: Line[] = [];
  let document: unknown = null;
  const output: Output = {
    ...context.output,
    remark: (...more) => remarkOn(context.output, { lines: more }),
    print: (...more) => void lines.push(...more),
    printJson: (printed) => {
      document = printed;
    },
  };
  const exitCode = await command({ ...context, output });
  if (exitCode === EXIT.ok) return { lines, document };
  const said = lines.map((each) => renderLine(each, { color: false })).join('\n');
  throw new Error(`${name} ended with ${exitCode}: ${said}${JSON.stringify(document)}`);
}

function remarkOn(output: Output, { lines }: Pick<Said, 'lines'>): void {
  if (!output.json) output.remark(...lines.map((each) => ['     ', ...piecesOf(each)]));
}

async function readFirstOrg(context: CommandContext): Promise<string> {
  return await useDatabase(await openDatabase(context), async ({ db }) => {
    const first = db.selectFrom('organizations').select('org_id').orderBy('name').limit(1);
    return (await first.executeTakeFirstOrThrow()).org_id;
  });
}

/** Serves the worker's console on a free port of loopback until the signal; no run follows. */
async function showConsole(context: CommandContext): Promise<void> {
  const { config, version, host, logger, hostNow, output, signal } = context;
  const startedAtMs = hostNow();
  const finishedAt = new Date(startedAtMs).toISOString();
  const instanceIds = config.instances.map(({ instanceId }) => instanceId);
  const statuses = instanceIds.map(
    (instanceId): InstanceStatus => ({
      instanceId,
      state: 'idle',
      progress: null,
      trouble: null,
      lastRun: { finishedAt, result: 'complete' },
    }),
  );
  const schedule = { isArmed: () => false, nextWakeAt: () => null };
  const loop = { statuses };
  await useDatabase(await openDatabase(context), async (reader) => {
    const sources = createSources(context, { reader, startedAtMs, loop, schedule });
    const app = createApp({ ...sources, metrics: createMetrics({ version, instanceIds, startedAtMs }) });
    const access = { host: LOOPBACK, hostname: host, tokenHash: null };
    const listening = await listen(app, { access, port: 0, logger });
    output.print(
      '',
      `The console shows the same on http://${LOOPBACK}:${listening.port}/ until you press Ctrl-C.`,
    );
    if (!signal.aborted) await once(signal, 'abort');
    await listening.close();
  });
}

/** Returns commands with the same port: a database stays with the API it was filled from. */
function nextSteps(
  { url, instanceId, token }: Simulator,
  { databaseUrl, day, orgId }: { databaseUrl: string; day: string; orgId: string },
) {
  const { port } = new URL(url);
  return [
    {
      why: 'how far the numbers reach, and where one of them comes from',
      commands: [
        `export DATABASE_URL='${databaseUrl}'`,
        'npx losant-usage status',
        `npx losant-usage explain --org ${orgId} --day ${day}`,
      ],
    },
    {
      why: 'the simulated Losant again, in the background; kill %1 stops it',
      commands: [`npx losant-usage simulator --port ${port} --orgs ${ORGS} >/dev/null &`],
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
