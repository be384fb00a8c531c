/**
 * Holds tables against the platform's truth. Written from what is promised of the
 * tables, with SQL of its own; shares no code with the program. A broken promise
 * is a line of text; no line means that all of them hold.
 */
import type { LedgerCell, LedgerRows, RevisionRow } from './ledger-rows.ts';
import { STREAMS, type TruthBook, type TruthDay } from './truth.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A promised number is missing once its day has been over for so long. */
const GAP_AFTER_MS = 6 * HOUR_MS;

export const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
const endOf = (day: string) => Date.parse(`${day}T00:00:00.000Z`) + DAY_MS;
const isHeld = ({ state }: LedgerCell) => state === 'loaded' || state === 'final';
const nameOf = ({ stream, orgId, day }: LedgerCell | RevisionRow) => `${stream} ${orgId} ${day}`;

/** What is true of the tables at any time, whatever went wrong before. */
export function checkAlways(ledger: LedgerRows, book: TruthBook): string[] {
  return [...ledger.cells.flatMap((cell) => checkCell(cell, book)), ...checkChain(ledger)];
}

function checkCell(cell: LedgerCell, book: TruthBook): string[] {
  const name = nameOf(cell);
  const { stream, rows, state, revision } = cell;
  if (!isHeld(cell)) return rows.length > 0 ? [`${name}: ${state} cell has rows`] : [];
  const wrong: string[] = [];
  if (revision < 1) wrong.push(`${name}: held without a revision`);
  if (stream !== 'payload_sources' && rows.length !== 1) wrong.push(`${name}: ${rows.length} rows`);
  if (stream === 'payload_sources' && rows.length === 0 && cell.reported) wrong.push(`${name}: no rows`);
  if (rows.some((row) => Number(row['revision']) > revision)) wrong.push(`${name}: row of a later revision`);
  const versions = book.versions(cell.orgId, cell.day);
  const isSilence = stream === 'payload_sources' && rows.length === 0 && !cell.reported;
  if (!isSilence && !versions.some((version) => agrees(cell, version)) && !agreesByColumn(cell, versions)) {
    const known = JSON.stringify(versions.map((version) => version[stream]));
    wrong.push(`${name}: holds ${JSON.stringify(rows)}, true was only ${known}`);
  }
  return wrong;
}

