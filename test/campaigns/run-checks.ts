/** What a run may say of the tables it leaves, and what must be tracked in them. */
import { agrees, DAY_MS, dayAt, endOf, findGaps, HOUR_MS, isLeftOut, nameOf } from './checker.ts';
import type { LedgerCell, LedgerRows } from './ledger-rows.ts';
import { STREAMS, type TruthBook, type TruthDay } from './truth.ts';

interface DayRange {
  readonly from: string;
  readonly to: string;
}

const inRange = ({ day }: LedgerCell, range: DayRange | null) =>
  range === null || (range.from <= day && day <= range.to);

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
    range: DayRange | null;
    readAtHours: readonly number[];
    horizonDays: number;
  },
): string[] {
  const removed = new Set(ledger.tracks.filter((each) => each.removed).map(({ orgId }) => orgId));
  const gaps = findGaps(ledger, startedAtMs).filter((cell) => inRange(cell, range));
  const oldest = dayAt(startedAtMs - horizonDays * DAY_MS);
  const stale = ledger.cells.filter((cell) => {
    if (!cell.isTracked || !cell.isStored || !inRange(cell, range)) return false;
    // What a person accepted waits for Losant to name it.
    if (cell.standing === 'accepted') return false;
    if (removed.has(cell.orgId) || cell.day < oldest) return false;
    const passed = readAtHours.filter((hours) => endOf(cell.day) + hours * HOUR_MS <= startedAtMs);
    return (cell.verifiedAtMs ?? 0) < endOf(cell.day) + Math.max(...passed) * HOUR_MS;
  });
  return [
    ...gaps.map((cell) => `${nameOf(cell)}: nothing due was said to be missing, but it is ${cell.standing}`),
    ...stale.map(
      (cell) =>
        `${nameOf(cell)}: nothing due was said to be missing, but it was not read again since ${new Date(cell.verifiedAtMs ?? 0).toISOString()}`,
    ),
  ];
}

/** A run that is not complete says why: by what it told, or by a gap that can be listed. */
export function checkPartial(
  ledger: LedgerRows,
  { told, range }: { told: number; range: DayRange | null },
): string[] {
  if (told > 0) return [];
  const gaps = findGaps(ledger).filter((cell) => inRange(cell, range));
  return gaps.length > 0 ? [] : ['something was said to be missing, and nobody can tell what'];
}

/** Days that must be tracked of the organizations, for every stream: those from the first day on, and what was asked for. */
export interface Wanted {
  readonly orgs: readonly { readonly orgId: string; readonly createdDay: string }[];
  /** First usage day of the instance. */
  readonly firstDay: string;
  readonly asked?: readonly DayRange[];
}

export function checkTracked(
  { cells, tracks, nowMs }: LedgerRows,
  { orgs, firstDay, asked = [] }: Wanted,
): string[] {
  const tracked = new Set(cells.filter(({ isTracked }) => isTracked).map(nameOf));
  const goesOn = new Set(
    tracks.filter((each) => each.goesOn).map(({ orgId, stream }) => `${stream} ${orgId}`),
  );
  const yesterday = dayAt(nowMs - DAY_MS);
  const days = daysIn([{ from: firstDay, to: yesterday }, ...asked]);
  return orgs.flatMap(({ orgId, createdDay }) =>
    STREAMS.flatMap((stream) => {
      if (!goesOn.has(`${stream} ${orgId}`)) return [`${stream} ${orgId} is not tracked any more`];
      const lacking = days.filter(
        (day) => day >= createdDay && day <= yesterday && !tracked.has(`${stream} ${orgId} ${day}`),
      );
      return lacking.length > 0 ? [`${stream} ${orgId} is not tracked on ${lacking.join(', ')}`] : [];
    }),
  );
}

function daysIn(ranges: readonly DayRange[]): string[] {
  const days = new Set<string>();
  for (const { from, to } of ranges) {
    for (let ms = Date.parse(from); ms <= Date.parse(to); ms += DAY_MS) days.add(dayAt(ms));
  }
  return [...days];
}

/** After a clean read of everything: what is stored is what is true now. */
export function checkPresent(
  ledger: LedgerRows,
  book: TruthBook,
  living: ReadonlySet<string>,
  oldest: string,
): string[] {
  const cells = ledger.cells.filter(
    ({ isTracked, orgId, day }) => isTracked && living.has(orgId) && day >= oldest,
  );
  return cells.flatMap((cell) => {
    const truth = book.versions(cell.orgId, cell.day).at(-1);
    if (!truth) return [`${nameOf(cell)}: nobody knows the truth`];
    if (cell.standing === 'accepted' && mayBeLeftOut(cell, truth)) return [];
    if (cell.standing === 'accepted') return [`${nameOf(cell)}: accepted in the end, and named`];
    // A number that Losant leaves out is no reason to drop one that is stored: it stays, in doubt.
    if (cell.isStored) {
      const isInDoubt = cell.standing === 'in_doubt';
      if (isInDoubt && cell.reason === 'left_out' && mayBeLeftOut(cell, truth)) return [];
      if (isInDoubt) return [`${nameOf(cell)}: in doubt in the end, ${cell.reason}`];
      return agrees(cell, truth)
        ? []
        : [`${nameOf(cell)}: ${JSON.stringify(cell.rows)} is stored in the end`];
    }
    // Zeros are left out; a level is none then, nor are totals beside a source that somebody has added.
    const isNoZero = cell.stream === 'device_counts' || cell.reason === 'contradicted';
    const isSaid = isLeftOut(cell) || cell.standing === 'unavailable';
    return isNoZero && isSaid && truth.omitted[cell.stream]
      ? []
      : [`${nameOf(cell)}: ${cell.standing} in the end`];
  });
}

/** Whether the platform leaves the day out of an answer, or one of its columns. */
function mayBeLeftOut({ stream }: LedgerCell, { omitted, omitted_totals }: TruthDay): boolean {
  return omitted[stream] || (stream === 'payload_totals' && omitted_totals.length > 0);
}

/** A number that is in doubt, or that a person accepted, stays so until it is read again, or removed. */
export function checkDoubts(before: LedgerRows, after: LedgerRows): string[] {
  const now = new Map(after.cells.map((cell) => [nameOf(cell), cell]));
  return before.cells
    .filter(({ standing }) => standing === 'in_doubt' || standing === 'accepted')
    .flatMap((cell) => {
      const { standing } = cell;
      const later = now.get(nameOf(cell));
      if (!later) return [`${nameOf(cell)} was ${standing}, and is gone`];
      const isReadSince = (later.verifiedAtMs ?? 0) > (cell.verifiedAtMs ?? 0);
      return later.standing === standing || isReadSince || later.revision > cell.revision
        ? []
        : [`${nameOf(cell)} was ${standing}, and is ${later.standing} though nobody read it`];
    });
}
