/** Small questions to a database, by SQL of their own. */
import type { RunReport } from '../../src/export/report.ts';
import { queryOnce } from '../support/databases.ts';
import type { TruthBook } from './truth.ts';

/** Whether what a run says of itself adds up, and is what the tables show. */
export async function checkReport(report: RunReport, url: string, factsBefore: number): Promise<string[]> {
  const { planned, ...parts } = report.cells;
  const sum = Object.values(parts).reduce((total, count) => total + count, 0);
  const wrong = sum === planned ? [] : [`${planned} planned, but the counts add up to ${sum}`];
  const more = (await countFacts(url)) - factsBefore;
  const { inserted, deleted } = report.rows;
  if (more !== inserted - deleted) wrong.push(`${more} rows more, but ${inserted} in and ${deleted} out`);
  if (report.runId === null) return wrong;
  const [run] = await queryOnce(url, `select * from losant_usage.runs where run_id = '${report.runId}'`);
  const recorded = [run?.['status'], Number(run?.['cells_planned']), Number(run?.['cells_failed'])];
  const said = [report.status, planned, report.cells.failed];
  if (JSON.stringify(recorded) !== JSON.stringify(said))
    wrong.push(`recorded ${String(recorded)}, said ${String(said)}`);
  return wrong;
}

export async function countFacts(url: string): Promise<number> {
  const tables = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'];
  const sums = tables.map((table) => `(select count(*) from losant_usage.${table})`).join(' + ');
  const [row] = await queryOnce(url, `select (${sums})::integer as n`);
  return Number(row?.['n']);
}

export async function readFirstDay(url: string): Promise<string | null> {
  const [row] = await queryOnce(url, 'select tracked_from::text as day from losant_usage.instances');
  return row ? String(row['day']) : null;
}

/** When the organizations were last listed completely, and why a later list was not complete. */
export async function readListing(url: string): Promise<{ at: string | null; problem: string | null }> {
  const [row] = await queryOnce(
    url,
    'select listed_at::text as at, list_problem as problem from losant_usage.instances',
  );
  const { at = null, problem = null } = row ?? {};
  return { at: at as string | null, problem: problem as string | null };
}

/** Nobody is taken for deleted who is not. */
export async function checkRemovals(url: string, book: TruthBook): Promise<string[]> {
  const rows = await queryOnce(
    url,
    'select org_id from losant_usage.organizations where removed_at is not null',
  );
  const living = new Set((await book.orgs()).filter(({ deleted }) => !deleted).map(({ orgId }) => orgId));
  return rows
    .map((row) => String(row['org_id']))
    .filter((id) => living.has(id))
    .map((id) => `${id} is not deleted`);
}
