import { Counter, Gauge, type Registry } from 'prom-client';
import { ageOf, type DatabaseView, shownHealth } from '../console/sources.ts';
import type { InstanceHealth, StreamHealth } from '../queries/health.ts';
import { dayEndMs, dayStartMs } from '../usage/day.ts';
import { standings } from '../usage/standing.ts';

export interface HealthGauges {
  show(view: DatabaseView, nowMs: number): void;
  showLastComplete(instanceId: string, atMs: number): void;
}

/**
 * Creates gauges read from the database at each scrape, so that every replica shows the same. While
 * the database is unreachable, only values that cannot decrease are shown.
 */
export function createHealthGauges(registry: Registry, startedAtMs: number): HealthGauges {
  const gauges = createGauges(registry);
  const changed = new Counter({
    name: 'losant_usage_final_changes_total',
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
      'When a run over everything last ended with nothing due missing, in any process.',
    ),
  };
}

/**
 * `createLedgerGauges` creates the gauges of the ledger, which are left out while the database is
 * unreachable.
 */
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
    new Gauge({ name: `losant_usage_${name}`, help, labelNames, registers: [registry] });
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
