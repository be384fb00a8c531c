/**
 * An expert's script: a pool of connections, the program's number of requests at once, and batches
 * stored by `unnest`. It has no checks, no retries, no ledger and no history. Argument: a Task as
 * JSON.
 */
import pg from 'pg';
import { Pool } from 'undici';
import {
  COLUMNS,
  type ContenderResult,
  CREATE_TABLES,
  headersOf,
  listOrgIds,
  pathsOf,
  readDay,
  readTask,
  type Source,
} from './day.ts';

/** The number of organizations in a batch. */
const BATCH = 200;

const task = readTask();
const http = new Pool(task.url, { connections: task.concurrency });
const db = new pg.Pool({ connectionString: task.databaseUrl, max: 2 });
const headers = headersOf(task);
let requests = 0;

async function get(path: string): Promise<unknown> {
  requests += 1;
  const { statusCode, body } = await http.request({ method: 'GET', path, headers });
  if (statusCode !== 200) throw new Error(`HTTP ${statusCode} for ${path}`);
  return await body.json();
}

interface OrgDay {
  readonly orgId: string;
  readonly numbers: readonly number[];
  readonly sources: readonly Source[];
}

const all = ['usage_date', 'org_id', ...COLUMNS];
const arrays = all.map((_, index) => `$${index + 1}::${['date', 'text'][index] ?? 'bigint'}[]`);
const sets = COLUMNS.map((column) => `${column} = excluded.${column}`);

async function store(batch: readonly OrgDay[]): Promise<void> {
  await db.query(
    `insert into usage_days (${all.join(', ')}) select * from unnest(${arrays.join(', ')})
     on conflict (usage_date, org_id) do update set ${sets.join(', ')}`,
    [
      batch.map(() => task.day),
      batch.map(({ orgId }) => orgId),
      ...COLUMNS.map((_, index) => batch.map(({ numbers }) => numbers[index])),
    ],
  );
  const rows = batch.flatMap(({ orgId, sources }) => sources.map((source) => [task.day, orgId, ...source]));
  await db.query(
    `insert into payload_sources (usage_date, org_id, payload_type, source, count)
     select * from unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bigint[])
     on conflict (usage_date, org_id, payload_type, source) do update set count = excluded.count`,
    [0, 1, 2, 3, 4].map((column) => rows.map((row) => row[column])),
  );
}

await db.query(CREATE_TABLES);
const left = (await listOrgIds(task, get)).values();
let batch: OrgDay[] = [];

async function work(): Promise<void> {
  for (const orgId of left) {
    const answers: unknown[] = [];
    for (const path of pathsOf(task, orgId)) answers.push(await get(path));
    batch.push({ orgId, ...readDay(answers) });
    if (batch.length < BATCH) continue;
    const full = batch;
    batch = [];
    await store(full);
  }
}

await Promise.all(Array.from({ length: task.concurrency }, work));
if (batch.length > 0) await store(batch);
await Promise.all([http.close(), db.end()]);
const result: ContenderResult = { requests };
process.stdout.write(JSON.stringify(result));
