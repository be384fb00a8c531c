import { HOUR_MS } from '../../src/usage/day.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { type Ended, runProgram } from '../support/program.ts';
import { portOf, startWire, through, type Wire } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica } from '../worker/loop.ts';

/** A quarter past midnight, as the default schedule wakes; long ago by any host's clock. */
const STARTED_AT = Date.UTC(2024, 5, 1, 0, 15);

/** The hour since the start of an hour of a day of the year, both counted from 0. */
export const hourOf = (day: number, hour = 0) => day * 24 + hour;

/**
 * World is a platform, a database, and two replicas of the worker in this process, all with one clock, which stands
 * still until it is set.
 */
export interface World extends AsyncDisposable {
  readonly platform: Platform;
  readonly database: ClockDatabase;
  readonly replicas: readonly Replica[];
  readonly wires: readonly Wire[];
  nowMs: number;
  setHour(hour: number): Promise<void>;
  run(...args: readonly string[]): Promise<Ended>;
  query(statement: string): Promise<Record<string, unknown>[]>;
}

export async function openWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const time = { nowMs: STARTED_AT };
  const now = () => time.nowMs;
  const platform = stack.use(await startPlatform({ orgs: 3, now }));
  const database = await createClockDatabase();
  stack.defer(() => database.drop());
  await database.stopClock(STARTED_AT);
  const wires: Wire[] = [];
  const replicas: Replica[] = [];
  for (const host of ['replica-a', 'replica-b']) {
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
    wires.push(wire);
    replicas.push(replica);
  }
  const kept = stack.move();
  return Object.assign(time, {
    platform,
    database,
    replicas,
    wires,
    setHour: async (hour: number) => {
      time.nowMs = STARTED_AT + hour * HOUR_MS;
      await database.stopClock(time.nowMs);
    },
    run: (...args: readonly string[]) => runProgram(args, { DATABASE_URL: database.url }, { hostNow: now }),
    query: (statement: string) => queryOnce(database.url, statement),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  });
}

/** Throws if a command has not ended with exit code 0. */
export function expectGood({ code, stdout, stderr }: Ended): void {
  if (code !== 0) throw new Error(`ended with ${code}: ${stdout}${stderr}`);
}
