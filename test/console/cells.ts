/** SQL for cells in the ledger as the program leaves them. */

export interface CellOptions {
  readonly reason?: string;
  readonly message?: string;
  /** Whether an accepted cell has numbers; for others this follows from their standing. */
  readonly isStored?: boolean;
  readonly isReported?: boolean;
}

/** Whether cells of the standing have numbers. */
function isStoredAs(standing: string): boolean {
  return ['final', 'stored', 'in_doubt'].includes(standing);
}

/** Returns the other columns of a cell as the ledger requires them, `usage_date` being its key. */
function columnsOf(standing: string, options: CellOptions): Readonly<Record<string, string>> {
  const isStored = options.isStored ?? isStoredAs(standing);
  const needsReason = standing !== 'final' && standing !== 'stored';
  const reason = options.reason ?? (needsReason ? 'server_error' : null);
  const text = (value: string | null) => (value === null ? 'null' : `'${value}'`);
  const end = (hours: number) => `(usage_date + 1)::timestamp at time zone 'UTC' + interval '${hours} hours'`;
  return {
    standing: `'${standing}'::losant_usage.standing`,
    is_stored: String(isStored),
    is_reported: String(isStored && (options.isReported ?? true)),
    revision: isStored ? '1' : '0',
    first_loaded_at: isStored ? end(0) : 'null',
    verified_at: isStored ? end(standing === 'final' ? 72 : 0) : 'null',
    finalized_at: standing === 'final' ? end(72) : 'null',
    reason: text(reason),
    message: text(options.message ?? reason),
  };
}

/** Adds a cell for each row of `rows`, a query of `usage_date`, `stream`, `org_id`. */
export function addCells(rows: string, standing: string, options: CellOptions = {}): string {
  const columns = columnsOf(standing, options);
  return `insert into losant_usage.coverage (usage_date, stream, org_id, ${Object.keys(columns).join(', ')})
    select usage_date::date, stream, org_id, ${Object.values(columns).join(', ')}
    from (${rows}) as cell (usage_date, stream, org_id);`;
}

/** Gives the cells that meet `condition` another standing. */
export function changeCells(condition: string, standing: string, options: CellOptions = {}): string {
  const changes = Object.entries(columnsOf(standing, options)).map(([name, value]) => `${name} = ${value}`);
  return `update losant_usage.coverage set ${changes.join(', ')} where ${condition};`;
}
