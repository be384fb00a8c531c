import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { DatabaseView } from '../console/sources.ts';
import { RUN_RESULTS, type RunResult } from '../console/worker-status.ts';
import { createHealthGauges } from './health-gauges.ts';

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
  /** Shows for how long an instance has waited for something, in ms; 0 while it does not. */
  showWaiting(instanceId: string, waitsFor: WaitedFor, waitedMs: number): void;
  /** Returns the text of a scrape. While the database does not answer, its gauges are left out. */
  render(view: DatabaseView, nowMs: number): Promise<string>;
  readonly contentType: string;
}

const SECONDS = 1_000;
const PREFIX = 'losant_usage_';

/** Gauges that the library names like counters; each also exists split by kind, under a good name. */
const MISNAMED = ['active_handles', 'active_requests', 'active_resources'];

/** Creates the worker's metrics in a registry of their own. Names and labels are a stable contract. */
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
  gauge(registry, 'build_info', 'Always 1, with the version.', ['version']).set({ version }, 1);
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
      if (result !== 'standby') work.runSeconds.observe(durationMs / SECONDS);
      if (result === 'complete') health.showLastComplete(instance_id, endedAtMs);
    },
    countWork: (facts) => countWork(work, facts),
    showTokenRefused: (instance_id, isRefused) => work.tokenRefused.set({ instance_id }, isRefused ? 1 : 0),
    showWaiting: (instance_id, waits_for, waitedMs) =>
      work.waiting.set({ instance_id, waits_for }, waitedMs / SECONDS),
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
    tokenRefused: gauge(registry, 'token_refused', 'Whether Losant refuses the token of the instance.', [
      'instance_id',
    ]),
    waiting: gauge(
      registry,
      'waiting_seconds',
      'For how long an instance has waited for Losant, the database or the lease, from a minute on; 0 while it does not.',
      ['instance_id', 'waits_for'],
    ),
  };
}

function countRequest(work: WorkMetrics, facts: RequestFacts): void {
  const { action: endpoint, status, durationMs, gateWaitMs, retryReason } = facts;
  work.requests.inc({ endpoint, status: status === null ? 'none' : `${Math.floor(status / 100)}xx` });
  work.requestSeconds.observe({ endpoint }, Math.max(0, durationMs) / SECONDS);
  work.waitSeconds.inc(Math.max(0, gateWaitMs) / SECONDS);
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

function gauge<Label extends string>(registry: Registry, name: string, help: string, labelNames: Label[]) {
  return new Gauge({ name: PREFIX + name, help, labelNames, registers: [registry] });
}
