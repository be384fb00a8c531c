/** Counts of what was asked and how it was answered. */
export interface Stats {
  /** `outcome` is the HTTP status, or the fault's kind when no status was sent. */
  count(action: string, outcome: string, orgKey: string | null): void;
  countFault(kind: string): void;
  begin(): void;
  end(): void;
  snapshot(orgKey: string | null): StatsSnapshot;
  reset(): void;
}

export interface StatsSnapshot {
  readonly requests: number;
  /** Most requests in progress at once. */
  readonly maxInFlight: number;
  /** By action, then by outcome. */
  readonly actions: Record<string, Record<string, number>>;
  readonly faults: Record<string, number>;
}

/** By action, a tab, and outcome. */
type Counts = Map<string, number>;

export function createStats(): Stats {
  const total: Counts = new Map();
  const perOrg = new Map<string, Counts>();
  const faults: Counts = new Map();
  let inFlight = 0;
  let maxInFlight = 0;
  return {
    count(action, outcome, orgKey) {
      const key = `${action}\t${outcome}`;
      raise(total, key);
      if (orgKey === null) return;
      const counts = perOrg.get(orgKey) ?? new Map<string, number>();
      perOrg.set(orgKey, counts);
      raise(counts, key);
    },
    countFault: (kind) => raise(faults, kind),
    begin() {
      inFlight++;
      maxInFlight = Math.max(maxInFlight, inFlight);
    },
    end() {
      inFlight--;
    },
    snapshot(orgKey) {
      const counts = orgKey === null ? total : (perOrg.get(orgKey) ?? new Map<string, number>());
      return {
        requests: [...counts.values()].reduce((sum, n) => sum + n, 0),
        maxInFlight,
        actions: byAction(counts),
        faults: orgKey === null ? Object.fromEntries(faults) : {},
      };
    },
    reset() {
      total.clear();
      perOrg.clear();
      faults.clear();
      maxInFlight = inFlight;
    },
  };
}

function raise(counts: Counts, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function byAction(counts: Counts): Record<string, Record<string, number>> {
  const actions: Record<string, Record<string, number>> = {};
  for (const [key, count] of counts) {
    const [action = '', outcome = ''] = key.split('\t');
    (actions[action] ??= {})[outcome] = count;
  }
  return actions;
}
