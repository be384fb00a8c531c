/** The case of a month end: closing, a later adjustment, writing the proof pack and verifying it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { count } from '../src/terminal/words.ts';
import type { Bench } from './cases.ts';
import { addLogin, LAUNCHER, query, readCpuMs, runMeasured, withDatabase } from './processes.ts';
import { fillDatabase } from './views.ts';

/** The settings of a command that reads nothing from Losant. */
export const SETTINGS = {
  LOSANT_INSTANCE_ID: '5c0000000000000000000001',
  LOSANT_API_URL: 'https://api.example.com',
  LOSANT_API_TOKEN: 'none',
  LOG_LEVEL: 'warn',
};
/** Enough days for the month before the last one to be complete and final. */
const DAYS = 93;

/** Closes a month, changes numbers of it, adjusts, writes the pack and verifies it. */
export async function billing({ postgres, sizes, settings, report }: Bench): Promise<void> {
  const { billing: orgs } = sizes;
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-packs-'));
  try {
    await withDatabase(postgres, async (databaseUrl) => {
      await fillDatabase(databaseUrl, { orgs, days: DAYS, unreported: 2 });
      const month = await makeMonthReady(databaseUrl);
      const rows: Record<string, string | number>[] = [];
      const measure = async (args: readonly string[]) => {
        const before = readCpuMs(postgres.pid);
        const { document: _, ...figures } = await runMeasured(LAUNCHER, [...args, '--json'], {
          env: { ...SETTINGS, DATABASE_URL: addLogin(args, databaseUrl) },
          nodeFlags: settings.nodeFlags,
        });
        const name = args.filter((each) => !each.includes('/')).join(' ');
        rows.push({ command: name, ...figures, postgresCpuMs: readCpuMs(postgres.pid) - before });
      };
      await measure(['close', '--month', month]);
      await restateDays(databaseUrl);
      await measure(['close', '--adjust', '--month', month]);
      await measure(['statement', '--month', month, '--out', folder]);
      await measure(['verify', folder]);
      report(`billing: a month of ${count(orgs, 'organization')}`, rows);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the month before the last one, of which nothing is a blocker: neither failed days nor their totals. */
export async function makeMonthReady(databaseUrl: string): Promise<string> {
  await asProgram(
    databaseUrl,
    `with cells as (
       update losant_usage.coverage set standing = 'waived', reason = 'waived' where standing = 'missing'
       returning org_id, stream, usage_date
     )
     insert into losant_usage.waivers (org_id, stream, usage_date, reason)
     select org_id, stream, usage_date, 'bench' from cells;
     update losant_usage.instances set control_totals = 'show'`,
  );
  const [row] = await query<{ month: string }>(
    databaseUrl,
    `select to_char(now() at time zone 'UTC' - interval '2 months', 'YYYY-MM') as month`,
  );
  return row?.month ?? '';
}

/** Changes one number in a thousand. */
export async function restateDays(databaseUrl: string): Promise<void> {
  await asProgram(
    databaseUrl,
    `with changed_days as (
       update losant_usage.usage_days set payload_all_count = payload_all_count + 1
       where payload_all_count % 1000 = 0 returning usage_date, org_id, payload_all_count as count
     ),
     cells as (
       update losant_usage.coverage c set revision = c.revision + 1 from changed_days d
       where c.usage_date = d.usage_date and c.org_id = d.org_id and c.stream = 'payload_totals'
       returning c.usage_date, c.org_id, c.stream, c.revision, c.run_id
     )
     insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
     select org_id, c.stream, usage_date, c.revision, jsonb_build_object('payload_all_count', d.count - 1),
       jsonb_build_object('payload_all_count', d.count), true, c.run_id
     from changed_days d join cells c using (usage_date, org_id)`,
  );
}

/** Runs statements that only the program may run, as the writer. */
async function asProgram(databaseUrl: string, statements: string): Promise<void> {
  await query(addLogin(['run'], databaseUrl), `set losant_usage.program = 'bench'; ${statements}`);
}
