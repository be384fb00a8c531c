import { isRejection, type LosantError } from '../errors.ts';
import type { FailureGroup, RunCounts, RunKind, RunStatus } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import { showCode } from '../terminal/words.ts';
import { type CellKey, type CellResult, type CellUpdate, cellId, type Reason } from '../usage/cell.ts';
import { type DayRange, earliestDay, latestDay, mergeDays, type UsageDay } from '../usage/day.ts';
import { ID_PATTERN } from '../usage/organization.ts';
import type { Slice } from '../usage/plan.ts';
import { isLate } from '../usage/policy.ts';
import { isGap } from '../usage/standing.ts';
import type { RunContext } from './context.ts';
import type { PlanPart } from './preview.ts';

/** Bounds the memory for failures. Cells that fail beyond it are counted but not listed. */
const FAILURES_MAX = 10_000;

/** Bounds the memory for the count of organizations. */
const ORGS_MAX = 100_000;

export interface RunFailure {
  /** Null if the failure may concern any organization. */
  readonly orgId: string | null;
  readonly stream: string | null;
  /** The first and the last day; null if the failure is not about days. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly code: string;
  readonly message: string;
}

/** The result of a run, as `--json` prints it. */
export interface RunReport extends RunCounts {
  /** Null if nothing was due: such a run is not recorded. */
  readonly runId: string | null;
  readonly kind: RunKind;
  readonly status: Exclude<RunStatus, 'running'>;
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly durationMs: number;
  /** What a backfill leaves to the next runs: the days between its range and the tracked days. Null if nothing. */
  readonly between: PlanPart | null;
  readonly failures: readonly RunFailure[];
}

const NOT_FOUND = 'not_found';

/** What follows from a failure of the database in a run. */
export const NEXT_RUN_CONTINUES = 'the next run continues';

/** Counts the cells of a run by result, and collects its failures. */
export class Tally {
  readonly cells = { loaded: 0, unchanged: 0, omitted: 0, failed: 0, quarantined: 0, unavailable: 0 };
  readonly rows = { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
  restatedFinal = 0;
  /** Whether the list of failures was cut: then only the ledger knows which cells have been read since. */
  isListCut = false;
  unknownKeys = 0;
  outsideBuckets = 0;
  range: DayRange | null = null;
  readonly #context: Pick<RunContext, 'requestCount' | 'now'>;
  /** Failures that are not about cells. */
  readonly #otherFailures: RunFailure[] = [];
  /** Failures by cell. If the cell is read well later in the run, its failure is removed. */
  readonly #cellFailures = new Map<string, RunFailure>();
  readonly #gaps = new Set<string>();
  readonly #orgIds = new Set<string>();
  /** At most a few hundred: days inside the horizon, by stream. */
  readonly #loadedDays = new Map<string, { readonly day: UsageDay; readonly stream: string }>();

  constructor(context: Pick<RunContext, 'requestCount' | 'now'>) {
    this.#context = context;
  }

  get planned(): number {
    return Object.values(this.cells).reduce((sum, count) => sum + count, 0);
  }

  get failedReads(): number {
    return this.cells.failed + this.cells.quarantined;
  }

  get counts(): RunCounts {
    const cells = { planned: this.planned, ...this.cells };
    return { orgs: this.orgCount, cells, rows: { ...this.rows }, requests: this.#context.requestCount() };
  }

  /** Whether a listed cell that was due is now missing or in doubt, or its read failed. */
  get hasFailedCells(): boolean {
    return this.#cellFailures.size > 0;
  }

  get hasGaps(): boolean {
    return this.#gaps.size > 0;
  }

  /** The days and streams of which numbers were loaded. */
  get loadedDays(): readonly { readonly day: UsageDay; readonly stream: string }[] {
    return [...this.#loadedDays.values()];
  }

  /** Counts an organization that is read. Those of a page are read together, and come once for each of its days. */
  countOrg(orgId: string): void {
    if (this.#orgIds.size < ORGS_MAX) this.#orgIds.add(orgId);
  }

  get orgCount(): number {
    return this.#orgIds.size;
  }

  addFailures(failures: readonly (Pick<RunFailure, 'orgId' | 'code' | 'message'> & Partial<RunFailure>)[]): void {
    for (const failure of failures) {
      this.#otherFailures.push({ stream: null, from: null, to: null, ...failure });
    }
  }

  addCell({ previous, cell, result, differences, problem }: CellUpdate): void {
    const id = cellId(cell);
    this.#count(cell, result);
    const { day, stream } = cell;
    if (cell.revision > previous.revision) this.#loadedDays.set(`${day} ${stream}`, { day, stream });
    if (cell.revision > previous.revision) this.rows[differences === null ? 'inserted' : 'updated'] += 1;
    else if (cell.isStored && result === 'unchanged') this.rows.unchanged += 1;
    if (differences !== null && previous.wasFinal) this.restatedFinal += 1;
    const isMissing = cell.standing === 'waiting' && isLate(cell.day, this.#context.now());
    const standing = isMissing ? 'missing' : cell.standing;
    const isRead = result !== 'failed' && result !== 'quarantined';
    if (!isGap(standing)) this.#gaps.delete(id);
    else if (this.#gaps.size < FAILURES_MAX) this.#gaps.add(id);
    if (standing === 'waived' || (isRead && !isGap(standing))) this.#cellFailures.delete(id);
    else this.#addFailure(cell, problem ?? { code: standing, detail: `it is ${showCode(standing)}` });
  }

  /** Adds the cells of a slice that were not read and stay due, unless they have failed before. */
  addUnreadSlice({ orgId, stream, days }: Slice, reason: Reason): void {
    for (const day of days) {
      const cell = { orgId, stream, day };
      if (this.#cellFailures.has(cellId(cell))) continue;
      this.#count(cell, 'failed');
      this.#addFailure(cell, reason);
    }
  }

  get hasNotFoundErrors(): boolean {
    return [...this.#cellFailures.values()].some(({ code }) => code === NOT_FOUND);
  }

  /** Counts cells of organizations that are not in `orgIds`, because they were deleted, as unavailable. */
  reclassifyDeleted(orgIds: ReadonlySet<string | null>): void {
    for (const [id, { orgId, code }] of this.#cellFailures) {
      if (code !== NOT_FOUND || orgIds.has(orgId)) continue;
      this.#cellFailures.delete(id);
      this.cells.failed -= 1;
      this.cells.unavailable += 1;
    }
  }

  /** Returns the failures by cause, the one with the most cells first. */
  groupFailures(): FailureGroup[] {
    const failures = [...this.#otherFailures, ...this.#cellFailures.values()];
    const toCause = ({ code, stream, message }: RunFailure) => `${code} ${stream} ${withoutIdsAndDays(message)}`;
    const groups = Map.groupBy(failures, toCause);
    return [...groups.values()]
      .map((group): FailureGroup => {
        const { code, message, stream, orgId } = group[0] as RunFailure;
        return {
          code,
          message: withoutIdsAndDays(message),
          stream,
          cells: group.filter(({ stream: name, from }) => name !== null && from !== null).length,
          orgs: new Set(group.flatMap((failure) => failure.orgId ?? [])).size,
          example: orgId,
        };
      })
      .toSorted((a, b) => b.cells - a.cells)
      .slice(0, GROUPS_MAX);
  }

  toReport(run: Pick<RunReport, 'runId' | 'kind' | 'status' | 'durationMs' | 'between'>): RunReport {
    const { from, to } = this.range ?? { from: null, to: null };
    const { durationMs, between, ...head } = run;
    const failures = [...this.#otherFailures, ...joinFailures([...this.#cellFailures.values()])];
    return { ...head, from, to, ...this.counts, durationMs, between, failures };
  }

  #count({ day }: CellKey, result: CellResult): void {
    this.cells[result] += 1;
    this.range = { from: earliestDay(this.range?.from, day), to: latestDay(this.range?.to, day) };
  }

  #addFailure({ orgId, stream, day }: CellKey, { code, detail }: Reason): void {
    const id = cellId({ orgId, stream, day });
    const failure = { orgId, stream, from: day, to: day, code, message: detail };
    if (this.#cellFailures.size < FAILURES_MAX || this.#cellFailures.has(id)) this.#cellFailures.set(id, failure);
    else this.isListCut = true;
  }
}

const GROUPS_MAX = 20;

/** Returns a message without IDs and days, so that equal messages can be grouped. */
export function withoutIdsAndDays(message: string): string {
  return message
    .replaceAll(/ \((?:instance|org|days) [^()]*\)/g, '')
    .replaceAll(new RegExp(`\\b${ID_PATTERN}\\b`, 'g'), 'ID')
    .replaceAll(/\b\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?\b/g, 'DAY');
}

/** Joins equal failures of consecutive days into one with a range, newest first. */
function joinFailures(failures: readonly RunFailure[]): RunFailure[] {
  const groups = Map.groupBy(failures, ({ orgId, stream, code, message }) =>
    JSON.stringify([orgId, stream, code, message]),
  );
  return [...groups.values()].flatMap((group) => {
    const ranges = mergeDays(group.flatMap(({ from }) => from ?? [])).toReversed();
    return ranges.map((range) => ({ ...(group[0] as RunFailure), ...range }));
  });
}

export interface RunOutcome {
  readonly report: RunReport;
  readonly tally: Tally;
  /** Losant's rejection of the token or of a scope; null if there was none. */
  readonly rejection: LosantError | null;
}

/** Failures whose message says what to do, as that of a rejection does, and of which no command shows more. */
const SELF_EXPLANATORY = ['past_horizon', 'not_tracked', 'org_unknown', 'org_unreadable'];

/** Returns the command that shows what is wrong after a run that is not complete; null if its failures say all. */
export function findNextCommand(outcome: {
  readonly report: Pick<RunReport, 'failures'>;
  readonly tally: Pick<Tally, 'hasGaps'>;
}): string | null {
  const { failures } = outcome.report;
  if (outcome.tally.hasGaps) return 'losant-usage gaps';
  const unexplained = failures.filter(({ code }) => !isRejection(code) && !SELF_EXPLANATORY.includes(code));
  if (failures.length > 0 && unexplained.length === 0) return null;
  const failure = unexplained.find(({ orgId, stream, to }) => orgId !== null && stream !== null && to !== null);
  if (failure === undefined) return 'losant-usage status';
  // A stored cell whose last read failed is not a gap.
  const { orgId, stream, to } = failure;
  return `losant-usage explain --org ${orgId} --day ${to} --stream ${stream}`;
}

/** Logs a line for a run, and another if final cells were restated. */
export function logRun(logger: Logger, { report, tally, rejection }: RunOutcome): void {
  const { runId, durationMs, failures, ...facts } = report;
  const { status } = report;
  const fields = {
    run_id: runId,
    ...facts,
    duration_ms: durationMs,
    restated: tally.rows.updated,
    restated_final: tally.restatedFinal,
    unknown_keys: tally.unknownKeys,
    outside_buckets: tally.outsideBuckets,
    failures: failures.length,
    rejection: rejection?.message,
  };
  if (status === 'complete' && !rejection) logger.info(fields, 'run finished');
  else logger.warn({ ...fields, first_failure: failures[0] }, 'run finished with missing data');
  if (tally.restatedFinal > 0) {
    const restatement = { run_id: runId, cells: tally.restatedFinal };
    logger.warn(restatement, 'final cells were restated; see the view restatements');
  }
}
