/**
 * The floor that any export stands on, as a process to be measured: the usage
 * requests of one day sent by bare undici dispatch, bodies parsed and nothing
 * else, and their rows stored by one statement per table at the end.
 * Argument: a FloorTask as JSON; prints a FloorResult.
 */
import pg from 'pg';
import { Pool } from 'undici';

export interface FloorTask {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** YYYY-MM-DD */
  readonly day: string;
  readonly concurrency: number;
  /** Holds the organizations; gets tables of its own in schema `floor`. */
  readonly databaseUrl: string;
}

export interface FloorResult {
  readonly requests: number;
  readonly rows: number;
  readonly durationMs: number;
}

type Row = readonly (string | number)[];

interface Table {
  readonly name: string;
  readonly columns: readonly string[];
  readonly types: readonly string[];
  readonly keys: readonly string[];
}

const DAY_MS = 86_400_000;
const hidden = '_actions=false&_links=false&_embedded=false';
const breakdown = 'payloadCountsBreakdown?resolution=86400000&';

/** The requests of an organization's day, in the order of the columns they fill. */
const PATHS = [
  'deviceCounts?',
  'notebookMinuteCounts?',
  breakdown,
  `${breakdown}includeNonBillable=true&`,
  `${breakdown}asBytes=true&includeNonBillable=true&`,
  'payloadCounts?',
];
const FIELDS = [
  ['created', 'deleted', 'total'],
  ['minutes', 'completed', 'canceled', 'errored', 'timeout'],
  ['value'],
  ['value'],
  ['value'],
];
const NUMBERS = [
  ...['devices_created', 'devices_deleted', 'devices_total', 'notebook_minutes', 'notebook_completed'],
  ...['notebook_canceled', 'notebook_errored', 'notebook_timeout', 'payload_billable_count'],
  ...['payload_all_count', 'payload_all_bytes', 'payload_source_count'],
];
const USAGE_DAYS: Table = {
  name: 'usage_days',
  columns: NUMBERS,
  types: NUMBERS.map(() => 'bigint'),
  keys: [],
};
const PAYLOAD_SOURCES: Table = {
  name: 'payload_sources',
  columns: ['payload_type', 'source', 'count'],
  types: ['text', 'text', 'bigint'],
  keys: ['payload_type', 'source'],
};

type Counts = { readonly counts: readonly Record<string, number>[] };

const task = JSON.parse(process.argv[2] ?? '') as FloorTask;
process.stdout.write(JSON.stringify(await run(task)));

async function run(options: FloorTask): Promise<FloorResult> {
  const orgIds = await readOrgIds(options);
  const startedAt = performance.now();
  const http = new Pool(options.url, { connections: options.concurrency, pipelining: 1 });
  const rows = new Map<Table, Row[]>([USAGE_DAYS, PAYLOAD_SOURCES].map((table) => [table, []]));
  const work = orgIds.values();
  let requests = 0;
  const worker = async (): Promise<void> => {
    for (const orgId of work) {
      const bodies: unknown[] = [];
      for (const path of PATHS) {
        requests += 1;
        bodies.push(JSON.parse(await get(http, options, `${orgId}/${path}`)));
      }
      const key = [options.day, orgId] as const;
      const sources = sourcesOf(bodies.pop());
      const numbers = FIELDS.flatMap((fields, index) =>
        fields.map((field) => (bodies[index] as Counts).counts[0]?.[field] ?? 0),
      );
      const total = sources.reduce((sum, [, , count]) => sum + count, 0);
      rows.get(USAGE_DAYS)?.push([...key, ...numbers, total]);
      for (const source of sources) rows.get(PAYLOAD_SOURCES)?.push([...key, ...source]);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  await http.close();
  await store(options.databaseUrl, rows);
  const count = [...rows.values()].reduce((sum, list) => sum + list.length, 0);
  return { requests, rows: count, durationMs: performance.now() - startedAt };
}

async function readOrgIds({ databaseUrl }: FloorTask): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ org_id: string }>('select org_id from losant_usage.organizations');
  await client.end();
  return rows.map(({ org_id }) => org_id);
}

function sourcesOf(body: unknown): [string, string, number][] {
  return Object.entries(body as Record<string, Record<string, number>>).flatMap(([type, sources]) =>
    type.startsWith('_')
      ? []
      : Object.entries(sources).map(([source, count]): [string, string, number] => [type, source, count]),
  );
}

function get(http: Pool, { instanceId, token, day }: FloorTask, path: string): Promise<string> {
  const start = Date.parse(day);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  http.dispatch(
    {
      method: 'GET',
      path: `/instances/${instanceId}/orgs/${path}start=${start}&end=${start + DAY_MS - 1}&${hidden}`,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    },
    {
      onRequestStart: () => {},
      onResponseStart: (_, status) => {
        if (status !== 200) reject(new Error(`HTTP ${status} for ${path}`));
      },
      onResponseData: (_, chunk) => chunks.push(chunk),
      onResponseEnd: () => resolve(Buffer.concat(chunks).toString()),
      onResponseError: (_, error) => reject(error),
    },
  );
  return promise;
}

/** Into tables like the program's, without its triggers. */
async function store(databaseUrl: string, rows: ReadonlyMap<Table, readonly Row[]>): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query('create schema if not exists floor');
  for (const [{ name, columns, types, keys }, list] of rows) {
    const all = ['usage_date', 'org_id', ...columns];
    const arrays = ['date', 'text', ...types].map((type, index) => `$${index + 1}::${type}[]`);
    const sets = columns.map((column) => `${column} = excluded.${column}`);
    await client.query(
      `create table if not exists floor.${name} (like losant_usage.${name} including defaults including constraints including indexes)`,
    );
    await client.query(
      `insert into floor.${name} (${all.join(', ')}) select * from unnest(${arrays.join(', ')})
       on conflict (${['usage_date', 'org_id', ...keys].join(', ')}) do update set ${sets.join(', ')}`,
      all.map((_, index) => list.map((row) => row[index])),
    );
  }
  await client.end();
}
