import { HOUR_MS } from '../../src/usage/day.ts';
import { readMetric } from '../worker/process.ts';

/** The first and the last hour of those looked at in a row in which the alert fired. */
export type Firing = readonly [alert: string, from: number, to: number];

/** The hours between scrapes, which take as long as a wake-up. */
export const JUDGED_EVERY_HOURS = 6;

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources'];
/** The scrapes in 18 hours. */
const MOSTLY_MISSING_SCRAPES = 18 / JUDGED_EVERY_HOURS + 1;

/** The rules of deploy/prometheus/alerts.yml, over scrapes some hours apart; only the longest waiting time counts. */
export class AlertLog {
  readonly #instanceId: string;
  #mostlyMissing = 0;
  readonly #firings: [string, number, number][] = [];
  readonly #finalRestatements: number[] = [];

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  get firings(): readonly Firing[] {
    return this.#firings;
  }

  /** Judges the scrapes of all replicas at the end of an hour, a multiple of {@link JUDGED_EVERY_HOURS}. */
  judge(hour: number, nowMs: number, scrapes: readonly string[]): void {
    const label = `{instance_id="${this.#instanceId}"}`;
    const largest = (series: string) =>
      Math.max(...scrapes.map((text) => readMetric(text, `losant_usage_${series}`) ?? 0));
    const lastCompleteMs = largest(`last_complete_run_timestamp_seconds${label}`) * 1_000;
    this.#note('NoCompleteRun', hour, nowMs - lastCompleteMs > 26 * HOUR_MS);
    const isMostlyMissing = STREAMS.some((stream) => {
      const [complete, tracked] = ['complete', 'tracked'].map((which) =>
        largest(`organizations_${which}{instance_id="${this.#instanceId}",stream="${stream}"}`),
      );
      return (complete ?? 0) < 0.5 * (tracked ?? 0);
    });
    this.#mostlyMissing = isMostlyMissing ? this.#mostlyMissing + 1 : 0;
    this.#note('MostlyMissing', hour, this.#mostlyMissing >= MOSTLY_MISSING_SCRAPES);
    this.#note('Gap', hour, largest(`oldest_gap_age_seconds${label}`) > 48 * 3_600);
    this.#note('AboutToBeLost', hour, largest(`gaps_expiring${label}`) > 0);
    this.#note('TokenRefused', hour, largest(`token_refused${label}`) > 0);
    this.#note(
      'GaugesOld',
      hour,
      largest('database_up') > 0 && largest('database_reading_age_seconds') > 3_600,
    );
    this.#note('DatabaseUnreachable', hour, largest('database_up') === 0);
    const restated = largest(`final_changes_total${label}`);
    const dayBefore = this.#finalRestatements.at(-24 / JUDGED_EVERY_HOURS) ?? 0;
    this.#finalRestatements.push(restated);
    this.#note('FinalNumberChanged', hour, restated > dayBefore);
  }

  #note(alert: string, hour: number, fires: boolean): void {
    if (!fires) return;
    const last = this.#firings.findLast(([name]) => name === alert);
    if (last?.[2] === hour - JUDGED_EVERY_HOURS) last[2] = hour;
    else this.#firings.push([alert, hour, hour]);
  }
}
