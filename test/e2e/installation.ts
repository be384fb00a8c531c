import { expect, onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { defaultStreamNames } from '../../src/usage/streams/catalog.ts';
import { useOpened } from '../opened.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import {
  type Ended,
  type Env,
  jsonOf,
  type Running,
  runProgram,
  type Spawned,
  spawnProgram,
  startProgram,
} from '../support/program.ts';
import { settingsOf } from '../worker/process.ts';
import { createStore, type Row, type Store } from './usage.ts';

/** Limits that never slow a test down. */
const FAST: Env = { REQUESTS_PER_SECOND: '2000', REQUEST_CONCURRENCY: '32', LOG_LEVEL: 'info' };

/** A simulated platform at today's date, or at that of `now`, and a database for its usage. */
export interface Installation {
  readonly platform: Platform;
  readonly store: Store;
  /** The program's settings, which a test can change for each process. */
  readonly env: Env;
  readonly run: (args: readonly string[], env?: Env) => Promise<Ended>;
  readonly start: (args: readonly string[], env?: Env) => Running;
  /** Starts a separate process, for what only a process shows. */
  readonly spawn: (args: readonly string[], env?: Env) => Spawned;
  readonly close: () => Promise<void>;
}

export async function createInstallation(
  options: SimulatorOptions = {},
  database: Store['kind'] | Store = 'postgres',
): Promise<Installation> {
  const { now: hostNow = Date.now } = options;
  const platform = await startPlatform({ now: hostNow, ...options });
  const store = typeof database === 'string' ? await createStore(database) : database;
  const env = { ...settingsOf(platform, store), ...FAST };
  return {
    platform,
    store,
    env,
    run: (args, changes = {}) => runProgram(args, { ...env, ...changes }, { hostNow }),
    start: (args, changes = {}) => startProgram(args, { ...env, ...changes }, { hostNow }),
    spawn: (args, changes = {}) => spawnProgram(args, { ...env, ...changes }),
    close: async () => {
      await platform[Symbol.asyncDispose]();
      await store.remove();
    },
  };
}

export function useInstallation(options: SimulatorOptions = {}): Installation {
  const open = () => createInstallation(options);
  return useOpened(open, (installation) => installation.close());
}

/** Returns the IDs of all organizations, also deleted ones, in order and in lower case. */
export async function orgIdsOf({ control }: Pick<Platform, 'control'>): Promise<string[]> {
  const { orgs } = (await control('orgs')) as { orgs: { orgId: string }[] };
  return orgs.map(({ orgId }) => orgId);
}

/** An installation whose time the test moves: platform, database and program have one clock. */
export interface TimedInstallation extends Installation {
  readonly database: ClockDatabase;
  /** The IDs of all organizations, in order. */
  readonly orgIds: readonly string[];
  readonly now: () => number;
  /** Moves the clock to an instant; it runs on from there. */
  readonly moveTo: (instant: string | number) => Promise<void>;
  readonly query: (statement: string) => Promise<Row[]>;
}

/** Creates an installation that is closed at the end of the test, with an empty database or a copy of one. */
export async function createTimedInstallation(
  at: string | number,
  options: SimulatorOptions = {},
  copied?: ClockDatabase,
): Promise<TimedInstallation> {
  let behindMs = 0;
  const now = () => Date.now() - behindMs;
  const database = await createClockDatabase(copied);
  const { url } = database;
  const query = (statement: string) => queryOnce(url, statement);
  const store: Store = { kind: 'postgres', url, query, remove: () => database.drop() };
  const moveTo = async (instant: string | number) => {
    behindMs = Date.now() - new Date(instant).getTime();
    await database.setBehind(behindMs);
  };
  await moveTo(at);
  const installation = await createInstallation({ orgs: 3, hostile: false, now, ...options }, store);
  onTestFinished(() => installation.close());
  return { ...installation, database, orgIds: await orgIdsOf(installation.platform), now, moveTo, query };
}

/** Runs the program, and expects that nothing is missing afterward. */
export async function runCompletely(installation: TimedInstallation): Promise<void> {
  const ended = await installation.run(['run', '--json']);
  expect({ code: ended.code, failures: jsonOf(ended).failures }).toEqual({ code: 0, failures: [] });
}

/** Returns the standings of an organization's cells of a day, by stream. */
export async function standingsOf({ query }: Pick<TimedInstallation, 'query'>, orgId: string, day: string) {
  const rows = await query(`select stream, standing from losant_usage.cells
    where org_id = '${orgId}' and usage_date = '${day}'`);
  return Object.fromEntries(rows.map(({ stream, standing }) => [String(stream), String(standing)]));
}

export const ALL_FINAL = Object.fromEntries(defaultStreamNames.map((stream) => [stream, 'final']));
