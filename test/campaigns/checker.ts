/**
 * Holds tables against the platform's truth. Written from what is promised of the
 * tables, with SQL of its own; shares no code with the program. A broken promise
 * is a line of text; no line means that all of them hold.
 */
import type { LedgerCell, LedgerRows, RevisionRow } from './ledger-rows.ts';
import { checkChain, undoByHand } from './record-chain.ts';
import type { TruthBook, TruthDay } from './truth.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** A tracked number is missing once its day has been over for so long. */
const GAP_AFTER_MS = 6 * HOUR_MS;
/** The program's clock may be off the database's by so much. */
const SKEW_MS = 31_000;
/** Answers that must have left out a zero which nothing confirms before it is final. */
const OMISSIONS_NEEDED = 3;
/** No policy of the campaigns makes a day final earlier. */
const FINAL_AFTER_MS = 48 * HOUR_MS;

export const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
export const endOf = (day: string) => Date.parse(`${day}T00:00:00.000Z`) + DAY_MS;
export const nameOf = ({ stream, orgId, day }: LedgerCell | RevisionRow) => `${stream} ${orgId} ${day}`;

/** What is true of the tables at any time, whatever went wrong before. */
export function checkAlways(ledger: LedgerRows, book: TruthBook): string[] {
  const chains = Map.groupBy(ledger.revisions, nameOf);
  const cells = ledger.cells.flatMap((cell) => {
    const chain = chains.get(nameOf(cell)) ?? [];
    const lines = [
      ...checkCell(cell, chain, book),
      ...checkTimes(cell, ledger.nowMs),
      ...checkStanding(cell),
      ...checkChain(cell, chain),
    ];
    return lines.map((line) => `${nameOf(cell)}: ${line}`);
  });
  return [...ledger.contradictions, ...cells, ...checkGaps(ledger)];
}

function checkCell(cell: LedgerCell, chain: readonly RevisionRow[], book: TruthBook): string[] {
  const { stream, rows, standing, isStored, revision } = cell;
  if (!isStored) return rows.length > 0 ? [`${standing} cell has rows`] : [];
  const wrong: string[] = [];
  if (revision < 1) wrong.push('stored without a revision');
  if (stream !== 'payload_sources' && rows.length !== 1) wrong.push(`${rows.length} rows`);
  if (rows.some((row) => Number(row['revision'] ?? 0) > revision)) wrong.push('row of a later revision');
  const read = undoByHand(cell, chain);
  return read && !isTrue(read, book) ? [...wrong, ...lie(read, book)] : wrong;
}

function lie({ stream, orgId, day, rows }: LedgerCell, book: TruthBook): string[] {
  const known = JSON.stringify(book.versions(orgId, day).map((version) => version[stream]));
  return [`holds ${JSON.stringify(rows)}, true was only ${known}`];
}

function isTrue(cell: LedgerCell, book: TruthBook): boolean {
  const versions = book.versions(cell.orgId, cell.day);
  const isSilence = cell.stream === 'payload_sources' && cell.rows.length === 0 && !cell.isReported;
  return isSilence || versions.some((version) => agrees(cell, version)) || agreesByColumn(cell, versions);
}

/** Whether the cell's rows are those of this version, all of them and no other. */
export function agrees({ stream, rows }: LedgerCell, version: TruthDay): boolean {
  if (stream !== 'payload_sources') {
    return Object.entries(version[stream]).every(([column, value]) => Number(rows[0]?.[column]) === value);
  }
  const text = (row: Readonly<Record<string, unknown>>) =>
    JSON.stringify([row['payload_type'], row['source'], Number(row['count'])]);
  const expected = version.payload_sources.map(text).sort();
  return JSON.stringify(rows.map(text).sort()) === JSON.stringify(expected);
}

/**
 * Totals come in three answers, between which the platform may restate the day or
 * leave it out of one; zeros stand for a day that was never named.
 */
