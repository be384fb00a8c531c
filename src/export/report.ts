import type { Updateable } from 'kysely';
import type { Runs } from '../database/schema.ts';
import type { CrossCheckedCell, LoadedCell, LoadResult } from '../ledger/load.ts';
import type { RowCounts } from '../ledger/numbers.ts';
import type { RunKind, RunStatus } from '../ledger/runs.ts';
import type { RunFailure } from '../queries/runs.ts';
import type { CellResult } from '../usage/cell.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';
import { isLate } from '../usage/policy.ts';
import type { DiscoveryFailure } from './discover.ts';

/**
 * The most failures kept for the report, so that memory stays flat; the counts beside them always
 * cover all.
 */
const FAILURES_MAX = 10_000;

/** A failed part of the export. The days are null if the failure concerns the organization itself. */
export interface Failure {
  readonly instanceId: string;
  readonly orgId: string | null;
  readonly stream: string | null;
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly code: string;
  readonly message: string;
}

/** The result of a run, as `--json` prints it. */
export type RunReport = ReturnType<Tally['toReport']>;

/** The facts of a report that are not added up. */
interface RunFacts {
  /** The run; null if nothing was due, so that no run was recorded. */
  readonly runId: string | null;
  readonly kind: RunKind;
  readonly status: Exclude<RunStatus, 'running'>;
  readonly durationMs: number;
}

/** Tally adds up the results of a run's cells. */
export class Tally {
  readonly cells: Record<CellResult, number> = {
    loaded: 0,
    unchanged: 0,
    left_out: 0,
    failed: 0,
    quarantined: 0,
    unavailable: 0,
  };
  readonly rows: Record<string, RowCounts> = {};
  /** The first failures, one per cell. */
  readonly failures: Failure[] = [];
  orgs = 0;
  requests = 0;
  restated = 0;
  restatedFinal = 0;
  unknownKeys = 0;
  outsideBuckets = 0;
  /** The number of cells that Losant left out although their day is late. */
  lateOmissions = 0;
  /** The number of cells that were asked for and cannot be read. */
  unreadable = 0;
  range: DayRange | null = null;
  /** The days between a backfill and the days tracked already, which it made tracked too. */
  alsoTracked: DayRange | null = null;
  /** The days whose numbers were loaded, first or anew, by stream. */
  readonly loadedDays = new Map<string, Set<UsageDay>>();
  /** The number of cells that were due and are without a number although none of their reads failed. */
  undone = 0;
  /** The number of gaps that the ledger has in the scope of the run, other than its own failures. */
  gapsLeft = 0;
  readonly #instanceId: string;
  /** The number of cells that failed because their organization was not found, by organization. */
  readonly #notFound = new Map<string, number>();

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** Whether everything that was due or asked for has been read and stored, whatever gaps are older. */
  get didAll(): boolean {
    return this.failures.length === 0 && this.undone === 0 && this.unreadable === 0;
  }

  get planned(): number {
    return Object.values(this.cells).reduce((sum, count) => sum + count, 0);
  }

