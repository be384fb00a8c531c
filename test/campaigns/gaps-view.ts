import { queryOnce } from '../support/databases.ts';
import type { LedgerCell } from './ledger-rows.ts';

/** Holds the view of gaps against gaps found without it: a line for each that only one of them has. */
export async function compareGaps(databaseUrl: string, gaps: readonly LedgerCell[]): Promise<string[]> {
  const [row] = await queryOnce(
    databaseUrl,
    `select to_regclass('losant_usage.coverage_gaps') is not null as has`,
  );
  if (row?.['has'] !== true) return [];
  const rows = await queryOnce(
    databaseUrl,
    'select org_id, stream, usage_date::text as day from losant_usage.coverage_gaps',
  );
  const shown = new Set(
    rows.map((each) => `${String(each['stream'])} ${String(each['org_id'])} ${String(each['day'])}`),
  );
  const found = new Set(gaps.map(({ stream, orgId, day }) => `${stream} ${orgId} ${day}`));
  return [
    ...[...found].filter((name) => !shown.has(name)).map((name) => `the view lacks the gap ${name}`),
    ...[...shown].filter((name) => !found.has(name)).map((name) => `the view shows ${name}, which is no gap`),
  ];
}
