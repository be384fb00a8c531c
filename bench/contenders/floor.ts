/**
 * The floor under any export: the requests of one day sent by bare undici dispatch, their bodies
 * parsed and nothing else, and their rows stored by one statement per table at the end, into tables
 * with the same indexes as the program's. Argument: a Task as JSON.
 */
import pg from 'pg';
import { Pool } from 'undici';
import {
  COLUMNS,
  type ContenderResult,
  headersOf,
  listOrgIds,
  pathsOf,
  readDay,
  readTask,
  type Source,
} from './day.ts';

const task = readTask();
const http = new Pool(task.url, { connections: task.concurrency, pipelining: 1 });
const headers = headersOf(task);
const days: [string, readonly number[]][] = [];
const sources: [string, Source][] = [];
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

const left = (await listOrgIds(task, get)).values();

async function work(): Promise<void> {
  for (const orgId of left) {
    const answers: unknown[] = [];
    for (const path of pathsOf(task, orgId)) answers.push(await get(path));
    const day = readDay(answers);
    days.push([orgId, day.numbers]);
    for (const source of day.sources) sources.push([orgId, source]);
  }
}

interface Columns {
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly keys: readonly string[];
  readonly arrays: readonly (readonly unknown[])[];
}

async function store(
  client: pg.Client,
  table: string,
  { names, types, keys, arrays }: Columns,
): Promise<void> {
  const values = types.map((type, index) => `$${index + 1}::${type}[]`);
  const sets = names.filter((name) => !keys.includes(name)).map((name) => `${name} = excluded.${name}`);
  await client.query(
    `create table ${table} (like losant_usage.${table} including defaults including constraints including indexes)`,
  );
  await client.query(
    `insert into ${table} (${names.join(', ')}) select * from unnest(${values.join(', ')})
     on conflict (${keys.join(', ')}) do update set ${sets.join(', ')}`,
    [...arrays],
  );
}

await Promise.all(Array.from({ length: task.concurrency }, work));
await http.close();
const client = new pg.Client({ connectionString: task.databaseUrl });
await client.connect();
await store(client, 'usage_days', {
  names: ['usage_date', 'org_id', ...COLUMNS],
  types: ['date', 'text', ...COLUMNS.map(() => 'bigint')],
  keys: ['usage_date', 'org_id'],
  arrays: [
    days.map(() => task.day),
    days.map(([orgId]) => orgId),
    ...COLUMNS.map((_, index) => days.map(([, numbers]) => numbers[index])),
  ],
});
await store(client, 'payload_sources', {
  names: ['usage_date', 'org_id', 'payload_type', 'source', 'count'],
  types: ['date', 'text', 'text', 'text', 'bigint'],
  keys: ['usage_date', 'org_id', 'payload_type', 'source'],
  arrays: [
    sources.map(() => task.day),
    sources.map(([orgId]) => orgId),
    ...[0, 1, 2].map((index) => sources.map(([, source]) => source[index])),
  ],
});
await client.end();
const result: ContenderResult = { requests };
process.stdout.write(JSON.stringify(result));
