/**
 * An expert's script: a pool of connections, as many requests at once as the program, and batches stored with `unnest`.
 * It has no checks, retries, ledger or history. Argument: a Task as JSON.
 */
import pg from 'pg';
import { Pool } from 'undici';
import { CREATE_TABLES, headers, type OrgDay, readDays, storeDays, task } from './day.ts';

const BATCH_ORGS = 200;

const http = new Pool(task.url, { connections: task.concurrency });
const db = new pg.Pool({ connectionString: task.databaseUrl, max: 2 });

async function get(path: string): Promise<unknown> {
  const { statusCode, body } = await http.request({ method: 'GET', path, headers });
  if (statusCode !== 200) throw new Error(`HTTP ${statusCode} for ${path}`);
  return await body.json();
}

await db.query(CREATE_TABLES);
let batch: OrgDay[] = [];
const requests = await readDays(task.concurrency, get, async (day) => {
  batch.push(day);
  if (batch.length < BATCH_ORGS) return;
  const fullBatch = batch;
  batch = [];
  await storeDays(db, fullBatch);
});
if (batch.length > 0) await storeDays(db, batch);
await Promise.all([http.close(), db.end()]);
process.stdout.write(JSON.stringify({ requests }));
