/** Run as a process of its own: opens the embedded database, commits a row, and stays until it is killed. */
import { sql } from 'kysely';
import { createDatabase } from '../../src/database/open.ts';

const [, , url = ''] = process.argv;
const role = 'losant_usage_writer';
const handle = await createDatabase({ url, role, applicationName: 'test', poolSize: 1 });
await sql`create table held (value bigint)`.execute(handle.db);
await sql`insert into held values (42)`.execute(handle.db);
process.stdout.write('open\n');
setInterval(() => {}, 60_000);
