import { add } from './amount.ts';
import type { ApiAnswer } from './api.ts';
import type { Body } from './bodies.ts';
import { dayOf, dayText } from './calendar.ts';
import type { CounterAction } from './edits.ts';
import type { World } from './world.ts';

/** A number of the instance that deliberately disagrees with its organizations. */
export interface TotalBias {
  readonly action: CounterAction;
  /** `YYYY-MM-DD` for the instance's counters of that day, `YYYY-MM` for the monthly summaries. */
  readonly when: string;
  /** The organization whose summary is changed; null for all of them. */
  readonly orgKey: string | null;
  /** The amount added to the number. */
  readonly by: number;
}

/** The field of a bucket that is biased. */
const FIELDS = { deviceCounts: 'total', notebookMinuteCounts: 'minutes', payloadCountsBreakdown: 'value' };

/** The source that the amount is added to where a counter has no buckets. */
const SOURCE = { type: 'event', source: 'application.rest' };

/** Returns the sum of all amounts added to the action's number of that day or month. */
export function biasOf(
  { config }: World,
  action: CounterAction,
  { when, orgKey }: { when: string; orgKey: string | null },
): number {
  return config.bias
    .filter((bias) => bias.action === action && bias.when === when)
    .filter((bias) => bias.orgKey === null || bias.orgKey === orgKey)
    .reduce((sum, { by }) => sum + by, 0);
}

/** Returns a counter of the instance with the configured amounts added. */
export function biasCounter(world: World, action: CounterAction, answer: ApiAnswer): ApiAnswer {
  const { window, body } = answer;
  if (world.config.bias.length === 0 || window === undefined) return answer;
  if (action !== 'payloadCounts') {
    const field = FIELDS[action];
    const counts = (body['counts'] as Body[]).map((bucket) => {
      const by = biasOf(world, action, { when: String(bucket['date']).slice(0, 10), orgKey: null });
      return by === 0 ? bucket : { ...bucket, [field]: plus(bucket[field], by) };
    });
    return { ...answer, body: { ...body, counts } };
  }
  let by = 0;
  for (let day = dayOf(window.startMs); day <= dayOf(window.endMs); day++) {
    by += biasOf(world, action, { when: dayText(day), orgKey: null });
  }
  if (by === 0) return answer;
  const sources = (body[SOURCE.type] ?? {}) as Body;
  const biased = { ...sources, [SOURCE.source]: plus(sources[SOURCE.source] ?? 0, by) };
  return { ...answer, body: { ...body, [SOURCE.type]: biased } };
}

/** Adds to a number. Numbers beyond 2^53 come as raw JSON and stay as they are. */
function plus(value: unknown, by: number): unknown {
  return typeof value === 'number' ? add(value, by) : value;
}
