import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { createDatabase } from '../../src/database/open.ts';
import { type InstanceContext, openInstance, type RunOptions } from '../../src/export/context.ts';
import { type RunOutcome, runInstance } from '../../src/export/run.ts';
import type { OrgSelection } from '../../src/usage/organization.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { NOW, type Platform, startPlatform } from '../simulator/platform.ts';
import { createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';

/** An instance as the settings describe it. */
export interface Setting {
  readonly platform: Platform;
  readonly selection: OrgSelection;
  readonly streams: readonly string[];
  readonly controlTotals: 'block' | 'show';
}

/** A platform, a database, and the export between them, at a time that the test sets. */
export interface Stage extends AsyncDisposable {
  readonly platform: Platform;
  readonly context: (setting?: Partial<Setting>) => InstanceContext;
  readonly run: (options?: Partial<RunOptions>, setting?: Partial<Setting>) => Promise<RunOutcome>;
  readonly sql: (statement: string) => Promise<Record<string, unknown>[]>;
  /** Another platform of the same time. */
  readonly startOther: (options?: SimulatorOptions) => Promise<Platform>;
  readonly nowMs: () => number;
  /** Sets the clock of everything. */
  readonly goTo: (atMs: number) => Promise<void>;
}

export const POLICY: Policy = {
  readAtHours: [0, 6, 24, 48, 72, 168, 720],
  finalAtHours: 72,
  horizonDays: 90,
};
const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'];

export async function openStage(options: SimulatorOptions = {}): Promise<Stage> {
  let clockMs = NOW;
  const nowMs = () => clockMs;
  const platforms: Platform[] = [];
  const start = async (more: SimulatorOptions) => {
    const platform = await startPlatform({ now: nowMs, hostile: false, orgs: 8, ...more });
    platforms.push(platform);
    return platform;
  };
  const platform = await start(options);
  const database = await createClockDatabase();
  await database.stopClock(clockMs);
  const handle = await createDatabase({ url: database.url, applicationName: 'test', poolSize: 5 });
  const context = ({
    platform: of = platform,
    selection = { kind: 'all' },
    streams = STREAMS,
    controlTotals = 'block',
  }: Partial<Setting> = {}) =>
    openInstance(
      {
        config: { policy: POLICY, request: { timeoutMs: 5_000, attempts: 1 }, controlTotals },
        logger: pino({ level: 'silent' }),
        hostNow: nowMs,
        random: () => 0.5,
        host: 'host',
        version: '0.0.0',
      },
      {
        instanceId: of.instanceId,
        apiUrl: of.url,
        domain: null,
        readToken: () => of.token,
        orgs: selection,
        streams: [...streams],
        requestConcurrency: 8,
        requestsPerSecond: 1_000,
      },
      { handle, now: nowMs, gates: new Map() },
    );
  return {
    platform,
    context,
    run: (more, setting) =>
      runInstance(context(setting), {
        kind: 'scheduled',
        runId: randomUUID(),
        orgIds: null,
        streams: null,
        range: null,
        force: false,
        signal: new AbortController().signal,
        ...more,
      }),
    sql: (statement) => queryOnce(database.url, statement),
    startOther: (more = {}) => start(more),
    nowMs,
    goTo: async (atMs) => {
      clockMs = atMs;
      await database.stopClock(atMs);
    },
    [Symbol.asyncDispose]: async () => {
      await handle.close();
      await database.drop();
      for (const each of platforms) await each[Symbol.asyncDispose]();
    },
  };
}

/** The ids of all organizations of a platform, in order. */
export async function orgIdsOf({ control }: Pick<Platform, 'control'>): Promise<string[]> {
  const { orgs } = (await control('orgs')) as { orgs: { orgId: string }[] };
  return orgs.map(({ orgId }) => orgId);
}
