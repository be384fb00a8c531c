/**
 * What the platform says of itself, by its control routes and over HTTP. Shares no
 * code with the program: it is what the program's tables are held against.
 */
export const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'] as const;
export type StreamName = (typeof STREAMS)[number];

/** The columns of usage_days that hold a stream's numbers, by the source's words. */
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

export interface TruthDay {
  readonly day: string;
  readonly device_counts: Readonly<Record<string, number>>;
  readonly notebook_minutes: Readonly<Record<string, number>>;
  readonly payload_totals: Readonly<Record<string, number>>;
  readonly payload_sources: readonly { payload_type: string; source: string; count: number }[];
  /** Streams whose answer leaves the day out. */
  readonly omitted: Readonly<Record<StreamName, boolean>>;
  readonly omitted_totals: readonly string[];
}

export interface TruthOrg {
  readonly orgId: string;
  readonly deleted: boolean;
  readonly createdDay: string;
}

/** Every version of every number that the platform had while somebody looked. */
export interface TruthBook {
  /** Writes down the present numbers of these days, of every organization or of one. */
  note(from: string, to: string, onlyOrg?: string): Promise<void>;
  /** All versions of a day so far, the present one last. */
  versions(orgId: string, day: string): readonly TruthDay[];
  orgs(): Promise<readonly TruthOrg[]>;
}

export function openTruthBook(url: string): TruthBook {
  const book = new Map<string, TruthDay[]>();
  const read = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${url}/control/${path}`);
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  };
  const orgs = async () => (await read<{ orgs: TruthOrg[] }>('orgs')).orgs;
  return {
    orgs,
    versions: (orgId, day) => book.get(`${orgId} ${day}`) ?? [],
    async note(from, to, onlyOrg) {
      const orgIds = onlyOrg === undefined ? (await orgs()).map(({ orgId }) => orgId) : [onlyOrg];
      for (const orgId of orgIds) {
        const answer = await read<{ orgs: { days: TruthDay[] }[] }>(
          `truth?orgId=${orgId}&from=${from}&to=${to}`,
        );
        for (const day of answer.orgs[0]?.days ?? []) {
          const key = `${orgId} ${day.day}`;
          const known = book.get(key) ?? [];
          if (JSON.stringify(known.at(-1)) !== JSON.stringify(day)) book.set(key, [...known, day]);
        }
      }
    },
  };
}
