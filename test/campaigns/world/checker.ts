/**
 * Compares tables with the platform's truth. Written from what is promised of the tables, with SQL of
 * its own; shares no code with the program. A broken promise is a line of text; no line means that all
 * of them hold.
 */
import type { LedgerCell, LedgerRows, RevisionRow } from './ledger-rows.ts';
import { checkChain, undoByHand } from './record-chain.ts';
import { SKEW_MS, type TruthBook, type TruthDay } from './truth.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** The time after its day from which a tracked number that is not stored is a gap. */
const GAP_AFTER_MS = 6 * HOUR_MS;
/** The number of answers that must have left out a zero which nothing confirms before it is final. */
const OMISSIONS_NEEDED = 3;
/** No policy of the worlds makes a day final earlier. */
const FINAL_AFTER_MS = 48 * HOUR_MS;

export const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
export const endOf = (day: string) => Date.parse(`${day}T00:00:00.000Z`) + DAY_MS;
export const nameOf = ({ stream, orgId, day }: Pick<LedgerCell, 'stream' | 'orgId' | 'day'>) =>
  `${stream} ${orgId} ${day}`;

/** Returns what is wrong with the tables at any time, whatever went wrong before, and with what has changed since `before`. */
export function checkAlways(ledger: LedgerRows, before: LedgerRows, book: TruthBook): string[] {
  const seen = before.revisions.at(-1)?.id ?? 0;
  const chains = Map.groupBy(ledger.revisions, nameOf);
  const cells = ledger.cells.flatMap((cell) => {
    const chain = chains.get(nameOf(cell)) ?? [];
    const lines = [
      ...checkCell(cell, chain, book),
      ...checkTimes(cell, ledger.nowMs),
      ...checkStanding(cell),
      ...checkChain(cell, chain),
      ...checkZeros(cell, chain.at(-1), { seen, book }),
    ];
    return lines.map((line) => `${nameOf(cell)}: ${line}`);
  });
  return [...ledger.contradictions, ...cells, ...checkGaps(ledger)];
}

function checkCell(cell: LedgerCell, chain: readonly RevisionRow[], book: TruthBook): string[] {
  const { stream, rows, standing, isStored, revision, verifiedAtMs } = cell;
  if (!isStored) return rows.length > 0 ? [`${standing} cell has rows`] : [];
  const wrong: string[] = [];
  if (revision < 1) wrong.push('stored without a revision');
  if (stream !== 'payload_sources' && rows.length !== 1) wrong.push(`${rows.length} rows`);
  if (rows.some((row) => Number(row['revision'] ?? 0) > revision)) wrong.push('row of a later revision');
  const isAcceptedZero = standing === 'accepted' && !cell.isReported && rows.every(isZero);
  if (isAcceptedZero) return wrong;
  // What Losant has named since is no longer a person's, also where both are equal.
  const read = cell.isReported ? cell : undoByHand(cell, chain);
  // Only what a person wrote has no time of an answer.
  if (verifiedAtMs === null)
    return chain.at(-1)?.byHand ? wrong : [...wrong, 'is stored, and no answer was accepted'];
  if (read && !wasAnswered(read, verifiedAtMs, book)) wrong.push(lie(read, verifiedAtMs, book));
  return wrong;
}

const isZero = (row: LedgerCell['rows'][number]) => Object.values(row).every((value) => value === 0);

function lie({ stream, orgId, day, rows }: LedgerCell, atMs: number, book: TruthBook): string {
  const known = JSON.stringify(book.at(orgId, day, atMs).map((version) => version[stream]));
  return `has ${JSON.stringify(rows)}, and at ${new Date(atMs).toISOString()} Losant could only say ${known}`;
}

/** A number other than zero becomes zero only if Losant names the zero: what it leaves out takes nothing away. */
function checkZeros(
  cell: LedgerCell,
  last: RevisionRow | undefined,
  { seen, book }: { seen: number; book: TruthBook },
): string[] {
  const { stream, orgId, day, verifiedAtMs } = cell;
  if (!last || last.id <= seen || last.byHand || last.key !== '{}' || last.old === null || last.now === null)
    return [];
  const [old, now] = [last.old, last.now].map((json) => JSON.parse(json) as Record<string, number>);
  const versions = book.at(orgId, day, verifiedAtMs ?? 0);
  const isNamed = (column: string) =>
    versions.some((version) => {
      const isThere = !isOmitted(version, stream, column) && !book.isLeftOut(cell, verifiedAtMs ?? 0);
      return isThere && (stream === 'payload_sources' || version[stream][column] === 0);
    });
  return Object.keys(old ?? {})
    .filter((column) => old?.[column] !== 0 && now?.[column] === 0 && !isNamed(column))
    .map((column) => `${column} became zero though Losant only left it out`);
}

