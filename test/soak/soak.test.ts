/** A year of hourly wake-ups in simulated time, by two replicas of the worker in turn. All parts share one clock. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { HOUR_MS } from '../../src/usage/day.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { firstDifference, readStored, readTruth, type Table } from '../e2e/usage.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { portOf, startWire, through, type Wire } from '../support/wire.ts';
import { instanceOf, NEVER_MS, openReplica } from '../worker/loop.ts';

/** 8, or at least 16: in between an outage goes on. `npm run test:soak` sets it; no other command runs this test. */
const DAYS = Number(process.env['SOAK_DAYS']);
const HOURS = DAYS * 24;
const QUARTERS = 4;
/** A wake-up of the default schedule, long ago by any host's clock. */
const STARTED_AT = Date.UTC(2024, 5, 1, 0, 15);
const [FIRST_DAY, LAST_DAY] = [-24, HOURS - 5 * 24].map((hour) =>
  new Date(STARTED_AT + hour * HOUR_MS).toISOString().slice(0, 10),
) as [string, string];

interface World {
  readonly platform: Platform;
  readonly database: ClockDatabase;
  readonly wires: readonly Wire[];
}
type Act = (world: World) => unknown;

const control =
  (path: string, body: (orgId: string) => object): Act =>
  async ({ platform }) => {
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    await platform.control(path, body(orgs[0]?.orgId ?? ''));
  };
const faults = (plan: object | null) => control('config', () => ({ faults: plan }));
const OUTAGE = { kinds: ['reset'], rate: 1, forever: true };
const restate = (day: string) => control('restate', (orgId) => ({ orgId, day, counter: 'payload_totals' }));
const token =
  (scopes: readonly string[]): Act =>
  async ({ platform }) =>
    await platform.control('tokens', { token: platform.token, scopes, revoked: scopes.length === 0 });
const database =
  (act: 'cut' | 'mend'): Act =>
  ({ wires }) =>
    wires.forEach((wire) => wire[act]());

/** What happens before a wake-up, by the hours since the start. */
const EVENTS: ReadonlyMap<number, Act> = new Map([
  [6, faults(OUTAGE)],
  [7, faults(null)],
  [54, database('cut')],
  [55, database('mend')],
  [100, token([])],
  [103, token(['all.Instance'])],
  [132, faults(OUTAGE)],
  [180, faults(null)],
  [264, control('config', (id) => ({ faults: { ...OUTAGE, kinds: ['no_counts'], orgIds: [id] } }))],
  [336, faults(null)],
  [420, database('cut')],
  [423, database('mend')],
  [480, restate('2024-06-15')],
  // Read a month after the day has ended.
  [45 * 24, restate('2024-06-20')],
  [90 * 24 + 7, control('orgs', () => ({}))],
  // The copy lacks what the wake-up after midnight loads, and the organization list of the day.
  [130 * 24, (world) => world.database.makeStandby()],
  [130 * 24 + 9, (world) => world.database.failOver()],
]);

/** Cells that are not final although their days ended more than 96 hours ago, and what must not remain anywhere. */
const REMAINDERS = `select
  (select count(*)::integer from losant_usage.cells
    where standing <> 'final' and usage_date <= '${LAST_DAY}') as not_final,
  (select count(*)::integer from losant_usage.runs where status = 'running') as running,
  (select count(*)::integer from losant_usage.lease) as leases,
  (select count(*)::integer from losant_usage.coverage_gaps) as gaps`;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test(
  `after ${DAYS} days of hourly wake-ups with outages and a failover, nothing is missing and memory use has not grown`,
  async () => {
    await using stack = new AsyncDisposableStack();
    let nowMs = STARTED_AT;
    const now = () => nowMs;
    const platform = stack.use(await startPlatform({ orgs: 3, now }));
    const database = await createClockDatabase();
    stack.defer(() => database.drop());
    const startReplica = async (host: string) => {
      const wire = stack.use(await startWire(portOf(database.url)));
      const replica = await openReplica({
        databaseUrl: through(wire, database.url),
        instance: { ...instanceOf(platform), streams: streamNames },
        now,
        host,
        // Only the test wakes it.
        retryIntervalMs: NEVER_MS,
        // Long enough that a busy machine does not look like an outage; one attempt, so that an outage is short.
        config: { request: { timeoutMs: 30_000, attempts: 1 } },
      });
      stack.defer(() => replica.close());
      return { wire, replica };
    };
    const replicas = [await startReplica('replica-a'), await startReplica('replica-b')];
    const world = { platform, database, wires: replicas.map(({ wire }) => wire) };
    // After a garbage collection, at each quarter of the time.
    const heapsMb: number[] = [];
    for (let hour = 0; hour < HOURS; hour += 1) {
      nowMs = STARTED_AT + hour * HOUR_MS;
      await database.stopClock(nowMs);
      await EVENTS.get(hour)?.(world);
      await database.stopClock(nowMs);
      await replicas[hour % 2]?.replica.runAll();
      if ((hour + 1) % 240 === 0) process.stdout.write(`soak: day ${(hour + 1) / 24}\n`);
      if ((hour + 1) % (HOURS / QUARTERS) !== 0) continue;
      collect();
      heapsMb.push(process.memoryUsage().heapUsed / 1_048_576);
    }
    process.stdout.write(`soak: heap ${heapsMb.map((mb) => mb.toFixed(1)).join(' → ')} MB\n`);
    const query = (statement: string) => queryOnce(database.url, statement);
    const stored = (await readStored({ query })).filter((line) => (line.split(' ')[2] ?? '') <= LAST_DAY);
    const truth = await readTruth(platform, FIRST_DAY, LAST_DAY, streamNames as readonly Table[]);
    expect(firstDifference(stored, truth)).toBeNull();
    expect(await query(REMAINDERS)).toEqual([{ not_final: 0, running: 0, leases: 0, gaps: 0 }]);
    expect((heapsMb.at(-1) ?? 0) - (heapsMb[0] ?? 0)).toBeLessThan(10);
  },
  // A busy machine takes several times as long.
  60_000 + DAYS * 30_000,
);
