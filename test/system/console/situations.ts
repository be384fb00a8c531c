import { readFileSync } from 'node:fs';
import type { FaultPlan } from '../../../simulator/faults.ts';
import { type Platform, startPlatform } from '../../simulator/platform.ts';
import { holdLease } from '../../support/by-hand.ts';
import {
  asAdministrator,
  asWriter,
  createTestDatabase,
  queryOnce,
  type TestDatabase,
} from '../../support/databases.ts';
import { daysAgo } from '../../support/days.ts';
import { type Env, runProgram, startProgram } from '../../support/program.ts';
import { until } from '../../support/wait.ts';
import { type StartedWorker, settingsOf, startWorker } from '../../worker/process.ts';

/** A worker whose console is tested. */
export interface Situation extends AsyncDisposable {
  readonly worker: StartedWorker;
  readonly database: TestDatabase;
  readonly platform: Platform;
  /** The organization whose pages are opened. */
  readonly orgId: string;
  readonly token: string | undefined;
}

const TOKEN = 'a-token-for-the-console';
/** A whole month and parts of two others. */
const HISTORY_DAYS = 62;
/** A day on which requests fail, in days before today; its cells are final. */
const FAULT_DAY = 9;

interface Start {
  readonly orgs: number;
  readonly faults?: FaultPlan;
  readonly env?: Env;
  /** Runs before the worker starts. */
  readonly prepare?: (platform: Platform, database: TestDatabase) => Promise<void>;
  /** Matches `/status.json` once the situation is complete. */
  readonly status: RegExp;
}

async function start({ env = {}, prepare, status, ...options }: Start): Promise<Situation> {
  await using stack = new AsyncDisposableStack();
  const platform = stack.use(await startPlatform({ now: Date.now, hostile: false, ...options }));
  const database = await createTestDatabase();
  stack.defer(() => database.drop());
  await prepare?.(platform, database);
  const worker = await startWorker({ ...settingsOf(platform, database), ...env }, startProgram);
  stack.defer(async () => void (await worker.stop()));
  await untilStatus(worker, status);
  const orgs = await queryOnce(database.url, 'select org_id from losant_usage.organizations order by name');
  const resources = stack.move();
  return {
    worker,
    database,
    platform,
    token: env['HTTP_TOKEN'],
    orgId: String(orgs[0]?.['org_id']),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function untilStatus(worker: StartedWorker, pattern: RegExp): Promise<void> {
  await until(`status.json has ${pattern.source}`, async () => pattern.test((await worker.get('/status.json')).text));
}

const ENDED = /"result":/;

/** Starts each situation, by name. */
export const SITUATIONS = {
  // The first run never ends: totals get no response, so the chart of every organization links yesterday as not stored.
  'the first run': () =>
    start({
      orgs: 40,
      faults: { kinds: ['hang'], forever: true, actions: ['payloadCountsBreakdown'], slowMs: 600_000 },
      env: { REQUEST_TIMEOUT_MS: '300000' },
      status: /"readCells":[1-9]/,
    }),
  'many organizations': () => start({ orgs: 0, prepare: fillMany, status: /"state":"standby"/ }),
  'months with gaps': () =>
    start({ orgs: 14, env: { HTTP_TOKEN: TOKEN, SCHEDULE: '15 * * * *' }, prepare: playMonths, status: ENDED }),
  'a database that is away': async () => {
    const situation = await start({ orgs: 1, status: ENDED });
    await situation.database.drop();
    await untilStatus(situation.worker, /"databaseUp":false/);
    return situation;
  },
} satisfies Record<string, () => Promise<Situation>>;

/** Fills a database whose lease another process holds, so that no usage is requested. */
async function fillMany({ instanceId, url: apiUrl }: Platform, { url, name }: TestDatabase): Promise<void> {
  const script = readFileSync(new URL('../../../bench/fill.sql', import.meta.url), 'utf8');
  const sizes = { ':orgs': '1000', ':days': '8', ':unreported': '2' };
  const filled = Object.entries(sizes).reduce((text, [word, value]) => text.replaceAll(word, value), script);
  await asAdministrator(filled.replaceAll('5c0000000000000000000001', instanceId), name);
  await asWriter(
    url,
    `update losant_usage.instance set api_url = '${apiUrl}';
      ${holdLease()};
      insert into losant_usage.runs (run_id, kind, is_full, status, started_at, finished_at, host, version)
      values (gen_random_uuid(), 'scheduled', true, 'partial', now() - interval '40 minutes',
        now() - interval '38 minutes', 'another-host', '1.2.3')`,
  );
  await asAdministrator('analyze', name);
}

/** Plays two months of a few organizations; on one day, everything that can happen to a number. */
async function playMonths(platform: Platform, database: TestDatabase): Promise<void> {
  const settings = { ...settingsOf(platform, database), REQUEST_CONCURRENCY: '16' };
  const program = async (...args: string[]) => {
    const { code, stderr } = await runProgram(args, settings);
    // The planted faults make a run incomplete.
    if (code !== 0 && code !== 3) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
  };
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string; traits: string[] }[] };
  const [first, second, third] = orgs.filter(({ traits }) => traits.length === 0).map(({ orgId }) => orgId);
  const backfill = (from: number, to: number) => program('backfill', '--from', daysAgo(from), '--to', daysAgo(to));
  const faults = [
    { kinds: ['negative'], rate: 1, forever: true, orgIds: [first], actions: ['deviceCounts'] },
    { kinds: ['too_large'], rate: 1, forever: true, orgIds: [second], actions: ['notebookMinuteCounts'] },
    { kinds: ['too_large'], rate: 1, forever: true, orgIds: [third], actions: ['payloadCounts'] },
  ];
  await platform.control('config', { faults });
  // The first backfill reads these days with faults; the next ones read them without.
  await backfill(FAULT_DAY, FAULT_DAY);
  await platform.control('config', { faults: [] });
  await backfill(FAULT_DAY - 1, 1);
  await backfill(HISTORY_DAYS, FAULT_DAY + 1);
  const cell = ['--org', third ?? '', '--day', daysAgo(FAULT_DAY), '--stream', 'payload_sources'];
  await program('waive', ...cell, '--reason', 'The customer left that week');
  const restated = daysAgo(FAULT_DAY + 3);
  await platform.control('restate', { orgId: first, day: restated, counter: 'payload_totals' });
  await program('backfill', '--from', restated, '--to', restated, '--org', first ?? '', '--force');
  // Last month is closed, whatever blocks it, and one of its numbers changes.
  const month = daysAgo(Number(daysAgo(0).slice(8))).slice(0, 7);
  await program('close', '--month', month, '--accept-blockers', '--reason', 'Agreed with everybody');
  await platform.control('restate', { orgId: second, day: `${month}-10`, counter: 'payload_totals' });
  const days = ['--from', `${month}-10`, '--to', `${month}-10`];
  await program('backfill', ...days, '--org', second ?? '', '--force');
}
