import { Gauge, type Registry } from 'prom-client';
import type { Health, InstanceHealth } from '../database/read/health.ts';
import { dayEndMs } from '../usage/day.ts';

export interface HealthGauges {
  /** Null: the database did not answer. Then nothing old is shown. */
  show(health: Health | null): void;
  showLastComplete(instanceId: string, atMs: number): void;
}

/** Gauges read from the ledger at each scrape: every replica tells the same. */
export function createHealthGauges(registry: Registry): HealthGauges {
  const gauges = createGauges(registry);
  const lastCompleteMs = new Map<string, number>();
  // What this process saw itself is not forgotten while the database is away.
  const showLastComplete = (instance_id: string, atMs: number) => {
    const newestMs = Math.max(atMs, lastCompleteMs.get(instance_id) ?? 0);
    lastCompleteMs.set(instance_id, newestMs);
    gauges.lastComplete.set({ instance_id }, newestMs / 1_000);
  };
  return {
    showLastComplete,
    show(health) {
      const fromLedger = [gauges.cells, gauges.gaps, gauges.gapAge, gauges.expiring, gauges.quarantined];
      for (const gauge of [...fromLedger, gauges.organizations]) gauge.reset();
      gauges.databaseUp.set(health === null ? 0 : 1);
      for (const instance of health?.instances ?? []) {
        showInstance(gauges, instance, Date.parse(health?.at ?? ''));
        const { instanceId, lastCompleteRunAt } = instance;
        if (lastCompleteRunAt !== null) showLastComplete(instanceId, Date.parse(lastCompleteRunAt));
      }
    },
  };
}

function createGauges(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `losant_usage_${name}`, help, labelNames, registers: [registry] });
  return {
    databaseUp: gauge('database_up', 'Whether the database answered this scrape in time.', []),
    lastComplete: gauge(
      'last_complete_pass_timestamp_seconds',
      'When a scheduled pass last ended with nothing due missing.',
      ['instance_id'],
    ),
    organizations: gauge('organizations', 'Organizations of the instance that exist in Losant.', [
      'instance_id',
    ]),
    cells: gauge(
      'cells',
      'Tracked cells (organization, stream and usage day) inside the horizon, by what is held of them.',
      ['instance_id', 'stream', 'state'],
    ),
    gaps: gauge('gaps', 'Tracked cells that are late or whose read failed.', ['instance_id', 'stream']),
    gapAge: gauge(
      'oldest_gap_age_seconds',
      'Time since the end of the oldest usage day with a gap; 0 without a gap.',
      ['instance_id'],
    ),
    expiring: gauge(
      'gaps_expiring',
      'Gaps that pass the horizon within 7 days and are then no longer available.',
      ['instance_id'],
    ),
    quarantined: gauge('quarantined', 'Answers in quarantine that no good answer has followed.', [
      'instance_id',
    ]),
  };
}

function showInstance(
  gauges: ReturnType<typeof createGauges>,
  { instanceId: instance_id, organizations, quarantined, streams }: InstanceHealth,
  atMs: number,
): void {
  gauges.organizations.set({ instance_id }, organizations);
  gauges.quarantined.set({ instance_id }, quarantined);
  for (const { stream, cells, gaps } of streams) {
    gauges.gaps.set({ instance_id, stream }, gaps);
    for (const [state, count] of Object.entries(cells))
      gauges.cells.set({ instance_id, stream, state }, count);
  }
  const oldest = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  gauges.gapAge.set({ instance_id }, oldest === undefined ? 0 : (atMs - dayEndMs(oldest)) / 1_000);
  gauges.expiring.set(
    { instance_id },
    streams.reduce((sum, { expiring }) => sum + expiring, 0),
  );
}
