import pg from 'pg';
import { HOUR_MS } from '../../src/usage/day.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { addClock, stopClockAt, useClockInFunctions } from '../support/clock-database.ts';
import { DebianPostgres } from '../support/debian-postgres.ts';
import { type Ended, runProgram } from '../support/program.ts';
import { portOf, startWire, through, type Wire } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica } from '../worker/loop.ts';

/** A quarter past midnight, as the default schedule wakes; long ago by any host's clock. */
const STARTED_AT = Date.UTC(2024, 5, 1, 0, 15);

/** The hour since the start of an hour of a day of the year, both counted from 0. */
export const hourOf = (day: number, hour = 0) => day * 24 + hour;

const ORGS = 3;
const HOSTS = ['replica-a', 'replica-b'];

type Role = 'migrator' | 'writer' | 'closer' | 'reader';

interface Member {
  readonly replica: Replica;
  readonly wire: Wire;
}

/**
 * World is a platform, a server with the documented roles, and two replicas of the worker in this process, all with one
 * clock, which stands still until it is set.
 */
export class World implements AsyncDisposable {
  readonly platform: Platform;
  readonly server: DebianPostgres;
  /** The database in use; another one after a restore. */
  database = 'billing';
  readonly #clock: { nowMs: number };
  #pair: readonly Member[] = [];
  /** The administrator's connection to the database in use; null until it is needed. */
  #admin: pg.Client | null = null;

  private constructor(platform: Platform, server: DebianPostgres, clock: { nowMs: number }) {
    this.platform = platform;
    this.server = server;
    this.#clock = clock;
  }

  static async open(): Promise<World> {
    const clock = { nowMs: STARTED_AT };
    const platform = await startPlatform({ orgs: ORGS, now: () => clock.nowMs });
    const world = new World(platform, await DebianPostgres.start(), clock);
    await world.addClock();
    expectGood(await world.run('migrator', 'migrate'));
    await useClockInFunctions(world.url('postgres'));
    await world.startWorkers();
    return world;
  }

  get nowMs(): number {
    return this.#clock.nowMs;
  }

  get wires(): readonly Wire[] {
    return this.#pair.map(({ wire }) => wire);
  }

  get replicas(): readonly Replica[] {
    return this.#pair.map(({ replica }) => replica);
  }

  url(user: 'postgres' | Role): string {
    return this.server.urlOf(user === 'postgres' ? user : `losant_usage_${user}`, this.database);
  }

  async setHour(hour: number): Promise<void> {
    this.#clock.nowMs = STARTED_AT + hour * HOUR_MS;
    await this.setDatabaseClock();
  }

  /** Sets the clock of the database in use, e.g. after another one has taken its place. */
  async setDatabaseClock(): Promise<void> {
    await this.query(stopClockAt(this.#clock.nowMs));
  }

  /** Gives the database in use, which has no tables yet, its clock. */
  async addClock(): Promise<void> {
    await addClock(this.url('postgres'), this.database);
    await this.setDatabaseClock();
  }

  /** Runs a command as somebody with this role does. */
  async run(role: Role, ...args: readonly string[]): Promise<Ended> {
    const env = { DATABASE_URL: this.url(role) };
    return await runProgram(args, env, { hostNow: () => this.#clock.nowMs });
  }

  async query(statement: string): Promise<Record<string, unknown>[]> {
    if (this.#admin === null) {
      this.#admin = new pg.Client({ connectionString: this.url('postgres') });
      this.#admin.on('error', () => {
        this.#admin = null;
      });
      await this.#admin.connect();
    }
    return (await this.#admin.query<Record<string, unknown>>(statement)).rows;
  }

  /** Ends the administrator's connection, because the server or the database will be another one. */
  async disconnect(): Promise<void> {
    await this.#admin?.end();
    this.#admin = null;
  }

  async startWorkers(): Promise<void> {
    this.#pair = await Promise.all(HOSTS.map((host) => this.#startWorker(host)));
  }

  async stopWorkers(): Promise<void> {
    for (const { replica, wire } of this.#pair) {
      await replica.close();
      await wire[Symbol.asyncDispose]();
    }
    this.#pair = [];
  }

  async #startWorker(host: string): Promise<Member> {
    const wire = await startWire(portOf(this.url('writer')));
    const replica = await openReplica({
      databaseUrl: through(wire, this.url('writer')),
      instances: [{ ...instanceOf(this.platform), streams: streamNames }],
      now: () => this.#clock.nowMs,
      host,
      // A busy machine must not look like an outage, nor an outage take long.
      config: { request: { timeoutMs: 30_000, attempts: 1 } },
    });
    return { wire, replica };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopWorkers();
    await this.disconnect();
    await this.platform[Symbol.asyncDispose]();
    await this.server.stop();
  }
}

/** Throws if a command has not ended with exit code 0. */
export function expectGood({ code, stdout, stderr }: Ended): void {
  if (code !== 0) throw new Error(`ended with ${code}: ${stdout}${stderr}`);
}