/** Whether an answer to a request of this time can have had the cell's numbers. */
function wasAnswered(cell: LedgerCell, atMs: number, book: TruthBook): boolean {
  const { stream, rows, orgId, day } = cell;
  const versions = book.at(orgId, day, atMs);
  if (versions.some((version) => agrees(cell, version))) return true;
  const mayBeLeftOut = book.isLeftOut(cell, atMs);
  if (stream === 'payload_sources') {
    return rows.length === 0 && (mayBeLeftOut || versions.some(({ omitted }) => omitted[stream]));
  }
  // Totals come in three answers, between which the day may be restated, or left out of one.
  return Object.keys(versions[0]?.[stream] ?? { none: 0 }).every((column) => {
    const stored = Number(rows[0]?.[column]);
    if (stored === 0 && (mayBeLeftOut || versions.some((version) => isOmitted(version, stream, column))))
      return true;
    return stream === 'payload_totals' && versions.some((version) => version[stream][column] === stored);
  });
}

function isOmitted(
  { omitted, omitted_totals }: TruthDay,
  stream: LedgerCell['stream'],
  column: string,
): boolean {
  return omitted[stream] || (stream === 'payload_totals' && omitted_totals.includes(column));
}

/** Whether the cell's rows are those of this version, all of them and no other. */
export function agrees({ stream, rows }: Pick<LedgerCell, 'stream' | 'rows'>, version: TruthDay): boolean {
  if (stream !== 'payload_sources') {
    return Object.entries(version[stream]).every(([column, value]) => Number(rows[0]?.[column]) === value);
  }
  const text = (row: Readonly<Record<string, unknown>>) =>
    JSON.stringify([row['payload_type'], row['source'], Number(row['count'])]);
  const expected = version.payload_sources.map(text).sort();
  return JSON.stringify(rows.map(text).sort()) === JSON.stringify(expected);
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
  const { standing, isStored, isReported, omissions, isByHand, stream, rows } = cell;
  const wrong: string[] = [];
  if (standing !== 'accepted' && isStored !== ARE_STORED.includes(standing))
    wrong.push(`is ${standing}, and ${isStored ? '' : 'not '}stored`);
  const byHand = isStored ? 'in_doubt' : 'missing';
  if (isByHand && standing !== byHand && standing !== 'accepted')
    wrong.push(`is ${standing} after a change by hand`);
  const isSilentZero = (standing === 'stored' || standing === 'final') && !isReported && rows.every(isZero);
  if (stream === 'device_counts' && isSilentZero) wrong.push('is a level of zero that nobody named');
  if (standing !== 'final' || isReported) return wrong;
  if (omissions < OMISSIONS_NEEDED) wrong.push(`is a final zero that ${omissions} answers left out`);
  if (stream === 'notebook_minutes' && silenceMs(cell) < SILENCE_MS)
    wrong.push('is a final zero that nothing confirms, after less than two hours');
  return wrong;
}

/** Three answers at least an hour apart, and what lies between sending a request and storing its answer. */
const SILENCE_MS = 2 * HOUR_MS - SKEW_MS;
const silenceMs = ({ verifiedAtMs, firstLoadedAtMs }: LedgerCell) =>
  (verifiedAtMs ?? 0) - (firstLoadedAtMs ?? Number.POSITIVE_INFINITY);

/** The codes of numbers that Losant left out so far: they are no gaps before they are late. */
const LEFT_OUT = ['left_out', 'unconfirmed', 'contradicted'];

/** Returns the tracked numbers that are missing or in doubt: what `gaps` must show. */
export function findGaps({ cells, nowMs }: LedgerRows, atMs = nowMs): LedgerCell[] {
  return cells.filter((cell) => {
    if (!cell.isTracked) return false;
    const isLeftOut = cell.standing === 'missing' && LEFT_OUT.includes(cell.reason ?? '');
    if (cell.standing === null || isLeftOut) return atMs >= endOf(cell.day) + GAP_AFTER_MS;
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
