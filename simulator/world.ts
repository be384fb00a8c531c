import type { Edits } from './edits.ts';
import type { Faults } from './faults.ts';
import type { Organizations } from './organizations.ts';
import type { Settings } from './settings.ts';

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
  /** The scopes of the tokens that are valid. */
  readonly tokens: Map<string, readonly string[]>;
  stats: Stats;
  readonly faults: Faults;
  /** Returns the simulator's own time, in ms since epoch. */
  readonly now: () => number;
}

/** Counts of the requests and their answers. */
export class Stats {
  requests = 0;
  /** The number of requests by action, then by HTTP status, or by the fault's kind if no status was sent. */
  readonly actions: Record<string, Record<string, number>> = {};
  /** The number of faults by kind. */
  readonly faults: Record<string, number> = {};

  count(action: string, outcome: string): void {
    this.requests++;
    const outcomes = (this.actions[action] ??= {});
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }

  countFault(kind: string): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
  }
}
