/** What a run may say of the tables that it leaves, and what must be tracked in them. */
import { agrees, DAY_MS, dayAt, endOf, findGaps, HOUR_MS, nameOf } from './checker.ts';
import type { LedgerCell, LedgerRows } from './ledger-rows.ts';
import type { TruthBook } from './truth.ts';

export interface Policy {
  readonly readAtHours: readonly number[];
  readonly finalAtHours: number;
  readonly horizonDays: number;
}

/** The cells that a run was about; null stands for all. */
export interface Scope {
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly range: { readonly from: string; readonly to: string } | null;
}

const inScope =
  ({ orgIds, streams, range }: Scope) =>
  ({ orgId, stream, day }: LedgerCell) =>
    (orgIds?.includes(orgId) ?? true) &&
    (streams?.includes(stream) ?? true) &&
    (range === null || (range.from <= day && day <= range.to));

/** Returns what is untrue once a run has said that nothing due is missing. */
export function checkComplete(
  ledger: LedgerRows,
  { scope, policy, startedAtMs }: { scope: Scope; policy: Policy; startedAtMs: number },
): string[] {
  const cells = { ...ledger, cells: ledger.cells.filter(inScope(scope)) };
  const removed = new Set(ledger.tracks.filter((each) => each.removed).map(({ orgId }) => orgId));
  const oldest = dayAt(startedAtMs - policy.horizonDays * DAY_MS);
  const stale = cells.cells.filter((cell) => {
    // What a person accepted waits for Losant to name it.
    if (!cell.isTracked || !cell.isStored || cell.standing === 'accepted') return false;
    if (removed.has(cell.orgId) || cell.day < oldest) return false;
    // A run before has said that the read failed, and when it is tried again.
    if (cell.attempts > 0 && (cell.nextReadAtMs ?? 0) > startedAtMs) return false;
    const ages = policy.readAtHours.map((hours) => endOf(cell.day) + hours * HOUR_MS);
    return (cell.verifiedAtMs ?? 0) < Math.max(...ages.filter((atMs) => atMs <= startedAtMs));
  });
  const said = 'nothing due was said to be missing, but it';
  return [
    ...findGaps(cells, startedAtMs).map(
      (cell) =>
        `${nameOf(cell)}: ${said} is ${cell.standing ?? 'never read'}${cell.reason === null ? '' : ` (${cell.reason})`}`,
    ),
    ...stale.map((cell) => {
      const since = new Date(cell.verifiedAtMs ?? 0).toISOString();
      return `${nameOf(cell)}: ${said} was not read again since ${since}`;
    }),
  ];
}

/** A run that is not complete says why: by a failure that it names, or by a gap that can be listed. */
export function checkPartial(ledger: LedgerRows, scope: Scope, named: number): string[] {
  if (named > 0 || findGaps(ledger).some(inScope(scope))) return [];
  return ['something was said to be missing, and nobody can tell what'];
}

/** A part of a run that it says has failed; the stream and days are null if an organization or the list did. */
export interface Failure {
  readonly orgId: string | null;
  readonly stream: string | null;
  readonly from: string | null;
  readonly to: string | null;
}

/** A read that a run says has failed vouches for no number. */
export function checkFailures(after: LedgerRows, before: LedgerRows, failures: readonly Failure[]): string[] {
  const verified = new Map(before.cells.map((cell) => [nameOf(cell), cell.verifiedAtMs ?? 0]));
  const hasFailed = ({ orgId, stream, day }: LedgerCell) =>
    failures.some(
      (each) =>
        each.orgId === orgId && each.stream === stream && (each.from ?? '9') <= day && day <= (each.to ?? ''),
    );
  return after.cells
    .filter((cell) => (cell.verifiedAtMs ?? 0) > (verified.get(nameOf(cell)) ?? 0) && hasFailed(cell))
    .map((cell) => `${nameOf(cell)} counts as verified by a read that is said to have failed`);
}

/** What a run over everything must have tracked. */
export interface Wanted {
  readonly orgIds: readonly string[];
  readonly streams: readonly string[];
  /** The first day of each organization, by id. */
  readonly createdDays: ReadonlyMap<string, string>;
}