/** Whether the cell's rows are those of this version, all of them and no other. */
function agrees({ stream, rows }: LedgerCell, version: TruthDay): boolean {
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
function agreesByColumn({ stream, rows, reported }: LedgerCell, versions: readonly TruthDay[]): boolean {
  if (stream === 'payload_sources') return false;
  const columns = Object.keys(versions[0]?.[stream] ?? {});
  const isNamed = (column: string) =>
    versions.some((version) => version[stream][column] === Number(rows[0]?.[column]));
  const isZero = (column: string) => Number(rows[0]?.[column]) === 0 && !reported;
  if (stream === 'payload_totals') return columns.every((column) => isNamed(column) || isZero(column));
  return columns.length > 0 && columns.every(isZero);
}

/** Every change of a number is on record: no revision is skipped, and each change begins where the last ended. */
function checkChain({ cells, revisions }: LedgerRows): string[] {
  const byCell = Map.groupBy(revisions, nameOf);
  return cells.flatMap((cell) => {
    const name = nameOf(cell);
    const chain = byCell.get(name) ?? [];
    const wrong: string[] = [];
    const numbers = [...new Set(chain.map(({ revision }) => revision))];
    const expected = Array.from({ length: Math.max(0, cell.revision - 1) }, (_, index) => index + 2);
    if (JSON.stringify(numbers) !== JSON.stringify(expected)) {
      wrong.push(`${name}: revision ${cell.revision} with ${JSON.stringify(numbers)} on record`);
    }
    for (const changes of Map.groupBy(chain, ({ key }) => key).values()) {
      for (const [index, change] of changes.entries()) {
        if (index > 0 && change.old !== changes[index - 1]?.now) wrong.push(`${name}: a change is missing`);
        if (change.old === change.now) wrong.push(`${name}: a change of nothing`);
      }
      const last = changes.at(-1) as RevisionRow;
      if (JSON.stringify(parse(last.now)) !== JSON.stringify(rowOf(cell, last.key))) {
        wrong.push(`${name}: the last change on record is ${last.now}, not what is held`);
      }
    }
    return wrong;
  });
}

function parse(json: string | null): unknown {
  return json === null ? null : inOrder(JSON.parse(json) as Record<string, unknown>);
}

/** The usage columns of the row with that key; null if there is none. */
function rowOf({ rows }: LedgerCell, key: string): unknown {
  const wanted = JSON.parse(key) as Record<string, unknown>;
  const row = rows.find((each) => Object.entries(wanted).every(([column, value]) => each[column] === value));
  if (!row) return null;
  return inOrder(
    Object.fromEntries(
      Object.entries(row).filter(([column]) => !(column in wanted) && column !== 'revision'),
    ),
  );
}

function inOrder(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The promised numbers that are missing: what `gaps` must show. */
export function findGaps({ cells }: LedgerRows, nowMs: number): LedgerCell[] {
  return cells.filter((cell) => {
    if (!cell.isPromised || isHeld(cell)) return false;
    if (cell.state === 'unavailable' || cell.state === 'waived') return false;
    if (cell.state === 'failed' || cell.state === 'quarantined') return true;
    return nowMs >= endOf(cell.day) + GAP_AFTER_MS;
  });
}

/** What must be true once a run has said that nothing due is missing, of the days it was about. */
export function checkComplete(
  ledger: LedgerRows,
  {
    startedAtMs,
    range,
    readAtHours,
    horizonDays,
  }: {
    startedAtMs: number;
    /** Null: all that is due. */
    range: { from: string; to: string } | null;
    readAtHours: readonly number[];
    horizonDays: number;
  },
): string[] {
  const removed = new Set(ledger.promises.filter((each) => each.removed).map(({ orgId }) => orgId));
  const inRange = ({ day }: LedgerCell) => range === null || (range.from <= day && day <= range.to);
  const gaps = findGaps(ledger, startedAtMs).filter(inRange);
  const oldest = dayAt(startedAtMs - horizonDays * DAY_MS);
  const stale = ledger.cells.filter((cell) => {
    if (!cell.isPromised || !isHeld(cell) || !inRange(cell) || removed.has(cell.orgId) || cell.day < oldest)
      return false;
    const passed = readAtHours.filter((hours) => endOf(cell.day) + hours * HOUR_MS <= startedAtMs);
    return (cell.verifiedAtMs ?? 0) < endOf(cell.day) + Math.max(...passed) * HOUR_MS;
  });
  return [
    ...gaps.map((cell) => `${nameOf(cell)}: nothing due was said to be missing, but it is ${cell.state}`),
    ...stale.map((cell) => `${nameOf(cell)}: nothing due was said to be missing, but it was not read again`),
  ];
}

/** Every organization is promised all streams from its first day on. */
export function checkPromises(
  { promises }: LedgerRows,
  { orgs, firstDay }: { orgs: readonly { orgId: string; createdDay: string }[]; firstDay: string },
): string[] {
  const from = new Map(promises.map((promise) => [`${promise.orgId} ${promise.stream}`, promise]));
  return orgs.flatMap(({ orgId, createdDay }) =>
    STREAMS.flatMap((stream) => {
      const promise = from.get(`${orgId} ${stream}`);
      const latest = createdDay > firstDay ? createdDay : firstDay;
      if (!promise) return [`${orgId} ${stream} is not tracked`];
      const isShort = promise.from > latest || promise.to !== null;
      return isShort
        ? [`${orgId} ${stream} is tracked ${promise.from}..${promise.to}, not from ${latest}`]
        : [];
    }),
  );
}

/** After a clean read of everything: what is held is what is true now. */
export function checkPresent(
  ledger: LedgerRows,
  book: TruthBook,
  living: ReadonlySet<string>,
  oldest: string,
): string[] {
  const cells = ledger.cells.filter(
    ({ isPromised, orgId, day }) => isPromised && living.has(orgId) && day >= oldest,
  );
  return cells.flatMap((cell) => {
    const truth = book.versions(cell.orgId, cell.day).at(-1);
    if (!truth) return [`${nameOf(cell)}: nobody knows the truth`];
    if (isHeld(cell)) {
      return agrees(cell, truth) ? [] : [`${nameOf(cell)}: holds ${JSON.stringify(cell.rows)} in the end`];
    }
    const isLeftOut = cell.stream === 'device_counts' && truth.omitted.device_counts;
    const isSaid = cell.state === 'absent' || cell.state === 'unavailable';
    return isLeftOut && isSaid ? [] : [`${nameOf(cell)}: ${cell.state} in the end`];
  });
}
