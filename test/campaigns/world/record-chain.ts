/** What the record of changes says of a cell: that no change is missing in it, and what it was before people changed it. */
import type { LedgerCell, RevisionRow } from './ledger-rows.ts';

type Numbers = Readonly<Record<string, unknown>>;

/** The change of a cell as a whole: its numbers in usage_days, which of payload_sources are the sum of the rows. */
const isOfCell = ({ key }: RevisionRow) => key === '{}';

/** No revision is skipped, each change begins where the last ended, and the last ended with what is stored. */
export function checkChain(cell: LedgerCell, chain: readonly RevisionRow[]): string[] {
  const wrong: string[] = [];
  const onRecord = [...new Set(chain.map(({ revision }) => revision))];
  // A first load is no change, unless somebody made it by hand.
  const first = chain[0]?.byHand && chain[0].revision === 1 ? 1 : 2;
  const expected = Array.from(
    { length: Math.max(0, cell.revision + 1 - first) },
    (_, index) => index + first,
  );
  if (JSON.stringify(onRecord) !== JSON.stringify(expected)) {
    wrong.push(`revision ${cell.revision} with ${JSON.stringify(onRecord)} on record`);
  }
  for (const change of chain) if (change.old === change.now) wrong.push('a change of nothing');
  for (const changes of Map.groupBy(chain, ({ key }) => key).values()) {
    for (const [index, change] of changes.entries()) {
      if (index > 0 && change.old !== changes[index - 1]?.now) wrong.push('a change is missing');
    }
    const last = changes.at(-1) as RevisionRow;
    if (inOrder(parse(last.now)) !== inOrder(numbersOf(cell, last))) {
      wrong.push(`the last change on record is ${last.now}, not what is stored`);
    }
  }
  return wrong;
}

/** The cell as the program last left it; null if nothing was stored then. */
export function undoByHand(cell: LedgerCell, chain: readonly RevisionRow[]): LedgerCell | null {
  const since = chain.slice(chain.findLastIndex(({ byHand }) => !byHand) + 1);
  const first = since.find(isOfCell);
  if (first ? first.old === null : !cell.isStored) return null;
  let rows = [...cell.rows];
  for (const change of since.toReversed()) {
    if (cell.stream === 'payload_sources' && isOfCell(change)) continue;
    rows = rows.filter((row) => !hasKey(row, change.key));
    if (change.old !== null) rows.push({ ...parse(change.key), ...parse(change.old) });
  }
  return { ...cell, rows };
}

function hasKey(row: Numbers, key: string): boolean {
  return Object.entries(JSON.parse(key) as Numbers).every(([column, value]) => row[column] === value);
}

/** What is stored of what the change is about; null if nothing is. */
function numbersOf({ stream, rows, isStored }: LedgerCell, change: RevisionRow): Numbers | null {
  if (stream === 'payload_sources' && isOfCell(change)) {
    return isStored ? { count: rows.reduce((sum, row) => sum + Number(row['count']), 0) } : null;
  }
  const row = rows.find((each) => hasKey(each, change.key));
  if (!row) return null;
  const keys = JSON.parse(change.key) as Numbers;
  return Object.fromEntries(
    Object.entries(row).filter(([column]) => !(column in keys) && column !== 'revision'),
  );
}

function parse(json: string | null): Numbers | null {
  return json === null ? null : (JSON.parse(json) as Numbers);
}

function inOrder(numbers: Numbers | null): string {
  return JSON.stringify(numbers && Object.entries(numbers).sort(([a], [b]) => (a < b ? -1 : 1)));
}
