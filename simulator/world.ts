import type { Edits } from './edits.ts';
import type { Faults } from './faults.ts';
import type { Organizations } from './organizations.ts';
import type { Settings } from './settings.ts';

/** The state of one simulated platform. */
export interface World {
  readonly seed: string;
  /** 24 hex digits in lower case. */
  readonly instanceId: string;
  settings: Settings;
  readonly organizations: Organizations;
  readonly edits: Edits;
  /** Increases with each change that may affect an organization or its usage. */
  version: number;
  /** The scopes of valid tokens. */
  readonly tokens: Map<string, readonly string[]>;
  stats: Stats;
  readonly faults: Faults;
  /** Returns the simulator's time, in ms since epoch. */
  readonly now: () => number;
}

/** Counts requests and responses. */
export class Stats {
  requests = 0;
  /** By action, then by HTTP status, or by the kind of the fault if no status was sent. */
  readonly actions: Record<string, Record<string, number>> = {};
  /** By kind. */
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
