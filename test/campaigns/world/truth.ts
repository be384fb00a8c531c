/**
 * The truth of the simulated platform, from its control routes. The checker compares what the reader sees with it; it
 * shares no code with the program.
 */
import type { Platform } from '../../simulator/platform.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
export const dayEndMs = (day: string) => Date.parse(day) + DAY_MS;

/** The columns with the numbers of a stream, by the platform's names. */
export const COLUMNS = {
  device_counts: { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' },
  notebook_minutes: {
    minutes: 'notebook_minutes',
    completed: 'notebook_completed',
    canceled: 'notebook_canceled',
    errored: 'notebook_errored',
    timeout: 'notebook_timeout',
  },
  payload_sources: { sum: 'payload_source_count' },
  payload_totals: {
    billable_count: 'payload_billable_count',
    all_count: 'payload_all_count',
    all_bytes: 'payload_all_bytes',
  },
} as const;
export type StreamName = keyof typeof COLUMNS;
export const STREAMS = Object.keys(COLUMNS) as StreamName[];

/** The numbers of a cell: one per column, and for sources another one per type and source. */
export type Numbers = Readonly<Record<string, number>>;

export interface Cell {
  readonly orgId: string;
  readonly stream: StreamName;
  readonly day: string;
}
export const cellName = ({ stream, orgId, day }: Cell) => `${stream} ${orgId} ${day}`;
export const sourceKey = (type: string, source: string) => `payload_sources ${type} ${source}`;

export interface Version {
  readonly numbers: Numbers;
  /** The columns that responses omit; for sources all of them or none. */
  readonly omitted: readonly string[];
}

interface RawDay {
  readonly day: string;
  readonly complete: boolean;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
  readonly omitted: Readonly<Record<StreamName, boolean>>;
  readonly omitted_totals: readonly ('billable_count' | 'all_count' | 'all_bytes')[];
}

function toVersion(day: RawDay, stream: StreamName): Version {
  const all = Object.values(COLUMNS[stream]);
  const omitted = stream === 'payload_totals' ? day.omitted_totals.map((word) => COLUMNS[stream][word]) : [];
  if (stream !== 'payload_sources') {
    const counts = (day as unknown as Record<StreamName, Numbers>)[stream];
    const named = Object.entries(COLUMNS[stream]).map(([word, column]) => [column, Number(counts[word])]);
    return { numbers: Object.fromEntries(named) as Numbers, omitted: day.omitted[stream] ? all : omitted };
  }
  const sources = day.payload_sources.map((row) => [sourceKey(row.payload_type, row.source), row.count]);
  const sum = day.payload_sources.reduce((total, { count }) => total + Number(count), 0);
  const numbers = { payload_source_count: sum, ...(Object.fromEntries(sources) as Numbers) };
  return { numbers, omitted: day.omitted.payload_sources ? all : [] };
}

const STREAM_OF: Readonly<Record<string, StreamName>> = {
  'instanceOrg.deviceCounts': 'device_counts',
  'instanceOrg.notebookMinuteCounts': 'notebook_minutes',
  'instanceOrg.payloadCounts': 'payload_sources',
  'instanceOrg.payloadCountsBreakdown': 'payload_totals',
};

export interface TruthOrg {
  readonly orgId: string;
  readonly deleted: boolean;
  readonly createdDay: string;
}

/** The difference of two clocks that the program tolerates. */
export const SKEW_MS = 31_000;

/** Every version of every cell on the platform with its time, which tells what it could report when. */
export class TruthBook {
  readonly #platform: Platform;
  readonly #versions = new Map<string, { readonly startMs: number; readonly version: Version }[]>();
  /** The times at which a fault has omitted a cell, by name. */
  readonly #faults = new Map<string, number[]>();
  #faultsRead = 0;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Returns all organizations, also deleted ones. */
  async orgs(): Promise<TruthOrg[]> {
    return ((await this.#platform.control('orgs')) as { orgs: TruthOrg[] }).orgs;
  }

  /** Records the current numbers of days that have ended, of every existing organization or of one. */
  async record(atMs: number, { from, to }: { from: string; to: string }, onlyOrg?: string): Promise<void> {
    const which = onlyOrg === undefined ? 'perPage=1000' : `orgId=${onlyOrg}`;
    const response = await this.#platform.control(`truth?from=${from}&to=${to}&${which}`);
    const { orgs } = response as { orgs: { orgId: string; days: RawDay[] }[] };
    for (const { orgId, days } of orgs) {
      for (const day of days.filter(({ complete }) => complete)) {
        for (const stream of STREAMS) this.#add({ orgId, stream, day: day.day }, toVersion(day, stream), atMs);
      }
    }
  }

  #add(cell: Cell, version: Version, startMs: number): void {
    const versions = this.#versions.get(cellName(cell)) ?? [];
    if (JSON.stringify(versions.at(-1)?.version) === JSON.stringify(version)) return;
    this.#versions.set(cellName(cell), [...versions, { startMs, version }]);
  }

  /** Records which buckets faults have omitted from responses since the last call. */
  async recordFaults(): Promise<void> {
    const response = await this.#platform.control('faults?kind=missing_bucket');
    const { faults } = response as { faults: { at: string; orgId: string; action: string; day: string }[] };
    for (const { at, orgId, action, day } of faults.slice(this.#faultsRead)) {
      const key = `${STREAM_OF[action]} ${orgId} ${day}`;
      this.#faults.set(key, [...(this.#faults.get(key) ?? []), Date.parse(at)]);
    }
    this.#faultsRead = faults.length;
  }

  /** Returns the versions of a cell that a response to a request of this time can have. */
  at(cell: Cell, atMs: number): readonly Version[] {
    const versions = this.#versions.get(cellName(cell)) ?? [];
    const isOmitted = this.#faults.get(cellName(cell))?.some((each) => Math.abs(each - atMs) <= SKEW_MS) ?? false;
    return versions
      .filter(({ startMs }, index) => {
        const endMs = versions[index + 1]?.startMs ?? Number.POSITIVE_INFINITY;
        return (index === 0 || startMs <= atMs + SKEW_MS) && endMs >= atMs - SKEW_MS;
      })
      .flatMap(({ version }) => [version, ...(isOmitted ? this.#omitParts(cell, version) : [])]);
  }

  /** Returns the version with each part omitted that a fault may have omitted: each total is a request of its own. */
  #omitParts({ stream }: Cell, version: Version): readonly Version[] {
    const columns = Object.values(COLUMNS[stream]);
    const subsets = columns.reduce<string[][]>(
      (sets, column) => [...sets, ...sets.map((set) => [...set, column])],
      [[]],
    );
    const parts = stream === 'payload_totals' ? subsets : [columns];
    return parts.map((part) => ({ ...version, omitted: [...new Set([...version.omitted, ...part])] }));
  }

  current(cell: Cell): Version | undefined {
    return this.#versions.get(cellName(cell))?.at(-1)?.version;
  }
}
