import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { HOUR_MS } from '../../src/usage/day.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { portOf, startWire, through, type Wire } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica } from '../worker/loop.ts';
import { AlertLog, type Firing } from './alerts.ts';

export interface SoakResult {
  readonly firings: readonly Firing[];
  readonly scrape: string;
  readonly wakeUps: number;
  /** Heap in use after a collection, in MB, at a third of the time and at the end. */
  readonly heapMb: readonly [number, number];
  readonly orgs: number;
  readonly instanceId: string;
  readonly tables: Readonly<Record<string, unknown>>;
}

/** What is going on during some hours, both inclusive, beside the wake-ups. */
export interface Trouble {
  readonly from: number;
  readonly to: number;
  readonly kind: 'api_down' | 'token_revoked' | 'answers_wrong' | 'database_down' | 'final_restated';
}

const ORGS = 4;
/** Between the runs of two replicas: within one the clock stands still. */
const TICK_MS = 1_000;
/** A quarter past midnight, as the default schedule wakes; long ago by any host's clock. */
const STARTED_AT = Date.UTC(2024, 5, 1, 0, 15);

/**
 * Two replicas wake up every hour of the simulated time, one after the other; then both are scraped. The
 * database's clock is the simulated one; within an hour it stands still.
 */
export async function soak(days: number, troubles: readonly Trouble[]): Promise<SoakResult> {
  const database = await createClockDatabase();
  let nowMs = STARTED_AT;
  const now = () => nowMs;
  const setClock = async (ms: number) => {
    nowMs = ms;
    await database.stopClock(ms);
  };
  await setClock(STARTED_AT);
  await using platform = await startPlatform({ orgs: ORGS, now });
  const tick = () => setClock(nowMs + TICK_MS);
  const world: World = { platform, databaseUrl: database.url, now, tick, pair: [] };
  try {
    world.pair.push(await openMember(world, 'replica-a'), await openMember(world, 'replica-b'));
    const alerts = new AlertLog(platform.instanceId);
    const hours = days * 24;
    let early = 0;
    for (let hour = 0; hour < hours; hour += 1) {
      const wakeUpMs = STARTED_AT + hour * HOUR_MS;
      await setClock(wakeUpMs);
      await liveHour(world, hour, troubles);
      const scrapes = await Promise.all(world.pair.map(({ replica }) => replica.scrape()));
      alerts.judge(hour, wakeUpMs, scrapes);
      if (hour === Math.floor(hours / 3)) early = heapMb();
    }
    const [first] = world.pair as [Member];
    return {
      firings: alerts.firings,
      scrape: await first.replica.scrape(),
      wakeUps: hours * 2,
      heapMb: [early, heapMb()],
      orgs: ORGS,
      instanceId: platform.instanceId,
      tables: (await queryOnce(database.url, TABLES))[0] ?? {},
    };
  } finally {
    for (const { replica, wire } of world.pair) {
      await replica.close();
      await wire[Symbol.asyncDispose]();
    }
    await database.drop();
  }
}

interface Member {
  readonly replica: Replica;
  readonly wire: Wire;
}

interface World {
  readonly platform: Platform;
  readonly databaseUrl: string;
  readonly now: () => number;
  /** Lets a little time pass. */
  readonly tick: () => Promise<void>;
  readonly pair: Member[];
}

async function openMember({ platform, databaseUrl, now }: World, host: string): Promise<Member> {
  const wire = await startWire(portOf(databaseUrl));
  const instances = [instanceOf(platform)];
  return {
    wire,
    replica: await openReplica({
      databaseUrl: through(wire, databaseUrl),
      instances,
      now,
      host,
      attempts: 1,
    }),
  };
}

async function liveHour(world: World, hour: number, troubles: readonly Trouble[]): Promise<void> {
  for (const trouble of troubles) {
    if (trouble.from === hour) await begin(world, trouble);
    if (trouble.to + 1 === hour) await end(world, trouble);
  }
  for (const { replica } of world.pair) {
    await replica.runAll();
    await world.tick();
  }
}

async function begin({ platform, pair }: World, { kind }: Trouble): Promise<void> {
  const { token } = platform;
  if (kind === 'api_down') await faults(platform, [{ kinds: ['reset'], rate: 1, forever: true }]);
  if (kind === 'token_revoked') await platform.control('tokens/revoke', { token });
  if (kind === 'database_down') for (const { wire } of pair) wire.cut();
  if (kind === 'answers_wrong') {
    const [orgId = ''] = await orgIds(platform);
    const wrong = {
      kinds: ['no_counts'],
      rate: 1,
      forever: true,
      orgIds: [orgId],
      actions: ['deviceCounts'],
    };
    await faults(platform, [wrong]);
  }
  if (kind === 'final_restated') {
    const [orgId = ''] = await orgIds(platform);
    await platform.control('restate', { orgId, day: '2024-06-15', counter: 'payload_totals' });
  }
}

async function end({ platform, pair }: World, { kind }: Trouble): Promise<void> {
  const { token } = platform;
  if (kind === 'api_down' || kind === 'answers_wrong') await faults(platform, null);
  if (kind === 'token_revoked') await platform.control('tokens', { token, scopes: ['all.Instance'] });
  if (kind === 'database_down') for (const { wire } of pair) wire.mend();
}

async function faults(platform: Platform, plans: object[] | null): Promise<void> {
  await platform.control('config', { faults: plans });
}

async function orgIds(platform: Platform): Promise<string[]> {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  return orgs.map(({ orgId }) => orgId);
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapMb(): number {
  collect();
  return process.memoryUsage().heapUsed / 1_048_576;
}

const TABLES = `select
  (select count(*)::integer from losant_usage.coverage) as cells,
  (select count(*)::integer from losant_usage.coverage where standing in ('stored', 'final')) as stored,
  (select count(*)::integer from losant_usage.device_counts) as device_counts,
  (select count(*)::integer from losant_usage.payload_totals) as payload_totals,
  (select count(*)::integer from losant_usage.runs where status = 'running') as running,
  (select count(*)::integer from losant_usage.leases) as leases`;
