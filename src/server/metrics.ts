import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { ageOf, type DatabaseView, shownHealth } from '../console/sources.ts';
import { RUN_RESULTS, type RunResult } from '../console/worker-status.ts';
import type { InstanceHealth, StreamHealth } from '../queries/health.ts';
import { dayEndMs, dayStartMs } from '../usage/day.ts';
import { standings } from '../usage/standing.ts';

/** The outcome of a wake-up of the schedule. `skipped`: a run was under way, and another follows it. */
export type WakeOutcome = (typeof WAKE_OUTCOMES)[number];
const WAKE_OUTCOMES = ['on_time', 'missed', 'skipped'] as const;

/** What a worker may have to wait for. */
export type WaitedFor = (typeof WAITED_FOR)[number];
const WAITED_FOR = ['losant', 'database', 'lease'] as const;

/** One request as it was sent. */
export interface RequestFacts {
  /** The action asked for: one of a few names, never an id. */
  readonly action: string;
  readonly status: number | null;
  readonly durationMs: number;
  readonly gateWaitMs: number;
  readonly retryReason: string | null;
}

type RowOperation = 'inserted' | 'updated' | 'deleted' | 'unchanged';

/** The effects of a run on the database, and the oddities of the answers it received. */
export interface RunFacts {
  readonly rows: Readonly<Record<string, Readonly<Record<RowOperation, number>>>>;
  readonly restated: number;
  readonly unknownKeys: number;
  readonly outsideBuckets: number;
}

export interface Metrics {
  countWake(outcome: WakeOutcome): void;
  countRequest(facts: RequestFacts): void;
  countRun(instanceId: string, run: { result: RunResult; durationMs: number; endedAtMs: number }): void;
  countWork(facts: RunFacts): void;
  showTokenRefused(instanceId: string, isRefused: boolean): void;
  /** `showWaiting` shows for how long an instance has waited for something, in ms; 0 while it does not. */
  showWaiting(instanceId: string, waitsFor: WaitedFor, waitedMs: number): void;
  /** `render` returns the text of a scrape. While the database does not answer, its gauges are left out. */
  render(view: DatabaseView, nowMs: number): Promise<string>;
  readonly contentType: string;
}

const PREFIX = 'losant_usage_';

/** Gauges that the library names like counters; each also exists split by kind, under a good name. */
const MISNAMED = ['active_handles', 'active_requests', 'active_resources'];

/** `createMetrics` creates the worker's metrics. Names and labels are a stable contract. */
export function createMetrics({
  version,
  instanceIds,
  startedAtMs,
}: {
  version: string;
  instanceIds: readonly string[];
  startedAtMs: number;
}): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  for (const name of MISNAMED) registry.removeSingleMetric(`${PREFIX}nodejs_${name}_total`);
  const work = createWorkMetrics(registry);
  const health = createHealthGauges(registry, startedAtMs);
  gaugesOf(registry).gauge('build_info', 'Always 1, with the version.', ['version']).set({ version }, 1);
  for (const outcome of WAKE_OUTCOMES) work.wakes.inc({ outcome }, 0);
  for (const instance_id of instanceIds) {
    work.tokenRefused.set({ instance_id }, 0);
    for (const waits_for of WAITED_FOR) work.waiting.set({ instance_id, waits_for }, 0);
    for (const result of RUN_RESULTS) work.runs.inc({ instance_id, result }, 0);
  }
  return {
    contentType: registry.contentType,
    countWake: (outcome) => work.wakes.inc({ outcome }),
    countRequest: (facts) => countRequest(work, facts),
    countRun(instance_id, { result, durationMs, endedAtMs }) {
      work.runs.inc({ instance_id, result });
      if (result !== 'standby') work.runSeconds.observe(durationMs / 1_000);
      if (result === 'complete') health.showLastComplete(instance_id, endedAtMs);
    },
    countWork: (facts) => countWork(work, facts),
    showTokenRefused: (instance_id, isRefused) => work.tokenRefused.set({ instance_id }, isRefused ? 1 : 0),
    showWaiting: (instance_id, waits_for, waitedMs) =>
      work.waiting.set({ instance_id, waits_for }, waitedMs / 1_000),
    render: async (view, nowMs) => {
      health.show(view, nowMs);
      return await registry.metrics();
    },
  };
}

type WorkMetrics = ReturnType<typeof createWorkMetrics>;

