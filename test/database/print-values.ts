/** Run as a process of its own, under a TZ of its own: prints what each database given by URL makes of VALUES. */
import { sql } from 'kysely';
import { createDatabase } from '../../src/database/open.ts';
import { VALUES } from './values.ts';

const results = [];
for (const url of process.argv.slice(2)) {
  const handle = await createDatabase({ url, applicationName: 'test', poolSize: 1 });
  const values = [];
  for (const [expression] of VALUES) {
    const { rows } = await sql
      .raw<{ value: unknown }>(`select ${expression.replace(/ from |$/, ' as value$&')}`)
      .execute(handle.db);
    values.push(rows[0]?.value);
  }
  results.push(values);
  await handle.close();
}
process.stdout.write(JSON.stringify({ offset: new Date('2026-11-24').getTimezoneOffset(), results }));
