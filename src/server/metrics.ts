import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type DatabaseView, RUN_RESULTS, type RunResult, toVisibleHealth } from '../console/sources.ts';
import { ATTENTION_KINDS } from '../queries/attention.ts';
import type { Health, StreamHealth } from '../queries/health.ts';
import { dayEndMs, dayStartMs } from '../usage/day.ts';
import { countIncomplete, standings } from '../usage/standing.ts';

export interface RequestFacts {
  /** The action of the request: one of a few names, never an ID. */
  readonly action: string;
  readonly status: number | null;
  readonly durationMs: number;
  readonly gateWaitMs: number;
  readonly retryReason: string | null;
}

export type Metrics = ReturnType<typeof createMetrics>;

/** The process metrics that help with a diagnosis; heap spaces and percentiles do not. */
const USEFUL = /^(process_.*|nodejs_(eventloop_lag_seconds|heap_size_(total|used)_bytes|version_info))$/;

/** Creates the metrics of the worker and of its process. Names and labels are a stable contract. */
export function createMetrics({ version, startedAtMs }: { version: string; startedAtMs: number }) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name } of registry.getMetricsAsArray()) if (!USEFUL.test(name)) registry.removeSingleMetric(name);
  const work = createWorkMetrics(registry);
  work.buildInfo.set({ version }, 1);
  for (const result of RUN_RESULTS) work.runs.inc({ result }, 0);
  return {
    contentType: registry.contentType,
    /** The action is one of a few names, never an ID. */
    countRequest({ action: endpoint, status, durationMs, gateWaitMs, retryReason }: RequestFacts) {
      work.requests.inc({ endpoint, status: status === null ? 'none' : `${Math.floor(status / 100)}xx` });
      work.requestSeconds.observe({ endpoint }, Math.max(0, durationMs) / 1_000);
      work.waitSeconds.inc(Math.max(0, gateWaitMs) / 1_000);
      if (retryReason !== null) work.retries.inc({ reason: retryReason });
    },
    countRun({ result, durationMs }: { result: RunResult; durationMs: number }) {
      work.runs.inc({ result });
      if (result !== 'standby') work.runSeconds.observe(durationMs / 1_000);
    },
    showTokenRejected: (isRejected: boolean) => work.tokenRejected.set(isRejected ? 1 : 0),
    showLastRunFailed: (hasFailed: boolean) => work.lastRunFailed.set(hasFailed ? 1 : 0),
    /** Returns the text of a scrape. It omits the ledger's metrics while the database does not respond. */
    render: async (view: DatabaseView, nowMs: number) =>
      await Registry.merge([registry, readLedger(view, nowMs, startedAtMs)]).metrics(),
  };
}

function optionsIn(registry: Registry) {
  return <Label extends string>(name: string, help: string, ...labelNames: Label[]) => {
    return { registers: [registry], name: `losant_usage_${name}`, help, labelNames };
  };
}

function createWorkMetrics(registry: Registry) {
  const options = optionsIn(registry);
  return {
    buildInfo: new Gauge(options('build_info', 'Always 1, with the version.', 'version')),
    runs: new Counter(options('runs_total', 'Runs by this process, by result.', 'result')),
    runSeconds: new Histogram({
      ...options('run_duration_seconds', 'Duration of runs.'),
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400],
    }),
    requests: new Counter(options('requests_total', 'Requests to Losant, by response class.', 'endpoint', 'status')),
    requestSeconds: new Histogram({
      ...options('request_duration_seconds', 'Time from sending a request to the end of its response.', 'endpoint'),
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    }),
    retries: new Counter(options('request_retries_total', 'Retried requests, by reason.', 'reason')),
    waitSeconds: new Counter(
      options(
        'rate_limit_wait_seconds_total',
        'Time spent waiting for a free slot, the rate limit, and pauses requested by Losant.',
      ),
    ),
    tokenRejected: new Gauge(options('token_rejected', 'Whether Losant rejects the token.')),
    lastRunFailed: new Gauge(
      options('last_run_failed', 'Whether the last run of this process failed before it read anything.'),
    ),
  };
}

