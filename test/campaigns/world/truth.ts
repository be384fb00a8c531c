/**
 * What the platform says of itself, by its control routes and over HTTP. Shares no code with the
 * program: it is what the program's tables are held against.
 */
import type { Platform } from '../../simulator/platform.ts';

export const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'] as const;
export type StreamName = (typeof STREAMS)[number];

/** The columns of usage_days that have a stream's numbers, by the source's words. */
export const NUMBERS = {
  device_counts: { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' },
  notebook_minutes: {
    ...{ minutes: 'notebook_minutes', completed: 'notebook_completed', canceled: 'notebook_canceled' },
    ...{ errored: 'notebook_errored', timeout: 'notebook_timeout' },
  },
  payload_totals: {
    ...{ billable_count: 'payload_billable_count', all_count: 'payload_all_count' },
    all_bytes: 'payload_all_bytes',
  },
} as const;

/** The actions of the API that answer for a stream. */
const STREAM_OF: Readonly<Record<string, StreamName>> = {
  'instanceOrg.deviceCounts': 'device_counts',
  'instanceOrg.notebookMinuteCounts': 'notebook_minutes',
  'instanceOrg.payloadCounts': 'payload_sources',
  'instanceOrg.payloadCountsBreakdown': 'payload_totals',
};

export interface TruthDay {
  readonly day: string;
  readonly device_counts: Readonly<Record<string, number>>;
  readonly notebook_minutes: Readonly<Record<string, number>>;
  readonly payload_totals: Readonly<Record<string, number>>;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
  /** The streams whose answer leaves the day out. */
  readonly omitted: Readonly<Record<StreamName, boolean>>;
  readonly omitted_totals: readonly string[];
}

export interface TruthOrg {
  readonly orgId: string;
  readonly deleted: boolean;
  readonly createdDay: string;
}

/** How far apart two times may be that are the same moment: by so much the program takes two clocks for one. */
export const SKEW_MS = 31_000;

/** Every version of every number that the platform had, with its time: what it can have answered when. */
export interface TruthBook {
  /** Writes down the present numbers of days that are over, of every organization or of one. */
  note(atMs: number, days: { readonly from: string; readonly to: string }, onlyOrg?: string): Promise<void>;
  /** Writes down which buckets faults have left out of answers since the last time. */
  noteFaults(): Promise<void>;
  /** Returns the versions of a day that an answer to a request of this time may have. */
  at(orgId: string, day: string, atMs: number): readonly TruthDay[];
  /** Returns the present version. */
  now(orgId: string, day: string): TruthDay | undefined;
  /** Whether a fault left the day out of an answer at this time. */
  isLeftOut(
    cell: { readonly orgId: string; readonly stream: string; readonly day: string },
    atMs: number,
  ): boolean;
  orgs(): Promise<readonly TruthOrg[]>;
}

interface Version {
  readonly sinceMs: number;
  readonly truth: TruthDay;
}

export function openTruthBook(platform: Pick<Platform, 'control'>): TruthBook {
  const control = (path: string) => platform.control(path);
  const book = new Map<string, Version[]>();
  const leftOut = new Map<string, number[]>();
  let faultsRead = 0;
  return {
    orgs: async () => ((await control('orgs')) as { orgs: TruthOrg[] }).orgs,
    at(orgId, day, atMs) {
      const versions = book.get(`${orgId} ${day}`) ?? [];
      const isAt = (_: Version, index: number) => {
        const [since, until] = [versions[index]?.sinceMs, versions[index + 1]?.sinceMs];
        return (index === 0 || (since ?? 0) <= atMs + SKEW_MS) && (until ?? Infinity) >= atMs - SKEW_MS;
      };
      return versions.filter(isAt).map(({ truth }) => truth);
    },
    now: (orgId, day) => book.get(`${orgId} ${day}`)?.at(-1)?.truth,
    isLeftOut: ({ orgId, stream, day }, atMs) =>
      (leftOut.get(`${orgId} ${stream} ${day}`) ?? []).some((each) => Math.abs(each - atMs) <= SKEW_MS),
    async note(atMs, { from, to }, onlyOrg) {
      const path = `truth?from=${from}&to=${to}${onlyOrg === undefined ? '' : `&orgId=${onlyOrg}`}`;
      const { orgs } = (await control(path)) as { orgs: { orgId: string; days: Raw[] }[] };
      for (const { orgId, days } of orgs) {
        for (const { complete, retained: _, restated: __, ...truth } of days) {
          if (!complete) continue;
          const key = `${orgId} ${truth.day}`;
          const known = book.get(key) ?? [];
          const isNew = JSON.stringify(known.at(-1)?.truth) !== JSON.stringify(truth);
          if (isNew) book.set(key, [...known, { sinceMs: atMs, truth }]);
        }
      }
    },
    async noteFaults() {
      const { faults } = (await control('faults?kind=missing_bucket')) as { faults: Fault[] };
      for (const { at, orgId, action, day } of faults.slice(faultsRead)) {
        const key = `${orgId} ${STREAM_OF[action]} ${day}`;
        leftOut.set(key, [...(leftOut.get(key) ?? []), Date.parse(at)]);
      }
      faultsRead = faults.length;
    },
  };
}

type Raw = TruthDay & { readonly complete: boolean; readonly retained: boolean; readonly restated: unknown };

interface Fault {
  readonly at: string;
  readonly orgId: string;
  readonly action: string;
  readonly day: string;
}
