/** The requests that every contender sends for an organization's day, and the numbers it stores. */

export interface Task {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** The day, YYYY-MM-DD. */
  readonly day: string;
  readonly databaseUrl: string;
  readonly concurrency: number;
}

export interface ContenderResult {
  /** The number of requests, including those for the list of organizations. */
  readonly requests: number;
}

type Counts = { readonly counts: readonly Record<string, number>[] };

export type Source = readonly [type: string, source: string, count: number];

const DAY_MS = 86_400_000;
const PER_PAGE = 100;
const HIDDEN = '_actions=false&_links=false&_embedded=false';
const BREAKDOWN = 'payloadCountsBreakdown?resolution=86400000&';

/** The requests of a day except for its sources, with the fields that are read from each answer. */
const COUNTERS: readonly (readonly [path: string, fields: readonly string[]])[] = [
  ['deviceCounts?', ['created', 'deleted', 'total']],
  ['notebookMinuteCounts?', ['minutes', 'completed', 'canceled', 'errored', 'timeout']],
  [BREAKDOWN, ['value']],
  [`${BREAKDOWN}includeNonBillable=true&`, ['value']],
  [`${BREAKDOWN}asBytes=true&includeNonBillable=true&`, ['value']],
];

/** The columns of `usage_days` beside its key, in the order of `readDay`. */
export const COLUMNS = [
  ...['devices_created', 'devices_deleted', 'devices_total', 'notebook_minutes', 'notebook_completed'],
  ...['notebook_canceled', 'notebook_errored', 'notebook_timeout', 'payload_billable_count'],
  ...['payload_all_count', 'payload_all_bytes', 'payload_source_count'],
];

export const CREATE_TABLES = `
  create table if not exists usage_days (usage_date date, org_id text,
    ${COLUMNS.map((column) => `${column} bigint`).join(', ')}, primary key (usage_date, org_id));
  create table if not exists payload_sources (usage_date date, org_id text, payload_type text, source text,
    count bigint, primary key (usage_date, org_id, payload_type, source))`;

/** Returns the task given on the command line. */
export function readTask(): Task {
  return JSON.parse(process.argv[2] ?? '') as Task;
}

export function headersOf({ token }: Task): Record<string, string> {
  return { authorization: `Bearer ${token}`, accept: 'application/json' };
}

/** Returns the paths of an organization's day, in the order of the answers that `readDay` takes. */
export function pathsOf({ instanceId, day }: Task, orgId: string): string[] {
  const start = Date.parse(day);
  const window = `start=${start}&end=${start + DAY_MS - 1}&${HIDDEN}`;
  const actions = [...COUNTERS.map(([action]) => action), 'payloadCounts?'];
  return actions.map((action) => `/instances/${instanceId}/orgs/${orgId}/${action}${window}`);
}

/** Reads the answers without checking them. */
export function readDay(answers: readonly unknown[]): { numbers: number[]; sources: Source[] } {
  const numbers = COUNTERS.flatMap(([, fields], index) =>
    fields.map((field) => (answers[index] as Counts).counts[0]?.[field] ?? 0),
  );
  const byType = answers.at(-1) as Record<string, Record<string, number>>;
  const sources = Object.entries(byType)
    .filter(([type]) => !type.startsWith('_'))
    .flatMap(([type, counts]) =>
      Object.entries(counts).map(([source, count]): Source => [type, source, count]),
    );
  return { numbers: [...numbers, sources.reduce((sum, [, , count]) => sum + count, 0)], sources };
}

/** Returns the ids of all organizations, read page by page. */
export async function listOrgIds(task: Task, get: (path: string) => Promise<unknown>): Promise<string[]> {
  const orgIds: string[] = [];
  for (let page = 0; ; page += 1) {
    const path = `/instances/${task.instanceId}/orgs?page=${page}&perPage=${PER_PAGE}&sortField=id&${HIDDEN}`;
    const { items, totalCount } = (await get(path)) as { items: { id: string }[]; totalCount: number };
    orgIds.push(...items.map(({ id }) => id.toLowerCase()));
    if (items.length === 0 || orgIds.length >= totalCount) return orgIds;
  }
}