/** Metrics of the ledger by name: the help, and the value; null for no sample. */
type Declared<Row> = Readonly<
  Record<string, readonly [help: string, valueOf: (row: Row, nowMs: number) => number | null]>
>;

const OF_DATABASE: Declared<{ readonly view: DatabaseView; readonly startedAtMs: number }> = {
  database_up: ['Whether the database responded to a trivial query in time.', ({ view }) => Number(view.isUp)],
  ledger_snapshot_age_seconds: [
    'Age of the snapshot behind the organization, cell and gap gauges; time since start before the first snapshot.',
    ({ view, startedAtMs }, nowMs) => Math.max(0, nowMs - (view.snapshot?.atMs ?? startedAtMs)) / 1_000,
  ],
};

const OF_LEDGER: Declared<Health> = {
  oldest_gap_age_seconds: [
    'Time since the end of the oldest usage day with a gap; 0 without a gap.',
    ({ streams }, nowMs) => {
      const [oldest] = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort();
      return oldest === undefined ? 0 : (nowMs - dayEndMs(oldest)) / 1_000;
    },
  ],
  gaps_expiring: [
    'Gaps that pass the horizon within 7 days, after which Losant no longer has the data.',
    ({ streams }) => streams.reduce((sum, { expiring }) => sum + expiring, 0),
  ],
  final_restatements_total: [
    'Final cells that Losant restated, as recorded in the database.',
    ({ instance }) => instance?.finalRestatements ?? 0,
  ],
};

const OF_KIND: Declared<number> = {
  attention_items: ['Things that need attention, by kind, as in the view attention.', (total) => total],
};

const OF_STREAM: Declared<StreamHealth> = {
  organizations_tracked: ['Organizations currently tracked.', (each) => each.orgs],
  organizations_complete: ['Organizations currently tracked whose stream is complete.', (each) => each.orgsComplete],
  complete_to_timestamp_seconds: [
    'Start of the last usage day through which the stream is complete; no sample if its first expected day is not.',
    ({ completeTo }) => (completeTo === null ? null : dayStartMs(completeTo) / 1_000),
  ],
  newest_read_day_end_timestamp_seconds: [
    'End of the newest usage day of the last ten that was read for any organization; no sample if none was.',
    ({ newestReadDay }) => (newestReadDay === null ? null : dayEndMs(newestReadDay) / 1_000),
  ],
  yesterday_incomplete_cells: [
    'Expected cells of yesterday that are waiting, in doubt or missing; 0 once yesterday is complete.',
    ({ yesterday }) => countIncomplete(yesterday),
  ],
};

const OF_STANDING: Declared<number> = {
  cells: ['Expected cells (organization, stream and usage day) through yesterday, by standing.', (cells) => cells],
};

/** Returns metrics computed from the database at each scrape, so every replica exposes the same values. */
function readLedger(view: DatabaseView, nowMs: number, startedAtMs: number): Registry {
  const registry = new Registry();
  const show = <Row>(declared: Declared<Row>, rows: readonly (readonly [Row, Record<string, string>])[]) => {
    const labelNames = rows[0] && Object.keys(rows[0][1]);
    if (labelNames === undefined) return;
    for (const [name, [help, valueOf]] of Object.entries(declared)) {
      const options = optionsIn(registry)(name, help, ...labelNames);
      const metric = name.endsWith('_total') ? new Counter(options) : new Gauge(options);
      for (const [row, labels] of rows) {
        const value = valueOf(row, nowMs);
        if (value !== null) metric.inc(labels, value);
      }
    }
  };
  show(OF_DATABASE, [[{ view, startedAtMs }, {}]]);
  const health = toVisibleHealth(view);
  if (health === null) return registry;
  const { streams, attention } = health;
  show(OF_LEDGER, [[health, {}]]);
  show(
    OF_KIND,
    Object.keys(ATTENTION_KINDS).map((kind) => [attention.find((group) => group.kind === kind)?.total ?? 0, { kind }]),
  );
  show(
    OF_STREAM,
    streams.map((each) => [each, { stream: each.stream }]),
  );
  show(
    OF_STANDING,
    streams.flatMap(({ stream, cells }) =>
      standings.map((standing) => [cells[standing], { stream, standing }] as const),
    ),
  );
  return registry;
}
