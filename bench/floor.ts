/**
 * The floor under any loader: requests with plain undici dispatch, whose bodies are only parsed, and batches that are
 * stored meanwhile, into a table with the program's indexes and one for sources. It has no checks, retries, ledger or
 * history. Argument: a FloorTask as JSON.
 */
import pg from 'pg';
import { Pool } from 'undici';

export interface FloorTask {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** YYYY-MM-DD. */
  readonly day: string;
  readonly databaseUrl: string;
  readonly concurrency: number;
}

/** The numbers of an organization's day, in the order of `COLUMNS`, and its payloads by source. */
interface OrgDay {
  readonly orgId: string;
  readonly numbers: readonly number[];
  readonly sources: readonly (readonly [type: string, source: string, count: number])[];
}

type Counts = { readonly counts: readonly Record<string, number>[] };

const DAY_MS = 86_400_000;
const PER_PAGE = 100;
const HIDDEN = '_actions=false&_links=false&_embedded=false';
const BREAKDOWN = 'payloadCountsBreakdown?resolution=86400000&';

/** The requests for a day except its sources, with the fields of each response. */
const COUNTERS: readonly (readonly [path: string, fields: readonly string[]])[] = [
  ['deviceCounts?', ['created', 'deleted', 'total']],
  ['notebookMinuteCounts?', ['minutes', 'completed', 'canceled', 'errored', 'timeout']],
  [BREAKDOWN, ['value']],
  [`${BREAKDOWN}includeNonBillable=true&`, ['value']],
  [`${BREAKDOWN}asBytes=true&includeNonBillable=true&`, ['value']],
];

/** The columns of `usage_days` except its key. */
const COLUMNS = [
  'devices_created',
  'devices_deleted',
  'devices_total',
  'notebook_minutes',
  'notebook_completed',
  'notebook_canceled',
  'notebook_errored',
  'notebook_timeout',
  'payload_billable_count',
  'payload_all_count',
  'payload_all_bytes',
  'payload_source_count',
];

const task = JSON.parse(process.argv[2] ?? '') as FloorTask;

const headers = { authorization: `Bearer ${task.token}`, accept: 'application/json' };

const http = new Pool(task.url, { connections: task.concurrency, pipelining: 1 });
const client = new pg.Client({ connectionString: task.databaseUrl });
let requests = 0;

function get(path: string): Promise<unknown> {
  requests += 1;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const chunks: Buffer[] = [];
  http.dispatch(
    { method: 'GET', path, headers },
    {
      onRequestStart: () => {},
      onResponseStart: (_, status) => {
        if (status !== 200) reject(new Error(`HTTP ${status} for ${path}`));
      },
      onResponseData: (_, chunk) => chunks.push(chunk),
      onResponseEnd: () => resolve(JSON.parse(Buffer.concat(chunks).toString())),
      onResponseError: (_, error) => reject(error),
    },
  );
  return promise;
}

/** Requests the day of every organization, `concurrency` at a time, and passes each to `store`. */
async function readDays(store: (day: OrgDay) => void): Promise<void> {
  const orgIds = (await listOrgIds()).values();
  const work = async () => {
    for (const orgId of orgIds) {
      const responses: unknown[] = [];
      for (const path of listPaths(orgId)) responses.push(await get(path));
      store({ orgId, ...readResponses(responses) });
    }
  };
  await Promise.all(Array.from({ length: task.concurrency }, work));
}

/** Stores days with one statement per table. */
async function storeDays(days: readonly OrgDay[]): Promise<void> {
  const columns = ['usage_date', 'org_id', ...COLUMNS];
  const arrays = columns.map((_, index) => `$${index + 1}::${['date', 'text'][index] ?? 'bigint'}[]`);
  const sets = COLUMNS.map((column) => `${column} = excluded.${column}`);
  await client.query(
    `insert into usage_days (${columns.join(', ')}) select * from unnest(${arrays.join(', ')})
     on conflict (usage_date, org_id) do update set ${sets.join(', ')}`,
    [
      days.map(() => task.day),
      days.map(({ orgId }) => orgId),
      ...COLUMNS.map((_, index) => days.map(({ numbers }) => numbers[index])),
    ],
  );
  const rows = days.flatMap(({ orgId, sources }) => sources.map((source) => [task.day, orgId, ...source]));
  await client.query(
    `insert into payload_sources (usage_date, org_id, payload_type, source, count)
     select * from unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bigint[])
     on conflict (usage_date, org_id, payload_type, source) do update set count = excluded.count`,
    [0, 1, 2, 3, 4].map((column) => rows.map((row) => row[column])),
  );
}

function listPaths(orgId: string): string[] {
  const start = Date.parse(task.day);
  const range = `start=${start}&end=${start + DAY_MS - 1}&${HIDDEN}`;
  const actions = [...COUNTERS.map(([action]) => action), 'payloadCounts?'];
  return actions.map((action) => `/instances/${task.instanceId}/orgs/${orgId}/${action}${range}`);
}

/** Reads the responses without checking them. */
function readResponses(responses: readonly unknown[]): Omit<OrgDay, 'orgId'> {
  const numbers = COUNTERS.flatMap(([, fields], index) =>
    fields.map((field) => (responses[index] as Counts).counts[0]?.[field] ?? 0),
  );
  const byType = responses.at(-1) as Record<string, Record<string, number>>;
  const sources = Object.entries(byType)
    .filter(([type]) => !type.startsWith('_'))
    .flatMap(([type, counts]) => Object.entries(counts).map(([source, count]) => [type, source, count] as const));
  return { numbers: [...numbers, sources.reduce((sum, [, , count]) => sum + count, 0)], sources };
}

async function listOrgIds(): Promise<string[]> {
  const orgIds: string[] = [];
  for (let page = 0; ; page += 1) {
    const path = `/instances/${task.instanceId}/orgs?page=${page}&perPage=${PER_PAGE}&sortField=id&${HIDDEN}`;
    const { items, totalCount } = (await get(path)) as { items: { id: string }[]; totalCount: number };
    orgIds.push(...items.map(({ id }) => id.toLowerCase()));
    if (items.length === 0 || orgIds.length >= totalCount) return orgIds;
  }
}

const BATCH_ORGS = 400;

await client.connect();
await client.query(`
  create table usage_days (like losant_usage.usage_days
    including defaults including generated including indexes);
  create table payload_sources (usage_date date not null, org_id text collate "C" not null,
    payload_type text collate "C" not null, source text collate "C" not null, count bigint not null, primary key (usage_date, org_id, payload_type, source))`);
let batch: OrgDay[] = [];
let stored = Promise.resolve();
const storeBatch = () => {
  const days = batch;
  batch = [];
  stored = stored.then(() => storeDays(days));
};
await readDays((day) => {
  batch.push(day);
  if (batch.length === BATCH_ORGS) storeBatch();
});
storeBatch();
await Promise.all([stored, http.close()]);
await client.end();
process.stdout.write(JSON.stringify({ requests }));
