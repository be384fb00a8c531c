import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { ageOf, type DatabaseView, RUN_RESULTS, type RunResult, shownHealth } from '../console/sources.ts';
import type { InstanceHealth, StreamHealth } from '../queries/health.ts';
import { dayEndMs, dayStartMs } from '../usage/day.ts';
import { standings } from '../usage/standing.ts';

/** The outcome of a wake-up of the schedule. `skipped`: a run was under way, and another follows it. */
export type WakeOutcome = (typeof WAKE_OUTCOMES)[number];
const WAKE_OUTCOMES = ['on_time', 'missed', 'skipped'] as const;

export interface RequestFacts {
  /** The action asked for: one of a few names, never an id. */
  readonly action: string;
  readonly status: number | null;
  readonly durationMs: number;
  readonly gateWaitMs: number;
  readonly retryReason: string | null;
}

/** The effects of a run on the database, and the oddities of the answers it received. */
export interface RunFacts {
  readonly rows: Readonly<Record<'inserted' | 'updated' | 'deleted' | 'unchanged', number>>;
  readonly restated: number;
  readonly outsideBuckets: number;
}

const PREFIX = 'losant_usage_';

export type Metrics = ReturnType<typeof createMetrics>;

export interface MetricsOptions {
  readonly version: string;
  readonly instanceIds: readonly string[];
  readonly startedAtMs: number;
}

/** Creates the worker's metrics, beside the usual ones of a process. Names and labels are a stable contract. */
export function createMetrics({ version, instanceIds, startedAtMs }: MetricsOptions) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name } of registry.getMetricsAsArray()) if (!isUseful(name)) registry.removeSingleMetric(name);
  const work = createWorkMetrics(registry);
  const ledger = createLedgerMetrics(registry, startedAtMs);
  makersOf(registry).gauge('build_info', 'Always 1, with the version.', 'version').set({ version }, 1);
  for (const outcome of WAKE_OUTCOMES) work.wakes.inc({ outcome }, 0);
  for (const instance_id of instanceIds) {
    work.tokenRefused.set({ instance_id }, 0);
    for (const result of RUN_RESULTS) work.runs.inc({ instance_id, result }, 0);
  }
  return {
    contentType: registry.contentType,
    countWake: (outcome: WakeOutcome) => work.wakes.inc({ outcome }),
    countRequest({ action: endpoint, status, durationMs, gateWaitMs, retryReason }: RequestFacts) {
      work.requests.inc({ endpoint, status: status === null ? 'none' : `${Math.floor(status / 100)}xx` });
      work.requestSeconds.observe({ endpoint }, Math.max(0, durationMs) / 1_000);
      work.waitSeconds.inc(Math.max(0, gateWaitMs) / 1_000);
      if (retryReason !== null) work.retries.inc({ reason: retryReason });
    },
    countRun(instance_id: string, run: { result: RunResult; durationMs: number; endedAtMs: number }) {
      const { result, durationMs, endedAtMs } = run;
      work.runs.inc({ instance_id, result });
      if (result !== 'standby') work.runSeconds.observe(durationMs / 1_000);
      if (result === 'complete') ledger.showLastComplete(instance_id, endedAtMs);
    },
    countWork({ rows, restated, outsideBuckets }: RunFacts) {
      for (const [operation, count] of Object.entries(rows)) work.rows.inc({ operation }, count);
      work.restatements.inc(restated);
      work.outsideBuckets.inc(outsideBuckets);
    },
    showTokenRefused: (instance_id: string, isRefused: boolean) =>
      work.tokenRefused.set({ instance_id }, isRefused ? 1 : 0),
    /** Returns the text of a scrape. While the database does not answer, its gauges are left out. */
    async render(view: DatabaseView, nowMs: number): Promise<string> {
      ledger.show(view, nowMs);
      return await registry.metrics();
    },
  };
}

/** Whether a metric of the process helps to see what is wrong: spaces of the heap and percentiles do not. */
function isUseful(name: string): boolean {
  return (
    name.startsWith('process_') ||
    /^nodejs_(eventloop_lag_seconds|heap_size_(total|used)_bytes|version_info)$/.test(name)
  );
}