  addLoad({ cells, crossChecked, rows }: LoadResult): void {
    for (const cell of cells) if (!isClosedStored(cell)) this.#addCell(cell);
    for (const cell of crossChecked) this.#addCrossChecked(cell);
    for (const [table, counts] of Object.entries(rows)) {
      const sum = this.rows[table] ?? { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
      for (const key of ROW_KEYS) sum[key] += counts[key];
      this.rows[table] = sum;
    }
  }

  /** Adds cells that were not read because Losant refused the token or a scope. */
  addRefused({
    days,
    ...where
  }: Omit<Failure, 'instanceId' | 'from' | 'to'> & { days: readonly UsageDay[] }): void {
    for (const day of days) {
      this.cells.failed += 1;
      this.#addFailure({ instanceId: this.#instanceId, ...where, from: day, to: day });
      this.#widenRange(day);
    }
  }

  addDiscoveryFailures(failures: readonly DiscoveryFailure[]): void {
    for (const failure of failures) {
      this.#addFailure({ instanceId: this.#instanceId, stream: null, from: null, to: null, ...failure });
    }
  }

  /** The organizations that Losant did not know when their usage was asked for. */
  get notFoundOrgs(): string[] {
    return [...this.#notFound.keys()];
  }

  /** Takes back the failures of organizations that proved to be removed; their cells are counted again. */
  forgetNotFound(orgIds: readonly string[]): void {
    for (const orgId of orgIds) {
      this.cells.failed -= this.#notFound.get(orgId) ?? 0;
      this.#notFound.delete(orgId);
    }
    const kept = this.failures.filter(
      ({ orgId, code }) => code !== NOT_FOUND || !orgIds.includes(orgId ?? ''),
    );
    this.failures.splice(0, this.failures.length, ...kept);
  }

  /** Returns the failures by cause, the most frequent first. */
  groupFailures(): RunFailure[] {
    const groups = Map.groupBy(
      this.failures,
      ({ code, stream, message }) => `${code} ${stream} ${shapeOf(message)}`,
    );
    return [...groups.values()]
      .map((group) => {
        const { code, message, stream, orgId: example } = group[0] as Failure;
        return {
          code,
          message,
          stream,
          cells: group.length,
          orgs: new Set(group.map(({ orgId }) => orgId)).size,
          example,
        };
      })
      .sort((a, b) => b.cells - a.cells)
      .slice(0, GROUPS_MAX);
  }

  toCounts(): Updateable<Runs> {
    const { cells } = this;
    const rows = sumRows(this.rows);
    return {
      orgs: this.orgs,
      cells_planned: this.planned,
      cells_loaded: cells.loaded,
      cells_unchanged: cells.unchanged,
      cells_left_out: cells.left_out,
      cells_failed: cells.failed,
      cells_quarantined: cells.quarantined,
      cells_unavailable: cells.unavailable,
      cells_restated: this.restated,
      cells_restated_final: this.restatedFinal,
      rows_inserted: rows.inserted,
      rows_updated: rows.updated,
      rows_deleted: rows.deleted,
      rows_unchanged: rows.unchanged,
      requests: this.requests,
    };
  }

  toReport({ runId, kind, status, durationMs }: RunFacts) {
    const { orgs, requests, gapsLeft, alsoTracked } = this;
    return {
      ...{ runId, kind, status, from: this.range?.from ?? null, to: this.range?.to ?? null, orgs },
      // `planned` is the sum of the others.
      ...{ cells: { planned: this.planned, ...this.cells }, rows: sumRows(this.rows), requests, durationMs },
      ...{ failures: mergeDays(this.failures), gapsLeft, alsoTracked },
    } as const;
  }

  #addCell({ answer, result, problem, isRestated, wasFinal }: LoadedCell): void {
    const { orgId, stream, day } = answer;
    this.cells[result] += 1;
    this.#widenRange(day);
    if (result === 'loaded') {
      this.loadedDays.set(stream, (this.loadedDays.get(stream) ?? new Set()).add(day));
    }
    if (result === 'left_out' && isLate(day, answer.sentAtMs)) this.lateOmissions += 1;
    if (isRestated) this.restated += 1;
    if (isRestated && wasFinal) this.restatedFinal += 1;
    if (problem && (result === 'failed' || result === 'quarantined')) {
      const where = { instanceId: this.#instanceId, orgId, stream, from: day, to: day };
      this.#addFailure({ ...where, ...problem });
    }
  }

  /**
   * Counts a cell as loaded that was counted as missing when it was read and has received its zeros
   * since.
   */
  #addCrossChecked({ day, verifiedAtMs, countedAs, isRestated, wasFinal }: CrossCheckedCell): void {
    if (isRestated) this.restated += 1;
    if (isRestated && wasFinal) this.restatedFinal += 1;
    if (countedAs === null) return;
    this.cells[countedAs] -= 1;
    this.cells.loaded += 1;
    if (countedAs === 'left_out' && verifiedAtMs !== null && isLate(day, verifiedAtMs))
      this.lateOmissions -= 1;
  }

  #addFailure(failure: Failure): void {
    if (this.failures.length < FAILURES_MAX) this.failures.push(failure);
    if (failure.code === NOT_FOUND && failure.orgId !== null) {
      this.#notFound.set(failure.orgId, (this.#notFound.get(failure.orgId) ?? 0) + 1);
    }
  }

  #widenRange(day: UsageDay): void {
    const { from, to } = this.range ?? { from: day, to: day };
    this.range = { from: day < from ? day : from, to: day > to ? day : to };
  }
}

/** Whether a stored cell is no longer read: nothing was read, and nothing is missing. */
function isClosedStored({ answer, result }: LoadedCell): boolean {
  return answer.outcome.kind === 'closed' && result === 'unchanged';
}

const GROUPS_MAX = 20;

/** `shapeOf` returns a message without the parts that differ between organizations and days. */
function shapeOf(message: string): string {
  return message.replaceAll(/[0-9a-f]{24}|\d+/g, '#');
}

const NOT_FOUND = 'not_found';
const ROW_KEYS = ['inserted', 'updated', 'deleted', 'unchanged'] as const;

function sumRows(rows: Readonly<Record<string, RowCounts>>): RowCounts {
  const sum = { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
  for (const counts of Object.values(rows)) for (const key of ROW_KEYS) sum[key] += counts[key];
  return sum;
}

/** `mergeDays` joins like failures of neighbouring days into one with a range; newest first. */
function mergeDays(failures: readonly Failure[]): Failure[] {
  const groups = Map.groupBy(failures, ({ orgId, stream, code, message }) =>
    JSON.stringify([orgId, stream, code, message]),
  );
  return [...groups.values()].flatMap((group) => {
    const merged: Failure[] = [];
    for (const failure of group.toSorted((a, b) => ((a.from ?? '') < (b.from ?? '') ? 1 : -1))) {
      const last = merged.at(-1);
      const isNext = last?.from != null && failure.to !== null && addDays(failure.to, 1) >= last.from;
      if (last && isNext) merged[merged.length - 1] = { ...last, from: failure.from };
      else merged.push(failure);
    }
    return merged;
  });
}
