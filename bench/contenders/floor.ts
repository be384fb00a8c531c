/**
 * The floor under any loader: requests with plain undici dispatch, whose bodies are only parsed, and batches that are
 * stored meanwhile, into a table with the program's indexes and one for sources. Argument: a Task as JSON.
 */
import pg from 'pg';
import { Pool } from 'undici';
import { headers, type OrgDay, readDays, storeDays, task } from './day.ts';

const http = new Pool(task.url, { connections: task.concurrency, pipelining: 1 });

function get(path: string): Promise<unknown> {
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

const BATCH_ORGS = 400;

const client = new pg.Client({ connectionString: task.databaseUrl });
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
  stored = stored.then(() => storeDays(client, days));
};
const requests = await readDays(task.concurrency, get, (day) => {
  batch.push(day);
  if (batch.length === BATCH_ORGS) storeBatch();
});
storeBatch();
await Promise.all([stored, http.close()]);
await client.end();
process.stdout.write(JSON.stringify({ requests }));