function makersOf(registry: Registry) {
  const base = { registers: [registry] };
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter({ ...base, name: PREFIX + name, help, labelNames }),
    gauge: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge({ ...base, name: PREFIX + name, help, labelNames }),
    histogram: <Label extends string>(
      name: string,
      help: string,
      buckets: number[],
      ...labelNames: Label[]
    ) => new Histogram({ ...base, name: PREFIX + name, help, labelNames, buckets }),
  };
}

function createWorkMetrics(registry: Registry) {
  const { counter, gauge, histogram } = makersOf(registry);
  return {
    wakes: counter(
      'wakeups_total',
      'Wake-ups of the schedule: on_time, missed (process paused), skipped (a run was under way, another follows).',
      'outcome',
    ),
    runs: counter(
      'runs_total',
      'Runs of an instance by this process, by how they ended.',
      'instance_id',
      'result',
    ),
    runSeconds: histogram(
      'run_duration_seconds',
      'Duration of runs of an instance.',
      [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400],
    ),
    requests: counter(
      'requests_total',
      'Requests sent to Losant, by endpoint and class of the answer.',
      'endpoint',
      'status',
    ),
    requestSeconds: histogram(
      'request_duration_seconds',
      'Time from sending a request to the end of its answer.',
      [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      'endpoint',
    ),
    retries: counter('request_retries_total', 'Requests that were sent again, by what was wrong.', 'reason'),
    waitSeconds: counter(
      'rate_limit_wait_seconds_total',
      'Time requests waited for a free slot, the rate, and pauses that Losant asked for.',
    ),
    rows: counter('rows_total', "Rows of an organization's day, by what was done with them.", 'operation'),
    restatements: counter(
      'restatements_total',
      'Cells whose stored numbers changed in Losant, as this process found.',
    ),
    outsideBuckets: counter('outside_buckets_total', 'Buckets of days that were not asked for, dropped.'),
    tokenRefused: gauge('token_refused', 'Whether Losant refuses the token of the instance.', 'instance_id'),
  };
}

/** A number of the ledger: its help, and its value; null for no sample. */
type Sampled<Health> = readonly [help: string, valueOf: (health: Health, nowMs: number) => number | null];

const OF_INSTANCE: Readonly<Record<string, Sampled<InstanceHealth>>> = {
  organizations: ['Organizations of the instance that exist in Losant.', (each) => each.organizations],
  oldest_gap_age_seconds: [
    'Time since the end of the oldest usage day with a gap; 0 without a gap.',
    ({ streams }, nowMs) => {
      const [oldest] = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort();
      return oldest === undefined ? 0 : (nowMs - dayEndMs(oldest)) / 1_000;
    },
  ],
  gaps_expiring: [
    'Gaps that pass the horizon within 7 days and are then no longer available.',
    ({ streams }) => streams.reduce((sum, { expiring }) => sum + expiring, 0),
  ],
  organization_list_incomplete: [
    'Whether the newest list of organizations was not complete, so that some may be missing.',
    ({ listProblem }) => (listProblem === null ? 0 : 1),
  ],
  quarantined: [
    'Cells whose newest answer is in quarantine.',
    ({ streams }) => streams.reduce((sum, { quarantined }) => sum + quarantined, 0),
  ],
  reconciliation_differences: [
    "Settled numbers that differ from Losant's own totals, or from their counterparts.",
    (each) => each.differences,
  ],
};

const OF_STREAM: Readonly<Record<string, Sampled<StreamHealth>>> = {
  organizations_tracked: ['Organizations that are exported now.', (each) => each.orgs],
  organizations_complete: [
    'Organizations that are exported now of which nothing is missing.',
    (each) => each.orgsComplete,
  ],
  complete_to_timestamp_seconds: [
    'Start of the last usage day up to which nothing is missing; no sample if even the first wanted day is.',
    ({ completeTo }) => (completeTo === null ? null : dayStartMs(completeTo) / 1_000),
  ],
  newest_day_read_timestamp_seconds: [
    'End of the newest usage day of the last ten that was read for any organization; no sample if none was.',
    ({ newestReadDay }) => (newestReadDay === null ? null : dayEndMs(newestReadDay) / 1_000),
  ],
  failing_cells: ['Stored cells whose reads keep failing.', (each) => each.failing],
  yesterday_open_cells: [
    'Wanted cells of yesterday that are waiting, in doubt or missing; 0 once yesterday is complete.',
    ({ yesterday: { waiting, in_doubt, missing } }) => waiting + in_doubt + missing,
  ],
};

/**
 * Creates what is read from the database at each scrape, so that every replica shows the same. While the database is
 * unreachable, only values that cannot decrease are shown.
 */
function createLedgerMetrics(registry: Registry, startedAtMs: number) {
  const { counter, gauge } = makersOf(registry);
  const databaseUp = gauge('database_up', 'Whether the database answered a trivial query in time.');
  const age = gauge(
    'database_reading_age_seconds',
    'Age of the reading that the gauges of organizations, cells and gaps show; since the start before the first.',
  );
  const readSeconds = gauge('database_reading_seconds', 'How long that reading took.');
  const lastComplete = gauge(
    'last_complete_run_timestamp_seconds',
    'When a run over everything last did all that it had to, in any process; older gaps have gauges of their own.',
    'instance_id',
  );
  const changed = counter(
    'final_changes_total',
    'Numbers that changed although they were final, restated by Losant, as the database has them on record.',
    'instance_id',
  );
  const showLedger = createLedgerGauges(registry);
  const showLastComplete = (instance_id: string, atMs: number) =>
    lastComplete.set({ instance_id }, atMs / 1_000);
  return {
    // A run that this process has seen itself is shown while the database is unreachable.
    showLastComplete,
    show(view: DatabaseView, nowMs: number) {
      databaseUp.set(view.isUp ? 1 : 0);
      age.set(ageOf(view, { nowMs, sinceMs: startedAtMs }) / 1_000);
      if (view.reading) readSeconds.set(view.reading.tookMs / 1_000);
      const instances = shownHealth(view)?.instances ?? [];
      showLedger(instances, nowMs);
      for (const { instanceId, lastCompleteRunAt, finalChanges } of instances) {
        changed.remove({ instance_id: instanceId });
        changed.inc({ instance_id: instanceId }, finalChanges);
        if (lastCompleteRunAt !== null) showLastComplete(instanceId, Date.parse(lastCompleteRunAt));
      }
    },
  };
}

/** Creates the gauges that are left out while the database is unreachable. Returns what sets them. */
function createLedgerGauges(registry: Registry) {
  const { gauge } = makersOf(registry);
  const cells = gauge(
    'cells',
    'Wanted cells (organization, stream and usage day) up to yesterday, by standing.',
    'instance_id',
    'stream',
    'standing',
  );
  const ofInstance = Object.entries(OF_INSTANCE).map(([name, [help, valueOf]]) => ({
    shown: gauge(name, help, 'instance_id'),
    valueOf,
  }));
  const ofStream = Object.entries(OF_STREAM).map(([name, [help, valueOf]]) => ({
    shown: gauge(name, help, 'instance_id', 'stream'),
    valueOf,
  }));
  return (instances: readonly InstanceHealth[], nowMs: number) => {
    for (const each of [cells, ...[...ofInstance, ...ofStream].map(({ shown }) => shown)]) each.reset();
    for (const instance of instances) {
      const labels = { instance_id: instance.instanceId };
      for (const { shown, valueOf } of ofInstance) shown.set(labels, valueOf(instance, nowMs) ?? 0);
      for (const health of instance.streams) {
        const { stream } = health;
        for (const { shown, valueOf } of ofStream) {
          const value = valueOf(health, nowMs);
          if (value !== null) shown.set({ ...labels, stream }, value);
        }
        for (const standing of standings) cells.set({ ...labels, stream, standing }, health.cells[standing]);
      }
    }
  };
}
