/** An export whose time the test moves: platform, database and program have one clock. */
import { expect, onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { type Ended, type Env, jsonOf } from '../support/program.ts';
import { type Export, openExport, orgIdsOf } from './export.ts';
import type { Place, Row } from './usage.ts';

export interface Played extends Export {
  readonly database: ClockDatabase;
  /** The ids of all organizations, in order. */
  readonly orgIds: readonly string[];
  readonly now: () => number;
  /** Moves the time to this instant, from where it goes on. */
  readonly moveTo: (instant: string | number) => Promise<void>;
  readonly query: (statement: string) => Promise<Row[]>;
}

/** Opens one that ends with the test. */
export async function openPlayed(at: string | number, options: SimulatorOptions = {}): Promise<Played> {
  let behindMs = 0;
  const now = () => Date.now() - behindMs;
  const database = await createClockDatabase();
  const { url } = database;
  const query = (statement: string) => queryOnce(url, statement);
  const place: Place = { kind: 'postgres', url, query, remove: () => database.drop() };
  const moveTo = async (instant: string | number) => {
    behindMs = Date.now() - new Date(instant).getTime();
    await database.setBehind(behindMs);
  };
  await moveTo(at);
  const exported = await openExport({ orgs: 3, hostile: false, now, ...options }, place);
  onTestFinished(() => exported.close());
  return { ...exported, database, orgIds: await orgIdsOf(exported.platform), now, moveTo, query };
}

export const usePlayed = () => openPlayed;

export const runJson = async (played: Played, args: readonly string[] = [], env: Env = {}) =>
  await played.run(['run', '--json', ...args], env);

/** Runs, which must leave nothing missing. */
export async function runWhole(played: Played, env: Env = {}): Promise<Ended> {
  const ended = await runJson(played, [], env);
  expect({ code: ended.code, failures: jsonOf(ended).failures }).toEqual({ code: 0, failures: [] });
  return ended;
}

/** Returns the standings of an organization's cells of a day, by stream. */
export async function standingsOf({ query }: Pick<Played, 'query'>, orgId: string, day: string) {
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
