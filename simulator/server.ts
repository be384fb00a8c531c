import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClock } from './clock.ts';
import { createEdits } from './edits.ts';
import { createFaultLedger } from './fault-ledger.ts';
import type { FaultPlan } from './faults.ts';
import { createHandler } from './handler.ts';
import { hexFor } from './hash.ts';
import { createPopulation } from './population.ts';
import { createStats } from './stats.ts';
import { createTokens } from './tokens.ts';
import type { Retention, World } from './world.ts';

export interface SimulatorOptions {
  /** The port on 127.0.0.1; 0 for a free one. */
  readonly port?: number | undefined;
  /** The number of organizations; default 25. */
  readonly orgs?: number | undefined;
  /** The seed that everything is computed from; default '1'. */
  readonly seed?: string | undefined;
  /** The token with full access; by default made from the seed. */
  readonly token?: string | undefined;
  /** The instance id, 24 hex digits; by default made from the seed. */
  readonly instanceId?: string | undefined;
  /** The delay of every answer of the API. */
  readonly latencyMs?: number | undefined;
  /** The largest page of the organization list, to which larger ones are cut; default 1000. */
  readonly pageSizeMax?: number | undefined;
  /** Whether buckets whose values are all zero are left out; default false. */
  readonly omitZeroDays?: boolean | undefined;
  readonly omitZeroHours?: boolean | undefined;
  /** Whether bodies have start and end; default true. */
  readonly echoWindow?: boolean | undefined;
  /** The number of days whose detail is kept; default 93. */
  readonly detailDays?: number | undefined;
  /** The form of older days; default 'empty': no buckets. */
  readonly retention?: Retention | undefined;
  /** The longest window in days, beyond which the answer is 400; no limit by default. */
  readonly maxRangeDays?: number | undefined;
  /** The simulator's clock, in ms since epoch; default the host's. */
  readonly now?: (() => number) | undefined;
  readonly faults?: FaultPlan | readonly FaultPlan[] | undefined;
  /** Whether organizations have names, ids and byte counts that are valid but unexpected; default false. */
  readonly hostile?: boolean | undefined;
}

export interface Simulator {
  /** The address, `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** Drops the requests in progress and frees the port. */
  close(): Promise<void>;
}

/** Starts a simulated platform on loopback. Rejects if the port is taken or the instance id is not valid. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const seed = options.seed ?? '1';
  const instanceId = options.instanceId ?? hexFor(`${seed}|instance`, 24);
  if (!/^[A-Fa-f\d]{24}$/.test(instanceId)) throw new RangeError(`${instanceId} is not 24 hex digits`);
  const token = options.token ?? `simulated-${hexFor(`${seed}|token`, 32)}`;
  const world = createWorld(seed, instanceId.toLowerCase(), options);
  world.tokens.put(token, { scopes: ['all.Instance'], revoked: false, expiresAtMs: null });
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, createHandler(world));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    instanceId: world.instanceId,
    token,
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}

/**
 * The time that an idle connection stays open: longer than any client keeps one, so that no request
 * meets a closing connection.
 */
const KEEP_ALIVE_MS = 120_000;

function createWorld(seed: string, instanceId: string, options: SimulatorOptions): World {
  const clock = createClock(options.now ?? Date.now);
  const plans = options.faults ?? [];
  return {
    seed,
    instanceId,
    config: {
      latencyMs: options.latencyMs ?? 0,
      requestsPerSecond: null,
      pageSizeMax: options.pageSizeMax ?? 1000,
      omitZeroDays: options.omitZeroDays ?? false,
      omitZeroHours: options.omitZeroHours ?? false,
      echoWindow: options.echoWindow ?? true,
      detailDays: options.detailDays ?? 93,
      retention: options.retention ?? 'empty',
      maxRangeDays: options.maxRangeDays ?? null,
      faults: 'kinds' in plans ? [plans] : plans,
      list: {},
      dateOffsetMs: 0,
      sendsDate: true,
      clockJump: null,
      bias: [],
    },
    clock,
    population: createPopulation(seed, options.orgs ?? 25, options.hostile ?? false),
    edits: createEdits(),
    tokens: createTokens(),
    stats: createStats(),
    ledger: createFaultLedger(),
  };
}
