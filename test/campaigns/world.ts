/** What one seeded world of the fault campaign consists of. */
import { randomUUID } from 'node:crypto';
import type { CommandContext } from '../../src/cli/command.ts';
import type { DatabaseHandle } from '../../src/database/open.ts';
import { createLogger } from '../../src/logger.ts';
import { readConfig } from '../../src/settings/config.ts';
import type { Ask } from '../../src/usage/plan.ts';
import type { Platform } from '../simulator/platform.ts';
import type { ClockDatabase } from '../support/clock-database.ts';
import { SILENT } from '../support/output.ts';
import { DAY_MS, dayAt } from './checker.ts';
import { type Dice, rollFrom } from './seeds.ts';
import type { TruthBook, TruthOrg } from './truth.ts';

/** What a campaign adds up over its worlds. */
export interface Campaign {
  readonly counts: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly edits: Record<string, number>;
  readonly wrong: string[];
}

export interface World {
  readonly seed: number;
  readonly dice: Dice;
  readonly platform: Platform;
  readonly database: ClockDatabase;
  readonly handle: DatabaseHandle;
  readonly book: TruthBook;
  readonly campaign: Campaign;
  /** ms that the world's time is behind the real one. */
  behindMs: number;
  policy: keyof typeof POLICIES;
  /** First usage day of the instance; null before the first run. */
  firstDay: string | null;
  /** When the program last listed all organizations, and which there were. */
  listedAt: string | null;
  listed: readonly TruthOrg[];
  /** Ranges that backfills asked for, and up to what was tracked already, with the organizations that were listed then. */
  readonly asked: { readonly from: string; readonly to: string; readonly listed: readonly TruthOrg[] }[];
}

export const POLICIES = {
  usual: { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 },
  short: { readAtHours: [0, 6, 24, 48], finalAtHours: 48, horizonDays: 4 },
} as const;

/** Moves the world's time, of the platform, the database, and the program with it. It runs on from there. */
export async function moveTime(world: World, toMs: number): Promise<void> {
  world.behindMs = Date.now() - toMs;
  await world.database.setBehind(world.behindMs);
}

export const nowOf = ({ behindMs }: Pick<World, 'behindMs'>): number => Date.now() - behindMs;
export const yesterdayOf = (world: World): string => dayAt(nowOf(world) - DAY_MS);

/** The last days that are over, newest first. */
export function daysOf(world: World, count = 10): string[] {
  const last = Date.parse(yesterdayOf(world));
  return Array.from({ length: count }, (_, back) => dayAt(last - back * DAY_MS));
}

export async function livingOf({ book }: World): Promise<TruthOrg[]> {
  return (await book.orgs()).filter(({ deleted }) => !deleted);
}

/** What the program is told of the world, beside how patient it is. */
export function settingsOf(
  { url, token, instanceId }: Platform,
  { url: databaseUrl }: ClockDatabase,
  policy: keyof typeof POLICIES,
): Record<string, string> {
  const { readAtHours, finalAtHours, horizonDays } = POLICIES[policy];
  return {
    ...{ LOSANT_API_URL: url, LOSANT_API_TOKEN: token, LOSANT_INSTANCE_ID: instanceId },
    ...{ DATABASE_URL: databaseUrl, REQUESTS_PER_SECOND: '10000', LOG_LEVEL: 'silent' },
    ...{
      READ_AT_HOURS: readAtHours.join(','),
      FINAL_AT_HOURS: `${finalAtHours}`,
      HORIZON_DAYS: `${horizonDays}`,
    },
  };
}

/** The program's surroundings within this process. */
export function contextOf(
  { platform, database, policy, seed }: Pick<World, 'platform' | 'database' | 'policy' | 'seed'>,
  env: Readonly<Record<string, string>> = {},
): CommandContext {
  // How often it waits depends on how busy the machine is: not from the dice that the world is drawn from.
  const waits = rollFrom(seed);
  const all = { ...settingsOf(platform, database, policy), ...env };
  return {
    config: readConfig({ env: all, configFile: null, needs: ['losant', 'database'] }),
    logger: createLogger({ level: 'silent', pretty: false, destination: { write: () => undefined } }),
    output: SILENT,
    isSummaryEnough: true,
    env: all,
    stdin: () => process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: new AbortController().signal,
    hostNow: Date.now,
    random: () => waits.next() / 2,
    newId: randomUUID,
    host: 'campaign',
    version: '0.0.0',
  };
}

/** What one run is about. */
export interface Errand {
  readonly kind: 'manual' | 'backfill';
  readonly ask?: Ask;
}

/** Counts something that happened. */
export function count({ campaign }: Pick<World, 'campaign'>, what: string, by = 1): void {
  campaign.counts[what] = (campaign.counts[what] ?? 0) + by;
}

/** Puts what is wrong on the campaign's list, a few lines of it. */
export function say({ campaign, seed }: World, when: string, lines: readonly string[]): void {
  for (const line of lines.slice(0, 5)) campaign.wrong.push(`seed ${seed}, ${when}: ${line}`);
}
