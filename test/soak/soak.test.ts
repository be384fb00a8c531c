/** A year of hourly wake-ups in simulated time: two replicas of the worker by turns, all with one clock. */
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
import { instanceOf, openReplica } from '../worker/loop.ts';

/** Set by `npm run test:soak`, without which this is not run; at least 8. */
const DAYS = Number(process.env['SOAK_DAYS']);
const HOURS = DAYS * 24;
const QUARTERS = 4;
/** A quarter past midnight, as the default schedule wakes; long ago by any host's clock. */
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

/** What happens before the wake-up of an hour, counted from the start. */
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
  // Seen a month after its end.
  [45 * 24, restate('2024-06-20')],
  [90 * 24 + 7, control('orgs', () => ({}))],
  // The copy lacks what the wake-up after midnight reads, and the list of organizations of the day.
  [130 * 24, (world) => world.database.makeStandby()],
  [130 * 24 + 9, (world) => world.database.failOver()],
]);

/** Days that ended before the last 96 hours, in which a day becomes final; and what may be left nowhere. */
const LEFT = `select
  (select count(*)::integer from losant_usage.cells where standing <> 'final' and usage_date <= '${LAST_DAY}') as open,
  (select count(*)::integer from losant_usage.runs where status = 'running') as running,
  (select count(*)::integer from losant_usage.leases) as leases,
  (select count(*)::integer from losant_usage.coverage_gaps) as gaps`;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

// Guarantee (Operation): After a simulated year with outages and a failover, nothing is missing and memory use has not
// grown.
test(
  `after ${DAYS} days of hourly wake-ups with outages and a failover nothing is required, and memory is flat`,
  async () => {
    await using stack = new AsyncDisposableStack();
    let nowMs = STARTED_AT;
    const now = () => nowMs;
    const platform = stack.use(await startPlatform({ orgs: 3, now }));
    const database = await createClockDatabase();
    stack.defer(() => database.drop());
    const open = async (host: string) => {
      const wire = stack.use(await startWire(portOf(database.url)));
      const replica = await openReplica({
        databaseUrl: through(wire, database.url),
        instances: [{ ...instanceOf(platform), streams: streamNames }],
        now,
        host,
        // A busy machine must not look like an outage, nor an outage take long.
        config: { request: { timeoutMs: 30_000, attempts: 1 } },
      });
      stack.defer(() => replica.close());
      return { wire, replica };
    };
    const replicas = [await open('replica-a'), await open('replica-b')];
    const world = { platform, database, wires: replicas.map(({ wire }) => wire) };
    // In MB after a collection, at each quarter of the time.
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
    expect(await query(LEFT)).toEqual([{ open: 0, running: 0, leases: 0, gaps: 0 }]);
    expect((heapsMb.at(-1) ?? 0) - (heapsMb[0] ?? 0)).toBeLessThan(10);
  },
  // Generous: on a busy machine it takes several times as long.
  60_000 + DAYS * 30_000,
);
