/** Counts of the requests and their answers. */
export interface Stats {
  /**
   * Counts a request. `outcome` is the HTTP status, or the fault's kind if no status was sent; `org` is
   * an organization's number.
   */
  count(action: string, outcome: string, org: number | null): void;
  countFault(kind: string): void;
  begin(): void;
  end(): void;
  snapshot(org: number | null): StatsSnapshot;
  reset(): void;
}

export interface StatsSnapshot {
  readonly requests: number;
  /** The most requests in progress at once. */
  readonly maxInFlight: number;
  /** The number of requests by action, then by outcome. */
  readonly actions: Record<string, Record<string, number>>;
  readonly faults: Record<string, number>;
}

/** Counts by action, a tab, and outcome. */
type Counts = Map<string, number>;

export function createStats(): Stats {
  const total: Counts = new Map();
  const perOrg = new Map<string, Uint32Array>();
  const faults: Counts = new Map();
  let inFlight = 0;
  let maxInFlight = 0;
  return {
    count(action, outcome, org) {
      const key = `${action}\t${outcome}`;
      raise(total, key);
      if (org === null) return;
      const counts = roomFor(org, perOrg.get(key));
      perOrg.set(key, counts);
      counts[org] = (counts[org] ?? 0) + 1;
    },
    countFault: (kind) => raise(faults, kind),
    begin() {
      inFlight++;
      maxInFlight = Math.max(maxInFlight, inFlight);
    },
    end() {
      inFlight--;
    },
    snapshot(org) {
      const counts = org === null ? total : countsOf(org, perOrg);
      return {
        requests: [...counts.values()].reduce((sum, n) => sum + n, 0),
        maxInFlight,
        actions: byAction(counts),
        faults: org === null ? Object.fromEntries(faults) : {},
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

/**
 * Returns counts with room for an organization's number: a map per organization would take a gigabyte
 * for a million of them.
 */
function roomFor(org: number, counts: Uint32Array = new Uint32Array(LEAST_ROOM)): Uint32Array {
  if (org < counts.length) return counts;
  const larger = new Uint32Array(2 ** Math.ceil(Math.log2(org + 1)));
  larger.set(counts);
  return larger;
}

const LEAST_ROOM = 32;

function countsOf(org: number, perOrg: ReadonlyMap<string, Uint32Array>): Counts {
  return new Map(
    [...perOrg].map(([key, counts]) => [key, counts[org] ?? 0] as const).filter(([, n]) => n > 0),
  );
}

function byAction(counts: Counts): Record<string, Record<string, number>> {
  const actions: Record<string, Record<string, number>> = {};
  for (const [key, count] of counts) {
    const [action = '', outcome = ''] = key.split('\t');
    (actions[action] ??= {})[outcome] = count;
  }
  return actions;
}
