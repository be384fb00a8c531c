/**
 * The obvious script, as written in an afternoon: fetch and await, one INSERT per row. Arguments: a
 * Task as JSON, and the number of organizations processed at once by Promise.all; 1 sends one request
 * after the other.
 */
import pg from 'pg';
import {
  COLUMNS,
  type ContenderResult,
  CREATE_TABLES,
  headersOf,
  listOrgIds,
  pathsOf,
  readDay,
  readTask,
} from './day.ts';

const task = readTask();
const chunk = Number(process.argv[3]);
const pool = new pg.Pool({ connectionString: task.databaseUrl });
let requests = 0;

async function get(path: string): Promise<unknown> {
  requests += 1;
  const response = await fetch(task.url + path, { headers: headersOf(task) });
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${path}`);
  return await response.json();
}

const places = COLUMNS.map((_, index) => `$${index + 3}`).join(', ');
const sets = COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ');

async function exportOrg(orgId: string): Promise<void> {
  const answers: unknown[] = [];
  for (const path of pathsOf(task, orgId)) answers.push(await get(path));
  const { numbers, sources } = readDay(answers);
  await pool.query(
    `insert into usage_days (usage_date, org_id, ${COLUMNS.join(', ')}) values ($1, $2, ${places})
     on conflict (usage_date, org_id) do update set ${sets}`,
    [task.day, orgId, ...numbers],
  );
  for (const source of sources) {
    await pool.query(
      `insert into payload_sources (usage_date, org_id, payload_type, source, count) values ($1, $2, $3, $4, $5)
       on conflict (usage_date, org_id, payload_type, source) do update set count = excluded.count`,
      [task.day, orgId, ...source],
    );
  }
}

await pool.query(CREATE_TABLES);
const orgIds = await listOrgIds(task, get);
for (let start = 0; start < orgIds.length; start += chunk) {
  await Promise.all(orgIds.slice(start, start + chunk).map(exportOrg));
}
await pool.end();
const result: ContenderResult = { requests };
process.stdout.write(JSON.stringify(result));
