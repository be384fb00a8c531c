import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { type Ended, type Running, type Spawned, spawnProgram, startProgram } from '../support/program.ts';
import { type Snapshot, takeSnapshot } from './snapshot.ts';

export interface StartOptions {
  readonly more?: Record<string, string>;
  readonly url?: string;
}

/** A platform, a database, and the program between them. */
export interface Stage extends AsyncDisposable {
  readonly platform: Platform;
  readonly database: TestDatabase;
  readonly start: (args: readonly string[], options?: StartOptions) => Running;
  /** As a process of its own, which can be stopped and killed. */
  readonly spawn: (args: readonly string[], options?: StartOptions) => Spawned;
  readonly run: (args: readonly string[]) => Promise<Ended>;
  readonly sql: (statement: string) => Promise<Record<string, unknown>[]>;
  /** Status of each run, in the order of their starts. */
  statuses(): Promise<unknown[]>;
  /** What the commands leave in a database of their own, one by one and undisturbed. */
  alone(...commands: readonly (readonly string[])[]): Promise<Snapshot>;
  snapshot(): Promise<Snapshot>;
  /** Until the platform has been asked so often since the last `alone`. */
  readonly hasAsked: (times: number) => Promise<void>;
}

/** Bounds a wait, well below the time limit of a test: how soon it is over is up to the machine. */
export const SOON = { timeout: 50_000 };

export async function openStage({ orgs, seed }: { orgs: number; seed: string }): Promise<Stage> {
  const platform = await startPlatform({ now: Date.now, orgs, seed });
  const database = await createTestDatabase();
  const envOf = ({ more = {}, url = database.url }: StartOptions = {}) => ({
    ...{ TZ: 'Pacific/Auckland', NODE_COMPILE_CACHE: join(tmpdir(), 'losant-usage-test-compiled') },
    ...{ LOSANT_API_URL: platform.url, LOSANT_API_TOKEN: platform.token },
    ...{ LOSANT_INSTANCE_ID: platform.instanceId, DATABASE_URL: url },
    ...{ REQUESTS_PER_SECOND: '10000', LOG_LEVEL: 'warn', ...more },
  });
  const start: Stage['start'] = (args, options) => startProgram([...args, '--json'], envOf(options));
  const sql = (statement: string) => queryOnce(database.url, statement);
  const asked = async () => ((await platform.control('stats')) as { requests: number }).requests;
  return {
    platform,
    database,
    start,
    spawn: (args, options) => spawnProgram([...args, '--json'], envOf(options)),
    sql,
    run: (args) => start(args).ended,
    statuses: async () =>
      (await sql('select status from losant_usage.runs order by started_at')).map(({ status }) => status),
    alone: async (...commands) => {
      const key = JSON.stringify([orgs, seed, commands]);
      const known = ALONE.get(key) ?? (await runAlone(start, commands));
      ALONE.set(key, known);
      await platform.control('stats/reset', {});
      return known;
    },
    snapshot: () => takeSnapshot(database.url, { hashes: false }),
    hasAsked: (times) => expect.poll(asked, SOON).toBeGreaterThanOrEqual(times),
    [Symbol.asyncDispose]: async () => {
      await platform[Symbol.asyncDispose]();
      await database.drop();
    },
  };
}

/** The same world gives the same numbers: it need not be exported alone twice in a file. */
const ALONE = new Map<string, Snapshot>();

async function runAlone(start: Stage['start'], commands: readonly (readonly string[])[]): Promise<Snapshot> {
  const own = await createTestDatabase();
  for (const args of commands) {
    expect(await start(args, { url: own.url }).ended).toMatchObject({ code: 0 });
  }
  const snapshot = await takeSnapshot(own.url, { hashes: false });
  await own.drop();
  return snapshot;
}
