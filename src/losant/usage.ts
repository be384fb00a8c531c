import { type DayRange, dayEndMs, dayStartMs, parseDay } from '../usage/day.ts';
import type { UsageAction } from '../usage/streams/stream.ts';
import type { Answer } from './attempt.ts';
import type { LosantClient } from './client.ts';

export interface UsageQuestion {
  readonly instanceId: string;
  /** Null: the counter of the whole instance. */
  readonly orgId: string | null;
  readonly action: UsageAction;
  /** Query values beyond start and end, e.g. `{ asBytes: 'true' }`. */
  readonly query: Readonly<Record<string, string>>;
  readonly window: DayRange;
  /** Instead of the client's. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * One usage counter of an organization, or of the instance, over a window of days. The end is sent
 * as the last millisecond of the last day: the API documents every range that
 * way, and whether it counts the end in or out, no other day's bucket fits.
 */
export async function fetchUsage(client: LosantClient, question: UsageQuestion): Promise<Answer> {
  const { instanceId, orgId, action, query, window, attempts, signal } = question;
  assertWindow(window);
  const instance = `instances/${encodeURIComponent(instanceId)}`;
  const days = window.from === window.to ? window.from : `${window.from}..${window.to}`;
  return client.get({
    action: `${orgId === null ? 'instance' : 'instanceOrg'}.${action}`,
    path: `${instance}${orgId === null ? '' : `/orgs/${encodeURIComponent(orgId)}`}/${action}`,
    query: { ...query, start: String(dayStartMs(window.from)), end: String(dayEndMs(window.to) - 1) },
    ids: { ...(orgId === null ? { instance: instanceId } : { org: orgId }), days },
    attempts,
    signal,
  });
}

/** Elsewhere in this API a start of 0, a negative one or none means "relative to now": never send one. */
function assertWindow({ from, to }: DayRange): void {
  const isWindow = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isWindow) throw new Error(`not a window of usage days: ${from}..${to}`);
}
