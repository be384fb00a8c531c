/** A separate process that opens the embedded database, commits a row, and runs until it is killed. */
import { sql } from 'kysely';
import { createDatabase } from '../../src/database/open.ts';

const [, , url = ''] = process.argv;
const role = 'losant_usage_writer';
const handle = await createDatabase({ url, role, applicationName: 'test', poolSize: 1 });
await sql`create table committed (value bigint)`.execute(handle.db);
await sql`insert into committed values (42)`.execute(handle.db);
process.stdout.write('open\n');
setInterval(() => {}, 60_000);
