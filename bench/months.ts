/** The case of a month end: reconciliation and blockers, closing, and a later adjustment. */
import { count } from '../src/terminal/words.ts';
import { type Bench, medianOf } from './daily.ts';
import { addLogin, LAUNCHER, query, readCpuMs, runMeasured, SETTINGS, withDatabase } from './processes.ts';
import type { Row } from './report.ts';
import { fillDatabase, measureQuery } from './views.ts';

/** Enough days for the month before the last one to be complete and final. */
const DAYS = 93;

/** Reads what blocks a month, closes it, restates numbers of it and adjusts. */
export async function months({ postgres, sizes, report }: Bench): Promise<void> {
  await withDatabase(postgres, async (databaseUrl) => {
    await fillDatabase(databaseUrl, { orgs: sizes.months, days: DAYS, unreported: 2 });
    const month = await settleMonth(databaseUrl);
    const title = `months: a month of ${count(sizes.months, 'organization')}`;
    const queries: Row[] = [];
    for (const view of ['reconciliation', 'month_blockers']) {
      const runs = [];
      for (let round = 0; round < sizes.rounds; round += 1)
        runs.push({ wallMs: await measureQuery(databaseUrl, `select * from ${view} where month = '${month}-01'`) });
      queries.push({ view, ...medianOf(runs, ['wallMs']) });
    }
    report(`${title}, in the server, medians of ${sizes.rounds}`, queries);
    const commands: Row[] = [];
    const measure = async (...args: readonly string[]) => {
      const cpuBeforeMs = readCpuMs(postgres.pid);
      const env = { ...SETTINGS, DATABASE_URL: addLogin(args, databaseUrl) };
      const { document: _, ...figures } = await runMeasured(LAUNCHER, [...args, '--json'], env);
      const postgresCpuMs = readCpuMs(postgres.pid) - cpuBeforeMs;
      commands.push({ command: args.join(' '), ...figures, postgresCpuMs });
    };
    await measure('close', '--month', month);
    await restateDays(databaseUrl);
    await measure('close', '--adjust', '--month', month);
    report(title, commands);
  });
}

/** Waives what failed, and returns the month before the last one, which nothing blocks then. */
async function settleMonth(databaseUrl: string): Promise<string> {
  await query(
    addLogin(['waive'], databaseUrl),
    `with waived_cells as (
       update losant_usage.coverage set standing = 'waived', reason = 'waived' where standing = 'missing'
       returning org_id, stream, usage_date
     )
     insert into losant_usage.waivers (org_id, stream, usage_date, reason)
     select org_id, stream, usage_date, 'bench' from waived_cells;
     update losant_usage.instance set control_totals = 'show'`,
  );
  const [row] = await query<{ month: string }>(
    databaseUrl,
    `select to_char(now() at time zone 'UTC' - interval '2 months', 'YYYY-MM') as month`,
  );
  return row?.month ?? '';
}

/** Changes one number in a thousand. */
async function restateDays(databaseUrl: string): Promise<void> {
  await query(
    addLogin(['run'], databaseUrl),
    `with changed_days as (
       update losant_usage.usage_days set payload_all_count = payload_all_count + 1
       where payload_all_count % 1000 = 0 returning usage_date, org_id, payload_all_count as count
     ),
     changed_cells as (
       update losant_usage.coverage c set revision = c.revision + 1 from changed_days d
       where c.usage_date = d.usage_date and c.org_id = d.org_id and c.stream = 'payload_totals'
       returning c.usage_date, c.org_id, c.stream, c.revision, c.run_id
     )
     insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
     select org_id, c.stream, usage_date, c.revision, jsonb_build_object('payload_all_count', d.count - 1),
       jsonb_build_object('payload_all_count', d.count), true, c.run_id
     from changed_days d join changed_cells c using (usage_date, org_id)`,
  );
}
