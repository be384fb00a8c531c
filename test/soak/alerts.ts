import { HOUR_MS } from '../../src/usage/day.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { readMetric } from '../worker/process.ts';

/** The hours between scrapes, which take as long as a wake-up. */
export const JUDGED_EVERY_HOURS = 6;

/** The rules of deploy/monitoring/alerts.yml that concern numbers, over scrapes some hours apart. */
export class AlertLog {
  readonly #instanceId: string;
  readonly #changes: number[] = [];
  /** The alerts that fired, each with the hour of the scrape. */
  readonly fired: [alert: string, hour: number][] = [];

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** Judges the scrapes of all replicas at the end of an hour, a multiple of {@link JUDGED_EVERY_HOURS}. */
  judge(hour: number, nowMs: number, scrapes: readonly string[]): void {
    const largest = (series: string) =>
      Math.max(...scrapes.map((text) => readMetric(text, `losant_usage_${series}`) ?? 0));
    const label = `instance_id="${this.#instanceId}"`;
    const changes = largest(`final_changes_total{${label}}`);
    const dayBefore = this.#changes.at(-24 / JUDGED_EVERY_HOURS) ?? 0;
    this.#changes.push(changes);
    const isUp = largest('database_up') > 0;
    const newestReads = streamNames.map(
      (stream) => largest(`newest_day_read_timestamp_seconds{${label},stream="${stream}"}`) * 1_000,
    );
    const alerts = {
      YesterdayMissing: isUp && nowMs - Math.min(...newestReads) > 50 * HOUR_MS,
      Gap: largest(`oldest_gap_age_seconds{${label}}`) > 48 * 3_600,
      AboutToBeLost: largest(`gaps_expiring{${label}}`) > 0,
      TokenRefused: largest(`token_refused{${label}}`) > 0,
      ListIncomplete: largest(`organization_list_incomplete{${label}}`) > 0,
      TotalsDiffer: largest(`reconciliation_differences{${label}}`) > 0,
      DatabaseUnreachable: !isUp,
      FinalNumberChanged: changes > dayBefore,
    };
    for (const [alert, fires] of Object.entries(alerts)) if (fires) this.fired.push([alert, hour]);
  }
}