/** Every organization that was listed, exists and is chosen is tracked without an end, up to yesterday. */
export function checkTracked(ledger: LedgerRows, { orgIds, streams, createdDays }: Wanted): string[] {
  const yesterday = dayAt(ledger.nowMs - DAY_MS);
  const tracked = new Set(ledger.cells.filter(({ isTracked }) => isTracked).map(nameOf));
  const goesOn = new Set(
    ledger.tracks.filter((each) => each.goesOn).map((each) => `${each.stream} ${each.orgId}`),
  );
  return orgIds.flatMap((orgId) =>
    streams.flatMap((stream) => {
      if (!goesOn.has(`${stream} ${orgId}`))
        return [`${stream} ${orgId} is not tracked, and the run is complete`];
      const isNew = (createdDays.get(orgId) ?? '') > yesterday;
      return isNew || tracked.has(`${stream} ${orgId} ${yesterday}`)
        ? []
        : [`${stream} ${orgId} is not tracked yesterday, and the run is complete`];
    }),
  );
}

/** The days that were tracked once, by stream and organization: none is ever forgotten. */
export type TrackedDays = Map<string, Set<string>>;

/**
 * Adds what is tracked now and returns what is forgotten, and holes that nobody chose: days between tracked ones
 * that are younger than `holesBefore`.
 */
export function checkForgotten(ledger: LedgerRows, tracked: TrackedDays, holesBefore: string): string[] {
  const tracks = new Map(ledger.tracks.map((track) => [`${track.stream} ${track.orgId}`, track]));
  const now = Map.groupBy(
    ledger.cells.filter(({ isTracked }) => isTracked),
    ({ stream, orgId }) => `${stream} ${orgId}`,
  );
  const lines: string[] = [];
  for (const key of new Set([...tracked.keys(), ...now.keys()])) {
    const days = new Set((now.get(key) ?? []).map(({ day }) => day));
    const { removed = false, createdOn = null } = tracks.get(key) ?? {};
    const before = tracked.get(key) ?? new Set();
    for (const day of before) {
      const isExcused = removed || (createdOn !== null && day < createdOn);
      if (!days.has(day) && !isExcused) lines.push(`${key} ${day} was tracked, and is forgotten`);
    }
    tracked.set(key, removed ? days : new Set([...before, ...days]));
    const sorted = [...days].sort();
    for (let index = 1; index < sorted.length; index += 1) {
      const next = dayAt(Date.parse(sorted[index - 1] ?? '') + DAY_MS);
      if (sorted[index] !== next && next >= holesBefore)
        lines.push(`${key} ${next} is a hole that nobody chose`);
    }
  }
  return lines;
}

/** Nobody is taken for deleted who never was, and no answer takes the place of a newer one. */
export function checkOrder(
  before: LedgerRows,
  after: LedgerRows,
  everDeleted: ReadonlySet<string>,
): string[] {
  const now = new Map(after.cells.map((cell) => [nameOf(cell), cell]));
  const removed = new Set(after.tracks.filter((track) => track.removed).map(({ orgId }) => orgId));
  return [
    ...[...removed]
      .filter((id) => !everDeleted.has(id))
      .map((id) => `${id} counts as deleted, and never was`),
    ...before.cells.flatMap((cell) => {
      const { verifiedAtMs = null, revision = 0 } = now.get(nameOf(cell)) ?? {};
      if (revision < cell.revision) return [`${nameOf(cell)} went back to revision ${revision}`];
      if (!cell.isReported || verifiedAtMs === null || verifiedAtMs >= (cell.verifiedAtMs ?? 0)) return [];
      return [`${nameOf(cell)} was verified later than it is now`];
    }),
  ];
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
      return later.standing === standing ||
        later.standing === 'accepted' ||
        isReadSince ||
        later.revision > cell.revision
        ? []
        : [`${nameOf(cell)} was ${standing}, and is ${later.standing} though nobody read it`];
    });
}

/** After faults are over and everything was read again: what is stored is what is true now, and all of it is settled. */
export function checkHealed(
  ledger: LedgerRows,
  { book, living, lastDay }: { book: TruthBook; living: ReadonlySet<string>; lastDay: string },
): string[] {
  return ledger.cells
    .filter(({ isTracked, day }) => isTracked && day <= lastDay)
    .flatMap((cell) => {
      const { standing, reason, orgId, day, isStored } = cell;
      if (standing === 'accepted') return [];
      if (standing === 'unavailable')
        return reason === null ? [`${nameOf(cell)} is unavailable for no reason`] : [];
      if (standing !== 'final') return [`${nameOf(cell)} is ${standing} (${reason}) in the end`];
      const truth = book.now(orgId, day);
      if (!isStored || !living.has(orgId) || cell.nextReadAtMs === null) return [];
      if (!truth) return [`${nameOf(cell)}: nobody knows the truth`];
      return agrees(cell, truth)
        ? []
        : [`${nameOf(cell)}: ${JSON.stringify(cell.rows)} is stored in the end`];
    });
}
