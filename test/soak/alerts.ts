import { HOUR_MS } from '../../src/usage/day.ts';
import { readMetric } from '../worker/process.ts';

/** The first and the last hour of those looked at in a row in which the alert fired. */
export type Firing = readonly [alert: string, from: number, to: number];

/** The hours between scrapes, which take as long as a wake-up. */
export const JUDGED_EVERY_HOURS = 6;

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'];

/** Rules of deploy/monitoring/alerts.yml that concern numbers, over scrapes some hours apart. */
export class AlertLog {
  readonly #instanceId: string;
  readonly #changes: number[] = [];
  readonly firings: [string, number, number][] = [];

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** Judges the scrapes of all replicas at the end of an hour, a multiple of {@link JUDGED_EVERY_HOURS}. */
  judge(hour: number, nowMs: number, scrapes: readonly string[]): void {
    const largest = (series: string) =>
      Math.max(...scrapes.map((text) => readMetric(text, `losant_usage_${series}`) ?? 0));
    const label = `{instance_id="${this.#instanceId}"}`;
    const changes = largest(`final_changes_total${label}`);
    const dayBefore = this.#changes.at(-24 / JUDGED_EVERY_HOURS) ?? 0;
    this.#changes.push(changes);
    const isUp = largest('database_up') > 0;
    const isOld = STREAMS.some((stream) => {
      const series = `newest_day_read_timestamp_seconds{instance_id="${this.#instanceId}",stream="${stream}"}`;
      return isUp && nowMs - largest(series) * 1_000 > 50 * HOUR_MS;
    });
    this.#note('YesterdayMissing', hour, isOld);
    this.#note('Gap', hour, largest(`oldest_gap_age_seconds${label}`) > 48 * 3_600);
    this.#note('AboutToBeLost', hour, largest(`gaps_expiring${label}`) > 0);
    this.#note('TokenRefused', hour, largest(`token_refused${label}`) > 0);
    this.#note('TotalsDiffer', hour, largest(`reconciliation_differences${label}`) > 0);
    this.#note('DatabaseUnreachable', hour, !isUp);
    this.#note('FinalNumberChanged', hour, changes > dayBefore);
  }

  #note(alert: string, hour: number, fires: boolean): void {
    if (!fires) return;
    const last = this.firings.findLast(([name]) => name === alert);
    if (last?.[2] === hour - JUDGED_EVERY_HOURS) last[2] = hour;
    else this.firings.push([alert, hour, hour]);
  }
}
