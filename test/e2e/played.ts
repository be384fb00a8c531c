/** An export whose time the test moves: platform, database and program have one clock. */
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { type Ended, type Env, jsonOf, type Running, runProgram, startProgram } from '../support/program.ts';
import { type StartedWorker, startWorker } from '../worker/process.ts';
import type { Row } from './usage.ts';

export interface Played {
  readonly platform: Platform;
  readonly database: ClockDatabase;
  /** The settings of the program, unless a test gives others. */
  readonly env: Env;
  /** The ids of all organizations, in order. */
  readonly orgIds: readonly string[];
  readonly now: () => number;
  /** Moves the time to this instant, from where it goes on. */
  readonly moveTo: (instant: string) => Promise<void>;
  readonly run: (args: readonly string[], env?: Env) => Promise<Ended>;
  readonly start: (args: readonly string[], env?: Env) => Running;
  /** Starts a worker that ends with the test. */
  readonly startWorker: (env?: Env) => Promise<StartedWorker>;
  readonly query: (statement: string) => Promise<Row[]>;
  close(): Promise<void>;
}

interface PlayedOptions {
  /** A database to copy, which saves the migration. */
  readonly template: ClockDatabase;
  readonly at: string;
  readonly orgs?: number;
}

/** Opens exports that end with their test; their databases are copies of one that is made for the file. */
export function usePlayed(): (at: string, options?: { readonly orgs?: number }) => Promise<Played> {
  let template: ClockDatabase;
  beforeAll(async () => {
    template = await createClockDatabase();
  });
  afterAll(() => template.drop());
  return async (at, options = {}) => {
    const played = await openPlayed({ template, at, ...options });
    onTestFinished(() => played.close());
    return played;
  };
}

async function openPlayed({ template, at, orgs = 3 }: PlayedOptions): Promise<Played> {
  let behindMs = Date.now() - Date.parse(at);
  const now = () => Date.now() - behindMs;
  const platform = await startPlatform({ orgs, now, hostile: false });
  const database = await createClockDatabase(template);
  await database.setBehind(behindMs);
  const { url, instanceId, token } = platform;
  const listed = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  const env = {
    LOSANT_API_URL: url,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_API_TOKEN: token,
    DATABASE_URL: database.url,
    REQUESTS_PER_SECOND: '2000',
    LOG_LEVEL: 'info',
  };
  const start = (args: readonly string[], changes: Env = {}) =>
    startProgram(args, { ...env, ...changes }, { hostNow: now });
  return {
    platform,
    database,
    env,
    now,
    start,
    orgIds: listed.orgs.map(({ orgId }) => orgId),
    moveTo: async (instant) => {
      behindMs = Date.now() - Date.parse(instant);
      await database.setBehind(behindMs);
    },
    run: (args, changes = {}) =>
      runProgram(
        args,
        {
          ...env,
          ...changes,
        },
        { hostNow: now },
      ),
    startWorker: async (changes = {}) => {
      const worker = await startWorker(
        {
          ...env,
          ...changes,
        },
        start,
      );
      onTestFinished(async () => {
        await worker.stop();
      });
      return worker;
    },
    query: (statement) => queryOnce(database.url, statement),
    close: async () => {
      await platform[Symbol.asyncDispose]();
      await database.drop();
    },
  };
}

export const runJson = async (played: Played, args: readonly string[] = [], env: Env = {}) =>
  await played.run(['run', '--json', ...args], env);

/** Runs, which must leave nothing missing. */
export async function runWhole(played: Played, env: Env = {}): Promise<Ended> {
  const ended = await runJson(played, [], env);
  expect({ code: ended.code, failures: jsonOf(ended).failures }).toEqual({ code: 0, failures: [] });
  return ended;
}

/** Returns the standings of an organization's cells of a day, by stream. */
export async function standingsOf(
  { query }: Played,
  orgId: string,
  day: string,
): Promise<Record<string, string>> {
  const rows = await query(`select stream, standing from losant_usage.cells
    where org_id = '${orgId}' and usage_date = '${day}'`);
  return Object.fromEntries(rows.map(({ stream, standing }) => [String(stream), String(standing)]));
}

export const ALL_FINAL = {
  device_counts: 'final',
  notebook_minutes: 'final',
  payload_sources: 'final',
  payload_totals: 'final',
};

/** The counters of an organization, by their actions. */
export const COUNTERS = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
