import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Edits } from './edits.ts';
import { Faults } from './faults.ts';
import { createHandler } from './handler.ts';
import { toHex } from './hash.ts';
import { Organizations } from './organizations.ts';
import { type SettingsInput, settings } from './settings.ts';
import { Stats, type World } from './world.ts';

/** The initial settings, and options that cannot change later. */
export interface SimulatorOptions extends SettingsInput {
  /** The port on 127.0.0.1; by default 0, which picks a free port. */
  readonly port?: number | undefined;
  /** The number of organizations; 25 by default. */
  readonly orgs?: number | undefined;
  /** The seed that everything is computed from; '1' by default. */
  readonly seed?: string | undefined;
  /** The token with full access; derived from the seed by default. */
  readonly token?: string | undefined;
  /** The instance ID, 24 hex digits; derived from the seed by default. */
  readonly instanceId?: string | undefined;
  /** The host's time, in ms since epoch. */
  readonly now?: (() => number) | undefined;
  /** Whether organizations have names, IDs and byte counts that are valid but unusual; false by default. */
  readonly hostile?: boolean | undefined;
}

export interface Simulator {
  /** The address, `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** Ends open requests and releases the port. */
  close(): Promise<void>;
}

/** Longer than any client keeps an idle connection, so that no request meets a closing connection. */
const KEEP_ALIVE_MS = 120_000;

/** Starts a simulated platform on loopback. Rejects if the port is in use or the instance ID is invalid. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port, orgs = 25, seed = '1', token, instanceId, now = Date.now, hostile, ...input } = options;
  const key = token ?? `simulated-${toHex(`${seed}|token`, 32)}`;
  const world: World = {
    seed,
    instanceId: (instanceId ?? toHex(`${seed}|instance`, 24)).toLowerCase(),
    settings: settings.parse(input),
    organizations: new Organizations(seed, orgs, hostile ?? false),
    edits: new Edits(),
    version: 0,
    tokens: new Map([[key, ['all.Instance']]]),
    stats: new Stats(),
    faults: new Faults(seed),
    now: () => now() + world.settings.clock.offsetMs,
  };
  if (!/^[a-f\d]{24}$/.test(world.instanceId)) throw new RangeError(`${instanceId} is not 24 hex digits`);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, createHandler(world));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port ?? 0, '127.0.0.1', resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    instanceId: world.instanceId,
    token: key,
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}
