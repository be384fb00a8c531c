import { readFileSync } from 'node:fs';
import { migrateToHead } from '../src/database/migrate.ts';
import { createDatabase } from '../src/database/open.ts';
import { query } from './servers.ts';

/**
 * Creates the schema in a database and, if it has no organization, fills it with this many
 * organizations and days. Needs a superuser.
 */
export async function fillIfEmpty(
  url: string,
  { orgs, days }: { readonly orgs: number; readonly days: number },
): Promise<void> {
  const handle = await createDatabase({ url, applicationName: 'bench', poolSize: 1 });
  await migrateToHead(handle);
  await handle.close();
  const [known] = await query<{ count: string }>(url, 'select count(*) from losant_usage.organizations');
  if (known?.count !== '0') return;
  const script = readFileSync(new URL('fill.sql', import.meta.url), 'utf8');
  await query(url, script.replaceAll(':orgs', `${orgs}`).replaceAll(':days', `${days}`));
  await query(url, 'vacuum (analyze)');
}
