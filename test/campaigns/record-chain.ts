/** What the record of changes says of a cell: that no change is missing in it, and what it was before people changed it. */
import type { LedgerCell, RevisionRow } from './ledger-rows.ts';

type Numbers = Readonly<Record<string, unknown>>;

/** A day of sources that is held without any, or not: on record without a source. */
const isEmptyDay = ({ stream, key }: RevisionRow) => stream === 'payload_sources' && key === '{}';

/** No revision is skipped, each change begins where the last ended, and the last ended with what is held. */
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
  const newest = chain.at(-1);
  if (newest && newest.isHeld !== (cell.state === 'loaded' || cell.state === 'final')) {
    wrong.push(`is ${cell.state}, and after the last change it was${newest.isHeld ? '' : ' not'} held`);
  }
  for (const change of chain) if (change.old === change.now) wrong.push('a change of nothing');
  const rows = chain.filter((change) => !isEmptyDay(change));
  for (const changes of Map.groupBy(rows, ({ key }) => key).values()) {
    for (const [index, change] of changes.entries()) {
      if (index > 0 && change.old !== changes[index - 1]?.now) wrong.push('a change is missing');
    }
    const last = changes.at(-1) as RevisionRow;
    if (inOrder(parse(last.now)) !== inOrder(numbersOf(cell, last.key))) {
      wrong.push(`the last change on record is ${last.now}, not what is held`);
    }
  }
  return wrong;
}

/** The cell as the program last left it; null if it held nothing then. */
export function undoByHand(cell: LedgerCell, chain: readonly RevisionRow[]): LedgerCell | null {
  let rows = [...cell.rows];
  let index = chain.length;
  while (chain[index - 1]?.byHand === true) {
    index -= 1;
    const { key, old } = chain[index] as RevisionRow;
    rows = rows.filter((row) => !hasKey(row, key));
    if (old !== null) rows.push({ ...(JSON.parse(key) as Numbers), ...(JSON.parse(old) as Numbers) });
  }
  if (index === chain.length) return cell;
  const changed = chain[index] as RevisionRow;
  const before = chain[index - 1];
  const wasHeld = before ? before.isHeld : changed.revision > 1;
  return wasHeld ? { ...cell, rows } : null;
}

function hasKey(row: Numbers, key: string): boolean {
  return Object.entries(JSON.parse(key) as Numbers).every(([column, value]) => row[column] === value);
}

/** The usage columns of the row with that key; null if there is none. */
function numbersOf({ rows }: LedgerCell, key: string): Numbers | null {
  const row = rows.find((each) => hasKey(each, key));
  if (!row) return null;
  const keys = JSON.parse(key) as Numbers;
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
