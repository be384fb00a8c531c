/**
 * What the simulated platforms say of themselves, by their control routes. Shares no code with the program: it is what
 * the program's tables are held against.
 */
import type { Platform } from '../../simulator/platform.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
export const endOf = (day: string) => Date.parse(day) + DAY_MS;

/** The columns of `usage_days` that have a stream's numbers, by the source's words. */
export const COLUMNS = {
  device_counts: { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' },
  notebook_minutes: {
    minutes: 'notebook_minutes',
    completed: 'notebook_completed',
    canceled: 'notebook_canceled',
    errored: 'notebook_errored',
    timeout: 'notebook_timeout',
  },
  payload_sources: { sum: 'payload_source_count', sources: 'payload_sources' },
  payload_totals: {
    billable_count: 'payload_billable_count',
    all_count: 'payload_all_count',
    all_bytes: 'payload_all_bytes',
  },
} as const;
export type StreamName = keyof typeof COLUMNS;
export const STREAMS = Object.keys(COLUMNS) as StreamName[];

/** The numbers of a cell, one for each column, and of sources one more for each type and source. */
export type Numbers = Readonly<Record<string, number>>;

export interface Cell {
  readonly orgId: string;
  readonly stream: StreamName;
  readonly day: string;
}
export const nameOf = ({ stream, orgId, day }: Cell) => `${stream} ${orgId} ${day}`;

/** Returns the numbers under the names of their columns, each key of a map of maps after its column's. */
export function flatten(value: unknown, prefix = ''): Numbers {
  if (typeof value !== 'object' || value === null) return { [prefix]: Number(value) };
  const parts = Object.entries(value).map(([key, part]) =>
    flatten(part, prefix === '' ? key : `${prefix} ${key}`),
  );
  return Object.assign({}, ...parts) as Numbers;
}

/** One version of a day's cell as Losant has it. */
export interface Version {
  readonly numbers: Numbers;
  /** The columns that answers leave out; for sources all of them or none. */
  readonly omitted: readonly string[];
}

interface RawDay {
  readonly day: string;
  readonly complete: boolean;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
  readonly omitted: Readonly<Record<StreamName, boolean>>;
  readonly omitted_totals: readonly ('billable_count' | 'all_count' | 'all_bytes')[];
}

function versionOf(day: RawDay, stream: StreamName): Version {
  const all = Object.values(COLUMNS[stream]);
  const omitted = stream === 'payload_totals' ? day.omitted_totals.map((word) => COLUMNS[stream][word]) : [];
  if (stream !== 'payload_sources') {
    const counts = (day as unknown as Record<StreamName, Numbers>)[stream];
    const named = Object.entries(COLUMNS[stream]).map(([word, column]) => [column, Number(counts[word])]);
    return { numbers: Object.fromEntries(named) as Numbers, omitted: day.omitted[stream] ? all : omitted };
  }
  const sources = day.payload_sources.map((row) => [
    `payload_sources ${row.payload_type} ${row.source}`,
    row.count,
  ]);
  const sum = day.payload_sources.reduce((total, { count }) => total + Number(count), 0);
  const numbers = { payload_source_count: sum, ...(Object.fromEntries(sources) as Numbers) };
  return { numbers, omitted: day.omitted.payload_sources ? all : [] };
}

/** The actions of the API that answer for a stream. */
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
  /** The instance that has it, or had it last. */
  readonly instanceId: string;
}

/** How far apart two times may be that are the same moment: by so much the program takes two clocks for one. */
export const SKEW_MS = 31_000;

/** Every version of every number that the platforms had, with its time: what they can have answered when. */
export class TruthBook {
  readonly #platforms: readonly Platform[];
  readonly #versions = new Map<string, { readonly sinceMs: number; readonly version: Version }[]>();
  readonly #faults = new Map<string, number[]>();
  #faultsRead = 0;

  constructor(platforms: readonly Platform[]) {
    this.#platforms = platforms;
  }

  /** Returns the organizations of all platforms; one that has moved is that of the platform on which it lives. */
  async orgs(): Promise<TruthOrg[]> {
    const found = new Map<string, TruthOrg>();
    for (const platform of this.#platforms) {
      const { instanceId } = platform;
      const { orgs } = (await platform.control('orgs')) as { orgs: TruthOrg[] };
      for (const { orgId, deleted, createdDay } of orgs) {
        if (!deleted || !found.has(orgId)) found.set(orgId, { orgId, deleted, createdDay, instanceId });
      }
    }
    return [...found.values()];
  }

  /** Writes down the present numbers of days that are over, of every organization or of one. */
  async note(atMs: number, { from, to }: { from: string; to: string }, onlyOrg?: string): Promise<void> {
    for (const { orgId, instanceId, deleted } of await this.orgs()) {
      if (deleted || orgId !== (onlyOrg ?? orgId)) continue;
      const platform = this.#platforms.find((each) => each.instanceId === instanceId);
      const answer = await platform?.control(`truth?from=${from}&to=${to}&orgId=${orgId}`);
      const { orgs } = answer as { orgs: { days: RawDay[] }[] };
      for (const day of orgs[0]?.days.filter(({ complete }) => complete) ?? []) {
        for (const stream of STREAMS)
          this.#add({ orgId, stream, day: day.day }, versionOf(day, stream), atMs);
      }
    }
  }

  #add(cell: Cell, version: Version, sinceMs: number): void {
    const known = this.#versions.get(nameOf(cell)) ?? [];
    if (JSON.stringify(known.at(-1)?.version) === JSON.stringify(version)) return;
    this.#versions.set(nameOf(cell), [...known, { sinceMs, version }]);
  }

  /** Writes down which buckets faults have left out of answers since the last time. */
  async noteFaults(): Promise<void> {
    const answer = await this.#platforms[0]?.control('faults?kind=missing_bucket');
    const { faults } = answer as { faults: { at: string; orgId: string; action: string; day: string }[] };
    for (const { at, orgId, action, day } of faults.slice(this.#faultsRead)) {
      const key = `${STREAM_OF[action]} ${orgId} ${day}`;
      this.#faults.set(key, [...(this.#faults.get(key) ?? []), Date.parse(at)]);
    }
    this.#faultsRead = faults.length;
  }

  /** Returns the versions of a cell that an answer to a request of this time may have. */
  at(cell: Cell, atMs: number): readonly Version[] {
    const versions = this.#versions.get(nameOf(cell)) ?? [];
    const isLeftOut =
      this.#faults.get(nameOf(cell))?.some((each) => Math.abs(each - atMs) <= SKEW_MS) ?? false;
    return versions
      .filter(({ sinceMs }, index) => {
        const untilMs = versions[index + 1]?.sinceMs ?? Number.POSITIVE_INFINITY;
        return (index === 0 || sinceMs <= atMs + SKEW_MS) && untilMs >= atMs - SKEW_MS;
      })
      .map(({ version }) =>
        isLeftOut ? { ...version, omitted: Object.values(COLUMNS[cell.stream]) } : version,
      );
  }

  /** Returns the present version. */
  now(cell: Cell): Version | undefined {
    return this.#versions.get(nameOf(cell))?.at(-1)?.version;
  }
}