function agreesByColumn({ stream, rows, isReported }: LedgerCell, versions: readonly TruthDay[]): boolean {
  if (stream === 'payload_sources') return false;
  const columns = Object.keys(versions[0]?.[stream] ?? {});
  const isNamed = (column: string) =>
    versions.some((version) => version[stream][column] === Number(rows[0]?.[column]));
  const isZero = (column: string) => Number(rows[0]?.[column]) === 0 && !isReported;
  if (columns.length === 0) return false;
  if (stream === 'payload_totals') return columns.every((column) => isNamed(column) || isZero(column));
  return columns.every(isZero);
}

/** No answer comes from the future, and nothing is final that was read too early. */
function checkTimes({ day, standing, verifiedAtMs }: LedgerCell, nowMs: number): string[] {
  if (verifiedAtMs === null) return [];
  const wrong: string[] = [];
  if (verifiedAtMs > nowMs + SKEW_MS)
    wrong.push(`was verified in the future, ${new Date(verifiedAtMs).toISOString()}`);
  if (verifiedAtMs < endOf(day) - SKEW_MS) wrong.push('was verified before the day was over');
  if (standing === 'final' && verifiedAtMs < endOf(day) + FINAL_AFTER_MS - SKEW_MS)
    wrong.push('is final too early');
  return wrong;
}

const ARE_STORED: readonly (string | null)[] = ['final', 'stored', 'in_doubt'];

/** A standing says whether there is a number, and nothing by hand or by silence alone is taken for certain. */
function checkStanding(cell: LedgerCell): string[] {
  const { standing, isStored, isReported, omissions, isByHand } = cell;
  const wrong: string[] = [];
  if (standing !== 'accepted' && isStored !== ARE_STORED.includes(standing))
    wrong.push(`is ${standing}, and ${isStored ? '' : 'not '}stored`);
  const byHand = isStored ? 'in_doubt' : 'missing';
  if (isByHand && standing !== byHand && standing !== 'accepted')
    wrong.push(`is ${standing} after a change by hand`);
  if (standing === 'final' && !isReported && omissions < OMISSIONS_NEEDED)
    wrong.push(`is a final zero that ${omissions} answers left out`);
  if (
    standing === 'final' &&
    !isReported &&
    cell.stream === 'notebook_minutes' &&
    silenceMs(cell) < SILENCE_MS
  )
    wrong.push('is a final zero that nothing confirms, after less than two hours');
  return wrong;
}

/** Three answers at least an hour apart, and what lies between sending a request and storing its answer. */
const SILENCE_MS = 2 * HOUR_MS - SKEW_MS;
const silenceMs = ({ verifiedAtMs, firstLoadedAtMs }: LedgerCell) =>
  (verifiedAtMs ?? 0) - (firstLoadedAtMs ?? Number.POSITIVE_INFINITY);

/** Codes of numbers that Losant left out so far: they are no gaps before they are late. */
const LEFT_OUT = ['left_out', 'unconfirmed', 'contradicted'];
export const isLeftOut = ({ reason }: Pick<LedgerCell, 'reason'>) => LEFT_OUT.includes(reason ?? '');

/** The tracked numbers that are missing or in doubt: what `gaps` must show. */
export function findGaps({ cells, nowMs }: LedgerRows, atMs = nowMs): LedgerCell[] {
  return cells.filter((cell) => {
    if (!cell.isTracked) return false;
    const mayWait = cell.standing === null || (cell.standing === 'missing' && isLeftOut(cell));
    if (mayWait) return atMs >= endOf(cell.day) + GAP_AFTER_MS;
    return cell.standing === 'in_doubt' || cell.standing === 'missing';
  });
}

/** The view of gaps says what follows from the cells. */
function checkGaps(ledger: LedgerRows): string[] {
  const found = new Set(findGaps(ledger).map(nameOf));
  return [
    ...[...found].filter((name) => !ledger.gaps.has(name)).map((name) => `the view lacks the gap ${name}`),
    ...[...ledger.gaps]
      .filter((name) => !found.has(name))
      .map((name) => `the view shows ${name}, which is no gap`),
  ];
}
