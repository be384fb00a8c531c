import { Edits } from './edits.ts';
import { Faults } from './faults.ts';
import { Organizations } from './organizations.ts';
import { createSettings, type Settings, type SettingsInput } from './settings.ts';
import type { TokenGrant } from './tokens.ts';

/** All parts of one simulated platform. */
export interface World {
  readonly seed: string;
  /** The instance id, 24 hex digits in lower case. */
  readonly instanceId: string;
  settings: Settings;
  readonly organizations: Organizations;
  readonly edits: Edits;
  /** Rises with everything that may change an organization or its usage. */
  version: number;
  readonly tokens: Map<string, TokenGrant>;
  readonly stats: Stats;
  readonly faults: Faults;
  /** Returns the simulator's own time, in ms since epoch. */
  readonly now: () => number;
}

export function createWorld(
  identity: Pick<World, 'seed' | 'instanceId'>,
  population: { readonly orgs: number; readonly hostile: boolean; readonly hostNow: () => number },
  settings: SettingsInput,
): World {
  const { orgs, hostile, hostNow } = population;
  const world: World = {
    ...identity,
    settings: createSettings(settings),
    organizations: new Organizations(identity.seed, orgs, hostile),
    edits: new Edits(),
    version: 0,
    tokens: new Map(),
    stats: new Stats(),
    faults: new Faults(identity.seed),
    now: () => hostNow() + world.settings.clock.offsetMs,
  };
  return world;
}

type Counts = Record<string, number>;

/** Counts of the requests and their answers. */
export class Stats {
  requests = 0;
  /** The number of requests by action, then by HTTP status, or by the fault's kind if no status was sent. */
  actions: Record<string, Counts> = {};
  /** The number of faults by kind. */
  faults: Counts = {};

  count(action: string, outcome: string): void {
    this.requests++;
    const outcomes = (this.actions[action] ??= {});
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }

  countFault(kind: string): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
  }

  reset(): void {
    this.requests = 0;
    this.actions = {};
    this.faults = {};
  }
}