function createWorkMetrics(registry: Registry) {
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers: [registry] });
  return {
    wakes: counter(
      'wakeups_total',
      'Wake-ups of the schedule: on_time, missed (process paused), skipped (a run was under way, another follows). How the runs ended is in runs_total.',
      ['outcome'],
    ),
    runs: counter('runs_total', 'Runs of an instance by this process, by how they ended.', [
      'instance_id',
      'result',
    ]),
    runSeconds: new Histogram({
      name: `${PREFIX}run_duration_seconds`,
      help: 'Duration of runs of an instance.',
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400],
      registers: [registry],
    }),
    requests: counter('requests_total', 'Requests sent to Losant, by endpoint and class of the answer.', [
      'endpoint',
      'status',
    ]),
    requestSeconds: new Histogram({
      name: `${PREFIX}request_duration_seconds`,
      help: 'Time from sending a request to the end of its answer.',
      labelNames: ['endpoint'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers: [registry],
    }),
    retries: counter('request_retries_total', 'Requests that were sent again, by what was wrong.', [
      'reason',
    ]),
    waitSeconds: counter(
      'rate_limit_wait_seconds_total',
      'Time requests waited for a free slot, the rate, and pauses that Losant asked for.',
    ),
    rows: counter('rows_total', 'Rows of usage, by table and what was done with them.', [
      'table',
      'operation',
    ]),
    restatements: counter(
      'restatements_total',
      'Cells whose stored numbers changed in Losant, as this process found.',
    ),
    unknownKeys: counter('unknown_keys_total', 'Keys in answers that this version does not know.'),
    outsideBuckets: counter('outside_buckets_total', 'Buckets of days that were not asked for, dropped.'),
    tokenRefused: gaugesOf(registry).perInstance(
      'token_refused',
      'Whether Losant refuses the token of the instance.',
    ),
    waiting: gaugesOf(registry).gauge(
      'waiting_seconds',
      'For how long an instance has waited for Losant, the database or the lease, from a minute on; 0 while it does not.',
      ['instance_id', 'waits_for'],
    ),
  };
}

function countRequest(work: WorkMetrics, facts: RequestFacts): void {
  const { action: endpoint, status, durationMs, gateWaitMs, retryReason } = facts;
  work.requests.inc({ endpoint, status: status === null ? 'none' : `${Math.floor(status / 100)}xx` });
  work.requestSeconds.observe({ endpoint }, Math.max(0, durationMs) / 1_000);
  work.waitSeconds.inc(Math.max(0, gateWaitMs) / 1_000);
  if (retryReason !== null) work.retries.inc({ reason: retryReason });
}

function countWork(work: WorkMetrics, facts: RunFacts): void {
  for (const [table, counts] of Object.entries(facts.rows)) {
    for (const [operation, count] of Object.entries(counts)) work.rows.inc({ table, operation }, count);
  }
  work.restatements.inc(facts.restated);
  work.unknownKeys.inc(facts.unknownKeys);
  work.outsideBuckets.inc(facts.outsideBuckets);
}

interface HealthGauges {
  show(view: DatabaseView, nowMs: number): void;
  showLastComplete(instanceId: string, atMs: number): void;
}

/**
 * `createHealthGauges` creates gauges read from the database at each scrape, so that every replica shows the
 * same. While the database is unreachable, only values that cannot decrease are shown.
 */
function createHealthGauges(registry: Registry, startedAtMs: number): HealthGauges {
  const gauges = createGauges(registry);
  const changed = new Counter({
    name: `${PREFIX}final_changes_total`,
    help: 'Numbers that changed although they were final, restated by Losant or changed by hand, as the database has them on record.',
    labelNames: ['instance_id'],
    registers: [registry],
  });
  const most = { lastCompleteMs: new Map<string, number>(), changed: new Map<string, number>() };
  // A run that this process has seen itself is remembered while the database is unreachable.
  const showLastComplete = (instance_id: string, atMs: number) =>
    gauges.lastComplete.set({ instance_id }, keepMost(most.lastCompleteMs, instance_id, atMs) / 1_000);
  const showChanged = (instance_id: string, count: number) => {
    changed.remove({ instance_id });
    changed.inc({ instance_id }, keepMost(most.changed, instance_id, count));
  };
  return {
    showLastComplete,
    show(view, nowMs) {
      for (const gauge of gauges.ofTheDatabase) gauge.reset();
      gauges.databaseUp.set(view.isUp ? 1 : 0);
      gauges.age.set(ageOf(view, { nowMs, sinceMs: startedAtMs }) / 1_000);
      if (view.reading) gauges.readSeconds.set(view.reading.tookMs / 1_000);
      for (const instance of shownHealth(view)?.instances ?? []) {
        showInstance(gauges, instance, nowMs);
        showChanged(instance.instanceId, instance.finalChanges);
        const { instanceId, lastCompleteRunAt } = instance;
        if (lastCompleteRunAt !== null) showLastComplete(instanceId, Date.parse(lastCompleteRunAt));
      }
    },
  };
}

function keepMost(known: Map<string, number>, key: string, value: number): number {
  const most = Math.max(value, known.get(key) ?? 0);
  known.set(key, most);
  return most;
}

