/**
 * The obvious script, as written in an afternoon: fetch and await, one organization after another, one INSERT per row.
 * Argument: a Task as JSON.
 */
import pg from 'pg';
import { COLUMNS, CREATE_TABLES, headers, readDays, task } from './day.ts';

const pool = new pg.Pool({ connectionString: task.databaseUrl });
const placeholders = COLUMNS.map((_, index) => `$${index + 3}`).join(', ');
const sets = COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ');

async function get(path: string): Promise<unknown> {
  const response = await fetch(task.url + path, { headers });
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${path}`);
  return await response.json();
}

await pool.query(CREATE_TABLES);
const requests = await readDays(1, get, async ({ orgId, numbers, sources }) => {
  await pool.query(
    `insert into usage_days (usage_date, org_id, ${COLUMNS.join(', ')}) values ($1, $2, ${placeholders})
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
});
await pool.end();
process.stdout.write(JSON.stringify({ requests }));
