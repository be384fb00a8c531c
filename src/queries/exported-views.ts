/** A view that can be written to a file. */
export interface ExportedView {
  /** The column that says which days or months of it are wanted, and by which its rows are ordered first. */
  readonly date: string;
  /** The last day that a row stands for; without it a row stands for one day, or for the month `date`. */
  readonly end?: string;
  /** The column of the organization's id, where that is not `org_id`. */
  readonly org?: string;
  /** With the date: what tells its rows apart, and orders them. */
  readonly key: readonly string[];
}

/** Views, and tables that may be read as they are. To add one: a line here. */
const VIEWS: Readonly<Record<string, ExportedView>> = {
  daily_usage: { date: 'usage_date', key: ['org_id'] },
  daily_usage_long: { date: 'usage_date', key: ['org_id', 'metric'] },
  monthly_usage: { date: 'month', key: ['org_id'] },
  period_usage: { date: 'period_start', end: 'period_end', key: ['org_id'] },
  usage_vs_limits: { date: 'period_start', end: 'period_end', key: ['org_id', 'limit_name'] },
  days_without_period: { date: 'first_day', end: 'last_day', key: ['org_id'] },
  statement_lines: { date: 'period_start', end: 'period_end', key: ['org_id', 'metric', 'statement_id'] },
  adjustments: { date: 'period_start', end: 'period_end', key: ['org_id', 'metric', 'period_month'] },
  focus_usage: { date: 'x_UsageDate', org: 'SubAccountId', key: ['SubAccountId', 'SkuMeter'] },
  coverage_gaps: { date: 'usage_date', key: ['org_id', 'stream'] },
  known_missing: { date: 'usage_date', key: ['org_id', 'stream'] },
  reconciliation: { date: 'month', key: ['scope', 'usage_date', 'org_id', 'metric'] },
  restatements: { date: 'usage_date', key: ['revision_id', 'metric'] },
  device_continuity: { date: 'usage_date', key: ['org_id'] },
  payload_sources: { date: 'usage_date', key: ['org_id', 'payload_type', 'source'] },
  device_counts: { date: 'usage_date', key: ['org_id'] },
  notebook_minutes: { date: 'usage_date', key: ['org_id'] },
  payload_totals: { date: 'usage_date', key: ['org_id'] },
};

export const exportedViewNames: readonly string[] = Object.keys(VIEWS);

/** Null for a name that is not one of them. */
export function exportedView(name: string): ExportedView | null {
  return (Object.hasOwn(VIEWS, name) && VIEWS[name]) || null;
}
