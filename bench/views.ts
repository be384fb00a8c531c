/** The case of questions that people and dashboards ask the views of a database with months of data. */
import { globSync, readFileSync } from 'node:fs';
import { count } from '../src/terminal/words.ts';
import { loginAs, removeLogin } from '../test/support/roles.ts';
import { type Bench, medianOf } from './daily.ts';
import { query, withDatabase } from './processes.ts';
import type { Row } from './report.ts';

const ORG = `org_id = '5d0000000000000000000064'`;
const SOME_ORGS = 'org_id = any (array(select org_id from losant_usage.organizations order by org_id limit 100))';
const NEXT_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;
/** The last month that has ended. */
const MONTH = `(${NEXT_MONTH} - interval '1 month')::date`;
const PREVIOUS_MONTH = `(${NEXT_MONTH} - interval '2 months')::date`;
const IN_MONTH = `usage_date >= ${MONTH} and usage_date < ${NEXT_MONTH}`;
const DAY = `((now() at time zone 'UTC')::date - 1)`;

const QUESTIONS: Readonly<Record<string, string>> = {
  'total by day with standing, 90 days': `select usage_date, max(standing), sum(payload_all_count) from daily_usage
    where usage_date >= current_date - 90 group by 1`,
  'the newest day, every column': `select * from daily_usage where usage_date = ${DAY}`,
  'a month, every column': `select * from monthly_usage where month = ${MONTH}`,
  'a month, the ten largest': `select org_id, payload_all_count from monthly_usage where month = ${MONTH}
    order by payload_all_count desc nulls last limit 10`,
  'two months, joined': `select a.org_id, a.payload_all_count - b.payload_all_count from monthly_usage a
    join monthly_usage b on b.org_id = a.org_id and b.month = ${PREVIOUS_MONTH} where a.month = ${MONTH}`,
  'one organization, its months': `select * from monthly_usage where ${ORG}`,
  'one organization, 365 days': `select * from daily_usage where ${ORG} and usage_date >= current_date - 365`,
  'cells of 100 organizations, 30 days': `select * from cells where ${SOME_ORGS} and usage_date >= current_date - 30`,
  'cells of a week': 'select * from cells where usage_date >= current_date - 7',
  'heat map, 100 organizations, 90 days': `select org_id, usage_date, standing from daily_usage
    where ${SOME_ORGS} and usage_date >= current_date - 90`,
  gaps: 'select * from coverage_gaps',
  freshness: 'select * from freshness',
  attention: 'select * from attention',
  months: 'select * from months',
  'blockers of a month': `select * from month_blockers where month = ${MONTH}`,
  'billing periods': 'select * from billing_period_usage',
  'reconciliation of a month': `select * from reconciliation where ${IN_MONTH}`,
  'a month as of five days after it': `select * from usage_as_of(${NEXT_MONTH} + interval '5 days') where ${IN_MONTH}`,
  'a month of one organization as of five days after it': `select * from usage_as_of(${NEXT_MONTH} + interval '5 days')
    where ${IN_MONTH} and ${ORG}`,
  'changes of one organization since its closing': `select * from changes_since(${NEXT_MONTH} + interval '1 day')
    where ${IN_MONTH} and ${ORG}`,
  'limits of all organizations': 'select * from usage_vs_limits',
  'blockers of all months': 'select * from month_blockers',
  'long form, 90 days': `select metric, sum(quantity) from daily_usage_long
    where usage_date >= current_date - 90 group by 1`,
  'changes of a month since its closing': `select * from changes_since(${NEXT_MONTH} + interval '1 day') where ${IN_MONTH}`,
};

/** The questions of docs/sql, as they are printed there. */
function readDocumentedQuestions(): Record<string, string> {
  const files = globSync('docs/sql/*.sql').toSorted((a, b) => a.localeCompare(b));
  return Object.fromEntries(files.map((file) => [file, readFileSync(file, 'utf8').replace(/;\s*$/, '')]));
}

/**
 * Times each question in the server, with every column computed and no row sent, because a client takes longer to
 * receive the rows.
 */
export async function views({ postgres, sizes, report }: Bench): Promise<void> {
  const { views: orgs, days, rounds } = sizes;
  const rows: Row[] = [];
  await withDatabase(postgres, async (databaseUrl) => {
    await fillDatabase(databaseUrl, { orgs, days, unreported: 2 });
    for (const [question, statement] of Object.entries({ ...QUESTIONS, ...readDocumentedQuestions() })) {
      const runs = [];
      for (let round = 0; round < rounds; round += 1) runs.push({ wallMs: await measureQuery(databaseUrl, statement) });
      rows.push({ question, ...medianOf(runs, ['wallMs']) });
    }
  });
  report(`views: ${count(orgs, 'organization')} × ${days} days, medians of ${rounds}, in the server`, rows);
}

/** Fills a database with `days` days of data. */
export async function fillDatabase(
  databaseUrl: string,
  sizes: { readonly orgs: number; readonly days: number; readonly unreported: number },
): Promise<void> {
  const script = readFileSync(new URL('fill.sql', import.meta.url), 'utf8');
  const words = Object.entries(sizes);
  await query(
    databaseUrl,
    words.reduce((text, [name, value]) => text.replaceAll(`:${name}`, `${value}`), script),
  );
  await query(databaseUrl, 'vacuum (analyze)');
}

interface PlanTimes {
  readonly 'Execution Time': number;
  readonly 'Planning Time': number;
}

/** Returns how long the server plans and executes a statement as the reader, in ms. */
export async function measureQuery(databaseUrl: string, statement: string): Promise<number> {
  const url = `${loginAs('reader', removeLogin(databaseUrl))}?options=-csearch_path=losant_usage`;
  const explain = `explain (analyze, timing off, format json) ${statement}`;
  const [row] = await query<{ 'QUERY PLAN': readonly [PlanTimes] }>(url, explain);
  const { 'Execution Time': execution, 'Planning Time': planning } = row?.['QUERY PLAN'][0] ?? {};
  return (execution ?? Number.NaN) + (planning ?? Number.NaN);
}