type Gauges = ReturnType<typeof createGauges>;

function createGauges(registry: Registry) {
  const { gauge, perInstance } = gaugesOf(registry);
  const ledger = createLedgerGauges(registry);
  return {
    ...ledger,
    ofTheDatabase: Object.values(ledger),
    databaseUp: gauge('database_up', 'Whether the database answered a trivial query in time.'),
    age: gauge(
      'database_reading_age_seconds',
      'Age of the reading that the gauges of organizations, cells and gaps show; since the start before the first.',
    ),
    readSeconds: gauge('database_reading_seconds', 'How long that reading took.'),
    lastComplete: perInstance(
      'last_complete_run_timestamp_seconds',
      'When a run over everything last did all that it had to, in any process; older gaps have gauges of their own.',
    ),
  };
}

/** `createLedgerGauges` creates gauges that are left out while the database is unreachable. */
function createLedgerGauges(registry: Registry) {
  const { gauge, perInstance, perStream } = gaugesOf(registry);
  return {
    organizations: perInstance('organizations', 'Organizations of the instance that exist in Losant.'),
    tracked: perStream('organizations_tracked', 'Organizations that are tracked up to yesterday.'),
    complete: perStream(
      'organizations_complete',
      'Organizations tracked up to yesterday of which nothing is missing.',
    ),
    completeTo: perStream(
      'complete_to_timestamp_seconds',
      'Start of the last usage day up to which nothing is missing; no sample if even the first tracked day is.',
    ),
    cells: gauge(
      'cells',
      'Tracked cells (organization, stream and usage day) up to yesterday, by standing.',
      ['instance_id', 'stream', 'standing'],
    ),
    yesterday: perStream(
      'yesterday_open_cells',
      'Tracked cells of yesterday that are waiting, in doubt or missing; 0 once yesterday is complete.',
    ),
    gapAge: perInstance(
      'oldest_gap_age_seconds',
      'Time since the end of the oldest usage day with a gap; 0 without a gap.',
    ),
    expiring: perInstance(
      'gaps_expiring',
      'Gaps that pass the horizon within 7 days and are then no longer available.',
    ),
    changedByHand: perInstance(
      'final_numbers_changed_by_hand',
      'Final numbers that somebody changed by hand in the last 30 days.',
    ),
    listIncomplete: perInstance(
      'organization_list_incomplete',
      'Whether the newest list of organizations was not complete, so that some may be missing.',
    ),
    quarantined: perInstance('quarantined', 'Answers in quarantine that no good answer has followed.'),
    differences: gauge(
      'reconciliation_differences',
      "Final numbers that differ from Losant's own totals, of the last five weeks and of months that are not closed, by scope of the view reconciliation; no sample before the first count.",
      ['instance_id', 'scope'],
    ),
  };
}

function gaugesOf(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: PREFIX + name, help, labelNames, registers: [registry] });
  return {
    gauge,
    perStream: (name: string, help: string) => gauge(name, help, ['instance_id', 'stream']),
    perInstance: (name: string, help: string) => gauge(name, help, ['instance_id']),
  };
}

function showInstance(gauges: Gauges, instance: InstanceHealth, nowMs: number): void {
  const { instanceId: instance_id, organizations, quarantined, streams } = instance;
  gauges.changedByHand.set({ instance_id }, instance.finalChangesByHand30Days);
  gauges.listIncomplete.set({ instance_id }, instance.listProblem === null ? 0 : 1);
  gauges.organizations.set({ instance_id }, organizations);
  gauges.quarantined.set({ instance_id }, quarantined);
  for (const [scope, count] of Object.entries(instance.differences ?? {})) {
    gauges.differences.set({ instance_id, scope }, count);
  }
  for (const stream of streams) showStream(gauges, instance_id, stream);
  const oldest = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  gauges.gapAge.set({ instance_id }, oldest === undefined ? 0 : (nowMs - dayEndMs(oldest)) / 1_000);
  gauges.expiring.set(
    { instance_id },
    streams.reduce((sum, { expiring }) => sum + expiring, 0),
  );
}

function showStream(gauges: Gauges, instance_id: string, health: StreamHealth): void {
  const { stream, cells, yesterday, completeTo, orgsTracked, orgsComplete } = health;
  const { waiting, in_doubt, missing } = yesterday;
  gauges.yesterday.set({ instance_id, stream }, waiting + in_doubt + missing);
  gauges.tracked.set({ instance_id, stream }, orgsTracked);
  gauges.complete.set({ instance_id, stream }, orgsComplete);
  if (completeTo !== null) {
    gauges.completeTo.set({ instance_id, stream }, dayStartMs(completeTo) / 1_000);
  }
  for (const standing of standings) gauges.cells.set({ instance_id, stream, standing }, cells[standing]);
}
