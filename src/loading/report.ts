import type { LosantError } from '../errors.ts';
import type { LoadedCell } from '../ledger/coverage.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import { type CellKey, type CellResponse, type CellResult, cellId, type Reason } from '../usage/cell.ts';
import { type DayRange, earliestDay, latestDay, mergeDays, type UsageDay } from '../usage/day.ts';

/** The most failures kept for the report, so that memory stays flat; the counts beside them always cover all. */
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
export interface RunReport extends RunCounts {
  /** The run; null if nothing was due, so that no run was recorded. */
  readonly runId: string | null;
  readonly kind: RunKind;
  readonly status: Exclude<RunStatus, 'running'>;
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly durationMs: number;
  readonly failures: readonly Failure[];
}

const NOT_FOUND = 'not_found';

/** Adds up what becomes of a run's cells. */
export class Tally {
  readonly cells = { loaded: 0, unchanged: 0, omitted: 0, failed: 0, quarantined: 0, unavailable: 0 };
  readonly rows = { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
  readonly orgIds = new Set<string>();
  restatedFinal = 0;
  unknownKeys = 0;
  outsideBuckets = 0;
  range: DayRange | null = null;
  readonly #instanceId: string;
  readonly #requestCount: () => number;
  /** Failures of organizations and of the list. */
  readonly #general: Failure[] = [];
  /** Failures by cell; a cell that a later pass read well has none. */
  readonly #ofCells = new Map<string, Failure>();
  /** The number of failed cells beyond those kept. */
  #unkept = 0;

  /** Takes a function that returns the number of requests that the run has sent so far. */
  constructor(instanceId: string, requestCount: () => number) {
    this.#instanceId = instanceId;
    this.#requestCount = requestCount;
  }

  get planned(): number {
    return Object.values(this.cells).reduce((sum, count) => sum + count, 0);
  }

  /** The results of the run so far. */
  get counts(): RunCounts {
    const cells = { planned: this.planned, ...this.cells };
    return { orgs: this.orgIds.size, cells, rows: { ...this.rows }, requests: this.#requestCount() };
  }

  /** Whether some cell that was due ended missing, in doubt or failed. */
  get hasFailedCells(): boolean {
    return this.#ofCells.size > 0 || this.#unkept > 0;
  }

  /** Adds failures that concern no cell of this run. */
  addFailures(failures: readonly (Pick<Failure, 'orgId' | 'code' | 'message'> & Partial<Failure>)[]): void {
    for (const failure of failures) {
      this.#general.push({ instanceId: this.#instanceId, stream: null, from: null, to: null, ...failure });
    }
  }

  /** Adds a cell that was loaded. */
  addCell(loaded: LoadedCell): void {
    const { before, numbers, differences, cell, result, problem, standing } = loaded;
    this.#count(loaded, result);
    if (numbers !== null) this.rows[differences === null ? 'inserted' : 'updated'] += 1;
    else if (cell.isStored && result === 'unchanged') this.rows.unchanged += 1;
    if (differences !== null && before.wasFinal) this.restatedFinal += 1;
    const isRead = result !== 'failed' && result !== 'quarantined';
    const isWell = standing === 'waived' || (isRead && standing !== 'missing' && standing !== 'in_doubt');
    if (isWell) this.#ofCells.delete(cellId(loaded));
    else this.#fail(loaded, problem ?? { code: standing, detail: `it is ${standing}` });
  }

  /** Adds cells that were not read because Losant refused the token or a scope. */
  addRefused(answers: readonly CellResponse[]): void {
    for (const answer of answers) {
      this.#count(answer, 'failed');
      if (answer.verdict.kind === 'failed') this.#fail(answer, answer.verdict);
    }
  }

  /** Whether Losant did not know an organization when its usage was asked for. */
  get hasNotFoundErrors(): boolean {
    return [...this.#ofCells.values()].some(({ code }) => code === NOT_FOUND);
  }

  /**
   * Counts cells of organizations that turned out to be deleted, and are not in `orgIds`, as unavailable instead
   * of failed.
   */
  reclassifyDeleted(orgIds: ReadonlySet<string | null>): void {
    for (const [id, { orgId, code }] of this.#ofCells) {
      if (code !== NOT_FOUND || orgIds.has(orgId)) continue;
      this.#ofCells.delete(id);
      this.cells.failed -= 1;
      this.cells.unavailable += 1;
    }
  }

  /** Returns the failures by cause, the most frequent first. */
  groupFailures(): FailureGroup[] {
    const groups = Map.groupBy([...this.#general, ...this.#ofCells.values()], ({ code, stream, message }) => {
      return `${code} ${stream} ${withoutIdsAndDays(message)}`;
    });
    return [...groups.values()]
      .map((group): FailureGroup => {
        const { code, message, stream, orgId } = group[0] as Failure;
        return {
          code,
          message: withoutIdsAndDays(message),
          stream,
          cells: group.filter(({ from }) => from !== null).length,
          orgs: new Set(group.flatMap((failure) => failure.orgId ?? [])).size,
          example: orgId,
        };
      })
      .toSorted((a, b) => b.cells - a.cells)
      .slice(0, GROUPS_MAX);
  }

  toReport(end: Pick<RunReport, 'runId' | 'kind' | 'status' | 'durationMs'>): RunReport {
    const { from, to } = this.range ?? { from: null, to: null };
    const { durationMs, ...head } = end;
    const failures = [...this.#general, ...joinDays([...this.#ofCells.values()])];
    return { ...head, from, to, ...this.counts, durationMs, failures };
  }

  #count({ day }: CellKey, result: CellResult): void {
    this.cells[result] += 1;
    this.range = { from: earliestDay(this.range?.from, day), to: latestDay(this.range?.to, day) };
  }

  #fail({ orgId, stream, day }: CellKey, { code, detail }: Reason): void {
    const id = cellId({ orgId, stream, day });
    const failure = {
      instanceId: this.#instanceId,
      orgId,
      stream,
      from: day,
      to: day,
      code,
      message: detail,
    };
    if (this.#ofCells.size < FAILURES_MAX || this.#ofCells.has(id)) this.#ofCells.set(id, failure);
    else this.#unkept += 1;
  }
}

const GROUPS_MAX = 20;

/** Returns a message without ids and days, which Losant's errors put in parentheses. */
export function withoutIdsAndDays(message: string): string {
  return message
    .replaceAll(/ \((?:instance|org|days) [^()]*\)/g, '')
    .replaceAll(/\b[0-9a-f]{24}\b/g, 'ID')
    .replaceAll(/\b\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?\b/g, 'DAY');
}

/** Joins like failures of neighbouring days into one with a range; newest first. */
function joinDays(failures: readonly Failure[]): Failure[] {
  const groups = Map.groupBy(failures, ({ orgId, stream, code, message }) =>
    JSON.stringify([orgId, stream, code, message]),
  );
  return [...groups.values()].flatMap((group) => {
    const ranges = mergeDays(group.flatMap(({ from }) => from ?? [])).toReversed();
    return ranges.map((range) => ({ ...(group[0] as Failure), ...range }));
  });
}

/** A run that has come to its end. */
export interface RunOutcome {
  readonly report: RunReport;
  readonly tally: Tally;
  /** Losant's refusal of the token or of a scope. */
  readonly refusal: LosantError | null;
}

/** Logs one line for a run, and another if final numbers were restated. */
export function logRun(logger: Logger, instanceId: string, { report, tally, refusal }: RunOutcome): void {
  const { runId, durationMs, failures, ...facts } = report;
  const { status } = report;
  const fields = {
    instance_id: instanceId,
    run_id: runId,
    ...facts,
    duration_ms: durationMs,
    restated: tally.rows.updated,
    restated_final: tally.restatedFinal,
    unknown_keys: tally.unknownKeys,
    outside_buckets: tally.outsideBuckets,
    failures: failures.length,
    refused: refusal?.message,
  };
  if (status === 'complete' && !refusal) logger.info(fields, 'run finished');
  else logger.warn({ ...fields, first_failure: failures[0] }, 'run finished with missing data');
  if (tally.restatedFinal > 0) {
    const cells = { run_id: runId, cells: tally.restatedFinal };
    logger.warn(cells, 'final cells were restated; see the view restatements');
  }
}
